"""The images that docker/ describes: what is in them, and that they do what a user would have them do."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from conftest import ROOT, get, mounts_of, post, run


def files(image):
    return [path.relative_to(image.root) for path in Path(image.root).rglob("*") if path.is_file() and not path.is_symlink()]


def names(image):
    return {path.name for path in files(image)}


@pytest.mark.parametrize("name, most_mb", [("serving", 120), ("registry", 40), ("training", 250)])
def test_they_are_small(built, name, most_mb):
    size = built(name).size_mb()
    print(f"{name}: {size:.0f} MB")
    assert 10 < size < most_mb


def test_only_what_reads_datasets_has_duckdb(built):
    has = {name: "libduckdb.so" in names(built(name)) for name in ("serving", "registry", "training")}
    assert has == {"serving": True, "registry": False, "training": True}


def test_without_duckdb_a_dataset_is_refused_with_what_it_takes(built, training, road):
    training.run("train", "--model", "popularity", "--track", "off", "--output-dir", "outputs/popularity", mounts=mounts_of(road))
    command = built("registry").command("serve", "--model-path", "outputs/popularity/model.safetensors", mounts=mounts_of(road))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "libduckdb.so" in done.stderr


def test_the_server_has_no_shell_no_python_no_mpi_and_no_compiler(serving):
    assert {path.name for path in files(serving) if "bin" in path.parts} == {"kindred"}
    assert not [name for name in names(serving) if re.search(r"python|mpi|openblas|^gcc|\.a$|\.h$", name)]


def test_training_has_of_programs_what_ranks_need(training):
    assert {path.name for path in files(training) if path.parts[1] in ("bin", "sbin")} == {
        "kindred", "mpirun", "orted", "dash", "ssh", "ssh-keygen", "sshd"}
    assert not [name for name in names(training) if re.search(r"python|^gcc|\.a$|\.h$", name)]


@pytest.mark.parametrize("name", ["serving", "registry", "training"])
def test_every_library_is_there(built, name):
    """The loader itself finds all that a program or library is linked with, and all is in the image."""
    image = built(name)
    loader = next(path for path in files(image) if path.name.startswith("ld-linux"))
    for path in files(image):
        if re.search(r"\.so(\.|$)", path.name) or path.parts[1] in ("bin", "sbin"):
            listed = subprocess.run(["chroot", image.root, f"/{loader}", "--list", f"/{path}"], capture_output=True, text=True)
            assert "not found" not in listed.stdout + listed.stderr, f"{path}: {listed.stdout}"


@pytest.mark.parametrize("name, command", [("serving", ["serve"]), ("registry", ["serve"]), ("training", ["train", "--track-dir", "/app/outputs/.kindred/runs"])])
def test_what_engines_are_told(built, name, command):
    config = built(name).config
    labels = config["Labels"]
    assert config["Entrypoint"] == ["/usr/bin/kindred"] and config["Cmd"] == command
    assert config["User"] == "65532:65532" and config["WorkingDir"] == "/app"
    version = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())[1]
    assert labels["org.opencontainers.image.version"] == version
    assert labels["org.opencontainers.image.revision"] == "0123456789"
    if name != "training":
        assert list(config["ExposedPorts"]) == ["8000/tcp"]
        assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/kindred", "ping"]


def test_the_root_belongs_to_root_and_nothing_is_setuid(serving, training):
    for image in (serving, training):
        for path in files(image):
            info = (image.root / path).stat()
            assert not info.st_mode & 0o6002, path
            assert info.st_uid == (65532 if path.parts[0] in ("app", "home") else 0), path


def test_from_reviews_to_an_answer(serving, training, road, tmp_path):
    """The README's two `docker run`, with its mounts and no more than these."""
    training.run(mounts=mounts_of(road))
    assert (road / "outputs/model.safetensors").stat().st_uid == 65532
    assert (road / "outputs/mlflow.db").is_file()
    taken = []
    for _ in range(5):
        with serving.serving(log=tmp_path / "log", mounts=[(a, b, True) for a, b, _ in mounts_of(road)]) as seconds:
            taken.append(seconds)
            assert serving.run("ping") == "ready\n"  # the health check, as engines run it: in a process beside it
            assert get("/health")["model_loaded"] is True
            user = first_user(road)
            answer = post("/recommend", {"user_id": user, "top_k": 5})
            assert len(answer["recommendations"]) == 5
            page = urllib.request.urlopen("http://127.0.0.1:8000/", timeout=5).read().decode()
            assert "<html" in page
    print(f"start to ready: {sorted(taken)[2] * 1000:.0f} ms (median of 5, python's start included)")


def first_user(road):
    line = (road / "data/reviews.jsonl").open().readline()
    return re.search(r'"user_id": ?"([^"]+)"', line)[1]


def test_the_health_check_fails_where_nobody_answers(serving):
    done = subprocess.run(serving.command("ping"), capture_output=True, text=True)
    assert done.returncode == 1 and "0.0.0.0:8000" in done.stderr


def test_the_server_says_what_it_lacks(serving, tmp_path):
    done = subprocess.run(serving.command(), capture_output=True, text=True)
    assert done.returncode == 1 and "outputs/model.safetensors" in done.stderr


def test_another_user_may_run_it(training, road, tmp_path):
    """--user "$(id -u)", where the host's folders are one's own."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    os.chown(outputs, 1000, 1000)
    os.chmod(tmp_path, 0o755)
    training.run("train", "--epochs", "1", "--track", "off", user="1000:1000",
                 mounts=[(road / "data/processed", "/app/data/processed", True), (outputs, "/app/outputs", False)])
    assert (outputs / "model.safetensors").stat().st_uid == 1000


def test_training_that_is_stopped_says_so(training, road):
    process = subprocess.Popen(training.command("train", "--epochs", "100000", "--track", "off", mounts=mounts_of(road)), stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143


@pytest.mark.parametrize("model", ["ials", "ease", "gf"])
def test_models_that_need_openblas_find_it(training, road, model):
    training.run("train", "--model", model, "--output-dir", "/tmp/out", "--track", "off", mounts=mounts_of(road))


def test_ranks_give_the_same_model(training, road):
    options = ["--data-dir", "data/processed", "--epochs", "3", "--track", "off", "--threads", "1"]
    training.run("train", *options, "--output-dir", "outputs/one", mounts=mounts_of(road))
    training.run("-n", "2", "--oversubscribe", "/usr/bin/kindred", "train", *options, "--output-dir", "outputs/two", entrypoint="/usr/bin/mpirun",
                 mounts=mounts_of(road))
    assert (road / "outputs/one/model.safetensors").read_bytes() == (road / "outputs/two/model.safetensors").read_bytes()


def test_a_rank_starts_by_ssh(training, road, tmp_path):
    """As the MPI operator does it: keys that it mounts, sshd as the image's user, a launcher that reaches workers by name."""
    keys = tmp_path / "keys"
    keys.mkdir()
    run("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", keys / "id_rsa")
    (keys / "authorized_keys").write_text((keys / "id_rsa.pub").read_text())
    os.chmod(tmp_path, 0o755)
    for path in (keys, *keys.iterdir()):
        os.chown(path, 65532, 65532)
    mounts = [*mounts_of(road), (keys, "/home/kindred/.ssh", False)]
    worker = subprocess.Popen(training.command("-De", "-f", "/home/kindred/.sshd_config", entrypoint="/usr/sbin/sshd", mounts=mounts))
    try:
        time.sleep(1)
        assert worker.poll() is None
        # another name of this machine, so that the launcher doesn't take the worker for itself
        training.run("-n", "1", "--host", "127.0.0.2", "--mca", "plm_rsh_no_tree_spawn", "1", "/usr/bin/kindred", "train", "--data-dir",
                     "/app/data/processed", "--output-dir", "/app/outputs/ssh", "--epochs", "3", "--track", "off", "--threads", "1",
                     entrypoint="/usr/bin/mpirun", mounts=mounts)
    finally:
        worker.terminate()
        worker.wait()
    assert (road / "outputs/ssh/model.safetensors").is_file()


def test_data_stay_out_of_the_build():
    """.dockerignore lets in what is named, and no more."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*" and all(line.startswith("!") for line in lines[1:])
    assert not [line for line in lines[1:] if re.search(r"data|outputs|\.git|\.deps|^!build", line) or not (ROOT / line[1:]).exists()]
