"""Files in and out: reviews made for the tests, datasets and models read back, rankings compared."""

import functools
import gzip
import hashlib
import json
import random
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import save_file

import oracle

TABLES = (*oracle.PARTS, "users", "items")


# Reviews


def made_rows(seed=1, n_users=60, n_items=40, n_rows=1500, first_letters="aBZé~_日😀'\""):
    """Rows with all that makes filters and splits hard: most times are shared, repeats abound (also of
    equal times: the rating tells which row was kept), rare ids cascade, and the ids' orders by byte, by
    alphabet and by number differ."""
    rng = random.Random(seed)

    def one_id(n):
        at = int(n * rng.random() ** 2)
        return f"{first_letters[at % len(first_letters)]}{at}"

    def one_time():
        return 1_600_000_000_000 + rng.randrange(200) * 86_400_000

    return [oracle.Row(one_id(n_users), one_id(n_items), one_time(), rng.randrange(1, 51) / 10)
            for _ in range(n_rows)]


def made_csv_rows():
    """The same without double quotes, which mean something in CSV."""
    return made_rows(first_letters="aBZé~_日😀'")


def review(row, **fields):
    """A line of Amazon Reviews 2023 of this row; fields replace or, if None, remove its own."""
    own = {"rating": row.rating, "title": "t", "parent_asin": row.item, "user_id": row.user,
           "timestamp": row.time}
    return json.dumps({name: value for name, value in (own | fields).items() if value is not None}).encode()


def write_lines(path, lines, ending=b"\n"):
    path.write_bytes(b"".join(line + ending for line in lines))
    return path


def write_jsonl(path, rows):
    return write_lines(path, map(review, rows))


def write_csv(path, rows, header="user_id,item_id,time,rating", fields=oracle.FIELDS, delimiter=None):
    """fields: what each column of the header holds, None for a column of no interest; header None: none."""
    delimiter = delimiter or max(("\t", ",", ";", "::", "|"), key=header.count)
    lines = (delimiter.join(str(getattr(row, field)) if field else "x" for field in fields) for row in rows)
    return write_lines(path, (line.encode() for line in ([header] if header else []) + list(lines)))


def write_parquet(path, rows, **columns):
    """columns: name -> values or an Arrow array, in place of or in addition to the rows' own."""
    own = {"user_id": [row.user for row in rows], "parent_asin": [row.item for row in rows],
           "timestamp": [row.time for row in rows], "rating": [row.rating for row in rows]}
    pq.write_table(pa.table({name: values for name, values in (own | columns).items() if values is not None}),
                   path, row_group_size=400)
    return path


def write_sequences(path, rows):
    """A line for each user: the items in order of time."""
    items = {}
    for row in sorted(rows, key=lambda row: row.time):
        items.setdefault(row.user, []).append(row.item)
    return write_lines(path, (" ".join((user, *own)).encode() for user, own in items.items()))


def packed(data, packing):
    pack = {"plain": bytes, "gz": gzip.compress, "zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    return pack[packing](data)


# Datasets


def read_dataset(folder):
    def table(name):
        return pq.read_table(folder / f"{name}.parquet")

    return oracle.Dataset(
        table("users")["user_id"].to_pylist(),
        table("items")["item_id"].to_pylist(),
        {part: list(zip(*(column.to_pylist() for column in table(part).columns))) for part in oracle.PARTS},
    )


def read_items(folder):
    """What items.parquet says of each item, in their order."""
    table = pq.read_table(folder / "items.parquet", columns=list(oracle.Item._fields))
    return [oracle.Item(**row) for row in table.to_pylist()]


@functools.lru_cache(maxsize=2)
def read_once(path, **how):
    """What the reference reads of a file that several tests in a row look at."""
    return oracle.read(path, **how)


def read_stats(folder):
    return json.loads((folder / "stats.json").read_text())


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(folder):
    """name -> digest of all that is in a folder; empty if there is none."""
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


def parquet_digests(folder):
    return {name: digest for name, digest in snapshot(folder).items() if name.endswith(".parquet")}


def first_difference(got, want):
    """None if the lists are equal, else a line about the first place where they differ."""
    if len(got) != len(want):
        return f"{len(got)} rows, not {len(want)}"
    return next((f"row {n}: {g}, not {w}" for n, (g, w) in enumerate(zip(got, want)) if g != w), None)


def assert_same_dataset(got, want):
    assert first_difference(got.users, want.users) is None
    assert first_difference(got.items, want.items) is None
    for part in oracle.PARTS:
        assert first_difference(got.parts[part], want.parts[part]) is None, part


def assert_agrees(folder, want, items=None):
    """The folder holds what the reference made (want), and knows of the items what it is to know (items)."""
    assert_same_dataset(read_dataset(folder), want.dataset)
    stats = read_stats(folder)
    assert {name: stats.get(name) for name in want.stats} == want.stats
    assert_every_line_is_counted(stats)
    known = [(items or {}).get(one, oracle.Item()) for one in want.dataset.items]
    assert first_difference(read_items(folder), known) is None
    assert stats["items_with_title"] == sum(item.title is not None for item in known)


def assert_every_line_is_counted(stats):
    assert sum(stats[fate] for fate in oracle.BAD) == stats["bad_lines"]
    assert stats["raw_interactions"] == stats["lines_read"] - stats["bad_lines"]
    dropped = sum(stats[fate] for fate in oracle.DROPPED)
    assert dropped + stats["filtered_interactions"] == stats["raw_interactions"]
    assert sum(stats[f"{part}_size"] for part in oracle.PARTS) == stats["filtered_interactions"]


def seen_items(dataset, *parts):
    """user_idx -> the items that the user has in these parts."""
    return oracle.items_by_user(row for part in parts for row in dataset.parts[part])


# MLflow


def table(folder, columns, name):
    """Of the database of the folder's runs."""
    with sqlite3.connect(folder / "mlflow.db") as db:
        return db.execute(f"SELECT {columns} FROM {name}").fetchall()


# Models


def read_model(path):
    """(metadata, tensors by name)"""
    with safe_open(str(path), framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def save_with_whole_numbers(model, path):
    metadata, tensors = read_model(model)
    rng = np.random.default_rng(3)
    whole = {name: rng.integers(-1, 2, tensor.shape).astype(tensor.dtype) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():  # a zero row is a user of whom nothing was learned: it stays one
        whole[name][~tensor.any(axis=1)] = 0
    save_file(whole, str(path), metadata)


def scores(model):
    """(n_users, n_items) in float64: what a user gives an item is their dot product, plus the item's bias."""
    _, tensors = read_model(model)
    wide = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    bias = next((tensor.reshape(-1) for name, tensor in wide.items() if name.startswith("item_bias")), 0)
    return wide["user_embedding.weight"] @ wide["item_embedding.weight"].T + bias


def folded_in(model, history):
    """(n_items) scores in float64 for a user whom training didn't see: least squares against the vectors of all items,
    a tenth as heavy as those of the history, at the mean length of users' vectors."""
    _, tensors = read_model(model)
    users, items = (tensors[f"{side}_embedding.weight"].astype(np.float64) for side in ("user", "item"))
    system = 0.1 * items.T @ items
    system += 0.01 * np.trace(system) / len(system) * np.eye(len(system)) + items[history].T @ items[history]
    vector = np.linalg.solve(system, items[history].sum(axis=0))
    lengths = np.linalg.norm(users, axis=1)
    return items @ (vector / np.linalg.norm(vector) * lengths[lengths > 0].mean())


def score_error(all_scores):
    """What 32-bit sums may differ from ours by."""
    return 1e-5 * (1 + np.abs(all_scores).max())


def assert_is_top_k(listed, listed_scores, all_scores, k, masked=()):
    """The k best of all_scores without the masked ones, best first, but for errors of 32-bit sums."""
    open_items = set(range(len(all_scores))) - set(masked)
    error = score_error(all_scores)
    assert len(listed) == len(set(listed)) == min(k, len(open_items))
    assert set(listed) <= open_items
    assert np.abs(all_scores[listed] - listed_scores).max(initial=0) <= error
    best_first = list(zip((-s for s in listed_scores), listed))
    assert best_first == sorted(best_first)
    rest = [all_scores[item] for item in open_items - set(listed)]
    assert not listed or not rest or max(rest) <= listed_scores[-1] + error
