"""serve under clients of all kinds, while models change: no wrong answer, no 5xx, nothing that stays behind.

KINDRED_LOAD_SECONDS makes it longer.
"""

import os
import re
import shutil
import threading
import time
from pathlib import Path

import helpers
from load import Load
from program import serving

SECONDS = float(os.environ.get("KINDRED_LOAD_SECONDS", 12))
GROWTH_MB = 40


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident_mb(process):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def answers(kindred, dataset, model, canary, users, log):
    with serving(kindred, log, "--data-dir", dataset, "--model-path", model, "--canary", canary, "--canary-percent", 50) as server:
        with server.connect() as connection:
            return {user: connection.request("POST", "/recommend", json={"user_id": user}).json for user in users}


def test_all_kinds_of_clients_while_models_change(kindred, dataset, tmp_path):
    data = helpers.read_dataset(dataset)
    users = [data.users[user] for user in sorted(helpers.seen_items(data, "train"))][:50]
    for name in ("mf", "popularity"):
        kindred.ok("train", "--data-dir", dataset, "--model", name, "--output-dir", tmp_path / name)
    files = [tmp_path / name / "model.safetensors" for name in ("mf", "popularity")]
    by_file = [answers(kindred, dataset, file, files[0], users, tmp_path / "log") for file in files]
    right = {user: [answer[user] for answer in by_file] for user in users}
    served = tmp_path / "served.safetensors"
    shutil.copy(files[0], served)
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path", served, "--canary", files[0], "--canary-percent", 50,
                 "--threads", 2, "--watch", 0.05, "--access-log", tmp_path / "access", "--feedback", tmp_path / "events.jsonl") as server:
        load = Load(server.port, right)
        over = threading.Event()

        def change():
            n = 0
            while not over.wait(0.2):
                n += 1
                shutil.copy(files[n % 2], tmp_path / "next")
                (tmp_path / "next").rename(served)

        changing = threading.Thread(target=change)
        changing.start()
        Load(server.port, right).run(1, 100)  # what it keeps, it has by then
        before = descriptors(server.process), resident_mb(server.process)
        load.run(SECONDS, 1000 if kindred.is_sanitized() else 10_000)
        over.set()
        changing.join()
        assert not load.failures, load.failures[:3]
        end = time.monotonic() + 20
        while descriptors(server.process) > before[0] and time.monotonic() < end:
            time.sleep(0.05)
        assert descriptors(server.process) <= before[0]
        assert kindred.is_sanitized() or resident_mb(server.process) < before[1] + GROWTH_MB
        told = server.request("GET", "/metrics").body.decode()
        assert int(re.search(r"kindred_reloads_total (\d+)", told)[1]) > 5
        assert 'status="other"' not in told and "kindred_requests_in_flight 1\n" in told
    assert load.counts["answers"] > 100 and min(load.counts[kind] for kind in ("bad", "left", "reset", "turnover")) > 10
    statuses = set(re.findall(r'"status":(\d+)', (tmp_path / "access").read_text()))
    assert statuses <= {"200", "400", "408", "413", "422"}, statuses
