"""Running a program on several ranks, under the launcher of each MPI."""

import os
import shutil
import subprocess
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
