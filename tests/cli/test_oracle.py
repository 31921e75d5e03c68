"""The reference itself, against values worked out by hand."""

import datetime
import gzip
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oracle
from oracle import Item, Moment, Row

DAY = 86_400_000
NOON = 1_441_369_805_250  # 2015-09-04 12:30:05.25


def rows(*triples):
    return [Row(user, item, time, None) for user, item, time in triples]


def read(tmp_path, data, name="in.jsonl", **how):
    path = tmp_path / name
    path.write_bytes(data)
    return oracle.read(path, **how)


def triples(raw):
    return [row[:3] for row in raw.rows]


# Reading


@pytest.mark.parametrize("name, first, columns, want", [
    ("a.json.gz", b"x", None, "jsonl"),
    ("a.NDJSON.zst", b"x", None, "jsonl"),
    ("a.log", b"{", None, "jsonl"),
    ("", b"\n \n{", None, "jsonl"),
    ("a.txt", b"{ 1", None, "csv"),
    ("a.csv", b"PAR1", None, "parquet"),
    ("a.txt", b"u1 i1 i2", None, "sequence"),
    ("a.txt", b"u1 i1 i2", ["user", "item", "time"], "csv"),
    ("a.txt", b"u1 i1|i2", None, "csv"),
    ("a.txt", b"u1\ti1 i2", None, "csv"),
    ("a.txt", b"u1:i1 i2", None, "sequence"),
    ("a.txt", b"user", None, "csv"),
])
def test_a_form_is_told_by_name_and_first_line(name, first, columns, want):
    assert oracle.form_of(name, first, oracle.How(columns, True, {})) == want


def test_what_is_packed_is_told_by_its_bytes():
    assert oracle.unpacked(gzip.compress(b"ab") + gzip.compress(b"c")) == b"abc"
    frame = pa.compress(b"ab", "zstd", asbytes=True)
    assert oracle.unpacked(frame + frame) == b"abab"
    assert oracle.unpacked(b"ab") == b"ab"


def test_blank_lines_are_none():
    assert oracle.text_lines(b"\xef\xbb\xbfa\r\n\r\n \t\nb\rc") == [b"a", b"b", b"c"]
    assert oracle.text_lines(b"a\r\n\rb\n\r\n", ends=rb"\n") == [b"a\r", b"\rb"]


@pytest.mark.parametrize("line, want", [
    (b'{"user_id": "u", "asin": "i", "time": 1}', ("u", "i", 1000)),
    (b'{"user_id": "u", "user_id": "v", "asin": "i", "time": 1}', ("u", "i", 1000)),
    (b'{"user_id": null, "reviewerID": 12345678901234567890123, "asin": -7, "time": 1}',
     ("12345678901234567890123", "-7", 1000)),
    (b'{"user_id": "u", "asin": "i", "timestamp": null, "reviewTime": "01 2, 1970", "date": 5}',
     ("u", "i", DAY)),
    (b'{"user_id": "u", "asin": "i", "unixReviewTime": 100000000000}', ("u", "i", 10**14)),
    (b'{"user_id": "u", "asin": "i"', "malformed"),
    (b'["u", "i", 1]', "malformed"),
    (b"{}", "malformed"),
    (b'{"name": "x"}', "malformed"),
    (b'{"user_id": "u", "asin": "i", "time": NaN}', "malformed"),
    (b'{"user_id": "\xff", "asin": "i", "time": 1}', "malformed"),
    (b'{"user_id": "\\ud800", "asin": "i", "time": 1}', "malformed"),
    (b'{"rating": 5}', "missing_field"),
    (b'{"user_id": "", "asin": "i", "time": "never"}', "missing_field"),
    (b'{"user_id": "u\\u0000", "asin": "i", "time": 1}', "missing_field"),
    (b'{"user_id": true, "asin": "i", "time": 1}', "missing_field"),
    (b'{"user_id": 1.5, "asin": "i", "time": 1}', "missing_field"),
    (b'{"user_id": "u", "asin": ["i"], "time": 1}', "missing_field"),
    (b'{"user_id": "u", "asin": "i", "time": ""}', "missing_field"),
    (b'{"user_id": "u", "asin": "i", "time": true}', "out_of_range"),
    (b'{"user_id": "u", "asin": "i", "time": 1e400}', "out_of_range"),
    (b'{"user_id": "u", "asin": "i", "time": -1}', "out_of_range"),
])
def test_a_line_of_jsonl_is_a_row_or_bad_for_one_reason(tmp_path, line, want):
    raw = read(tmp_path, line)
    assert raw.lines_read == 1
    assert (triples(raw) or [fate for fate in oracle.BAD if raw.faults[fate]]) == [want]


def test_columns_of_a_header_are_found_by_how_they_begin(tmp_path):
    raw = read(tmp_path, b"asin::USER_ID:token::item::DateTime::score\nx::u::i::5::4.5\n", "in.dat")
    assert raw.rows == [Row("u", "i", 5000, 4.5)]
    raw = read(tmp_path, b"who|what|user|time\nu|i|x|5\n", "in.dat", user="who", item="what")
    assert raw.rows == [Row("u", "i", 5000, None)]


@pytest.mark.parametrize("line", [
    b"u\ti\t4\t5", b"u,i,4,5", b"u;i;4;5", b"u::i::4::5", b"u|i|4|5", b"u i 4 5"])
def test_columns_without_a_header_are_told_and_so_is_the_delimiter(tmp_path, line):
    raw = read(tmp_path, line + b"\nx,y\n", "in.dat", columns="user,item,rating,time")
    assert (raw.rows, raw.lines_read, raw.bad_lines) == ([Row("u", "i", 5000, 4.0)], 2, 1)
    raw = read(tmp_path, line, "in.dat", columns="-,item,-,user")
    assert (raw.rows, raw.has_times) == ([Row("5", "i", None, None)], False)


@pytest.mark.parametrize("line, want", [
    (b'"a,b",i,5', ("a,b", "i", 5000)),
    (b'"a""b",i,"5"', ('a"b', "i", 5000)),
    (b'5" x 7",i,5', ('5" x 7"', "i", 5000)),
    (b'"a,i,5', ('"a', "i", 5000)),
    (b"007,1e3,5", ("007", "1e3", 5000)),
    (b'"",i,5', "missing_field"),
    (b"u,i,", "missing_field"),
    (b"u,i\0,5", "missing_field"),
    (b"u,i,soon", "out_of_range"),
    (b"u,i", "malformed"),
    (b"u,i,5,", "malformed"),
    (b"u,\xff,5", "malformed"),
])
def test_a_line_of_a_csv_is_a_row_or_bad_for_one_reason(tmp_path, line, want):
    raw = read(tmp_path, b"user,item,time\r\n" + line + b"\r", "in.csv")
    assert raw.lines_read == 1
    assert (triples(raw) or [fate for fate in oracle.BAD if raw.faults[fate]]) == [want]


def test_a_lone_carriage_return_ends_a_line_of_a_csv(tmp_path):
    assert triples(read(tmp_path, b"user,item,time\na,b,1\rc,d,2\n", "in.csv")) == [
        ("a", "b", 1000), ("c", "d", 2000)]


def test_a_sequence_is_a_user_and_items_in_order(tmp_path):
    raw = read(tmp_path, b"u  i j\ti \n\n v\nw j\r\n", "in.txt", form="sequence")
    assert triples(raw) == [("u", "i", None), ("u", "j", None), ("u", "i", None), ("w", "j", None)]
    assert (raw.lines_read, raw.faults["missing_field"], raw.has_times) == (5, 1, False)


def test_parquet_is_read_by_the_names_of_its_columns(tmp_path):
    table = pa.table({"user_id": [1, 2, None], "asin": ["i", "", "j"], "rating": ["5", "x", None],
                      "time": pa.array([86_400_001_999, 0, 0], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "in.bin")
    raw = oracle.read(tmp_path / "in.bin")
    assert raw.rows == [Row("1", "i", DAY + 1, 5.0)]
    assert (raw.lines_read, raw.faults["missing_field"]) == (3, 2)


def test_without_times_they_are_not_looked_at(tmp_path):
    raw = read(tmp_path, b"user,item,time\nu,i,never\nu,j,\n", "in.csv", has_times=False)
    assert triples(raw) == [("u", "i", None), ("u", "j", None)]


@pytest.mark.parametrize("value, want", [
    ("nan", None), ("inf", None), ("five", None), (True, None), ("", None), (1e39, None), ([5], None),
    ("4.5", 4.5), (3, 3.0), (-1, -1.0)])
def test_a_rating_that_is_no_number_is_none(value, want):
    assert oracle.rating_of(value) == want


# Times


@pytest.mark.parametrize("value, want", [
    (1472688000, 1472688000000),
    (1472688000.5, 1472688000500),
    (1627679830425, 1627679830425),
    (1627679830425.9, 1627679830425),
    ("1627679830425", 1627679830425),
    (100000000000, 100000000000),
    (99999999999, 99999999999000),
    (Moment(5), 5),
    (datetime.date(1970, 1, 3), 2 * DAY),
    ("2015-09-04", NOON - 45_005_250),
    ("2015-09-04 12:30:05.25", NOON),
    ("2015-09-04 12:30:05.2509", NOON),
    ("2015-09-04T12:30:05.25Z", NOON),
    ("2015-09-04T12:30:05.25+02:00", NOON - 7_200_000),
    ("2015-09-04 12:30:05.25-00:30", NOON + 1_800_000),
    ("09 4, 2015", NOON - 45_005_250),
    ("9 04, 2015", NOON - 45_005_250),
    ("9999-12-31T23:59:59.999Z", oracle.LAST_MS),
])
def test_times_are_told_by_their_form_and_size(value, want):
    assert oracle.milliseconds(value) == want


def test_a_unix_review_time_is_seconds_whatever_its_size():
    assert oracle.milliseconds(100000000000, always_seconds=True) == 100000000000000


@pytest.mark.parametrize("value", [
    -1, 1e400, 10**400, 253402300800000, float("nan"), True, [5], "soon", "1969-12-31", "2015-02-29",
    "2015-9-4", "1970-01-01T00:00:00+00:01", "2015-09-04T25:00:00", "13 1, 2015", "2015-09-04Z",
    Moment(-1)])
def test_what_is_no_time_or_far_away_is_out_of_range(value):
    with pytest.raises(oracle.BadLine, match="out_of_range"):
        oracle.milliseconds(value)


# Filters


REPEATS = [Row("u", "i", 5, 1.0), Row("u", "i", 3, 2.0), Row("u", "j", 4, 3.0), Row("u", "i", 3, 4.0),
           Row("u", "i", 5, 5.0)]


@pytest.mark.parametrize("which, places", [("first", [1, 2]), ("last", [2, 4]), ("all", [0, 1, 2, 3, 4])])
def test_of_repeats_the_one_asked_for_is_kept(which, places):
    kept, dropped = oracle.selected(REPEATS, repeats=which)
    assert kept == [REPEATS[place] for place in places]
    assert dropped["repeated"] == 5 - len(places)


def test_rows_go_for_the_first_reason_that_holds():
    own = [Row("u", "a", 1, 2.0), Row("u", "a", 1, None), Row("u", "b", 1, 3.0), Row("u", "c", 2, 3.0),
           Row("u", "c", 2, 4.0), Row("u", "d", 3, 5.0)]
    kept, dropped = oracle.selected(own, min_rating=3, after=0.002, before=0.003)
    assert kept == [own[3]]
    assert dropped == {"below_min_rating": 2, "outside_dates": 2, "repeated": 1}


def test_the_filter_goes_on_until_nothing_falls():
    square = rows(("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("b", "y", 1))
    tail = rows(("b", "z", 1), ("c", "z", 1))  # c falls first, then z
    assert oracle.core(square + tail, 2, 2) == (square, 1, 1)
    assert oracle.core(tail, 2, 2) == ([], 2, 0)
    assert oracle.core(square + tail, 1, 3) == ([], 0, 6)


def test_users_that_fall_in_a_later_round_count_as_users():
    own = rows(("a", "x", 1), ("a", "y", 1), ("b", "x", 1), ("b", "y", 1), ("c", "x", 1), ("c", "z", 1))
    assert oracle.core(own, 2, 2) == (own[:4], 1, 1)  # z falls with its item, then what c has left


# Splits


def test_a_temporal_cut_keeps_equal_times_together():
    times = [0, 1, 2, 3, 4, 5, 6, 6, 6, 9]  # row 7 has time 6: val starts there; row 8 as well
    assert oracle.temporal(rows(*(("u", str(n), t) for n, t in enumerate(times)))) == (
        ["train"] * 6 + ["test"] * 4)


def test_leave_one_out_takes_the_last_two_of_users_with_three():
    own = rows(("a", "x", 9), ("a", "y", 1), ("b", "x", 1), ("a", "z", 9), ("b", "y", 2))
    assert oracle.leave_one_out(own) == ["val", "train", "train", "test", "train"]


def test_ratio_cuts_each_user_by_the_users_own_times():
    own = rows(*(("u", str(n), 10 - n) for n in range(10)), ("v", "x", 1))
    # of u the 7 earliest are train, from the eighth on (8.5 floored) is val, the rest test
    assert oracle.ratio(own) == ["test", "test", "val"] + ["train"] * 8


def test_ratio_keeps_equal_times_together_and_the_first_in_train():
    own = rows(("u", "a", 1), ("u", "b", 2), ("u", "c", 2), ("u", "d", 3), ("v", "a", 5), ("v", "b", 5))
    assert oracle.ratio(own, 0.5, 0.25) == ["train", "val", "val", "test", "train", "train"]
    assert oracle.ratio(own, 0.1, 0.1) == ["train", "test", "test", "test", "train", "train"]


def test_a_draw_is_the_low_half_of_an_md5():
    # md5("42 0") is f5bc1da5b42c3577d24061c3fb4bd514; DuckDB: md5_number_lower('42 0') = 1501189595484733650
    assert oracle.draw(42, 0) == 1501189595484733650 / 2**64
    assert oracle.draw(1, 12345) == 3125156856729620493 / 2**64


def test_random_draws_in_the_order_of_users_and_times(monkeypatch):
    own = rows(("v", "a", 1), ("u", "b", 3), ("u", "c", 2), ("u", "d", 1), ("v", "b", 2))
    draws = {0: 0.9, 1: 0.1, 2: 0.6, 3: 0.6, 4: 0.6}  # u's three: a = 1, b = 2; v's two: a = 0, b = 2
    monkeypatch.setattr(oracle, "draw", lambda seed, n: draws[n])
    assert oracle.drawn(own, 0.5, 0.25) == ["train", "test", "val", "train", "val"]


# Datasets


def test_every_line_read_is_counted_once():
    raw = oracle.Raw(rows(("u", "a", 2), ("u", "b", 1), ("u", "b", 1), ("v", "a", 1)),
                     oracle.Counter(malformed=2), True)
    made = oracle.preprocess(raw, 2, 1, split="leave-one-out")
    assert made.dataset == oracle.Dataset(["u"], ["a", "b"], {
        "train": [(0, 1, 1, None), (0, 0, 2, None)], "val": [], "test": []})
    counts = {name: made.stats[name] for name in (*oracle.BAD, *oracle.DROPPED, "filtered_interactions")}
    assert counts == {"malformed": 2, "missing_field": 0, "out_of_range": 0, "below_min_rating": 0,
                      "outside_dates": 0, "repeated": 1, "filtered_by_users": 1, "filtered_by_items": 0,
                      "filtered_interactions": 2}
    assert (made.stats["lines_read"], made.stats["bad_lines"], made.stats["raw_interactions"]) == (6, 2, 4)
    assert (made.stats["first_time"], made.stats["last_time"]) == (1, 2)


def test_without_times_a_row_has_its_place_repeats_included(tmp_path):
    raw = read(tmp_path, b"u a a b\nv a\nu c\n", "in.txt")
    made = oracle.preprocess(raw, 1, 1, split="leave-one-out")
    assert made.dataset.parts == {
        "train": [(0, 0, 0, None), (1, 0, 0, None)], "val": [(0, 1, 2, None)], "test": [(0, 2, 3, None)]}
    assert made.stats["has_times"] is False and "first_time" not in made.stats


def test_given_parts_are_kept_and_repeats_are_their_own(tmp_path):
    given = {"train": read(tmp_path, b"u a a\nv b\n", "in.txt"), "val": oracle.read(),
             "test": read(tmp_path, b"u a c\n", "in.txt")}
    made = oracle.preprocess_given(given)
    assert made.dataset.parts == {
        "train": [(0, 0, 0, None), (1, 1, 0, None)], "val": [], "test": [(0, 0, 2, None), (0, 2, 3, None)]}
    assert (made.stats["lines_read"], made.stats["repeated"]) == (5, 1)
    assert (made.stats["split_strategy"], made.stats["min_user"], made.stats["min_item"]) == ("given", 1, 1)


def test_ids_are_numbered_by_their_bytes():
    assert list(oracle.numbered(["é", "a", "B", "10", "9", "😀"])) == ["10", "9", "B", "a", "é", "😀"]


# Items


@pytest.mark.parametrize("value, want", [
    (9, 9.0), (12.99, 12.99), ("12.99", 12.99), ("$1,012.99", 1012.99), ("$5", 5.0), (None, None), ("", None),
    ("from 9.99", None), ("$9.99 - $12.99", None), ("1,2", None)])
def test_prices_are_numbers_or_texts_of_one(value, want):
    assert oracle.price_of(value) == want


@pytest.mark.parametrize("images, want", [
    ([{"large": "l", "hi_res": "h", "thumb": "t"}, {"large": "x"}], "l"),
    ([{"large": None, "hi_res": "h", "thumb": "t"}], "h"),
    ([{"thumb": "t"}], "t"),
    (["one", "two"], "one"),
    ([{}], None), ([], None), (None, None)])
def test_an_image_is_the_first_ones_largest(images, want):
    assert oracle.image_of(images) == want


def test_of_several_lines_of_an_item_the_first_counts(tmp_path):
    path = tmp_path / "meta.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [
        {"asin": "a", "title": "A", "price": "$3", "main_category": "m", "categories": ["x", "y"], "store": "s"},
        {"parent_asin": "a", "asin": "b", "title": "B"},
        {"item_id": "c"}]))
    assert oracle.read_items(path) == {"a": Item("A", 3.0, "m", ["x", "y"], "s", None), "c": Item()}


# Ranking and metrics


def test_equal_scores_are_ranked_by_index_and_masked_items_left_out():
    assert oracle.ranking([1, 2, 1, 2, 0], masked={3}) == [1, 0, 2, 4]


@pytest.mark.parametrize("ranked, relevant, k, want", [
    ([7, 1, 2], {7}, 3, {"recall": 1, "precision": 1 / 3, "hit": 1, "ndcg": 1, "map": 1, "mrr": 1}),
    ([1, 7, 2], {7}, 3, {"recall": 1, "ndcg": 1 / math.log2(3), "map": 0.5, "mrr": 0.5}),
    ([1, 2, 7], {7}, 2, {"recall": 0, "precision": 0, "hit": 0, "ndcg": 0, "map": 0, "mrr": 0}),
    ([1, 5, 9, 3], {1, 3, 4}, 4, {"recall": 2 / 3, "precision": 0.5, "map": (1 + 2 / 4) / 3, "ndcg": (
        (1 + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / math.log2(4)))}),
    ([1, 5], {1, 5, 3}, 2, {"recall": 2 / 3, "ndcg": 1, "map": 1}),  # the ideal is cut at k
])
def test_metrics_are_those_of_the_formulas(ranked, relevant, k, want):
    got = oracle.metrics(ranked, relevant, [k])
    assert {name: got[f"{name}_at_{k}"] for name in want} == pytest.approx(want, abs=1e-12)


def test_a_user_whom_the_model_cannot_serve_counts_as_nothing_in_all_users_only():
    data = oracle.Dataset(["a", "b"], ["x", "y"], {
        "train": [(0, 0, 1, None)], "val": [], "test": [(0, 1, 2, None), (1, 1, 2, None)]})
    got = oracle.evaluate(data, "test", lambda user: [1, 0] if user == 0 else None, [1])
    assert (got["users"], got["users_without_train"], got["recall_at_1"]) == (1, 1, 1.0)
    assert (got["all_users"]["users"], got["all_users"]["recall_at_1"]) == (2, 0.5)
    seen = oracle.evaluate(data, "test", lambda user: [1, 0], [1], include_seen=True)
    assert seen["recall_at_1"] == 0.0


def test_the_interval_is_of_the_mean_by_the_sample_deviation():
    got = oracle.means([{"m": 1.0}, {"m": 2.0, "n": 5.0}, {"m": 6.0}])
    half = 1.96 * math.sqrt(7) / math.sqrt(3)  # (4 + 1 + 9) / (3 - 1)
    assert (got["m"], got["m_ci95"]) == (3.0, pytest.approx([3 - half, 3 + half]))
    assert (got["n"], got["n_ci95"]) == (5.0, None)


@pytest.mark.parametrize("counts, want", [
    ([3, 3, 3, 3], 0), ([0, 0, 8, 0], 0.75), ([4, 2, 1, 3], 0.25), ([0, 0], None)])
def test_gini_is_0_where_all_are_equal_and_near_1_where_one_has_all(counts, want):
    assert oracle.gini(counts) == want


def test_popularity_and_novelty_are_means_over_the_list():
    rows = [4, 1, 0]
    values = {name: [value(count, 8) for count in rows] for name, value in oracle.BY_ITEM.items()}
    got = oracle.metrics_by_item([0, 2, 1], values, [1, 2, 5])
    assert [got[f"popularity_at_{k}"] for k in (1, 2, 5)] == [4, 2, 5 / 3]
    assert [got[f"novelty_at_{k}"] for k in (1, 2, 5)] == [1, 2, 7 / 3]
    assert oracle.metrics_by_item([], values, [1]) == {}


def test_items_are_head_middle_and_tail_by_thirds_of_the_rows():
    # 12 rows: the head ends with the item that reaches 4, the middle with the one that reaches 8
    assert oracle.popularity_groups([1, 3, 0, 3, 4, 1]) == {"head": {4}, "middle": {1, 3}, "tail": {0, 5}}


def test_users_are_cut_at_the_quartiles_of_their_train_rows():
    train = [(user, item, 0, None) for user, n in enumerate([1, 1, 2, 5, 5, 5, 7, 9]) for item in range(n)]
    data = oracle.Dataset([], [], {"train": train})
    judged = [oracle.Judged(user, set(), [], {}) for user in range(8)]
    assert oracle.activity_groups(data, judged) == {"1": {0, 1}, "2-5": {2, 3, 4, 5}, "6-9": {6, 7}}
    assert oracle.activity_groups(data, judged[3:]) == {"5": {3, 4, 5}, "6-7": {6}, "8-9": {7}}


def test_groups_of_items_look_for_their_own_alone_and_differences_are_paired():
    data = oracle.Dataset(["a", "b"], ["x", "y", "z"], {
        "train": [(0, 0, 1, None), (1, 1, 1, None)], "val": [],
        "test": [(0, 1, 2, None), (0, 2, 2, None), (1, 0, 2, None)]})
    got = oracle.evaluate(data, "test", lambda user: [2, 1, 0], [1])
    known, new = got["groups"]["newness"]
    assert (known["users"], known["recall_at_1"], new["users"], new["recall_at_1"]) == (2, 1.0, 1, 0.0)
    assert (got["held_out_rows"], got["new_item_rows"], got["recall_at_1"]) == (3, 1, 0.75)
    other = oracle.differences(data, "test", lambda user: [0, 0, 1], lambda user: [2, 1, 0], [1])
    assert other["recall_at_1"] == -0.5  # a finds z instead of y: no difference; b finds nothing: -1
    assert other["recall_at_1_ci95"] == pytest.approx([-0.5 - 0.98, -0.5 + 0.98])
