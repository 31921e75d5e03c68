"""preprocess: what is known of the items, and what is told of a run."""

import json
import re

import pytest

import helpers
import oracle
from helpers import assert_agrees

PRICES = (9, 12.99, 0, "12.99", "$1,012.99", "$5", "", "from 9.99", "—", "1,2", None)
IMAGES = ([{"large": "l", "hi_res": "h", "thumb": "t"}, {"large": "second"}], [{"large": None, "hi_res": "h"}],
          [{"thumb": "t"}], ["text", "more text"], [], None)


def meta_lines(ids):
    """Lines of all kinds; of every second id."""
    for n, one in enumerate(ids[::2]):
        name = ("parent_asin", "asin", "item_id")[n % 3]
        yield {name: one, "title": f"It's \"{one}\" é\n日" if n % 5 else None,
               "price": PRICES[n % len(PRICES)],
               "main_category": "Books" if n % 3 else None,
               "categories": ["Books", f"no. {n}", "日"] if n % 4 else None, "store": f"s{n % 7}",
               "images": IMAGES[n % len(IMAGES)], "details": {"Title": "x", "price": [1, 2]}}
    yield {"parent_asin": "an item that nobody reviewed", "title": "x"}
    yield {"parent_asin": ids[0], "title": "a second line", "store": "other"}  # the first one counts
    yield {"parent_asin": ids[2], "asin": ids[1], "title": "a child's line"}


def write_meta(path, lines, packing="plain"):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_bytes(helpers.packed(text.encode(), packing))
    return path


@pytest.fixture
def ids(made):
    return oracle.preprocess(helpers.read_once(made)).dataset.items


# Items


@pytest.mark.parametrize("packing", ["plain", "gz", "zst"])
def test_what_meta_says_of_an_item_is_kept(preprocess, made, ids, tmp_path, packing):
    meta = write_meta(tmp_path / "meta.jsonl", meta_lines(ids), packing)
    folder = preprocess(made, "--items", meta)
    items = oracle.read_items(meta)
    assert sum(one in items for one in ids) > len(ids) // 3
    assert_agrees(folder, oracle.preprocess(oracle.read(made)), items)


def test_meta_may_come_in_several_files_and_globs(preprocess, made, ids, tmp_path):
    lines = list(meta_lines(ids))
    paths = [write_meta(tmp_path / f"meta-{n}.jsonl", lines[n::3]) for n in (2, 0, 1)]
    folder = preprocess(made, "--items", paths[0], tmp_path / "meta-[01].jsonl")
    assert_agrees(folder, oracle.preprocess(oracle.read(made)), oracle.read_items(*paths))


def test_the_metadata_of_real_items_is_kept(preprocess, amazon):
    reviews, meta = amazon("reviews_2023_sample.jsonl.gz"), amazon("meta_2023_sample.jsonl.gz")
    folder = preprocess(reviews, "--items", meta, "--min-user", 1, "--min-item", 1)
    assert_agrees(folder, oracle.preprocess(oracle.read(reviews), 1, 1), oracle.read_items(meta))
    assert helpers.read_stats(folder)["items_with_title"] > 100


def test_metadata_changes_nothing_else(preprocess, preprocessed, made, ids, tmp_path):
    meta = write_meta(tmp_path / "meta.jsonl", meta_lines(ids))
    plain, known = (helpers.parquet_digests(folder) for folder in (
        preprocessed(made), preprocess(made, "--items", meta, "--threads", 1)))
    assert plain.pop("items.parquet") != known.pop("items.parquet")
    assert plain == known
    again = preprocess(made, "--items", meta, "--threads", 4, output="again")
    assert helpers.parquet_digests(again) == helpers.parquet_digests(tmp_path / "processed")


def test_metadata_that_is_not_there_is_named(refusal, made, tmp_path):
    assert "nonesuch.jsonl" in refusal(made, "--items", tmp_path / "nonesuch.jsonl")
    assert "none-*.jsonl" in refusal(made, "--items", tmp_path / "none-*.jsonl")


def test_metadata_of_given_parts_is_kept(kindred, made, ids, tmp_path):
    meta = write_meta(tmp_path / "meta.jsonl", meta_lines(ids))
    kindred.ok("preprocess", "--train", made, "--items", meta, "--output-dir", tmp_path / "processed")
    given = {part: oracle.read(*([made] if part == "train" else [])) for part in oracle.PARTS}
    assert_agrees(tmp_path / "processed", oracle.preprocess_given(given), oracle.read_items(meta))


# The report


@pytest.fixture
def report(kindred, made, tmp_path):
    """(the report of a run, its results for machines)"""
    path = tmp_path / "lines.jsonl"
    path.write_bytes(made.read_bytes() + b"hello\n" * 11 + b'{"user_id": "u", "asin": "", "time": 5}\n' * 13)
    out = kindred.ok("preprocess", "--input", path, "--output-dir", tmp_path / "processed", "--min-rating", 1,
                     "--after", "2020-09-20", "--report", tmp_path / "report.html", "--json", "-")
    return (tmp_path / "report.html").read_text(), json.loads(out)


def test_the_report_asks_nothing_of_elsewhere(report):
    text, _ = report
    assert re.match(r"\s*<!doctype html>", text, re.IGNORECASE)
    links = re.findall(r"""\b(?:src|href|srcset|action|data)\s*=\s*["']?([^"'\s>]*)""", text)
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)", text)
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}  # a name that nobody fetches


def test_the_report_has_the_numbers_of_the_funnel(report):
    text, results = report
    shown = set(re.sub(r"(?<=\d)[,\u202f\u2009](?=\d{3})", "", re.sub(r"<[^>]*>", " ", text)).split())
    fates = ["lines_read", *oracle.BAD, *oracle.DROPPED, "filtered_interactions", "num_users", "num_items",
             *(f"{part}_size" for part in oracle.PARTS)]
    assert {name: results[name] for name in fates if str(results[name]) not in shown} == {}
    assert (results["malformed"], results["missing_field"]) == (11, 13)
    assert min(results[name] for name in ("below_min_rating", "outside_dates", "repeated")) > 0


def test_the_report_comes_with_a_summary_for_machines_only(report, tmp_path):
    _, results = report
    assert isinstance(results.pop("summary"), dict)
    assert results == helpers.read_stats(tmp_path / "processed")


def test_a_run_that_fails_writes_no_report(refusal, made, tmp_path):
    refusal(made, "--min-user", 1000, "--report", tmp_path / "report.html")


def test_a_report_that_cannot_be_written_is_named(kindred, made, tmp_path):
    line = kindred.fails(1, "preprocess", "--input", made, "--output-dir", tmp_path / "out",
                         "--report", tmp_path / "nonesuch" / ("x" * 300) / "report.html")
    assert "nonesuch" in line
