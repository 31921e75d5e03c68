"""generate: reviews from nothing, the same ones for the same seed."""

import gzip
import json
import os
import signal
import subprocess
import time
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


@pytest.mark.parametrize("name", ["reviews.jsonl", "reviews.jsonl.gz"])
def test_the_threads_make_no_difference(generate, name):
    first, *others = (generate(f"{threads}-{name}", "--threads", threads) for threads in (1, 2, 4))
    assert all(other == first for other in others)


def test_stdout_gets_what_the_file_holds(kindred, generate):
    printed = kindred.ok("generate", "--output", "-", *SIZE, "--quiet")
    assert printed.encode() == generate("a.jsonl")


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


def test_one_of_25_texts_is_in_quotation_marks(records):
    quoted = sum(r["text"].startswith('"') and r["text"].endswith('"') for r in records)
    assert 0.03 < quoted / len(records) < 0.05


def peak_mb(process):
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def test_memory_does_not_grow_with_what_one_user_writes(kindred):
    peaks = [peak_mb(kindred.popen("generate", "--output", "-", "--users", 1, "--items", 1000, "--reviews", n,
                                   "--threads", 2, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
             for n in (20_000, 120_000)]  # 10 and 60 MB
    assert peaks[1] < peaks[0] + 5


def test_a_reader_that_leaves_ends_it_quietly(kindred):
    with kindred.popen("generate", "--output", "-", "--reviews", 10**9, "--quiet", stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.wait(60) == -signal.SIGPIPE
        assert process.stderr.read() == b""


@pytest.mark.parametrize("threads", [1, 3])
def test_an_interrupted_run_leaves_no_file(kindred, tmp_path, threads):
    with kindred.popen("generate", "--output", tmp_path / "a.jsonl", "--reviews", 10**9, "--threads", threads,
                       "--quiet", stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "kindred generate: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here: skipped a test on a full disk")
def test_a_full_disk_is_an_error(kindred):
    with open("/dev/full", "w") as full, kindred.popen(
            "generate", "--output", "-", *SIZE, "--quiet", stdout=full, stderr=subprocess.PIPE, text=True) as process:
        assert process.wait(60) == 1
        assert process.stderr.read().startswith("kindred generate: cannot write 'stdout': ")


def test_an_output_that_cannot_be_written_is_an_error(kindred, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file/a.jsonl" in kindred.fails(1, "generate", "--output", tmp_path / "file" / "a.jsonl", *SIZE)


@pytest.mark.parametrize("option", ["--users", "--items", "--reviews"])
def test_a_size_of_nothing_is_refused(kindred, tmp_path, option):
    assert option in kindred.fails(2, "generate", "--output", tmp_path / "a.jsonl", option, 0)
    assert not (tmp_path / "a.jsonl").exists()
