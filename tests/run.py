"""Run every test there is: the cmocka programs for each build folder named, then pytest from outside for all of them at once.

usage: tests/run.py BUILD...

Prints the runners' own lines, the first build's as they come, and ends with the sum, "N passed, N failed, N skipped".
"""

import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a library keeps until exit isn't ours to free (OpenMP's pool, DuckDB); what we leak still shows.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "LSAN_OPTIONS": f'suppressions="{ROOT / "tests" / "lsan.supp"}":print_suppressions=0',
}


def run(command, env, show=True):
    """The output of a command, shown while it runs if asked for, and its exit code."""
    lines = []
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            if show:
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


def environment(build):
    return os.environ | SANITIZERS | {"KINDRED": str(ROOT / build / "kindred")}


def from_inside(build):
    found = Counter()
    for program in sorted((ROOT / build).glob("test_*")):
        if program.is_file() and os.access(program, os.X_OK):
            print(f"\n== {build}: {program.name}", flush=True)
            found += count_cmocka(*run([program], environment(build)))
    return found


def from_outside(builds):
    """Side by side: what one waits for (a server, a rank, a clock) is time for the other."""
    found = Counter()
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/cli"]
    with ThreadPoolExecutor() as pool:
        print(f"\n== {builds[0]}: from outside", flush=True)
        jobs = [pool.submit(run, command, environment(build), build == builds[0]) for build in builds]
        for build, job in zip(builds, jobs):
            output, code = job.result()
            if build != builds[0]:
                print(f"\n== {build}: from outside\n{output}", end="", flush=True)
            found += count_pytest(output, code)
    return found


def of_images():
    """What is built of the sources alone, whatever else is built here."""
    print("\n== images and packages", flush=True)
    return count_pytest(*run([sys.executable, "-m", "pytest", "-q", "-rs", "tests/images"], os.environ))


def main(builds):
    total = sum(map(from_inside, builds), Counter()) + from_outside(builds) + of_images()
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
