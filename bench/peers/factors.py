"""What the peers' trainers share: they read the dataset that kindred reads, and leave vectors to rank by.

usage: train_PEER.py DATASET FOLDER EPOCHS DIM THREADS NAME=VALUE...

The dataset is a folder of `kindred preprocess`; the values are the peer's own options. Into FOLDER go factors.npz:
users (n_users, d) and items (n_items, d), whose products are the scores; and run.json: fit_s, the time of training
alone.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def sizes(dataset):
    """(n_users, n_items), with those that have no train row."""
    stats = json.loads((Path(dataset) / "stats.json").read_text())
    return stats["num_users"], stats["num_items"]


def read_rows(dataset, part):
    """(users, items) of a part, int32 (n) each, by user."""
    rows = pq.read_table(Path(dataset) / f"{part}.parquet", columns=["user_idx", "item_idx"])
    return rows["user_idx"].to_numpy(), rows["item_idx"].to_numpy()


def with_bias(users, items, bias):
    """The vectors longer by one, so that the item's bias is part of the product."""
    return np.column_stack([users, np.ones(len(users), users.dtype)]), np.column_stack([items, bias])


def train_and_write(fit):
    """Call fit(dataset, epochs, dim, threads, options), which gives (what to time, what gives the vectors then)."""
    dataset, folder, *numbers = sys.argv[1:6]
    options = {name: float(value) for name, value in (word.split("=") for word in sys.argv[6:])}
    train, vectors = fit(dataset, *map(int, numbers), options)
    start = time.perf_counter()
    train()
    seconds = time.perf_counter() - start
    users, items = vectors()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "factors.npz", users=users, items=items)
    (folder / "run.json").write_text(json.dumps({"fit_s": seconds}))
