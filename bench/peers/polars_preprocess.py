"""What `kindred preprocess --min-user 5 --min-item 5 --split temporal` does, in polars.

usage: polars_preprocess.py REVIEWS.jsonl FOLDER
"""

import json
import math
import sys
from pathlib import Path

import polars as pl

MIN_ROWS, TRAIN_RATIO, VAL_RATIO = 5, 0.7, 0.15
SCHEMA = {"user_id": pl.String, "parent_asin": pl.String, "timestamp": pl.Int64, "rating": pl.Float32}


def read(path):
    """The columns of interest, streamed; ids as categories: from here on they are numbers."""
    lines = pl.scan_ndjson(path, schema=SCHEMA)
    return lines.with_columns(pl.col("user_id", "parent_asin").cast(pl.Categorical)).collect(engine="streaming")


def k_core(rows):
    """The rows left when users, then items with too few rows go, until nothing changes."""
    n = -1
    while n != rows.height:
        n = rows.height
        for column in ("user_id", "parent_asin"):
            rows = rows.filter(pl.len().over(column) >= MIN_ROWS)
    return rows


def numbered(rows, column, index):
    """The rows with codes from 0 in the order of the ids that are left, and the table of these."""
    ids = rows.select(pl.col(column).unique()).with_columns(id=pl.col(column).cast(pl.String)).sort("id")
    ids = ids.with_row_index(index).with_columns(pl.col(index).cast(pl.Int32))
    return rows.join(ids.select(column, index), on=column, maintain_order="left"), ids.select(index, "id")


def cut(times, share):
    """The time of the row at this share of all; past the end a time later than any."""
    at = math.floor(len(times) * share)
    return times[at] if at < len(times) else 2**63 - 1


def main(source, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = read(source).sort("timestamp", maintain_order=True)
    rows = rows.unique(["user_id", "parent_asin"], keep="first", maintain_order=True)
    rows = k_core(rows)
    rows, users = numbered(rows, "user_id", "user_idx")
    rows, items = numbered(rows, "parent_asin", "item_idx")
    time = pl.col("timestamp")
    first, second = (cut(rows["timestamp"], share) for share in (TRAIN_RATIO, TRAIN_RATIO + VAL_RATIO))
    rows = rows.select("user_idx", "item_idx", "timestamp", "rating").sort("user_idx", maintain_order=True)
    parts = {"train": rows.filter(time < first),
             "val": rows.filter(time.is_between(first, second, closed="left")),
             "test": rows.filter(time >= second)}
    for name, part in parts.items():
        part.write_parquet(folder / f"{name}.parquet")
    users.rename({"id": "user_id"}).write_parquet(folder / "users.parquet")
    items.rename({"id": "item_id"}).write_parquet(folder / "items.parquet")
    stats = {"num_users": users.height, "num_items": items.height,
             **{f"{name}_size": part.height for name, part in parts.items()}}
    (folder / "stats.json").write_text(json.dumps(stats))


if __name__ == "__main__":
    main(*sys.argv[1:])
