"""What the tests share: the program, real and generated reviews, a dataset, models, a running server.

Run from the root of the repository: KINDRED=build/kindred python -m pytest tests/cli
"""

import os
from pathlib import Path

import pytest

pytest.register_assert_rewrite("helpers", "program", "wire")

import helpers  # noqa: E402
from program import Program, serving  # noqa: E402

ROOT = Path(__file__).absolute().parents[2]
GENERATE = ("--users", 300, "--items", 120, "--reviews", 9000, "--seed", 7)


@pytest.fixture(scope="session")
def kindred():
    path = Path(os.environ.get("KINDRED", ROOT / "build" / "kindred")).absolute()
    if not os.access(path, os.X_OK):
        pytest.exit(f"{path} is no program: build it, or set KINDRED to its path", returncode=2)
    return Program(path)


@pytest.fixture(scope="session")
def data_dir():
    """Real reviews beside the repository; elsewhere what needs them is skipped."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data beside the repository: skipped a test on real reviews")
    return path


@pytest.fixture(scope="session")
def amazon(data_dir):
    """amazon(name): the path of one file of real reviews."""

    def find(name):
        path = data_dir / "amazon" / name
        if not path.is_file():
            pytest.skip(f"no ../shared/data/amazon/{name}: skipped a test on it")
        return path

    return find


@pytest.fixture(scope="session")
def reviews(kindred, tmp_path_factory):
    """Generated reviews, small."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    kindred.ok("generate", "--output", path, *GENERATE)
    return path


@pytest.fixture(scope="session")
def preprocessed(kindred, tmp_path_factory):
    """preprocessed(input, *options): the dataset folder of it, made once."""
    made = {}

    def preprocess(path, *options):
        key = path, *options
        if key not in made:
            made[key] = tmp_path_factory.mktemp("preprocessed") / "processed"
            kindred.ok("preprocess", "--input", path, "--output-dir", made[key], *options)
        return made[key]

    return preprocess


@pytest.fixture(scope="session")
def dataset(preprocessed, reviews):
    """A dataset folder, of the generated reviews. Read-only: copy it to change it."""
    return preprocessed(reviews)


@pytest.fixture(scope="session")
def model(kindred, dataset, tmp_path_factory):
    """A model of that dataset. Read-only."""
    out = tmp_path_factory.mktemp("model")
    kindred.ok("train", "--data-dir", dataset, "--output-dir", out, "--epochs", 5, "--seed", 1)
    return out / "model.safetensors"


@pytest.fixture(scope="session")
def tied_model(model, tmp_path_factory):
    """The same model with small whole numbers in it: scores are exact, and many are equal."""
    path = tmp_path_factory.mktemp("tied") / "model.safetensors"
    helpers.save_with_whole_numbers(model, path)
    return path


@pytest.fixture(scope="session")
def other_dataset(kindred, tmp_path_factory):
    """A dataset that no model here was trained on."""
    folder = tmp_path_factory.mktemp("other")
    helpers.write_jsonl(folder / "other.jsonl", helpers.made_rows(seed=9))
    kindred.ok("preprocess", "--input", folder / "other.jsonl", "--output-dir", folder / "processed",
               "--min-user", 2, "--min-item", 2)
    return folder / "processed"


@pytest.fixture(scope="module")
def server(kindred, dataset, model, tmp_path_factory):
    """One server for a file's tests; it must have outlived all of them and stop cleanly."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(kindred, log, "--data-dir", dataset, "--model-path", model) as running:
        yield running
