"""From raw reviews to an answer by the commands of the README, each with its defaults."""

import json

import pytest

import helpers
from program import serving
from test_recommend import read_csv

pytestmark = pytest.mark.usefixtures("once")

REAL = [
    ("All_Beauty_5.json.gz", ()),
    ("AMAZON_FASHION_5.jsonl", ()),
    ("reviews_2023_sample.jsonl.gz", ("--min-user", 2, "--min-item", 2)),
    ("Electronics_2023.parquet", ("--min-user", 3, "--min-item", 3, "--split", "ratio")),
]


@pytest.fixture
def folder(tmp_path):
    """A working folder with a space in its name."""
    path = tmp_path / "my reviews"
    path.mkdir()
    return path


def run_all(kindred, folder, path, *options):
    """Everything with its defaults; (the model's results, those of popularity)."""
    kindred.ok("preprocess", "--input", path, *options, cwd=folder)
    kindred.ok("train", cwd=folder)
    kindred.ok("evaluate", cwd=folder)
    kindred.ok("baselines", "--json", "baselines.json", cwd=folder)
    kindred.ok("recommend", "--output", "recommendations.csv", cwd=folder)
    ask_server(kindred, folder)
    (popularity,) = (entry for entry in json.loads((folder / "baselines.json").read_text())["results"]
                     if entry["model"] == "popularity")
    return json.loads((folder / "outputs" / "eval_results.json").read_text()), popularity


def ask_server(kindred, folder):
    """Its answer is what the file of recommendations says."""
    rows = read_csv(folder / "recommendations.csv")
    user = rows[0][0]
    with serving(kindred, folder / "log", cwd=folder) as server:
        reply = server.recommend(user_id=user, top_k=5)
    assert reply.status == 200
    assert reply.json["recommendations"] == [row[1] for row in rows if row[0] == user][:5]


def test_generated_reviews_are_learned_from(kindred, folder):
    kindred.ok("generate", "--output", "reviews.jsonl", "--reviews", 200_000, cwd=folder)
    model, popularity = run_all(kindred, folder, "reviews.jsonl")
    assert model["users"] == popularity["users"] > 1000
    assert model["recall_at_20"] > 1.5 * popularity["recall_at_20"] > 0
    assert model["ndcg_at_20"] > 1.5 * popularity["ndcg_at_20"]


def test_groceries_are_recommended_ten_times_better_than_by_popularity(kindred, folder, amazon):
    model, popularity = run_all(kindred, folder, amazon("Grocery_and_Gourmet_Food.csv.gz"))
    assert model["users"] == popularity["users"] == 2237
    assert popularity["recall_at_20"] == pytest.approx(0.0025940321537, abs=1e-6)
    assert model["recall_at_20"] >= 0.030
    assert model["recall_at_20"] >= 10 * popularity["recall_at_20"]


@pytest.mark.parametrize("name, options", REAL)
def test_other_real_reviews_lead_to_an_answer(kindred, folder, amazon, name, options):
    """Most users of these files come once, so few or none are known from train: that is no error."""
    model, popularity = run_all(kindred, folder, amazon(name), *options)
    assert model["users"] == popularity["users"]
    assert model["all_users"]["users"] == popularity["all_users"]["users"] > 0
    assert model["digest"] == helpers.read_stats(folder / "data" / "processed")["digest"]


def test_a_given_split_of_sequences_without_val_leads_to_an_answer(kindred, folder):
    """Lists of items without times, as published benchmarks have them."""
    items = {f"u{user}": [f"i{(user * 7 + n * n) % 40}" for n in range(8)] for user in range(60)}
    for name, part in ("train", slice(0, 6)), ("test", slice(6, 8)):
        lines = (" ".join([user, *own[part]]).encode() for user, own in items.items())
        helpers.write_lines(folder / f"{name}.txt", lines)
    kindred.ok("preprocess", "--train", "train.txt", "--test", "test.txt", cwd=folder)
    kindred.ok("train", cwd=folder)
    kindred.ok("evaluate", cwd=folder)
    kindred.ok("recommend", "--output", "recommendations.csv", cwd=folder)
    ask_server(kindred, folder)
    assert json.loads((folder / "outputs" / "eval_results.json").read_text())["users"] == 60
