"""Time `kindred train` and rank by what it has learnt, and implicit, LIBMF and Cornac at the same job.

usage: bench/train.py KINDRED GOWALLA AMAZON FOLDER

GOWALLA has train.txt and test.txt, the split of the LightGCN paper; its dataset stays in FOLDER. AMAZON has
Grocery_and_Gourmet_Food.csv.gz (2014) and Electronics_2023.parquet. PARTS="speed quality neumf grid future big" does
these tables alone; without it all but "big": 100,000,000 generated reviews, ours alone (REVIEWS=N: as many).
PROGRAMS="kindred libmf" times these alone. The peers run in an environment of their own, .deps/bench-venv, which is
made when it's missing.

Prints Markdown tables. Of speed: medians over the runs, after a warm-up, of processes that take turns, each with two
threads; the time is that of training alone, what precedes the first epoch included, reading apart. Of quality: the
median time of the runs, whose models are the same for us, and what the last one's is worth. It stops when `kindred
evaluate` and the peers' ranking (peers/rank.py) differ on our model.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data import HERE, PYTHON, THREADS, VENV, make_environment, print_table, run, say
from pipeline import measure

DIM = 64
RUNS, QUALITY_RUNS, BIG_RUNS = 5, 3, 3
SPEED_EPOCHS, BIG_EPOCHS, NEUMF_EPOCHS = 20, 5, 2
LONG = 100  # more epochs than that are run once
PARTS = "speed quality neumf grid future"
SEEDS = range(1, 6)
SAME = 1e-4
# What each is trained with on Gowalla: of the peers what bench/tune.py liked best, of kindred what did nearly as well
# there and is further from diverging.
SETTINGS = {
    "kindred": ["--lr", "0.2", "--reg", "0.005"],
    "implicit": ["learning_rate=0.02", "regularization=0.0003"],
    "libmf": ["eta=0.2", "lambda_p2=0.005", "lambda_q2=0.005"],
    "cornac": ["learning_rate=0.1", "lambda_reg=0.003"],
}
# Gowalla has no times, and is denser than what the defaults of the penalties are for.
OURS = ["--embedding-dim", str(DIM), "--future-negatives", "1", "--reg-positive", "1", "--reg-negative", "1"]
PEERS = {"implicit": [], "libmf": ["lambda_p1=0", "lambda_q1=0"], "cornac": []}
SETTINGS["libmf as pip builds it"] = SETTINGS["libmf"]
PEERS["libmf as pip builds it"] = PEERS["libmf"]
PLAIN = VENV.with_name("bench-libmf")
SOFTMAX = ["--loss", "softmax", "--similarity", "cosine", "--temperature", "0.1", "--batch-size", "128", "--negatives",
           "1024", "--lr", "0.05", "--reg", "0.01"]
# What is ranked: program, epochs, what it is called, and the options where they aren't SETTINGS.
RANKED = [
    ("kindred", 80, "kindred, BPR", None),
    ("kindred", 60, "kindred, BPR, hardest of 16", ["--lr", "0.2", "--reg", "0.03", "--hardest-of", "16"]),
    ("kindred", 240, "kindred, BPR, hardest of 64", ["--lr", "0.1", "--reg", "0.03", "--hardest-of", "64",
                                                     "--reg-positive", "2", "--reg-negative", "2"]),
    ("kindred", 120, "kindred, sampled softmax", SOFTMAX),
    ("libmf", 60, "LIBMF", None),
    ("cornac", 60, "Cornac", None),
    ("implicit", 60, "implicit", None),
]
NEUMF = ["--model", "neumf", "--embedding-dim", "64", "--hidden", "128,64,32,16", "--optimizer", "adam", "--loss",
         "bce", "--future-negatives", "1", "--negatives"]
GRIDS = [1, 2, 4, 8, 16, 32]
REVIEWS = {"Grocery, 5/5": ("Grocery_and_Gourmet_Food.csv.gz", 5),
           "Electronics_2023, 3/3": ("Electronics_2023.parquet", 3)}
KEPT = {"uniform": 1, "a fifth of the future's (default)": 0.2, "past only": 0}
# What becomes of as many positives as train has rows, which is an epoch for each.
COUNTED = {
    "kindred": "every row once; a negative that the user has is drawn again",
    "implicit": "rows drawn with replacement; a negative that the user has skips one, which counts",
    "libmf": "every row once; the negative may be one that the user has",
    "libmf as pip builds it": "as above; its package leaves out vectors and threads, which we turn on above",
    "cornac": "rows drawn with replacement; a negative that the user has skips one, which counts",
}


# The runs


def train(kindred, name, dataset, output, epochs, settings=None, threads=THREADS):
    settings = SETTINGS[name] if settings is None else settings
    if name == "kindred":
        return [kindred, "train", "--data-dir", dataset, "--output-dir", output, "--epochs", epochs, "--quiet",
                "--threads", threads, *([] if "--model" in settings else OURS), *settings]
    plain, script = name.endswith("builds it"), name.split()[0]
    return [*(["env", f"PYTHONPATH={PLAIN}"] if plain else []), PYTHON, HERE / "peers" / f"train_{script}.py", dataset,
            output, epochs, DIM, threads, *PEERS[name], *settings]


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


def time_quality(kindred, names, dataset, scratch):
    table = []
    for name, epochs, label, settings in RANKED:
        if name not in names:
            continue
        job = (train(kindred, name, dataset, scratch / name, epochs, settings), scratch / name)
        alone = [trained(*job)[0]] if epochs > LONG else take_turns({label: job}, QUALITY_RUNS)[label][0]
        recall, ndcg = ranked(kindred, name, dataset, scratch / name)
        table.append([label, str(epochs), f"{statistics.median(alone):.2f}", f"{recall:.4f}", f"{ndcg:.4f}"])
    print_table(["Gowalla, test", "epochs", "training s", "recall@20", "NDCG@20"], table)


def time_neumf(kindred, dataset, scratch):
    """A sample is a pair of a user and an item: a positive, or its negative."""
    output = scratch / "neumf"
    jobs = {n: (train(kindred, "kindred", dataset, output, NEUMF_EPOCHS, [*NEUMF, str(n)]), output) for n in (1, 4, 8)}
    positives = rows_of(dataset)[0] * NEUMF_EPOCHS / 1e6
    print_table(["64 + 128-64-32-16, Adam: negatives a positive", "million samples/s", "s an epoch"],
                [[str(n), f"{positives * (1 + n) / statistics.median(alone):.2f}",
                  f"{statistics.median(alone) / NEUMF_EPOCHS:.2f}"]
                 for n, (alone, _, _) in take_turns(jobs, RUNS).items()])


def time_grids(kindred, dataset, scratch):
    """1 block is plain order by user, on one thread: the grid's cost is what the others lose against it."""
    threads = {p: [t for t in (1, THREADS) if t <= p] for p in GRIDS}
    epochs = RANKED[0][1]
    jobs = {(p, t): (train(kindred, "kindred", dataset, scratch / f"grid-{p}", epochs,
                           [*SETTINGS["kindred"], "--partitions", str(p)], t), scratch / f"grid-{p}")
            for p in GRIDS for t in threads[p]}
    taken = take_turns(jobs, QUALITY_RUNS)
    positives = rows_of(dataset)[0] * epochs / 1e6
    table = []
    for p in GRIDS:
        recall, ndcg = ranked(kindred, "kindred", dataset, scratch / f"grid-{p}")
        speeds = [f"{positives / statistics.median(taken[p, t][0]):.1f}" for t in threads[p]]
        table.append([f"{p} x {p}", *speeds, *([""] * (2 - len(speeds))), f"{recall:.4f}", f"{ndcg:.4f}"])
    print_table([f"BPR, {epochs} epochs, Gowalla", "million positives/s, one thread", "two threads", "recall@20",
                 "NDCG@20"], table)


def try_futures(kindred, amazon, folder, scratch):
    """Means and spread over the seeds of recall@20 of users known from train, on val and on test."""
    table = []
    for label, (file, least) in REVIEWS.items():
        dataset = folder / file.split(".")[0]
        run([kindred, "preprocess", "--input", amazon / file, "--output-dir", dataset, "--quiet",
             "--min-user", least, "--min-item", least], stdout=subprocess.DEVNULL)
        for kept, share in KEPT.items():
            row = [label, kept]
            found = {"val": [], "test": []}
            for seed in SEEDS:
                run([kindred, "train", "--data-dir", dataset, "--output-dir", scratch / "future", "--quiet",
                     "--seed", seed, "--future-negatives", share], stdout=subprocess.DEVNULL)
                for split, means in found.items():
                    means.append(answer(kindred, "evaluate", "--data-dir", dataset, "--model-path",
                                        scratch / "future" / "model.safetensors", "--split", split, "--quiet", "--json",
                                        "-")["recall_at_20"])
            for means in found.values():
                row.append(f"{statistics.mean(means):.4f} ± {statistics.stdev(means):.4f}")
            table.append(row)
    print_table(["temporal split", "negatives", "recall@20, val", "recall@20, test"], table)


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
    job = (train(kindred, "kindred", dataset, scratch / "big", BIG_EPOCHS, ["--lr", "0.05"]), scratch / "big")
    alone, wall, peak = take_turns({"kindred, big": job}, BIG_RUNS)["kindred, big"]
    median = statistics.median(alone)
    tables, data = (n_users + n_items) * DIM * 4 / 2**20, (12 * n_rows + 8 * n_users) / 2**20
    print_table([f"{BIG_EPOCHS} epochs, dim {DIM}", "million positives/s", "training s", "process s", "peak MB",
                 "tables MB", "data MB", "peak over both"],
                [[f"{n_rows:,} rows of {n_users:,} users and {n_items:,} items",
                  f"{n_rows * BIG_EPOCHS / 1e6 / median:.2f}", f"{median:.1f}", f"{wall:.1f}", f"{peak:,.0f}",
                  f"{tables:,.0f}", f"{data:,.0f}", f"{peak / (tables + data):.2f}"]])


def make_plain():
    """LIBMF as `pip install libmf` leaves it, beside the one that data.py compiles with what its Makefile has."""
    if not PLAIN.is_dir():
        say(f"making {PLAIN}")
        wanted = (HERE / "peers" / "requirements.txt").read_text().splitlines()
        run([PYTHON, "-m", "pip", "install", "-q", "--no-cache-dir", "--no-deps", "--target", PLAIN,
             next(line for line in wanted if line.startswith("libmf"))])


def main(kindred, gowalla, amazon, folder):
    gowalla, amazon, folder = Path(gowalla), Path(amazon), Path(folder)
    names = [name for name in COUNTED if name.split()[0] in os.environ.get("PROGRAMS", " ".join(COUNTED)).split()]
    parts = os.environ.get("PARTS", PARTS).split()
    dataset = folder / "gowalla"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    make_environment()
    make_plain()
    run([kindred, "preprocess", "--train", gowalla / "train.txt", "--test", gowalla / "test.txt",
         "--output-dir", dataset, "--quiet"], stdout=subprocess.DEVNULL)
    print("Gowalla: {:,} train rows of {:,} users and {:,} items".format(*rows_of(dataset)))
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        scratch = Path(scratch)
        tables = {"speed": lambda: time_speed(kindred, names, dataset, scratch),
                  "quality": lambda: time_quality(kindred, names, dataset, scratch),
                  "neumf": lambda: time_neumf(kindred, dataset, scratch),
                  "grid": lambda: time_grids(kindred, dataset, scratch),
                  "future": lambda: try_futures(kindred, amazon, folder, scratch),
                  "big": lambda: time_big(kindred, folder, scratch, int(os.environ.get("REVIEWS") or 100_000_000))}
        for part in parts:
            tables[part]()


if __name__ == "__main__":
    main(*sys.argv[1:])
