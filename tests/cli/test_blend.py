"""--model blend: several saved models as one, by weights that val chooses."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import helpers
import oracle
from program import serving

WAYS = ("score", "rank")
EXACT = 1e-6


@pytest.fixture(scope="module")
def data(dataset):
    return helpers.read_dataset(dataset)


@pytest.fixture(scope="module")
def popular(kindred, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("popular")
    kindred.ok("train", "--data-dir", dataset, "--model", "popularity", "--output-dir", out)
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def similar(kindred, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("similar")
    kindred.ok("train", "--data-dir", dataset, "--model", "gf", "--dim", 8, "--output-dir", out)
    return out / "model.safetensors"


@pytest.fixture
def blend(train):
    """blend(parts, *options): the output folder."""
    return lambda parts, *options, name="blend": train(name, "--model", "blend", "--parts",
                                                       ",".join(map(str, parts)), *options)


def counts(model):
    return helpers.read_model(model)[1]["item_count"].astype(np.float64)


def normalised(scores, n_history, how):
    """In float64."""
    if how == "score":
        return (scores - scores.mean()) / scores.std() if scores.std() else np.zeros(len(scores))
    out = np.zeros(len(scores))
    for rank, item in enumerate(oracle.ranking(list(scores))[:1000 + n_history], 1):
        out[item] = 1 / (60 + rank)
    return out


def blended(weights, parts, n_history, how):
    """parts: the scores that each gives, None where it doesn't serve."""
    return sum(weight * normalised(np.asarray(scores), n_history, how)
               for weight, scores in zip(weights, parts) if scores is not None)


def changed(model, path, change):
    metadata, tensors = helpers.read_model(model)
    change(tensors)
    save_file(tensors, str(path), metadata)
    return path


@pytest.fixture
def weighted(blend):
    """weighted(parts, weights, *options): the output folder of a blend whose weights are put in place of its own."""

    def run(parts, weights, *options):
        folder = blend(parts, *options)
        changed(folder / "model.safetensors", folder / "weighted.safetensors",
                lambda tensors: tensors.update({"blend.weight": np.array(weights, np.float32)}))
        shutil.move(folder / "weighted.safetensors", folder / "model.safetensors")
        return folder

    return run


def told(folder):
    return json.loads((folder / "run.json").read_text())["blend"]


def weights_of(folder):
    return helpers.read_model(folder / "model.safetensors")[1]["blend.weight"].astype(np.float64)


# What it gives


@pytest.fixture
def recommended(kindred, dataset, tmp_path):
    """recommended(folder, *options): user_id -> (items, scores)."""

    def run(folder, *options, data_dir=dataset):
        kindred.ok("recommend", "--data-dir", data_dir, "--model-path", folder / "model.safetensors", "--top-k", 1000,
                   "--output", tmp_path / "all.jsonl", *options)
        lists = {}
        for line in map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines()):
            items, scores = lists.setdefault(line["user_id"], ([], []))
            items.append(line["item_id"])
            scores.append(line["score"])
        return lists

    return run


def assert_agrees(lists, data, scores_of, users):
    """The lists hold all that the users haven't taken, as the reference scores it."""
    place = {item: index for index, item in enumerate(data.items)}
    seen = helpers.seen_items(data, "train", "val")
    for user in users:
        items, scores = lists[data.users[user]]
        helpers.assert_is_top_k([place[item] for item in items], scores, scores_of(user), 1000, seen.get(user, ()))


@pytest.mark.parametrize("how", WAYS)
def test_scores_are_the_weighted_sum_of_what_the_parts_give(weighted, recommended, data, tied_model, popular, how):
    """tied_model's and popularity's scores are whole numbers, so that ranks are known exactly, ties and all."""
    weights, of_model, of_all = [1, 0.75], helpers.scores(tied_model), counts(popular)
    folder = weighted([tied_model, popular], weights, "--normalize", how)
    seen = helpers.seen_items(data, "train", "val")
    known = [user for user in helpers.seen_items(data, "train") if of_model[user].any()]
    assert_agrees(recommended(folder), data,
                  lambda user: blended(weights, [of_model[user], of_all], len(seen[user]), how), known)


@pytest.mark.parametrize("how", WAYS)
def test_whom_one_part_serves_is_served_and_the_other_gives_nothing(weighted, recommended, data, similar, popular,
                                                                    how):
    lists = recommended(weighted([similar, popular], [1, 0.25], "--normalize", how))
    assert set(lists) == set(data.users)
    nobody = [user for user in range(len(data.users)) if user not in helpers.seen_items(data, "train", "val")]
    assert nobody
    assert_agrees(lists, data, lambda user: blended([0.25], [counts(popular)], 0, how), nobody)


def test_whom_only_a_part_of_no_weight_serves_is_not_served(weighted, recommended, data, similar, popular):
    lists = recommended(weighted([similar, popular], [1, 0]))
    assert set(lists) == {data.users[user] for user in helpers.seen_items(data, "train", "val")}


@pytest.mark.parametrize("how", WAYS)
def test_scores_that_are_not_finite_count_nothing(weighted, recommended, data, tied_model, popular, tmp_path, how):
    def overflow(tensors):
        tensors["user_embedding.weight"] *= np.float32(2**34)
        tensors["item_embedding.weight"][3] = 0
        tensors["item_embedding.weight"][3, 0] = 2**100

    part = changed(tied_model, tmp_path / "huge.safetensors", overflow)
    folder = weighted([part, popular], [0.5, 1], "--normalize", how)
    of_model, of_all = helpers.scores(part), counts(popular)
    seen = helpers.seen_items(data, "train", "val")

    def scores_of(user):
        finite = np.arange(len(data.items)) != 3
        own = np.zeros(len(data.items))
        own[finite] = normalised(of_model[user][finite], len(seen[user]), how)
        return own / 2 + normalised(of_all, len(seen[user]), how)

    users = [user for user in helpers.seen_items(data, "train") if np.abs(of_model[user][3]) > 1e39]
    assert users
    assert_agrees(recommended(folder), data, scores_of, users)


def test_ranks_beyond_1000_count_nothing(kindred, weighted, recommended, tmp_path):
    rng = np.random.default_rng(2)
    lines = [f"u{rng.integers(200)},i{int(1500 * rng.random() ** 2)},{1_600_000_000_000 + n}\n" for n in range(20_000)]
    (tmp_path / "rows.csv").write_text("user,item,time\n" + "".join(lines))
    wide = tmp_path / "wide"
    kindred.ok("preprocess", "--input", tmp_path / "rows.csv", "--min-user", 1, "--min-item", 1, "--output-dir", wide)
    for model, options in {"popularity": (), "mf": ("--epochs", 2)}.items():
        kindred.ok("train", "--data-dir", wide, "--model", model, "--output-dir", tmp_path / model, *options)
    popular, mf = (tmp_path / model / "model.safetensors" for model in ("popularity", "mf"))
    helpers.save_with_whole_numbers(mf, tmp_path / "whole.safetensors")
    folder = weighted([popular, tmp_path / "whole.safetensors"], [1, 1], "--data-dir", wide)
    data = helpers.read_dataset(wide)
    assert len(data.items) > 1400
    seen, of_model = helpers.seen_items(data, "train", "val"), helpers.scores(tmp_path / "whole.safetensors")
    users = [user for user in helpers.seen_items(data, "train") if of_model[user].any()][:20]
    place = {item: index for index, item in enumerate(data.items)}
    lists = recommended(folder, data_dir=wide)
    for user in users:
        items, scores = lists[data.users[user]]
        want = blended([1, 1], [counts(popular), of_model[user]], len(seen[user]), "rank")
        assert np.abs(want[[place[item] for item in items]] - scores).max() < EXACT


def test_the_server_answers_what_recommend_gives(kindred, blend, recommended, dataset, data, tied_model, popular,
                                                 similar, tmp_path):
    folder = blend([tied_model, popular, similar])
    lists = recommended(folder)
    train, val = (helpers.seen_items(data, part) for part in ("train", "val"))
    users = [*sorted(train)[:10], *[user for user in val if user not in train][:5], len(data.users) - 1]
    with serving(kindred, tmp_path / "log", "--data-dir", dataset, "--model-path",
                 folder / "model.safetensors") as server:
        for user in users:
            reply = server.recommend(user_id=data.users[user], top_k=50).json
            items, scores = lists[data.users[user]]
            assert reply["model"] == "blend" and reply["recommendations"] == items[:50]
            assert reply["scores"] == pytest.approx(scores[:50], rel=1e-6)


# The weights


def judged(kindred, dataset, model, tmp_path):
    kindred.ok("evaluate", "--data-dir", dataset, "--model-path", shutil.copy(model, tmp_path / "judged.safetensors"),
               "--split", "val", "--json", tmp_path / "judged.json")
    return json.loads((tmp_path / "judged.json").read_text())["all_users"]["ndcg_at_20"]


@pytest.mark.parametrize("how", WAYS)
def test_what_the_weights_are_said_to_be_worth_is_what_evaluate_finds(kindred, blend, dataset, data, tied_model,
                                                                      popular, similar, tmp_path, how):
    parts = [tied_model, popular, similar]
    folder = blend(parts, "--normalize", how)
    said = told(folder)
    assert said["val_users"] == len(helpers.seen_items(data, "val"))
    assert said["ndcg_at_20"] == pytest.approx(judged(kindred, dataset, folder / "model.safetensors", tmp_path),
                                               abs=EXACT)
    for part, of in zip(parts, said["parts"], strict=True):
        assert of["path"] == str(part)
        assert of["ndcg_at_20"] == pytest.approx(judged(kindred, dataset, part, tmp_path), abs=EXACT)
    assert [of["weight"] for of in said["parts"]] == pytest.approx(list(weights_of(folder)))
    equal = changed(folder / "model.safetensors", tmp_path / "equal.safetensors",
                    lambda tensors: tensors["blend.weight"].fill(1))
    assert said["equal_weights_ndcg_at_20"] == pytest.approx(judged(kindred, dataset, equal, tmp_path), abs=EXACT)
    assert said["ndcg_at_20"] >= max(said["equal_weights_ndcg_at_20"], *(of["ndcg_at_20"] for of in said["parts"]))


@pytest.fixture
def halves(popular, tmp_path):
    """Two models that each know half of the items."""
    def forget(first):
        def change(tensors):
            tensors["item_count"][first::2] = 0
        return change

    return [changed(popular, tmp_path / f"half-{n}.safetensors", forget(n)) for n in (0, 1)]


@pytest.mark.parametrize("how", WAYS)
def test_two_that_know_different_things_are_better_together(blend, halves, how):
    said = told(blend(halves, "--normalize", how))
    assert said["ndcg_at_20"] > 1.05 * max(of["ndcg_at_20"] for of in said["parts"]) > 0
    assert all(of["weight"] > 0 for of in said["parts"])


def test_a_part_that_can_only_harm_is_left_out(blend, data, popular, tmp_path):
    val = np.zeros(len(data.items), np.float32)
    for _, item, *_ in data.parts["val"]:
        val[item] += 1
    knowing, turned = (changed(popular, tmp_path / name, lambda tensors, of=of: tensors.update({"item_count": of}))
                       for name, of in {"knowing": val, "turned": -val}.items())
    folder = blend([turned, knowing], "--normalize", "score")
    assert list(weights_of(folder)) == [0, 1]
    assert told(folder)["ndcg_at_20"] == told(folder)["parts"][1]["ndcg_at_20"]


def test_the_weights_are_printed(kindred, dataset, popular, similar, tmp_path):
    out = kindred.ok("train", "--data-dir", dataset, "--model", "blend", "--parts", f"{popular},{similar}",
                     "--output-dir", tmp_path / "out")
    lines = out.splitlines()
    for line, of in zip(lines[1:3], told(tmp_path / "out")["parts"], strict=True):
        assert line.split(maxsplit=2) == [f"{of['weight']:.4f}", f"{of['ndcg_at_20']:.4f}",
                                          f"{of['model']}, {of['path']}"]
    assert "val that they were chosen by" in lines[3]


@pytest.mark.parametrize("how", WAYS)
def test_the_file_is_the_same_on_any_number_of_threads(blend, model, popular, similar, how):
    one, *others = ((blend([model, popular, similar], "--normalize", how, "--threads", n, name=f"on-{n}")
                     / "model.safetensors").read_bytes() for n in (1, 2, 3))
    assert all(other == one for other in others)


# The file


def test_it_needs_no_other_file(blend, recommended, model, popular, tmp_path):
    parts = [shutil.copy(part, tmp_path / name) for name, part in {"a": model, "b": popular}.items()]
    folder = blend(parts)
    want = recommended(folder)
    for part in parts:
        part.unlink()
    assert recommended(folder) == want


def test_it_holds_the_parts_tensors_and_what_they_are(blend, model, popular):
    metadata, tensors = helpers.read_model(blend([model, popular]) / "model.safetensors")
    assert (metadata["model"], metadata["part.0.model"], metadata["part.1.model"]) == ("blend", "mf", "popularity")
    for number, part in enumerate((model, popular)):
        own, own_tensors = helpers.read_model(part)
        assert metadata[f"part.{number}.seed"] == own["seed"]
        assert json.loads(metadata[f"part.{number}.options"]) == json.loads(own["options"])
        for name, tensor in own_tensors.items():
            assert np.array_equal(tensors.pop(f"part.{number}.{name}"), tensor)
    assert list(tensors) == ["blend.weight"]


# What it refuses


@pytest.fixture
def refused(kindred, dataset, tmp_path):
    """refused(code, parts, *options): the line of a run that leaves nothing."""

    def run(code, parts, *options):
        line = kindred.fails(code, "train", "--data-dir", dataset, "--model", "blend", *parts, "--output-dir",
                             tmp_path / "out", *options)
        assert not (tmp_path / "out").exists()
        return line

    return run


def test_parts_must_be_given(refused):
    assert "--parts FILE,..." in refused(2, ())


@pytest.mark.parametrize("n", [1, 9])
def test_two_to_eight_parts_can_be_blended(refused, popular, n):
    line = refused(2, ("--parts", ",".join([str(popular)] * n)))
    assert "--parts" in line and "2 to 8" in line and f"not {n}" in line


@pytest.mark.parametrize("second", ["nonesuch.safetensors", ""])
def test_a_part_that_is_not_there_is_named(refused, popular, second):
    line = refused(1, ("--parts", f"{popular},{second}"))
    assert "--parts" in line and f"'{second}'" in line


def test_a_part_that_is_no_model_is_named(refused, popular, tmp_path):
    (tmp_path / "text").write_text("this isn't a model")
    assert f"{tmp_path}/text: not a whole safetensors file" in refused(1, ("--parts", f"{popular},{tmp_path}/text"))


def test_a_part_of_another_dataset_is_refused(kindred, refused, other_dataset, popular, tmp_path):
    kindred.ok("train", "--data-dir", other_dataset, "--model", "popularity", "--output-dir", tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    line = refused(1, ("--parts", f"{popular},{path}"))
    assert str(path) in line and "another dataset" in line and "--data-dir" in line


def test_a_blend_of_blends_is_refused(blend, refused, popular, similar):
    path = blend([popular, similar]) / "model.safetensors"
    assert "part 1 is a blend itself" in refused(1, ("--parts", f"{popular},{path}"))


def test_more_tensors_than_a_file_holds_are_refused(kindred, refused, dataset, tmp_path):
    kindred.ok("train", "--data-dir", dataset, "--model", "neumf", "--embedding-dim", 2, "--hidden",
               ",".join(["4"] * 6), "--epochs", 1, "--output-dir", tmp_path / "deep")
    path = str(tmp_path / "deep" / "model.safetensors")
    assert "more than 95 tensors" in refused(1, ("--parts", ",".join([path] * 8)))


def test_without_val_rows_there_is_nothing_to_choose_by(kindred, tmp_path):
    for part, users in {"train": range(9), "test": range(3)}.items():
        (tmp_path / f"{part}.csv").write_text("user,item\n" + "".join(f"u{u},i{u % 4}\n" for u in users))
    folder = tmp_path / "processed"
    kindred.ok("preprocess", "--train", tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--no-times",
               "--output-dir", folder)
    kindred.ok("train", "--data-dir", folder, "--model", "popularity", "--output-dir", tmp_path / "p")
    path = tmp_path / "p" / "model.safetensors"
    line = kindred.fails(1, "train", "--data-dir", folder, "--model", "blend", "--parts", f"{path},{path}",
                         "--output-dir", tmp_path / "out")
    assert "val has no rows" in line


def test_baselines_leave_it_out(kindred, dataset, tmp_path):
    kindred.ok("baselines", "--data-dir", dataset, "--json", tmp_path / "all.json")
    listed = {entry["model"] for entry in json.loads((tmp_path / "all.json").read_text())["results"]}
    assert "popularity" in listed and "blend" not in listed
    line = kindred.fails(2, "baselines", "--data-dir", dataset, "--models", "blend")
    assert "'blend' is made of other trained models" in line and "--model-path" in line
