"""train that is interrupted, goes on, and ends where it would have ended; train that stops by itself."""

import json
import signal
import time

import pytest

import helpers

LONG = ("--epochs", 600, "--checkpoint-every", 60, "--seed", 3)


@pytest.fixture(scope="module")
def undisturbed(kindred, dataset, tmp_path_factory):
    """The model of a long run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    kindred.ok("train", "--data-dir", dataset, "--output-dir", folder, *LONG)
    return folder


def model_bytes(folder):
    return (folder / "model.safetensors").read_bytes()


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def stopped(kindred, dataset, folder, signum, *options, epochs=1):
    """The exit code of a long run that gets a signal once a checkpoint after so many epochs is there."""
    run = kindred.popen("train", "--data-dir", dataset, "--output-dir", folder, *LONG, *options, "--quiet")
    wanted = folder / "checkpoints"
    while run.poll() is None and not (wanted.is_dir() and any(epoch_of(name) >= epochs
                                                              for name in checkpoints(folder))):
        time.sleep(0.005)
    run.send_signal(signum)
    return run.wait(60)


def epoch_of(name):
    return int(name.split("-")[1].split(".")[0])


# Checkpoints


def test_the_last_two_checkpoints_are_kept_and_are_models(train, kindred, dataset):
    folder = train("out", "--epochs", 9, "--checkpoint-every", 2)
    assert checkpoints(folder) == ["epoch-000006.safetensors", "epoch-000008.safetensors"]
    for name in checkpoints(folder):
        metadata, tensors = helpers.read_model(folder / "checkpoints" / name)
        assert len(json.loads(metadata["training"])["epochs"]) == epoch_of(name)
        kindred.ok("evaluate", "--data-dir", dataset, "--model-path", folder / "checkpoints" / name)


def test_checkpoints_change_nothing(train):
    assert model_bytes(train("with", "--epochs", 7, "--checkpoint-every", 2)) == model_bytes(
        train("without", "--epochs", 7))


def test_a_run_that_starts_anew_clears_earlier_checkpoints(train):
    train("out", "--epochs", 9, "--checkpoint-every", 3)
    assert checkpoints(train("out", "--epochs", 4, "--checkpoint-every", 4)) == ["epoch-000004.safetensors"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("looks", [(), ("--eval-every", 1)], ids=["", "while it looks at val"])
def test_a_signal_leaves_a_checkpoint_of_the_epoch_at_hand(kindred, dataset, tmp_path, train, looks, signum):
    rarely = "--epochs", 700, "--checkpoint-every", 100_000, *looks
    folder = tmp_path / "out"
    run = kindred.popen("train", "--data-dir", dataset, "--output-dir", folder, *rarely, "--quiet")
    while run.poll() is None and not (folder / "checkpoints").is_dir():
        time.sleep(0.005)
    time.sleep(0.1)
    run.send_signal(signum)
    assert run.wait(60) == 128 + signum
    assert not (folder / "model.safetensors").exists()
    (name,) = checkpoints(folder)
    assert 0 < epoch_of(name) < 700
    kindred.ok("train", "--data-dir", dataset, "--output-dir", folder, *rarely, "--resume")
    assert model_bytes(folder) == model_bytes(train("undisturbed", *rarely))


@pytest.mark.parametrize("epochs", [60, 300])
def test_after_a_kill_it_ends_where_it_would_have_ended(kindred, dataset, tmp_path, undisturbed, epochs):
    code = stopped(kindred, dataset, tmp_path / "out", signal.SIGKILL, epochs=epochs)
    assert code in (0, -signal.SIGKILL)
    kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *LONG, "--resume", "--threads", 1)
    assert model_bytes(tmp_path / "out") == model_bytes(undisturbed)
    assert not [name for name in checkpoints(tmp_path / "out") if "tmp" in name]


def test_after_a_kill_the_optimizer_goes_on_too(kindred, dataset, tmp_path, train):
    options = "--optimizer", "adam", "--lr", 0.005, "--loss", "softmax", "--batch-size", 32, "--negatives", 16
    stopped(kindred, dataset, tmp_path / "out", signal.SIGKILL, *options, epochs=120)
    assert checkpoints(tmp_path / "out")
    kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *LONG, *options, "--resume",
               "--threads", 1)
    assert model_bytes(tmp_path / "out") == model_bytes(train("undisturbed", *LONG, *options))


def test_the_run_tells_of_all_epochs(kindred, dataset, tmp_path):
    stopped(kindred, dataset, tmp_path / "out", signal.SIGKILL, "--eval-every", 150, epochs=180)
    kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *LONG, "--eval-every", 150,
               "--resume")
    epochs = json.loads((tmp_path / "out" / "run.json").read_text())["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 601))
    assert [epoch["epoch"] for epoch in epochs if "ndcg_at_20" in epoch] == [150, 300, 450, 600]


def test_without_a_checkpoint_it_starts_at_the_beginning(train):
    assert model_bytes(train("resumed", "--epochs", 3, "--resume")) == model_bytes(train("plain", "--epochs", 3))


@pytest.mark.parametrize("damage", ["cut", "flipped", "nonsense", "no training"])
def test_a_damaged_checkpoint_is_passed_over(train, kindred, dataset, damage):
    folder = train("out", "--epochs", 6, "--checkpoint-every", 2)
    want = model_bytes(folder)
    newest = folder / "checkpoints" / "epoch-000006.safetensors"
    data = bytearray(newest.read_bytes())
    if damage == "flipped":
        data[20] ^= 255  # in the header
    newest.write_bytes({"cut": data[:-9], "flipped": data, "nonsense": b"hello", "no training": want}[damage])
    (folder / "model.safetensors").unlink()
    done = kindred.run("train", "--data-dir", dataset, "--output-dir", folder, "--epochs", 6,
                       "--checkpoint-every", 2, "--resume")
    assert done.returncode == 0 and "epoch-000006" in done.stderr
    assert model_bytes(folder) == want


@pytest.mark.parametrize("option", [("--epochs", 8), ("--seed", 9), ("--partitions", 2), ("--lr", 0.1),
                                    ("--early-stop", 2, "--eval-every", 1)])
def test_a_checkpoint_of_other_options_is_refused(train, kindred, dataset, option):
    folder = train("out", "--epochs", 6, "--checkpoint-every", 2)
    before = helpers.snapshot(folder)
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", folder, "--epochs", 6,
                         "--checkpoint-every", 2, "--resume", *option)
    assert "--resume" in line
    assert helpers.snapshot(folder) == before


def test_a_checkpoint_of_other_data_is_refused(train, kindred, other_dataset):
    folder = train("out", "--epochs", 4, "--checkpoint-every", 2)
    assert "dataset" in kindred.fails(2, "train", "--data-dir", other_dataset, "--output-dir", folder,
                                      "--epochs", 4, "--resume")


def test_a_checkpoint_that_cannot_be_written_is_an_error(kindred, dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoints").write_text("in the way")
    line = kindred.fails(1, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", "--epochs", 4,
                         "--checkpoint-every", 2)
    assert "checkpoint" in line


def test_a_full_disk_leaves_the_last_good_checkpoint(kindred, dataset, on_small_disk, tmp_path):
    disk = tmp_path / "disk"
    command = kindred.shell("train", "--data-dir", dataset, "--output-dir", disk / "out", "--epochs", 6,
                            "--checkpoint-every", 2, "--resume", "--quiet")
    newest = disk / "out" / "checkpoints" / "epoch-000006.safetensors"
    fill = f"{command} && rm {newest} && head -c 2000000 /dev/zero >{disk}/filler; ls {disk}/out/checkpoints"
    code, err = on_small_disk(fill, command)
    assert code == 1
    assert "space" in err.lower() and "epoch-000006" in err
    listed = (tmp_path / "disk.after").read_text()
    assert "epoch-000004" in listed and "epoch-000006" not in listed


# Early stop

STOPS = ("--epochs", 400, "--eval-every", 2, "--early-stop", 3, "--lr", 0.3)


def test_it_stops_when_val_gets_no_better_and_keeps_the_best_epoch(train, kindred, dataset, tmp_path):
    folder = train("out", *STOPS)
    run = json.loads((folder / "run.json").read_text())
    looks = {epoch["epoch"]: epoch["ndcg_at_20"] for epoch in run["epochs"] if "ndcg_at_20" in epoch}
    best = max(looks, key=looks.get)
    assert run["best_epoch"] == best
    assert len(run["epochs"]) == best + 3 * 2 < 400
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", folder / "model.safetensors", "--split", "val",
               "--json", tmp_path / "val.json")
    assert json.loads((tmp_path / "val.json").read_text())["ndcg_at_20"] == looks[best]


def test_a_resumed_run_stops_at_the_same_epoch_with_the_same_model(train, kindred, dataset, tmp_path):
    want = train("out", *STOPS)
    end = len(json.loads((want / "run.json").read_text())["epochs"])
    every = ("--checkpoint-every", max(2, end - 3))  # one checkpoint, shortly before the end
    folder = train("again", *STOPS, *every)
    (folder / "model.safetensors").unlink()
    kindred.ok("train", "--data-dir", dataset, "--output-dir", folder, *STOPS, *every, "--resume")
    assert model_bytes(folder) == model_bytes(want)


def test_early_stop_needs_looks(kindred, dataset, tmp_path):
    line = kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", "--early-stop", 3)
    assert "--eval-every" in line
