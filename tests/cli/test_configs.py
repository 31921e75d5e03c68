"""The configs that are there to copy: each is taken by every command that it has a section for."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "configs"
SWEEP = FOLDER / "sweep.yaml"
CONFIGS = sorted(set(FOLDER.glob("*.yaml")) - {SWEEP})
assert CONFIGS, "no configs/*.yaml"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_a_config_is_taken_from_preprocess_to_recommend(kindred, reviews, config, tmp_path):
    (tmp_path / "reviews.jsonl").write_bytes(reviews.read_bytes())
    for command, *shorter in ("preprocess",), ("train", "--epochs", 2), ("evaluate",), ("recommend",):
        kindred.ok(command, "--config", config, *shorter, cwd=tmp_path)
    assert (tmp_path / "recommendations.parquet").exists()
    assert kindred.ok("serve", "--config", config, "--help")


def test_the_sweeps_config_is_taken_by_sweep(kindred, dataset, tmp_path):
    done = kindred.ok("sweep", "--config", SWEEP, "--data-dir", dataset, "--max-trials", 2, "--quiet", cwd=tmp_path)
    assert (tmp_path / "outputs/sweep/best.yaml").exists() and len(done.splitlines()) == 4
