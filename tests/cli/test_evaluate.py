"""evaluate and baselines: the numbers of the reference, to a millionth."""

import json
import shutil

import pytest

import helpers
import oracle

KS = (5, 10, 20)
ALL = ("--k", "5,10,20", "--metrics", ",".join(oracle.METRICS))
EXACT = 1e-6


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


@pytest.fixture
def results(kindred, dataset, tmp_path):
    """results(command, *options): what it writes with --json."""

    def run(command, *options):
        kindred.ok(command, "--data-dir", dataset, *options, "--json", tmp_path / "results.json")
        return json.loads((tmp_path / "results.json").read_text())

    return run


@pytest.fixture
def evaluate(results, tmp_path):
    """evaluate(model, *options): the results of a copy of that model."""

    def run(model, *options):
        return results("evaluate", "--model-path", shutil.copy(model, tmp_path), *options)

    return run


@pytest.fixture
def popularity(results):
    """popularity(*options): its entry among the baselines."""

    def run(*options):
        (entry,) = (e for e in results("baselines", *options)["results"] if e["model"] == "popularity")
        return entry

    return run


def served(data, scores):
    """scores_of for the reference: those whom mf has a vector of; it folds in others by their val rows."""
    train = helpers.seen_items(data, "train")
    return lambda user: list(scores[user]) if user in train else None


def compared(results, split):
    """What doesn't depend on users that are folded in, whose scores the reference doesn't have."""
    return {name: value for name, value in results.items() if split == "val" or name != "all_users"}


def assert_between(got, low, high):
    """The program's results hold every number of the reference, within its bounds."""
    for name, floor in low.items():
        if isinstance(floor, dict):
            assert_between(got[name], floor, high[name])
        else:
            assert floor - EXACT <= got[name] <= high[name] + EXACT, name


# A trained model


@pytest.mark.parametrize("options", [(), ("--include-seen",)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_exact_scores_give_the_metrics_of_the_reference(evaluate, data, tied_model, split, options):
    scores_of = served(data, helpers.scores(tied_model))
    want = oracle.evaluate(data, split, scores_of, KS, include_seen=bool(options))
    assert want["users"] > 100
    want = compared(want, split)
    assert_between(evaluate(tied_model, "--split", split, *ALL, *options), want, want)


@pytest.mark.parametrize("options", [(), ("--include-seen",)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_a_trained_model_has_the_metrics_of_the_reference(evaluate, data, model, split, options):
    """Scores closer than errors of 32-bit sums may be ranked either way: hence bounds, and close ones."""
    scores = helpers.scores(model)
    relevant = helpers.seen_items(data, split)

    def shifted(user, by):
        nudged = scores[user].copy()
        nudged[list(relevant[user])] += by
        return nudged

    train = helpers.seen_items(data, "train")
    low, high = (
        compared(oracle.evaluate(data, split, lambda user: shifted(user, by) if user in train else None, KS,
                                 include_seen=bool(options)), split)
        for by in (-helpers.score_error(scores), helpers.score_error(scores)))
    assert high["ndcg_at_20"] - low["ndcg_at_20"] < 0.002
    assert_between(evaluate(model, "--split", split, *ALL, *options), low, high)


def test_the_results_say_what_was_measured(evaluate, model, dataset):
    results = evaluate(model)
    assert (results["model"], results["split"]) == ("mf", "test")
    assert results["digest"] == helpers.read_stats(dataset)["digest"]
    assert results["all_users"]["users"] == results["users"] + results["users_without_train"]
    assert results["seconds"] >= 0


def test_by_default_recall_and_ndcg_at_10_and_20_are_measured(evaluate, model):
    names = {name for name in evaluate(model) if "_at_" in name}
    assert names == {"recall_at_10", "recall_at_20", "ndcg_at_10", "ndcg_at_20"}


def test_the_results_lie_beside_the_model_too(evaluate, model, tmp_path):
    results = evaluate(model)
    assert json.loads((tmp_path / "eval_results.json").read_text()) == results


def test_results_for_machines_on_stdout_are_json_alone(kindred, dataset, model):
    out = kindred.ok("evaluate", "--model-path", model, "--data-dir", dataset, "--json", "-")
    assert json.loads(out)["model"] == "mf"


def test_the_table_shows_the_numbers(kindred, dataset, model):
    table = kindred.ok("evaluate", "--model-path", model, "--data-dir", dataset)
    results = json.loads(model.with_name("eval_results.json").read_text())
    assert f"{results['recall_at_20']:.4f}" in table


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads_gives_the_same_numbers(evaluate, model, threads):
    one, other = evaluate(model, *ALL), evaluate(model, *ALL, "--threads", threads)
    assert one.pop("seconds") >= 0 and other.pop("seconds") >= 0
    assert one == other


# Popularity


@pytest.mark.parametrize("options", [(), ("--include-seen",)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_popularity_counts_train_rows_and_serves_everybody(popularity, data, split, options):
    counts = oracle.popularity(data)
    want = oracle.evaluate(data, split, lambda _: counts, KS, include_seen=bool(options))
    assert_between(popularity("--split", split, *ALL, *options), want, want)


@pytest.mark.parametrize("split", ["test", "val"])
def test_an_item_taken_twice_is_one_to_find(kindred, tmp_path, split):
    path = helpers.write_jsonl(tmp_path / "made.jsonl", helpers.made_rows())
    kindred.ok("preprocess", "--input", path, "--output-dir", tmp_path / "processed", "--repeats", "all")
    data = helpers.read_dataset(tmp_path / "processed")
    assert any(len(set(rows)) < len(rows) for rows in [[row[:2] for row in data.parts[split]]])
    kindred.ok("baselines", "--data-dir", tmp_path / "processed", "--split", split, *ALL,
               "--json", tmp_path / "results.json")
    (got,) = (e for e in json.loads((tmp_path / "results.json").read_text())["results"]
              if e["model"] == "popularity")
    counts = oracle.popularity(data)
    want = oracle.evaluate(data, split, lambda _: counts, KS)
    assert_between(got, want, want)


# Refusals


@pytest.mark.parametrize("option, value", [("--k", "0"), ("--k", "ten"), ("--metrics", "recal"),
                                           ("--split", "train")])
def test_options_of_no_sense_are_refused(kindred, dataset, model, option, value):
    assert option in kindred.fails(2, "evaluate", "--model-path", model, "--data-dir", dataset, option, value)


BREAKS = {"nothing": lambda whole: b"", "nonsense": lambda whole: b"nonsense" * 100,
          "half": lambda whole: whole[:len(whole) // 2], "all but a byte": lambda whole: whole[:-1],
          "a huge head": lambda whole: b"\xff" * 8 + whole[8:]}


@pytest.mark.parametrize("command", ["evaluate", "recommend", "serve"])
@pytest.mark.parametrize("left", BREAKS)
def test_a_broken_model_is_named(kindred, dataset, model, tmp_path, command, left):
    (tmp_path / "broken.safetensors").write_bytes(BREAKS[left](model.read_bytes()))
    line = kindred.fails(1, command, "--model-path", tmp_path / "broken.safetensors", "--data-dir", dataset,
                         *needed(command, tmp_path))
    assert "broken.safetensors" in line


@pytest.mark.parametrize("command", ["evaluate", "recommend", "serve"])
def test_a_model_that_is_not_there_is_named(kindred, dataset, tmp_path, command):
    line = kindred.fails(1, command, "--model-path", tmp_path / "nonesuch.safetensors", "--data-dir", dataset,
                         *needed(command, tmp_path))
    assert "nonesuch.safetensors" in line


@pytest.mark.parametrize("command", ["evaluate", "recommend", "serve"])
def test_a_model_of_another_dataset_is_refused(kindred, other_dataset, model, tmp_path, command):
    line = kindred.fails(1, command, "--model-path", model, "--data-dir", other_dataset,
                         *needed(command, tmp_path))
    assert str(model) in line or str(other_dataset) in line
    assert not (tmp_path / "out.csv").exists()


def needed(command, folder):
    """What the command can't run without."""
    return {"recommend": ("--output", folder / "out.csv"), "serve": ("--port", 0)}.get(command, ())


def test_a_baseline_that_cannot_be_made_of_the_data_is_left_out(kindred, tmp_path):
    """ease takes memory by the square of the items; of 20,001 it is the one to refuse, unless it is asked for."""
    rows = [f"u{item % 3},i{item}\n" for item in range(20001)]
    for part, lines in {"train": rows, "test": [f"u{user},i{user + 1}\n" for user in range(3)]}.items():
        (tmp_path / f"{part}.csv").write_text("user,item\n" + "".join(lines))
    kindred.ok("preprocess", "--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--no-times",
               "--output-dir", tmp_path / "processed")
    done = kindred.run("baselines", "--data-dir", tmp_path / "processed", "--json", tmp_path / "out.json")
    assert done.returncode == 0
    assert "model=ease" in done.stderr and "20001 items" in done.stderr
    listed = {entry["model"] for entry in json.loads((tmp_path / "out.json").read_text())["results"]}
    assert "ease" not in listed and {"ials", "svd", "popularity", "random"} <= listed
    done = kindred.run("baselines", "--data-dir", tmp_path / "processed", "--models", "ease")
    assert done.returncode == 1 and "20001 items" in done.stderr
