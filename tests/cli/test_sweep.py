"""`kindred sweep`: every point once, whatever happens on the way."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from mlflow_fake import Fake
from program import environment

CONFIG = """train:
  epochs: 4
  lr: [0.05, 0.1, 0.2]
  embedding-dim: [8, 16]
"""


@pytest.fixture
def config(tmp_path):
    def write(text=CONFIG):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def sweep(kindred, dataset, path, *options, **variables):
    return kindred.run("sweep", "--data-dir", dataset, "--config", path, "--quiet", *options, cwd=path.parent, **variables)


def told(folder):
    return json.loads((folder / "outputs/sweep/sweep.json").read_text())


def stamps(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("outputs/sweep/trials/*/model.safetensors")}


def test_every_point_is_tried_and_the_best_is_named(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config())
    assert done.returncode == 0, done.stderr
    result = told(tmp_path)
    points = {(t["options"]["lr"], t["options"]["embedding_dim"]) for t in result["trials"]}
    assert points == {(lr, dim) for lr in ("0.05", "0.1", "0.2") for dim in ("8", "16")}
    for trial in result["trials"]:
        run = json.loads((tmp_path / f"outputs/sweep/trials/{trial['config_id']}/run.json").read_text())
        assert trial["value"] == run["epochs"][-1]["ndcg_at_20"]
        assert run["options"]["lr"] == float(trial["options"]["lr"])
    best = max(result["trials"], key=lambda t: t["value"])
    assert result["best"] == best["config_id"]
    lines = done.stdout.splitlines()
    assert lines[1].startswith(best["config_id"]) and lines[-1] == "outputs/sweep/best.yaml"
    assert len(lines) == 1 + 6 + 1
    kindred.ok("train", "--data-dir", dataset, "--config", "outputs/sweep/best.yaml", cwd=tmp_path)
    assert (tmp_path / "outputs/model.safetensors").read_bytes() == (
        tmp_path / f"outputs/sweep/trials/{best['config_id']}/model.safetensors").read_bytes()


def test_another_metric_and_json_on_stdout(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config(), "--metric", "recall_at_10", "--json", "-")
    result = json.loads(done.stdout)
    assert result == told(tmp_path) and result["metric"] == "recall_at_10"
    assert result["best"] == max(result["trials"], key=lambda t: t["value"])["config_id"]


def test_what_was_done_is_not_done_again(kindred, dataset, tmp_path, config):
    sweep(kindred, dataset, config(), "--max-trials", 4)
    before = stamps(tmp_path)
    assert len(before) == 4
    assert sweep(kindred, dataset, config()).returncode == 0
    after = stamps(tmp_path)
    assert len(after) == 6 and before.items() <= after.items()


@pytest.mark.parametrize("signum, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_sweep_that_is_stopped_takes_its_trials_along_and_goes_on(kindred, dataset, tmp_path, config, signum, code):
    path = config(CONFIG.replace("epochs: 4", "epochs: 1000"))
    command = kindred.command("sweep", "--data-dir", dataset, "--config", path, "--quiet", "--jobs", 2)
    job = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not stamps(tmp_path):
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signum)
    assert job.wait(timeout=30) == code
    time.sleep(0.2)
    assert not trials_of(tmp_path)
    before = stamps(tmp_path)
    assert 1 <= len(before) < 6
    assert sweep(kindred, dataset, path).returncode == 0
    assert len(stamps(tmp_path)) == 6 and before.items() <= stamps(tmp_path).items()


def trials_of(folder):
    """Processes that train below the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == str(folder):
                found.append(pid)
        except OSError:
            pass
    return found


def test_a_trial_that_fails_is_told_and_the_others_go_on(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config("train:\n  epochs: 30\n  init: [1, 100]\n  lr: [0.1, 10]\n"))
    assert done.returncode == 0
    failed = [t for t in told(tmp_path)["trials"] if t["state"] == "failed"]
    assert failed and all("lower --lr" in t["error"] for t in failed)
    assert done.stderr.count("sweep.failed") == len(failed) and "failed" in done.stdout
    assert any(t["state"] == "done" for t in told(tmp_path)["trials"])


def test_models_have_their_own_options(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config("train:\n  model: [mf, itemknn, popularity]\n  epochs: 2\n  lr: [0.05, 0.1]\n"))
    assert done.returncode == 0, done.stderr
    models = [t["options"]["model"] for t in told(tmp_path)["trials"]]
    assert sorted(models) == ["itemknn", "mf", "mf", "popularity"]
    assert all("lr" not in t["options"] for t in told(tmp_path)["trials"] if t["options"]["model"] != "mf")


def test_random_points_are_the_seeds_and_differ(kindred, dataset, tmp_path, config):
    chosen = []
    for seed in (1, 1, 2):
        folder = f"o{len(chosen)}"
        assert sweep(kindred, dataset, config(), "--strategy", "random", "--max-trials", 3, "--seed", seed,
                     "--output-dir", folder).returncode == 0
        chosen.append([t["config_id"] for t in json.loads((tmp_path / folder / "sweep.json").read_text())["trials"]])
        assert len(set(chosen[-1])) == 3
    assert chosen[0] == chosen[1] != chosen[2]


def test_another_dataset_is_another_sweep(kindred, dataset, tmp_path, config):
    sweep(kindred, dataset, config(), "--max-trials", 2)
    before = stamps(tmp_path)
    (tmp_path / "r.csv").write_text("".join(f"u{i % 19},i{i % 17},{1600000000000 + i},5\n" for i in range(2000)))
    kindred.ok("preprocess", "--input", "r.csv", "--columns", "user,item,time,rating", "--output-dir", "other", cwd=tmp_path)
    assert sweep(kindred, tmp_path / "other", config(), "--max-trials", 2).returncode == 0
    assert all(stamps(tmp_path)[name] > when for name, when in before.items())


@pytest.mark.parametrize("text, line", [
    ("evaluate:\n  k: 10\n", "no section 'train'"),
    ("train:\n  epochs: 2\n  lrr: [1, 2]\n", "config.yaml:3: no model of this sweep has an option 'lrr'"),
    ("train:\n  lr: []\n", "lr has no value"),
])
def test_a_config_that_is_none(kindred, dataset, tmp_path, config, text, line):
    done = sweep(kindred, dataset, config(text))
    assert done.returncode == 2 and line in done.stderr and done.stdout == ""


def test_without_a_config(kindred, dataset, tmp_path):
    assert "--config FILE is needed" in kindred.fails(2, "sweep", "--data-dir", dataset, cwd=tmp_path)


def test_mlflow_has_a_run_of_the_sweep_and_one_of_each_trial_below(kindred, dataset, tmp_path, config):
    with Fake() as fake:
        done = sweep(kindred, dataset, config(), KINDRED_TRACK="mlflow", MLFLOW_TRACKING_URI=fake.uri)
        assert done.returncode == 0, done.stderr
    assert list(fake.experiments) == ["sweep"] and len(fake.runs) == 7
    (parent,) = [run for run, it in fake.runs.items() if "mlflow.parentRunId" not in it.tags]
    children = [it for run, it in fake.runs.items() if run != parent]
    assert {it.tags["mlflow.parentRunId"] for it in children} == {parent}
    assert {it.tags["config_id"] for it in children} == {t["config_id"] for t in told(tmp_path)["trials"]}
    assert {it.status for it in fake.runs.values()} == {"FINISHED"}
    assert set(fake.runs[parent].files) == {"sweep.json", "best.yaml"}
    assert fake.runs[parent].tags["best_config_id"] == told(tmp_path)["best"]


def test_where_an_epoch_was_chosen_its_value_counts(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config("train:\n  epochs: 40\n  eval-every: 1\n  early-stop: 3\n  lr: [0.1, 0.4]\n"))
    assert done.returncode == 0, done.stderr
    for trial in told(tmp_path)["trials"]:
        run = json.loads((tmp_path / f"outputs/sweep/trials/{trial['config_id']}/run.json").read_text())
        assert trial["value"] == run["epochs"][run["best_epoch"] - 1]["ndcg_at_20"]
        assert run["best_epoch"] < len(run["epochs"])


def test_ranges_are_drawn_from(kindred, dataset, tmp_path, config):
    text = ("train:\n  epochs: 1\n  lr: {min: 0.001, max: 1, scale: log}\n  reg: {min: 0, max: 0.02}\n"
            "  embedding-dim: {min: 4, max: 9}\n  init: [0.5, 1]\n")
    options = ("--strategy", "random", "--max-trials", 24)
    assert sweep(kindred, dataset, config(text), *options).returncode == 0
    first = told(tmp_path)["trials"]
    assert len(first) == 24
    lr, reg, dim, init = ([float(t["options"][name]) for t in first] for name in ("lr", "reg", "embedding_dim", "init"))
    assert all(0.001 <= x <= 1 for x in lr) and sum(x < 0.03 for x in lr) > 5 and sum(x > 0.03 for x in lr) > 5
    assert all(0 <= x <= 0.02 for x in reg) and len(set(reg)) == 24
    assert set(dim) <= set(range(4, 10)) and len(set(dim)) > 3 and set(init) == {0.5, 1}
    before = stamps(tmp_path)
    assert sweep(kindred, dataset, config(text), *options).returncode == 0
    for trial in first:
        del trial["peak_bytes"]  # of those that ran now alone
    assert told(tmp_path)["trials"] == first and stamps(tmp_path) == before


@pytest.mark.parametrize("value, options, line", [
    ("{min: 1, max: 2}", (), "--strategy random draws from it"),
    ("{min: 2, max: 1}", ("--strategy", "random"), "config.yaml:2: a range is"),
    ("{min: 1}", ("--strategy", "random"), "a range is"),
    ("{min: 1, max: 2, step: 3}", ("--strategy", "random"), "a range is"),
    ("{min: 1, max: many}", ("--strategy", "random"), "a range is"),
    ("{min: 0, max: 1, scale: log}", ("--strategy", "random"), "above 0"),
    ("{min: 1, max: 2, scale: steep}", ("--strategy", "random"), "'steep'"),
    ("{min: [1], max: 2}", ("--strategy", "random"), "sections do not nest"),
])
def test_a_range_that_is_none(kindred, dataset, tmp_path, config, value, options, line):
    done = sweep(kindred, dataset, config(f"train:\n  lr: {value}\n"), *options)
    assert done.returncode == 2 and line in done.stderr, done.stderr


def test_train_takes_no_range(kindred, dataset, tmp_path, config):
    assert "config.yaml:2:7: sections do not nest" in kindred.fails(
        2, "train", "--data-dir", dataset, "--config", config("train:\n  lr: {min: 1, max: 2}\n"), cwd=tmp_path)


def most_at_a_time(said):
    return max(map(int, re.findall(r"running=(\d+)", said)), default=0)


def test_a_budget_of_memory_holds_trials_back(kindred, dataset, tmp_path, config):
    path = config(CONFIG.replace("epochs: 4", "epochs: 300"))
    done = kindred.run("sweep", "--data-dir", dataset, "--config", path, "--jobs", 4, "--memory-budget", "1MB", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sweep.waiting running=1" in done.stderr and most_at_a_time(done.stderr) == 1
    assert len(stamps(tmp_path)) == 6
    assert all(t["peak_bytes"] > 2**20 for t in told(tmp_path)["trials"])


def test_a_budget_that_is_none(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config(), "--memory-budget", "much")
    assert done.returncode == 2 and "--memory-budget 'much' is no size such as 4GB" in done.stderr
