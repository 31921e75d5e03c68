"""preprocess on what it can't use: bad lines, bad files, interruptions. Nothing is ever half-written."""

import gzip
import json
import signal
import time

import pyarrow as pa
import pytest

import helpers
import oracle
from helpers import assert_agrees

ROW = oracle.Row("u", "i", 1_627_679_830_425, 4.0)
NO_USER, NO_ITEM, NO_TIME = ROW._replace(user=None), ROW._replace(item=None), ROW._replace(time=None)
TIME = b"1627679830425"

# kind of fault -> the line
BAD_JSON = {
    "malformed": {
        "cut short": helpers.review(ROW)[:-20],
        "not JSON": b"hello",
        "a list": b'["u", "i", 1627679830425]',
        "a number": b"42",
        "null": b"null",
        "an empty object": b"{}",
        "an object of another kind": b'{"name": "x", "age": 3}',
        "something after the object": helpers.review(ROW) + b" x",
        "two objects": helpers.review(ROW) + helpers.review(ROW),
        "a carriage return between two objects": helpers.review(ROW) + b"\r" + helpers.review(ROW),
        "single quotes": helpers.review(ROW).replace(b'"', b"'"),
        "a raw NUL": helpers.review(ROW).replace(b'"u"', b'"u\0"'),
        "invalid UTF-8": helpers.review(ROW).replace(b'"u"', b'"\xff\xfe"'),
        "invalid UTF-8 elsewhere": helpers.review(ROW, text="?").replace(b'"?"', b'"\xff"'),
        "half a surrogate pair": helpers.review(ROW).replace(b'"u"', b'"\\ud800"'),
    },
    "missing_field": {
        "no user": helpers.review(NO_USER),
        "no item": helpers.review(NO_ITEM),
        "no time": helpers.review(NO_TIME),
        "only a user": b'{"user_id": "u"}',
        "a null user": helpers.review(ROW).replace(b'"u"', b"null"),
        "a null time": helpers.review(ROW).replace(TIME, b"null"),
        "an empty user": helpers.review(ROW, user_id=""),
        "an empty item": helpers.review(ROW, parent_asin=""),
        "an empty time": helpers.review(ROW, timestamp=""),
        "true for a user": helpers.review(ROW, user_id=True),
        "half a number for a user": helpers.review(ROW, user_id=1.5),
        "a list for a user": helpers.review(ROW, user_id=["u"]),
        "an object for an item": helpers.review(ROW, parent_asin={"id": "i"}),
        "false for an item": helpers.review(ROW, parent_asin=False),
        "a NUL in a user": helpers.review(ROW, user_id="u\0"),
        "a NUL for an item": helpers.review(ROW, parent_asin="\0"),
        "an empty user and no real time": helpers.review(ROW, user_id="", timestamp="soon"),
    },
    "out_of_range": {
        "a word for a time": helpers.review(ROW, timestamp="yesterday"),
        "a list for a time": helpers.review(ROW, timestamp=[1627679830425]),
        "an object for a time": helpers.review(ROW, timestamp={"$date": 1627679830425}),
        "true for a time": helpers.review(ROW, timestamp=True),
        "a time before 1970": helpers.review(ROW, timestamp=-1),
        "a time after 9999": helpers.review(ROW, timestamp=253402300800000),
        "a time of 30 digits": helpers.review(ROW, timestamp=10**30),
        "an infinite time": helpers.review(ROW).replace(TIME, b"1e400"),
        "a date that there isn't": helpers.review(ROW, timestamp="2015-02-30"),
        "a date before 1970": helpers.review(ROW, timestamp="1969-12-31T23:59:59Z"),
        "a month that there isn't": helpers.review(NO_TIME, reviewTime="13 1, 2015"),
    },
}
GOOD_JSON = {
    "a carriage return": helpers.review(ROW) + b"\r",
    "blanks around": b" \t" + helpers.review(ROW) + b" ",
    "fields within fields": helpers.review(ROW, style={"size": [1, {"a": None}], "user_id": "x"}),
    "a word for a rating": helpers.review(ROW, rating="five"),
    "a list for a rating": helpers.review(ROW, rating=[5]),
    "true for a rating": helpers.review(ROW, rating=True),
    "a rating that is no number": helpers.review(ROW, rating="nan"),
    "a text for a rating": helpers.review(ROW, rating="4.5"),
    "no rating": helpers.review(ROW._replace(rating=None)),
    "a text for a time": helpers.review(ROW, timestamp="1627679830425"),
    "seconds": helpers.review(ROW, timestamp=1627679830),
    "half a second": helpers.review(ROW, timestamp=1627679830.5),
    "the last time of all": helpers.review(ROW, timestamp=253402300799999),
    "the first time of all": helpers.review(ROW, timestamp=0),
    "seconds of the far future": helpers.review(NO_TIME, unixReviewTime=100_000_000_000),
    "an escaped id": helpers.review(ROW, user_id="é\u2028\"\\/\n"),
    "an escaped name": helpers.review(ROW).replace(b'"user_id"', b'"\\u0075ser_id"'),
    "a number for an id": helpers.review(ROW, user_id=17),
    "a number of 23 digits for an id": helpers.review(ROW, user_id=12345678901234567890123),
    "both names of the item": helpers.review(ROW, asin="j"),
    "a null name before another": helpers.review(ROW, reviewerID="v").replace(b'"u"', b"null"),
    "a name twice": helpers.review(ROW).replace(b'"user_id": "u"', b'"user_id": "u", "user_id": "v"'),
    "a line of a megabyte": helpers.review(ROW, text="x" * 1_000_000),
}
BAD_CSV = {
    "malformed": {
        "too few columns": b"u,i,1627679830425",
        "too many columns": b"u,i,1627679830425,4.0,x",
        "a word": b"hello",
        "invalid UTF-8": b"\xff\xfe,i,1627679830425,4.0",
        "invalid UTF-8 in the rating": b"u,i,1627679830425,\xff",
    },
    "missing_field": {
        "an empty user": b",i,1627679830425,4.0",
        "an empty item": b"u,,1627679830425,4.0",
        "an empty time": b"u,i,,4.0",
        "quotes around nothing": b'"",i,1627679830425,4.0',
        "nothing at all": b",,,",
        "a NUL in a user": b"u\0,i,1627679830425,4.0",
        "an empty user and no real time": b",i,soon,4.0",
    },
    "out_of_range": {
        "a word for a time": b"u,i,yesterday,4.0",
        "a time before 1970": b"u,i,-5,4.0",
        "a time after 9999": b"u,i,253402300800000,4.0",
        "an infinite time": b"u,i,1e400,4.0",
        "a date that there isn't": b"u,i,2015-13-01,4.0",
    },
}
GOOD_CSV = {
    "a word for a rating": b"u,i,1627679830425,five",
    "no rating": b"u,i,1627679830425,",
    "a rating that is no number": b"u,i,1627679830425,nan",
    "quotes": b'"u,1",i,"1627679830425","4.5"',
    "quotes within quotes": b'"u""1",i,1627679830425,4.5',
    "a stray quote": b'5" u,i,1627679830425,4.5',
    "a quote that isn't closed": b'"u,i,1627679830425,4.5',
    "zeros in front": b"007,000,1627679830425,4.5",
    "a carriage return that ends a line": b"u,i,1627679830425,4.5\rv,j,1627679830425,3.5",
    "a date": b"u,i,2021-07-30 21:17:10.425,4.5",
    "a line of a megabyte": b"u" * 1_000_000 + b",i,1627679830425,4.5",
}
LATE, EARLY = pa.array([253402300800000, 0], pa.timestamp("ms")), pa.array([-1, 0], pa.timestamp("us"))
BAD_PARQUET = {  # name of the column -> its values, a bad one and a good one
    "missing_field": {
        "a null user": {"user_id": [None, "u"]},
        "a null item": {"parent_asin": [None, "i"]},
        "a null time": {"timestamp": [None, 0]},
        "an empty user": {"user_id": ["", "u"]},
        "an empty item": {"parent_asin": ["", "i"]},
        "a NUL in a user": {"user_id": ["u\0", "u"]},
    },
    "out_of_range": {
        "a time before 1970": {"timestamp": [-1, 0]},
        "a time after 9999": {"timestamp": [253402300800000, 0]},
        "no number": {"timestamp": [float("nan"), 0.0]},
        "an infinite time": {"timestamp": [float("inf"), 0.0]},
        "a word for a time": {"timestamp": ["yesterday", "0"]},
        "a moment after 9999": {"timestamp": LATE},
        "a moment before 1970": {"timestamp": EARLY},
    },
}


KEEP_ALL = "--min-user", 1, "--min-item", 1, "--split", "leave-one-out"


@pytest.fixture
def counts(preprocess):
    """counts(*paths): how many lines of them are bad for which reason, in a run that keeps all other rows."""

    def run(*paths, options=()):
        folder = preprocess(*paths, *KEEP_ALL, "--repeats", "all", *options)
        assert_agrees(folder, oracle.preprocess(oracle.read(*paths), 1, 1, "leave-one-out", "all"))
        return faults_in(helpers.read_stats(folder))

    return run


def faults_in(stats):
    return {fate: stats[fate] for fate in oracle.BAD if stats[fate]}


@pytest.fixture
def assert_all_count_as(kindred, tmp_path):
    """assert_all_count_as(fate, kinds, write): of files of each kind of fault, written by write(faults, name),
    each counts as one bad line of that fate; says which don't."""

    def run(*paths):
        done = kindred.run("preprocess", "--input", *paths, *KEEP_ALL, "--output-dir", tmp_path / "processed",
                           "--quiet", "--json", "-")
        return done.stderr if done.returncode else faults_in(json.loads(done.stdout))

    def check(fate, kinds, write):
        paths = write(list(kinds.values()))
        if run(*paths) != {fate: len(kinds)}:
            found = {kind: run(*write([fault])) for kind, fault in kinds.items()}
            assert found == dict.fromkeys(kinds, {fate: 1})

    return check


def good_lines():
    return list(map(helpers.review, helpers.made_rows(n_rows=50)))


def good_csv_lines():
    rows = helpers.made_csv_rows()[:50]
    return [b"user_id,item_id,time,rating", *(f"{r.user},{r.item},{r.time},{r.rating}".encode() for r in rows)]


# Lines


@pytest.mark.parametrize("fate", BAD_JSON)
def test_bad_lines_of_jsonl_are_skipped_and_counted(assert_all_count_as, tmp_path, fate):
    def write(faults):
        return [helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), *faults, *good_lines()])]

    assert_all_count_as(fate, BAD_JSON[fate], write)


@pytest.mark.parametrize("fate", BAD_CSV)
def test_bad_lines_of_a_csv_are_skipped_and_counted(assert_all_count_as, tmp_path, fate):
    def write(faults):
        return [helpers.write_lines(tmp_path / "in.csv", [*good_csv_lines(), *faults, *good_csv_lines()[1:]])]

    assert_all_count_as(fate, BAD_CSV[fate], write)


@pytest.mark.parametrize("fate", BAD_PARQUET)
def test_bad_rows_of_parquet_are_skipped_and_counted(assert_all_count_as, tmp_path, fate):
    def write(faults):
        good = helpers.write_parquet(tmp_path / "in.parquet", helpers.made_rows(n_rows=50))
        return [good, *(helpers.write_parquet(tmp_path / f"{n}.parquet", [ROW] * 2, **fault)
                        for n, fault in enumerate(faults))]

    assert_all_count_as(fate, BAD_PARQUET[fate], write)


def test_unusual_lines_of_jsonl_are_rows_like_any_other(counts, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), *GOOD_JSON.values()])
    assert counts(path) == {}


def test_unusual_lines_of_a_csv_are_rows_like_any_other(counts, tmp_path):
    path = helpers.write_lines(tmp_path / "in.csv", [*good_csv_lines(), *GOOD_CSV.values()])
    assert counts(path) == {}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("packing", ["plain", "zst"])
def test_all_faults_at_once_are_counted(counts, tmp_path, form, packing):
    bad, good = (BAD_JSON, GOOD_JSON) if form == "jsonl" else (BAD_CSV, GOOD_CSV)
    lines = good_lines() if form == "jsonl" else good_csv_lines()
    faults = [line for kinds in bad.values() for line in kinds.values()]
    path = helpers.write_lines(tmp_path / f"in.{form}", [*lines, *faults, *good.values(), *lines[1:], *faults])
    path.write_bytes(helpers.packed(path.read_bytes(), packing))
    assert counts(path) == {fate: 2 * len(kinds) for fate, kinds in bad.items()}


def test_a_user_without_items_is_a_bad_line_of_a_sequence(counts, tmp_path):
    path = helpers.write_lines(tmp_path / "in.txt", [b"a x y z", b"b", b"", b"c x  y ", b" ", b"d ", b"e z"])
    assert counts(path) == {"missing_field": 2}
    assert helpers.read_stats(tmp_path / "processed")["lines_read"] == 8


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n \t \n", b" \n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_no_harm(counts, tmp_path, form, start, ending):
    path = tmp_path / f"in.{form}"
    helpers.write_lines(path, good_lines() if form == "jsonl" else good_csv_lines())
    path.write_bytes(start + path.read_bytes().replace(b"\n", ending))
    assert counts(path) == {}
    assert helpers.read_stats(tmp_path / "processed")["lines_read"] == 50


def test_a_csv_may_have_carriage_returns_alone(counts, tmp_path):
    assert counts(helpers.write_lines(tmp_path / "in.csv", good_csv_lines(), ending=b"\r")) == {}
    assert helpers.read_stats(tmp_path / "processed")["lines_read"] == 50


def test_blank_lines_in_front_are_no_header(counts, tmp_path):
    assert counts(helpers.write_lines(tmp_path / "in.csv", [b"", b" ", *good_csv_lines()])) == {}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_last_line_without_its_end_is_read(counts, tmp_path, form):
    lines = good_lines() if form == "jsonl" else good_csv_lines()
    path = helpers.write_lines(tmp_path / f"in.{form}", lines)
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert counts(path) == {}
    assert helpers.read_stats(tmp_path / "processed")["lines_read"] == 50


def test_a_line_of_megabytes_is_read(counts, tmp_path):
    lines = [*good_lines(), helpers.review(ROW, text="x" * 20_000_000), *good_lines()]
    assert counts(helpers.write_lines(tmp_path / "in.jsonl", lines)) == {}


# Bad lines refused


ONE_OF_EACH = [
    ("jsonl", BAD_JSON["malformed"]["not JSON"]),
    ("jsonl", BAD_JSON["malformed"]["invalid UTF-8"]),
    ("jsonl", BAD_JSON["missing_field"]["no time"]),
    ("jsonl", BAD_JSON["out_of_range"]["an infinite time"]),
    ("csv", BAD_CSV["malformed"]["too few columns"]),
    ("csv", BAD_CSV["malformed"]["invalid UTF-8"]),
    ("csv", BAD_CSV["missing_field"]["an empty user"]),
    ("csv", BAD_CSV["out_of_range"]["a time before 1970"]),
]


def lines_with(form, bad):
    """As many lines that the bad one is the 21st, and more."""
    lines = good_lines() if form == "jsonl" else good_csv_lines()
    return [*lines[:20], bad, *lines[20:40], bad]


@pytest.mark.parametrize("form, bad", ONE_OF_EACH)
def test_a_bad_line_can_be_refused_and_is_named(refusal, tmp_path, form, bad):
    path = helpers.write_lines(tmp_path / f"in.{form}", lines_with(form, bad))
    assert f"in.{form}:21:" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


@pytest.mark.parametrize("form, bad", [ONE_OF_EACH[n] for n in (0, 5, 6)])
@pytest.mark.parametrize("start, ending, number", [
    (b"\xef\xbb\xbf", b"\n", 21),
    (b"", b"\r\n", 21),
    (b"\n\n", b"\n", 23),
    (b"\xef\xbb\xbf\r\n", b"\r\n", 22),
    (b"", b"\n\n", 41),
    (b"", b"\r\n \r\n", 41),
])
def test_blank_lines_count_in_the_number_of_a_refused_line(refusal, tmp_path, form, bad, start, ending, number):
    path = helpers.write_lines(tmp_path / f"in.{form}", lines_with(form, bad), ending)
    path.write_bytes(start + path.read_bytes())
    assert f"in.{form}:{number}:" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("form, bad", [ONE_OF_EACH[n] for n in (2, 4)])
def test_a_refused_line_of_a_packed_file_is_named(refusal, tmp_path, form, bad, packing):
    path = helpers.write_lines(tmp_path / f"in.{form}", lines_with(form, bad))
    path.write_bytes(helpers.packed(path.read_bytes(), packing))
    assert f"in.{form}:21:" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


def test_each_carriage_return_ends_a_line_of_a_csv_that_counts(refusal, tmp_path):
    path = helpers.write_lines(tmp_path / "in.csv", lines_with("csv", b"u,i"), ending=b"\r")
    assert "in.csv:21:" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


def test_a_refused_line_of_the_second_file_is_named(refusal, tmp_path):
    first = helpers.write_lines(tmp_path / "a.jsonl", good_lines())
    second = helpers.write_lines(tmp_path / "b.csv", lines_with("csv", b"u,i"))
    assert "b.csv:21:" in refusal(first, second, *KEEP_ALL, "--bad-lines", "fail")


def test_a_refused_user_without_items_is_named(refusal, tmp_path):
    path = helpers.write_lines(tmp_path / "in.txt", [b"a x y", b"", b"b z", b"c"])
    assert "in.txt:4:" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


def test_the_file_of_a_refused_row_of_parquet_is_named(refusal, tmp_path):
    path = helpers.write_parquet(tmp_path / "in.parquet", [ROW] * 20 + [NO_USER])
    assert "in.parquet" in refusal(path, *KEEP_ALL, "--bad-lines", "fail")


def test_no_bad_line_is_no_reason_to_refuse(counts, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", good_lines())
    assert counts(path, options=["--bad-lines", "fail", "--max-bad-lines", 0]) == {}


def test_up_to_max_bad_lines_are_skipped(counts, tmp_path):
    faults = [kinds[next(iter(kinds))] for kinds in BAD_JSON.values()]
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), *faults])
    assert counts(path, options=["--max-bad-lines", 3]) == dict.fromkeys(oracle.BAD, 1)


def test_more_than_max_bad_lines_are_refused(refusal, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), b"x", b"y", b"z"])
    assert "--max-bad-lines" in refusal(path, "--max-bad-lines", 2)


def test_bad_lines_of_several_files_are_counted_together(refusal, tmp_path):
    paths = [helpers.write_lines(tmp_path / f"{n}.jsonl", [*good_lines(), b"x", b"y"]) for n in range(2)]
    assert "--max-bad-lines" in refusal(*paths, *KEEP_ALL, "--max-bad-lines", 3)


def test_bad_lines_are_told_of(kindred, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), b"x", b"y", b"z"])
    told = kindred.run("preprocess", "--input", path, "--output-dir", tmp_path / "out",
                       "--min-user", 1, "--min-item", 1)
    assert told.returncode == 0
    assert "3" in told.stdout + told.stderr and "bad" in told.stdout + told.stderr


# Columns


@pytest.mark.parametrize("header, looked_for", [
    ("who,item_id,time", "user"), ("user_id,what,time", "item"), ("user_id,item_id,when", "time")])
def test_a_missing_column_of_a_csv_is_named(refusal, tmp_path, header, looked_for):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows(), header, ("user", "item", "time"))
    line = refusal(path)
    assert "in.csv" in line and looked_for in line


@pytest.mark.parametrize("option", ["--user-column", "--item-column", "--time-column", "--rating-column"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_named_column_that_is_not_there_is_an_error(refusal, tmp_path, form, option):
    write = helpers.write_csv if form == "csv" else helpers.write_parquet
    line = refusal(write(tmp_path / f"in.{form}", helpers.made_csv_rows()), option, "nonesuch")
    assert "nonesuch" in line and f"in.{form}" in line


@pytest.mark.parametrize("name", ["user_id", "parent_asin", "timestamp"])
def test_a_missing_column_of_parquet_is_named(refusal, tmp_path, name):
    path = helpers.write_parquet(tmp_path / "in.parquet", helpers.made_rows(), **{name: None})
    line = refusal(path)
    assert "in.parquet" in line and {"u": "user", "p": "item", "t": "time"}[name[0]] in line


@pytest.mark.parametrize("columns", ["user,time", "item", "user,item,when", "user,user,item", "user,,item", ""])
def test_columns_that_make_no_sense_are_refused(refusal, tmp_path, columns):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows())
    assert "--columns" in refusal(path, "--columns", columns, code=2)


def test_columns_that_no_delimiter_makes_are_refused(refusal, tmp_path):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows())
    line = refusal(path, "--columns", "user,item,time")
    assert "in.csv" in line and "3" in line


@pytest.mark.parametrize("options, named", [
    (["--after", "yesterday"], "--after"), (["--before", "2015-02-30"], "--before"),
    (["--min-rating", "good"], "--min-rating"),
    (["--repeats", "some"], "--repeats"), (["--format", "xml"], "--format"), (["--split", "rand"], "--split"),
    (["--memory-limit", "lots"], "--memory-limit"), (["--threads", "-1"], "--threads"),
    (["--seed", "x"], "--seed")])
def test_values_that_make_no_sense_are_refused(refusal, made, options, named):
    assert named in refusal(made, *options, code=2).replace("memory limit", "--memory-limit")


def test_jsonl_of_another_kind_is_an_error(refusal, tmp_path):
    refusal(helpers.write_lines(tmp_path / "in.jsonl", [b'{"name": "x", "age": 3}'] * 20))


# Files


def test_an_input_that_is_not_there_is_named(refusal, tmp_path):
    assert "nonesuch.jsonl" in refusal(tmp_path / "nonesuch.jsonl")


def test_a_glob_that_finds_nothing_is_named(refusal, tmp_path):
    assert "none-*.jsonl" in refusal(tmp_path / "none-*.jsonl")


def test_a_folder_for_an_input_is_an_error(refusal, tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    assert "folder.jsonl" in refusal(tmp_path / "folder.jsonl")


@pytest.mark.parametrize("name, text, packing", [
    ("in.jsonl", b"", "plain"), ("in.csv", b"", "plain"), ("in", b"", "plain"), ("in.jsonl.gz", b"", "gz"),
    ("in.csv.zst", b"", "zst"), ("in.jsonl", b"\n \r\n", "plain"), ("in.csv", b"\xef\xbb\xbf\n", "plain")])
def test_an_empty_file_is_an_error(refusal, tmp_path, name, text, packing):
    path = tmp_path / name
    path.write_bytes(helpers.packed(text, packing))
    assert name in refusal(path)


def test_a_file_of_nothing_but_bad_lines_is_an_error(refusal, tmp_path):
    line = refusal(helpers.write_lines(tmp_path / "in.csv", [b"user,item,time", b"a", b"b"]), *KEEP_ALL)
    assert "in.csv" in line


@pytest.mark.parametrize("lost", [1, 12, "half", "all but 4"])
def test_a_parquet_file_that_is_cut_is_an_error(refusal, tmp_path, lost):
    path = helpers.write_parquet(tmp_path / "cut.parquet", helpers.made_rows())
    data = path.read_bytes()
    path.write_bytes(data[:{"half": len(data) // 2, "all but 4": 4}.get(lost) or -lost])
    assert "cut.parquet" in refusal(path)


@pytest.fixture
def packed():
    return bytearray(gzip.compress(b"\n".join(map(helpers.review, helpers.made_rows(n_rows=5000)))))


@pytest.mark.parametrize("lost", [1, 4, 8, "half"])
def test_a_gz_that_is_cut_is_an_error(refusal, tmp_path, packed, lost):
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[:-(len(packed) // 2 if lost == "half" else lost)])
    line = refusal(path, "--min-user", 1, "--min-item", 1)
    assert "cut.jsonl.gz" in line and "truncated" in line


@pytest.mark.parametrize("lost", [1, 4, "half"])
def test_a_zst_that_is_cut_is_an_error(refusal, tmp_path, packed, lost):
    data = helpers.packed(gzip.decompress(packed), "zst")
    path = tmp_path / "cut.jsonl.zst"
    path.write_bytes(data[:-(len(data) // 2 if lost == "half" else lost)])
    line = refusal(path, "--min-user", 1, "--min-item", 1)
    assert "cut.jsonl.zst" in line and "truncated" in line


def test_a_zst_with_a_flipped_bit_is_an_error(kindred, refusal, tmp_path):
    path = tmp_path / "flipped.jsonl.zst"
    kindred.ok("generate", "--output", path, "--reviews", 3000)  # with a checksum, unlike others' files
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    assert "flipped.jsonl.zst" in refusal(path, "--min-user", 1, "--min-item", 1)


def test_a_cut_gz_on_stdin_is_an_error(refusal, packed):
    assert "truncated" in refusal("-", *KEEP_ALL, piped=bytes(packed[:-100]))


@pytest.mark.parametrize("place", ["half", -6, -2], ids=["in the data", "in the checksum", "in the length"])
def test_a_gz_with_a_flipped_bit_is_an_error(refusal, tmp_path, packed, place):
    packed[len(packed) // 2 if place == "half" else place] ^= 16
    path = tmp_path / "flipped.jsonl.gz"
    path.write_bytes(packed)
    line = refusal(path, "--min-user", 1, "--min-item", 1)
    assert "flipped.jsonl.gz" in line and "corrupt" in line


@pytest.mark.parametrize("output", ["file", "file/out"])
def test_an_output_folder_that_cannot_be_made_is_named(kindred, tmp_path, output):
    path = helpers.write_lines(tmp_path / "in.jsonl", good_lines())
    (tmp_path / "file").write_text("mine")
    line = kindred.fails(1, "preprocess", "--input", path, "--output-dir", tmp_path / output,
                         "--min-user", 1, "--min-item", 1)
    assert str(tmp_path / "file") in line
    assert (tmp_path / "file").read_text() == "mine"


# Thresholds


@pytest.mark.parametrize("options", [(), ("--min-user", 1, "--min-item", 1000)])
def test_where_nothing_is_left_the_threshold_to_lower_is_named(refusal, tmp_path, options):
    path = helpers.write_jsonl(tmp_path / "in.jsonl", helpers.made_rows(n_rows=30))
    line = refusal(path, *options)
    assert "30" in line and "--min-" in line


def test_where_nothing_is_left_of_real_reviews_the_threshold_is_named(refusal, amazon):
    line = refusal(amazon("reviews_2023_sample.jsonl.gz"))
    assert "2,990" in line and "--min-user" in line


def test_nothing_to_train_on_is_an_error(refusal, tmp_path):
    rows = [row._replace(time=ROW.time) for row in helpers.made_rows()]  # one time for all: all is test
    refusal(helpers.write_jsonl(tmp_path / "in.jsonl", rows))


@pytest.mark.parametrize("ratios", [(0.8, 0.3), (0, 0.5), (-0.1, 0.1), (1.5, 0)])
def test_ratios_that_leave_no_sense_are_refused(refusal, tmp_path, ratios):
    path = helpers.write_jsonl(tmp_path / "in.jsonl", helpers.made_rows())
    assert "ratio" in refusal(path, "--train-ratio", ratios[0], "--val-ratio", ratios[1], code=2)


# What was there before


@pytest.fixture
def earlier(preprocess, made):
    """A dataset folder from an earlier run."""
    return preprocess(made, *KEEP_ALL, output="earlier")


@pytest.mark.parametrize("fault", ["no file", "nothing left", "a cut gz", "no META"])
def test_a_run_that_fails_leaves_the_earlier_output(kindred, tmp_path, earlier, packed, made, fault):
    path = tmp_path / ("in.jsonl.gz" if fault == "a cut gz" else "in.jsonl")
    if fault != "no file":
        path.write_bytes({"nothing left": helpers.review(ROW), "a cut gz": packed[:-9],
                          "no META": made.read_bytes()}[fault])
    options = ["--items", tmp_path / "nonesuch.jsonl"] if fault == "no META" else []
    before = helpers.snapshot(tmp_path)
    kindred.fails(1, "preprocess", "--input", path, "--output-dir", earlier, *options)
    assert helpers.snapshot(tmp_path) == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("delay_s", [0.02, 0.1, 0.2, 0.4])
def test_an_interrupted_run_writes_all_or_nothing(kindred, tmp_path, earlier, big, signum, delay_s):
    path, whole = big
    before = helpers.snapshot(earlier)
    run = kindred.popen("preprocess", "--input", path, "--output-dir", earlier, "--quiet")
    time.sleep(delay_s)
    run.send_signal(signum)
    code = run.wait(60)
    after = helpers.snapshot(earlier)
    if signum == signal.SIGKILL:  # which leaves no time to clean up
        after = {name: digest for name, digest in after.items() if name in before}
    assert code in (0, -signum, 128 + signum)
    assert after == whole or (after == before and code != 0)


def test_after_a_kill_the_next_run_is_like_any_other(kindred, tmp_path, earlier, big):
    path, whole = big
    run = kindred.popen("preprocess", "--input", path, "--output-dir", earlier, "--quiet")
    time.sleep(0.2)
    run.kill()
    run.wait(60)
    kindred.ok("preprocess", "--input", path, "--output-dir", earlier)
    assert {name: digest for name, digest in helpers.snapshot(earlier).items() if name in whole} == whole


@pytest.fixture(scope="module")
def big(kindred, tmp_path_factory):
    """Enough lines to be interrupted at, and what a whole run writes."""
    folder = tmp_path_factory.mktemp("big")
    lines = b"".join(helpers.review(row) + b"\n" for row in helpers.made_rows(n_rows=20_000))
    path = folder / "big.jsonl.gz"
    path.write_bytes(gzip.compress(lines, 1) * 30)
    kindred.ok("preprocess", "--input", path, "--output-dir", folder / "processed")
    return path, helpers.snapshot(folder / "processed")
