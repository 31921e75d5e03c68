"""./run, the first thing that a new user types: from a path with a space in it, first and again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(kindred, tmp_path_factory):
    """The sources in a folder with a space in its name, and what scripts/deps once fetched."""
    if Path(kindred.path).parent.name != "build":
        pytest.skip("./run builds a program of its own: tried once, beside the plain build")
    folder = tmp_path_factory.mktemp("new user") / "kindred"
    folder.mkdir()
    for name in ("Makefile", "meson.build", "meson_options.txt", "run", "packaging", "scripts", "src", "tests", "tools"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)
    (folder / ".deps").mkdir()
    for name in ("duckdb", "llhttp"):
        if (ROOT / ".deps" / name).exists():
            (folder / ".deps" / name).symlink_to(ROOT / ".deps" / name)
    return folder


def run(checkout, target, **variables):
    done = subprocess.run(["./run", target], cwd=checkout, env=os.environ | variables, capture_output=True,
                          text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("time", ["first", "again"])
def test_quickstart_walks_the_whole_road(checkout, time):
    code, out, err = run(checkout, "quickstart")
    assert code == 0, out + err
    assert '"recommendations":["' in out
    assert (checkout / "quickstart/recommendations.csv").exists()
    assert "Next:" in out


def test_quickstart_takes_reviews_of_ones_own(checkout, reviews):
    code, out, err = run(checkout, "quickstart", KINDRED_INPUT=str(reviews), PREPROCESS="--min-user 3")
    assert code == 0, out + err
    assert "--min-user 3" in err and '"recommendations":["' in out


def test_where_the_thresholds_leave_nothing_it_says_so(checkout, reviews):
    code, out, err = run(checkout, "quickstart", KINDRED_INPUT=str(reviews), PREPROCESS="--min-user 100000")
    assert code != 0
    assert "--min-user" in err and "recommendations" not in out
