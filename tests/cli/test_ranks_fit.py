"""`kindred train` of models in closed form under a launcher: the same bytes as one process makes."""

import json
import os
import signal

import pytest

RUNS = [("openmpi", 2, 1), ("openmpi", 3, 2), ("mpich", 4, 1)]
MODELS = {
    "ials": ["--dim", 24, "--iterations", 3],
    "svd": ["--dim", 8],
    "ease": [],
    "itemknn": ["--neighbors", 7],
    "gram": ["--neighbors", 9],
    "gf": ["--dim", 8, "--neighbors", 9],
    "gf, sharpened": ["--dim", 8, "--neighbors", 9, "--sharpening", 1, "--sharpening-steps", 2],
    "popularity": [],
    "random": [],
}


def train(dataset, output, name, *options):
    return ["train", "--data-dir", dataset, "--output-dir", output, "--model", name.split(",")[0], "--quiet",
            *MODELS.get(name, []), *options]


@pytest.fixture(scope="module")
def alone(kindred, dataset, tmp_path_factory):
    """alone(name): the folder of a run without a launcher."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("alone")
            kindred.ok(*train(dataset, made[name], name))
        return made[name]

    return run


def val(folder):
    (epoch,) = json.loads((folder / "run.json").read_text())["epochs"]
    return {key: value for key, value in epoch.items() if key.startswith(("recall", "ndcg"))}


@pytest.mark.parametrize("impl, n, threads", RUNS)
@pytest.mark.parametrize("name", MODELS)
def test_ranks_make_the_same_model_and_see_the_same_metrics(mpirun, dataset, alone, tmp_path, name, impl, n, threads):
    out = mpirun.ok(impl, n, *train(dataset, tmp_path, name, "--threads", threads))
    assert (tmp_path / "model.safetensors").read_bytes() == (alone(name) / "model.safetensors").read_bytes()
    assert val(tmp_path) == val(alone(name)) != {}
    assert out.count("model.safetensors") == 1


def test_ranks_share_the_rows(mpirun, impl, dataset, tmp_path):
    """What each tells the others is its part of the vectors, so the work was in parts."""
    mpirun.ok(impl, 3, *train(dataset, tmp_path, "ials"))
    sent = [rank["bytes_sent"] for rank in json.loads((tmp_path / "run.json").read_text())["ranks"]]
    assert len(sent) == 3 and min(sent) > 3 * 24 * 4 * 30


def test_a_signal_to_one_rank_ends_all(mpirun, impl, dataset, tmp_path):
    job = mpirun.popen(impl, 3, *train(dataset, tmp_path, "ials", "--iterations", 10000))
    pid = mpirun.pids(job, 3)[1]
    os.kill(pid, signal.SIGTERM)
    _, err = job.communicate(timeout=30)
    assert job.returncode and "timeout" not in err, err
    assert not (tmp_path / "model.safetensors").exists()
