"""train: a model file that others can open, the same one each time."""

import json
import math
import shutil

import numpy as np
import pytest

import helpers

FEW = ("--epochs", 3, "--seed", 5)


@pytest.fixture
def train(kindred, dataset, tmp_path):
    """train(name, *options, data=dataset): a folder called outputs in a folder of that name."""

    def run(name, *options, data=dataset):
        (tmp_path / name).mkdir()
        kindred.ok("train", "--data-dir", data, *FEW, *options, cwd=tmp_path / name)
        return tmp_path / name / "outputs"

    return run


@pytest.fixture
def copied(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copied")


def model_bytes(folder):
    return (folder / "model.safetensors").read_bytes()


def read_run(folder):
    return json.loads((folder / "run.json").read_text())


# The model


def test_the_tensors_have_a_row_for_each_user_and_item(train, dataset):
    _, tensors = helpers.read_model(train("dim", "--embedding-dim", 24) / "model.safetensors")
    stats = helpers.read_stats(dataset)
    assert tensors["user_embedding.weight"].shape == (stats["num_users"], 24)
    assert tensors["item_embedding.weight"].shape == (stats["num_items"], 24)
    for tensor in tensors.values():
        assert tensor.dtype == np.float32
        assert np.isfinite(tensor).all()


def test_the_metadata_tells_where_the_model_comes_from(kindred, model, dataset):
    metadata, tensors = helpers.read_model(model)
    assert metadata["model"] == "mf"
    assert metadata["digest"] == helpers.read_stats(dataset)["digest"]
    assert metadata["version"] in kindred.ok("--version")
    assert json.loads(metadata["options"])["embedding_dim"] == tensors["user_embedding.weight"].shape[1] == 64


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("options", [(), ("--hardest-of", 8)])
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(train, options, threads):
    assert model_bytes(train("default", *options)) == model_bytes(train("threads", *options, "--threads", threads))


@pytest.mark.parametrize("option", [("--seed", 6), ("--epochs", 4), ("--lr", 0.001), ("--reg", 0.3),
                                    ("--future-negatives", 0.5), ("--reg-negative", 3), ("--hardest-of", 4)])
def test_another_option_gives_another_model(train, option):
    one, other = (helpers.read_model(folder / "model.safetensors")[1]["item_embedding.weight"]
                  for folder in (train("one"), train("other", *option)))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("change", ["deleted", "altered"])
def test_the_test_rows_are_never_read(train, copied, change):
    want = model_bytes(train("whole"))
    if change == "deleted":
        (copied / "test.parquet").unlink()
    else:
        (copied / "test.parquet").write_bytes(b"nothing that is read")
    assert model_bytes(train("without", data=copied)) == want


# run.json


def test_the_run_tells_of_options_data_and_each_epoch(train, dataset):
    run = read_run(train("run"))
    assert run["model"] == "mf"
    assert run["digest"] == helpers.read_stats(dataset)["digest"]
    assert (run["options"]["epochs"], run["options"]["seed"]) == (3, 5)
    assert [epoch["epoch"] for epoch in run["epochs"]] == [1, 2, 3]
    for epoch in run["epochs"]:
        assert math.isfinite(epoch["loss"]) and epoch["seconds"] >= 0
    assert any("recall" in name for name in run["epochs"][-1])


@pytest.mark.parametrize("options, epochs", [(("--embedding-dim", 2), 200), (("--model", "neumf"), 20),
                                             (("--model", "popularity"), 1)], ids=["mf", "neumf", "popularity"])
def test_a_model_takes_the_epochs_that_suit_it(kindred, dataset, tmp_path, options, epochs):
    kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path, *options)
    assert len(read_run(tmp_path)["epochs"]) == epochs


def test_the_loss_falls(train):
    losses = [epoch["loss"] for epoch in read_run(train("losses", "--epochs", 12))["epochs"]]
    assert losses[-1] < 0.95 * losses[0] <= 0.95 * math.log(2) * 1.1  # BPR begins near log 2


def test_results_for_machines_on_stdout_are_json_alone(kindred, dataset, tmp_path):
    out = kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path, *FEW, "--json", "-")
    assert json.loads(out)["model"] == "mf"


# What it refuses


@pytest.mark.parametrize("option, value", [("--epochs", -1), ("--embedding-dim", 0), ("--batch-size", 0),
                                           ("--model", "nonesuch"), ("--threads", -1)])
def test_options_of_no_sense_are_refused(kindred, dataset, tmp_path, option, value):
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", option, value)
    assert option in line
    assert not (tmp_path / "out").exists()


def test_a_data_dir_that_is_not_there_is_named(kindred, tmp_path):
    line = kindred.fails(1, "train", "--data-dir", tmp_path / "nonesuch", "--output-dir", tmp_path / "out")
    assert "nonesuch" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["train.parquet", "val.parquet", "stats.json"])
@pytest.mark.parametrize("change", ["deleted", "nonsense", "cut"])
def test_a_broken_dataset_is_named(kindred, copied, tmp_path, name, change):
    path = copied / name
    if change == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"nonsense" if change == "nonsense" else path.read_bytes()[:-20])
    line = kindred.fails(1, "train", "--data-dir", copied, "--output-dir", tmp_path / "out", *FEW)
    assert name in line
    assert not (tmp_path / "out").exists()


def test_a_run_that_fails_leaves_the_earlier_model(kindred, copied, train):
    outputs = train("earlier")
    before = helpers.snapshot(outputs)
    (copied / "train.parquet").write_bytes(b"nonsense")
    kindred.fails(1, "train", "--data-dir", copied, "--output-dir", outputs, *FEW)
    assert helpers.snapshot(outputs) == before
