"""generate: reviews from nothing, the same ones for the same seed."""

import gzip
import json
from collections import Counter

import pyarrow
import pytest

SIZE = ("--users", 200, "--items", 80, "--reviews", 5000)


@pytest.fixture
def generate(kindred, tmp_path):
    """generate(name, *options): the bytes of the file that it writes."""

    def run(name, *options):
        kindred.ok("generate", "--output", tmp_path / name, *SIZE, *options)
        return (tmp_path / name).read_bytes()

    return run


@pytest.fixture
def records(generate):
    return [json.loads(line) for line in generate("reviews.jsonl", "--seed", 1).splitlines()]


def test_the_same_seed_gives_the_same_bytes(generate):
    assert generate("a.jsonl", "--seed", 5) == generate("b.jsonl", "--seed", 5)
    for name in ("jsonl.gz", "jsonl.zst"):
        assert generate(f"a.{name}", "--seed", 5) == generate(f"b.{name}", "--seed", 5)


def test_another_seed_gives_other_reviews(generate):
    assert generate("a.jsonl", "--seed", 5) != generate("b.jsonl", "--seed", 6)


def test_a_gz_holds_what_the_plain_file_holds(generate):
    assert gzip.decompress(generate("a.jsonl.gz", "--seed", 5)) == generate("a.jsonl", "--seed", 5)


def test_a_zst_holds_what_the_plain_file_holds(generate):
    packed = generate("a.jsonl.zst", "--seed", 5)
    plain = generate("a.jsonl", "--seed", 5)
    assert len(packed) < len(plain) / 2
    assert pyarrow.CompressedInputStream(pyarrow.py_buffer(packed), "zstd").read() == plain


def test_there_are_as_many_lines_as_asked_for(generate):
    data = generate("a.jsonl")
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 5000


def test_each_line_has_the_fields_of_amazon_reviews_2023(records):
    for record in records:
        assert isinstance(record["user_id"], str) and record["user_id"]
        assert isinstance(record["parent_asin"], str) and record["parent_asin"]
        assert isinstance(record["timestamp"], int) and 1e11 < record["timestamp"] < 2e12
        assert 1 <= record["rating"] <= 5


def test_there_are_no_more_users_and_items_than_asked_for(records):
    assert 100 < len({record["user_id"] for record in records}) <= 200
    assert 40 < len({record["parent_asin"] for record in records}) <= 80


def test_a_few_items_have_much_of_the_reviews(records):
    counts = sorted(Counter(record["parent_asin"] for record in records).values(), reverse=True)
    assert sum(counts[:8]) > 2 * 0.1 * len(records)


def test_items_appear_and_fade(records):
    records.sort(key=lambda record: record["timestamp"])
    first, last = ({r["parent_asin"]: None for r in part} for part in (records[:1000], records[-1000:]))
    assert first.keys() - last.keys() and last.keys() - first.keys()


def test_an_output_that_cannot_be_written_is_an_error(kindred, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file/a.jsonl" in kindred.fails(1, "generate", "--output", tmp_path / "file" / "a.jsonl", *SIZE)


@pytest.mark.parametrize("option", ["--users", "--items", "--reviews"])
def test_a_size_of_nothing_is_refused(kindred, tmp_path, option):
    assert option in kindred.fails(2, "generate", "--output", tmp_path / "a.jsonl", option, 0)
    assert not (tmp_path / "a.jsonl").exists()
