"""The images are built for real, by buildah, on a base that debootstrap makes in place of Debian's own; what is built is then run."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOXED = Path(__file__).with_name("boxed.py")
BASE = "debian:bookworm-slim"
TIMEOUT_S = 60
ROOM_BYTES = 12e9


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session", autouse=True)
def tools():
    if os.geteuid() != 0 or not shutil.which("buildah") or not shutil.which("debootstrap"):
        pytest.skip("images need root, buildah and debootstrap: scripts/deps --tests")
    if shutil.disk_usage(tempfile.gettempdir()).free < ROOM_BYTES:
        pytest.skip(f"images need {ROOM_BYTES / 1e9:.0f} GB of room in {tempfile.gettempdir()}")


@pytest.fixture(scope="session")
def debian(tmp_path_factory):
    """A root file system of Debian's, as small as the one that its image has."""
    root = tmp_path_factory.mktemp("debian") / "root"
    run("debootstrap", "--variant=minbase", "bookworm", root)
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    # packages that are installed aren't kept, as in Debian's image
    (root / "etc/apt/apt.conf.d/docker-clean").write_text('DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
                                                          'Acquire::Retries "5";\n')
    return root


@pytest.fixture(scope="session")
def buildah(tmp_path_factory, debian):
    """buildah(*args): its output; with a store of its own, which has the base alone."""
    store = tmp_path_factory.mktemp("buildah")

    def call(*args, **options):
        return run("buildah", "--root", store / "store", "--runroot", store / "run", "--storage-driver", "vfs", *args, **options).strip()

    container = call("from", "scratch")
    call("copy", "-q", container, debian, "/")
    call("commit", "-q", container, BASE)
    call("rm", container)
    yield call
    call("rm", "--all")
    shutil.rmtree(store)


def boxed(spec):
    return [sys.executable, str(BOXED), json.dumps(spec)]


class Image(NamedTuple):
    root: Path
    config: dict

    def size_mb(self):
        return int(run("du", "-s", "--apparent-size", "-B1", self.root).split()[0]) / 1e6

    def command(self, *args, mounts=(), entrypoint=None, user=None, **env):
        """What `docker run` would run, with these arguments in place of the image's own, if any."""
        config = self.config
        spec = {
            "root": str(self.root), "read_only": True, "mounts": [[str(source), target, read_only] for source, target, read_only in mounts],
            "workdir": config["WorkingDir"], "user": user or config["User"],
            "env": dict(pair.split("=", 1) for pair in config["Env"]) | env,
            "command": [str(arg) for arg in [*([entrypoint] if entrypoint else config["Entrypoint"]), *(args or config["Cmd"])]],
        }
        return boxed(spec)

    def run(self, *args, **how):
        return run(*self.command(*args, **how), timeout=300)

    @contextmanager
    def serving(self, *args, log, port=8000, **how):
        """Its server, from when it's ready, and the seconds that it took; then it must end by SIGTERM, with exit code 0."""
        begun = time.monotonic()
        with open(log, "w") as output:
            process = subprocess.Popen(self.command(*args, **how), stdout=output, stderr=output)
        try:
            until_ready(process, port, log)
            yield time.monotonic() - begun
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def get(path, port=8000):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return json.load(reply)


def post(path, body, port=8000):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def until_ready(process, port, log):
    for _ in range(TIMEOUT_S * 500):
        assert process.poll() is None, log.read_text()
        try:
            return get("/readyz", port)
        except OSError:
            time.sleep(0.002)
    raise AssertionError(f"not ready: {log.read_text()}")


@pytest.fixture(scope="session")
def built(buildah):
    """built(name): an image of docker/, by the command in its Dockerfile's head but for where what is fetched is."""
    files = {"serving": ("serving",), "training": ("training",), "registry": ("serving", "--target", "registry")}
    done = {}
    there = [part for name in ("duckdb", "llhttp", "swagger-ui") if (ROOT / ".deps" / name).is_dir()
             for part in ("--volume", f"{ROOT}/.deps/{name}:/src/.deps/{name}:ro")]

    def build(name):
        if name not in done:
            tag, (file, *target) = f"kindred-{name}", files[name]
            buildah("bud", "--isolation", "chroot", "--pull-never", "--layers", "--format", "docker", *there, "-f", f"docker/Dockerfile.{file}", *target, "-t", tag,
                    "--build-arg", "REVISION=0123456789", ".", cwd=ROOT)
            container = buildah("from", "--pull-never", tag)
            done[name] = Image(Path(buildah("mount", container)), json.loads(buildah("inspect", "--type", "image", tag))["Docker"]["config"])
        return done[name]

    return build


@pytest.fixture(scope="session")
def serving(built):
    return built("serving")


@pytest.fixture(scope="session")
def training(built):
    return built("training")


@pytest.fixture(scope="session")
def road(training, tmp_path_factory):
    """A host's folder with data/processed and outputs, made by the training image."""
    host = tmp_path_factory.mktemp("host")
    for folder in ("data/processed", "outputs"):
        (host / folder).mkdir(parents=True)
    for folder in (host, host / "data", host / "data/processed", host / "outputs"):
        os.chown(folder, 65532, 65532)
        folder.chmod(0o755)
    data = [(host / "data", "/app/data", False)]
    training.run("generate", "--output", "data/reviews.jsonl", "--reviews", 50000, "--users", 2000, "--items", 500, mounts=data)
    training.run("preprocess", "--input", "data/reviews.jsonl", "--output-dir", "data/processed", "--track", "off", mounts=data)
    return host


def mounts_of(host):
    return [(host / "data/processed", "/app/data/processed", True), (host / "outputs", "/app/outputs", False)]
