"""serve --canary: a second model for some of the users, who are told apart by their ids alone."""

import hashlib
import json
import re
import shutil
import signal
import sqlite3
import time

import pytest

import helpers
from program import serving


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


@pytest.fixture(scope="module")
def models(kindred, dataset, tmp_path_factory):
    """(mf, popularity): two models of one dataset."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("mf", "popularity"):
        kindred.ok("train", "--data-dir", dataset, "--model", name, "--output-dir", folder / name)
    return [folder / name / "model.safetensors" for name in ("mf", "popularity")]


@pytest.fixture
def started(kindred, dataset, models, tmp_path):
    def start(*options, main=models[0], canary=models[1]):
        return serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", main, "--canary", canary, *options)

    return start


def is_canary(user, percent):
    return int(hashlib.sha256(user.encode()).hexdigest()[:8], 16) / 2**32 < percent / 100


def get(server, path):
    reply = server.request("GET", path)
    assert reply.status == 200
    return reply.json


def metric(server, line):
    return float(re.search(rf"^{re.escape(line)} (\S+)$", server.request("GET", "/metrics").body.decode(), re.M)[1])


def answers(server, users):
    with server.connect() as connection:
        return [connection.request("POST", "/recommend", json={"user_id": user}).json for user in users]


@pytest.mark.parametrize("percent", [30, 5, 0, 100, 12.5])
def test_users_are_split_by_their_ids(started, data, percent):
    with started("--canary-percent", percent) as server:
        found = answers(server, data.users)
    for user, answer in zip(data.users, found):
        role = "canary" if is_canary(user, percent) else "main"
        if "detail" not in answer:
            assert (answer["served_by"], answer["model"]) == (role, "popularity" if role == "canary" else "mf")
    if percent == 30:
        assert 0.2 < sum(answer.get("served_by") == "canary" for answer in found) / len(found) < 0.4


def test_lists_are_those_of_each_model_alone(kindred, started, dataset, models, data, tmp_path):
    users, alone = data.users[:60], []
    for model in models:
        with serving(kindred, tmp_path / "alone", "--data-dir", dataset, "--model-path", model) as server:
            alone.append(answers(server, users))
            assert "served_by" not in json.dumps(alone) and "canary" not in get(server, "/model")
    with started("--canary-percent", 50) as server:
        both = answers(server, users)
        batch = server.request("POST", "/recommend/batch", json={"user_ids": users}).json["results"]
        assert get(server, "/model")["canary"]["percent"] == 50
        for user, answer, of_batch, *either in zip(users, both, batch, *alone):
            role = is_canary(user, 50)
            assert of_batch["user_id"] == user and of_batch["served_by"] == ("canary" if role else "main")
            assert of_batch["recommendations"] == either[role].get("recommendations", [])
            assert {key: value for key, value in answer.items() if key != "served_by"} == either[role]
        for role in ("main", "canary"):
            asked = 2 * sum(is_canary(user, 50) == (role == "canary") for user in users)
            assert metric(server, f'kindred_lists_total{{served_by="{role}"}}') == asked
            assert metric(server, f'kindred_fallbacks_total{{served_by="{role}"}}') == 0


def test_the_two_change_apart(started, models, tmp_path):
    main, canary = tmp_path / "main", tmp_path / "canary"
    shutil.copy(models[0], main)
    shutil.copy(models[1], canary)

    def await_(server, what, n):
        end = time.monotonic() + 60
        while (told := get(server, "/model"))[what] < n:
            assert time.monotonic() < end, told
            time.sleep(0.01)
        return told

    with started("--watch", 0.05, main=main, canary=canary) as server:
        before = get(server, "/model")
        assert (before["model"], before["canary"]["model"], before["canary"]["source"]) == ("mf", "popularity", str(canary))
        shutil.copy(models[0], f"{canary}.new")
        (tmp_path / "canary.new").rename(canary)
        after = await_(server, "reloads", 1)
        assert (after["model"], after["canary"]["model"]) == ("mf", "mf") and after["age_seconds"] > after["canary"]["age_seconds"]
        (tmp_path / "cut").write_bytes(canary.read_bytes()[:-1])
        (tmp_path / "cut").rename(canary)
        told = await_(server, "failed_reloads", 1)
        assert str(canary) in told["canary"]["last_error"] and told["last_error"] is None and told["canary"]["model"] == "mf"
        server.process.send_signal(signal.SIGHUP)  # both are looked at: one is well, the other still isn't
        told = await_(server, "reloads", 2)
        assert await_(server, "failed_reloads", 2)["last_error"] is None


def test_a_canary_of_the_registry(kindred, dataset, models, data, tmp_path):
    known = [data.users[min(helpers.seen_items(data, "train"))]]
    done = kindred.run("train", "--data-dir", dataset, "--model", "gf", "--register", "films", "--alias", "next", "--track", "mlflow", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", models[0], "--canary", "models:/films@next", "--canary-percent", 100,
                 "--watch", 0.1, cwd=tmp_path) as server:
        assert get(server, "/model")["canary"]["source"] == "models:/films/1"
        assert answers(server, known)[0]["model"] == "gf"
        with sqlite3.connect(tmp_path / "mlflow.db") as db:
            db.execute("DELETE FROM registered_model_aliases")
        assert answers(server, known)[0]["model"] == "gf"


def test_check_looks_at_both(kindred, dataset, other_dataset, models, tmp_path):
    said = kindred.ok("serve", "--check", "--data-dir", dataset, "--model-path", models[0], "--canary", models[1])
    assert [line.split(": ")[1].split()[0] for line in said.splitlines()] == ["mf", "popularity"]
    kindred.ok("train", "--data-dir", other_dataset, "--epochs", 1, "--output-dir", tmp_path)
    line = kindred.fails(1, "serve", "--check", "--data-dir", dataset, "--model-path", models[0], "--canary", tmp_path / "model.safetensors")
    assert str(tmp_path / "model.safetensors") in line
    assert "none.safetensors" in kindred.fails(1, "serve", "--data-dir", dataset, "--model-path", models[0], "--canary", "none.safetensors")
    assert "101" in kindred.fails(2, "serve", "--canary-percent", 101)
