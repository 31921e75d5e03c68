"""Running the program: once, to the end, or as a server."""

import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from wire import Connection

TIMEOUT_S = 120  # far above what any run takes, sanitizers included


class Program:
    def __init__(self, path):
        self.path = str(path)

    def command(self, *args):
        return [self.path, *map(str, args)]

    def is_sanitized(self):
        """Built so, it keeps what it frees."""
        return b"__asan_init" in Path(self.path).read_bytes()

    def shell(self, *args):
        """The command as a shell takes it."""
        return shlex.join(self.command(*args))

    def popen(self, *args, **options):
        return subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, env=environment(), **options)

    def run(self, *args, cwd=None, piped=b"", **variables):
        """piped: what it gets on stdin."""
        done = subprocess.run(self.command(*args), input=piped, capture_output=True,
                              env=environment() | variables, cwd=cwd, timeout=TIMEOUT_S)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def ok(self, *args, cwd=None, piped=b""):
        """What it prints on stdout; it must exit 0."""
        done = self.run(*args, cwd=cwd, piped=piped)
        assert done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stderr}"
        return done.stdout

    def fails(self, code, command, *args, **surroundings):
        """The one line with which it exits with this code; but for warnings it says nothing else."""
        done = self.run(command, *args, "--quiet", **surroundings)
        assert done.returncode == code, f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.stdout == ""
        *warnings, line = done.stderr.splitlines()
        assert line.startswith(f"kindred {command}: "), done.stderr
        assert all(" warn " in warning for warning in warnings), done.stderr
        return line


def environment():
    """Ours, but for the variables that set the program's options; runs aren't tracked unless the test says so."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KINDRED", "MLFLOW"))}
    return ours | {"KINDRED_TRACK": "off"}


class Server(NamedTuple):
    process: subprocess.Popen
    port: int

    def connect(self):
        return Connection(self.port)

    def request(self, *args, **options):
        with self.connect() as connection:
            return connection.request(*args, **options)

    def recommend(self, **body):
        return self.request("POST", "/recommend", json=body)

    def stop(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def serving(kindred, log, *options, cwd=None):
    """A server on a free port, until the block ends; then it must exit 0 upon SIGTERM."""
    with open(log, "w") as stderr:
        process = kindred.popen("serve", "--port", 0, *options, stdout=subprocess.DEVNULL, stderr=stderr,
                                cwd=cwd)
    try:
        yield Server(process, announced_port(process, log))
        if process.poll() is None:
            process.terminate()
        assert process.wait(TIMEOUT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def announced_port(process, log, scheme="http"):
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(rf"serving on {scheme}://127\.0\.0\.1:(\d+)\n", log.read_text()):
            return int(found[1])
        time.sleep(0.01)
    raise AssertionError(f"the server isn't up: {log.read_text()}")
