"""Lines on stderr: words, or with --log json an object each."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def model(kindred, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    kindred.ok("train", "--data-dir", dataset, "--output-dir", folder, "--epochs", 1, "--quiet")
    return folder / "model.safetensors"


def lines(done):
    found = [json.loads(line) for line in done.stderr.splitlines()]
    for line in found:
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
        assert list(line)[:2] == ["time", "level"]
    return found


def test_fields_are_members_numbers_where_they_are_and_the_rest_a_message(kindred, dataset, model, tmp_path):
    output = tmp_path / 'a "folder", 1; of two.csv'
    asked = ["recommend", "--data-dir", dataset, "--model-path", model, "--output", output]
    (done,) = [line for line in lines(kindred.run(*asked, "--log", "json")) if line["event"] == "recommend.done"]
    assert (done["level"], done["output"], done["top_k"]) == ("info", str(output), 20)
    assert isinstance(done["users"], int) and "rank" not in done and "message" not in done
    words = kindred.run(*asked).stderr
    assert re.search(rf'Z info  recommend\.done output="{re.escape(str(output))}" users={done["users"]} top_k=20\n$', words)


def test_words_after_the_fields_are_the_message(kindred, dataset, tmp_path):
    asked = ["train", "--data-dir", dataset, "--output-dir", tmp_path, "--epochs", 2, "--checkpoint-every", 1]
    kindred.ok(*asked)
    newest = max((tmp_path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    warned, resumed = lines(kindred.run(*asked, "--resume", "--log", "json"))
    assert (warned["level"], warned["event"]) == ("warn", "train.checkpoint")
    assert warned["message"].startswith("passed over: ") and newest.name in warned["message"]
    assert (resumed["event"], resumed["epoch"], resumed["of"]) == ("train.resumed", 1, 2)


@pytest.mark.parametrize("wrong", [["--epochs", "none"], ["--epoch", "1"], ["--data-dir", "/nowhere", "--output-dir", "x"]])
def test_what_ends_a_command_is_a_line_too(kindred, tmp_path, wrong):
    words = kindred.run("train", *wrong, cwd=tmp_path)
    told = kindred.run("train", *wrong, "--log", "json", cwd=tmp_path)
    (line,) = lines(told)
    assert told.returncode == words.returncode != 0
    assert (line["level"], line["event"]) == ("error", "train")
    assert words.stderr == f"kindred train: {line['message']}\n"


def test_lines_carry_the_rank(mpirun, impl, dataset, model, tmp_path):
    done = mpirun(impl, 2, "recommend", "--data-dir", dataset, "--model-path", model, "--output", tmp_path / "r.csv",
                  "--log", "json")
    assert done.returncode == 0, done.stderr
    assert {line["rank"] for line in lines(done)} == {0}
