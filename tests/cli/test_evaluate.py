"""evaluate and baselines: the numbers of the reference, to a millionth."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import helpers
import oracle

KS = (5, 10, 20)
ALL = ("--k", "5,10,20", "--metrics", ",".join(oracle.ALL_METRICS), "--by", "activity,users,popularity,newness")
EXACT = 1e-6
COUNTS = ("users", "users_without_train", "held_out_rows", "new_item_rows")


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


def without_folded(results, split):
    """What doesn't depend on users that are folded in by their val rows, whose scores the reference doesn't have."""
    if split == "val":
        return results
    groups = {name: rows for name, rows in results["groups"].items() if name != "users"}
    return {name: value for name, value in results.items() if name != "all_users"} | {"groups": groups}


def assert_between(got, low, high):
    """The program's means of all metrics of hits lie within the reference's bounds."""
    assert [got[name] for name in COUNTS] == [low[name] for name in COUNTS]
    for k in KS:
        for name in (f"{metric}_at_{k}" for metric in oracle.METRICS):
            assert low[name] - EXACT <= got[name] <= high[name] + EXACT, name
            if "all_users" in low:
                floor, ceiling = low["all_users"][name], high["all_users"][name]
                assert floor - EXACT <= got["all_users"][name] <= ceiling + EXACT, name


def assert_agrees(got, want, where="results"):
    """The program's results hold every number of the reference, to a millionth; where that has none, null."""
    if isinstance(want, dict):
        assert all(got[name] is None for name in got.keys() - want.keys() if "_at_" in name), where
        for name in want:
            assert_agrees(got[name], want[name], f"{where}.{name}")
    elif isinstance(want, list):
        assert len(got) == len(want), where
        for place, (one, other) in enumerate(zip(got, want)):
            assert_agrees(one, other, f"{where}[{place}]")
    elif isinstance(want, float):
        assert got == pytest.approx(want, rel=EXACT, abs=EXACT), where
    else:
        assert got == want, where


# A trained model


@pytest.mark.parametrize("options", [(), ("--include-seen",)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_exact_scores_give_the_metrics_of_the_reference(evaluate, data, tied_model, split, options):
    scores_of = served(data, helpers.scores(tied_model))
    want = oracle.evaluate(data, split, scores_of, KS, include_seen=bool(options))
    assert want["users"] > 100
    want = without_folded(want, split)
    assert_agrees(evaluate(tied_model, "--split", split, *ALL, *options), want)


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
        without_folded(oracle.evaluate(data, split, lambda user: shifted(user, by) if user in train else None, KS,
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
    names = {name for name in evaluate(model) if "_at_" in name and not name.endswith("_ci95")}
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


# Several models


@pytest.fixture(scope="module")
def compared(kindred, dataset, model, tied_model, tmp_path_factory):
    """compared(*options): the results of two models side by side, and what is printed."""
    folder = tmp_path_factory.mktemp("compared")
    paths = [folder / name / "model.safetensors" for name in ("tied", "trained")]
    for path, source in zip(paths, (tied_model, model)):
        path.parent.mkdir()
        shutil.copy(source, path)

    def run(*options):
        given = [word for path in paths for word in ("--model-path", path)]
        text = kindred.ok("evaluate", "--data-dir", dataset, *given, *options, "--json", folder / "all.json")
        return json.loads((folder / "all.json").read_text()), text, paths

    return run


def test_several_models_stand_beside_each_other_each_as_alone(compared, evaluate):
    results, _, paths = compared(*ALL)
    assert [one.pop("model_path") for one in results["models"]] == list(map(str, paths))
    for one, path in zip(results["models"], paths):
        beside = json.loads(path.with_name("eval_results.json").read_text())
        alone = evaluate(path, *ALL)
        assert one == beside and one.pop("seconds") >= 0 and alone.pop("seconds") >= 0
        assert one == alone


def test_differences_are_paired_and_to_the_first(kindred, dataset, data, tied_model, tmp_path):
    """Both models' scores are exact: the second has the first one's users in another order."""
    metadata, tensors = helpers.read_model(tied_model)
    users = tensors["user_embedding.weight"]
    known = users.any(axis=1)
    users[known] = np.roll(users[known], 1, axis=0)
    other = tmp_path / "other.safetensors"
    save_file(tensors, str(other), metadata)
    first = shutil.copy(tied_model, tmp_path / "first.safetensors")
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", first, other, *ALL,
               "--json", tmp_path / "all.json")
    results = json.loads((tmp_path / "all.json").read_text())
    (got,) = results["differences"]
    assert (got["model_path"], got["to"]) == (str(other), str(first))

    def scores_of(path):
        scores = helpers.scores(path)
        served = helpers.read_model(path)[1]["user_embedding.weight"].any(axis=1)
        return lambda user: list(scores[user]) if served[user] else None

    want = oracle.differences(data, "test", scores_of(other), scores_of(first), KS)
    a, b = results["models"]
    for name in [name for name in a if "_at_" in name and not name.endswith("_ci95")]:
        if name.startswith(tuple(oracle.BY_LISTS)):
            assert got[name] == pytest.approx(b[name] - a[name], abs=EXACT)
            assert f"{name}_ci95" not in got
            continue
        assert got[name] == pytest.approx(want[name], abs=EXACT)
        assert got[f"{name}_ci95"] == pytest.approx(want[f"{name}_ci95"], abs=EXACT)
        low, high = want[f"{name}_ci95"]
        assert got[f"{name}_excludes_0"] is (low > 0 or high < 0)


def test_a_model_beside_itself_differs_by_0(kindred, dataset, model, tmp_path):
    path = shutil.copy(model, tmp_path)
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", path, path, "--json", tmp_path / "all.json")
    (got,) = json.loads((tmp_path / "all.json").read_text())["differences"]
    assert (got["ndcg_at_20"], got["ndcg_at_20_ci95"], got["ndcg_at_20_excludes_0"]) == (0, [0, 0], False)


def test_the_table_shows_both_models_and_the_difference(compared):
    results, text, _ = compared()
    for value in (*(one["recall_at_20"] for one in results["models"]), results["differences"][0]["recall_at_20"]):
        assert f"{value:.4f}" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_models_are_named_in_the_config_too(kindred, dataset, model, tied_model, tmp_path):
    paths = [shutil.copy(path, tmp_path / name) for path, name in ((model, "a"), (tied_model, "b"))]
    (tmp_path / "all.yaml").write_text(json.dumps({"evaluate": {"model_path": list(map(str, paths))}}))
    out = kindred.ok("evaluate", "--config", tmp_path / "all.yaml", "--data-dir", dataset, "--json", "-")
    assert [one["model_path"] for one in json.loads(out)["models"]] == list(map(str, paths))
    (tmp_path / "one.yaml").write_text(f"model_path: {paths[0]}\n")
    out = kindred.ok("evaluate", "--config", tmp_path / "one.yaml", "--data-dir", dataset, "--json", "-")
    assert json.loads(out)["model"] == "mf"


@pytest.mark.parametrize("metrics", [oracle.ALL_METRICS, ("recall", "ndcg")])
def test_the_table_of_baselines_fits_100_columns(kindred, dataset, model, metrics):
    text = kindred.ok("baselines", "--data-dir", dataset, "--model-path", model, "--k", "5,10,20",
                      "--metrics", ",".join(metrics))
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "all users" in text and all(f"{name}@{k}" in text for name in metrics for k in KS)


def test_baselines_tell_what_each_model_costs(kindred, dataset, model, tmp_path):
    text = kindred.ok("baselines", "--data-dir", dataset, "--model-path", model, "--json", tmp_path / "all.json")
    results = json.loads((tmp_path / "all.json").read_text())["results"]
    head, *rows = text[text.index("known users\n"):].splitlines()[1:]
    assert head.split()[-6:] == ["fit", "s", "rank", "s", "peak", "MB"]
    for one, row in zip(results, rows):
        assert row.split()[0] == one["model"]
        fit_s, rank_s, peak_mb = row.split()[-3:]
        assert float(rank_s) == pytest.approx(one["seconds"], abs=0.006)
        assert float(peak_mb) == pytest.approx(1e-6 * one["peak_bytes"], abs=0.6) and float(peak_mb) > 1
        assert fit_s == "-" if one["model"] == "mf" else float(fit_s) == pytest.approx(one["fit_seconds"], abs=0.006)
    assert results[-1]["model"] == "mf" and "fit_seconds" not in results[-1]


def test_the_peak_is_that_of_each_model_alone(kindred, tmp_path):
    """ease holds more than one matrix of items x items; random, made after it, does not."""
    kindred.ok("generate", "--users", 3000, "--items", 1500, "--reviews", 60000, "--output", tmp_path / "in.jsonl")
    kindred.ok("preprocess", "--input", tmp_path / "in.jsonl", "--output-dir", tmp_path / "data")
    kindred.ok("baselines", "--data-dir", tmp_path / "data", "--models", "ease,random", "--json", tmp_path / "all.json")
    ease, chance = json.loads((tmp_path / "all.json").read_text())["results"]
    n_items = helpers.read_stats(tmp_path / "data")["num_items"]
    assert kindred.is_sanitized() or ease["peak_bytes"] - chance["peak_bytes"] > 4 * n_items**2 > 4e6


# Popularity


@pytest.mark.parametrize("options", [(), ("--include-seen",)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_popularity_counts_train_rows_and_serves_everybody(popularity, data, split, options):
    counts = oracle.popularity(data)
    want = oracle.evaluate(data, split, lambda _: counts, KS, include_seen=bool(options))
    assert_agrees(popularity("--split", split, *ALL, *options), want)


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
    assert_agrees(got, want)


# Real data


@pytest.mark.parametrize("split", ["temporal", "leave-one-out"])
@pytest.mark.parametrize("name, least", [("ml-100k/ml-100k.inter", 5),
                                         ("amazon/Grocery_and_Gourmet_Food.csv.gz", 12)])
def test_popularity_has_the_metrics_of_the_reference_on_real_data(kindred, preprocessed, real, tmp_path, name,
                                                                  least, split):
    folder = preprocessed(real(name), "--split", split, "--min-user", least, "--min-item", least)
    kindred.ok("baselines", "--data-dir", folder, "--models", "popularity", *ALL, "--json", tmp_path / "got.json")
    (got,) = json.loads((tmp_path / "got.json").read_text())["results"]
    data = helpers.read_dataset(folder)
    counts = oracle.popularity(data)
    want = oracle.evaluate(data, "test", lambda _: counts, KS)
    assert want["users"] > 50
    assert_agrees(got, want)


def test_with_a_half_life_an_old_row_counts_for_less(kindred, data, dataset, tmp_path):
    days, day = 30, 24 * 3600 * 1000
    kindred.ok("train", "--data-dir", dataset, "--model", "popularity", "--half-life-days", days, "--output-dir", tmp_path)
    _, tensors = helpers.read_model(tmp_path / "model.safetensors")
    newest = max(time for _, _, time, *_ in data.parts["train"])
    want = [0] * len(data.items)
    for _, item, time, *_ in data.parts["train"]:
        want[item] += 0.5 ** ((newest - time) / (days * day))
    assert tensors["item_count"] == pytest.approx(want, rel=1e-5, abs=1e-30)


def test_a_half_life_without_times_is_refused(kindred, tmp_path):
    (tmp_path / "in.txt").write_text("".join(f"u{u} a b c\n" for u in range(4)))
    kindred.ok("preprocess", "--input", tmp_path / "in.txt", "--split", "random", "--min-user", 1, "--min-item", 1,
               "--output-dir", tmp_path / "processed")
    line = kindred.fails(1, "train", "--data-dir", tmp_path / "processed", "--model", "popularity", "--half-life-days", 3,
                         "--output-dir", tmp_path / "out")
    assert "--half-life-days" in line and "no times" in line


# Refusals


@pytest.mark.parametrize("option, value", [("--k", "0"), ("--k", "ten"), ("--metrics", "recal"),
                                           ("--split", "train"), ("--by", "activty")])
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
