"""serve: requests whose lists take long are answered together, each as if it were alone."""

import json
import re
import shutil
import threading
import time

import pytest

import helpers
from program import TIMEOUT_S, serving
from wire import request


@pytest.fixture(scope="module")
def large(kindred, tmp_path_factory):
    """A dataset of so many items that a list takes long."""
    folder = tmp_path_factory.mktemp("large")
    kindred.ok("generate", "--output", folder / "reviews.jsonl", "--users", 2000, "--items", 12000, "--reviews", 60000, "--seed", 3)
    kindred.ok("preprocess", "--input", folder / "reviews.jsonl", "--output-dir", folder / "data", "--min-user", 2, "--min-item", 1)
    assert len(helpers.read_dataset(folder / "data").items) > 9000
    return folder / "data"


@pytest.fixture(scope="module")
def models(kindred, large, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, options in (("itemknn", ()), ("popularity", ())):
        kindred.ok("train", "--data-dir", large, "--model", name, "--output-dir", folder / name, *options)
    return {name: folder / name / "model.safetensors" for name in ("itemknn", "popularity")}


@pytest.fixture(scope="module")
def lists(kindred, large, models, tmp_path_factory):
    """lists[model][user], as recommend has them."""
    found = {}
    for name, model in models.items():
        path = tmp_path_factory.mktemp("lists") / "lists.jsonl"
        kindred.ok("recommend", "--model-path", model, "--data-dir", large, "--top-k", 10, "--output", path)
        found[name] = {}
        for record in map(json.loads, path.read_text().splitlines()):
            found[name].setdefault(record["user_id"], []).append(record["item_id"])
    return found


def together(server):
    return int(re.search(r"^kindred_lists_together_total (\d+)", server.request("GET", "/metrics").body.decode(), re.M)[1])


def ask_all(server, users, right, failures):
    with server.connect() as connection:
        for at in range(0, len(users), 10):
            some = users[at:at + 10]
            connection.send(b"".join(request("POST", "/recommend", json={"user_id": user}) for user in some))
            for user in some:
                reply = connection.reply()
                if reply.status != 200 or reply.json["recommendations"] not in right(user):
                    failures.append((user, reply))


def in_parallel(server, users, right, n=12):
    failures = []
    threads = [threading.Thread(target=ask_all, args=(server, users[k::n], right, failures)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:2]


def test_lists_are_those_that_each_has_alone(kindred, large, models, lists, tmp_path):
    right, users = lists["itemknn"], list(lists["itemknn"])[:600]
    with serving(kindred, tmp_path / "log", "--data-dir", large, "--model-path", models["itemknn"], "--threads", 1) as server:
        in_parallel(server, users, lambda user: [right[user]])
        assert together(server) > 50
        before = together(server)
        assert server.recommend(user_id="nobody").status == 404
        assert server.recommend(user_id=users[0], top_k=0).status == 422
        popular = server.recommend(user_id="nobody", fallback="popular").json
        assert popular["fallback"] == "popular" and together(server) == before
        reply = server.recommend(user_id=users[0], top_k=3, with_items=True, exclude=right[users[0]][:1]).json
        assert reply["recommendations"] == right[users[0]][1:4] and [item["item_id"] for item in reply["items"]] == reply["recommendations"]


def test_models_change_and_clients_leave_meanwhile(kindred, large, models, lists, tmp_path):
    served, users = tmp_path / "model", list(lists["itemknn"])[:1500]
    shutil.copy(models["itemknn"], served)
    over = threading.Event()
    with serving(kindred, tmp_path / "log", "--data-dir", large, "--model-path", served, "--canary", models["popularity"], "--canary-percent", 30,
                 "--watch", 0.05, "--threads", 2, "--access-log", tmp_path / "access") as server:
        def change():
            n = 0
            while not over.wait(0.1):
                n += 1
                shutil.copy(models["popularity" if n % 2 else "itemknn"], tmp_path / "next")
                (tmp_path / "next").rename(served)

        def leave():
            while not over.wait(0.005):
                with server.connect() as connection:
                    connection.send(request("POST", "/recommend", json={"user_id": users[0]}) * 5)

        others = [threading.Thread(target=change), threading.Thread(target=leave)]
        for thread in others:
            thread.start()
        in_parallel(server, users, lambda user: [lists[name].get(user) for name in lists])
        over.set()
        for thread in others:
            thread.join()
        assert together(server) > 50
        told = server.request("GET", "/metrics").body.decode()
        answered = sum(int(n) for n in re.findall(r'route="/recommend",status="\d+"} (\d+)', told))
    statuses = [json.loads(line)["status"] for line in (tmp_path / "access").read_text().splitlines() if '"/recommend"' in line]
    assert set(statuses) == {200} and len(statuses) >= answered >= len(users)


def test_a_server_that_stops_answers_them_first(kindred, large, models, lists, tmp_path):
    user = next(iter(lists["itemknn"]))
    with serving(kindred, tmp_path / "log", "--data-dir", large, "--model-path", models["itemknn"], "--threads", 1) as server:
        server.recommend(user_id=user)
        connections = [server.connect() for _ in range(20)]
        for connection in connections:
            connection.send(request("POST", "/recommend", json={"user_id": user}))
        time.sleep(0.02)
        server.process.terminate()
        for connection in connections:
            assert connection.reply().json["recommendations"] == lists["itemknn"][user]
            connection.close()
        assert server.process.wait(TIMEOUT_S) == 0
