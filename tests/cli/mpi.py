"""Running a program on several ranks, under the launcher of each MPI."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from program import environment

TIMEOUT_S = 60  # far above what any of these takes, sanitizers included; a job that hangs ends so
LAUNCHERS = {
    "openmpi": ("mpirun.openmpi", "--oversubscribe", "--bind-to", "none"),
    "mpich": ("mpirun.mpich",),
}
# Root may start ranks in a container; what an MPI keeps until exit isn't ours to free, nor named to be left out.
SURROUNDINGS = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


class Launcher:
    def __init__(self, folder):
        self.folder = Path(folder)  # of kindred and comm_ranks

    def check(self, impl):
        """Skips the test where this MPI isn't there, or the program was built without it."""
        if not shutil.which(LAUNCHERS[impl][0]):
            pytest.skip(f"no {LAUNCHERS[impl][0]} here: skipped a test on ranks")
        if not self.module(impl).exists():
            pytest.skip(f"built without {impl}: skipped a test on ranks")

    def module(self, impl):
        return self.folder / f"kindred_comm_{impl}.so"

    def command(self, impl, n, *args, program="kindred"):
        """program: one of the build folder. Among args ":" begins another program's ranks, as in
        (..., ":", "-n", 1, path, ...)."""
        self.check(impl)
        return ["timeout", "-v", "-k", "5", str(TIMEOUT_S), *LAUNCHERS[impl], "-n", str(n),
                str(self.folder / program), *map(str, args)]

    def __call__(self, impl, n, *args, program="kindred", cwd=None, **variables):
        """The finished job: returncode, stdout, stderr. It must end by itself."""
        done = subprocess.run(self.command(impl, n, *args, program=program), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, cwd=cwd,
                              env=environment() | SURROUNDINGS | variables)
        assert "timeout: sending signal" not in done.stderr, f"{args}: did not end\n{done.stdout}{done.stderr}"
        return done

    def ok(self, impl, n, *args, **variables):
        """What a job that succeeds prints."""
        done = self(impl, n, *args, **variables)
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def popen(self, impl, n, *args):
        """The running job; it ends within TIMEOUT_S whatever happens."""
        return subprocess.Popen(self.command(impl, n, *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=environment() | SURROUNDINGS)

    def pids(self, job, n, seconds=20):
        """Those of the job's n ranks, once all are there and would note a signal."""
        end = time.monotonic() + seconds
        while len(found := [*filter(catches_signals, descendants(job.pid, self.folder / "kindred"))]) < n:
            if time.monotonic() > end:
                job.kill()
                raise AssertionError(f"{len(found)} ranks run, not {n}")
            time.sleep(0.01)
        return found


def is_program(pid, program):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


def end(pids, program, seconds=10):
    """Whether all of them end within that time: a launcher may be gone before what it has killed."""
    until = time.monotonic() + seconds
    while alive := any(is_program(pid, program) for pid in pids):
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return not alive


def catches_signals(pid):
    """Whether SIGTERM is no longer the end of it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def parent_of(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rsplit(")", 1)[1].split()[1])


def descendants(pid, program):
    """Of those that run the program."""
    children = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        children.setdefault(parent_of(other), []).append(int(other))
    found, left = [], [pid]
    while left:
        below = children.get(left.pop(), [])
        left += below
        found += [other for other in below if is_program(other, program)]
    return sorted(found)
