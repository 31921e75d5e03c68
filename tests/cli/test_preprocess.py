"""preprocess: every row where the reference puts it."""

import hashlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import helpers
import oracle
from helpers import assert_agrees

SEED = 7
REAL = [  # file, min_user, min_item, splits
    ("amazon/Grocery_and_Gourmet_Food.csv.gz", 5, 5, ("temporal", "ratio")),
    ("amazon/All_Beauty_5.json.gz", 5, 5, tuple(oracle.SPLITS)),
    ("amazon/All_Beauty_5.json.gz", 2, 2, ("temporal",)),
    ("amazon/AMAZON_FASHION_5.jsonl", 3, 3, tuple(oracle.SPLITS)),
    ("amazon/reviews_2023_sample.jsonl.gz", 2, 2, ("temporal", "random")),
    ("amazon/reviews_2023_sample.jsonl.gz", 1, 1, ("leave-one-out", "ratio")),
    ("amazon/Electronics_2023.parquet", 3, 3, tuple(oracle.SPLITS)),
    ("amazon/Electronics_2023.parquet", 1, 1, ("temporal",)),
    ("ml-100k/ml-100k.inter", 5, 5, ("leave-one-out", "random")),
    ("amazon/Beauty.txt", 5, 5, ("leave-one-out",)),
    ("amazon/Beauty.txt", 1, 1, ("leave-one-out",)),
]
STATS = """config_id lines_read bad_lines malformed missing_field out_of_range raw_interactions below_min_rating
    outside_dates repeated filtered_by_users filtered_by_items filtered_interactions num_users num_items
    items_with_title train_size val_size test_size split_strategy repeats min_user min_item
    train_ratio val_ratio has_times first_time last_time files digest version""".split()


# Agreement


@pytest.mark.parametrize("name, min_user, min_item, split", [
    (name, min_user, min_item, split) for name, min_user, min_item, splits in REAL for split in splits])
def test_real_reviews_agree_with_the_reference(real, preprocessed, name, min_user, min_item, split):
    options = [] if (min_user, min_item) == (5, 5) else ["--min-user", min_user, "--min-item", min_item]
    options += ["--split", split] if split != "temporal" else []
    folder = preprocessed(real(name), *options, "--seed", SEED)
    raw = helpers.read_once(real(name))
    assert_agrees(folder, oracle.preprocess(raw, min_user, min_item, split, seed=SEED))


def test_generated_reviews_agree_with_the_reference(preprocessed, reviews, split):
    folder = preprocessed(reviews, "--split", split, "--seed", SEED)
    assert_agrees(folder, oracle.preprocess(helpers.read_once(reviews), split=split, seed=SEED))


@pytest.mark.parametrize("min_user, min_item", [(1, 1), (2, 7), (5, 5), (12, 3)])
def test_ties_repeats_and_odd_ids_agree_with_the_reference(preprocess, made, min_user, min_item, split):
    folder = preprocess(made, "--min-user", min_user, "--min-item", min_item, "--split", split, "--seed", SEED)
    assert_agrees(folder, oracle.preprocess(oracle.read(made), min_user, min_item, split, seed=SEED))


@pytest.mark.parametrize("split", ["temporal", "ratio", "random"])
@pytest.mark.parametrize("train_ratio, val_ratio", [(0.6, 0.2), (0.9, 0.05), (0.7, 0), (0.75, 0.25)])
def test_the_ratios_move_the_cuts(preprocess, made, train_ratio, val_ratio, split):
    ratios = {"train_ratio": train_ratio, "val_ratio": val_ratio}
    folder = preprocess(made, "--train-ratio", train_ratio, "--val-ratio", val_ratio, "--split", split,
                        "--seed", SEED)
    assert_agrees(folder, oracle.preprocess(oracle.read(made), split=split, seed=SEED, **ratios))


# Which rows are kept


@pytest.mark.parametrize("options", [
    {"repeats": "last"},
    {"repeats": "all"},
    {"min_rating": 2.5},
    {"after": "2020-10-01"},
    {"before": "2021-01-15T00:00:00+02:00"},
    {"after": "10 1, 2020", "before": "1609459200"},
    {"min_rating": 1.5, "after": "2020-09-20 12:00:00", "before": "1615000000000", "repeats": "last"},
], ids=lambda options: " ".join(options))
def test_rows_are_chosen_as_the_reference_does(preprocess, made, options):
    args = [arg for name, value in options.items() for arg in (f"--{name.replace('_', '-')}", value)]
    folder = preprocess(made, *args, "--split", "leave-one-out")
    want = oracle.preprocess(oracle.read(made), split="leave-one-out", **options)
    assert_agrees(folder, want)
    plain = oracle.preprocess(oracle.read(made), split="leave-one-out")
    assert want.dataset != plain.dataset  # else this would tell nothing


def test_the_bounds_are_what_they_say(preprocess, tmp_path):
    new_year = 1_577_836_800_000  # 2020
    rows = [oracle.Row("u", f"i{n}", new_year + 86_400_000 * n, rating)
            for n, rating in enumerate([1, 2, 3, 3, 3, None])]
    path = helpers.write_lines(tmp_path / "in.jsonl", map(helpers.review, rows))
    folder = preprocess(path, "--min-user", 1, "--min-item", 1, "--split", "leave-one-out", "--min-rating", 2,
                        "--after", "2020-01-03", "--before", "2020-01-05")
    stats = helpers.read_stats(folder)
    assert helpers.read_dataset(folder).items == ["i2", "i3"]
    assert (stats["below_min_rating"], stats["outside_dates"]) == (2, 2)


def test_a_row_without_a_rating_is_below_any(preprocess, tmp_path):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows())
    path.write_bytes(path.read_bytes() + b"u,i,1600000000,five\nu,j,1600000000,\nu,k,1600000000,nan\n")
    folder = preprocess(path, "--min-rating", 0.1, "--min-user", 1, "--min-item", 1)
    assert helpers.read_stats(folder)["below_min_rating"] == 3


def test_repeats_count_as_rows_where_all_are_kept(preprocess, tmp_path):
    rows = [oracle.Row("u", "i", 1_600_000_000_000 + n, 5.0) for n in range(5)]
    folder = preprocess(helpers.write_jsonl(tmp_path / "in.jsonl", rows), "--repeats", "all")
    assert helpers.read_stats(folder)["filtered_interactions"] == 5


# What is written


def test_the_columns_have_their_names_and_types(dataset):
    rows = {"user_idx": pa.int32(), "item_idx": pa.int32(), "timestamp": pa.int64(), "rating": pa.float32()}
    tables = {part: rows for part in oracle.PARTS} | {
        "users": {"user_idx": pa.int32(), "user_id": pa.string()},
        "items": {"item_idx": pa.int32(), "item_id": pa.string(), "title": pa.string(), "price": pa.float64(),
                  "main_category": pa.string(), "categories": pa.list_(pa.string()), "store": pa.string(),
                  "image": pa.string()},
    }
    for table, columns in tables.items():
        schema = pq.read_schema(dataset / f"{table}.parquet")
        types = [pa.list_(one.value_type) if pa.types.is_list(one) else one for one in schema.types]
        assert dict(zip(schema.names, types)) == columns, table
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


def test_the_stats_are_in_the_order_of_a_rows_fate(dataset):
    assert list(helpers.read_stats(dataset)) == STATS


def test_the_results_for_machines_are_the_stats_and_a_summary(kindred, made, tmp_path):
    out = kindred.ok("preprocess", "--input", made, "--output-dir", tmp_path / "processed", "--json", "-")
    results = json.loads(out)
    assert list(results) == [*STATS, "summary"]
    assert results.pop("summary")
    assert results == helpers.read_stats(tmp_path / "processed")


def test_any_number_of_threads_writes_the_same_bytes_of_real_reviews(preprocess, preprocessed, amazon):
    path = amazon("Grocery_and_Gourmet_Food.csv.gz")
    want = helpers.parquet_digests(preprocessed(path, "--seed", SEED))
    for threads in (1, 4):
        assert helpers.parquet_digests(preprocess(path, "--threads", threads, output=f"{threads}")) == want


# Where it is written


def test_any_name_will_do_for_files_and_folders(kindred, made, tmp_path):
    odd = tmp_path / "it's \"odd\"; é 日"
    odd.mkdir()
    path = shutil.copy(made, odd / "re'views \"1\" é.jsonl")
    folder = odd / "new" / "out 'put' \"é\""
    kindred.ok("preprocess", "--input", path, "--output-dir", folder)
    assert_agrees(folder, oracle.preprocess(oracle.read(made)))


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
