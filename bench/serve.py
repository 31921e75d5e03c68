"""Load `kindred serve` beside a twin of the Python pipeline's server: requests a second, latencies, memory.

usage: bench/serve.py KINDRED GOWALLA FOLDER

GOWALLA has train.txt and test.txt; datasets stay in FOLDER. The server has one processor, the load (wrk) another. PARTS="routes
models big reload twin" does these alone; big is a catalogue of 1,000,000 items made up. The twin, FastAPI and uvicorn, runs in an
environment of its own, .deps/bench-serve.

Prints Markdown tables: medians of the runs, after a warm-up. Before it is timed, each server's lists are held against those of
`kindred recommend`.
"""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pipeline  # noqa: F401  not tracked
from data import HERE, print_table, run, say

RUNS, SECONDS, WARM_UP_S = 5, 3, 1
PARTS = "routes models big reload twin"
SERVER_CPU, LOAD_CPU = "0", "1"
VENV = HERE.parent / ".deps" / "bench-serve"
WANTED = ["fastapi==0.128.0", "uvicorn[standard]==0.40.0", "numpy==2.4.6"]
SCRIPT = """
local users = {}
for line in io.lines(os.getenv("USERS")) do users[#users + 1] = line end
local at = tonumber(os.getenv("SEED")) or 1
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = (at * 48271) % 2147483647
  return wrk.format(nil, nil, nil, '{"user_id": "' .. users[at % #users + 1] .. '", "top_k": 10}')
end
"""


# Servers


@contextmanager
def pinned(command, ready, **environment):
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(["taskset", "-c", SERVER_CPU, *map(str, command)], stdout=log, stderr=log,
                                   env=os.environ | environment)
        try:
            end = time.monotonic() + 120
            while not (found := ready(log)):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    sys.exit(f"the server didn't start: {log.read()}")
                time.sleep(0.02)
            yield process, found
        finally:
            process.terminate()
            process.wait()


def port_in(log):
    log.seek(0)
    found = re.search(r"(?:serving|running) on http://127\.0\.0\.1:(\d+)", log.read())
    return found and int(found[1])


def kindred_server(kindred, dataset, model, *options):
    return pinned([kindred, "serve", "--data-dir", dataset, "--model-path", model, "--port", 0, "--threads", 1, *options], port_in)


def status(process, name):
    """MB of VmRSS or VmHWM."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


# Load


def ms(text):
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not found:
        sys.exit(f"wrk tells of a latency of {text}")
    value, unit = found.groups()
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def wrk(port, path, users, connections, seconds=SECONDS, seed=1):
    """(requests/s, p50 ms, p99 ms, failures)"""
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--latency"]
    script = tempfile.NamedTemporaryFile("w", suffix=".lua")
    if users:
        script.write(SCRIPT)
        script.flush()
        command += ["-s", script.name]
    done = subprocess.run([*map(str, command), f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True,
                          env=os.environ | {"USERS": str(users), "SEED": str(seed)})
    said = done.stdout
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    bad += sum(map(int, sum(map(list, re.findall(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)), [])))
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), ms(re.search(r"^ +50%\s+(\S+)", said, re.M)[1]),
            ms(re.search(r"^ +99%\s+(\S+)", said, re.M)[1]), bad)


def load(port, path, users, connections):
    wrk(port, path, users, connections, WARM_UP_S)
    runs = [wrk(port, path, users, connections, seed=n + 2) for n in range(RUNS)]
    if any(bad for *_, bad in runs):
        sys.exit(f"{path}: requests failed: {runs}")
    return [statistics.median(column) for column in zip(*runs)][:3]


def post(port, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/recommend", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def check(port, lists):
    """The server's lists are recommend's."""
    for user in list(lists)[::max(1, len(lists) // 50)]:
        if post(port, {"user_id": user, "top_k": 10})["recommendations"] != lists[user]:
            sys.exit(f"the list of user {user} differs")


# Data


def prepare(kindred, dataset, *options):
    if not dataset.exists():
        say(f"making {dataset}")
        run([kindred, "preprocess", *options, "--output-dir", dataset, "--quiet"], stdout=subprocess.DEVNULL)


def lists_of(kindred, dataset, model, scratch):
    run([kindred, "recommend", "--model-path", model, "--data-dir", dataset, "--top-k", 10, "--output", scratch / "lists.jsonl",
         "--quiet"], stdout=subprocess.DEVNULL)
    lists = {}
    with open(scratch / "lists.jsonl") as file:
        for record in map(json.loads, file):
            lists.setdefault(record["user_id"], []).append(record["item_id"])
    (scratch / "users.txt").write_text("\n".join(lists) + "\n")
    return lists, scratch / "users.txt"


def trained(kindred, dataset, folder, *options):
    run([kindred, "train", "--data-dir", dataset, "--output-dir", folder, "--quiet", *options], stdout=subprocess.DEVNULL)
    return folder / "model.safetensors"


def made_up(kindred, folder, n_items, norms, scratch):
    """(dataset, model): vectors of 64 numbers, users' of length 1, items' falling as those of a trained model or all alike."""
    import struct

    import numpy as np

    dataset = folder / f"items-{n_items}"
    if not dataset.exists():
        rows = scratch / "rows.csv"
        with open(rows, "w") as out:
            out.writelines(f"u{i % 1000},i{i},{i},5\n" for i in range(n_items))
        prepare(kindred, dataset, "--input", rows, "--columns", "user,item,time,rating", "--min-user", 1, "--min-item", 1, "--split",
                "random", "--train-ratio", 0.9, "--val-ratio", 0.05)
    model = trained(kindred, dataset, scratch / norms, "--epochs", 1, "--embedding-dim", 64)
    raw = bytearray(model.read_bytes())
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    rng = np.random.default_rng(1)
    for name, length in (("user_embedding.weight", None), ("item_embedding.weight", norms)):
        begin, end = header[name]["data_offsets"]
        rows = rng.standard_normal(header[name]["shape"]).astype("f4")
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if length == "falling":
            rows *= rng.lognormal(0, 0.5, (len(rows), 1)).astype("f4")
        raw[8 + size + begin:8 + size + end] = rows.tobytes()
    model.write_bytes(raw)
    return dataset, model


# Tables


def row(name, found, extra=()):
    return [name, f"{found[0]:,.0f}", f"{found[1]:.2f}", f"{found[2]:.2f}", *extra]


def routes(kindred, dataset, scratch):
    model = trained(kindred, dataset, scratch / "mf", "--epochs", 100)
    lists, users = lists_of(kindred, dataset, model, scratch)
    rows = []
    with kindred_server(kindred, dataset, model) as (process, port):
        check(port, lists)
        for name, path, who in (("GET /health", "/health", None), ("POST /recommend, top_k 10", "/recommend", users)):
            for connections in (1, 64):
                rows.append(row(f"{name}, {connections} connection{'s' * (connections > 1)}", load(port, path, who, connections),
                                [f"{status(process, 'VmRSS'):.0f}"]))
    print_table(["Gowalla, mf of dim 64, one processor", "requests/s", "p50 ms", "p99 ms", "MB"], rows)


def models(kindred, dataset, scratch):
    rows = []
    for name, options in (("mf", ("--epochs", 5)), ("ials", ("--iterations", 3)), ("neumf", ("--epochs", 1)), ("itemknn", ()), ("gf", ())):
        model = trained(kindred, dataset, scratch / f"m-{name}", "--model", name, *options)
        lists, users = lists_of(kindred, dataset, model, scratch)
        with kindred_server(kindred, dataset, model) as (process, port):
            check(port, lists)
            rows.append(row(name, load(port, "/recommend", users, 4), [f"{status(process, 'VmRSS'):.0f}"]))
    print_table(["Gowalla, POST /recommend, 4 connections", "requests/s", "p50 ms", "p99 ms", "MB"], rows)


def big(kindred, folder, scratch):
    rows = []
    for norms in ("falling", "alike"):
        dataset, model = made_up(kindred, folder, 1_000_000, norms, scratch)
        lists, users = lists_of(kindred, dataset, model, scratch)
        with kindred_server(kindred, dataset, model) as (process, port):
            check(port, lists)
            for name, path, who in (("GET /health", "/health", None), (f"POST /recommend, lengths {norms}", "/recommend", users)):
                rows.append(row(name, load(port, path, who, 1), [f"{status(process, 'VmRSS'):.0f}"]))
    print_table(["1,000,000 items of dim 64, one connection", "requests/s", "p50 ms", "p99 ms", "MB"], rows)


def reload(kindred, dataset, scratch):
    """100 times another model, under full load."""
    files = [trained(kindred, dataset, scratch / f"r{n}", "--epochs", n) for n in (1, 2)]
    path = scratch / "served.safetensors"
    shutil.copy(files[0], path)
    lists, users = lists_of(kindred, dataset, files[0], scratch)
    with kindred_server(kindred, dataset, path) as (process, port):
        quiet = load(port, "/recommend", users, 64)
        before = status(process, "VmRSS")
        job = subprocess.Popen([sys.executable, __file__, "wrk", str(port), str(users)], stdout=subprocess.PIPE, text=True)
        done = 0
        while job.poll() is None:
            shutil.copy(files[(done + 1) % 2], f"{path}.new")
            os.replace(f"{path}.new", path)
            process.send_signal(signal.SIGHUP)
            done += 1
            while json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/model"))["reloads"] < done and job.poll() is None:
                time.sleep(0.01)
        rate, p50, p99, bad = json.loads(job.communicate()[0])
        time.sleep(0.5)
        after = status(process, "VmRSS")
    print_table(["Gowalla, 64 connections", "requests/s", "p50 ms", "p99 ms", "failed", "MB"],
                [row("one model", quiet, ["0", f"{before:.0f}"]), row(f"{done} reloads meanwhile", (rate, p50, p99), [str(bad), f"{after:.0f}"])])


def twin(kindred, dataset, scratch):
    model = trained(kindred, dataset, scratch / "mf", "--epochs", 100)
    lists, users = lists_of(kindred, dataset, model, scratch)
    run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch / "package", "--epochs", 1, "--quiet", "--log-model", "--track",
         "mlflow", "--tracking-uri", f"sqlite:///{scratch}/mlflow.db", "--track-dir", scratch / "runs"], stdout=subprocess.DEVNULL)
    if not VENV.exists():
        say(f"making {VENV}")
        run([sys.executable, "-m", "venv", VENV])
        run([VENV / "bin/pip", "install", "-q", *WANTED])
    rows = []
    command = [VENV / "bin/uvicorn", "--app-dir", HERE / "peers", "twin:app", "--port", 8123, "--log-level", "info", "--no-access-log"]
    with pinned(command, port_in, MODEL=str(model), NAMES=str(scratch / "package/mlflow_model/data/catalog.safetensors"),
                OPENBLAS_NUM_THREADS="1") as (process, port):
        for connections in (1, 64):
            rows.append(row(f"FastAPI, {connections} connections", load(port, "/recommend", users, connections),
                            [f"{status(process, 'VmRSS'):.0f}"]))
    with kindred_server(kindred, dataset, model) as (process, port):
        check(port, lists)
        for connections in (1, 64):
            rows.append(row(f"kindred, {connections} connections", load(port, "/recommend", users, connections),
                            [f"{status(process, 'VmRSS'):.0f}"]))
    print_table(["Gowalla, POST /recommend, top_k 10", "requests/s", "p50 ms", "p99 ms", "MB"], rows)


def main(kindred, gowalla, folder):
    folder, dataset = Path(folder), Path(folder) / "gowalla"
    parts = os.environ.get("PARTS", PARTS).split()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(kindred, dataset, "--train", Path(gowalla) / "train.txt", "--test", Path(gowalla) / "test.txt")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = Path(scratch)
        for part in parts:
            if part == "big":
                big(kindred, folder, scratch)
            else:
                {"routes": routes, "models": models, "reload": reload, "twin": twin}[part](kindred, dataset, scratch)


if __name__ == "__main__":
    if sys.argv[1] == "wrk":
        print(json.dumps(wrk(int(sys.argv[2]), "/recommend", sys.argv[3], 64, seconds=20)))
    else:
        main(*sys.argv[1:])
