"""Time `kindred evaluate`, and implicit, torch and numpy at the same ranking.

usage: bench/eval.py KINDRED GOWALLA FOLDER

GOWALLA has train.txt and test.txt, the split of the LightGCN paper; its dataset stays in FOLDER. PARTS="rank" does
these tables alone. The peers run in an environment of their own, .deps/bench-venv; torch only if that has it:
.deps/bench-venv/bin/pip install torch.

Prints Markdown tables: medians over the runs, after a warm-up, two threads. The programs' lists are held against one
another by their recall.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data import HERE, PYTHON, THREADS, make_environment, print_table, run, say

RUNS, MODEL_RUNS = 5, 3
PARTS = "rank models"
PEERS = ("implicit", "torch", "numpy")
SAME = 1e-4


def answer(*command):
    return json.loads(subprocess.check_output(list(map(str, command))))


def by_kindred(kindred, dataset, model):
    runs = [answer(kindred, "evaluate", "--data-dir", dataset, "--model-path", model, "--k", 20, "--metrics", "recall",
                   "--threads", THREADS, "--quiet", "--json", "-") for _ in range(1 + RUNS)]
    return {"seconds": [found["seconds"] for found in runs[1:]], "recall_at_20": runs[0]["recall_at_20"]}


def has(package):
    return not subprocess.run([PYTHON, "-c", f"import {package}"], stderr=subprocess.DEVNULL).returncode


def time_rank(kindred, dataset, scratch):
    run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch, "--epochs", 5, "--future-negatives", 1,
         "--quiet"], stdout=subprocess.DEVNULL)
    model = scratch / "model.safetensors"
    found = {"kindred": by_kindred(kindred, dataset, model)}
    for name in filter(has, PEERS):
        say(name)
        found[name] = answer(PYTHON, HERE / "peers" / "topk.py", name, dataset, model, THREADS, RUNS)
    ours = found["kindred"]
    if any(abs(other["recall_at_20"] - ours["recall_at_20"]) > SAME for other in found.values()):
        sys.exit(f"the lists differ: {found}")
    first = statistics.median(ours["seconds"])
    print_table(["top 20 of all items for all users, dim 64", "s", "runs from, to", "times kindred's"],
                [[name, f"{statistics.median(of['seconds']):.2f}",
                  f"{min(of['seconds']):.2f} to {max(of['seconds']):.2f}",
                  f"{statistics.median(of['seconds']) / first:.1f}"] for name, of in found.items()])


# What is made of Gowalla without epochs: model, options.
CLOSED = {
    "popularity": [],
    "itemknn": [],
    "gram": [],
    "gf": [],
    "svd": [],
    "ials": [],
}


def time_models(kindred, dataset, scratch):
    """Of each closed-form model the median times to make it and to rank for all users, and what it's worth."""
    table = []
    for name, options in CLOSED.items():
        say(name)
        took = []
        for _ in range(1 + MODEL_RUNS):
            run([kindred, "train", "--model", name, "--data-dir", dataset, "--output-dir", scratch, "--threads",
                 THREADS, "--quiet", *options], stdout=subprocess.DEVNULL)
            told = json.loads((scratch / "run.json").read_text())["timings"]
            found = answer(kindred, "evaluate", "--data-dir", dataset, "--model-path", scratch / "model.safetensors",
                           "--k", 20, "--threads", THREADS, "--quiet", "--json", "-")
            took.append((told["init_s"] + told["epochs_s"], found["seconds"]))
        fit, ranking = (statistics.median(column) for column in zip(*took[1:]))
        table.append([name, " ".join(options), f"{fit:.2f}", f"{ranking:.2f}", f"{found['recall_at_20']:.4f}",
                      f"{found['ndcg_at_20']:.4f}"])
    print_table(["Gowalla, test", "options", "fit s", "ranking s", "recall@20", "NDCG@20"], table)


def main(kindred, gowalla, folder):
    gowalla, folder = Path(gowalla), Path(folder)
    dataset = folder / "gowalla"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    make_environment()
    run([kindred, "preprocess", "--train", gowalla / "train.txt", "--test", gowalla / "test.txt",
         "--output-dir", dataset, "--quiet"], stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        tables = {"rank": lambda: time_rank(kindred, dataset, Path(scratch)),
                  "models": lambda: time_models(kindred, dataset, Path(scratch))}
        for part in os.environ.get("PARTS", PARTS).split():
            tables[part]()


if __name__ == "__main__":
    main(*sys.argv[1:])
