"""Models by name: registered by tracked, moved by promote, served by serve, loaded by Python. The real MLflow reads them in
test_mlflow.py."""

import importlib.util
import json
import shutil
import sqlite3

import numpy as np
import pytest

import helpers
from helpers import table
from mlflow_fake import DROP, Fake
from program import serving

PACKAGE = {"MLmodel", "data/model.safetensors", "data/catalog.safetensors", "code/kindred_pyfunc.py", "requirements.txt",
           "python_env.yaml"}
CLOSE = 2e-5  # float32 sums in another order


@pytest.fixture
def fake():
    with Fake() as server:
        yield server


def served(kindred, folder, model_uri, uri):
    return serving(kindred, folder / "log", "--model-uri", model_uri, "--tracking-uri", uri, "--data-dir", "nowhere", cwd=folder)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# ---- in a database of one's own ----


def test_each_training_is_another_version(tracked, tmp_path):
    tracked(None, "--register", "films", "--alias", "champion")
    tracked(None, "--register", "films")
    tracked(None)
    assert table(tmp_path, "name, version, status", "model_versions") == [("films", 1, "READY"), ("films", 2, "READY")]
    assert table(tmp_path, "name, alias, version", "registered_model_aliases") == [("films", "champion", 1)]
    runs = [run for (run,) in table(tmp_path, "run_uuid", "runs ORDER BY start_time")]
    models = table(tmp_path, "source_run_id, artifact_location", "logged_models ORDER BY creation_timestamp_ms")
    assert [run for run, _ in models] == runs
    assert [files_below(tmp_path / folder) for _, folder in models] == [PACKAGE, PACKAGE, {"MLmodel"}]
    outputs = table(tmp_path, "source_id, destination_id, step", "inputs WHERE source_type = 'RUN_OUTPUT'")
    assert sorted(outputs) == sorted((run, f"m-{run}", 3) for run in runs)
    told = json.loads((tmp_path / "outputs/run.json").read_text())["epochs"][-1]
    assert table(tmp_path, "metric_value", f"logged_model_metrics WHERE metric_name = 'val/ndcg_at_20' AND run_id = '{runs[2]}'") == [
        (told["ndcg_at_20"],)]


def test_a_model_that_is_only_logged_has_all_but_a_name(tracked, tmp_path):
    tracked(None, "--log-model")
    ((folder,),) = table(tmp_path, "artifact_location", "logged_models")
    assert files_below(tmp_path / folder) == PACKAGE and table(tmp_path, "*", "model_versions") == []


@pytest.mark.parametrize("options, says", [
    (("--alias", "champion"), "--register"),
    (("--register", "a/b"), "neither / nor :"),
    (("--register", "a", "--alias", "v1"), "alias"),
    (("--register", "a", "--alias", "a b"), "alias"),
    (("--register", "a", "--track", "off"), "--register goes to MLflow"),
    (("--log-model", "--track", "off"), "--log-model goes to MLflow"),
])
def test_what_makes_no_sense_is_refused(kindred, dataset, tmp_path, options, says):
    assert says in kindred.fails(2, "train", "--data-dir", dataset, "--output-dir", tmp_path / "out", *options, cwd=tmp_path)
    assert not (tmp_path / "out").exists()


# ---- on a server ----


def check_version(fake, tmp_path, number=1):
    ((model, it),) = fake.models.items()
    (version,) = fake.versions["films"]
    assert set(it.files) == PACKAGE and it.status == "LOGGED_MODEL_READY"
    assert it.files["data/model.safetensors"] == (tmp_path / "outputs/model.safetensors").read_bytes()
    assert it.made_by == [next(iter(fake.runs)), 3] and version.created["source"] == f"models:/{model}"
    assert fake.aliases == {("films", "champion"): str(number)}


def test_a_server_has_model_version_and_alias(fake, tracked, tmp_path):
    tracked(fake.uri, "--register", "films", "--alias", "champion")
    check_version(fake, tmp_path)
    ((run,), (model,)) = fake.runs.values(), fake.models.values()
    assert set(model.metrics) == {f"val/{name}_at_{k}" for name in ("recall", "ndcg") for k in (10, 20)}
    for key, metric in model.metrics.items():
        assert metric["dataset_name"] == "processed" and run.history(key) == [(metric["step"], metric["value"])]


def test_a_model_is_judged_by_the_epoch_that_it_is_of(fake, tracked, tmp_path):
    tracked(fake.uri, "--epochs", 40, "--eval-every", 1, "--early-stop", 2, "--lr", 0.2, "--log-model")
    ((run,), (model,)) = fake.runs.values(), fake.models.values()
    best = json.loads((tmp_path / "outputs/run.json").read_text())["best_epoch"]
    assert best < len(run.history("loss")) and model.made_by[1] == best
    assert model.metrics["val/ndcg_at_20"]["value"] == dict(run.history("val/ndcg_at_20"))[best]


@pytest.mark.parametrize("path", ["logged-models", "logged-models/search", "runs/outputs", "registered-models/create",
                                  "model-versions/create", "registered-models/alias"])
def test_a_lost_answer_makes_nothing_twice(fake, tracked, tmp_path, path):
    fake.spoil = lambda request: DROP if request.path == path and request.count == 1 else None
    tracked(fake.uri, "--register", "films", "--alias", "champion")
    assert fake.count(path)
    check_version(fake, tmp_path)


def test_what_waits_is_registered_by_sync(kindred, fake, tracked, tmp_path):
    assert "track.waiting" in tracked("http://127.0.0.1:9", "--register", "films", "--alias", "champion", "--track-wait", 0.1).stderr
    (journal,) = (tmp_path / ".kindred/runs").glob("*/journal.jsonl")
    journal.write_text(journal.read_text().replace("http://127.0.0.1:9", fake.uri))
    tracked("http://127.0.0.1:9", "--model", "popularity", "--track-wait", 0.1)  # the folder's model is another now
    shutil.rmtree(sorted((tmp_path / ".kindred/runs").iterdir(), key=lambda p: p != journal.parent)[1])
    assert kindred.ok("track", "sync", cwd=tmp_path) == "1 runs sent, 0 left\n"
    assert fake.models and b'"model": "mf"' in next(iter(fake.models.values())).files["MLmodel"]


def test_servers_before_3_have_it_below_the_run(kindred, fake, tracked, tmp_path):
    fake.has_models = False
    tracked(fake.uri, "--register", "films", "--alias", "champion")
    ((run, it),) = fake.runs.items()
    assert {f"model/{name}" for name in PACKAGE} <= set(it.files) and it.status == "FINISHED"
    assert fake.versions["films"][0].created["source"] == f"mlflow-artifacts:/1/{run}/artifacts/model"
    with served(kindred, tmp_path, "models:/films@champion", fake.uri) as server:
        assert server.request("GET", "/health").json["model"] == "mf"


def test_a_server_on_this_machine_may_leave_files_to_its_clients(fake, tracked, tmp_path):
    described = fake.described
    fake.described = lambda run: {"info": described(run)["info"] | {"artifact_uri": f"file://{tmp_path}/store/{run}"}}
    tracked(fake.uri)
    ((run, it),) = fake.runs.items()
    assert it.files == {} and files_below(tmp_path / "store" / run) == {"model.safetensors", "run.json"}


# ---- served ----


def listed(kindred, dataset, model, folder):
    """{user_id: (items, scores)}"""
    kindred.ok("recommend", "--model-path", model, "--data-dir", dataset, "--output", folder / "lists.jsonl", "--top-k", 20)
    lists = {}
    for record in map(json.loads, (folder / "lists.jsonl").read_text().splitlines()):
        items, scores = lists.setdefault(record["user_id"], ([], []))
        items.append(record["item_id"])
        scores.append(record["score"])
    return lists


@pytest.mark.parametrize("where", ["its own", "a server"])
def test_serve_answers_by_name_alone(kindred, fake, tracked, dataset, tmp_path, where):
    uri = fake.uri if where == "a server" else f"sqlite:///{tmp_path}/mlflow.db"
    tracked(uri, "--register", "films", "--alias", "champion")
    lists = listed(kindred, dataset, tmp_path / "outputs/model.safetensors", tmp_path)
    shutil.rmtree(tmp_path / "outputs")
    for _ in range(2):  # fetched, then from the cache
        with served(kindred, tmp_path, "models:/films@champion", uri) as server:
            for user, (items, scores) in list(lists.items())[::20]:
                reply = server.recommend(user_id=user, top_k=20).json
                assert reply["recommendations"] == items and reply["scores"] == pytest.approx(scores)
    assert sum(r.method == "GET" and "/mlflow-artifacts/" in r.path for r in fake.requests) == (3 if uri == fake.uri else 0)


def test_what_is_not_the_file_that_was_logged_is_not_served(kindred, fake, tracked, tmp_path):
    tracked(fake.uri, "--register", "films")
    (model,) = fake.models.values()
    whole = model.files["data/catalog.safetensors"]
    args = ("--model-uri", "models:/films/1", "--tracking-uri", fake.uri)
    model.files["data/catalog.safetensors"] = whole[:-1] + b"x"
    assert "data/catalog.safetensors isn't the file that MLmodel speaks of" in kindred.fails(1, "serve", *args, cwd=tmp_path)
    del model.files["data/catalog.safetensors"]
    assert "404" in kindred.fails(1, "serve", *args, cwd=tmp_path)
    model.files["data/catalog.safetensors"] = whole
    with served(kindred, tmp_path, "models:/films/1", fake.uri):
        pass


@pytest.mark.parametrize("uri, code, says", [
    ("films", 2, "neither models:/NAME@ALIAS nor models:/NAME/VERSION"),
    ("models:/films", 2, "neither"),
    ("models:/films/last", 2, "neither"),
    ("models:/films@other", 1, "no model 'films' of which a version is called 'other'"),
    ("models:/films/7", 1, "no version 7 of 'films'"),
    ("models:/films/2", 1, "--register NAME"),  # a record without names, as MLflow's pages register it
])
def test_what_cannot_be_served_is_named(kindred, tracked, tmp_path, uri, code, says):
    tracked(None, "--register", "films", "--alias", "champion")
    tracked(None)
    with sqlite3.connect(tmp_path / "mlflow.db") as db:
        db.execute("INSERT INTO model_versions (name, version, source, storage_location) SELECT 'films', 2, 'x', artifact_location "
                   "FROM logged_models WHERE model_id NOT IN (SELECT substr(source, 9) FROM model_versions)")
    assert says in kindred.fails(code, "serve", "--model-uri", uri, cwd=tmp_path)


# ---- in Python ----

MODELS = {"mf": ("--item-bias",), "mf --similarity cosine": ("--similarity", "cosine", "--loss", "softmax"), "neumf": (),
          "neumf --towers mlp": ("--towers", "mlp"), "neumf --towers gmf": ("--towers", "gmf"), "ials": ("--dim", 8),
          "svd": ("--dim", 8), "ease": (), "itemknn": (), "gram": (), "gf": ("--dim", 8), "popularity": (), "random": ()}


def recommender(folder):
    """As MLflow loads it."""
    spec = importlib.util.spec_from_file_location("kindred_pyfunc", folder / "code/kindred_pyfunc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._load_pyfunc(str(folder / "data"))


def check_lists(kindred, dataset, tmp_path):
    """Python's lists are the program's, but where scores differ by less than 32-bit sums may."""
    lists = listed(kindred, dataset, tmp_path / "outputs/model.safetensors", tmp_path)
    loaded = recommender(tmp_path / "outputs/mlflow_model")
    for user, (items, scores) in lists.items():
        (answer,) = loaded.predict([user], {"top_k": 20})
        error = CLOSE * (1 + np.abs(scores).max())
        assert len(answer["recommendations"]) == len(items)
        np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=error)
        given = dict(zip(items, scores)) | dict(zip(answer["recommendations"], answer["scores"]))
        assert all(one == other or abs(given[one] - given[other]) <= error for one, other in zip(answer["recommendations"], items))
    assert all(answer["recommendations"] == [] for answer in loaded.predict(sorted(set(loaded.users) - set(lists)) + ["nobody"]))
    return lists


@pytest.mark.parametrize("name", MODELS)
def test_python_recommends_what_the_server_does(once, kindred, tracked, dataset, tmp_path, name):
    tracked(None, "--log-model", "--model", name.split()[0], *MODELS[name])
    assert check_lists(kindred, dataset, tmp_path)


@pytest.mark.parametrize("name", ["mf", "ials"])
def test_python_folds_in_whom_training_did_not_see(once, kindred, tracked, reviews, tmp_path, name):
    kindred.ok("preprocess", "--input", reviews, "--output-dir", tmp_path / "data", "--split", "temporal", "--min-user", 1,
               "--min-item", 1, "--train-ratio", 0.4, "--val-ratio", 0.4)
    tracked(None, "--log-model", "--model", name, *MODELS[name], data=tmp_path / "data")
    lists = check_lists(kindred, tmp_path / "data", tmp_path)
    data = helpers.read_dataset(tmp_path / "data")
    only_val = set(helpers.seen_items(data, "val")) - set(helpers.seen_items(data, "train"))
    assert {data.users[user] for user in only_val} & set(lists)


@pytest.mark.parametrize("how", ["score", "rank"])
def test_python_blends(once, kindred, tracked, dataset, tmp_path, how):
    for name in ("popularity", "gf"):
        kindred.ok("train", "--data-dir", dataset, "--model", name, "--output-dir", tmp_path / name)
    tracked(None, "--log-model", "--model", "blend", "--normalize", how, "--parts",
          ",".join(str(tmp_path / name / "model.safetensors") for name in ("popularity", "gf")))
    assert check_lists(kindred, dataset, tmp_path)
