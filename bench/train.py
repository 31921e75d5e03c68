"""Time `kindred train` and rank by what it has learnt, and implicit, LIBMF and Cornac at the same job.

usage: bench/train.py KINDRED GOWALLA FOLDER

GOWALLA has train.txt and test.txt, the split of the LightGCN paper; its dataset stays in FOLDER. EPOCHS="20 60" are
the lengths of the trainings that are ranked; PROGRAMS="kindred libmf" does these alone. BIG=1 adds 100,000,000
generated reviews, ours alone (REVIEWS=N: as many). The peers run in an environment of their own, .deps/bench-venv,
which is made when it's missing.

Prints Markdown tables. Of speed: medians over the runs, after a warm-up, of processes that take turns, each with two
threads; the time is that of training alone, what precedes the first epoch included, reading apart. Of quality: a run
of each length. It stops when `kindred evaluate` and the peers' ranking (peers/rank.py) differ on our model.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data import HERE, PYTHON, THREADS, make_environment, print_table, run, say
from pipeline import measure

DIM = 64
RUNS, BIG_RUNS = 5, 3
SPEED_EPOCHS, BIG_EPOCHS = 20, 5
LENGTHS = "20 60 200"
SAME = 1e-4
# What each is trained with on Gowalla: what bench/tune.py liked best.
SETTINGS = {
    "kindred": ["--lr", "0.2", "--reg", "0.005"],
    "implicit": ["learning_rate=0.02", "regularization=0.003"],
    "libmf": ["eta=0.2", "lambda_p2=0.002", "lambda_q2=0.002"],
    "cornac": ["learning_rate=0.1", "lambda_reg=0.003"],
}
# Gowalla has no times, and is denser than what the defaults of the penalties are for.
OURS = ["--future-negatives", "1", "--reg-positive", "1", "--reg-negative", "1"]
PEERS = {"implicit": [], "libmf": ["lambda_p1=0", "lambda_q1=0"], "cornac": []}
# What becomes of as many positives as train has rows, which is an epoch for each.
COUNTED = {
    "kindred": "every row once; a negative that the user has is drawn again",
    "implicit": "rows drawn with replacement; a negative that the user has skips one, which counts",
    "libmf": "every row once; the negative may be one that the user has",
    "cornac": "rows drawn with replacement; a negative that the user has skips one, which counts",
}


# The runs


def train(kindred, name, dataset, output, epochs, settings=None):
    settings = settings or SETTINGS[name]
    if name == "kindred":
        return [kindred, "train", "--data-dir", dataset, "--output-dir", output, "--epochs", epochs,
                "--embedding-dim", DIM, "--threads", THREADS, "--quiet", *OURS, *settings]
    return [PYTHON, HERE / "peers" / f"train_{name}.py", dataset, output, epochs, DIM, THREADS, *PEERS[name], *settings]


def trained(command, output):
    """(s of training alone, wall s, peak MB) of a run of a trainer."""
    wall, _, peak = measure(list(map(str, command)))
    told = json.loads((output / "run.json").read_text())
    alone = told["timings"]["init_s"] + told["timings"]["epochs_s"] if "timings" in told else told["fit_s"]
    return alone, wall, peak


def take_turns(jobs, runs):
    """{name: (list of s of training alone, median wall s, median peak MB)} of jobs {name: (command, output)}."""
    taken = {name: [] for name in jobs}
    for turn in range(1 + runs):
        for name, job in jobs.items():
            say(f"{name}, {f'run {turn} of {runs}' if turn else 'warm-up'}")
            taken[name].append(trained(*job))
    columns = {name: list(zip(*rows[1:])) for name, rows in taken.items()}
    return {name: (alone, statistics.median(wall), statistics.median(peak))
            for name, (alone, wall, peak) in columns.items()}


def answer(*command):
    return json.loads(subprocess.check_output(list(map(str, command))))


def ranked(kindred, name, dataset, output):
    """(recall@20, NDCG@20) on test of what a trainer left there."""
    vectors = output / ("model.safetensors" if name == "kindred" else "factors.npz")
    found = answer(PYTHON, HERE / "peers" / "rank.py", dataset, vectors)
    if name == "kindred":
        ours = answer(kindred, "evaluate", "--data-dir", dataset, "--model-path", vectors, "--threads", THREADS,
                      "--quiet", "--json", "-")
        if any(abs(ours[key] - found[key]) > SAME for key in found):
            sys.exit(f"kindred evaluate and peers/rank.py differ: {ours} and {found}")
        found = ours
    return found["recall_at_20"], found["ndcg_at_20"]


# The tables


def rows_of(dataset):
    stats = json.loads((dataset / "stats.json").read_text())
    return stats["train_size"], stats["num_users"], stats["num_items"]


def time_speed(kindred, names, dataset, scratch):
    jobs = {name: (train(kindred, name, dataset, scratch / name, SPEED_EPOCHS), scratch / name) for name in names}
    taken = take_turns(jobs, RUNS)
    positives = rows_of(dataset)[0] * SPEED_EPOCHS / 1e6
    first = statistics.median(taken[names[0]][0])
    table = []
    for name, (alone, wall, peak) in taken.items():
        median = statistics.median(alone)
        spread = f"{positives / max(alone):.2f} to {positives / min(alone):.2f}"
        table.append([name, f"{positives / median:.2f}", spread, f"{median / first:.1f}", f"{median:.2f}",
                      f"{wall:.2f}", f"{peak:.0f}", COUNTED[name]])
    print_table([f"{SPEED_EPOCHS} epochs, dim {DIM}", "million positives/s", "runs from, to",
                 f"times {names[0]}'s time", "training s", "process s", "peak MB", "an epoch's positives"], table)


def time_quality(kindred, names, lengths, dataset, scratch):
    table = []
    for epochs in lengths:
        for name in names:
            say(f"{name}, {epochs} epochs")
            alone, _, _ = trained(train(kindred, name, dataset, scratch / name, epochs), scratch / name)
            recall, ndcg = ranked(kindred, name, dataset, scratch / name)
            table.append([name, str(epochs), f"{alone:.2f}", f"{recall:.4f}", f"{ndcg:.4f}"])
    print_table(["program", "epochs", "training s", "recall@20", "NDCG@20"], table)


def generated(kindred, dataset, n):
    """A dataset of n reviews, all of them train; the text, 500 bytes a review, goes from one to the other."""
    if not (dataset / "stats.json").is_file():
        say(f"making {dataset}")
        command = [kindred, "generate", "--reviews", n, "--users", n // 20, "--items", n // 100, "--quiet",
                   "--output", "-"]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as text:
            run([kindred, "preprocess", "--train", "-", "--format", "jsonl", "--output-dir", dataset, "--quiet"],
                stdin=text.stdout, stdout=subprocess.DEVNULL)
        if text.returncode:
            sys.exit(f"failed: {' '.join(map(str, command))}")
    return dataset


def time_big(kindred, folder, scratch, n):
    """Memory in MB; of data: what reading leaves of a row, an item and a time, 12 bytes, and 8 of each user."""
    dataset = generated(kindred, folder / f"train-{n}", n)
    n_rows, n_users, n_items = rows_of(dataset)
    job = (train(kindred, "kindred", dataset, scratch / "big", BIG_EPOCHS), scratch / "big")
    alone, wall, peak = take_turns({"kindred, big": job}, BIG_RUNS)["kindred, big"]
    median = statistics.median(alone)
    tables, data = (n_users + n_items) * DIM * 4 / 2**20, (12 * n_rows + 8 * n_users) / 2**20
    print_table([f"{BIG_EPOCHS} epochs, dim {DIM}", "million positives/s", "training s", "process s", "peak MB",
                 "tables MB", "data MB", "peak over both"],
                [[f"{n_rows:,} rows of {n_users:,} users and {n_items:,} items",
                  f"{n_rows * BIG_EPOCHS / 1e6 / median:.2f}", f"{median:.1f}", f"{wall:.1f}", f"{peak:,.0f}",
                  f"{tables:,.0f}", f"{data:,.0f}", f"{peak / (tables + data):.2f}"]])


def main(kindred, gowalla, folder):
    gowalla, folder = Path(gowalla), Path(folder)
    names = os.environ.get("PROGRAMS", " ".join(COUNTED)).split()
    if not names or not COUNTED.keys() >= set(names):
        sys.exit(f"PROGRAMS: some of {' '.join(COUNTED)}")
    lengths = [int(word) for word in (os.environ.get("EPOCHS") or LENGTHS).split()]
    dataset = folder / "gowalla"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    make_environment()
    run([kindred, "preprocess", "--train", gowalla / "train.txt", "--test", gowalla / "test.txt",
         "--output-dir", dataset, "--quiet"], stdout=subprocess.DEVNULL)
    print("Gowalla: {:,} train rows of {:,} users and {:,} items".format(*rows_of(dataset)))
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        time_speed(kindred, names, dataset, Path(scratch))
        time_quality(kindred, names, lengths, dataset, Path(scratch))
        if os.environ.get("BIG") == "1":
            time_big(kindred, folder, Path(scratch), int(os.environ.get("REVIEWS") or 100_000_000))


if __name__ == "__main__":
    main(*sys.argv[1:])
