"""serve: what each route answers, by what the dataset and the model hold."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest

import helpers
from program import serving

@pytest.fixture(scope="module")
def described(kindred, reviews, tmp_path_factory):
    """A dataset whose items have titles, prices and categories."""
    folder = tmp_path_factory.mktemp("described")
    plain = helpers.read_dataset(plain_folder(kindred, reviews, folder / "plain"))
    with open(folder / "meta.jsonl", "w") as out:
        for i, item in enumerate(plain.items):
            if i % 4:
                print(json.dumps({"parent_asin": item, "title": f"Title {i} \"é\"", "price": i + 0.5, "store": None,
                                  "main_category": "even" if i % 2 == 0 else "odd", "categories": ["all", f"c{i % 7}"]}), file=out)
    return plain_folder(kindred, reviews, folder / "processed", "--items", folder / "meta.jsonl")


def plain_folder(kindred, reviews, folder, *options):
    kindred.ok("preprocess", "--input", reviews, "--output-dir", folder, *options)
    return folder


@pytest.fixture(scope="module")
def data(described):
    return helpers.read_dataset(described)


@pytest.fixture(scope="module")
def models(kindred, described, tmp_path_factory):
    """models(name, *options): a model's file, trained once."""
    made = {}

    def train(name, *options):
        key = (name, *options)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model")
            kindred.ok("train", "--data-dir", described, "--model", name, "--output-dir", made[key], *options)
        return made[key] / "model.safetensors"

    return train


@pytest.fixture(scope="module")
def server(kindred, described, models, tmp_path_factory):
    log = tmp_path_factory.mktemp("served") / "log"
    with serving(kindred, log, "--data-dir", described, "--model-path", models("mf", "--epochs", 20)) as running:
        yield running


@pytest.fixture(scope="module")
def known(data):
    return [data.users[user] for user in sorted(helpers.seen_items(data, "train"))]


def post(server, path, **body):
    reply = server.request("POST", path, json=body)
    assert reply.status == 200, reply.body
    return reply.json


def get(server, path):
    reply = server.request("GET", path)
    assert reply.status == 200, reply.body
    return reply.json


def meta_of(described):
    return dict(zip(helpers.read_dataset(described).items, helpers.read_items(described)))


def test_a_batch_is_what_single_requests_give(server, known):
    results = post(server, "/recommend/batch", user_ids=known[:50] + ["nobody"], top_k=7)["results"]
    assert results.pop() == {"user_id": "nobody", "known": False, "recommendations": [], "scores": []}
    for result in results:
        single = post(server, "/recommend", user_id=result["user_id"], top_k=7)
        assert result == {"user_id": single["user_id"], "known": True, "recommendations": single["recommendations"],
                          "scores": single["scores"]}


def test_lists_are_cut_by_exclusion_and_category(server, known, described):
    meta = meta_of(described)
    for user in known[::60]:
        every = post(server, "/recommend", user_id=user, top_k=1000)
        cut = every["recommendations"][:5]
        assert post(server, "/recommend", user_id=user, top_k=20, exclude=cut)["recommendations"] == every["recommendations"][5:25]
        for wanted in (["odd"], ["c1", "c3"], ["all"], ["nix", "even"]):
            want = [item for item in every["recommendations"]
                    if {meta[item].main_category, *(meta[item].categories or ())} & set(wanted)]
            got = post(server, "/recommend", user_id=user, top_k=1000, categories=wanted)["recommendations"]
            assert got == want


def test_items_come_with_what_is_known_of_them(server, known, described):
    meta = meta_of(described)
    answer = post(server, "/recommend", user_id=known[0], top_k=30, with_items=True)
    assert [item["item_id"] for item in answer["items"]] == answer["recommendations"]
    assert [item["score"] for item in answer["items"]] == answer["scores"]
    for shown in answer["items"]:
        want = meta[shown["item_id"]]
        assert (shown["title"], shown["price"], shown["categories"]) == (want.title, want.price, want.categories)
        alone = get(server, f"/items/{shown['item_id']}")
        assert alone == {name: value for name, value in shown.items() if name != "score"}
    assert {item["title"] is None for item in answer["items"]} == {True, False}


def test_similar_items_have_the_smallest_angles(server, data, models):
    _, tensors = helpers.read_model(models("mf", "--epochs", 20))
    rows = tensors["item_embedding.weight"].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for item in range(0, len(data.items), 17):
        answer = get(server, f"/items/{data.items[item]}/similar?top_k=9")
        listed = [data.items.index(one) for one in answer["similar"]]
        helpers.assert_is_top_k(listed, np.array(answer["scores"]), rows @ rows[item], 9, masked={item})


def test_a_session_is_a_user_of_whom_only_that_is_known(server, data, models):
    items = [data.items[i] for i in (3, 30, 60)]
    answer = post(server, "/recommend/session", items=items + ["nix"], top_k=20)
    scores = helpers.folded_in(models("mf", "--epochs", 20), [3, 30, 60])
    listed = [data.items.index(one) for one in answer["recommendations"]]
    helpers.assert_is_top_k(listed, np.array(answer["scores"]), scores, 20, masked={3, 30, 60})
    assert answer["known_items"] == 3
    same = post(server, "/recommend", user_id="new", fallback="history", history=items, top_k=20)
    assert same["recommendations"] == answer["recommendations"] and same["fallback"] == "history"


def test_users_are_shown_with_what_they_took_last(server, data):
    seen = helpers.seen_items(data, "train", "val")
    for user in sorted(seen)[::50]:
        answer = get(server, f"/users/{data.users[user]}")
        assert answer["seen"] == sum(row[0] == user for part in ("train", "val") for row in data.parts[part])
        rows = [row for part in ("train", "val") for row in data.parts[part] if row[0] == user]
        assert [item["item_id"] for item in answer["last_items"]] == [data.items[row[1]] for row in rows[::-1][:10]]


def test_popular_items_are_those_that_most_took(server, data):
    counts = np.zeros(len(data.items))
    for part in ("train", "val"):
        for row in data.parts[part]:
            counts[row[1]] += 1
    answer = post(server, "/recommend", user_id="new", fallback="popular", top_k=25)
    want = sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:25]
    assert [data.items.index(item) for item in answer["recommendations"]] == want
    assert answer["scores"] == [counts[i] for i in want] and answer["fallback"] == "popular"


@pytest.mark.parametrize("options", [["--epochs", 6], ["--epochs", 40, "--eval-every", 1, "--early-stop", 3, "--lr", 0.4], ["--model", "ease"]])
def test_the_model_tells_what_training_saw_of_it(kindred, described, tmp_path, options):
    kindred.ok("train", "--data-dir", described, "--output-dir", tmp_path, "--json", tmp_path / "told.json", *options)
    told = json.loads((tmp_path / "run.json").read_text())
    best = told.get("best_epoch") or len(told["epochs"])
    assert "--early-stop" not in options or best < len(told["epochs"])
    want = {name: value for name, value in told["epochs"][best - 1].items() if "_at_" in name}
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", tmp_path / "model.safetensors") as server:
        metrics = get(server, "/model")["metrics"]["val"]
    assert metrics.pop("users") > 0 and metrics == want and want["ndcg_at_20"] > 0


def test_a_file_may_tell_no_metrics_but_no_rubbish(kindred, described, models, tmp_path):
    """As files of earlier versions."""
    whole = models("popularity").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, path = json.loads(whole[8:8 + length]), tmp_path / "model.safetensors"

    def write(metrics):
        told = json.loads(json.dumps(header))
        told["__metadata__"].pop("metrics")
        told["__metadata__"] |= metrics
        path.write_bytes(whole[:8] + json.dumps(told, separators=(",", ":")).encode().ljust(length) + whole[8 + length:])

    write({})
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", path) as server:
        assert get(server, "/model")["metrics"] is None
    for rubbish in ("[1]", "{", ""):
        write({"metrics": rubbish})
        assert "no valid 'metrics'" in kindred.fails(1, "serve", "--check", "--data-dir", described, "--model-path", path)


@pytest.mark.parametrize("name", ["neumf", "ials", "svd", "ease", "itemknn", "gf", "popularity"])
def test_other_models_answer_through_the_same_routes(kindred, described, models, data, known, tmp_path, name):
    model = models(name, *(("--dim", 8) if name in ("ials", "svd", "gf") else ()))
    kindred.ok("recommend", "--model-path", model, "--data-dir", described, "--output", tmp_path / "lists.jsonl", "--top-k", 15)
    lists = {}
    for record in map(json.loads, (tmp_path / "lists.jsonl").read_text().splitlines()):
        lists.setdefault(record["user_id"], []).append(record["item_id"])
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", model) as server:
        for user in known[::20]:
            assert post(server, "/recommend", user_id=user, top_k=15)["recommendations"] == lists[user]
        assert get(server, "/model")["fast"] == (name in ("ials", "svd", "gf"))
        near = get(server, f"/items/{data.items[40]}/similar?top_k=5")["similar"]
        assert (len(near) == 5) == (name != "neumf") and data.items[40] not in near


# ---- what operators look at ----


def test_metrics_are_prometheus_text(server, known):
    for _ in range(3):
        post(server, "/recommend", user_id=known[0])
    server.request("POST", "/recommend", json={})
    reply = server.request("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    values, kinds = {}, {}
    for line in reply.body.decode().splitlines():
        if line.startswith("# TYPE "):
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})?', name), line
            values[name] = float(value)
            assert re.sub(r"_(bucket|sum|count)$", "", name.split("{")[0]) in kinds or name.split("{")[0] in kinds
    assert values['kindred_requests_total{method="POST",route="/recommend",status="200"}'] >= 3
    assert values['kindred_requests_total{method="POST",route="/recommend",status="422"}'] >= 1
    buckets = [v for k, v in values.items() if k.startswith('kindred_request_seconds_bucket{route="/recommend",')]
    assert buckets == sorted(buckets) and buckets[-1] == values['kindred_request_seconds_count{route="/recommend"}'] >= 4


def test_the_document_has_every_route(server):
    document = get(server, "/openapi.json")
    assert document["openapi"] == "3.1.0"
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert {("post", "/recommend"), ("post", "/recommend/batch"), ("get", "/items/{id}/similar"), ("get", "/metrics")} <= operations
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    body = document["paths"]["/recommend"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["user_id"] and body["properties"]["top_k"]["maximum"] == 1000
    for path in (path for method, path in operations if method == "get" and "{" not in path):
        assert server.request("GET", path).status == 200


def test_probes(server):
    assert get(server, "/livez") == {"status": "alive"} and get(server, "/readyz") == {"status": "ready"}


def test_check_looks_and_ends(kindred, described, models, other_dataset, tmp_path):
    model = models("mf", "--epochs", 20)
    said = kindred.ok("serve", "--check", "--model-path", model, "--data-dir", described)
    assert re.fullmatch(rf"{re.escape(str(model))}: mf of \d+ users and \d+ items\n", said)
    assert "another dataset" in kindred.fails(1, "serve", "--check", "--model-path", model, "--data-dir", other_dataset)


# ---- another model, without a pause ----


def replace(model, path):
    shutil.copy(model, f"{path}.new")
    os.replace(f"{path}.new", path)


def await_reload(server, n, what="reloads"):
    end = time.monotonic() + 60
    while (told := get(server, "/model"))[what] < n:
        assert time.monotonic() < end, told
        time.sleep(0.01)
    return told


def test_models_change_under_load_and_no_answer_is_wrong(kindred, described, models, known, tmp_path):
    files = [models("mf", "--epochs", 20), models("popularity")]
    path = tmp_path / "model.safetensors"
    right = {}
    for file in files:
        shutil.copy(file, path)
        with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", path) as server:
            for user in known[:40]:
                answer = post(server, "/recommend", user_id=user)
                right[answer["model"], user] = answer
    failures, answered = [], []
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", path, "--threads", 2) as server:
        over = threading.Event()

        def load():
            with server.connect() as connection:
                while not over.is_set():
                    for user in known[:40]:
                        reply = connection.request("POST", "/recommend", json={"user_id": user})
                        if reply.status != 200 or reply.json != right[reply.json["model"], user]:
                            failures.append(reply)
                        answered.append(reply.json["model"])

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(30):
            replace(files[n % 2], path)
            server.process.send_signal(signal.SIGHUP)
            await_reload(server, n + 1)
        over.set()
        for thread in threads:
            thread.join()
    assert not failures and set(answered) == {"mf", "popularity"}


def test_a_bad_file_is_refused_and_the_old_model_stays(kindred, described, models, known, tmp_path):
    path = tmp_path / "model.safetensors"
    shutil.copy(models("popularity"), path)
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", path, "--watch", 0.05) as server:
        before = post(server, "/recommend", user_id=known[0])
        (tmp_path / "cut").write_bytes(path.read_bytes()[:-3])
        os.replace(tmp_path / "cut", path)
        told = await_reload(server, 1, "failed_reloads")
        assert str(path) in told["last_error"] and post(server, "/recommend", user_id=known[0]) == before
        time.sleep(0.3)
        assert get(server, "/model")["failed_reloads"] == 1  # it isn't tried again and again
        replace(models("mf", "--epochs", 20), path)
        told = await_reload(server, 1)
        assert (told["model"], told["last_error"]) == ("mf", None)
    assert (tmp_path / "log").read_text().count("serve.refused") == 1


def test_names_stay_with_another_model_as_long_as_their_file_does(kindred, reviews, described, models, data, tmp_path):
    folder, path, item = tmp_path / "data", tmp_path / "model.safetensors", data.items[1]
    shutil.copytree(described, folder)
    shutil.copy(models("popularity"), path)
    with serving(kindred, tmp_path / "log", "--data-dir", folder, "--model-path", path, "--watch", 0.05) as server:
        before = get(server, f"/items/{item}")
        replace(models("mf", "--epochs", 20), path)
        assert await_reload(server, 1)["model"] == "mf" and get(server, f"/items/{item}") == before
        (tmp_path / "meta.jsonl").write_text(json.dumps({"parent_asin": item, "title": "Another title"}) + "\n")
        kindred.ok("preprocess", "--input", reviews, "--output-dir", folder, "--items", tmp_path / "meta.jsonl")
        server.process.send_signal(signal.SIGHUP)
        assert "another dataset" in await_reload(server, 1, "failed_reloads")["last_error"]
        assert get(server, f"/items/{item}") == before


def test_the_alias_is_followed(kindred, described, tmp_path):
    for name in ("popularity", "gf"):
        done = kindred.run("train", "--data-dir", described, "--model", name, "--register", "films", "--track", "mlflow", "--quiet",
                           *(("--alias", "champion") if name == "popularity" else ()), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with serving(kindred, tmp_path / "log", "--model-uri", "models:/films@champion", "--watch", 0.1, cwd=tmp_path) as server:
        assert get(server, "/model")["source"] == "models:/films/1"
        with sqlite3.connect(tmp_path / "mlflow.db") as db:
            db.execute("UPDATE registered_model_aliases SET version = 2")
        told = await_reload(server, 1)
        assert (told["source"], told["model"]) == ("models:/films/2", "gf")


# ---- who asks, and which request it was ----


def keys_file(path, *lines):
    """lines: (name, key, more)"""
    path.with_suffix(".new").write_text("# who may ask\n\n" + "".join(
        f"{name}\t{hashlib.sha256(key.encode()).hexdigest()} {more}\n" for name, key, more in lines))
    os.replace(path.with_suffix(".new"), path)
    return path


def ask(server, key=None, method="POST", path="/recommend", user="nobody", headers=()):
    more = [*headers, *([f"Authorization: Bearer {key}"] if key is not None else [])]
    return server.request(method, path, headers=more, **({"json": {"user_id": user}} if method == "POST" else {}))


def test_who_has_no_key_is_not_answered(kindred, described, models, known, tmp_path):
    keys = keys_file(tmp_path / "keys", ("shop", "open sesame", ""), ("slow", "s", "2"), ("ops", "root", "- admin"))
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", models("popularity"), "--keys", keys) as server:
        for key, detail in ((None, "Not authenticated"), ("", "Not authenticated"), ("open sesam", "Invalid key")):
            reply = ask(server, key, user=known[0])
            assert (reply.status, reply.json, reply.headers["www-authenticate"]) == (401, {"detail": detail}, "Bearer")
        assert ask(server, "open sesame", user=known[0]).status == 200
        for path in ("/", "/health", "/livez", "/readyz", "/metrics", "/openapi.json"):
            assert ask(server, method="GET", path=path).status == 200
        for path in ("/model", "/users", f"/users/{known[0]}"):
            assert ask(server, method="GET", path=path).status == 401
        assert ask(server, "open sesame", path="/model/reload").status == 403
        codes = [ask(server, "s", user=known[0]).status for _ in range(8)]
        assert codes[:2] == [200, 200] and 429 in codes and set(codes) <= {200, 429}
        assert ask(server, "root", path="/model/reload").status == 202
        end = time.monotonic() + 30
        while (told := ask(server, "root", "GET", "/model").json)["reloads"] < 1:
            assert time.monotonic() < end, told
            time.sleep(0.02)
        keys_file(keys, ("shop", "another", ""), ("ops", "root", "- admin"))
        server.process.send_signal(signal.SIGHUP)
        while ask(server, "open sesame", user=known[0]).status != 401:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert ask(server, "another", user=known[0]).status == 200


def test_without_keys_nobody_reloads(server):
    reply = ask(server, path="/model/reload")
    assert reply.status == 403 and "no keys" in reply.json["detail"]


@pytest.mark.parametrize("line", ["shop", "shop abc", f"shop {'0' * 64} many", f"shop {'0' * 64} 5 root", f"shop {'0' * 64} 5 admin x", "#"])
def test_keys_that_are_none(kindred, described, models, tmp_path, line):
    (tmp_path / "keys").write_text("\n" + line + "\n")
    said = kindred.fails(1, "serve", "--data-dir", described, "--model-path", models("popularity"), "--keys", tmp_path / "keys")
    assert f"{tmp_path}/keys:2: a key is" in said or "no key" in said and line == "#"


def test_requests_have_ids(server, known):
    own = [ask(server, user=known[0]).headers["x-request-id"] for _ in range(20)]
    assert len(set(own)) == 20 and all(re.fullmatch("[0-9a-f]+", one) for one in own)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    given = ask(server, user=known[0], headers=["X-Request-ID: shop-17", f"traceparent: {trace}"])
    assert (given.headers["x-request-id"], given.headers["traceparent"]) == ("shop-17", trace)
    assert server.request("GET", "/nonesuch", headers=["X-Request-ID: a"]).headers["x-request-id"] == "a"
    for bad in ("x" * 129, "a b", "caf\u00e9"):
        assert ask(server, user=known[0], headers=[f"X-Request-ID: {bad}"]).headers["x-request-id"] != bad


def test_each_request_is_a_line_of_the_access_log(kindred, described, models, known, tmp_path):
    path = tmp_path / "access.jsonl"
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", models("popularity"), "--access-log", path) as server:
        reply = ask(server, user=known[0], headers=["X-Request-ID: one", "traceparent: 00-ab-cd-01"])
        ask(server, method="GET", path='/none"such?x=1')
        ask(server, user="nobody")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/recommend", 200), ("GET", '/none"such', 404), ("POST", "/recommend", 404)]
    first = lines[0]
    assert (first["request_id"], first["traceparent"], first["bytes"]) == ("one", "00-ab-cd-01", len(reply.body))
    assert 0 <= first["ms"] < 1000 and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", first["time"])
    assert len({line["request_id"] for line in lines}) == 3


def test_pages_of_named_origins_may_ask(kindred, described, models, known, tmp_path):
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", models("popularity"), "--cors",
                 "https://shop.example,http://localhost:3000") as server:
        for origin, welcome in (("https://shop.example", True), ("http://localhost:3000", True), ("https://shop.example.evil", False),
                                ("null", False), (None, False)):
            more = [f"Origin: {origin}"] if origin else []
            reply = ask(server, user=known[0], headers=more)
            assert reply.status == 200 and reply.headers.get("access-control-allow-origin") == (origin if welcome else None)
            asked = server.request("OPTIONS", "/recommend", headers=[*more, "Access-Control-Request-Method: POST"])
            assert asked.status == (200 if welcome else 405)
            assert ("POST" in asked.headers.get("access-control-allow-methods", "")) == welcome


def test_pages_of_no_other_origin_may_ask(server, known):
    assert "access-control-allow-origin" not in ask(server, user=known[0], headers=["Origin: https://shop.example"]).headers


def test_it_is_not_ready_while_it_drains(kindred, described, models, known, tmp_path):
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", models("popularity"), "--drain", 1) as server:
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while (reply := server.request("GET", "/readyz")).status == 200:
            time.sleep(0.01)
        assert (reply.status, reply.json) == (503, {"status": "draining"}) and time.monotonic() - begun < 0.9
        assert ask(server, user=known[0]).status == 200  # new connections are taken still
        assert server.process.wait(30) == 0 and time.monotonic() - begun > 0.9


def test_what_is_no_request_is_counted_and_logged(kindred, described, models, tmp_path):
    with serving(kindred, tmp_path / "log", "--data-dir", described, "--model-path", models("popularity"), "--access-log", tmp_path / "access") as server:
        for sent, status in ((b"hello\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 9000, 431),
                             (b"POST /recommend HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413)):
            with server.connect() as connection:
                connection.send(sent)
                assert connection.reply().status == status
        told = server.request("GET", "/metrics").body.decode()
    lines = [json.loads(line) for line in (tmp_path / "access").read_text().splitlines()]
    assert [line["status"] for line in lines if "refused" in line] == [400, 431, 413]
    for status, n in ((400, 1), (431, 1), (413, 1), (408, 0), (0, 0)):
        assert f'kindred_refusals_total{{status="{status}"}} {n}\n' in told
