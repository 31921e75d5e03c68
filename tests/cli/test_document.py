"""The API beside its own document, and beside the one that clients of the Python pipeline were made from."""

import hashlib
import json
import re
import subprocess
import time

import pytest

import helpers
from conftest import ROOT
from program import TIMEOUT_S, serving
from wire import Connection

API = ROOT / ".deps" / "api" / "bin"
ORIGINAL = ROOT / "tests" / "cli" / "original.py"


@pytest.fixture(scope="module")
def api(once):
    if not API.is_dir():
        pytest.skip("no Schemathesis and FastAPI in .deps/api: skipped what they say")


@pytest.fixture(scope="module")
def known(dataset):
    data = helpers.read_dataset(dataset)
    return data.users[min(helpers.seen_items(data, "train"))]


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT_S, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def schemathesis(server, folder, *options):
    """None of its checks may fail. \\0 in a text and a body that is too large are refused before anything is read."""
    (folder / "schemathesis.toml").write_text('[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 413, 422, 503]\n')
    return run(API / "schemathesis", "--config-file", folder / "schemathesis.toml", "run", f"http://127.0.0.1:{server.port}/openapi.json",
               "--seed", 1, "--no-color", "--generation-database", "none", "--generation-allow-x00", "false", "--max-examples", 30, *options)


# What FastAPI takes for a boolean or a number ("yes", "5") its clients may send, though no document of it says so.
LAX = ("--exclude-checks", "negative_data_rejection")


def test_it_does_what_its_document_says(api, kindred, dataset, model, tmp_path):
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", model, "--feedback", tmp_path / "events.jsonl") as server:
        said = schemathesis(server, tmp_path, *LAX)
        assert re.search(r"Tested: 14\b", said), said
        said = schemathesis(server, tmp_path, "--include-path-regex", "^/(feedback|items|livez|health|model$)")
        assert "Stateful" in said


def test_with_keys_too(api, kindred, dataset, model, tmp_path):
    (tmp_path / "keys").write_text(f"ops {hashlib.sha256(b'secret').hexdigest()} - admin\n")
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", model, "--keys", tmp_path / "keys",
                 "--feedback", tmp_path / "events.jsonl") as server:
        schemathesis(server, tmp_path, *LAX, "--header", "Authorization: Bearer secret")


def test_clients_of_the_python_pipeline_work_unchanged(api, kindred, dataset, model, known, tmp_path):
    (tmp_path / "openapi.json").write_text(run(API / "python", ORIGINAL, "document"))
    run(API / "openapi-python-client", "generate", "--path", tmp_path / "openapi.json", "--output-path", tmp_path / "made", "--meta", "none")
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", model) as server:
        said = json.loads(run(API / "python", ORIGINAL, "client", tmp_path, server.port, known))
        want = server.recommend(user_id=known, top_k=10).json
    assert said["health"]["status"] == "healthy" and said["health"]["model_loaded"] is True
    assert said["found"]["user_id"] == known and said["found"]["recommendations"] == want["recommendations"][:5]
    assert said["default"]["recommendations"] == want["recommendations"] and said["missing"] == 404
    assert said["refused"]["detail"][0]["loc"] == ["body", "top_k"]


# ---- side by side ----

VALUES = [None, True, False, 0, 1, -1, 10, 1000, 1001, 5.0, 5.5, -0.0, 1e3, 1e300, 2**31, 2**63 - 1, -2**63, "", "5", " 5 ", "+5", "5.0",
          "5.5", "1_0", "0x5", "five", "\u0665", "5 5", "9" * 30, "1e1", "true", [], [5], {}, {"top_k": 5}, [[]]]
BODIES = [
    *(json.dumps({"user_id": "nobody", "top_k": value}).encode() for value in VALUES),
    *(json.dumps({"user_id": value}).encode() for value in VALUES),
    *(json.dumps(value).encode() for value in VALUES),
    b"", b" ", b"{", b"{}", b"{]", b'{"user_id"}', b'{"user_id": }', b"{'user_id': 'a'}", b'{"user_id": "a",}', b'{"top_k": 0}', b"nul", b"\xff",
    b'{"user_id": "\\u00e9\\ud83d\\ude00"}', '{"user_id": "é"}'.encode(), b'{"user_id": "a", "user_id": "b"}', b'{"user_id": "a", "more": [1]}',
    b'{"user_id": "a", "top_k": 1, "top_k": 0}', b'\t\n {"user_id": "a"} \r\n', b'{"user_id": "a"} x', b'{"user_id": "a"}{}', b'[{"user_id": "a"}]',
    b'{"User_Id": "a"}', b'{"user_id": "a\\tb\\"c\\\\"}', b'{"top_k": "x"}', b'{"top_k": null, "user_id": null}',
]
# Without a type FastAPI took a body for JSON for years, and refuses it since 0.132: ours takes it.
TYPES = ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/ld+json", "application/x+JSON",
         "text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonx", "json", "application/"]
REQUESTS = [("GET", "/recommend"), ("PUT", "/recommend"), ("DELETE", "/health"), ("POST", "/health"), ("PATCH", "/health"), ("HEAD", "/recommend"),
            ("OPTIONS", "/recommend"), ("GET", "/nowhere"), ("GET", "/Health"), ("GET", "/health?x=1"), ("GET", "/health%20"),
            ("GET", "//health"), ("POST", "/recommend/nobody/x")]

def told(reply):
    """What a client would look at: status, Allow as a set, and the faults without the parser's own words."""
    detail = json.loads(reply.body).get("detail") if reply.body else None
    if isinstance(detail, list):
        detail = [fault if fault["type"] != "json_invalid" else {"type": fault["type"]} for fault in detail]
        detail = sorted(detail, key=json.dumps)
    allow = {method for method in re.split(r",\s*", reply.headers.get("allow", "")) if method not in ("", "HEAD")}
    return reply.status, detail, allow if reply.status == 405 else None


@pytest.fixture(scope="module")
def both(api, kindred, dataset, model, tmp_path_factory):
    """(ours, FastAPI's): a connection to each."""
    folder = tmp_path_factory.mktemp("both")
    with open(folder / "original", "w") as log:
        process = subprocess.Popen([API / "python", ORIGINAL, "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + TIMEOUT_S
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", (folder / "original").read_text())):
            assert process.poll() is None and time.monotonic() < end, (folder / "original").read_text()
            time.sleep(0.05)
        with serving(kindred, folder / "log", "--data-dir", dataset, "--model-path", model) as server:
            yield server.port, int(found[1])
    finally:
        process.terminate()
        process.wait()


def ask(port, method, path, body=None, kind=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close"]
    lines += [f"Content-Type: {kind}"] * (kind is not None) + [f"Content-Length: {len(body or b'')}"] * (body is not None)
    with Connection(port) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return connection.reply(has_body=method != "HEAD")


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_bodies_are_taken_and_refused_alike(both, body):
    ours, theirs = (told(ask(port, "POST", "/recommend", body, "application/json")) for port in both)
    assert ours == theirs


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("body", [b'{"user_id": "nobody"}', b"user_id=nobody", b"{"])
def test_content_types_too(both, kind, body):
    ours, theirs = (told(ask(port, "POST", "/recommend", body, kind)) for port in both)
    assert ours == theirs


@pytest.mark.parametrize("method, path", REQUESTS)
def test_methods_and_paths_too(both, method, path):
    ours, theirs = (told(ask(port, method, path)) for port in both)
    assert ours == theirs
