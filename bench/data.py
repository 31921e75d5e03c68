"""Time `kindred preprocess`: every form of input, small memory, and pandas and polars at the same job.

usage: bench/data.py KINDRED FOLDER

The reviews are generated, 2,000,000 of them or 1 GB (REVIEWS=N: as many), and stay in FOLDER for the next time;
BIG=1 adds a file of ten times as many. FORMS="jsonl csv" times these forms alone. pandas and polars run in an
environment of their own, .deps/bench-venv, which is made when it's missing.

Prints Markdown tables: medians over the runs, after a warm-up, of whole processes that take turns, each with two
threads. It stops when not all have found the same dataset.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import measure

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".deps" / "bench-venv"
PYTHON = VENV / "bin" / "python"
PEERS = ("pandas", "polars")
RUNS, PEER_RUNS, BIG_RUNS = 5, 3, 3
THREADS = 2
COUNTS = ("num_users", "num_items", "train_size", "val_size", "test_size")
# LIBMF comes as source, and its package leaves out what LIBMF's own Makefile has: vectors, and threads to prepare with.
COMPILE = {"CXXFLAGS": "-O3 -march=native -DUSEAVX -DUSEOMP -fopenmp", "LDFLAGS": "-fopenmp"}
PACKERS = {"gz": ["gzip", "-1"], "zst": ["zstd", "-q"]}
# name: (how the file ends, further options, what it's called)
FORMS = {
    "jsonl": ("jsonl", [], "JSONL"),
    "memory": ("jsonl", ["--memory-limit", "256MB"], "JSONL, `--memory-limit 256MB`"),
    "gz": ("jsonl.gz", [], "JSONL, gzip"),
    "zst": ("jsonl.zst", [], "JSONL, zstd"),
    "csv": ("csv", [], "CSV: user, item, rating, time"),
    "parquet": ("parquet", [], "Parquet, all columns"),
}


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(command, **options):
    if subprocess.run(list(map(str, command)), **options).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


# What is needed


def make_environment():
    wanted = HERE / "peers" / "requirements.txt"
    there = VENV / "requirements.txt"
    if there.is_file() and there.read_bytes() == wanted.read_bytes():
        return
    say(f"making {VENV}")
    run([sys.executable, "-m", "venv", "--clear", VENV])
    run([PYTHON, "-m", "pip", "install", "-q", "--no-cache-dir", "-r", wanted], env=os.environ | COMPILE)
    shutil.copy(wanted, there)


def made(path, make):
    """The path, after make(a name to write to) where it isn't there yet."""
    if not path.is_file():
        say(f"making {path}")
        part = path.with_name(f"part-{path.name}")
        make(part)
        part.rename(path)
    return path


def generated(kindred, folder, n, n_users, n_items):
    command = [kindred, "generate", "--reviews", n, "--users", n_users, "--items", n_items, "--quiet", "--output"]
    return made(folder / f"reviews-{n}-of-{n_items}-items.jsonl", lambda path: run([*command, path]))


def in_form(reviews, ending):
    """The same reviews as a file with this ending."""
    form = ending.rsplit(".", 1)[-1]

    def make(path):
        if form in PACKERS and shutil.which(PACKERS[form][0]):
            with open(reviews, "rb") as text, open(path, "wb") as packed:
                run(PACKERS[form], stdin=text, stdout=packed)
        else:
            run([PYTHON, HERE / "forms.py", reviews, path])

    return made(reviews.with_suffix(f".{ending}"), make)


# The runs


def preprocess(kindred, path, output, *options):
    return [kindred, "preprocess", "--input", path, "--output-dir", output, "--min-user", "5", "--min-item", "5",
            "--split", "temporal", "--threads", str(THREADS), "--quiet", *options]


def take_turns(jobs):
    """{name: medians of (wall s, processor s, peak MB)} of jobs {name: (command, runs)}, a run of each at a time."""
    taken = {name: [] for name in jobs}
    for turn in range(1 + max(runs for _, runs in jobs.values())):
        for name, (command, runs) in jobs.items():
            if turn <= runs:
                say(f"{name}, {f'run {turn} of {runs}' if turn else 'warm-up'}")
                taken[name].append(measure(list(map(str, command))))
    return {name: [statistics.median(column) for column in zip(*runs[1:])] for name, runs in taken.items()}


def stats(folder, name):
    return json.loads((folder / name / "stats.json").read_text())


def check(folder, ours, peers):
    """Stop unless ours are the same dataset, byte for byte, and the peers' has as many of everything."""
    first = stats(folder, ours[0])
    for name in ours:
        if stats(folder, name)["digest"] != first["digest"]:
            sys.exit(f"{name} gave another dataset than {ours[0]}")
    for name in peers:
        for count in COUNTS:
            if stats(folder, name)[count] != first[count]:
                sys.exit(f"{name}: {count} is {stats(folder, name)[count]}, not {first[count]} as ours")
    return first


# The tables


def print_table(header, rows):
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_forms(names, paths, medians, n):
    """GB/s: of the text, unpacked; a Parquet file is no text."""
    rows = []
    for name in names:
        wall, processor, peak = medians[name]
        size = paths[name].stat().st_size
        text = None if name == "parquet" else size if name == "csv" else paths["text"].stat().st_size
        rows.append([FORMS[name][2], f"{size / 1e6:,.0f}", f"{wall:.2f}", f"{text / wall / 1e9:.2f}" if text else "",
                     f"{wall / n * 1e6:.2f}", f"{processor:.2f}", f"{peak:.0f}"])
    print_table(["input", "MB", "wall s", "GB/s", "us a review", "processor s", "peak MB"], rows)


def print_peers(ours, medians):
    rows = []
    for name in (ours, *PEERS):
        wall, processor, peak = medians[name]
        rows.append(["kindred" if name == ours else name, f"{wall:.2f}", f"{wall / medians[ours][0]:.1f}",
                     f"{processor:.2f}", f"{peak:.0f}"])
    print_table(["the same job, from JSONL", "wall s", "times ours", "processor s", "peak MB"], rows)


def time_forms(kindred, folder, scratch, n):
    """us a review of the first form, after the tables of all of them and of the peers."""
    names = os.environ.get("FORMS", " ".join(FORMS)).split()
    if not names or not FORMS.keys() >= set(names):
        sys.exit(f"FORMS: some of {' '.join(FORMS)}")
    reviews = generated(kindred, folder, n, n // 10, n // 40)
    paths = {name: in_form(reviews, FORMS[name][0]) for name in names} | {"text": reviews}
    jobs = {name: (preprocess(kindred, paths[name], scratch / name, *FORMS[name][1]), RUNS) for name in names}
    peers = PEERS if "jsonl" in names else ()
    for peer in peers:
        jobs[peer] = ([PYTHON, HERE / "peers" / f"{peer}_preprocess.py", reviews, scratch / peer], PEER_RUNS)
    medians = take_turns(jobs)
    found = check(scratch, names, peers)
    print(f"{n:,} reviews, of which 5/5 keeps {sum(found[count] for count in COUNTS[2:]):,} "
          f"of {found['num_users']:,} users and {found['num_items']:,} items")
    print_forms(names, paths, medians, n)
    if peers:
        print_peers("jsonl", medians)
    return medians[names[0]][0] / n * 1e6


def time_big(kindred, folder, scratch, n, us_small):
    reviews = generated(kindred, folder, n, n // 10, n // 100)
    command = preprocess(kindred, reviews, scratch / "big", "--memory-limit", "2GB")
    wall, processor, peak = take_turns({"big": (command, BIG_RUNS)})["big"]
    us = wall / n * 1e6
    print_table(["input", "MB", "wall s", "us a review", "times the above", "processor s", "peak MB"],
                [[f"JSONL, {n:,} reviews, `--memory-limit 2GB`", f"{reviews.stat().st_size / 1e6:,.0f}", f"{wall:.1f}",
                  f"{us:.2f}", f"{us / us_small:.2f}", f"{processor:.1f}", f"{peak:.0f}"]])


def main(kindred, folder):
    n = int(os.environ.get("REVIEWS") or 2_000_000)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"POLARS_MAX_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}  # the latter: pyarrow too
    make_environment()
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        us = time_forms(kindred, folder, Path(scratch), n)
        if os.environ.get("BIG") == "1":
            time_big(kindred, folder, Path(scratch), 10 * n, us)


if __name__ == "__main__":
    main(*sys.argv[1:])
