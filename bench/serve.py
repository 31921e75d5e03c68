"""Load `kindred serve` beside a twin of the Python pipeline's server: requests a second, latencies, memory.

usage: bench/serve.py KINDRED GOWALLA FOLDER

GOWALLA has train.txt and test.txt; datasets stay in FOLDER. The server has one processor, the load (wrk) another. PARTS="routes
models big reload mixed twin" does these alone; big is a model of a million items, of generated reviews, mixed takes SECONDS=180 of clients of all
kinds (tests/cli/load.py). The twin, FastAPI and uvicorn, runs in an environment of its own, .deps/bench-serve.

Prints Markdown tables: medians of the runs, after a warm-up. Before it is timed, each server's lists are held against those of
`kindred recommend`.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pipeline  # noqa: F401  not tracked
from data import HERE, print_table, run, say

RUNS, SECONDS, WARM_UP_S = 5, 3, 1
PARTS = "routes models big reload mixed twin"
RELOADS = 100
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
  local n = tonumber(os.getenv("BATCH") or "1")
  if n == 1 then return wrk.format(nil, nil, nil, '{"user_id": "' .. users[at % #users + 1] .. '", "top_k": 10}') end
  local some = {}
  for k = 1, n do some[k] = '"' .. users[(at + k) % #users + 1] .. '"' end
  return wrk.format(nil, nil, nil, '{"user_ids": [' .. table.concat(some, ",") .. '], "top_k": 10}')
end
"""


def make_environment():
    if not VENV.exists():
        say(f"making {VENV}")
        run([sys.executable, "-m", "venv", VENV])
        run([VENV / "bin/pip", "install", "-q", *WANTED])


def need_numpy():
    """Go on in the environment that has it."""
    if importlib.util.find_spec("numpy") is None:
        make_environment()
        os.execv(VENV / "bin/python", [VENV / "bin/python", *sys.argv])


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


@contextmanager
def loading(port, path, users, connections, seconds, seed=1, batch=1):
    """wrk while it runs; SIGINT makes it tell what it has, which wrk_said reads."""
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if users:
            script.write(SCRIPT)
            script.flush()
            command += ["-s", script.name]
        with subprocess.Popen([*map(str, command), f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"USERS": str(users), "SEED": str(seed), "BATCH": str(batch)}) as process:
            yield process


def wrk(*args, **options):
    with loading(*args, **options) as process:
        return wrk_said(process.communicate()[0])


def wrk_said(said):
    """(requests/s, p50 ms, p99 ms, failures)"""
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    bad += sum(map(int, sum(map(list, re.findall(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)), [])))
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), ms(re.search(r"^ +50%\s+(\S+)", said, re.M)[1]),
            ms(re.search(r"^ +99%\s+(\S+)", said, re.M)[1]), bad)


def load(port, path, users, connections, batch=1):
    wrk(port, path, users, connections, WARM_UP_S, batch=batch)
    runs = [wrk(port, path, users, connections, SECONDS, seed=n + 2, batch=batch) for n in range(RUNS)]
    if any(bad for *_, bad in runs):
        sys.exit(f"{path}: requests failed: {runs}")
    return [statistics.median(column) for column in zip(*runs)][:3]


def post(port, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/recommend", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def get(port, path):
    return json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}"))


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


def million(kindred, folder):
    """(dataset, model, users): a model of a million items, trained on generated reviews; some who wrote them."""
    dataset, reviews, users = folder / "million", folder / "million.jsonl", folder / "million.txt"
    if not dataset.exists():
        run([kindred, "generate", "--output", reviews, "--users", 200_000, "--items", 1_500_000, "--reviews", 6_000_000, "--quiet"])
        with open(reviews) as file:
            users.write_text("\n".join(sorted({json.loads(line)["user_id"] for line, _ in zip(file, range(20_000))})) + "\n")
        prepare(kindred, dataset, "--input", reviews, "--min-user", 1, "--min-item", 1)
        reviews.unlink()
    return dataset, trained(kindred, dataset, folder / "million-mf", "--epochs", 30), users


def alike(model, path):
    """The same model with vectors of numbers at random, all of length 1: nothing tells which items are worth a look."""
    import struct

    import numpy as np

    raw = bytearray(model.read_bytes())
    size = struct.unpack("<Q", raw[:8])[0]
    rng = np.random.default_rng(1)
    for name, tensor in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            rows = rng.standard_normal(tensor["shape"]).astype("f4")
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            begin, end = tensor["data_offsets"]
            raw[8 + size + begin:8 + size + end] = rows.tobytes()
    path.write_bytes(raw)
    return path


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
    dataset, model, users = million(kindred, folder)
    for name, file in (("as trained", model), ("of vectors all of one length", alike(model, scratch / "alike.safetensors"))):
        with kindred_server(kindred, dataset, file) as (process, port):
            known = [user for user in users.read_text().split() if get(port, f"/users/{user}")["known"]]
            (scratch / "known.txt").write_text("\n".join(known) + "\n")
            for what, path, who, batch in (("GET /health", "/health", None, 1), (f"POST /recommend, {name}", "/recommend", scratch / "known.txt", 1),
                                           (f"POST /recommend/batch of 16, {name}", "/recommend/batch", scratch / "known.txt", 16)):
                rows.append(row(what, load(port, path, who, 1, batch), [f"{status(process, 'VmRSS'):.0f}"]))
    print_table(["A million items of dim 64, one connection", "requests/s", "p50 ms", "p99 ms", "MB"], rows)


def lists_under(kindred, dataset, files, scratch):
    """(user -> that user's list by each file, the users' file)"""
    both = [lists_of(kindred, dataset, file, scratch) for file in files]
    return {user: [lists[user] for lists, _ in both] for user in both[0][0]}, both[0][1]


def put(file, path):
    shutil.copy(file, f"{path}.new")
    os.replace(f"{path}.new", path)


def reload(kindred, dataset, scratch):
    """Another model, again and again, under full load; meanwhile lists are looked at, which must be wholly of one of the two."""
    files = [trained(kindred, dataset, scratch / f"r{n}", "--epochs", n) for n in (1, 2)]
    path = scratch / "served.safetensors"
    put(files[0], path)
    lists, users = lists_under(kindred, dataset, files, scratch)
    wrong, looked, over = [], [], threading.Event()

    def look(port):
        for user in list(lists) * 100:
            if over.wait(0.02):
                return
            looked.append(user)
            if post(port, {"user_id": user, "top_k": 10})["recommendations"] not in lists[user]:
                wrong.append(user)

    with kindred_server(kindred, dataset, path) as (process, port):
        quiet = load(port, "/recommend", users, 64)
        before = status(process, "VmRSS")
        looking = threading.Thread(target=look, args=(port,))
        with loading(port, "/recommend", users, 64, 3600) as job:
            looking.start()
            for done in range(RELOADS):
                put(files[(done + 1) % 2], path)
                process.send_signal(signal.SIGHUP)
                while json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/model"))["reloads"] <= done:
                    time.sleep(0.01)
            job.send_signal(signal.SIGINT)
            rate, p50, p99, bad = wrk_said(job.communicate()[0])
        over.set()
        looking.join()
        time.sleep(0.5)
        after = status(process, "VmRSS")
    print_table(["Gowalla, 64 connections", "requests/s", "p50 ms", "p99 ms", "failed", "wrong", "MB"],
                [row("one model", quiet, ["0", "", f"{before:.0f}"]),
                 row(f"{RELOADS} reloads meanwhile", (rate, p50, p99), [str(bad), f"{len(wrong)} of {len(looked):,}", f"{after:.0f}"])])


def mixed(kindred, dataset, scratch):
    """Clients of all kinds for SECONDS, turnover of 10,000 connections, a reload a second."""
    sys.path.insert(0, str(HERE.parent / "tests" / "cli"))
    from load import Load

    files = [trained(kindred, dataset, scratch / f"r{n}", "--epochs", n) for n in (1, 2)]
    path = scratch / "served.safetensors"
    put(files[0], path)
    right = {}
    for file in files:
        with kindred_server(kindred, dataset, file) as (process, port):
            for user in map(str, range(200)):
                right.setdefault(user, []).append(post(port, {"user_id": user}))
    with kindred_server(kindred, dataset, path, "--watch", 0.2, "--access-log", scratch / "access") as (process, port):
        Load(port, right).run(3, 100)
        clients, over = Load(port, right), threading.Event()

        def change():
            n = 0
            while not over.wait(1):
                n += 1
                put(files[n % 2], path)

        seen, changing = [], threading.Thread(target=change)
        running = threading.Thread(target=clients.run, args=(float(os.environ.get("SECONDS", 180)), 10_000))
        changing.start()
        running.start()
        while running.is_alive():
            seen.append((status(process, "VmRSS"), len(os.listdir(f"/proc/{process.pid}/fd"))))
            running.join(5)
        over.set()
        changing.join()
        time.sleep(3)
        seen.append((status(process, "VmRSS"), len(os.listdir(f"/proc/{process.pid}/fd"))))
        reloads = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/model"))["reloads"]
    statuses = re.findall(r'"status":(\d+)', (scratch / "access").read_text())
    say(f"statuses: {sorted((status, statuses.count(status)) for status in set(statuses))}; failures: {clients.failures[:3]}")
    middle = len(seen) // 2
    print_table(["clients of all kinds", "answers", "wrong", "connections", "5xx", "reloads", "MB at first, half-way, at the end", "descriptors"],
                [["", f"{clients.counts['answers']:,}", str(len(clients.failures)), f"{clients.counts['turnover']:,}",
                  str(sum(status[0] == "5" for status in statuses)), str(reloads), ", ".join(f"{seen[at][0]:.0f}" for at in (0, middle, -1)),
                  f"{seen[0][1]}, {seen[-1][1]}"]])


def twin(kindred, dataset, scratch):
    model = trained(kindred, dataset, scratch / "mf", "--epochs", 100)
    lists, users = lists_of(kindred, dataset, model, scratch)
    run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch / "package", "--epochs", 1, "--quiet", "--log-model", "--track",
         "mlflow", "--tracking-uri", f"sqlite:///{scratch}/mlflow.db", "--track-dir", scratch / "runs"], stdout=subprocess.DEVNULL)
    make_environment()
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
    if "big" in parts:
        need_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(kindred, dataset, "--train", Path(gowalla) / "train.txt", "--test", Path(gowalla) / "test.txt")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = Path(scratch)
        for part in parts:
            if part == "big":
                big(kindred, folder, scratch)
            else:
                {"routes": routes, "models": models, "reload": reload, "mixed": mixed, "twin": twin}[part](kindred, dataset, scratch)


if __name__ == "__main__":
    main(*sys.argv[1:])
