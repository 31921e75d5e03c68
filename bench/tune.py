"""Find what bench/train.py is to train each program with on Gowalla: the same number of settings for each.

usage: bench/tune.py KINDRED GOWALLA FOLDER

Each setting of a grid, learning rate by L2 penalty, is trained for EPOCHS (60) epochs on nine tenths of train's rows
and ranked on the last tenth; test isn't read. PROGRAMS="kindred libmf" does these alone. Prints a Markdown table, the
best of each program first. Where the best lies on the edge of its grid, the grid is too small: that is said.
"""

import os
import sys
import tempfile
from itertools import product
from pathlib import Path

from data import make_environment, print_table, run, say
from train import THREADS, ranked, train, trained

# Per program: the options' names, and four values of each. An option may set several at once.
GRIDS = {
    "kindred": (["--lr={}"], [0.1, 0.2, 0.3, 0.45], ["--reg={}"], [0.0025, 0.005, 0.01, 0.02]),
    "implicit": (["learning_rate={}"], [0.01, 0.02, 0.05, 0.1], ["regularization={}"], [0.0003, 0.001, 0.003, 0.01]),
    "libmf": (["eta={}"], [0.05, 0.1, 0.2, 0.4], ["lambda_p2={}", "lambda_q2={}"], [0.0005, 0.002, 0.005, 0.01]),
    "cornac": (["learning_rate={}"], [0.05, 0.1, 0.2, 0.4], ["lambda_reg={}"], [0.001, 0.003, 0.01, 0.02]),
}


def settings(name):
    """(whether on the edge, [options]) of each point of a program's grid."""
    rates, rate, penalties, penalty = GRIDS[name]
    for (i, r), (j, p) in product(enumerate(rate), enumerate(penalty)):
        edge = i in (0, len(rate) - 1) or j in (0, len(penalty) - 1)
        yield edge, [option.format(r) for option in rates] + [option.format(p) for option in penalties]


def try_all(kindred, name, dataset, output, epochs):
    rows = []
    for edge, options in settings(name):
        say(f"{name} {' '.join(options)}")
        seconds, _, _ = trained(train(kindred, name, dataset, output, epochs, options), output)
        recall, ndcg = ranked(kindred, name, dataset, output)
        rows.append((recall, [name, " ".join(options), f"{seconds:.2f}", f"{recall:.4f}", f"{ndcg:.4f}",
                              "edge" if edge else ""]))
    return [row for _, row in sorted(rows, key=lambda found: -found[0])]


def main(kindred, gowalla, folder):
    folder, epochs = Path(folder), int(os.environ.get("EPOCHS") or 60)
    dataset = folder / "gowalla-held-out"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OPENBLAS_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    make_environment()
    run([kindred, "preprocess", "--input", Path(gowalla) / "train.txt", "--split", "random", "--train-ratio", "0.9",
         "--val-ratio", "0", "--min-user", "1", "--min-item", "1", "--output-dir", dataset, "--quiet"])
    table = []
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder) as scratch:
        for name in os.environ.get("PROGRAMS", " ".join(GRIDS)).split():
            table += try_all(kindred, name, dataset, Path(scratch) / name, epochs)
    print_table([f"program, {epochs} epochs", "settings", "training s", "recall@20", "NDCG@20", "of its grid"], table)


if __name__ == "__main__":
    main(*sys.argv[1:])
