"""The real MLflow, in an environment of its own (scripts/deps --tests): what its client reads back of our runs."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

import helpers
from program import environment, serving

FOLDER = Path(__file__).parent.parent.parent / ".deps" / "mlflow" / "bin"
START_S = 180  # a first start makes the database, which takes minutes on a loaded machine


class Server:
    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [FOLDER / "python", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", 1,
                   "--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", self.folder / "files"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd=self.folder,
                                            env=surroundings(), start_new_session=True)
        end = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.2)

    def answers(self):
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200
        except OSError:
            return False

    def kill(self):
        """Its session, which we began, has its workers too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def surroundings():
    return environment() | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@pytest.fixture(scope="module", autouse=True)
def there(once):
    if not (FOLDER / "mlflow").exists():
        pytest.skip("no MLflow in .deps/mlflow: skipped what it reads")


@pytest.fixture(scope="module")
def server(there, tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("server"))
    made.start()
    yield made
    made.kill()


def tell(cwd, script, *args):
    """What a script says that asks MLflow's client."""
    command = [FOLDER / "python", Path(__file__).with_name(script), *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=surroundings(), timeout=START_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def read(uri, cwd):
    """{name: run} as MLflow's client tells."""
    runs = tell(cwd, "mlflow_read.py", uri)
    assert len({run["name"] for run in runs}) == len(runs)
    return {run["name"]: run for run in runs}


def command(kindred, dataset, *options):
    return kindred.command("train", "--data-dir", dataset, "--track", "mlflow", *options)


def train(kindred, dataset, folder, name, uri, *options):
    """However long the server takes: it shares the machine with other tests."""
    line = command(kindred, dataset, "--run-name", name, "--track-wait", 90, "--quiet", *options)
    done = subprocess.run(line, cwd=folder, text=True, capture_output=True,
                          env=environment() | ({"MLFLOW_TRACKING_URI": uri} if uri else {}), timeout=100)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def check(run, folder, dataset, epochs):
    told = json.loads((folder / "outputs/run.json").read_text())
    digest = json.loads((dataset / "stats.json").read_text())["digest"]
    assert (run["experiment"], run["status"]) == ("training", "FINISHED")
    assert run["times"][1] >= run["times"][0]
    assert run["params"]["epochs"] == str(epochs) and run["params"]["optimizer"] == told["options"]["optimizer"]
    assert run["metrics"]["loss"] == [[e["epoch"], e["loss"]] for e in told["epochs"]]
    assert run["metrics"]["system/cpu_utilization_percentage"]
    assert run["files"] == {name: (folder / "outputs" / name).stat().st_size for name in ("model.safetensors", "run.json")}
    assert run["inputs"] == [["processed", digest[:36], {"mlflow.data.context": "training"}]]
    assert run["tags"]["mlflow.source.name"] == "kindred train"


def test_a_server_has_all_of_a_run(kindred, server, dataset, tmp_path):
    train(kindred, dataset, tmp_path, "all of it", server.uri, "--epochs", 5, "--eval-every", 1)
    run = read(server.uri, tmp_path)["all of it"]
    check(run, tmp_path, dataset, 5)
    assert len(run["metrics"]["val/ndcg_at_20"]) == 5


def test_a_server_that_is_killed_and_comes_back_misses_nothing_and_has_nothing_twice(kindred, server, dataset, tmp_path):
    epochs = 3000
    job = subprocess.Popen(command(kindred, dataset, "--run-name", "interrupted", "--epochs", epochs, "--track-wait", 0.2),
                           cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                           env=environment() | {"MLFLOW_TRACKING_URI": server.uri}, stdout=subprocess.DEVNULL)
    runs = tmp_path / ".kindred/runs"
    while not list(runs.glob("*/sent.jsonl")) or '"at"' not in next(runs.glob("*/sent.jsonl")).read_text():
        assert job.poll() is None, "it ended before the server had anything of it"
        time.sleep(0.01)
    server.kill()
    assert job.wait(timeout=100) == 0
    assert "track.waiting" in job.stderr.read()
    server.start()
    done = kindred.run("track", "sync", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 runs sent, 0 left\n"), done.stderr
    check(read(server.uri, tmp_path)["interrupted"], tmp_path, dataset, epochs)


def test_the_database_of_ones_own_is_mlflows_before_and_after_its_upgrade(kindred, dataset, tmp_path):
    train(kindred, dataset, tmp_path, "before", None, "--epochs", 2)
    check(read("sqlite:///mlflow.db", tmp_path)["before"], tmp_path, dataset, 2)
    train(kindred, dataset, tmp_path, "after", None, "--epochs", 3)
    found = read("sqlite:///mlflow.db", tmp_path)
    check(found["after"], tmp_path, dataset, 3)
    assert set(found) == {"before", "after"}


@pytest.mark.parametrize("where", ["a server", "its own"])
def test_what_is_registered_is_mlflows_to_load_and_the_servers_to_serve(kindred, request, dataset, tmp_path, where):
    uri = request.getfixturevalue("server").uri if where == "a server" else None
    store = uri or f"sqlite:///{tmp_path}/mlflow.db"
    train(kindred, dataset, tmp_path, f"first, {where}", uri, "--register", "films", "--alias", "champion", "--epochs", 1)
    train(kindred, dataset, tmp_path, f"second, {where}", uri, "--register", "films", "--alias", "challenger", "--model", "gf")
    done = kindred.run("promote", "films", "--data-dir", dataset, "--if", "ndcg_at_20 > champion", "--tracking-uri", store, cwd=tmp_path)
    assert "champion of 'films' is version 2 now, and was 1" in done.stdout, done.stderr
    data = helpers.read_dataset(dataset)
    users = [data.users[user] for user in sorted(helpers.seen_items(data, "train"))[::40]] + ["nobody"]
    told = tell(tmp_path, "mlflow_models.py", store, "films", "champion", *users)
    assert told["versions"] == [1, 2] and told["aliases"] == {"champion": 2, "challenger": 2}
    assert told["tags"]["kindred.promoted"].startswith("ndcg_at_20 > champion: ")
    ((model, step),) = told["outputs"][told["run"]]
    epoch = json.loads((tmp_path / "outputs/run.json").read_text())["epochs"][-1]
    assert step == 1 and told["models"][model]["status"].endswith("READY") and told["models"][model]["run"] == told["run"]
    assert ["val/ndcg_at_20", epoch["ndcg_at_20"], 1, "processed"] in told["models"][model]["metrics"]
    with serving(kindred, tmp_path / "log", "--model-uri", "models:/films@champion", "--tracking-uri", store, cwd=tmp_path) as server:
        answers = [server.recommend(user_id=user, top_k=5).json for user in users]
        seen = server.recommend(user_id=users[0], exclude_seen=False).json
    assert [a["recommendations"] for a in told["predicted"]] == [a.get("recommendations", []) for a in answers]  # 404: nothing
    assert told["with seen"]["recommendations"] == seen["recommendations"] != answers[0]["recommendations"]
