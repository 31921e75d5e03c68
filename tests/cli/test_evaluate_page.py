"""evaluate --report: whole HTML that needs nothing from outside, with the numbers and the users that it is to show."""

import html.parser
import json
import shutil

import pytest

import helpers
import oracle

OUTSIDE = ("http:", "https:", "url(", "@import", "<link", "<img", "<script")
VOID = {"meta"}


class Page(html.parser.HTMLParser):
    """Text by the tags that it stands in; fails where a tag isn't closed in turn."""

    def __init__(self, path):
        super().__init__()
        self.open, self.texts, self.found = [], [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "li" and dict(attrs).get("class") == "found":
            self.found.append("")

    def handle_startendtag(self, tag, attrs):
        assert self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split()).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def evaluated(kindred, dataset, model, tied_model, tmp_path_factory):
    """evaluated(n, *options): the page of n models, and the results."""

    def run(n, *options):
        folder = tmp_path_factory.mktemp("page")
        paths = [shutil.copy(path, folder / name) for name, path in (("a", tied_model), ("b", model))]
        kindred.ok("evaluate", "--data-dir", dataset, "--model-path", *paths[:n], "--json", folder / "results.json",
                   "--report", folder / "new" / "page.html", *options)
        return Page(folder / "new" / "page.html"), json.loads((folder / "results.json").read_text())

    return run


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("options", [(), ("--metrics", "gini,novelty", "--k", "1"), ("--split", "val"),
                                     ("--k", "3,100,20", "--metrics", ",".join(oracle.ALL_METRICS)),
                                     ("--k", "1,2,3,4,5,6,7,1000")])
def test_the_page_is_whole_and_needs_nothing(evaluated, n, options):
    page, _ = evaluated(n, *options)
    assert not any(word in page.source for word in OUTSIDE)
    assert "nan" not in page.source and ":inf" not in page.source


def test_the_page_shows_the_numbers(evaluated):
    page, results = evaluated(1, "--by", "popularity")
    for name in ("recall_at_10", "ndcg_at_20"):
        low, high = results[f"{name}_ci95"]
        assert f"{results[name]:.4f} ± {(high - low) / 2:.4f}" in page.text
    for group in results["groups"]["popularity"]:
        low, high = group["recall_at_20_ci95"]
        assert f"{group['group']} {group['recall_at_20']:.4f} ± {(high - low) / 2:.4f}" in page.text
    assert f"{results['users']} users known from train" in page.text
    assert all(f"{name}@20" in page.text for name in (*oracle.BY_ITEM, *oracle.BY_LISTS))


def test_the_page_of_two_shows_the_difference(evaluated):
    page, results = evaluated(2)
    (difference,) = results["differences"]
    low, high = difference["ndcg_at_20_ci95"]
    assert f"{difference['ndcg_at_20']:.4f} ± {(high - low) / 2:.4f}" in page.text


def test_results_are_the_same_with_a_page_and_without(evaluated, kindred, dataset, tied_model, tmp_path):
    _, results = evaluated(1)
    out = json.loads(kindred.ok("evaluate", "--data-dir", dataset, "--json", "-",
                                "--model-path", shutil.copy(tied_model, tmp_path)))
    assert results.pop("seconds") >= 0 and out.pop("seconds") >= 0
    assert out == results


def test_the_best_and_the_worst_users_are_shown(evaluated, dataset, tied_model):
    data = helpers.read_dataset(dataset)
    scores = helpers.scores(tied_model)
    train = helpers.seen_items(data, "train")
    judged = [one for one in oracle.judge(data, "test", lambda user: list(scores[user]) if user in train else None,
                                          (20,), False) if one.user in train and len(one.relevant) >= 3]
    best = sorted(judged, key=lambda one: (-one.values["ndcg_at_20"], -len(one.relevant), one.user))[:5]
    worst = sorted((one for one in judged if one not in best),
                   key=lambda one: (one.values["ndcg_at_20"], -len(one.relevant), one.user))[:5]
    page, _ = evaluated(1)
    for one in best + worst:
        assert (f"{data.users[one.user]} NDCG {one.values['ndcg_at_20']:.3f}, {len(one.relevant)} held out"
                in page.text)
        listed = " ".join(data.items[item] for item in one.ranked)
        assert listed in page.text
    hits = [len(one.relevant & set(one.ranked)) for one in best + worst]
    assert len(page.found) == 2 * sum(hits) > 0  # in the list and among what was held out


def test_titles_are_shown_and_stay_text(kindred, reviews, tmp_path):
    items = {json.loads(line)["parent_asin"] for line in reviews.read_text().splitlines()}
    helpers.write_lines(tmp_path / "meta.jsonl", (json.dumps(
        {"parent_asin": item, "title": f"</li><script>'{item}\" &amp;"}).encode() for item in sorted(items)))
    kindred.ok("preprocess", "--input", reviews, "--items", tmp_path / "meta.jsonl",
               "--output-dir", tmp_path / "data")
    kindred.ok("train", "--data-dir", tmp_path / "data", "--output-dir", tmp_path, "--epochs", 1)
    kindred.ok("evaluate", "--data-dir", tmp_path / "data", "--model-path", tmp_path / "model.safetensors",
               "--report", tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert "<script" not in page.source
    assert any(f"</li><script>'{item}\" &amp;" in page.text for item in items)


def test_a_page_that_cannot_be_written_is_named(kindred, dataset, model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    line = kindred.fails(1, "evaluate", "--data-dir", dataset, "--model-path", shutil.copy(model, tmp_path),
                         "--report", tmp_path / "file" / "page.html")
    assert str(tmp_path / "file") in line
