"""`kindred evaluate` and `recommend` under a launcher: what one process says and writes, by whatever ranks."""

import json
import re

import pytest

import helpers
from test_recommend import FORMS, READERS

RUNS = [("openmpi", 2, 1), ("openmpi", 3, 2), ("mpich", 4, 1)]
ALL = ("--metrics", "recall,ndcg,hit,precision,map,mrr,coverage,gini,popularity,novelty", "--k", "5,20", "--by",
       "activity,popularity")


@pytest.fixture(scope="module")
def models(kindred, dataset, tmp_path_factory):
    """Two, of which the second serves those too whom training didn't see."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("mf", "itemknn"):
        options = ["--epochs", 3] if name == "mf" else []
        kindred.ok("train", "--data-dir", dataset, "--model", name, "--output-dir", folder / name, "--quiet", *options)
    return [folder / name / "model.safetensors" for name in ("mf", "itemknn")]


def untimed(text):
    return re.sub(r'"seconds": [0-9.e-]+', "", text)


@pytest.mark.parametrize("impl, n, threads", RUNS)
def test_ranks_report_the_same_to_the_last_digit(kindred, mpirun, dataset, models, tmp_path, impl, n, threads):
    asked = ("evaluate", "--data-dir", dataset, "--model-path", *models, *ALL)
    want = kindred.ok(*asked, "--json", tmp_path / "alone.json", "--report", tmp_path / "alone.html")
    beside = [(path.parent / "eval_results.json").read_text() for path in models]
    got = mpirun.ok(impl, n, *asked, "--threads", threads, "--json", tmp_path / "ranks.json",
                    "--report", tmp_path / "ranks.html")
    assert got == want
    assert untimed((tmp_path / "ranks.json").read_text()) == untimed((tmp_path / "alone.json").read_text())
    assert (tmp_path / "ranks.html").read_bytes() == (tmp_path / "alone.html").read_bytes()
    for path, text in zip(models, beside):
        assert untimed((path.parent / "eval_results.json").read_text()) == untimed(text)


def test_ranks_write_json_to_stdout_once(mpirun, impl, dataset, models):
    out = mpirun.ok(impl, 3, "evaluate", "--data-dir", dataset, "--model-path", models[0], "--json", "-")
    assert json.loads(out)["model"] == "mf"


@pytest.mark.parametrize("ending", FORMS)
@pytest.mark.parametrize("impl, n, threads", RUNS)
def test_parts_joined_are_the_lists_of_one_process(kindred, mpirun, dataset, models, tmp_path, impl, n, threads, ending):
    asked = ("recommend", "--data-dir", dataset, "--model-path", models[0], "--top-k", 7, "--quiet")
    kindred.ok(*asked, "--output", tmp_path / f"alone.{ending}")
    mpirun.ok(impl, n, *asked, "--threads", threads, "--output", tmp_path / f"list.{ending}")
    names = [f"list-{r:05}-of-{n:05}.{ending}" for r in range(n)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"alone.{ending}", *names]
    read = READERS[ending]
    assert [row for name in names for row in read(tmp_path / name)] == read(tmp_path / f"alone.{ending}")


def test_parts_of_another_number_of_ranks_go_and_other_files_stay(mpirun, impl, dataset, models, tmp_path):
    asked = ("recommend", "--data-dir", dataset, "--model-path", models[0], "--quiet", "--output", tmp_path / "a.csv")
    others = ["a.csv", "a-00000-of-00002.jsonl", "ba-00000-of-00002.csv", "a-0-of-2.csv", "a-00000-of-00002.csv.old"]
    for name in others:
        (tmp_path / name).write_text("kept")
    mpirun.ok(impl, 2, *asked)
    mpirun.ok(impl, 3, *asked)
    assert {path.name for path in tmp_path.iterdir()} == {*others, *(f"a-{r:05}-of-00003.csv" for r in range(3))}


def test_more_ranks_than_users_write_parts_without_rows(mpirun, impl, dataset, models, tmp_path):
    known = helpers.read_dataset(dataset)
    (tmp_path / "users").write_text(f"{known.users[known.parts['train'][0][0]]}\n")
    mpirun.ok(impl, 2, "recommend", "--data-dir", dataset, "--model-path", models[1], "--quiet", "--users",
              tmp_path / "users", "--output", tmp_path / "a.parquet", "--top-k", 2)
    assert sorted(len(READERS["parquet"](tmp_path / f"a-0000{r}-of-00002.parquet")) for r in (0, 1)) == [0, 2]


@pytest.mark.parametrize("command", ["evaluate", "recommend"])
def test_a_rank_without_the_model_is_named(mpirun, impl, kindred, dataset, models, tmp_path, command):
    output = ("--output", tmp_path / "a.csv") if command == "recommend" else ()
    asked = (command, "--data-dir", dataset, *output, "--model-path")
    done = mpirun(impl, 1, *asked, models[0], ":", "-n", 1, kindred.path, *asked, "nonesuch")
    said = [line for line in done.stderr.splitlines() if line.startswith("kindred")]
    assert done.returncode == 1
    assert len(said) == 1 and re.match(rf"kindred {command}: rank 1 \(\S+\): .*nonesuch", said[0]), done.stderr
    assert not list(tmp_path.glob("a*"))
