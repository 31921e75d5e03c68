"""Time the road from reviews to recommendations, each step as a whole process, and the server's start.

usage: bench/pipeline.py KINDRED REVIEWS [RUNS]

Prints a Markdown table: medians over the runs (5 if not given) of wall and processor seconds and of peak memory,
then the metrics of the model on test. Everything is written to a temporary folder.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["KINDRED_TRACK"] = "off"  # of all benchmarks, which import this


def measure(command):
    """(wall s, processor s, peak MB) of a command that must succeed."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status:
        sys.exit(f"{' '.join(map(str, command))}: status {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def time_to_ready(command):
    """(wall s, None, None) from the start of a server until it accepts."""
    start = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        while not server.stderr.readline().startswith("serving on "):
            if server.poll() is not None:
                sys.exit("the server didn't start")
        wall = time.monotonic() - start
        server.terminate()
    return wall, None, None


def main(kindred, reviews, runs=5):
    folder = Path(tempfile.mkdtemp(prefix="kindred-bench-"))
    data, out = folder / "processed", folder / "outputs"
    model = out / "model.safetensors"
    on_data = ["--data-dir", data, "--model-path", model]
    steps = [
        ("preprocess", measure, ["preprocess", "--input", reviews, "--output-dir", data]),
        ("train, 10 epochs", measure, ["train", "--data-dir", data, "--output-dir", out, "--epochs", "10"]),
        ("train, defaults", measure, ["train", "--data-dir", data, "--output-dir", out]),
        ("evaluate", measure, ["evaluate", *on_data]),
        ("recommend to CSV", measure, ["recommend", *on_data, "--output", folder / "out.csv"]),
        ("serve, until ready", time_to_ready, ["serve", *on_data, "--port", "0"]),
    ]
    print("| step | wall s | processor s | peak MB |\n|---|---|---|---|")
    for name, how, args in steps:
        command = [kindred, *map(str, args)]
        how(command)  # a warm-up
        columns = zip(*(how(command) for _ in range(int(runs))))
        medians = [None if column[0] is None else statistics.median(column) for column in columns]
        wall, processor, peak = medians
        print(f"| {name} | {wall:.2f} | " + ("| |" if processor is None else f"{processor:.2f} | {peak:.0f} |"))
    for name in ("baselines", "evaluate"):
        extra = on_data if name == "evaluate" else ["--data-dir", data]
        results = json.loads(subprocess.check_output([kindred, name, *extra, "--json", "-"]))
        for row in results.get("results", [results]):
            print(f"\n{row['model']}: recall@20 {row['recall_at_20']:.4f}, NDCG@20 {row['ndcg_at_20']:.4f}, "
                  f"{row['users']} users known from train")


if __name__ == "__main__":
    main(*sys.argv[1:])
