"""preprocess on what it can't use: bad lines, bad files, interruptions. Nothing is ever half-written."""

import gzip
import signal
import time

import pytest

import helpers
import oracle
from test_preprocess import assert_agrees

ROW = oracle.Row("u", "i", 1_627_679_830_425, 4.0)
NO_USER, NO_ITEM, NO_TIME = ROW._replace(user=None), ROW._replace(item=None), ROW._replace(time=None)

BAD_JSON = {
    "cut short": helpers.review(ROW)[:-20],
    "not JSON": b"hello",
    "a list": b'["u", "i", 1627679830425]',
    "a number": b"42",
    "null": b"null",
    "something after the object": helpers.review(ROW) + b" x",
    "invalid UTF-8": helpers.review(ROW).replace(b'"u"', b'"\xff\xfe"'),
    "no user": helpers.review(NO_USER),
    "no item": helpers.review(NO_ITEM),
    "no time": helpers.review(NO_TIME),
    "a null user": helpers.review(ROW).replace(b'"u"', b"null"),
    "an empty user": helpers.review(ROW, user_id=""),
    "an empty item": helpers.review(ROW, parent_asin=""),
    "a word for a time": helpers.review(ROW, timestamp="yesterday"),
    "a list for a time": helpers.review(ROW, timestamp=[1627679830425]),
    "a time before 1970": helpers.review(ROW, timestamp=-1),
    "a time after 9999": helpers.review(ROW, timestamp=253402300800000),
    "an infinite time": helpers.review(ROW).replace(b"1627679830425", b"1e400"),
}
GOOD_JSON = {
    "a carriage return": helpers.review(ROW) + b"\r",
    "fields within fields": helpers.review(ROW, style={"size": [1, {"a": None}]}),
    "a word for a rating": helpers.review(ROW, rating="five"),
    "no rating": helpers.review(ROW._replace(rating=None)),
    "a text for a time": helpers.review(ROW, timestamp="1627679830425"),
    "seconds": helpers.review(ROW, timestamp=1627679830),
    "half a second": helpers.review(ROW, timestamp=1627679830.5),
    "the last time of all": helpers.review(ROW, timestamp=253402300799999),
    "the first time of all": helpers.review(ROW, timestamp=0),
    "seconds of the far future": helpers.review(NO_TIME, unixReviewTime=100_000_000_000),
    "an escaped id": helpers.review(ROW, user_id="é\u2028\"\\/\n"),
    "a number for an id": helpers.review(ROW, user_id=17),
    "both names of the item": helpers.review(ROW, asin="j"),
    "a null name before another": helpers.review(ROW, reviewerID="v").replace(b'"u"', b"null"),
}
BAD_CSV = {
    "too few columns": b"u,i,1627679830425",
    "too many columns": b"u,i,1627679830425,4.0,x",
    "an empty user": b",i,1627679830425,4.0",
    "an empty item": b"u,,1627679830425,4.0",
    "an empty time": b"u,i,,4.0",
    "a word for a time": b"u,i,yesterday,4.0",
    "a time before 1970": b"u,i,-5,4.0",
    "invalid UTF-8": b"\xff\xfe,i,1627679830425,4.0",
}


@pytest.fixture
def preprocess(kindred, tmp_path):
    """preprocess(path, *options) of a run that keeps every row and succeeds: the dataset folder."""

    def run(path, *options):
        folder = tmp_path / "processed"
        kindred.ok("preprocess", "--input", path, "--output-dir", folder,
                   "--min-user", 1, "--min-item", 1, "--split", "leave-one-out", *options)
        return folder

    return run


@pytest.fixture
def refusal(kindred, tmp_path):
    """refusal(path, *options) of a run that fails and leaves nothing behind: its line on stderr."""

    def run(path, *options, code=1):
        before = helpers.snapshot(tmp_path)
        line = kindred.fails(code, "preprocess", "--input", path, "--output-dir", tmp_path / "out", *options)
        assert not (tmp_path / "out").exists()
        assert helpers.snapshot(tmp_path) == before
        return line

    return run


def good_lines():
    return list(map(helpers.review, helpers.made_rows(n_rows=50)))


def assert_counts(folder, path, bad_lines):
    raw = oracle.read(path)
    assert raw.bad_lines == bad_lines
    assert_agrees(folder, raw, 1, 1, "leave-one-out")


# Lines


@pytest.mark.parametrize("kind", BAD_JSON)
def test_a_bad_line_of_jsonl_is_skipped_and_counted(preprocess, tmp_path, kind):
    lines = good_lines()
    path = helpers.write_lines(tmp_path / "in.jsonl", [*lines[:20], BAD_JSON[kind], *lines[20:]])
    assert_counts(preprocess(path), path, bad_lines=1)


@pytest.mark.parametrize("kind", GOOD_JSON)
def test_an_unusual_line_of_jsonl_is_a_row_like_any_other(preprocess, tmp_path, kind):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), GOOD_JSON[kind]])
    assert_counts(preprocess(path), path, bad_lines=0)


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_line_of_a_csv_is_skipped_and_counted(preprocess, tmp_path, kind):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows())
    lines = path.read_bytes().splitlines()
    helpers.write_lines(path, [*lines[:20], BAD_CSV[kind], *lines[20:]])
    assert_counts(preprocess(path), path, bad_lines=1)


def test_all_faults_at_once_are_counted(preprocess, tmp_path):
    lines = [*good_lines(), *BAD_JSON.values(), *GOOD_JSON.values(), *good_lines()]
    path = helpers.write_lines(tmp_path / "in.jsonl", lines)
    assert_counts(preprocess(path), path, bad_lines=len(BAD_JSON))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_no_harm(preprocess, tmp_path, form, start, ending):
    path = tmp_path / f"in.{form}"
    {"jsonl": helpers.write_jsonl, "csv": helpers.write_csv}[form](path, helpers.made_csv_rows())
    path.write_bytes(start + path.read_bytes().replace(b"\n", ending))
    assert_counts(preprocess(path), path, bad_lines=0)


def test_a_last_line_without_its_end_is_read(preprocess, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", good_lines())
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    assert_counts(preprocess(path), path, bad_lines=0)


def test_a_line_of_megabytes_is_read(preprocess, tmp_path):
    lines = [*good_lines(), helpers.review(ROW, text="x" * 20_000_000), *good_lines()]
    path = helpers.write_lines(tmp_path / "in.jsonl", lines)
    assert_counts(preprocess(path), path, bad_lines=0)


@pytest.mark.parametrize("bad, name", [(BAD_JSON["not JSON"], "in.jsonl"), (BAD_JSON["no time"], "in.jsonl"),
                                       (BAD_CSV["too few columns"], "in.csv")])
def test_bad_lines_can_be_refused(refusal, tmp_path, bad, name):
    write = helpers.write_jsonl if name == "in.jsonl" else helpers.write_csv
    path = write(tmp_path / name, helpers.made_csv_rows())
    path.write_bytes(path.read_bytes() + bad + b"\n")
    assert name in refusal(path, "--bad-lines", "fail")


def test_no_bad_line_is_no_reason_to_refuse(preprocess, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", good_lines())
    assert_counts(preprocess(path, "--bad-lines", "fail", "--max-bad-lines", 0), path, bad_lines=0)


def test_up_to_max_bad_lines_are_skipped(preprocess, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), b"x", b"y", b"z"])
    assert_counts(preprocess(path, "--max-bad-lines", 3), path, bad_lines=3)


def test_more_than_max_bad_lines_are_refused(refusal, tmp_path):
    path = helpers.write_lines(tmp_path / "in.jsonl", [*good_lines(), b"x", b"y", b"z"])
    assert "3" in refusal(path, "--max-bad-lines", 2)


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


@pytest.mark.parametrize("option", ["--user-column", "--item-column", "--time-column"])
def test_a_named_column_that_is_not_there_is_an_error(refusal, tmp_path, option):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows())
    assert "nonesuch" in refusal(path, option, "nonesuch")


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


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.jsonl.gz"])
def test_an_empty_file_is_an_error(refusal, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    refusal(path)


@pytest.fixture
def packed():
    return bytearray(gzip.compress(b"\n".join(map(helpers.review, helpers.made_rows(n_rows=5000)))))


@pytest.mark.parametrize("lost", [1, 4, 8, "half"])
def test_a_gz_that_is_cut_is_an_error(refusal, tmp_path, packed, lost):
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[:-(len(packed) // 2 if lost == "half" else lost)])
    line = refusal(path, "--min-user", 1, "--min-item", 1)
    assert "cut.jsonl.gz" in line and "truncated" in line


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
def earlier(preprocess, tmp_path):
    """A dataset folder from an earlier run."""
    return preprocess(helpers.write_jsonl(tmp_path / "earlier.jsonl", helpers.made_rows()))


@pytest.mark.parametrize("fault", ["no file", "nothing left", "a cut gz"])
def test_a_run_that_fails_leaves_the_earlier_output(kindred, tmp_path, earlier, packed, fault):
    path = tmp_path / ("in.jsonl.gz" if fault == "a cut gz" else "in.jsonl")
    if fault != "no file":
        path.write_bytes(packed[:-9] if fault == "a cut gz" else helpers.review(ROW))
    before = helpers.snapshot(tmp_path)
    kindred.fails(1, "preprocess", "--input", path, "--output-dir", earlier)
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
