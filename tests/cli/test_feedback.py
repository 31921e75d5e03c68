"""serve --feedback: what users take is on disk before it's acknowledged, counts at once, and is there for the next training."""

import json
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest

import helpers
from program import TIMEOUT_S, Server, announced_port, environment, serving
from wire import Connection

MS = 1_700_000_000_000


@pytest.fixture
def started(kindred, dataset, model, tmp_path):
    """started(*options): a server with a log of events, tmp_path/events.jsonl."""

    def start(*options, file=model, data=dataset):
        return serving(kindred, tmp_path / "log", "--data-dir", data, "--model-path", file, "--feedback", tmp_path / "events.jsonl", *options)

    return start


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


def event(user, item, ms=MS):
    return {"user_id": user, "item_id": item, "timestamp": ms}


def post(server, *events):
    return server.request("POST", "/feedback", json={"events": events})


def get(server, path):
    return server.request("GET", path).json


def lists(server, **body):
    reply = server.recommend(**body)
    assert reply.status == 200, reply
    return reply.json["recommendations"]


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_in_the_file_once_they_are_acknowledged(started, tmp_path):
    with started() as server:
        before = time.time_ns() // 10**6
        reply = post(server, event("a\"é", "B1"), {"user_id": "b", "item_id": "B2"})
        assert (reply.status, reply.json) == (202, {"accepted": 2})
        first, second = records(tmp_path / "events.jsonl")
        assert first == {"user_id": "a\"é", "parent_asin": "B1", "timestamp": MS}
        assert second["parent_asin"] == "B2" and before <= second["timestamp"] <= time.time_ns() // 10**6
        told = server.request("GET", "/metrics").body.decode()
        assert "kindred_feedback_events_total 2\n" in told and "kindred_feedback_writes_total 1\n" in told
        assert 'kindred_requests_total{method="POST",route="/feedback",status="202"} 1\n' in told


@pytest.mark.parametrize("body, faults", [
    ({}, [("missing", ["body", "events"])]),
    ({"events": []}, [("too_short", ["body", "events"])]),
    ({"events": {}}, [("list_type", ["body", "events"])]),
    ({"events": [event("a", "b")] * 1001}, [("too_long", ["body", "events"])]),
    ({"events": [event("a", "b"), 5, {"user_id": "", "item_id": 7, "timestamp": "soon"}, {"user_id": "a", "timestamp": 1_700_000_000}]},
     [("model_attributes_type", ["body", "events", 1]), ("string_too_short", ["body", "events", 2, "user_id"]),
      ("string_type", ["body", "events", 2, "item_id"]), ("int_parsing", ["body", "events", 2, "timestamp"]),
      ("missing", ["body", "events", 3, "item_id"]), ("greater_than_equal", ["body", "events", 3, "timestamp"])]),
])
def test_a_body_with_a_fault_is_refused_whole(started, tmp_path, body, faults):
    with started() as server:
        reply = server.request("POST", "/feedback", json=body)
        assert reply.status == 422
        assert [(fault["type"], fault["loc"]) for fault in reply.json["detail"]] == faults
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_without_the_option_no_events_are_taken(server):
    reply = post(server, event("a", "b"))
    assert reply.status == 404 and "--feedback" in reply.json["detail"]


def test_what_was_taken_counts_at_once(started, data):
    with started() as server:
        user = next(user for user in get(server, "/users")["users"] if get(server, f"/users/{user}")["seen"] < 10)
        before, known = lists(server, user_id=user, top_k=10), get(server, f"/users/{user}")
        assert post(server, event(user, before[0]), event(user, "of no dataset"), event(user, known["last_items"][0]["item_id"])).status == 202
        after, shown = lists(server, user_id=user, top_k=1000), get(server, f"/users/{user}")
        assert before[0] not in after and len(after) == len(data.items) - known["seen"] - 1
        assert shown["seen"] == known["seen"] + 1 and shown["last_items"][0]["item_id"] == before[0]
        batch = server.request("POST", "/recommend/batch", json={"user_ids": [user, "nobody"], "top_k": 1000}).json["results"]
        assert batch[0]["recommendations"] == after and not batch[1]["known"]
        whole = [item["item_id"] for item in reversed(shown["last_items"])]
        assert after == server.request("POST", "/recommend/session", json={"items": whole, "top_k": 1000}).json["recommendations"]


def test_a_new_user_is_a_session(started, data):
    items = list(data.items)[:4]
    with started() as server:
        assert server.recommend(user_id="new").status == 404
        assert not get(server, "/users/new")["known"]
        for at, item in zip((30, 10, 20, 40), items):
            post(server, event("new", item, MS + at))
        in_time = [items[1], items[2], items[0], items[3]]
        session = server.request("POST", "/recommend/session", json={"items": in_time}).json
        reply = server.recommend(user_id="new").json
        assert (reply["recommendations"], reply["scores"]) == (session["recommendations"], session["scores"])
        shown = get(server, "/users/new")
        assert shown["known"] and [item["item_id"] for item in shown["last_items"]] == in_time[::-1]
        assert set(lists(server, user_id="new", exclude_seen=False, top_k=1000)) == set(data.items)


@pytest.mark.parametrize("name", ["neumf", "popularity"])
def test_models_that_know_users_alone_leave_out_what_was_taken(kindred, dataset, started, tmp_path, name):
    kindred.ok("train", "--data-dir", dataset, "--model", name, "--output-dir", tmp_path / name, *(("--epochs", 1) if name == "neumf" else ()))
    with started(file=tmp_path / name / "model.safetensors") as server:
        user = get(server, "/users")["users"][0]
        before = lists(server, user_id=user, top_k=1000)
        post(server, event(user, before[2]))
        assert lists(server, user_id=user, top_k=1000) == before[:2] + before[3:]


def test_it_is_there_after_a_kill(started, kindred, dataset, model, tmp_path):
    """Each event that was acknowledged, once; of the others, some."""
    acknowledged, lock, over = [], threading.Lock(), threading.Event()
    command = kindred.command("serve", "--port", 0, "--threads", 2, "--data-dir", dataset, "--model-path", model, "--feedback",
                              tmp_path / "events.jsonl")
    with open(tmp_path / "first", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment())
    port = announced_port(process, tmp_path / "first")

    def give(who):
        with Connection(port) as connection:
            for n in range(10000):
                events = [event(f"w{who}", f"{n}-{k}") for k in range(3)]
                try:
                    if connection.request("POST", "/feedback", json={"events": events}).status != 202:
                        return
                except (IndexError, OSError):
                    return
                with lock:
                    acknowledged.extend((f"w{who}", f"{n}-{k}") for k in range(3))
                    if len(acknowledged) > 300:
                        over.set()

    threads = [threading.Thread(target=give, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    assert over.wait(TIMEOUT_S)
    process.kill()
    process.wait()
    for thread in threads:
        thread.join()
    with open(tmp_path / "events.jsonl", "ab") as out:
        out.write(b'{"user_id":"w0","parent_asin":"tor')
    with started() as server:
        found = [(record["user_id"], record["parent_asin"]) for record in records(tmp_path / "events.jsonl")]
        assert len(set(found)) == len(found) and set(acknowledged) <= set(found) and len(found) <= len(acknowledged) + 18
        assert post(server, event("w0", "after")).status == 202
    log = (tmp_path / "log").read_text()
    assert f"events={len(found)}" in log and "bytes=34" in log
    assert records(tmp_path / "events.jsonl")[-1]["parent_asin"] == "after"


def test_lines_that_are_no_events_are_passed_over(started, data, tmp_path):
    lines = [json.dumps({"user_id": "new", "parent_asin": item, "timestamp": MS}) for item in list(data.items)[:2]]
    (tmp_path / "events.jsonl").write_text("\n".join([lines[0], "", "{", '{"user_id": "new"}', "[]", lines[1]]) + "\n")
    with started() as server:
        assert get(server, "/users/new")["seen"] == 2
    assert "lines=4" in (tmp_path / "log").read_text()


def test_two_servers_have_two_logs(started, kindred, dataset, model, tmp_path):
    with started():
        line = kindred.fails(1, "serve", "--port", 0, "--data-dir", dataset, "--model-path", model, "--feedback", tmp_path / "events.jsonl")
        assert "events.jsonl' is written by another server" in line


@pytest.mark.parametrize("path, word", [("no/such/events.jsonl", "No such file"), (".", "directory"), ("/dev/null", "is no file")])
def test_a_log_that_cannot_be_is_refused(kindred, dataset, model, tmp_path, path, word):
    line = kindred.fails(1, "serve", "--port", 0, "--data-dir", dataset, "--model-path", model, "--feedback", path, cwd=tmp_path)
    assert path in line and word in line


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def test_what_cannot_be_written_is_refused_whole(kindred, dataset, model, tmp_path):
    """A file that may not grow stands for a full disk."""
    command = kindred.command("serve", "--port", 0, "--data-dir", dataset, "--model-path", model, "--feedback", "events.jsonl")
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment(), cwd=tmp_path,
                                   restore_signals=False, preexec_fn=small_files)
    try:
        server = Server(process, announced_port(process, tmp_path / "log"))
        statuses = [post(server, *[event("u", f"{n}-{k}") for k in range(10)]).status for n in range(10)]
        assert statuses[0] == 202 and 503 in statuses and statuses == sorted(statuses)
        assert post(server, event("u", "small")).status == 202
        kept = records(tmp_path / "events.jsonl")
        assert len(kept) == 10 * statuses.count(202) + 1 and kept[-1]["parent_asin"] == "small"
        assert f"kindred_feedback_failed_writes_total {statuses.count(503)}\n" in server.request("GET", "/metrics").body.decode()
    finally:
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
    assert "feedback.lost" in (tmp_path / "log").read_text()


def test_the_next_training_learns_from_it(started, kindred, reviews, dataset, model, data, tmp_path):
    """A dataset of reviews and log, a model of it, the same server: nothing is counted twice."""
    served, folder = tmp_path / "served.safetensors", tmp_path / "data"
    shutil.copy(model, served)
    shutil.copytree(dataset, folder)
    items = list(data.items)[:8]
    with started("--watch", 0.05, file=served, data=folder) as server:
        assert post(server, *[event("new", item, MS + n) for n, item in enumerate(items)]).status == 202
        assert get(server, "/users/new")["seen"] == 8
        kindred.ok("preprocess", "--input", reviews, "--input", tmp_path / "events.jsonl", "--output-dir", tmp_path / "next", "--split", "leave-one-out")
        assert "new" in helpers.read_dataset(tmp_path / "next").users
        kindred.ok("train", "--data-dir", tmp_path / "next", "--output-dir", tmp_path / "trained", "--epochs", 5)
        folder.rename(tmp_path / "old")
        (tmp_path / "next").rename(folder)
        (tmp_path / "trained" / "model.safetensors").rename(served)
        end = time.monotonic() + 60
        while get(server, "/model")["reloads"] < 1:
            assert time.monotonic() < end
            time.sleep(0.02)
        shown = get(server, "/users/new")
        assert shown["known"] and shown["seen"] == 8
        assert not set(lists(server, user_id="new", top_k=1000)) & set(items)
