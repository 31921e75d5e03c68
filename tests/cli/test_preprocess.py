"""preprocess: every row where the reference puts it."""

import gzip
import hashlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import helpers
import oracle

SPLITS = ("temporal", "leave-one-out")
REAL = [
    ("Grocery_and_Gourmet_Food.csv.gz", 5, 5),
    ("All_Beauty_5.json.gz", 5, 5),
    ("All_Beauty_5.json.gz", 2, 2),
    ("AMAZON_FASHION_5.jsonl", 3, 3),
    ("reviews_2023_sample.jsonl.gz", 2, 2),
    ("reviews_2023_sample.jsonl.gz", 1, 1),
]


def assert_agrees(folder, raw, min_user, min_item, split, **ratios):
    """The folder holds what the reference makes of the rows."""
    want = oracle.preprocess(raw.rows, min_user, min_item, split, **ratios)
    helpers.assert_same_dataset(helpers.read_dataset(folder), want)
    stats = helpers.read_stats(folder)
    counts = {
        "lines_read": raw.lines_read,
        "bad_lines": raw.bad_lines,
        "raw_interactions": len(raw.rows),
        "repeated": len(raw.rows) - len(oracle.without_repeats(raw.rows)),
        "filtered_interactions": sum(map(len, want.parts.values())),
        "num_users": len(want.users),
        "num_items": len(want.items),
        **{f"{part}_size": len(rows) for part, rows in want.parts.items()},
        "split_strategy": split,
        "min_user": min_user,
        "min_item": min_item,
    }
    assert {name: stats[name] for name in counts} == counts


@pytest.fixture
def preprocess(kindred, tmp_path):
    """preprocess(input, *options): the dataset folder that it writes."""

    def run(*args, output="processed"):
        kindred.ok("preprocess", "--output-dir", tmp_path / output, "--input", *args)
        return tmp_path / output

    return run


@pytest.fixture
def made(tmp_path):
    return helpers.write_jsonl(tmp_path / "made.jsonl", helpers.made_rows())


# Agreement


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name, min_user, min_item", REAL)
def test_real_reviews_agree_with_the_reference(amazon, preprocessed, name, min_user, min_item, split):
    path = amazon(name)
    options = [] if (min_user, min_item) == (5, 5) else ["--min-user", min_user, "--min-item", min_item]
    options += ["--split", split] if split != "temporal" else []
    assert_agrees(preprocessed(path, *options), oracle.read(path), min_user, min_item, split)


@pytest.mark.parametrize("split", SPLITS)
def test_generated_reviews_agree_with_the_reference(preprocess, reviews, split):
    assert_agrees(preprocess(reviews, "--split", split), oracle.read(reviews), 5, 5, split)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("min_user, min_item", [(1, 1), (2, 7), (5, 5), (12, 3)])
def test_ties_repeats_and_odd_ids_agree_with_the_reference(preprocess, made, min_user, min_item, split):
    folder = preprocess(made, "--min-user", min_user, "--min-item", min_item, "--split", split)
    assert_agrees(folder, oracle.read(made), min_user, min_item, split)


@pytest.mark.parametrize("train_ratio, val_ratio", [(0.6, 0.2), (0.9, 0.05), (0.7, 0), (0.75, 0.25)])
def test_the_ratios_move_the_cuts(preprocess, made, train_ratio, val_ratio):
    folder = preprocess(made, "--train-ratio", train_ratio, "--val-ratio", val_ratio)
    assert_agrees(folder, oracle.read(made), 5, 5, "temporal", train_ratio=train_ratio, val_ratio=val_ratio)
    stats = helpers.read_stats(folder)
    assert (stats["train_ratio"], stats["val_ratio"]) == (train_ratio, val_ratio)


@pytest.mark.parametrize("header, fields", [
    ("user_id,item_id,timestamp,rating", ("user", "item", "time", "rating")),
    ("reviewerID;productId;date", ("user", "item", "time")),
    ("No\tUserId\tProductId\tTime\tScore", (None, "user", "item", "time", "rating")),
    ("overall,asin,USER,unixTime,title", ("rating", "item", "user", "time", None)),
    ("asin,parent_asin,user_id,timestamp,user_name", (None, "item", "user", "time", None)),
])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_columns_of_a_csv_are_found_by_name(preprocess, tmp_path, header, fields, packed):
    path = helpers.write_csv(tmp_path / "made.csv", helpers.made_csv_rows(), header, fields)
    if packed:
        path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_suffix(".csv.gz")
    assert_agrees(preprocess(path), oracle.read(path), 5, 5, "temporal")


def test_columns_can_be_named(preprocess, tmp_path):
    rows = helpers.made_csv_rows()
    plain = helpers.write_csv(tmp_path / "made.csv", rows, "who,user_id,what,when",
                              ("user", None, "item", "time"))
    lines = (json.dumps({"who": r.user, "user_id": "x", "what": r.item, "when": r.time}).encode() for r in rows)
    jsonl = helpers.write_lines(tmp_path / "made.jsonl", lines)
    for path in plain, jsonl:
        folder = preprocess(path, "--user-column", "who", "--item-column", "what", "--time-column", "when")
        assert_agrees(folder, oracle.read(path, user="who", item="what", time="when"), 5, 5, "temporal")


@pytest.mark.parametrize("names", [
    {"user_id": "user", "parent_asin": "item", "timestamp": "time"},
    {"reviewerID": "user", "asin": "item", "unixReviewTime": "seconds"},
    {"user_id": "user", "item_id": "item", "time": "seconds"},
])
def test_fields_of_jsonl_are_found_by_name(preprocess, tmp_path, names):
    rows = helpers.made_rows()
    values = ({"user": r.user, "item": r.item, "time": r.time, "seconds": r.time // 1000} for r in rows)
    lines = (json.dumps({name: v[field] for name, field in names.items()}).encode() for v in values)
    path = helpers.write_lines(tmp_path / "made.jsonl", lines)
    assert_agrees(preprocess(path), oracle.read(path), 5, 5, "temporal")
    assert helpers.read_dataset(tmp_path / "processed").parts["train"][0][3] is None


def test_several_inputs_are_read_in_their_order(preprocess, tmp_path):
    rows = helpers.made_csv_rows()
    first = helpers.write_jsonl(tmp_path / "b.jsonl", rows[:700])
    second = helpers.write_csv(tmp_path / "a.csv", rows[700:])
    for paths in (first, second), (second, first):
        assert_agrees(preprocess(*paths), oracle.read(*paths), 5, 5, "temporal")


def test_a_glob_stands_for_its_files_in_order(preprocess, tmp_path):
    rows = helpers.made_rows()
    paths = [helpers.write_jsonl(tmp_path / f"part-{n}.jsonl", rows[n::3]) for n in range(3)]
    assert_agrees(preprocess(tmp_path / "part-*.jsonl"), oracle.read(*paths), 5, 5, "temporal")


def test_a_gz_of_several_members_is_read_to_its_end(preprocess, made, tmp_path):
    lines = made.read_bytes().splitlines(keepends=True)
    packed = tmp_path / "members.jsonl.gz"
    packed.write_bytes(gzip.compress(b"".join(lines[:500])) + gzip.compress(b"".join(lines[500:])))
    assert_agrees(preprocess(packed), oracle.read(made), 5, 5, "temporal")


# What is written


def test_the_columns_have_their_names_and_types(dataset):
    rows = {"user_idx": pa.int32(), "item_idx": pa.int32(), "timestamp": pa.int64(), "rating": pa.float32()}
    tables = {part: rows for part in oracle.PARTS} | {
        "users": {"user_idx": pa.int32(), "user_id": pa.string()},
        "items": {"item_idx": pa.int32(), "item_id": pa.string(), "title": pa.string()},
    }
    for table, columns in tables.items():
        schema = pq.read_schema(dataset / f"{table}.parquet")
        assert dict(zip(schema.names, schema.types)) == columns, table
        assert schema.names == list(columns), table


def test_ids_are_numbered_in_the_order_of_their_bytes(preprocess, made):
    folder = preprocess(made)
    for table, index, name in ("users", "user_idx", "user_id"), ("items", "item_idx", "item_id"):
        columns = pq.read_table(folder / f"{table}.parquet")
        ids = columns[name].to_pylist()
        assert ids == sorted(ids, key=str.encode)
        assert columns[index].to_pylist() == list(range(len(ids)))


def test_the_digest_covers_every_file(dataset):
    stats = helpers.read_stats(dataset)
    files = {f"{table}.parquet": helpers.sha256(dataset / f"{table}.parquet") for table in helpers.TABLES}
    assert stats["files"] == files
    lines = "".join(f"{name} {digest}\n" for name, digest in files.items())
    assert stats["digest"] == hashlib.sha256(lines.encode()).hexdigest()
    assert sorted(path.name for path in dataset.iterdir()) == sorted([*files, "stats.json"])


@pytest.mark.parametrize("options, want", [
    ((), "temporal-u5-i5-0.7-0.15"),
    (("--min-user", 2, "--min-item", 3, "--train-ratio", 0.6, "--val-ratio", 0.2), "temporal-u2-i3-0.6-0.2"),
    (("--split", "leave-one-out"), "leave-one-out-u5-i5"),
])
def test_the_config_id_tells_what_shaped_the_data(preprocess, made, options, want):
    assert helpers.read_stats(preprocess(made, *options))["config_id"] == want


def test_the_results_for_machines_are_the_stats(kindred, made, tmp_path):
    out = kindred.ok("preprocess", "--input", made, "--output-dir", tmp_path / "processed", "--json", "-")
    assert json.loads(out) == helpers.read_stats(tmp_path / "processed")


@pytest.mark.parametrize("split", SPLITS)
def test_any_number_of_threads_writes_the_same_bytes(preprocess, made, split):
    one, *others = (helpers.parquet_digests(preprocess(made, "--split", split, "--threads", n, output=f"{n}"))
                    for n in (1, 2, 4))
    assert one and others == [one, one]


def test_any_number_of_threads_writes_the_same_bytes_of_real_reviews(preprocess, preprocessed, amazon):
    path = amazon("Grocery_and_Gourmet_Food.csv.gz")
    want = helpers.parquet_digests(preprocessed(path))
    for threads in (1, 4):
        assert helpers.parquet_digests(preprocess(path, "--threads", threads, output=f"{threads}")) == want


@pytest.mark.parametrize("source", ["made", "reviews"])
def test_no_time_of_training_reaches_into_what_is_held_out(preprocess, request, source):
    parts = helpers.read_dataset(preprocess(request.getfixturevalue(source))).parts
    train, val, test = ({row[2] for row in parts[part]} for part in oracle.PARTS)
    assert max(train) < min(val) <= max(val) < min(test)


# Where it is written


def test_any_name_will_do_for_files_and_folders(kindred, made, tmp_path):
    odd = tmp_path / "it's \"odd\"; é 日"
    odd.mkdir()
    path = shutil.copy(made, odd / "re'views \"1\" é.jsonl")
    folder = odd / "new" / "out 'put' \"é\""
    kindred.ok("preprocess", "--input", path, "--output-dir", folder)
    assert_agrees(folder, oracle.read(made), 5, 5, "temporal")


def test_a_second_run_replaces_the_first(preprocess, made):
    preprocess(made, "--min-user", 2, "--split", "leave-one-out")
    again = helpers.parquet_digests(preprocess(made))
    assert again == helpers.parquet_digests(preprocess(made, output="fresh"))


def test_a_file_of_somebody_else_in_the_output_folder_survives(kindred, made, tmp_path):
    notes = tmp_path / "processed" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    assert kindred.run("preprocess", "--input", made, "--output-dir", notes.parent).returncode in (0, 1)
    assert notes.read_text() == "mine"
