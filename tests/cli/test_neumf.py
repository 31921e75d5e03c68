"""--model neumf: it learns, the same on any number of threads, and begins where two other models ended."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import helpers

NEUMF = ("--model", "neumf", "--embedding-dim", 8, "--hidden", "16,16,8")
SHORT = (*NEUMF, "--epochs", 3)


@pytest.fixture
def train(kindred, dataset, tmp_path):
    """train(name, *options): the output folder of a run that succeeds."""

    def run(name, *options, data=dataset):
        kindred.ok("train", "--data-dir", data, "--output-dir", tmp_path / name, *options)
        return tmp_path / name

    return run


def model_bytes(folder):
    return (folder / "model.safetensors").read_bytes()


def tensors_of(folder):
    return helpers.read_model(folder / "model.safetensors")[1]


# The model


def test_the_tensors_follow_from_the_options(train, dataset):
    tensors = tensors_of(train("out", *SHORT))
    stats = helpers.read_stats(dataset)
    users, items = stats["num_users"], stats["num_items"]
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "gmf.user_embedding.weight": (users, 8), "gmf.item_embedding.weight": (items, 8),
        "mlp.user_embedding.weight": (users, 8), "mlp.item_embedding.weight": (items, 8),
        "mlp.layer_1.weight": (16, 16), "mlp.layer_1.bias": (16,), "mlp.layer_2.weight": (16, 8),
        "mlp.layer_2.bias": (8,), "output.weight": (16,), "output.bias": (1,)}


def test_recommendations_follow_the_formula(train, kindred, dataset, tmp_path):
    folder = train("out", *SHORT)
    kindred.ok("recommend", "--data-dir", dataset, "--model-path", folder / "model.safetensors", "--top-k", 5,
               "--output", tmp_path / "all.jsonl")
    t = tensors_of(folder)
    data = helpers.read_dataset(dataset)
    users, items = ({name: i for i, name in enumerate(ids)} for ids in (data.users, data.items))
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert lines
    for line in lines:
        u, i = users[line["user_id"]], items[line["item_id"]]
        z = np.concatenate([t["mlp.user_embedding.weight"][u], t["mlp.item_embedding.weight"][i]])
        for layer in "12":
            z = np.maximum(z @ t[f"mlp.layer_{layer}.weight"] + t[f"mlp.layer_{layer}.bias"], 0)
        gmf = t["gmf.user_embedding.weight"][u] * t["gmf.item_embedding.weight"][i]
        want = np.concatenate([gmf, z]) @ t["output.weight"] + t["output.bias"][0]
        assert line["score"] == pytest.approx(want, rel=1e-4, abs=1e-5)


# Learning


@pytest.fixture(scope="module")
def held_out_at_random(kindred, preprocessed, tmp_path_factory):
    """A dataset in which much is to be found."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    kindred.ok("generate", "--output", path, "--users", 600, "--items", 300, "--reviews", 20000, "--seed", 7)
    return preprocessed(path, "--split", "random")


@pytest.mark.parametrize("towers, loss", [("gmf", "bce"), ("mlp", "bce"), ("both", "bce"), ("both", "softmax")])
def test_it_finds_what_was_held_out_far_better_than_popularity(once, train, kindred, held_out_at_random, tmp_path,
                                                               towers, loss):
    folder = train("out", *NEUMF, "--towers", towers, "--loss", loss, "--epochs", 60, "--lr", 0.01,
                   "--batch-size", 256, data=held_out_at_random)
    kindred.ok("baselines", "--data-dir", held_out_at_random, "--model-path", folder / "model.safetensors",
               "--json", tmp_path / "all.json")
    recall = {result["model"]: result["recall_at_20"]
              for result in json.loads((tmp_path / "all.json").read_text())["results"]}
    assert recall["neumf"] > 1.4 * recall["popularity"] > 1.4 * 2 * recall["random"]


@pytest.mark.parametrize("options", [(), ("--towers", "mlp", "--loss", "softmax", "--negatives", 9),
                                     ("--towers", "gmf", "--optimizer", "adagrad", "--popularity-power", 0.5)])
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(train, options):
    one, two, four = (model_bytes(train(f"on-{n}", *SHORT, *options, "--partitions", 3, "--threads", n))
                      for n in (1, 2, 4))
    assert one == two == four


@pytest.mark.parametrize("option", [("--batch-size", 64), ("--negatives", 2), ("--loss", "bpr"), ("--reg", 0.2),
                                    ("--optimizer", "sgd"), ("--lr-schedule", "constant")])
def test_another_option_gives_another_model(train, option):
    one, other = (tensors_of(train(name, *SHORT, *more)) for name, more in (("one", ()), ("other", option)))
    assert not np.array_equal(one["mlp.layer_1.weight"], other["mlp.layer_1.weight"])
    assert not np.array_equal(one["gmf.item_embedding.weight"], other["gmf.item_embedding.weight"])


@pytest.mark.parametrize("optimizer", ["adam", "rowwise-adagrad"])
def test_it_goes_on_from_a_checkpoint_to_the_same_bytes(train, optimizer):
    every = (*NEUMF, "--epochs", 7, "--checkpoint-every", 3, "--optimizer", optimizer)
    folder = train("out", *every)
    want = model_bytes(folder)
    (folder / "model.safetensors").unlink()
    assert model_bytes(train("out", *every, "--resume")) == want


# Warm start


@pytest.fixture
def towers(train):
    """The options that name a model of each tower, trained."""
    return {tower: train(tower, *SHORT, "--towers", tower) / "model.safetensors" for tower in ("gmf", "mlp")}


def warm(towers):
    return "--init-gmf", towers["gmf"], "--init-mlp", towers["mlp"]


def test_it_begins_with_both_towers_and_half_of_their_output(train, towers):
    got = tensors_of(train("out", *NEUMF, *warm(towers), "--epochs", 1, "--lr", 0))
    gmf, mlp = (helpers.read_model(towers[name])[1] for name in ("gmf", "mlp"))
    for given in (gmf, mlp):
        for name in given.keys() - {"output.weight", "output.bias"}:
            np.testing.assert_array_equal(got[name], given[name])
    np.testing.assert_array_equal(got["output.weight"],
                                  np.concatenate([gmf["output.weight"], mlp["output.weight"]]) / 2)
    np.testing.assert_allclose(got["output.bias"], (gmf["output.bias"] + mlp["output.bias"]) / 2, rtol=1e-6)


def test_what_began_with_them_needs_them_no_more(train, towers, kindred, dataset):
    options = (*NEUMF, *warm(towers), "--epochs", 4, "--checkpoint-every", 2)
    folder = train("out", *options)
    want = model_bytes(folder)
    for path in towers.values():
        path.unlink()
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    assert model_bytes(train("out", *options, "--resume")) == want


@pytest.mark.parametrize("options, words", [
    (("--embedding-dim", 9), ("--init-gmf", "--embedding-dim 8")),
    (("--hidden", "16,8"), ("--init-mlp", "--hidden 16,16,8")),
    (("--towers", "mlp"), ("--init-gmf", "--towers both")),
])
def test_other_shapes_are_refused(kindred, dataset, tmp_path, towers, options, words):
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *SHORT,
                         *warm(towers), *options)
    assert all(word in line for word in words)
    assert not (tmp_path / "out").exists()


def test_other_models_and_datasets_are_refused(kindred, train, dataset, other_dataset, tmp_path, towers, model):
    def refused(data, gmf, mlp):
        line = kindred.fails(2, "train", "--data-dir", data, "--output-dir", tmp_path / "out", *SHORT,
                             "--init-gmf", gmf, "--init-mlp", mlp)
        assert not (tmp_path / "out").exists()
        return line

    assert "another dataset" in refused(other_dataset, *towers.values())
    assert "--model mf" in refused(dataset, model, towers["mlp"])
    assert "--towers mlp" in refused(dataset, towers["mlp"], towers["mlp"])


def test_one_tower_alone_and_files_that_are_not_there_are_refused(kindred, dataset, tmp_path, towers):
    out = ("train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *SHORT)
    assert "--init-mlp" in kindred.fails(2, *out, "--init-gmf", towers["gmf"])
    assert "nonesuch" in kindred.fails(1, *out, "--init-gmf", "nonesuch", "--init-mlp", towers["mlp"])


def test_a_file_with_layers_of_no_sense_is_refused(train, kindred, dataset, tmp_path):
    metadata, tensors = helpers.read_model(train("out", *SHORT) / "model.safetensors")
    metadata["options"] = json.dumps(json.loads(metadata["options"]) | {"hidden": "16"})
    save_file(tensors, tmp_path / "other.safetensors", metadata)
    line = kindred.fails(1, "evaluate", "--data-dir", dataset, "--model-path", tmp_path / "other.safetensors")
    assert "other.safetensors" in line and "--hidden" in line


@pytest.mark.parametrize("hidden", ["64", "63,8", "64,x", "64,0", "0,8", "4,4,4,4,4,4,4,4,4,4"])
def test_layers_of_no_sense_are_refused(kindred, dataset, tmp_path, hidden):
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *SHORT,
                         "--hidden", hidden)
    assert "--hidden" in line
    assert not (tmp_path / "out").exists()
