"""The reference: what the program must compute, in plain Python.

Every number that a test compares with comes from here, so this file uses the standard library alone (but
for Parquet and zstd, which it has no reader of), shares nothing with the program, and prefers the definition
to speed. In order of the data: reading, times, filters, splits, items, ranking, metrics. Times are
milliseconds; indices count from 0.
"""

import gzip
import hashlib
import json
import math
import re
import statistics
import struct
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

PARTS = ("train", "val", "test")
BAD = ("malformed", "missing_field", "out_of_range")  # why a line is no row
DROPPED = ("below_min_rating", "outside_dates", "repeated", "filtered_by_users", "filtered_by_items")
LAST_MS = 253402300799999  # the end of the year 9999
SECONDS_BELOW = 1e11  # a smaller time is in seconds, any other in milliseconds


class Row(NamedTuple):
    """time: None where the input has none; then a row's place among the user's takes its part."""

    user: str
    item: str
    time: int | None
    rating: float | None


class Raw(NamedTuple):
    """What was read: the valid rows in input order, and how many lines were bad for which reason."""

    rows: list[Row]
    faults: Counter
    has_times: bool

    @property
    def bad_lines(self):
        return self.faults.total()

    @property
    def lines_read(self):
        return len(self.rows) + self.bad_lines


class Dataset(NamedTuple):
    """users[user_idx] and items[item_idx] are ids; parts[name] lists (user_idx, item_idx, time, rating)."""

    users: list[str]
    items: list[str]
    parts: dict[str, list[tuple]]


class Made(NamedTuple):
    """A dataset, and what stats.json must say of it."""

    dataset: Dataset
    stats: dict


# Reading


class BadLine(ValueError):
    """The line is not a row; which of BAD it counts as."""

    def __init__(self, fate):
        super().__init__(fate)
        self.fate = fate


class How(NamedTuple):
    """How files are read: columns of those without a header, whether there are times, names that override."""

    columns: list[str] | None
    has_times: bool
    names: dict[str, str]


class Moment(NamedTuple):
    """A time that is milliseconds whatever its size."""

    ms: int


FIELDS = ("user", "item", "time", "rating")
JSON_NAMES = {
    "user": ("user_id", "reviewerID"),
    "item": ("parent_asin", "asin", "item_id"),
    "time": ("timestamp", "unixReviewTime", "time", "reviewTime", "date"),
    "rating": ("rating", "overall"),
}
CSV_NAMES = {  # beginnings of a column's lower-case name, but for the two whole ones
    "user": ("user", "reviewer"),
    "item": ("item", "product", "parent_asin$", "asin$"),
    "time": ("time", "date", "unix"),
    "rating": ("rating", "overall", "score"),
}
DELIMITERS = ("\t", ",", ";", "::", "|")
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
DELIMITED_ENDINGS = (".csv", ".tsv", ".txt", ".inter")


def read(*paths, form="auto", columns=None, has_times=True, **names):
    """The rows of the files, one file after the other. columns: "user,item,-,time"; names: user=, item=,
    time=, rating= are the columns that override."""
    columns = columns and columns.split(",")
    has_times = has_times and (columns is None or "time" in columns)
    how = How(columns, has_times, names)
    rows, faults, forms = [], Counter(dict.fromkeys(BAD, 0)), set()
    for path in map(Path, paths):
        data = unpacked(path.read_bytes())
        own = form_of(path.name, data, how) if form == "auto" else form
        forms.add(own)
        read_lines(*READERS[own](data, how), rows, faults)
    return Raw(rows, faults, has_times and "sequence" not in forms)


def read_lines(parse, lines, rows, faults):
    for line in lines:
        try:
            rows.append(parse(line))
        except ValueError as error:  # bad JSON and bad UTF-8 are of this kind too
            faults[getattr(error, "fate", "malformed")] += 1


def unpacked(data):
    """Whatever the name says."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    return data


def form_of(name, data, how):
    name = name.lower().removesuffix(".gz").removesuffix(".zst")
    if data.startswith(b"PAR1"):
        return "parquet"
    first = next(iter(text_lines(data)), b"").decode(errors="replace")
    if name.endswith(JSON_ENDINGS) or (first.startswith("{") and not name.endswith(DELIMITED_ENDINGS)):
        return "jsonl"
    is_sequence = " " in first and not any(mark in first for mark in (*DELIMITERS, "{"))
    return "sequence" if is_sequence and not how.columns else "csv"


def text_lines(data, ends=rb"\r\n|\n|\r"):
    """All lines but the blank ones, without a byte order mark."""
    return [line for line in re.split(ends, data.removeprefix(b"\xef\xbb\xbf")) if line.strip(b" \t\r")]


def jsonl(data, how):
    names = JSON_NAMES | {field: (name,) for field, name in how.names.items()}

    def parse(line):
        record = json.loads(line.decode(), parse_constant=reject, object_pairs_hook=first_of_each)
        if b"\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is no text
        if not isinstance(record, dict):
            raise BadLine("malformed")
        found = {field: first_present(record, names[field]) for field in FIELDS}
        if all(name is None for name, _ in found.values()):
            raise BadLine("malformed")
        return row_of(found, how)

    return parse, text_lines(data, ends=rb"\n")  # a \r is white space there


def reject(constant):
    raise BadLine("malformed")  # NaN and Infinity aren't JSON


def first_of_each(pairs):
    return dict(reversed(pairs))


def first_present(record, names):
    """(name, value) of the first of these names that the record has a value for."""
    return next(((name, record[name]) for name in names if record.get(name) is not None), (None, None))


def delimited(data, how):
    first, *rest = lines = text_lines(data)
    if how.columns:
        n = len(how.columns)
        delimiter = next(d for d in (*DELIMITERS, " ") if len(fields_of(first.decode(), d, n)) == n)
        found = {field: (field, how.columns.index(field)) for field in FIELDS if field in how.columns}
    else:
        delimiter = max(DELIMITERS, key=first.decode().count)
        header = fields_of(first.decode(), delimiter)
        n, lines, found = len(header), rest, columns_of(header, how.names)

    def parse(line):
        values = fields_of(line.decode(), delimiter, n)
        if len(values) != n:
            raise BadLine("malformed")
        return row_of({field: (name, values[at]) for field, (name, at) in found.items()}, how)

    return parse, lines


def fields_of(line, delimiter, n=None):
    """The line's fields. In quotes a delimiter is none, if that makes n fields of the line."""
    plain = line.split(delimiter)
    d = re.escape(delimiter)
    quoted = re.findall(rf'{d}((?:"(?:[^"]|"")*")?(?:(?!{d}).)*)', delimiter + line) if '"' in line else plain
    return [without_quotes(field) for field in (quoted if n in (None, len(quoted)) else plain)]


def without_quotes(field):
    return field[1:-1].replace('""', '"') if re.fullmatch('".*"', field) else field


def columns_of(header, names):
    """field -> (column's name, its place), of the fields that the header has a column for."""
    found = {}
    for field, beginnings in CSV_NAMES.items():
        wanted = [re.escape(names[field]) + "$"] if field in names else beginnings
        hits = [(name, at) for w in wanted for at, name in enumerate(header)
                if re.match(w, name if field in names else name.lower())]
        if hits:
            found[field] = hits[0]
    return found


def parquet(data, how):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(data))
    found = columns_of(table.column_names, how.names)

    def parse(values):
        return row_of({field: (found[field][0], value) for field, value in zip(found, values)}, how)

    return parse, list(zip(*(parquet_values(table[name]) for name, _ in found.values())))


def parquet_values(column):
    """Text and numbers as they are, a TIMESTAMP as a Moment."""
    unit = getattr(column.type, "unit", None)
    if unit is None:
        return column.to_pylist()
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = column.cast("int64").to_pylist()
    return [None if n is None else Moment(n * 1000 // per_second) for n in counts]


def sequence(data, _how):
    """Its lines are (user, item) pairs; a user without items is a pair with an empty one."""
    pairs = []
    for line in text_lines(data):
        user, *items = re.split(rb"[ \t]+", line.strip(b" \t"))
        pairs += [(user, item) for item in items] or [(user, b"")]

    def parse(pair):
        user, item = pair
        return Row(id_text(user.decode()), id_text(item.decode()), None, None)

    return parse, pairs


READERS = {"jsonl": jsonl, "csv": delimited, "parquet": parquet, "sequence": sequence}


def row_of(found, how):
    """found: field -> (name, value); one that isn't there, or is null, is absent."""
    user, item, time, rating = (found.get(field, (None, None)) for field in FIELDS)
    ids = id_text(user[1]), id_text(item[1])
    if how.has_times and time[1] in (None, ""):
        raise BadLine("missing_field")
    ms = milliseconds(time[1], always_seconds=time[0] == "unixReviewTime") if how.has_times else None
    return Row(*ids, ms, rating_of(rating[1]))


def id_text(value):
    """Text, or a whole number as it is written; never empty, never with a NUL in it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadLine("missing_field")
    return value


def rating_of(value):
    """As a 32-bit float; a rating that is no number is none."""
    if value is None:
        return None
    try:
        narrow = struct.unpack("f", struct.pack("f", number(value)))[0]
    except (ValueError, OverflowError):
        return None
    return narrow if math.isfinite(narrow) else None


def number(value):
    """A number, or a text that is one, blanks around it apart."""
    if isinstance(value, bool) or not re.fullmatch(
            r"\s*[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*", str(value)):
        raise ValueError
    return float(str(value))


# Times

EPOCH = datetime(1970, 1, 1)
MS = timedelta(milliseconds=1)
ISO = r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:(Z)|([-+])(\d\d):(\d\d))?)?"
MONTH_DAY_YEAR = r"(\d{1,2}) (\d{1,2}), (\d{4})"


def milliseconds(value, always_seconds=False):
    """Since 1970, of any form that a time may have."""
    try:
        ms = exact_ms(value, always_seconds)
    except ValueError:  # no number, or the 30th of February
        raise BadLine("out_of_range") from None
    if not 0 <= ms < LAST_MS + 1:
        raise BadLine("out_of_range")
    return math.floor(ms)


def exact_ms(value, always_seconds):
    if isinstance(value, Moment):
        return value.ms
    if isinstance(value, date):
        return (datetime.combine(value, datetime.min.time()) - EPOCH) // MS
    if found := re.fullmatch(ISO, str(value), re.ASCII):
        return iso_ms(*found.groups())
    if found := re.fullmatch(MONTH_DAY_YEAR, str(value), re.ASCII):
        month, day, year = map(int, found.groups())
        return (datetime(year, month, day) - EPOCH) // MS
    time = number(value)
    return time * 1000 if always_seconds or abs(time) < SECONDS_BELOW else time


def iso_ms(year, month, day, hour, minute, second, fraction, _utc, sign, zone_hours, zone_minutes):
    local = datetime(*(int(n or 0) for n in (year, month, day, hour, minute, second)))
    ms = (local - EPOCH) // MS + int(((fraction or "") + "000")[:3])
    ahead = (int(zone_hours or 0) * 60 + int(zone_minutes or 0)) * 60_000
    return ms + ahead if sign == "-" else ms - ahead


def in_places(rows, min_rating=None):
    """Rows without times, each with its place among its user's rows (of those that min_rating leaves) for one."""
    so_far = Counter()
    placed = []
    for row in rows:
        placed.append(Row(row.user, row.item, so_far[row.user], row.rating))
        so_far[row.user] += is_rated(row, min_rating)
    return placed


# Filters


def selected(rows, min_rating=None, after=None, before=None, repeats="first"):
    """(the rows left, how many were dropped for what)."""
    start = 0 if after is None else milliseconds(after)
    end = math.inf if before is None else milliseconds(before)
    steps = {
        "below_min_rating": lambda rows: [row for row in rows if is_rated(row, min_rating)],
        "outside_dates": lambda rows: [row for row in rows if start <= row.time < end],
        "repeated": REPEATS[repeats],
    }
    dropped = {}
    for fate, keep in steps.items():
        kept = keep(rows)
        dropped[fate] = len(rows) - len(kept)
        rows = kept
    return rows, dropped


def is_rated(row, min_rating):
    return min_rating is None or (row.rating is not None and row.rating >= min_rating)


def first_of_repeats(rows):
    """Of each user's rows of an item, the earliest; of equal times, the first in the input."""
    return one_of_repeats(rows, lambda row, other: row.time < other.time)


def last_of_repeats(rows):
    """Of each user's rows of an item, the latest; of equal times, the last in the input."""
    return one_of_repeats(rows, lambda row, other: row.time >= other.time)


def one_of_repeats(rows, is_better):
    best = {}
    for place, row in enumerate(rows):
        pair = row.user, row.item
        if pair not in best or is_better(row, rows[best[pair]]):
            best[pair] = place
    return [rows[place] for place in sorted(best.values())]


REPEATS = {"first": first_of_repeats, "last": last_of_repeats, "all": list}


def core(rows, min_user, min_item):
    """(the rows left, how many fell with their users, how many with their items). Round by round: all
    users with fewer than min_user rows go at once, then all items with fewer than min_item."""
    fallen = [0, 0]
    settled = False
    while not settled:
        settled = True
        for column, least in (0, min_user), (1, min_item):
            counts = Counter(row[column] for row in rows)
            kept = [row for row in rows if counts[row[column]] >= least]
            fallen[column] += len(rows) - len(kept)
            settled = settled and len(kept) == len(rows)
            rows = kept
    return rows, *fallen


# Splits: the part of each row


def temporal(rows, train_ratio=0.7, val_ratio=0.15, seed=None):
    """One cut in time for everybody."""
    times = sorted(row.time for row in rows)
    a, b = ends(len(rows), train_ratio, val_ratio)
    cuts = time_at(times, a), time_at(times, b)
    return [part_at(row.time, *cuts) for row in rows]


def ends(n, train_ratio, val_ratio):
    return math.floor(n * train_ratio), math.floor(n * (train_ratio + val_ratio))


def time_at(times, place):
    """Past the end there is no time: all rows are before it."""
    return times[place] if place < len(times) else math.inf


def part_at(time, cut1, cut2):
    return "train" if time < cut1 else "val" if time < cut2 else "test"


def places_by_user(rows):
    """The places of each user's rows in order of time, of equal times in the input's; users by their ids."""
    places = {}
    for place, row in enumerate(rows):
        places.setdefault(row.user, []).append(place)
    return [sorted(places[user], key=lambda place: rows[place].time) for user in numbered(places)]


def leave_one_out(rows, train_ratio=None, val_ratio=None, seed=None):
    """A user's last is test, the one before val; fewer than 3 are all train."""
    parts = ["train"] * len(rows)
    for own in places_by_user(rows):
        if len(own) >= 3:
            parts[own[-2]], parts[own[-1]] = "val", "test"
    return parts


def ratio(rows, train_ratio=0.7, val_ratio=0.15, seed=None):
    """Each user's rows cut in time, by the shares of the user's own."""
    parts = [None] * len(rows)
    for own in places_by_user(rows):
        cut_own(rows, own, *ends(len(own), train_ratio, val_ratio), parts)
    return parts


def cut_own(rows, own, a, b, parts):
    """Cut one user's rows at the times of the rows a and b; those of the first time are always train."""
    times = [rows[place].time for place in own]
    cuts = time_at(times, a), time_at(times, b)
    for place, time in zip(own, times):
        parts[place] = "train" if time == times[0] else part_at(time, *cuts)


def drawn(rows, train_ratio=0.7, val_ratio=0.15, seed=None):
    """As ratio, but how many of a user's rows are in which part is drawn."""
    parts = [None] * len(rows)
    n = 0
    for own in places_by_user(rows):
        draws = [draw(seed, n + k) for k in range(len(own))]
        n += len(own)
        a = sum(x < train_ratio for x in draws)
        b = sum(x < train_ratio + val_ratio for x in draws)
        cut_own(rows, own, a, b, parts)
    return parts


def draw(seed, n):
    """Evenly from 0 up to 1: the last eight bytes of an MD5, least byte first."""
    return int.from_bytes(hashlib.md5(f"{seed} {n}".encode()).digest()[8:], "little") / 2**64


SPLITS = {"temporal": temporal, "leave-one-out": leave_one_out, "ratio": ratio, "random": drawn}


# From rows to a dataset


def preprocess(raw, min_user=5, min_item=5, split="temporal", repeats="first",
               train_ratio=0.7, val_ratio=0.15, seed=None, **bounds):
    """From the rows read to what the dataset folder must hold. bounds: min_rating, after, before."""
    rows = raw.rows if raw.has_times else in_places(raw.rows, bounds.get("min_rating"))
    rows, dropped = selected(rows, repeats=repeats, **bounds)
    kept, *fallen = core(rows, min_user, min_item)
    dropped |= zip(("filtered_by_users", "filtered_by_items"), fallen)
    parts = {part: [] for part in PARTS}
    for row, part in zip(kept, SPLITS[split](kept, train_ratio, val_ratio, seed)):
        parts[part].append(row)
    options = {"split_strategy": split, "repeats": repeats, "min_user": min_user, "min_item": min_item,
               "train_ratio": train_ratio, "val_ratio": val_ratio}
    return made(parts, [raw], dropped, options)


def preprocess_given(raws, repeats="first", **bounds):
    """The same where each part has its own files: part -> Raw."""
    rows = [row for part in PARTS for row in raws[part].rows]
    placed = iter(rows if all(raw.has_times for raw in raws.values()) else in_places(rows, bounds.get("min_rating")))
    parts, dropped = {}, Counter(dict.fromkeys(DROPPED, 0))
    for part in PARTS:
        own = [next(placed) for _ in raws[part].rows]
        parts[part], fallen = selected(own, repeats=repeats, **bounds)
        dropped.update(fallen)
    options = {"split_strategy": "given", "repeats": repeats, "min_user": 1, "min_item": 1}
    return made(parts, list(raws.values()), dropped, options)


def made(parts, raws, dropped, options):
    """parts: part -> its rows in the input's order."""
    data = dataset(parts)
    kept = [row for rows in parts.values() for row in rows]
    faults = sum((raw.faults for raw in raws), Counter())
    has_times = all(raw.has_times for raw in raws)
    stats = {
        "lines_read": sum(raw.lines_read for raw in raws),
        "bad_lines": faults.total(),
        **{fate: faults[fate] for fate in BAD},
        "raw_interactions": sum(len(raw.rows) for raw in raws),
        **dropped,
        "filtered_interactions": len(kept),
        "num_users": len(data.users),
        "num_items": len(data.items),
        **{f"{part}_size": len(rows) for part, rows in parts.items()},
        **options,
        "has_times": has_times,
    }
    times = [row.time for row in kept]
    return Made(data, stats | ({"first_time": min(times), "last_time": max(times)} if has_times else {}))


def dataset(parts):
    kept = [row for rows in parts.values() for row in rows]
    users, items = numbered(row.user for row in kept), numbered(row.item for row in kept)
    indexed = {part: [(users[row.user], items[row.item], row.time, row.rating) for row in rows]
               for part, rows in parts.items()}
    for rows in indexed.values():
        rows.sort(key=lambda row: (row[0], row[2]))  # by user, then time, then the input's order
    return Dataset(list(users), list(items), indexed)


def numbered(ids):
    """id -> index: ids in the order of their bytes, numbered from 0."""
    return {one: index for index, one in enumerate(sorted(set(ids), key=str.encode))}


# Items


class Item(NamedTuple):
    """What is known of an item, as in items.parquet; None where nothing is."""

    title: str | None = None
    price: float | None = None
    main_category: str | None = None
    categories: list[str] | None = None
    store: str | None = None
    image: str | None = None


def read_items(*paths):
    """id -> Item; of several lines of an item the first counts."""
    items = {}
    for path in map(Path, paths):
        for line in text_lines(unpacked(path.read_bytes()), ends=rb"\n"):
            record = json.loads(line)
            _, one = first_present(record, ("parent_asin", "asin", "item_id"))
            items.setdefault(one, item_of(record))
    return items


def item_of(record):
    return Item(record.get("title"), price_of(record.get("price")), record.get("main_category"),
                record.get("categories"), record.get("store"), image_of(record.get("images")))


def price_of(value):
    """A number, or a text such as "$1,012.99"."""
    if isinstance(value, str):
        if not re.fullmatch(r"\$?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]+)?", value):
            return None
        value = value.lstrip("$").replace(",", "")
    return None if value is None else float(value)


def image_of(images):
    first = images[0] if images else {}
    if isinstance(first, str):
        return first
    return first.get("large") or first.get("hi_res") or first.get("thumb")


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


# name -> what an item counts, by (its train rows; how many users have any); a list's value is the mean
BY_ITEM = {
    "popularity": lambda rows, users: rows,
    "novelty": lambda rows, users: math.log2(users / (rows or 1)),
}


def gini(counts):
    """Half the mean difference of all pairs over the mean: 0 where all are equal."""
    ordered, total = sorted(counts), sum(counts)
    below = 0  # of the counts before this one, each of which is at most as large
    differences = 0
    for place, count in enumerate(ordered):
        differences += place * count - below
        below += count
    return differences / len(counts) / total if total else None


# name -> metric of (in how many lists each item of the catalogue is)
BY_LISTS = {
    "coverage": lambda listed: sum(count > 0 for count in listed) / len(listed),
    "gini": gini,
}

ALL_METRICS = (*METRICS, *BY_LISTS, *BY_ITEM)


def metrics(ranked, relevant, ks):
    """{"recall_at_10": ..., ...} of one user's ranking, for all metrics of hits and each k."""
    ranks = [rank for rank, item in enumerate(ranked, 1) if item in relevant]
    return {
        f"{name}_at_{k}": metric([rank for rank in ranks if rank <= k], len(relevant), k)
        for name, metric in METRICS.items()
        for k in ks
    }


def metrics_by_item(ranked, values, ks):
    """The same of metrics of what is listed; none where nothing is."""
    return {
        f"{name}_at_{k}": sum(values[name][item] for item in ranked[:k]) / len(ranked[:k])
        for name in BY_ITEM
        for k in ks
        if ranked
    }


def items_by_user(rows):
    items = {}
    for user, item, *_ in rows:
        items.setdefault(user, set()).add(item)
    return items


class Judged(NamedTuple):
    """One user's list and what it is worth."""

    user: int
    relevant: set
    ranked: list  # best first; empty where the model can't serve
    values: dict


def judge(dataset, split, scores_of, ks, include_seen):
    """One Judged a user with held-out rows; scores_of as for evaluate."""
    seen_parts = ("train", "val") if split == "test" else ("train",)
    seen = items_by_user(row for part in seen_parts for row in dataset.parts[part])
    rows = popularity(dataset)
    n_users = len(items_by_user(dataset.parts["train"]))
    values = {name: [value(count, n_users) for count in rows] for name, value in BY_ITEM.items()}
    for user, relevant in items_by_user(dataset.parts[split]).items():
        scores = scores_of(user)
        masked = set() if include_seen else seen.get(user, set())
        ranked = [] if scores is None else ranking(scores, masked)
        yield Judged(user, relevant, ranked[:max(ks)],
                     metrics(ranked, relevant, ks) | metrics_by_item(ranked, values, ks))


def evaluate(dataset, split, scores_of, ks=(10, 20), include_seen=False):
    """Means over the users with held-out rows, in the shape of eval_results.json.

    scores_of(user_idx) gives one score an item, or None where the model can't serve the user, who then
    counts as 0. The headline is over users with train rows, "all_users" over all of them.
    """
    counts = popularity(dataset)
    train = items_by_user(dataset.parts["train"])
    judged = list(judge(dataset, split, scores_of, ks, include_seen))
    known = [one for one in judged if one.user in train]
    return {
        **summary(known, len(counts), ks),
        "users": len(known),
        "users_without_train": len(judged) - len(known),
        "held_out_rows": len(dataset.parts[split]),
        "new_item_rows": sum(counts[item] == 0 for _, item, *_ in dataset.parts[split]),
        "all_users": {**summary(judged, len(counts), ks), "users": len(judged)},
        "groups": {
            "activity": user_groups(known, activity_groups(dataset, known)),
            "users": user_groups(judged, {"known": {one.user for one in known},
                                          "new": {one.user for one in judged} - train.keys()}),
            "popularity": item_groups(known, popularity_groups(counts), ks),
            "newness": item_groups(known, {"known": {item for item, count in enumerate(counts) if count},
                                           "new": {item for item, count in enumerate(counts) if not count}}, ks),
        },
    }


def summary(judged, n_items, ks):
    """Means, intervals, and what is of all lists together."""
    own = means([one.values for one in judged])
    for k in ks:
        listed = Counter(item for one in judged for item in one.ranked[:k])
        for name, metric in BY_LISTS.items():
            own[f"{name}_at_{k}"] = metric([listed[item] for item in range(n_items)])
    return own


def means(users):
    """Means of dictionaries over those that have the key, with intervals of 95 %."""
    own = {}
    for name in dict.fromkeys(name for user in users for name in user):
        values = [user[name] for user in users if name in user]
        own[name] = mean = statistics.fmean(values)
        own[f"{name}_ci95"] = None
        if len(values) > 1:
            half = 1.96 * statistics.stdev(values, mean) / math.sqrt(len(values))
            own[f"{name}_ci95"] = [mean - half, mean + half]
    return own


def activity_groups(dataset, known):
    """label -> users, cut at the quartiles of their train rows; equal ones stay together."""
    rows = Counter(user for user, *_ in dataset.parts["train"])
    counts = sorted(rows[one.user] for one in known)
    ends = sorted({counts[math.ceil(len(counts) * quarter / 4) - 1] for quarter in (1, 2, 3, 4)}) if counts else []
    groups = {}
    for start, end in zip([*counts[:1], *(end + 1 for end in ends)], ends):
        label = f"{start}-{end}" if end > start else f"{end}"
        groups[label] = {one.user for one in known if start <= rows[one.user] <= end}
    return groups


def popularity_groups(counts):
    """label -> items: of those with train rows, the most first, each third of the rows."""
    groups, before = {"head": set(), "middle": set(), "tail": set()}, 0
    for item in sorted(range(len(counts)), key=lambda item: (-counts[item], item)):
        if counts[item]:
            groups["head" if before * 3 < sum(counts) else "middle" if before * 3 < 2 * sum(counts) else "tail"].add(item)
        before += counts[item]
    return groups


def user_groups(judged, groups):
    return [{"group": label, "users": sum(one.user in users for one in judged),
             **means([one.values for one in judged if one.user in users])} for label, users in groups.items()]


def item_groups(judged, groups, ks):
    """Only the group's items are relevant, to those who have one."""
    own = []
    for label, items in groups.items():
        values = [metrics(one.ranked, one.relevant & items, ks) for one in judged if one.relevant & items]
        own.append({"group": label, "users": len(values), **means(values)})
    return own


def differences(dataset, split, scores_of, to_scores_of, ks=(10, 20)):
    """Means over known users of what the first gives less what the second gives, with intervals."""
    train = items_by_user(dataset.parts["train"])
    pairs = zip(judge(dataset, split, scores_of, ks, False), judge(dataset, split, to_scores_of, ks, False))
    return means([{name: value - b.values[name] for name, value in a.values.items() if name in b.values}
                  for a, b in pairs if a.user in train])


def popularity(dataset):
    """One score an item: how many train rows it has."""
    counts = Counter(item for _, item, *_ in dataset.parts["train"])
    return [counts[item] for item in range(len(dataset.items))]
