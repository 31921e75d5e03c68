"""The ways to learn: each loss, optimiser and batch learns, and gives the same bytes on any number of threads."""

import json
import re

import pytest

import helpers

BATCH = ("--loss", "softmax", "--batch-size", 64, "--negatives", 48, "--optimizer", "adam", "--lr", 0.01)
COSINE = ("--similarity", "cosine", "--temperature", 0.1, "--reg", 0)
LOSSES = {"bpr": (), "bce": (), "softmax": ("--lr", 0.1)}
OPTIMIZERS = {"sgd": (), "adagrad": ("--lr", 0.05), "rowwise-adagrad": ("--lr", 0.05), "adam": ("--lr", 0.01)}


@pytest.fixture
def recall(train):
    """recall(*options): recall@20 on val after 40 epochs."""
    return lambda *options: last_epoch(train("learned", "--epochs", 40, *options))["recall_at_20"]


@pytest.fixture
def by_chance(train):
    return last_epoch(train("random", "--model", "random"))["recall_at_20"]


def last_epoch(folder):
    return json.loads((folder / "run.json").read_text())["epochs"][-1]


def model_bytes(folder):
    return (folder / "model.safetensors").read_bytes()


def words(kindred, option):
    return re.search(rf"--{option}\s+(\S+)", kindred.ok("help", "train"))[1].split("|")


def test_these_are_all_losses_and_optimizers(kindred):
    assert words(kindred, "loss") == list(LOSSES)
    assert words(kindred, "optimizer") == list(OPTIMIZERS)


@pytest.mark.parametrize("batch", [(), ("--negatives", 8), ("--negatives", 32, "--batch-size", 16)], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_learns(recall, by_chance, loss, batch):
    lr = ("--lr", 0.02) if loss == "bce" and batch else ()
    assert recall("--loss", loss, *LOSSES[loss], *batch, *lr) > 1.4 * by_chance


@pytest.mark.parametrize("batch", [(), ("--negatives", 8, "--batch-size", 8)], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_learns(recall, by_chance, optimizer, batch):
    assert recall("--optimizer", optimizer, *OPTIMIZERS[optimizer], *batch) > 1.7 * by_chance


@pytest.mark.parametrize("options", [("--item-bias",), ("--popularity-power", 0.5), ("--lr-schedule", "cosine"),
                                     ("--lr-schedule", "constant", "--lr", 0.1), (*BATCH, *COSINE)], ids=str)
def test_each_option_learns(recall, by_chance, options):
    assert recall(*options) > 1.7 * by_chance


@pytest.mark.parametrize("options", [BATCH, (*BATCH, *COSINE, "--item-bias", "--popularity-power", 0.7),
                                     ("--optimizer", "adagrad", "--negatives", 3)], ids=str)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(train, options):
    few = "--epochs", 4, "--seed", 5, *options
    want = model_bytes(train("one", *few, "--threads", 1))
    for threads in 2, 4:
        assert model_bytes(train(f"threads{threads}", *few, "--threads", threads)) == want


@pytest.mark.parametrize("options", [("--loss", "bce"), ("--optimizer", "adam"), ("--negatives", 2),
                                     ("--batch-size", 2), ("--popularity-power", 1), ("--similarity", "cosine"),
                                     ("--item-bias",), ("--lr-end", 0.5), ("--lr-schedule", "cosine")])
def test_another_option_gives_another_model(train, options):
    one, other = (helpers.read_model(folder / "model.safetensors")[1]["item_embedding.weight"]
                  for folder in (train("one", "--epochs", 4), train("other", "--epochs", 4, *options)))
    assert (one != other).any()


def test_the_bias_is_a_tensor_and_counts(train, kindred, dataset, tmp_path):
    folder = train("biased", "--item-bias", "--epochs", 3)
    _, tensors = helpers.read_model(folder / "model.safetensors")
    assert tensors["item_bias.weight"].shape == (helpers.read_stats(dataset)["num_items"],)
    assert (tensors["item_bias.weight"] != 0).any()
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", folder / "model.safetensors")


def test_what_the_optimizer_carries_is_in_checkpoints_alone(train, kindred, dataset):
    folder = train("adam", *BATCH, "--epochs", 2, "--checkpoint-every", 1)
    _, tensors = helpers.read_model(folder / "model.safetensors")
    assert sorted(tensors) == ["item_embedding.weight", "user_embedding.weight"]
    checkpoint = folder / "checkpoints" / "epoch-000002.safetensors"
    _, tensors = helpers.read_model(checkpoint)
    assert {name for name in tensors if name.startswith("optimizer.")} == {
        f"optimizer.{table}_embedding.weight.{state}"
        for table in ("user", "item") for state in ("mean", "squares", "ones")}
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", checkpoint)


@pytest.mark.parametrize("options", [("--hardest-of", 4, "--negatives", 2), ("--hardest-of", 4, "--batch-size", 8)])
def test_options_that_make_no_sense_together_are_refused(kindred, dataset, tmp_path, options):
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *options)
    assert options[0] in line and options[2] in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option, value", [("--loss", "hinge"), ("--optimizer", "lion"), ("--negatives", 0),
                                           ("--temperature", 0), ("--popularity-power", 2),
                                           ("--lr-schedule", "step"), ("--similarity", "l2")])
def test_options_of_no_sense_are_refused(kindred, dataset, tmp_path, option, value):
    assert option in kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", option, value)
