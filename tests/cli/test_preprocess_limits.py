"""preprocess with little memory, little disk, and little time."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

import helpers
from program import environment

LIMIT = "--memory-limit", "256MB"
LIMIT_BYTES = 256_000_000
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def many(kindred, tmp_path_factory):
    """400,000 reviews, and the digests of what a run makes of them that may use all memory."""
    folder = tmp_path_factory.mktemp("many")
    kindred.ok("generate", "--output", folder / "many.jsonl", "--users", 30_000, "--items", 8_000,
               "--reviews", 400_000, "--seed", 1)
    kindred.ok("preprocess", "--input", folder / "many.jsonl", "--output-dir", folder / "processed")
    return folder / "many.jsonl", helpers.parquet_digests(folder / "processed")


@pytest.fixture
def temp_dir(tmp_path):
    folder = tmp_path / "temp"
    folder.mkdir()
    return folder


# Memory


def test_little_memory_makes_the_same_bytes_within_it(kindred, many, tmp_path, temp_dir):
    path, digests = many
    command = kindred.command("preprocess", "--input", path, "--output-dir", tmp_path / "processed", *LIMIT,
                              "--temp-dir", temp_dir, "--quiet")
    done = subprocess.run([sys.executable, "-S", "-E", "-c", PEAK, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert helpers.parquet_digests(tmp_path / "processed") == digests
    assert list(temp_dir.iterdir()) == []
    assert kindred.is_sanitized() or int(done.stdout.split()[-1]) < 1.3 * LIMIT_BYTES + 150e6


@pytest.mark.parametrize("split", ["temporal", "ratio"])
def test_neither_threads_nor_memory_show_in_files_of_many_row_groups(kindred, many, tmp_path, split):
    found = []
    for threads, limit in (1, "4GB"), (2, "4GB"), (4, "256MB"):
        kindred.ok("preprocess", "--input", many[0], "--output-dir", tmp_path / "processed", "--split", split,
                   "--threads", threads, "--memory-limit", limit)
        found.append(helpers.parquet_digests(tmp_path / "processed"))
    assert found == found[:1] * 3


def test_a_folder_for_temporary_files_is_made(kindred, made, tmp_path):
    kindred.ok("preprocess", "--input", made, "--output-dir", tmp_path / "out", *LIMIT,
               "--temp-dir", tmp_path / "new" / "temp")
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "out"}


def test_a_folder_for_temporary_files_that_is_a_file_is_named(refusal, made, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert str(tmp_path / "file") in refusal(made, "--temp-dir", tmp_path / "file")


# Interruptions


@pytest.fixture
def waiting(kindred, many, tmp_path, temp_dir):
    """A run that has read 400,000 lines, and waits for more."""
    path, _ = many
    command = kindred.command("preprocess", "--input", "-", "--output-dir", tmp_path / "processed", *LIMIT,
                              "--temp-dir", temp_dir, "--quiet")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(path.read_bytes())
        process.stdin.flush()
        yield process
        process.kill()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_its_input_can_be_interrupted(waiting, tmp_path, temp_dir, signum):
    waiting.send_signal(signum)
    assert waiting.wait(20) in (-signum, 128 + signum)
    assert list(temp_dir.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temp_dir]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay_s", [0.05, 0.2, 0.4])
def test_an_interrupted_run_leaves_no_temporary_files(kindred, many, tmp_path, temp_dir, signum, delay_s):
    path, digests = many
    process = kindred.popen("preprocess", "--input", path, "--output-dir", tmp_path / "processed", *LIMIT,
                            "--temp-dir", temp_dir, "--quiet")
    time.sleep(delay_s)
    process.send_signal(signum)
    assert process.wait(60) in (0, -signum, 128 + signum)
    assert list(temp_dir.iterdir()) == []
    assert helpers.parquet_digests(tmp_path / "processed") in (digests, {})


def test_what_a_killed_run_left_is_cleared_by_the_next(kindred, waiting, made, tmp_path, temp_dir):
    waiting.kill()
    waiting.wait(60)
    kindred.ok("preprocess", "--input", made, "--output-dir", tmp_path / "processed", "--temp-dir", temp_dir)
    assert list(temp_dir.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["processed", "temp"]


def test_files_of_somebody_else_in_the_temporary_folder_survive(kindred, made, tmp_path, temp_dir):
    (temp_dir / "notes.txt").write_text("mine")
    kindred.ok("preprocess", "--input", made, "--output-dir", tmp_path / "processed", "--temp-dir", temp_dir)
    assert [path.name for path in temp_dir.iterdir()] == ["notes.txt"]


# Disks


def assert_says_there_is_no_space(err, folder):
    line = err.splitlines()[-1]
    assert line.startswith("kindred preprocess: ")
    assert "space" in line.lower() and str(folder) in line


def shell(kindred, *args):
    return kindred.shell("preprocess", *args, "--quiet")


def test_a_full_disk_leaves_the_earlier_output(kindred, many, made, on_small_disk, tmp_path):
    path, _ = many
    folder = tmp_path / "disk" / "out"
    first, second = (shell(kindred, "--input", one, "--output-dir", folder) for one in (made, path))
    code, err = on_small_disk(first, second)
    assert code == 1
    assert_says_there_is_no_space(err, tmp_path / "disk")
    assert "out/stats.json" in (tmp_path / "disk.before").read_text()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_full_disk_for_temporary_files_leaves_nothing(kindred, many, on_small_disk, tmp_path, form):
    path, _ = many
    if form == "parquet":  # which can't be read as it comes
        path = helpers.write_parquet(tmp_path / "in.parquet", rows := helpers.made_rows(),
                                     text=[os.urandom(1000).hex() for _ in rows])
    out = tmp_path / "out"
    command = shell(kindred, "--input", "-", "--output-dir", out, "--temp-dir", tmp_path / "disk", *LIMIT)
    code, err = on_small_disk("true", f"{command} <{shlex.quote(str(path))}")
    if code == 0:  # there was no need of them
        assert (out / "stats.json").exists()
        return
    assert code == 1
    assert_says_there_is_no_space(err, tmp_path / "disk")
    assert not out.exists()
