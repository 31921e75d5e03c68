"""promote: the better of two versions gets the name, or it's told why not."""

import json

import numpy as np
import pytest

import helpers
from helpers import table

pytestmark = pytest.mark.usefixtures("once")


@pytest.fixture
def contest(kindred, tracked, tmp_path):
    """contest(*options): what promote says, where a poor champion and a good challenger are registered."""
    tracked(None, "--model", "random", "--register", "films", "--alias", "champion")
    tracked(None, "--model", "gf", "--register", "films", "--alias", "challenger")

    def run(*options, **surroundings):
        done = kindred.run("promote", "films", "--quiet", *options, cwd=tmp_path, **surroundings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def champion(folder):
    return dict(table(folder, "alias, version", "registered_model_aliases"))["champion"]


def test_the_better_one_is_promoted_and_the_reason_stays(contest, kindred, dataset, tmp_path):
    said = contest("--data-dir", dataset, "--if", "ndcg_at_20 > champion", "--json", "told.json")
    assert "champion of 'films' is version 2 now, and was 1" in said and champion(tmp_path) == 2
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["promoted"] and told["conditions"] == [{"condition": "ndcg_at_20 > champion", "holds": True}]
    for side, number in (("from", 2), ("to", 1)):
        ((folder,),) = table(tmp_path, "storage_location", f"model_versions WHERE version = {number}")
        report = json.loads(kindred.ok("evaluate", "--model-path", f"{folder}/data/model.safetensors", "--data-dir", dataset,
                                       "--json", "-"))
        assert told[side]["version"] == str(number) and told[side]["ndcg_at_20"] == report["ndcg_at_20"]
    ((tag,),) = table(tmp_path, "value", "model_version_tags WHERE key = 'kindred.promoted' AND version = 2")
    assert tag.startswith("ndcg_at_20 > champion: ") and told["digest"][:12] in tag
    assert "is version 2 already" in contest("--data-dir", dataset, "--if", "ndcg_at_20 > champion")


@pytest.mark.parametrize("condition", ["ndcg_at_20 > 0.99", "recall_at_5 >= 1", "ndcg_at_20 > challenging"])
def test_who_is_not_better_stays_and_is_told_why(contest, dataset, tmp_path, condition):
    other = ("--to", "challenging") if "challenging" in condition else ()
    said = contest("--data-dir", dataset, "--if", "ndcg_at_20 > 0", "--if", condition, *other)
    if other:  # nobody is called so yet: there is nothing to be better than
        assert "challenging of 'films' is version 2 now" in said and "no challenging yet" in said
    else:
        assert f"fails  {condition}: " in said and "holds  ndcg_at_20 > 0: " in said
        assert "not promoted: champion of 'films' stays version 1" in said
    assert champion(tmp_path) == 1


def test_without_conditions_the_alias_moves(contest, tmp_path):
    assert "is version 2 now" in contest() and champion(tmp_path) == 2


def test_versions_of_different_data_meet_on_the_same(kindred, tracked, reviews, tmp_path):
    """Ranked by names: a model of the same rows under other numbers is worth the same."""
    for name, fewest in (("all", 1), ("some", 25)):
        kindred.ok("preprocess", "--input", reviews, "--output-dir", tmp_path / name, "--min-user", fewest, "--min-item", 1)
    tracked(None, "--model", "popularity", "--register", "films", "--alias", "champion", data=tmp_path / "some")
    tracked(None, "--model", "popularity", "--register", "films", "--alias", "challenger", data=tmp_path / "all")
    done = kindred.run("promote", "films", "--quiet", "--data-dir", tmp_path / "all", "--if", "recall_at_20 >= 0", "--json", "-",
                       cwd=tmp_path)
    told = json.loads(done.stdout)
    some, whole = helpers.read_dataset(tmp_path / "some"), helpers.read_dataset(tmp_path / "all")
    assert len(some.users) < len(whole.users)
    counts = dict.fromkeys(some.items, 0)
    for row in some.parts["train"]:
        counts[some.items[row[1]]] += 1
    order = sorted(counts, key=lambda item: (-counts[item], item))
    known, seen = helpers.seen_items(whole, "train"), helpers.seen_items(whole, "train", "val")
    recalls = []
    for user, wanted in helpers.seen_items(whole, "test").items():
        if user in known:
            took = {whole.items[item] for item in seen[user]}
            best = [item for item in order if item not in took][:20]
            recalls.append(len({whole.items[item] for item in wanted} & set(best)) / len(set(wanted)))
    assert told["to"]["dataset_digest"] != told["digest"] == told["from"]["dataset_digest"]
    assert told["to"]["recall_at_20"] == pytest.approx(np.mean(recalls), abs=1e-9)


@pytest.mark.parametrize("options, says", [
    (("--if", "ndcg > champion"), "METRIC_at_K > champion"),
    (("--if", "ndcg_at_20 > other"), "neither a number nor 'champion'"),
    (("--if", "ndcg_at_20 < champion"), "METRIC_at_K"),
    (("--if", "ndgc_at_20 > champion"), "did you mean 'ndcg'?"),
    (("--to", "a b"), "aliases"),
])
def test_conditions_that_are_none_are_refused(kindred, tmp_path, options, says):
    assert says in kindred.fails(2, "promote", "films", *options, cwd=tmp_path)


def test_promote_wants_a_name_and_a_version(kindred, tracked, tmp_path):
    assert "say which" in kindred.fails(2, "promote", cwd=tmp_path)
    assert "no model 'films' of which a version is called 'challenger'" in kindred.fails(1, "promote", "films", cwd=tmp_path)


def test_nobody_there_is_said(kindred, tmp_path):
    said = kindred.fails(1, "promote", "films", "--tracking-uri", "http://127.0.0.1:9", cwd=tmp_path)
    assert "no answer from 'http://127.0.0.1:9" in said
