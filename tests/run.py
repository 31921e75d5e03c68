"""Run every test there is: the cmocka programs, then pytest from outside, for each build folder named.

usage: tests/run.py BUILD...

Prints the runners' own lines as they come, and ends with the sum, "N passed, N failed, N skipped".
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a library keeps until exit isn't ours to free (OpenMP's pool, DuckDB); what we leak still shows.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "LSAN_OPTIONS": f'suppressions="{ROOT / "tests" / "lsan.supp"}":print_suppressions=0',
}


def run(command, env):
    """The output of a command, shown while it runs, and its exit code."""
    lines = []
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), process.returncode


def count_cmocka(output, code):
    found = Counter()
    for word, key in (("PASSED", "passed"), ("FAILED", "failed"), ("SKIPPED", "skipped")):
        for number in re.findall(rf"\[  {word} +\] (\d+) test", output):
            found[key] += int(number)
    if code and not found["failed"]:
        found["failed"] = 1  # it crashed
    return found


def count_pytest(output, code):
    found = Counter()
    for number, key in re.findall(r"(\d+) (passed|failed|skipped|errors?)", output.splitlines()[-1]):
        found["failed" if key.startswith("error") else key] += int(number)
    if code and not found["failed"]:
        found["failed"] = 1
    return found


def main(builds):
    total = Counter()
    for build in builds:
        env = os.environ | SANITIZERS | {"KINDRED": str(ROOT / build / "kindred")}
        for program in sorted((ROOT / build).glob("test_*")):
            if program.is_file() and os.access(program, os.X_OK):
                print(f"\n== {build}: {program.name}", flush=True)
                total += count_cmocka(*run([program], env))
        print(f"\n== {build}: from outside", flush=True)
        total += count_pytest(*run([sys.executable, "-m", "pytest", "-q", "-rs", "tests/cli"], env))
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
