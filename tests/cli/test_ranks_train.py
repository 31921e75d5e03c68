"""`kindred train` under a launcher: the same bytes as one process makes, by whatever ranks and threads."""

import json
import os
import signal
import time

import pytest

import helpers
import mpi

# Ranks, threads of each, and whether they have the items in common; else item blocks travel.
RUNS = [("openmpi", 2, 1, 1), ("openmpi", 3, 2, 1), ("mpich", 2, 2, 1), ("mpich", 4, 1, 1),
        ("openmpi", 2, 1, 0), ("openmpi", 3, 2, 0), ("openmpi", 4, 1, 0), ("mpich", 2, 2, 0), ("mpich", 4, 1, 0)]
MODELS = {
    "mf": ["--epochs", 6, "--eval-every", 2],
    "mf by batches, adam": ["--epochs", 2, "--item-bias", "--optimizer", "adam", "--loss", "softmax", "--negatives", 8,
                            "--batch-size", 32, "--lr", 0.01],
    "mf, hardest, by popularity": ["--epochs", 2, "--hardest-of", 4, "--popularity-power", 0.5, "--item-bias"],
    "mf, early stop": ["--epochs", 12, "--eval-every", 1, "--early-stop", 2],
    "neumf": ["--model", "neumf", "--epochs", 2],
    "neumf, gmf, adagrad": ["--model", "neumf", "--towers", "gmf", "--optimizer", "adagrad", "--epochs", 2],
}
LONG = ["--epochs", 4000, "--checkpoint-every", 100, "--seed", 3]


def train(dataset, output, *options):
    """What is asked of the program."""
    return ["train", "--data-dir", dataset, "--output-dir", output, "--partitions", 8, "--quiet", *options]


def told(folder):
    """What run.json says of each epoch, times apart."""
    run = json.loads((folder / "run.json").read_text())
    return [{key: value for key, value in epoch.items() if key not in ("seconds", "samples_per_s")}
            for epoch in run["epochs"]], run.get("best_epoch")


@pytest.fixture(scope="module")
def alone(kindred, dataset, tmp_path_factory):
    """alone(options): the folder of a run without a launcher."""
    made = {}

    def run(options):
        key = tuple(options)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("alone")
            kindred.ok(*train(dataset, made[key], *options))
        return made[key]

    return run


@pytest.mark.parametrize("impl, n, threads, common", RUNS)
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS.keys())
def test_ranks_make_the_same_model_and_see_the_same_metrics(kindred, mpirun, dataset, alone, tmp_path, impl, n, threads,
                                                                common, options):
    out = mpirun.ok(impl, n, *train(dataset, tmp_path, "--threads", threads, *options), KINDRED_SHARED_MEMORY=str(common))
    assert (tmp_path / "model.safetensors").read_bytes() == (alone(options) / "model.safetensors").read_bytes()
    assert told(tmp_path) == told(alone(options))
    assert out.count("model.safetensors") == 1


def test_real_ratings_too(kindred, mpirun, real, tmp_path):
    data = tmp_path / "data"
    kindred.ok("preprocess", "--input", real("ml-100k/ml-100k.inter"), "--output-dir", data)
    options = ["--epochs", 3, "--threads", 1]
    kindred.ok(*train(data, tmp_path / "one", *options))
    for n in (2, 3):
        mpirun.ok("openmpi", n, *train(data, tmp_path / str(n), *options))
        assert (tmp_path / str(n) / "model.safetensors").read_bytes() == (
            tmp_path / "one" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("common", [True, False])
def test_what_each_rank_did_is_told(kindred, mpirun, dataset, tmp_path, common):
    mpirun.ok("openmpi", 3, *train(dataset, tmp_path, "--epochs", 3), KINDRED_SHARED_MEMORY=str(int(common)))
    run = json.loads((tmp_path / "run.json").read_text())
    stats = helpers.read_stats(dataset)
    assert [entry["rank"] for entry in run["ranks"]] == [0, 1, 2]
    assert sum(entry["samples"] for entry in run["ranks"]) == stats["train_size"]
    table = stats["num_items"] * 64 * 4
    for entry in run["ranks"]:
        if common:
            assert 0 < entry["bytes_sent"] < 3 * table * 7 // 8
        else:
            assert 3 * table * 7 // 8 < entry["bytes_sent"] < 3 * table * 2 + 2**20
        assert entry["samples_per_s"] > 0 and entry["waiting_s"] >= 0


def test_a_table_in_a_folder_of_files_is_one(kindred, mpirun, dataset, tmp_path):
    import pyarrow.parquet as pq

    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "val", "test", "users", "items"):
        (data / f"{name}.parquet").mkdir()
        (data / f"{name}.parquet" / "_SUCCESS").touch()
        table = pq.read_table(dataset / f"{name}.parquet")
        for part in range(3):
            first, end = (len(table) * k // 3 for k in (part, part + 1))
            pq.write_table(table.slice(first, end - first), data / f"{name}.parquet" / f"part-{part:05}.parquet",
                           row_group_size=500)
    stats = helpers.read_stats(dataset)
    (data / "stats.json").write_text(json.dumps({key: stats[key] for key in ("num_users", "num_items", "digest")}))
    options = ["--epochs", 3]
    kindred.ok(*train(dataset, tmp_path / "files", *options))
    kindred.ok(*train(data, tmp_path / "folders", *options))
    mpirun.ok("openmpi", 3, *train(data, tmp_path / "ranks", *options))
    want = (tmp_path / "files" / "model.safetensors").read_bytes()
    assert (tmp_path / "folders" / "model.safetensors").read_bytes() == want
    assert (tmp_path / "ranks" / "model.safetensors").read_bytes() == want
    for folder in (dataset, data):
        kindred.ok("recommend", "--model-path", tmp_path / "files" / "model.safetensors", "--data-dir", folder,
                   "--output", tmp_path / f"{folder.name}.csv")
    assert (tmp_path / "data.csv").read_bytes() == (tmp_path / f"{dataset.name}.csv").read_bytes()


def test_more_ranks_than_partitions_are_refused(kindred, mpirun, dataset, tmp_path):
    done = mpirun("openmpi", 3, "train", "--data-dir", dataset, "--output-dir", tmp_path, "--partitions", 2)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("3 ranks, but --partitions is 2") == 1


def test_an_unknown_option_is_told_once(kindred, mpirun, dataset, tmp_path):
    done = mpirun("mpich", 3, *train(dataset, tmp_path, "--lr", "much"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("--lr") == 1


# What goes wrong on the way


def has_checkpoint(folder):
    return (folder / "checkpoints").is_dir() and any(name.name.startswith("epoch-") and name.suffix == ".safetensors"
                                                     for name in (folder / "checkpoints").iterdir())


def await_checkpoint(job, folder):
    while job.poll() is None and not has_checkpoint(folder):
        time.sleep(0.005)
    assert job.poll() is None, job.communicate()[1]


@pytest.mark.parametrize("victim", [0, -1])
def test_a_killed_rank_ends_all_and_others_go_on_to_the_same_bytes(kindred, mpirun, dataset, alone, tmp_path, impl,
                                                                       victim):
    job = mpirun.popen(impl, 3, *train(dataset, tmp_path, *LONG, "--threads", 1))
    processes = mpirun.pids(job, 3)
    await_checkpoint(job, tmp_path)
    os.kill(processes[victim], signal.SIGKILL)
    start = time.monotonic()
    job.communicate(timeout=30)
    assert job.returncode != 0 and time.monotonic() - start < 10
    assert mpi.end(processes, kindred.path)
    assert not (tmp_path / "model.safetensors").exists()
    mpirun.ok(impl, 2, *train(dataset, tmp_path, *LONG, "--threads", 1, "--resume"))
    assert (tmp_path / "model.safetensors").read_bytes() == (alone(LONG) / "model.safetensors").read_bytes()


def test_a_run_alone_goes_on_from_ranks_and_the_other_way_round(kindred, mpirun, dataset, alone, tmp_path):
    for first, then in (("ranks", "alone"), ("alone", "ranks")):
        out = tmp_path / then
        asked = train(dataset, out, *LONG, "--threads", 1)
        job = mpirun.popen("openmpi", 2, *asked) if first == "ranks" else kindred.popen(*asked)
        await_checkpoint(job, out)
        for pid in mpirun.pids(job, 2) if first == "ranks" else [job.pid]:
            os.kill(pid, signal.SIGTERM)
        job.communicate(timeout=30)
        assert job.returncode == 143
        if then == "alone":
            kindred.ok(*asked, "--resume")
        else:
            mpirun.ok("openmpi", 4, *asked, "--resume")
        assert (out / "model.safetensors").read_bytes() == (alone(LONG) / "model.safetensors").read_bytes()


def test_a_damaged_dataset_ends_all_with_one_message(kindred, mpirun, dataset, tmp_path):
    import shutil

    data = shutil.copytree(dataset, tmp_path / "data")
    (data / "train.parquet").write_bytes((dataset / "train.parquet").read_bytes()[:-100])
    done = mpirun("openmpi", 3, *train(data, tmp_path / "out"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("kindred train: ") == 1 and "train.parquet" in done.stderr


def test_a_full_disk_ends_all_with_one_message(kindred, mpirun, dataset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.safetensors").mkdir()
    done = mpirun("openmpi", 2, *train(dataset, out, "--epochs", 1))
    assert done.returncode == 1
    assert done.stderr.count("kindred train: ") == 1 and "model.safetensors" in done.stderr


def test_numbers_out_of_bounds_end_all_with_one_message(kindred, mpirun, dataset, tmp_path):
    done = mpirun("openmpi", 2, *train(dataset, tmp_path, "--epochs", 50, "--lr", 10, "--init", 100))
    assert done.returncode == 1
    assert done.stderr.count("kindred train: ") == 1 and "lower --lr" in done.stderr
