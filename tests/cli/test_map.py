"""The map in ARCHITECTURE.md, the options in docs/options.md: what they say is what the code does."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def check_layers(src):
    return subprocess.run([sys.executable, ROOT / "tools/check_layers.py", src], capture_output=True, text=True)


def test_every_include_is_on_the_map():
    result = check_layers(ROOT / "src")
    assert result.returncode == 0, result.stdout


def plant(tmp_path, name, line):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    return check_layers(tmp_path)


def test_a_forbidden_include_is_found(tmp_path):
    result = plant(tmp_path, "base/a.c", '#include "model/model.h"\n')
    assert result.returncode == 1
    assert "base/a.c: base may not include model/model.h" in result.stdout


def test_a_library_included_by_another_than_its_owner_is_found(tmp_path):
    result = plant(tmp_path, "train/a.c", "#include <duckdb.h>\n")
    assert result.returncode == 1
    assert "only data/duck.c may" in result.stdout


def test_a_folder_that_is_not_on_the_map_is_found(tmp_path):
    assert "not on the map" in plant(tmp_path, "misc/a.c", "").stdout


def test_the_table_of_layers_is_the_one_that_is_checked():
    sys.path.insert(0, str(ROOT / "tools"))
    from check_layers import MAY_INCLUDE

    rows = {}
    for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 2 and cells[0] in MAY_INCLUDE:
            rows[cells[0]] = cells[1]
    above = set(MAY_INCLUDE) - {"cmd", "."}
    for folder, text in rows.items():
        said = {"the C library": set(), "all of the above": above}.get(text, set(text.split()))
        assert said == MAY_INCLUDE[folder], folder
    assert set(rows) == set(MAY_INCLUDE) - {"."}


def test_the_documented_options_are_the_programs_own(kindred):
    made = subprocess.run([sys.executable, ROOT / "tools/options.py", kindred.path], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout == (ROOT / "docs/options.md").read_text(), "run: make docs"


def test_every_command_has_its_tests():
    commands = set(re.findall(r"&cmd_(\w+),", (ROOT / "src/main.c").read_text()))
    tested = {p.stem.removeprefix("test_") for p in (ROOT / "tests/cli").glob("test_*.py")}
    assert "train" in commands
    assert commands - {"baselines"} <= tested  # baselines: in test_evaluate.py
    assert os.access(ROOT / "run", os.X_OK)
