"""Item-based models from outside: their tensors as others read them, beside numpy."""

import json

import numpy as np
import pytest

import helpers


@pytest.fixture(scope="module")
def taken(dataset):
    """(n_users, n_items) of 0 and 1, from the train rows."""
    data = helpers.read_dataset(dataset)
    out = np.zeros((len(data.users), len(data.items)))
    for user, item, *_ in data.parts["train"]:
        out[user, item] = 1
    return out


@pytest.fixture
def train(kindred, dataset, tmp_path):
    """train(model, *options): its file."""

    def run(model, *options):
        out = tmp_path / "-".join(str(o) for o in (model, *options))
        kindred.ok("train", "--data-dir", dataset, "--model", model, *options, "--output-dir", out)
        return out / "model.safetensors"

    return run


def dense(tensors, n_items):
    """(n_items, n_items): row i holds the weights of item i's neighbours."""
    index, weight = tensors["neighbor.index"], tensors["neighbor.weight"]
    assert index.dtype == np.int32 and weight.dtype == np.float32
    assert index.shape == weight.shape and len(index) == n_items
    out = np.zeros((n_items, n_items))
    for i, (ids, weights) in enumerate(zip(index, weight)):
        n = (ids >= 0).sum()
        assert (ids[n:] == -1).all() and (weights[n:] == 0).all()
        assert (np.diff(ids[:n]) > 0).all()
        out[i, ids[:n]] = weights[:n]
    return out


def powers(degrees, power):
    return np.where(degrees > 0, np.maximum(degrees, 1.0) ** power, 0)


def test_the_neighbors_of_itemknn_are_those_of_the_largest_cosine(train, taken):
    _, tensors = helpers.read_model(train("itemknn", "--neighbors", 6, "--shrink", 3))
    counts, degree = taken.T @ taken, taken.sum(axis=0)
    want = counts / (np.sqrt(np.outer(degree, degree)) + 3)
    np.fill_diagonal(want, 0)
    got = dense(tensors, taken.shape[1])
    assert np.allclose(got[got > 0], want[got > 0], rtol=1e-5)
    assert np.allclose(np.sort(got, axis=1)[:, -6:], np.sort(want, axis=1)[:, -6:], rtol=1e-5)


def test_gram_is_the_normalised_product(train, taken):
    n_items = taken.shape[1]
    _, tensors = helpers.read_model(train("gram", "--neighbors", n_items, "--user-power", 0.7, "--source-power", 0.2,
                                          "--item-power", 0.4, "--power", 0.9))
    users, items = taken.sum(axis=1), taken.sum(axis=0)
    product = taken.T @ (powers(users, -0.7)[:, None] * taken)
    want = (powers(items, -0.4)[:, None] * product * powers(items, -0.2)) ** 0.9
    np.fill_diagonal(want, 0)
    assert np.allclose(dense(tensors, n_items), want, rtol=1e-4)


@pytest.mark.parametrize("model", [["itemknn"], ["gram"], ["gf"], ["gf", "--sharpening", 0.4]], ids=str)
def test_the_file_is_the_same_on_any_number_of_threads(train, model):
    one, *others = (train(*model, "--threads", n).read_bytes() for n in (1, 2, 4))
    assert all(other == one for other in others)


@pytest.mark.parametrize("model", ["itemknn", "gram", "gf"])
def test_what_is_known_of_others_beats_popularity(kindred, dataset, tmp_path, model):
    kindred.ok("baselines", "--data-dir", dataset, "--models", f"{model},popularity", "--json", tmp_path / "r.json")
    recall = {entry["model"]: entry["recall_at_20"] for entry in json.loads((tmp_path / "r.json").read_text())["results"]}
    assert recall[model] > recall["popularity"] > 0
