"""`kindred train` under a launcher: the same bytes as one process makes, by whatever ranks and threads."""

import json
import os
import signal
import time

import pytest

import helpers
import ranks

RUNS = [("openmpi", 2, 1), ("openmpi", 3, 2), ("openmpi", 4, 1), ("mpich", 2, 2), ("mpich", 4, 1)]
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


def command(kindred, dataset, output, *options):
    return kindred.command("train", "--data-dir", dataset, "--output-dir", output, "--partitions", 8, "--quiet", *options)


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
            kindred.ok(*command(kindred, dataset, made[key], *options)[1:])
        return made[key]

    return run


@pytest.mark.parametrize("mpi, n, threads", RUNS)
@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS.keys())
def test_ranks_make_the_same_model_and_see_the_same_metrics(kindred, dataset, alone, tmp_path, mpi, n, threads, options):
    out = ranks.ok(mpi, n, command(kindred, dataset, tmp_path, "--threads", threads, *options))
    assert (tmp_path / "model.safetensors").read_bytes() == (alone(options) / "model.safetensors").read_bytes()
    assert told(tmp_path) == told(alone(options))
    assert out.count("model.safetensors") == 1


def test_real_ratings_too(kindred, real, tmp_path):
    data = tmp_path / "data"
    kindred.ok("preprocess", "--input", real("ml-100k/ml-100k.inter"), "--output-dir", data)
    options = ["--epochs", 3, "--threads", 1]
    kindred.ok(*command(kindred, data, tmp_path / "one", *options)[1:])
    for n in (2, 3):
        ranks.ok("openmpi", n, command(kindred, data, tmp_path / str(n), *options))
        assert (tmp_path / str(n) / "model.safetensors").read_bytes() == (
            tmp_path / "one" / "model.safetensors").read_bytes()


def test_what_each_rank_did_is_told(kindred, dataset, tmp_path):
    ranks.ok("openmpi", 3, command(kindred, dataset, tmp_path, "--epochs", 3))
    run = json.loads((tmp_path / "run.json").read_text())
    stats = helpers.read_stats(dataset)
    assert [entry["rank"] for entry in run["ranks"]] == [0, 1, 2]
    assert sum(entry["samples"] for entry in run["ranks"]) == stats["train_size"]
    table = stats["num_items"] * 64 * 4
    for entry in run["ranks"]:
        assert 3 * table * 7 // 8 < entry["bytes_sent"] < 3 * table * 2 + 2**20
        assert entry["samples_per_s"] > 0 and entry["waiting_s"] >= 0


def test_a_table_in_a_folder_of_files_is_one(kindred, dataset, tmp_path):
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
    kindred.ok(*command(kindred, dataset, tmp_path / "files", *options)[1:])
    kindred.ok(*command(kindred, data, tmp_path / "folders", *options)[1:])
    ranks.ok("openmpi", 3, command(kindred, data, tmp_path / "ranks", *options))
    want = (tmp_path / "files" / "model.safetensors").read_bytes()
    assert (tmp_path / "folders" / "model.safetensors").read_bytes() == want
    assert (tmp_path / "ranks" / "model.safetensors").read_bytes() == want
    for folder in (dataset, data):
        kindred.ok("recommend", "--model-path", tmp_path / "files" / "model.safetensors", "--data-dir", folder,
                   "--output", tmp_path / f"{folder.name}.csv")
    assert (tmp_path / "data.csv").read_bytes() == (tmp_path / f"{dataset.name}.csv").read_bytes()


def test_more_ranks_than_partitions_are_refused(kindred, dataset, tmp_path):
    code, out, err = ranks.run("openmpi", 3, kindred.command("train", "--data-dir", dataset, "--output-dir", tmp_path,
                                                             "--partitions", 2))
    assert code == 2 and out == ""
    assert err.count("3 ranks, but --partitions is 2") == 1


def test_an_unknown_option_is_told_once(kindred, dataset, tmp_path):
    code, out, err = ranks.run("mpich", 3, command(kindred, dataset, tmp_path, "--lr", "much"))
    assert code == 2 and out == ""
    assert err.count("--lr") == 1


# What goes wrong on the way


def has_checkpoint(folder):
    return (folder / "checkpoints").is_dir() and any(name.name.startswith("epoch-") and name.suffix == ".safetensors"
                                                     for name in (folder / "checkpoints").iterdir())


def await_checkpoint(job, folder):
    while job.poll() is None and not has_checkpoint(folder):
        time.sleep(0.005)
    assert job.poll() is None, job.communicate()[1]


@pytest.mark.parametrize("mpi", ranks.LAUNCHERS)
@pytest.mark.parametrize("victim", [0, -1])
def test_a_killed_rank_ends_all_and_others_go_on_to_the_same_bytes(kindred, dataset, alone, tmp_path, mpi, victim):
    job = ranks.launch(mpi, 3, command(kindred, dataset, tmp_path, *LONG, "--threads", 1))
    processes = ranks.await_pids(job, kindred.path, 3)
    await_checkpoint(job, tmp_path)
    os.kill(processes[victim], signal.SIGKILL)
    start = time.monotonic()
    job.communicate(timeout=30)
    assert job.returncode != 0 and time.monotonic() - start < 10
    assert not [pid for pid in processes if ranks.is_program(pid, kindred.path)]
    assert not (tmp_path / "model.safetensors").exists()
    ranks.ok(mpi, 2, command(kindred, dataset, tmp_path, *LONG, "--threads", 1, "--resume"))
    assert (tmp_path / "model.safetensors").read_bytes() == (alone(LONG) / "model.safetensors").read_bytes()


def test_a_run_alone_goes_on_from_ranks_and_the_other_way_round(kindred, dataset, alone, tmp_path):
    for first, then in ((ranks.launch, "alone"), (None, "ranks")):
        out = tmp_path / then
        line = command(kindred, dataset, out, *LONG, "--threads", 1)
        job = ranks.launch("openmpi", 2, line) if first else kindred.popen(*line[1:])
        await_checkpoint(job, out)
        for pid in ranks.pids(job, kindred.path) if first else [job.pid]:
            os.kill(pid, signal.SIGTERM)
        job.communicate(timeout=30)
        assert job.returncode == 143
        if then == "alone":
            kindred.ok(*line[1:], "--resume")
        else:
            ranks.ok("openmpi", 4, [*line, "--resume"])
        assert (out / "model.safetensors").read_bytes() == (alone(LONG) / "model.safetensors").read_bytes()


def test_a_damaged_dataset_ends_all_with_one_message(kindred, dataset, tmp_path):
    import shutil

    data = shutil.copytree(dataset, tmp_path / "data")
    (data / "train.parquet").write_bytes((dataset / "train.parquet").read_bytes()[:-100])
    code, out, err = ranks.run("openmpi", 3, command(kindred, data, tmp_path / "out"))
    assert code == 1 and out == ""
    assert err.count("kindred train: ") == 1 and "train.parquet" in err


def test_a_full_disk_ends_all_with_one_message(kindred, dataset, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.safetensors").mkdir()
    code, _, err = ranks.run("openmpi", 2, command(kindred, dataset, out, "--epochs", 1))
    assert code == 1
    assert err.count("kindred train: ") == 1 and "model.safetensors" in err


def test_numbers_out_of_bounds_end_all_with_one_message(kindred, dataset, tmp_path):
    code, _, err = ranks.run("openmpi", 2, command(kindred, dataset, tmp_path, "--epochs", 50, "--lr", 10, "--init", 100))
    assert code == 1
    assert err.count("kindred train: ") == 1 and "lower --lr" in err
