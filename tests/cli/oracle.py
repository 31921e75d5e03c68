"""The reference: what the program must compute, in plain Python.

Every number that a test compares with comes from here, so this file uses the standard library alone,
shares nothing with the program, and prefers the definition to speed. In order of the data: reading,
repeats, k-core, splits, ranking, metrics. Times are milliseconds; indices count from 0.
"""

import gzip
import json
import math
import re
import struct
from collections import Counter
from typing import NamedTuple

PARTS = ("train", "val", "test")
LAST_MS = 253402300799999  # the end of the year 9999
SECONDS_BELOW = 1e11  # a smaller time is in seconds, any other in milliseconds


class Row(NamedTuple):
    user: str
    item: str
    time: int
    rating: float | None


class Raw(NamedTuple):
    """What was read: the valid rows in input order, and how many lines there were (blank ones apart)."""

    rows: list[Row]
    lines_read: int

    @property
    def bad_lines(self):
        return self.lines_read - len(self.rows)


class Dataset(NamedTuple):
    """users[user_idx] and items[item_idx] are ids; parts[name] lists (user_idx, item_idx, time, rating)."""

    users: list[str]
    items: list[str]
    parts: dict[str, list[tuple]]


# Reading


class BadLine(ValueError):
    """The line is not a row: malformed, or its user, item or time is lacking or invalid."""


JSON_NAMES = {
    "user": ("user_id", "reviewerID"),
    "item": ("parent_asin", "asin", "item_id"),
    "time": ("timestamp", "unixReviewTime", "time"),
    "rating": ("rating", "overall"),
}
CSV_NAMES = {  # beginnings of a column's lower-case name, but for the two whole ones
    "user": ("user", "reviewer"),
    "item": ("item", "product", "parent_asin$", "asin$"),
    "time": ("time", "date", "unix"),
    "rating": ("rating", "overall", "score"),
}


def read(*paths, **columns):
    """The rows of the files, one file after the other. columns: user=, item=, time= override names."""
    rows, lines_read = [], 0
    for path in map(str, paths):
        is_json = path.removesuffix(".gz").endswith((".json", ".jsonl"))
        parse, lines = (json_parser if is_json else csv_parser)(lines_of(path), columns)
        lines_read += len(lines)
        for line in lines:
            try:
                rows.append(parse(line))
            except ValueError:  # BadLine, bad JSON and bad UTF-8 are all of this kind
                pass
    return Raw(rows, lines_read)


def lines_of(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        data = file.read().removeprefix(b"\xef\xbb\xbf")
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [line for line in lines if line]


def json_parser(lines, columns):
    names = JSON_NAMES | {field: (name,) for field, name in columns.items()}

    def parse(line):
        record = json.loads(line.decode(), parse_constant=reject)
        if not isinstance(record, dict):
            raise BadLine
        return row_of({field: first_present(record, names[field]) for field in names})

    return parse, lines


def reject(constant):
    raise BadLine(constant)  # NaN and Infinity aren't JSON


def first_present(record, names):
    """(name, value) of the first of these names that the record has a value for."""
    return next(((name, record[name]) for name in names if record.get(name) is not None), (None, None))


def csv_parser(lines, columns):
    header = lines[0].decode()
    delimiter = max("\t,;", key=header.count)
    found = columns_of(header.split(delimiter), columns)

    def parse(line):
        values = line.decode().split(delimiter)
        if len(values) != len(header.split(delimiter)):
            raise BadLine
        return row_of({f: (name, values[at]) if name else (None, None) for f, (name, at) in found.items()})

    return parse, lines[1:]


def columns_of(header, columns):
    """field -> (column's name, its place), or (None, None) where the header has no such column."""
    found = {}
    for field, beginnings in CSV_NAMES.items():
        wanted = [re.escape(columns[field]) + "$"] if field in columns else beginnings
        hits = [(name, at) for w in wanted for at, name in enumerate(header)
                if re.match(w, name if field in columns else name.lower())]
        found[field] = hits[0] if hits else (None, None)
    return found


def row_of(fields):
    """fields: user, item, time, rating, each (name, value)."""
    time_name, time = fields["time"]
    return Row(
        id_text(fields["user"][1]),
        id_text(fields["item"][1]),
        milliseconds(number(time), always_seconds=time_name == "unixReviewTime"),
        rating_of(fields["rating"][1]),
    )


def id_text(value):
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise BadLine
    return value


def number(value):
    """A JSON number, or a text that is one."""
    if isinstance(value, bool) or not re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", str(value)):
        raise BadLine
    return float(value)


def milliseconds(time, always_seconds):
    if always_seconds or abs(time) < SECONDS_BELOW:
        time *= 1000
    if not 0 <= time < LAST_MS + 1:
        raise BadLine
    return math.floor(time)


def rating_of(value):
    """As a 32-bit float; a rating that is no number is none."""
    try:
        return struct.unpack("f", struct.pack("f", number(value)))[0]
    except ValueError:
        return None


# From rows to a dataset


def without_repeats(rows):
    """Of each user's rows of an item, the earliest; of equal times, the first in the input."""
    earliest = {}
    for place, row in enumerate(rows):
        pair = row.user, row.item
        if pair not in earliest or row.time < rows[earliest[pair]].time:
            earliest[pair] = place
    return [rows[place] for place in sorted(earliest.values())]


def k_core(rows, min_user, min_item):
    """The largest subset in which every user has min_user rows and every item min_item."""
    while True:
        users = Counter(row.user for row in rows)
        items = Counter(row.item for row in rows)
        kept = [row for row in rows if users[row.user] >= min_user and items[row.item] >= min_item]
        if len(kept) == len(rows):
            return kept
        rows = kept


def temporal(rows, train_ratio=0.7, val_ratio=0.15):
    """The part of each row: one cut in time for everybody."""
    times = sorted(row.time for row in rows) + [math.inf]  # a ratio of 1 cuts after the last row
    n = len(rows)
    cut1 = times[math.floor(n * train_ratio)]
    cut2 = times[math.floor(n * (train_ratio + val_ratio))]
    return ["train" if row.time < cut1 else "val" if row.time < cut2 else "test" for row in rows]


def leave_one_out(rows):
    """The part of each row: a user's last is test, the one before val; fewer than 3 are all train."""
    places = {}
    for place, row in enumerate(rows):
        places.setdefault(row.user, []).append(place)
    parts = ["train"] * len(rows)
    for own in places.values():
        own.sort(key=lambda place: rows[place].time)  # stable: of equal times the input's order
        if len(own) >= 3:
            parts[own[-2]], parts[own[-1]] = "val", "test"
    return parts


def preprocess(rows, min_user=5, min_item=5, split="temporal", **ratios):
    """From the rows read to what the dataset folder must hold."""
    kept = k_core(without_repeats(rows), min_user, min_item)
    labels = temporal(kept, **ratios) if split == "temporal" else leave_one_out(kept)
    users, items = numbered(row.user for row in kept), numbered(row.item for row in kept)
    parts = {part: [] for part in PARTS}
    for row, part in zip(kept, labels):
        parts[part].append((users[row.user], items[row.item], row.time, row.rating))
    for part in parts.values():
        part.sort(key=lambda row: (row[0], row[2]))  # by user, then time, then the input's order
    return Dataset(list(users), list(items), parts)


def numbered(ids):
    """id -> index: ids in the order of their bytes, numbered from 0."""
    return {one: index for index, one in enumerate(sorted(set(ids), key=str.encode))}


# Ranking and metrics


def ranking(scores, masked=()):
    """Item indices, best first, without those masked; equal scores by index."""
    return sorted((i for i in range(len(scores)) if i not in masked), key=lambda i: (-scores[i], i))


def discount(rank):
    return 1 / math.log2(rank + 1)


# name -> metric of (ranks of the hits within k, counted from 1 and ascending; how many are relevant; k)
METRICS = {
    "recall": lambda hits, relevant, k: len(hits) / relevant,
    "precision": lambda hits, relevant, k: len(hits) / k,
    "hit": lambda hits, relevant, k: 1.0 if hits else 0.0,
    "ndcg": lambda hits, relevant, k: (
        sum(map(discount, hits)) / sum(map(discount, range(1, min(relevant, k) + 1)))),
    "map": lambda hits, relevant, k: (
        sum(n / rank for n, rank in enumerate(hits, 1)) / min(relevant, k)),
    "mrr": lambda hits, relevant, k: 1 / hits[0] if hits else 0.0,
}


def metrics(ranked, relevant, ks):
    """{"recall_at_10": ..., ...} of one user's ranking, for all metrics and each k."""
    ranks = [rank for rank, item in enumerate(ranked, 1) if item in relevant]
    return {
        f"{name}_at_{k}": metric([rank for rank in ranks if rank <= k], len(relevant), k)
        for name, metric in METRICS.items()
        for k in ks
    }


def items_by_user(rows):
    items = {}
    for user, item, *_ in rows:
        items.setdefault(user, set()).add(item)
    return items


def evaluate(dataset, split, scores_of, ks=(10, 20), include_seen=False):
    """Means over the users with held-out rows, in the shape of eval_results.json.

    scores_of(user_idx) gives one score an item, or None where the model can't serve the user, who then
    counts as 0. The headline is over users with train rows, "all_users" over all of them.
    """
    train = items_by_user(dataset.parts["train"])
    seen_parts = ("train", "val") if split == "test" else ("train",)
    seen = items_by_user(row for part in seen_parts for row in dataset.parts[part])
    known, unknown = [], []
    for user, relevant in items_by_user(dataset.parts[split]).items():
        scores = scores_of(user)
        masked = set() if include_seen else seen.get(user, set())
        ranked = [] if scores is None else ranking(scores, masked)
        (known if user in train else unknown).append(metrics(ranked, relevant, ks))
    return {
        **means(known),
        "users": len(known),
        "users_without_train": len(unknown),
        "all_users": {**means(known + unknown), "users": len(known) + len(unknown)},
    }


def means(users):
    return {name: sum(user[name] for user in users) / len(users) for name in users[0]} if users else {}


def popularity(dataset):
    """One score an item: how many train rows it has."""
    counts = Counter(item for _, item, *_ in dataset.parts["train"])
    return [counts[item] for item in range(len(dataset.items))]
