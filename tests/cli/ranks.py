"""The program under a launcher: more ranks than processors, as many as a test likes."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from mpi import LAUNCHERS, SURROUNDINGS
from program import environment

TIMEOUT_S = 120


def launch(mpi, ranks, command, **options):
    """A running job; it ends within TIMEOUT_S whatever happens."""
    launcher = LAUNCHERS[mpi]
    if not shutil.which(launcher[0]):
        pytest.skip(f"no {launcher[0]} here: skipped a test on ranks")
    return subprocess.Popen(["timeout", "-k", "5", str(TIMEOUT_S), *launcher, "-n", str(ranks), *map(str, command)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment() | SURROUNDINGS, **options)


def run(mpi, ranks, command):
    """(exit code, stdout, stderr) of a job."""
    job = launch(mpi, ranks, command)
    out, err = job.communicate()
    return job.returncode, out, err


def ok(mpi, ranks, command):
    """What a job that succeeds prints."""
    code, out, err = run(mpi, ranks, command)
    assert code == 0, f"{command}: exit {code}\n{out}{err}"
    return out


def pids(job, program):
    """Of the job's ranks."""
    children = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(pid))
        except OSError:
            continue
    found, left = [], [job.pid]
    while left:
        below = children.get(left.pop(), [])
        left += below
        found += [pid for pid in below if is_program(pid, program)]
    return sorted(found)


def is_program(pid, program):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


def await_pids(job, program, ranks, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = pids(job, program)
        if len(found) == ranks:
            return found
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    raise AssertionError(f"{len(found)} ranks run, not {ranks}")
