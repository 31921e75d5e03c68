"""kindred ping: whether a server is ready, for those who have no curl."""

import signal
import socket

import pytest

from program import Server, announced_port, serving
from test_tls import certify


@pytest.fixture(scope="module")
def files(kindred, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    kindred.ok("train", "--data-dir", dataset, "--model", "popularity", "--output-dir", folder)
    return ["--model-path", folder / "model.safetensors", "--data-dir", dataset]


def test_a_server_that_is_ready(kindred, files, tmp_path):
    with serving(kindred, tmp_path / "log", *files) as server:
        assert kindred.ok("ping", "--port", server.port) == "ready\n"
        assert kindred.ok("ping", "--host", "0.0.0.0", "--port", server.port) == "ready\n"
        assert kindred.run("ping", KINDRED_PORT=str(server.port)).stdout == "ready\n"


def test_keys_need_not_be_told(kindred, files, tmp_path):
    (tmp_path / "keys").write_text(f"shop {'0' * 64}\n")
    with serving(kindred, tmp_path / "log", *files, "--keys", tmp_path / "keys") as server:
        assert kindred.ok("ping", "--port", server.port) == "ready\n"


def test_one_that_drains_is_not_ready(kindred, files, tmp_path):
    with serving(kindred, tmp_path / "log", *files, "--drain", "3") as server:
        server.process.send_signal(signal.SIGTERM)
        wanted = f"kindred ping: http://127.0.0.1:{server.port}/readyz: 503 "
        while kindred.run("ping", "--port", server.port).returncode == 0:
            pass  # until the signal has come through
        assert kindred.fails(1, "ping", "--port", server.port).startswith(wanted)


def test_one_with_a_certificate_of_its_own(kindred, files, tmp_path):
    cert, key = certify(tmp_path, "own")
    log = tmp_path / "log"
    with open(log, "w") as stderr:
        process = kindred.popen("serve", "--port", 0, *files, "--tls-cert", cert, "--tls-key", key, stderr=stderr)
    try:
        port = announced_port(process, log, "https")
        assert kindred.ok("ping", "--port", port, "--tls-cert", cert) == "ready\n"
        assert kindred.run("ping", "--port", port).returncode == 1
        assert Server(process, port).stop() == 0
    finally:
        process.kill()
        process.wait()


def test_nobody_there(kindred):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert f"127.0.0.1:{port}" in kindred.fails(1, "ping", "--port", port)
