"""What runs tell MLflow: to a server that does wrong (mlflow_fake.py), and into a database of its own. The real MLflow
reads both back in test_mlflow.py."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from mlflow_fake import DROP, Fake
from program import environment


@pytest.fixture
def fake():
    with Fake() as server:
        yield server


@pytest.fixture
def run(kindred, dataset, tmp_path):
    """run(uri, *options): a finished training in a folder of its own, that is tracked there; it succeeds."""

    def train(uri, *options, **variables):
        done = start(kindred, dataset, tmp_path, uri, *options, **variables)
        out, err = done.communicate(timeout=100)
        assert done.returncode == 0, out + err
        return err

    return train


def start(kindred, dataset, folder, uri, *options, **variables):
    command = kindred.command("train", "--data-dir", dataset, "--track", "mlflow", "--epochs", 3, *options)
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, env=environment() | ({"MLFLOW_TRACKING_URI": uri} if uri else {}) | variables)


def waiting(folder):
    return sorted((folder / ".kindred/runs").iterdir())


def sync(kindred, folder):
    return kindred.run("track", "sync", cwd=folder)


def only(runs):
    (run,) = runs.values()
    return run


def test_a_server_is_told_of_options_epochs_files_and_the_end(fake, run, dataset, tmp_path):
    said = run(fake.uri, "--eval-every", 1, "--lr", 0.125, "--run-name", "first", "--tag", "team=blue")
    it = only(fake.runs)
    assert f"url={fake.uri}/#/experiments/1/runs/" in said
    assert fake.experiments == {"training": "1"} and it.created["run_name"] == "first"
    assert it.params["lr"] == "0.125" and it.params["epochs"] == "3" and it.params["model"] == "mf"
    assert not {"track", "tracking_uri", "log_level"} & set(it.params)
    told = json.loads((tmp_path / "outputs/run.json").read_text())["epochs"]
    assert it.history("loss") == [(e["epoch"], e["loss"]) for e in told]
    assert it.history("val/ndcg_at_20") == [(e["epoch"], e["ndcg_at_20"]) for e in told]
    assert it.tags["team"] == "blue" and it.tags["mlflow.source.name"] == "kindred train"
    digest = json.loads((dataset / "stats.json").read_text())["digest"]
    assert it.tags["kindred.dataset_digest"] == digest and it.inputs[0]["dataset"]["digest"] == digest[:36]
    assert it.inputs[0]["tags"] == [{"key": "mlflow.data.context", "value": "training"}]
    assert it.files["model.safetensors"] == (tmp_path / "outputs/model.safetensors").read_bytes()
    assert "run.json" in it.files
    assert {key for key in (m["key"] for m in it.metrics) if key.startswith("system/")} >= {
        "system/cpu_utilization_percentage", "system/system_memory_usage_megabytes", "system/disk_usage_percentage"}
    assert it.status == "FINISHED" and it.end_time >= it.created["start_time"]
    assert waiting(tmp_path) == []


def test_a_lost_answer_makes_no_second_run(fake, run, tmp_path):
    fake.spoil = lambda r: DROP if r.path == "runs/create" and r.count == 1 else None
    run(fake.uri)
    assert only(fake.runs).status == "FINISHED" and fake.count("runs/create") == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_tried_again(fake, run, tmp_path, status):
    fake.spoil = lambda r: status if r.path == "runs/log-batch" and r.count <= 2 else None
    run(fake.uri)
    it = only(fake.runs)
    assert it.status == "FINISHED" and len(it.history("loss")) == 3 and waiting(tmp_path) == []


def test_one_line_that_is_refused_takes_no_other_down(fake, run, tmp_path):
    def spoil(r):
        if r.path == "runs/log-batch" and any(m["key"] == "loss" and m["step"] == 2 for m in r.body["metrics"]):
            return 400
        return None

    fake.spoil = spoil
    said = run(fake.uri)
    assert [step for step, _ in only(fake.runs).history("loss")] == [1, 3]
    assert "track.refused" in said
    (left,) = waiting(tmp_path)
    assert [path.name for path in left.iterdir()] == ["refused.jsonl"]
    assert json.loads((left / "refused.jsonl").read_text())["what"] == "loss"


def test_without_a_server_the_run_waits_and_is_sent_once(kindred, fake, run, tmp_path):
    before = time.time() * 1000
    said = run("http://127.0.0.1:9", "--track-wait", 0.2)
    after = time.time() * 1000
    assert "track.waiting" in said and "kindred track sync" in said
    (left,) = waiting(tmp_path)
    path = left / "journal.jsonl"
    path.write_text(path.read_text().replace("http://127.0.0.1:9", fake.uri))
    assert sync(kindred, tmp_path).stdout == "1 runs sent, 0 left\n"
    it = only(fake.runs)
    assert before <= it.created["start_time"] <= it.end_time <= after
    assert all(before <= m["timestamp"] <= after for m in it.metrics) and len(it.history("loss")) == 3
    assert "model.safetensors" in it.files
    assert sync(kindred, tmp_path).stdout == "0 runs sent, 0 left\n" and len(fake.runs) == 1


def test_a_killed_run_is_sent_as_killed(kindred, fake, dataset, tmp_path):
    fake.spoil = lambda r: 503
    job = start(kindred, dataset, tmp_path, fake.uri, "--epochs", 1000000, "--quiet")
    while not (tmp_path / ".kindred/runs").is_dir() or not any('"metric":["loss"' in (run / "journal.jsonl").read_text()
                                                               for run in waiting(tmp_path)):
        time.sleep(0.02)
    assert sync(kindred, tmp_path).stdout == "0 runs sent, 1 left\n"  # it lives
    job.send_signal(signal.SIGKILL)
    job.communicate()
    fake.spoil = lambda r: None
    assert sync(kindred, tmp_path).stdout == "1 runs sent, 0 left\n"
    assert only(fake.runs).status == "KILLED" and only(fake.runs).history("loss")


@pytest.mark.parametrize("how, status", [("signal", "KILLED"), ("lr", "FAILED")])
def test_the_end_is_what_it_was(kindred, fake, dataset, tmp_path, how, status):
    options = ["--epochs", 1000000] if how == "signal" else ["--epochs", 50, "--lr", 10, "--init", 100]
    job = start(kindred, dataset, tmp_path, fake.uri, *options)
    while how == "signal" and not fake.runs:
        time.sleep(0.02)
    if how == "signal":
        job.send_signal(signal.SIGTERM)
    _, err = job.communicate(timeout=60)
    assert job.returncode == (143 if how == "signal" else 1), err
    assert only(fake.runs).status == status and only(fake.runs).tags["kindred.error"]


@pytest.mark.parametrize("options", [(), ("--track-wait", 0.5)])
def test_a_slow_server_holds_up_nothing_but_the_end_and_that_not_for_long(kindred, fake, dataset, tmp_path, options):
    fake.delay_s = 2
    begin = time.monotonic()
    job = start(kindred, dataset, tmp_path, fake.uri, *options)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 0 and "track.waiting" in err
    assert time.monotonic() - begin < 3 + 10 * kindred.is_sanitized()
    fake.delay_s = 0
    assert sync(kindred, tmp_path).stdout == "1 runs sent, 0 left\n"
    assert only(fake.runs).status == "FINISHED" and len(only(fake.runs).history("loss")) == 3


@pytest.mark.parametrize("variables, want", [
    ({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x:y", "MLFLOW_TRACKING_TOKEN": "t"},
     "Basic " + base64.b64encode(b"ann:x:y").decode()),
    ({"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"),
    ({}, None),
])
def test_who_we_are(fake, run, tmp_path, variables, want):
    run(fake.uri, HOME=str(tmp_path), **variables)
    assert {request.headers.get("Authorization") for request in fake.requests} == {want}


def test_credentials_of_a_file(fake, run, tmp_path):
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = secret\n")
    run(fake.uri, HOME=str(tmp_path))
    assert fake.requests[0].headers["Authorization"] == "Basic " + base64.b64encode(b"ann:secret").decode()


def test_a_run_goes_on_in_the_run_that_is_named(fake, run):
    run(fake.uri)
    run(fake.uri, MLFLOW_RUN_ID="0" * 32)
    assert len(fake.runs) == 1 and fake.count("runs/create") == 1
    assert len(only(fake.runs).history("loss")) >= 3


def test_an_experiment_by_option_and_by_variable(fake, run):
    run(fake.uri, MLFLOW_EXPERIMENT_NAME="mine & yours")
    run(fake.uri, "--experiment", "third", MLFLOW_EXPERIMENT_NAME="second")
    assert list(fake.experiments) == ["mine & yours", "third"]


def test_an_experiment_by_its_id(fake, run, tmp_path):
    run(fake.uri, MLFLOW_EXPERIMENT_ID="7")
    assert fake.experiments == {} and only(fake.runs).created["experiment_id"] == "7"
    said = run(None, MLFLOW_EXPERIMENT_ID="7")
    assert "no experiment of id '7'" in said and len(waiting(tmp_path)) == 1


@pytest.mark.parametrize("common", [True, False])
def test_ranks_other_than_0_are_seen(mpirun, impl, fake, dataset, tmp_path, common):
    done = mpirun(impl, 3, "train", "--data-dir", dataset, "--epochs", 3, "--partitions", 8, "--eval-every", 1, cwd=tmp_path,
                  KINDRED_TRACK="mlflow", MLFLOW_TRACKING_URI=fake.uri, KINDRED_SHARED_MEMORY=str(int(common)))
    assert done.returncode == 0, done.stderr
    it = only(fake.runs)
    assert it.tags["kindred.ranks"] == "3" and len(it.history("val/ndcg_at_20")) == 3
    assert it.history("system/rank_1/system_memory_usage_megabytes")
    assert it.history("system/rank_2/disk_available_megabytes") and not it.history("system/rank_3/disk_available_megabytes")


@pytest.mark.parametrize("how", [("--track", "off"), ()])
def test_nothing_is_told_when_nobody_wants_it(kindred, dataset, tmp_path, how):
    kindred.ok("train", "--data-dir", dataset, "--epochs", 1, *how, cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outputs"]


def test_a_store_that_nobody_knows_is_no_reason_to_fail(run, tmp_path):
    said = run("databricks")
    assert "track.refused" in said and "MLFLOW_TRACKING_URI" in said and len(waiting(tmp_path)) == 1


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(run, tmp_path):
    (tmp_path / ".kindred").write_text("a file")
    assert "track.off" in run(None)


@pytest.mark.parametrize("args, line", [
    (("sync", "--track-dir", "none"), None),
    ((), "say what to do"),
    (("send",), "no 'send'"),
])
def test_the_command(kindred, tmp_path, args, line):
    done = kindred.run("track", *args, cwd=tmp_path)
    assert done.returncode == (2 if line else 0) and (not line or line in done.stderr)
    assert line or done.stdout == "0 runs sent, 0 left\n"


def test_a_tag_without_a_value_is_refused(kindred, dataset, tmp_path):
    assert "--tag blue" in kindred.fails(2, "train", "--data-dir", dataset, "--tag", "blue", cwd=tmp_path)


# MLflow's database


def rows(folder, sql):
    with sqlite3.connect(folder / "mlflow.db") as db:
        return db.execute(sql).fetchall()


def test_by_default_a_database_is_there_for_mlflow_ui(run, tmp_path):
    said = run(None)
    ((run_id, status, artifacts),) = rows(tmp_path, "SELECT run_uuid, status, artifact_uri FROM runs")
    assert status == "FINISHED" and run_id in said
    assert artifacts == f"{tmp_path}/mlruns/1/{run_id}/artifacts"
    assert sorted(os.listdir(artifacts)) == ["model.safetensors", "run.json"]
    assert rows(tmp_path, "SELECT name FROM experiments ORDER BY experiment_id") == [("Default",), ("training",)]
    assert rows(tmp_path, "SELECT step FROM metrics WHERE key = 'loss' ORDER BY step") == [(1,), (2,), (3,)]
    assert rows(tmp_path, "SELECT step FROM latest_metrics WHERE key = 'loss'") == [(3,)]
    assert rows(tmp_path, "SELECT value FROM input_tags") == [("training",)]
    assert not list(tmp_path.rglob("meta.yaml"))


def test_runs_side_by_side_share_the_database(kindred, dataset, tmp_path):
    jobs = [start(kindred, dataset, tmp_path, None, "--output-dir", f"o{i}") for i in range(4)]
    for job in jobs:
        out, err = job.communicate(timeout=100)
        assert job.returncode == 0, out + err
    assert rows(tmp_path, "SELECT status, count(*) FROM runs GROUP BY status") == [("FINISHED", 4)]
    assert rows(tmp_path, "SELECT count(*) FROM metrics WHERE key = 'loss'") == [(12,)]


def test_a_later_version_of_the_database_is_written_as_it_is(run, tmp_path):
    run(None)
    with sqlite3.connect(tmp_path / "mlflow.db") as db:
        db.execute("ALTER TABLE runs ADD COLUMN news VARCHAR DEFAULT 'x' NOT NULL")
        db.execute("UPDATE alembic_version SET version_num = 'later'")
    run(None)
    assert rows(tmp_path, "SELECT count(*), min(news) FROM runs") == [(2, "x")]
    assert rows(tmp_path, "SELECT version_num FROM alembic_version") == [("later",)]


def test_the_other_commands_are_tracked_too(kindred, dataset, tmp_path, fake):
    def do(*args):
        done = kindred.run(*args, "--track", "mlflow", cwd=tmp_path, MLFLOW_TRACKING_URI=fake.uri)
        assert done.returncode == 0, done.stderr
        return done

    do("train", "--data-dir", dataset, "--epochs", 1)
    do("evaluate", "--data-dir", dataset, "--report", "page.html")
    do("baselines", "--data-dir", dataset, "--models", "popularity,random")
    (tmp_path / "r.csv").write_text("".join(f"u{i % 9},i{i % 7},{1600000000000 + i},5\n" for i in range(200)))
    do("preprocess", "--input", "r.csv", "--columns", "user,item,time,rating", "--output-dir", "d", "--min-user", 1, "--min-item", 1)
    assert list(fake.experiments) == ["training", "evaluation", "baselines", "preprocessing"]
    _, evaluated, compared, made = fake.runs.values()
    results = json.loads((tmp_path / "outputs/eval_results.json").read_text())
    assert evaluated.history("ndcg_at_20") == [(0, results["ndcg_at_20"])] and "page.html" in evaluated.files
    assert json.loads(evaluated.files["eval_results.json"]) == results
    assert compared.history("popularity/ndcg_at_20") and compared.history("random/fit_seconds")
    assert made.history("train_size") and made.tags["config_id"] and "stats.json" in made.files
    assert {run.status for run in fake.runs.values()} == {"FINISHED"}
