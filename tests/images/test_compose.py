"""docker/compose.yaml, without an engine: its services are run in their order, with their commands, variables and mounts, of the images that are
built; MLflow's is played by the same MLflow of PyPI, started by the command that stands there."""

import json
import os
import re
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest

from conftest import ROOT, get, post, until_ready

MLFLOW = ROOT / ".deps/mlflow/bin"
READ = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


def resolved(text):
    """With the values that variables have when they aren't set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def compose():
    if not MLFLOW.is_dir():
        pytest.skip("no MLflow in .deps/mlflow")
    text = resolved((ROOT / "docker/compose.yaml").read_text())
    return json.loads(subprocess.run([MLFLOW / "python", "-c", READ], input=text, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def volumes(compose, tmp_path_factory):
    """Of each a folder, which belongs to whom an engine would give it: to the images' user."""
    folder = tmp_path_factory.mktemp("volumes")
    (folder / "hosts").write_text("127.0.0.1 localhost mlflow\n")
    for name in [*compose["volumes"], "cache"]:
        (folder / name).mkdir()
        os.chown(folder / name, 65532, 65532)
    return folder


def mounts(service, volumes):
    found = [(volumes / "hosts", "/etc/hosts", True)]
    for volume in service.get("volumes", []):
        name, target, *rest = volume.split(":")
        found.append((volumes / name, target, rest == ["ro"]))
    return found


@contextmanager
def mlflow_server(service, volumes):
    command = [part.replace("/mlflow/", f"{volumes}/mlflow/") for part in service["command"]]
    log = volumes / "mlflow.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    with open(log, "w") as output:
        process = subprocess.Popen([MLFLOW / "python", "-m", *command, "--workers", "1"], stdout=output, stderr=output, cwd=volumes,
                                   env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}, start_new_session=True)
    try:
        check = service["healthcheck"]["test"]
        assert check[:2] == ["CMD", "python"]
        for _ in range(180):
            assert process.poll() is None, log.read_text()
            if subprocess.run([MLFLOW / "python", *check[2:]], capture_output=True).returncode == 0:
                break
            time.sleep(1)
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def order(services):
    """Those that end by themselves, each after what it waits for."""
    done = []
    while len(done) < len(services) - 2:
        for name, service in services.items():
            if name not in (*done, "mlflow", "serve") and set(service.get("depends_on", ())) <= {"mlflow", *done}:
                done.append(name)
                break
        else:
            raise AssertionError(f"they wait for one another: {services.keys() - done}")
    return done


def test_up_shows_recommendations(compose, volumes, built, tmp_path):
    services = compose["services"]
    assert all(service.get("depends_on", {}).get("mlflow") == {"condition": "service_healthy"} for name, service in services.items()
               if name in ("preprocess", "train", "serve"))
    with mlflow_server(services["mlflow"], volumes):
        for name in order(services):
            service = services[name]
            built(service["image"].removeprefix("kindred-")).run(*service["command"], mounts=mounts(service, volumes), **service["environment"])
        serve = services["serve"]
        hosts = [*mounts(serve, volumes), (volumes / "cache", "/tmp", False)]
        command = [part.replace("/cache/", "/tmp/") for part in serve["command"]]
        with built(serve["image"].removeprefix("kindred-")).serving(*command, log=tmp_path / "log", mounts=hosts, **serve["environment"]):
            shown_and_watched(services, volumes, built)


def shown_and_watched(services, volumes, built):
    page = urllib.request.urlopen("http://127.0.0.1:8000/", timeout=5).read().decode()
    assert "<html" in page
    user = re.search(r'"user_id": ?"([^"]+)"', (volumes / "data/reviews.jsonl").open().readline())[1]
    assert post("/recommend", {"user_id": user})["recommendations"]
    before = get("/model")
    train = services["train"]
    built("training").run(*train["command"], "--seed", "2", "--epochs", "2", mounts=mounts(train, volumes), **train["environment"])
    for _ in range(60):
        if get("/model") != before and get("/model")["source"] != before["source"]:
            return
        time.sleep(0.5)
    raise AssertionError(f"the server still has {before}")
