"""What the tests share: the program, real and generated reviews, a dataset, models, a running server.

Run from the root of the repository: KINDRED=build/kindred python -m pytest tests/cli
"""

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

pytest.register_assert_rewrite("helpers", "mpi", "program", "wire")

import helpers  # noqa: E402
import mpi  # noqa: E402
from program import Program, environment, serving  # noqa: E402

ROOT = Path(__file__).absolute().parents[2]
GENERATE = ("--users", 300, "--items", 120, "--reviews", 9000, "--seed", 7)


PROGRAM = Path(os.environ.get("KINDRED", ROOT / "build" / "kindred")).absolute()


def pytest_generate_tests(metafunc):
    """Tests that ask for a `split` run with each that the program itself knows."""
    if "split" in metafunc.fixturenames and not is_parametrized(metafunc, "split"):
        metafunc.parametrize("split", splits_in_help())


def is_parametrized(metafunc, name):
    return any(name in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))


@functools.cache
def splits_in_help():
    if not os.access(PROGRAM, os.X_OK):
        return []
    text = subprocess.run([PROGRAM, "preprocess", "--help"], capture_output=True, text=True, check=True).stdout
    return re.search(r"--split (\S+)", text)[1].split("|")


@pytest.fixture(scope="session")
def kindred():
    if not os.access(PROGRAM, os.X_OK):
        pytest.exit(f"{PROGRAM} is no program: build it, or set KINDRED to its path", returncode=2)
    return Program(PROGRAM)


@pytest.fixture(scope="session")
def once(kindred):
    """What takes long and is others' code for the most part is tried beside the plain build alone."""
    if kindred.is_sanitized():
        pytest.skip("tried once, beside the plain build")


@pytest.fixture(scope="session")
def mpirun():
    """mpirun(impl, n, *args): the finished job of kindred with these args on n ranks; test_ranks.py tells more."""
    return mpi.Launcher(PROGRAM.parent)


@pytest.fixture(params=mpi.LAUNCHERS)
def impl(request, mpirun):
    """The test runs with each MPI that is here."""
    mpirun.check(request.param)
    return request.param


@pytest.fixture(scope="session")
def data_dir():
    """Real reviews beside the repository; elsewhere what needs them is skipped."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data beside the repository: skipped a test on real reviews")
    return path


@pytest.fixture(scope="session")
def real(data_dir):
    """real(name): the path of one file of real reviews."""

    def find(name):
        path = data_dir / name
        if not path.is_file():
            pytest.skip(f"no ../shared/data/{name}: skipped a test on it")
        return path

    return find


@pytest.fixture(scope="session")
def amazon(real):
    """amazon(name): the same, of Amazon's."""
    return lambda name: real(f"amazon/{name}")


@pytest.fixture(scope="session")
def reviews(kindred, tmp_path_factory):
    """Generated reviews, small."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    kindred.ok("generate", "--output", path, *GENERATE)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Reviews full of ties, repeats and odd ids. Read-only."""
    return helpers.write_jsonl(tmp_path_factory.mktemp("made") / "made.jsonl", helpers.made_rows())


@pytest.fixture
def preprocess(kindred, tmp_path):
    """preprocess(input, *options): the dataset folder that it writes."""

    def run(*args, output="processed", piped=b""):
        kindred.ok("preprocess", "--output-dir", tmp_path / output, "--input", *args, piped=piped)
        return tmp_path / output

    return run


@pytest.fixture
def refusal(kindred, tmp_path):
    """refusal(input, *options) of a run that fails and leaves nothing behind: its line on stderr."""

    def run(*args, code=1, **surroundings):
        before = helpers.snapshot(tmp_path)
        line = kindred.fails(code, "preprocess", "--output-dir", tmp_path / "out", "--input", *args,
                             **surroundings)
        assert not (tmp_path / "out").exists()
        assert helpers.snapshot(tmp_path) == before
        return line

    return run


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


@pytest.fixture
def train(kindred, dataset, tmp_path):
    """train(name, *options): the output folder of a run that succeeds."""

    def run(name, *options):
        kindred.ok("train", "--data-dir", dataset, "--output-dir", tmp_path / name, *options)
        return tmp_path / name

    return run


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


@pytest.fixture
def tracked(kindred, dataset, tmp_path):
    """tracked(uri, *options): a tracked training in a folder of its own; uri None: its own database."""

    def run(uri, *options, data=dataset, **variables):
        done = kindred.run("train", "--data-dir", data, "--track", "mlflow", "--epochs", 3, "--quiet", *options, cwd=tmp_path,
                           **({"MLFLOW_TRACKING_URI": uri} if uri else {}), **variables)
        assert done.returncode == 0, done.stderr
        return done

    return run


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


SMALL_DISK = """
disk=$1 first=$2 second=$3
mount -t tmpfs -o size=1m small "$disk" || exit 77
seen() { find "$disk" | sort; find "$disk" -type f -exec sha256sum {} +; }
sh -c "$first" || exit 78
seen >"$disk.before"
sh -c "$second" 2>"$disk.err"
code=$?
seen >"$disk.after"
exit $code
"""


@pytest.fixture
def on_small_disk(kindred, tmp_path):
    """on_small_disk(first, second): two shell commands, where tmp_path/disk is a disk of a megabyte. Gives the
    second's exit code and stderr; it must leave on the disk what the first did."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def run(first, second):
        done = subprocess.run(["unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", disk, first, second],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment())
        assert done.returncode != 78, done.stderr
        if not disk.with_suffix(".after").exists():
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        before, after, err = (disk.with_suffix(end).read_text() for end in (".before", ".after", ".err"))
        assert after == before
        return done.returncode, err

    return run
