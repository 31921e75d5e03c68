"""`kindred sweep`: every point once, whatever happens on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from mlflow_fake import Fake
from mpi import LAUNCHERS, SURROUNDINGS
from program import environment
from test_evaluate_page import Page

pytestmark = pytest.mark.usefixtures("once")

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


def test_the_test_rows_are_never_looked_at(kindred, dataset, tmp_path, config):
    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "data/test.parquet").write_bytes(b"none of a sweep's business")
    done = sweep(kindred, tmp_path / "data", config(), "--include-baselines")
    assert done.returncode == 0 and all(t["state"] == "done" for t in told(tmp_path)["trials"]), done.stderr


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
    path = config(CONFIG.replace("epochs: 4", "epochs: 500"))
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
    assert set(fake.runs[parent].files) == {"sweep.json", "sweep.html", "best.yaml"}
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


# ---- many points for few epochs, few for many ----


def by_epochs(result):
    """{epochs: {lr: value}}"""
    found = {}
    for t in result["trials"]:
        found.setdefault(int(t["options"]["epochs"]), {})[t["options"]["lr"]] = t["value"]
    return found


def test_halving_gives_the_better_ones_more_epochs(kindred, dataset, tmp_path, config):
    path = config("train:\n  epochs: 18\n  lr: {min: 0.001, max: 1, scale: log}\n")
    options = ("--strategy", "halving", "--max-trials", 9)
    assert sweep(kindred, dataset, path, *options).returncode == 0
    result = told(tmp_path)
    rungs = by_epochs(result)
    assert {epochs: len(values) for epochs, values in rungs.items()} == {2: 9, 6: 3, 18: 1}
    for few, many in ((2, 6), (6, 18)):
        going_on = sorted(rungs[few], key=rungs[few].get, reverse=True)[:len(rungs[many])]
        assert set(rungs[many]) == set(going_on)
    assert [t["rung"] for t in result["trials"]] == 9 * [0] + 3 * [1] + [2]
    best = max(result["trials"], key=lambda t: t["value"])
    assert result["best"] == best["config_id"]
    kindred.ok("train", "--data-dir", dataset, "--config", "outputs/sweep/best.yaml", cwd=tmp_path)
    assert len(json.loads((tmp_path / "outputs/run.json").read_text())["epochs"]) == int(best["options"]["epochs"])
    before = stamps(tmp_path)
    assert sweep(kindred, dataset, path, *options).returncode == 0
    assert stamps(tmp_path) == before and told(tmp_path)["best"] == best["config_id"]


def test_halving_trains_what_has_no_epochs_once(kindred, dataset, tmp_path, config):
    path = config("train:\n  model: [ials, popularity]\n  dim: [4, 8]\n")
    assert sweep(kindred, dataset, path, "--strategy", "halving", "--eta", 2, "--rungs", 4).returncode == 0
    assert len(stamps(tmp_path)) == 3 and len(told(tmp_path)["trials"]) == 3
    assert max(t["rung"] for t in told(tmp_path)["trials"]) == 3


def test_halving_shares_the_epochs_out_itself(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config("train:\n  epochs: [2, 4]\n"), "--strategy", "halving")
    assert done.returncode == 2 and "config.yaml:2: epochs has several values" in done.stderr


# ---- datasets ----

DATA = """preprocess:
  min-user: [5, 25]
  min-item: [1, 2]
train:
  epochs: 2
  lr: [0.05, 0.1]
"""


def sweep_input(kindred, reviews, path, *options):
    return kindred.run("sweep", "--input", reviews, "--config", path, "--quiet", *options, cwd=path.parent)


def test_each_point_of_preprocess_is_a_dataset(kindred, reviews, tmp_path, config):
    done = sweep_input(kindred, reviews, config(DATA), "--keep")
    assert done.returncode == 0, done.stderr
    made = {json.loads(path.read_text())["digest"]: path.parent for path in tmp_path.glob("outputs/sweep/data/*/stats.json")}
    trials = told(tmp_path)["trials"]
    assert len(list(tmp_path.glob("outputs/sweep/data/*"))) == 4 and len(made) == 2  # no item is that rare: same rows
    assert len(trials) == 4 and {t["digest"] for t in trials} == set(made)
    for trial in trials:
        run = json.loads((tmp_path / f"outputs/sweep/trials/{trial['config_id']}/run.json").read_text())
        assert run["digest"] == trial["digest"]
    best = max(trials, key=lambda t: t["value"])
    kindred.ok("preprocess", "--input", reviews, "--config", "outputs/sweep/best.yaml", "--output-dir", "again", cwd=tmp_path)
    kindred.ok("train", "--data-dir", "again", "--config", "outputs/sweep/best.yaml", cwd=tmp_path)
    assert (tmp_path / "outputs/model.safetensors").read_bytes() == (
        tmp_path / f"outputs/sweep/trials/{best['config_id']}/model.safetensors").read_bytes()


def test_datasets_go_at_the_end_and_their_trials_stay(kindred, reviews, tmp_path, config):
    path = config(DATA)
    assert sweep_input(kindred, reviews, path).returncode == 0
    assert not (tmp_path / "outputs/sweep/data").exists()
    before = stamps(tmp_path)
    assert len(before) == 4
    assert sweep_input(kindred, reviews, path).returncode == 0
    assert stamps(tmp_path) == before


def test_a_dataset_that_cannot_be_made_fails_its_trials_alone(kindred, reviews, tmp_path, config):
    done = sweep_input(kindred, reviews, config(DATA.replace("[5, 25]", "[5, 100000, 200000]").replace("[1, 2]", "1")))
    assert done.returncode == 0, done.stderr
    states = {t["preprocess"]["min_user"]: t["state"] for t in told(tmp_path)["trials"]}
    assert states == {"5": "done", "100000": "failed", "200000": "failed"} and len(told(tmp_path)["trials"]) == 6
    assert all("no dataset: " in t["error"] for t in told(tmp_path)["trials"] if t["state"] == "failed")


def test_datasets_go_where_nothing_comes_of_them_too(kindred, reviews, tmp_path, config):
    done = sweep_input(kindred, reviews, config(DATA.replace("[5, 25]", "100000")))
    assert done.returncode == 1 and "no trial has a 'ndcg_at_20'" in done.stderr
    assert not (tmp_path / "outputs/sweep/data").exists()


def test_a_sweep_over_datasets_goes_on_after_a_kill(kindred, reviews, tmp_path, config):
    path = config(DATA.replace("epochs: 2", "epochs: 800"))
    job = subprocess.Popen(kindred.command("sweep", "--input", reviews, "--config", path, "--quiet"), cwd=tmp_path,
                           env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not stamps(tmp_path):
        assert job.poll() is None
        time.sleep(0.01)
    job.kill()
    job.wait()
    before = stamps(tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/sweep/data/*/stats.json")}
    assert 1 <= len(before) < 4 and len(made) == 4
    assert sweep_input(kindred, reviews, path, "--keep").returncode == 0
    assert before.items() <= stamps(tmp_path).items() and len(stamps(tmp_path)) == 4
    assert {path: path.stat().st_mtime_ns for path in made} == made


@pytest.mark.parametrize("text, options, line", [
    ("preprocess:\n  min-usr: [1, 2]\ntrain:\n  lr: 1\n", (), "config.yaml:2: preprocess has no option 'min_usr' to try"),
    ("preprocess:\n  items: [a, b]\ntrain:\n  lr: 1\n", (), "preprocess has no option 'items' to try"),
    ("train:\n  lr: 1\n", ("--input", "-"), "--input -: a sweep reads it more than once"),
])
def test_what_cannot_be_an_input(kindred, reviews, tmp_path, config, text, options, line):
    done = sweep_input(kindred, reviews, config(text), *options)
    assert done.returncode == 2 and line in done.stderr, done.stderr


def test_keep_needs_an_input(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config(), "--keep")
    assert done.returncode == 2 and "--keep leaves datasets that are made of --input" in done.stderr


# ---- ranks, baselines, the page ----


@pytest.fixture
def launcher(impl, tmp_path):
    """Surroundings in which mpirun is that MPI's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mpirun").write_text(f'#!/bin/sh\nexec {LAUNCHERS[impl][0]} "$@"\n')
    (tmp_path / "bin/mpirun").chmod(0o755)
    return SURROUNDINGS | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def test_trials_of_several_ranks_are_worth_the_same(kindred, dataset, tmp_path, config, launcher):
    path = config(CONFIG + "  partitions: 4\n")  # data as small as these fit into one
    assert sweep(kindred, dataset, path, "--output-dir", "alone").returncode == 0
    done = sweep(kindred, dataset, path, "--ranks", 2, "--jobs", 2, **launcher)
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "alone/sweep.json").read_text())["trials"]
    assert [(t["config_id"], t["value"]) for t in told(tmp_path)["trials"]] == [(t["config_id"], t["value"]) for t in alone]
    for trial in told(tmp_path)["trials"]:
        run = json.loads((tmp_path / f"outputs/sweep/trials/{trial['config_id']}/run.json").read_text())
        assert len(run["ranks"]) == 2
        assert trial["peak_bytes"] > 1.2 * next(t["peak_bytes"] for t in alone if t["config_id"] == trial["config_id"])


def test_ranks_end_with_their_sweep(kindred, dataset, tmp_path, config, launcher):
    command = kindred.command("sweep", "--data-dir", dataset, "--config", config(CONFIG.replace("epochs: 4", "epochs: 100000\n  partitions: 4")),
                              "--quiet", "--ranks", 2, "--jobs", 1)
    job = subprocess.Popen(command, cwd=tmp_path, env=environment() | launcher, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(trials_of(tmp_path)) < 4:  # the sweep, the launcher, two ranks
        assert job.poll() is None
        time.sleep(0.01)
    job.kill()
    job.wait()
    end = time.monotonic() + 20
    while trials_of(tmp_path):
        assert time.monotonic() < end, trials_of(tmp_path)
        time.sleep(0.05)


def test_without_a_launcher_it_is_said(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config(), "--ranks", 2, PATH=str(tmp_path))
    assert done.returncode == 1 and "cannot start mpirun" in done.stderr, done.stderr


def test_baselines_stand_beside_and_are_not_the_best(kindred, dataset, tmp_path, config):
    done = sweep(kindred, dataset, config("train:\n  epochs: 1\n  lr: [0.0001, 0.0002]\n"), "--include-baselines")
    assert done.returncode == 0, done.stderr
    trials = told(tmp_path)["trials"]
    baselines = {t["options"]["model"]: t["value"] for t in trials if t.get("baseline")}
    assert {"popularity", "random", "itemknn", "ials", "gf", "ease", "svd", "gram"} == set(baselines)
    (best,) = [t for t in trials if t["config_id"] == told(tmp_path)["best"]]
    assert not best.get("baseline") and max(baselines.values()) > best["value"]
    assert "sweep.baseline model=" in done.stderr and "baseline popularity" in done.stdout


def test_the_page_shows_every_trial_and_what_can_be_had_in_which_time(kindred, dataset, tmp_path, config):
    path = config("train:\n  epochs: 30\n  init: 100\n  lr: [0.1, 10]\n  loss: [bpr, softmax]\n  embedding-dim: [4, 8]\n")
    assert sweep(kindred, dataset, path, "--include-baselines").returncode == 0
    page = Page(tmp_path / "outputs/sweep/sweep.html")
    assert not any(word in page.source for word in ("http:", "https:", "<script", "@import", "<link", "<img"))
    trials = told(tmp_path)["trials"]
    done = [t for t in trials if t["state"] == "done"]
    assert len(done) < len(trials)
    assert page.source.count('class="way ') == page.source.count('class="dot ') == len(done)
    assert page.source.count('class="way best"') == 1 and page.source.count("baseline\" style") == 8
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>([\d.]+|failed)</td>', page.source)
    assert sorted(rows) == sorted((t["config_id"], f"{t['value']:.4f}" if t["state"] == "done" else "failed") for t in trials)
    for name in ("lr", "loss", "embedding_dim", "epochs s", "ndcg_at_20"):
        assert re.search(rf'class="name[^>]*>{name}<', page.source)
    front = [t for t in done if not any(o["epochs_s"] < t["epochs_s"] and o["value"] >= t["value"] for o in done)]
    (way,) = re.findall(r'class="line front" d="([^"]*)"', page.source)
    assert way.count("V") + way.count("M") <= len(front)
