"""recommend: for each user the best unseen items, in three forms that agree."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import helpers
import oracle

FORMS = ("csv", "jsonl", "parquet")
COLUMNS = ["user_id", "item_id", "rank", "score"]


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == COLUMNS
    return [(user, item, int(rank), float(score)) for user, item, rank, score in rows[1:]]


def read_jsonl(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(list(record) == COLUMNS for record in records)
    return [tuple(record.values()) for record in records]


def read_parquet(path):
    table = pq.read_table(path)
    assert table.column_names == COLUMNS
    return list(zip(*(column.to_pylist() for column in table.columns)))


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


@pytest.fixture
def recommend(kindred, dataset, tmp_path):
    """recommend(model, *options, form="jsonl"): the rows that it writes."""

    def run(model, *options, form="jsonl"):
        path = tmp_path / f"out.{form}"
        kindred.ok("recommend", "--model-path", model, "--data-dir", dataset, "--output", path, *options)
        return READERS[form](path)

    return run


def by_user(rows):
    """user_id -> (items, scores), with ranks checked."""
    lists = {}
    for user, item, rank, score in rows:
        items, scores = lists.setdefault(user, ([], []))
        items.append(item)
        scores.append(score)
        assert rank == len(items)
    return lists


@pytest.mark.parametrize("k", [7, 1000])
def test_each_known_user_gets_the_best_unseen_items(recommend, data, model, k):
    lists = by_user(recommend(model, "--top-k", k))
    all_scores = helpers.scores(model)
    item_index = {item: index for index, item in enumerate(data.items)}
    seen = helpers.seen_items(data, "train", "val")
    for user in helpers.seen_items(data, "train"):
        items, scores = lists[data.users[user]]
        helpers.assert_is_top_k([item_index[item] for item in items], scores, all_scores[user], k, seen[user])
    assert lists.keys() <= set(data.users)


def test_a_user_with_val_rows_alone_is_folded_in(recommend, data, model):
    lists = by_user(recommend(model, "--top-k", 10))
    item_index = {item: index for index, item in enumerate(data.items)}
    train, val = (helpers.seen_items(data, part) for part in ("train", "val"))
    alone = [user for user in val if user not in train]
    assert alone
    for user in alone:
        items, scores = lists[data.users[user]]
        all_scores = helpers.folded_in(model, sorted(val[user]))
        helpers.assert_is_top_k([item_index[item] for item in items], scores, all_scores, 10, val[user])


def test_equal_scores_are_ordered_by_index(recommend, data, tied_model):
    lists = by_user(recommend(tied_model, "--top-k", 15))
    all_scores = helpers.scores(tied_model)
    seen = helpers.seen_items(data, "train", "val")
    for user in helpers.seen_items(data, "train"):
        best = oracle.ranking(list(all_scores[user]), seen[user])[:15]
        want = [data.items[item] for item in best], [all_scores[user][item] for item in best]
        assert lists[data.users[user]] == want


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_agree(recommend, model, form):
    want, got = recommend(model), recommend(model, form=form)
    assert [row[:3] for row in got] == [row[:3] for row in want]
    assert [row[3] for row in got] == pytest.approx([row[3] for row in want], rel=1e-6)


def test_users_come_in_their_order_with_20_items_each(recommend, data, model):
    lists = by_user(recommend(model))
    assert list(lists) == [user for user in data.users if user in lists]
    assert {len(items) for items, _ in lists.values()} == {20}


def test_parquet_has_types(recommend, model, tmp_path):
    recommend(model, form="parquet")
    assert pq.read_schema(tmp_path / "out.parquet").types == [pa.string(), pa.string(), pa.int32(), pa.float32()]


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads_writes_the_same_bytes(recommend, model, tmp_path, threads):
    recommend(model)
    want = helpers.sha256(tmp_path / "out.jsonl")
    recommend(model, "--threads", threads)
    assert helpers.sha256(tmp_path / "out.jsonl") == want


def test_a_list_of_users_limits_it_to_them(recommend, data, model, tmp_path):
    known = [data.users[user] for user in sorted(helpers.seen_items(data, "train"))]
    chosen = [known[40], known[3], known[17]]
    (tmp_path / "users").write_text("".join(f"{user}\n" for user in chosen))
    everyone = by_user(recommend(model))
    assert by_user(recommend(model, "--users", tmp_path / "users")) == {user: everyone[user] for user in chosen}


def test_an_unknown_user_of_a_list_is_named(kindred, dataset, data, model, tmp_path):
    (tmp_path / "users").write_text(f"{data.users[0]}\nnobody-at-all\n")
    done = kindred.run("recommend", "--model-path", model, "--data-dir", dataset, "--users", tmp_path / "users",
                       "--output", tmp_path / "out.csv", "--quiet")
    assert "nobody-at-all" in done.stderr
    assert done.returncode == (0 if (tmp_path / "out.csv").exists() else 1)


def test_a_list_that_is_not_there_is_named(kindred, dataset, model, tmp_path):
    assert "nonesuch" in kindred.fails(1, "recommend", "--model-path", model, "--data-dir", dataset, "--output",
                                       tmp_path / "out.csv", "--users", tmp_path / "nonesuch")


def test_an_unknown_form_is_refused(kindred, dataset, model, tmp_path):
    assert "out.txt" in kindred.fails(2, "recommend", "--model-path", model, "--data-dir", dataset,
                                      "--output", tmp_path / "out.txt")


def test_an_output_that_cannot_be_written_is_named(kindred, dataset, model, tmp_path):
    (tmp_path / "file").write_text("")
    line = kindred.fails(1, "recommend", "--model-path", model, "--data-dir", dataset,
                         "--output", tmp_path / "file" / "out.csv")
    assert "file/out.csv" in line


@pytest.fixture(scope="module")
def odd(kindred, tmp_path_factory):
    """A folder with a dataset whose ids need care in every form, and a model of it."""
    folder = tmp_path_factory.mktemp("odd")
    rows = helpers.made_rows(first_letters=",\"';\\\t\n é日😀=")
    helpers.write_jsonl(folder / "odd.jsonl", rows)
    kindred.ok("preprocess", "--input", folder / "odd.jsonl", "--output-dir", folder / "processed")
    kindred.ok("train", "--data-dir", folder / "processed", "--output-dir", folder, "--epochs", 1)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_odd_ids_come_out_as_they_went_in(kindred, odd, form):
    kindred.ok("recommend", "--model-path", odd / "model.safetensors", "--data-dir", odd / "processed",
               "--output", odd / f"out.{form}", "--top-k", 100)
    rows = READERS[form](odd / f"out.{form}")
    data = helpers.read_dataset(odd / "processed")
    known = {data.users[user] for user in helpers.seen_items(data, "train")}
    assert known <= {row[0] for row in rows} <= set(data.users)
    assert {row[1] for row in rows} == set(data.items)
