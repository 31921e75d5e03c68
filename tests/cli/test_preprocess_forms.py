"""preprocess: every form that reviews come in, however they are packed and handed over."""

import datetime
import json
import os
import shutil
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import helpers
import oracle
from helpers import assert_agrees

PACKINGS = ("plain", "gz", "zst")
# form -> (name, how to write it, how to have it read)
FORMS = {
    "JSONL": ("in.jsonl", helpers.write_jsonl, {}),
    "CSV": ("in.csv", helpers.write_csv, {}),
    "colons": ("in.dat", lambda path, rows: helpers.write_csv(path, rows, "user::item::time::score"), {}),
    "no header": ("in.txt", lambda path, rows: helpers.write_csv(path, rows, None, delimiter="|"),
                  {"columns": "user,item,time,rating"}),
    "Parquet": ("in.parquet", helpers.write_parquet, {}),
    "sequence": ("in.txt", helpers.write_sequences, {}),
}


def options_of(how):
    flags = {"columns": "--columns", "form": "--format"}
    return [arg for name, value in how.items() for arg in (flags[name], value)]


@pytest.fixture
def agrees(preprocess):
    """agrees(paths, how, *options) of a run on those paths, or on stdin (piped), which must be as the reference
    reads the paths; of rows without times the split is leave-one-out."""

    def run(paths, how=None, *options, **piped):
        raw = oracle.read(*paths, **(how or {}))
        split = "temporal" if raw.has_times else "leave-one-out"
        inputs = ["-"] if piped else paths
        folder = preprocess(*inputs, "--split", split, *options_of(how or {}), *options, **piped)
        assert_agrees(folder, oracle.preprocess(raw, split=split))

    return run


@pytest.fixture
def written(tmp_path):
    """written(form, packing): the path of a file of that form; its name tells nothing of the packing."""

    def write(form, packing="plain"):
        name, write_rows, _ = FORMS[form]
        path = write_rows(tmp_path / name, helpers.made_csv_rows())
        path.write_bytes(helpers.packed(path.read_bytes(), packing))
        return path

    return write


# Forms and packings


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_however_it_is_packed(agrees, written, form, packing):
    agrees([written(form, packing)], FORMS[form][2])


@pytest.mark.parametrize("name, packing", [
    ("in.jsonl.gz", "plain"), ("in.jsonl.zst", "gz"), ("in.json", "zst"), ("in.csv.gz", "zst"),
    ("in.tsv.zst", "plain"), ("in.parquet", "gz"), ("in", "zst")])
def test_the_bytes_tell_how_a_file_is_packed_not_its_name(agrees, written, tmp_path, name, packing):
    form = "CSV" if ".csv" in name or ".tsv" in name else "JSONL"
    agrees([written(form, packing).rename(tmp_path / name)])


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in"])
def test_parquet_is_told_by_its_first_bytes(agrees, written, tmp_path, name):
    agrees([written("Parquet").rename(tmp_path / name)])


@pytest.mark.parametrize("packing", ["gz", "zst"])
@pytest.mark.parametrize("form", ["JSONL", "CSV"])
def test_all_members_and_frames_of_a_file_are_read(agrees, written, form, packing):
    path = written(form)
    data = path.read_bytes()
    cuts = 0, len(data) // 3, len(data) // 3, len(data) // 2 + 1, len(data)  # within lines; one part is empty
    path.write_bytes(b"".join(helpers.packed(data[a:b], packing) for a, b in zip(cuts, cuts[1:])))
    agrees([path])


def test_a_zst_that_does_not_tell_its_size_is_read(agrees, written):
    path = written("JSONL")
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(path.read_bytes())
    path.write_bytes(out.getvalue().to_pybytes())
    agrees([path])


@pytest.mark.parametrize("name, form", [("in.json", "csv"), ("in.csv", "jsonl"), ("in.tsv", "sequence")])
def test_the_form_can_be_named(agrees, written, tmp_path, name, form):
    of = {"csv": "CSV", "jsonl": "JSONL", "sequence": "sequence"}
    agrees([written(of[form]).rename(tmp_path / name)], {"form": form})


def test_items_of_a_sequence_may_be_separated_by_tabs_and_several_blanks(agrees, written):
    path = written("sequence")
    lines = path.read_bytes().replace(b" ", b"\t", 3).replace(b" ", b"  ", 5).splitlines()
    helpers.write_lines(path, [*lines, b"lonely", b"", b"  "], ending=b" \r\n")
    agrees([path], {"form": "sequence"})


# Where input comes from


@pytest.mark.parametrize("form, packing", [
    ("JSONL", "plain"), ("JSONL", "zst"), ("CSV", "gz"), ("no header", "plain"), ("Parquet", "plain"),
    ("Parquet", "zst"), ("sequence", "plain")])
def test_stdin_is_read_like_a_file(agrees, written, form, packing):
    path = written(form, packing)
    agrees([path], FORMS[form][2], piped=path.read_bytes())


def test_stdin_can_be_one_of_several_inputs(preprocess, tmp_path):
    rows = helpers.made_csv_rows()
    first = helpers.write_jsonl(tmp_path / "first.jsonl", rows[:500])
    second = helpers.write_jsonl(tmp_path / "second", rows[500:1000])
    third = helpers.write_csv(tmp_path / "third.csv", rows[1000:])
    folder = preprocess(first, "-", third, piped=second.read_bytes())
    assert_agrees(folder, oracle.preprocess(oracle.read(first, second, third)))


def test_empty_stdin_is_an_error(refusal):
    refusal("-", piped=b"")


@pytest.mark.parametrize("form, packing", [("JSONL", "gz"), ("CSV", "plain"), ("Parquet", "plain")])
def test_a_pipe_with_a_name_is_read_like_a_file(preprocess, written, tmp_path, form, packing):
    path = written(form, packing)
    pipe = tmp_path / "pipes" / path.name
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True).start()
    assert_agrees(preprocess(pipe), oracle.preprocess(oracle.read(path)))


@pytest.mark.parametrize("order", [1, -1])
def test_inputs_of_several_forms_are_read_in_their_order(agrees, tmp_path, order):
    rows = helpers.made_csv_rows()
    paths = [helpers.write_jsonl(tmp_path / "d.jsonl", rows[:400]),
             helpers.write_csv(tmp_path / "c.csv", rows[400:800]),
             helpers.write_parquet(tmp_path / "b.parquet", rows[800:1100]),
             helpers.write_jsonl(tmp_path / "a", rows[1100:])]
    for path, packing in zip(paths, ("gz", "zst", "plain", "plain")):
        path.write_bytes(helpers.packed(path.read_bytes(), packing))
    agrees(paths[::order])


def test_a_glob_stands_for_its_files_in_order(preprocess, tmp_path):
    rows = helpers.made_csv_rows()
    paths = [helpers.write_jsonl(tmp_path / "part-0.jsonl", rows[::3]),
             helpers.write_csv(tmp_path / "part-1.csv", rows[1::3]),
             helpers.write_parquet(tmp_path / "part-2.parquet", rows[2::3])]
    assert_agrees(preprocess(tmp_path / "part-*"), oracle.preprocess(oracle.read(*paths)))


def test_a_file_whose_name_looks_like_a_glob_is_that_file(agrees, made, tmp_path):
    agrees([shutil.copy(made, tmp_path / "a[1]*?.jsonl")])


# Columns and fields


@pytest.mark.parametrize("header, fields", [
    ("user_id,item_id,timestamp,rating", ("user", "item", "time", "rating")),
    ("reviewerID;productId;date", ("user", "item", "time")),
    ("No\tUserId\tProductId\tTime\tScore", (None, "user", "item", "time", "rating")),
    ("overall,asin,USER,unixTime,title", ("rating", "item", "user", "time", None)),
    ("asin|parent_asin|user_id|timestamp|user_name", (None, "item", "user", "time", None)),
    ('"user","item","time"', ("user", "item", "time")),
])
def test_columns_of_a_csv_are_found_by_name(agrees, tmp_path, header, fields):
    agrees([helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows(), header, fields)])


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "::", "|", " "])
def test_columns_without_a_header_can_be_told(agrees, tmp_path, delimiter):
    path = helpers.write_csv(tmp_path / "in.txt", helpers.made_csv_rows(), None,
                             (None, "time", "item", "rating", "user"), delimiter)
    agrees([path], {"columns": "-,time,item,rating,user"})


@pytest.mark.parametrize("columns", ["user,item", "user,item,-", "item,rating,user"])
def test_columns_without_a_time_are_read_in_order(agrees, tmp_path, columns):
    fields = [None if name == "-" else name for name in columns.split(",")]
    path = helpers.write_csv(tmp_path / "in.txt", helpers.made_csv_rows(), None, fields, ",")
    agrees([path], {"columns": columns})


@pytest.mark.parametrize("form", ["JSONL", "CSV", "Parquet"])
def test_columns_can_be_named(preprocess, tmp_path, form):
    rows = helpers.made_csv_rows()
    columns = {"who": "user", "user_id": None, "what": "item", "when": "time", "stars": "rating"}
    path = tmp_path / "in"
    if form == "JSONL":
        lines = ({name: getattr(r, field) if field else "x" for name, field in columns.items()} for r in rows)
        helpers.write_lines(path, (json.dumps(line).encode() for line in lines))
    elif form == "CSV":
        helpers.write_csv(path, rows, ",".join(columns), tuple(columns.values()))
    else:
        pq.write_table(pa.table({name: [getattr(r, field) if field else "x" for r in rows]
                                 for name, field in columns.items()}), path)
    folder = preprocess(path, "--user-column", "who", "--item-column", "what", "--time-column", "when",
                        "--rating-column", "stars", "--split", "leave-one-out")
    raw = oracle.read(path, user="who", item="what", time="when", rating="stars")
    assert_agrees(folder, oracle.preprocess(raw, split="leave-one-out"))
    assert helpers.read_dataset(folder).parts["train"][0][3] is not None


@pytest.mark.parametrize("names", [
    {"user_id": "user", "parent_asin": "item", "timestamp": "time"},
    {"reviewerID": "user", "asin": "item", "unixReviewTime": "seconds", "reviewTime": "other"},
    {"user_id": "user", "item_id": "item", "time": "seconds", "date": "other"},
    {"user_id": "user", "asin": "item", "reviewTime": "day", "overall": "rating"},
    {"user_id": "user", "asin": "item", "unixReviewTime": "null", "date": "day"},
])
def test_fields_of_jsonl_are_found_by_name(agrees, tmp_path, names):
    def values(row):
        day = datetime.datetime.fromtimestamp(row.time // 1000, datetime.timezone.utc)
        return {"user": row.user, "item": row.item, "time": row.time, "seconds": row.time // 1000, "null": None,
                "day": day.strftime("%m %-d, %Y"), "other": "01 1, 1990", "rating": row.rating}

    lines = ({name: values(row)[field] for name, field in names.items()} for row in helpers.made_rows())
    agrees([helpers.write_lines(tmp_path / "in.jsonl", (json.dumps(line).encode() for line in lines))])


# Times


TIMES = [0, 1, "2", 1441324800, 1441324800.5, "1441324800.25", 99999999999, 100000000000, 1441369805250,
         "1441369805250", "2015-09-04", "2015-09-04 12:30:05", "2015-09-04 12:30:05.25", "2015-09-04T12:30:05Z",
         "2015-09-04T12:30:05.123456Z", "2015-09-04T12:30:05+02:00", "2015-09-04T01:30:05.5-05:30",
         "2015-09-04 12:30:05+00:00", "1970-01-01", "1970-01-01T00:00:00-00:01", "9999-12-31T23:59:59.999Z",
         "2016-02-29", "09 4, 2015", "9 04, 2015", "12 31, 1999"]


def assert_has_times(folder, times):
    dataset = helpers.read_dataset(folder)
    got = {dataset.items[item]: time for _, item, time, _ in dataset.parts["train"]}
    want = {f"i{n:02}": oracle.milliseconds(time) for n, time in enumerate(times)}
    assert got == want


@pytest.fixture
def times_of(preprocess):
    """times_of(path): a run that keeps every row, in train."""
    return lambda path, *options: preprocess(path, "--min-user", 1, "--min-item", 1, "--split", "leave-one-out",
                                             "--bad-lines", "fail", *options)


def test_times_of_jsonl_may_have_any_form(times_of, tmp_path):
    rows = [{"user_id": f"u{n}", "asin": f"i{n:02}", "time": time} for n, time in enumerate(TIMES)]
    path = helpers.write_lines(tmp_path / "in.jsonl", (json.dumps(row).encode() for row in rows))
    assert_has_times(times_of(path), TIMES)


def test_times_of_delimited_text_may_have_any_form(times_of, tmp_path):
    lines = (f"u{n}\ti{n:02}\t{t}".encode() for n, t in enumerate(TIMES))
    assert_has_times(times_of(helpers.write_lines(tmp_path / "in.tsv", [b"user\titem\ttime", *lines])), TIMES)


MOMENTS = [datetime.datetime(1970, 1, 2), datetime.datetime(2015, 9, 4, 12, 30, 5, 250_000),
           datetime.datetime(2015, 9, 4, 12, 30, 5)]


def as_ms(moments):
    return [oracle.Moment((moment - oracle.EPOCH) // oracle.MS) for moment in moments]


@pytest.mark.parametrize("column, want", [
    (pa.array([5, 1441324800, 1441369805250]), [5, 1441324800, 1441369805250]),
    (pa.array([5, 1441324800], pa.int32()), [5, 1441324800]),
    (pa.array([1.5, 1441324800.25, 1441369805250.75]), [1.5, 1441324800.25, 1441369805250.75]),
    (pa.array([str(time) for time in TIMES]), TIMES),
    (pa.array([moment.date() for moment in MOMENTS]), [moment.date() for moment in MOMENTS]),
    (pa.array(MOMENTS[:1] + MOMENTS[2:], pa.timestamp("s")), as_ms(MOMENTS[:1] + MOMENTS[2:])),
    (pa.array(MOMENTS, pa.timestamp("ms")), as_ms(MOMENTS)),
    (pa.array([86_400_001_999, 1_441_369_805_250_001], pa.timestamp("us")),
     [oracle.Moment(86_400_001), oracle.Moment(1_441_369_805_250)]),
    (pa.array([86_400_001_999_999], pa.timestamp("ns")), [oracle.Moment(86_400_001)]),
    (pa.array(MOMENTS, pa.timestamp("us", "UTC")), as_ms(MOMENTS)),
    (pa.array([86_400_000_000], pa.timestamp("us", "Europe/Berlin")), [oracle.Moment(86_400_000)]),
], ids=lambda column: str(column.type) if isinstance(column, pa.Array) else "")
def test_times_of_parquet_may_have_any_type(times_of, tmp_path, column, want):
    table = pa.table({"user_id": [f"u{n}" for n in range(len(want))],
                      "item_id": [f"i{n:02}" for n in range(len(want))], "time": column})
    pq.write_table(table, tmp_path / "in.parquet")
    assert_has_times(times_of(tmp_path / "in.parquet"), want)


@pytest.mark.parametrize("user, item, rating", [
    (pa.int64(), pa.int32(), pa.float64()), (pa.large_string(), pa.string(), pa.int8()),
    (pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.string())], ids=str)
def test_ids_and_ratings_of_parquet_may_be_text_or_numbers(agrees, tmp_path, user, item, rating):
    rows = [row._replace(user=str(ord(row.user[0])), item=str(ord(row.item[0]) - 9000), rating=int(row.rating))
            for row in helpers.made_rows()]

    def column(field, kind):
        values = [getattr(row, field) for row in rows]
        own = kind.value_type if pa.types.is_dictionary(kind) else kind
        return pa.array(map(int, values), pa.int64()).cast(own).cast(kind)

    agrees([helpers.write_parquet(tmp_path / "in.parquet", rows, user_id=column("user", user),
                                  parent_asin=column("item", item), rating=column("rating", rating))])


def test_numbers_of_any_length_stay_as_they_are_written(times_of, tmp_path):
    ids = ["007", "12345678901234567890123", "-5", "1e3", "1.0", "0x10", " 7", "NaN", "null", "true"]
    csv = helpers.write_lines(tmp_path / "in.csv", [b"user,item,time", *(f"u,{one},5".encode() for one in ids)])
    assert helpers.read_dataset(times_of(csv)).items == sorted(ids)
    numbers = [7, 12345678901234567890123, -5, 2**63, 2**64 + 1]
    lines = (json.dumps({"user_id": one, "asin": "i", "time": 5}).encode() for one in numbers)
    jsonl = helpers.write_lines(tmp_path / "in.jsonl", lines)
    assert helpers.read_dataset(times_of(jsonl)).users == sorted(map(str, numbers))


def test_quotes_in_a_csv_are_taken_off_where_they_are_whole(times_of, tmp_path):
    lines = [b"user,item,time", b'"a,b",i,5', b'"say ""hi""",i,5', b'5" x 7",i,5', b'"open,i,5', b"it's,i,5",
             b'"plain","i","5"']
    path = helpers.write_lines(tmp_path / "in.csv", lines)
    folder = times_of(path)
    assert helpers.read_dataset(folder).users == ['"open', '5" x 7"', "a,b", "it's", "plain", 'say "hi"']
    assert_agrees(folder, oracle.preprocess(oracle.read(path), 1, 1, "leave-one-out"))


# Without times


@pytest.mark.parametrize("split, repeats", [("leave-one-out", "first"), ("ratio", "last"), ("random", "all")])
@pytest.mark.parametrize("form", ["JSONL", "CSV"])
def test_times_can_be_left_alone(preprocess, written, form, split, repeats):
    path = written(form)
    path.write_bytes(path.read_bytes().replace(b"1600", b"never"))
    folder = preprocess(path, "--no-times", "--split", split, "--repeats", repeats, "--seed", 1)
    raw = oracle.read(path, has_times=False)
    assert_agrees(folder, oracle.preprocess(raw, split=split, repeats=repeats, seed=1))


def test_a_file_without_a_column_of_times_needs_no_times(preprocess, tmp_path):
    path = helpers.write_csv(tmp_path / "in.csv", helpers.made_csv_rows(), "user,item", ("user", "item"))
    folder = preprocess(path, "--no-times", "--split", "leave-one-out")
    assert_agrees(folder, oracle.preprocess(oracle.read(path, has_times=False), split="leave-one-out"))


@pytest.mark.parametrize("form, options", [
    ("sequence", []), ("JSONL", ["--no-times"]), ("no header", ["--columns", "user,item,-,rating"])])
def test_without_times_there_is_no_temporal_split(refusal, written, form, options):
    line = refusal(written(form), *options)
    assert "leave-one-out" in line and "ratio" in line and "random" in line
