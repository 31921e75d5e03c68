"""serve --tls-cert --tls-key: HTTP within TLS 1.2 and 1.3, whatever the client does to it."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager

import pytest

from program import TIMEOUT_S, Server, announced_port
from wire import Connection, request


def certify(folder, name, key="ec"):
    """(certificate, key) in PEM, signed by itself."""
    how = ["-newkey", "rsa:2048"] if key == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", *how, "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return [certify(folder, "first"), certify(folder, "second", "rsa")]


class Sealed(Connection):
    """A connection by TLS; `certificates`: whom it trusts."""

    def __init__(self, port, certificates, **settings):
        context = ssl.create_default_context()
        context.set_alpn_protocols(settings.pop("protocols", ["http/1.1"]))
        for certificate in certificates:
            context.load_verify_locations(certificate)
        for name, value in settings.items():
            setattr(context, name, value)
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), TIMEOUT_S), server_hostname="localhost")
        self.input = self.socket.makefile("rb")

    def name(self):
        return dict(part[0] for part in self.socket.getpeercert()["subject"])["commonName"]


@contextmanager
def serving_tls(kindred, tmp_path, dataset, model, cert, key, *options):
    with open(tmp_path / "log", "w") as log:
        process = kindred.popen("serve", "--port", 0, "--data-dir", dataset, "--model-path", model, "--tls-cert", cert, "--tls-key", key,
                                *options, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield Server(process, announced_port(process, tmp_path / "log", "https"))
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(kindred, dataset, model, pairs, tmp_path_factory):
    with serving_tls(kindred, tmp_path_factory.mktemp("tls"), dataset, model, *pairs[0], "--request-timeout", 2, "--threads", 2) as running:
        yield running


@pytest.fixture
def connect(server, pairs):
    return lambda **settings: Sealed(server.port, [pairs[0][0]], **settings)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_answer(connect, version):
    with connect(maximum_version=version, minimum_version=version) as connection:
        assert connection.socket.version() == version.name.replace("_", ".")
        assert connection.socket.selected_alpn_protocol() == "http/1.1" and connection.socket.compression() is None
        for _ in range(3):
            assert connection.request("GET", "/health").json["status"] == "healthy"
        assert connection.request("POST", "/recommend", json={"user_id": "nobody"}).status == 404


def test_clients_that_want_other_things_are_refused(server, pairs):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.deprecated_call():
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S))
    with pytest.raises((ssl.SSLError, OSError)), Sealed(server.port, [pairs[0][0]], protocols=["h2"]) as connection:
        connection.request("GET", "/health")


def test_pipelined_requests_in_pieces_are_answered_in_order(connect):
    sent = b"".join(request("GET", f"/items/no-{n}") for n in range(200))
    with connect() as connection:
        for at in range(0, len(sent), 977):
            connection.send(sent[at:at + 977])
        for n in range(200):
            assert connection.reply().json["detail"] == f"Item 'no-{n}' not found"


def test_a_body_and_answers_of_many_records(connect, server):
    with connect() as connection:
        users = connection.request("GET", "/users").json["users"] * 20
        body = {"user_ids": users, "top_k": 20}
        sent = b"".join(request("POST", "/recommend/batch", json=body) for _ in range(4))
        connection.send(sent)
        time.sleep(0.2)  # it doesn't read meanwhile
        answers = [connection.reply().body for _ in range(4)]
        assert len(answers[0]) > 100_000 and len(set(answers)) == 1
        assert len(json.loads(answers[0])["results"]) == len(users)


def test_the_go_ahead_comes_through(connect):
    with connect() as connection:
        connection.send(request("POST", "/recommend", json={"user_id": "nobody"}, headers=["Expect: 100-continue"]).split(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert b" 100 " in connection.input.readline()


def test_who_speaks_http_is_told(server):
    with server.connect() as connection:
        reply = connection.request("GET", "/health")
        assert reply.status == 400 and "https" in reply.json["detail"] and connection.is_closed()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x80" * 400, b"\x15\x03\x03\x00\x02\x02\x28"])
def test_a_handshake_that_comes_to_nothing_is_closed(server, connect, sent):
    with server.connect() as connection:
        connection.send(sent)
        while connection.input.read(1 << 16):
            pass
    with connect() as connection:
        told = connection.request("GET", "/metrics").body.decode()
        assert int(re.search(r'kindred_refusals_total{status="0"} (\d+)', told)[1]) > (sent == b"")


def test_a_request_that_does_not_end_is_told_so(connect):
    with connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHo")
        assert connection.reply().status == 408 and connection.is_closed()


def test_who_leaves_at_any_point_harms_nobody(server, connect):
    for stage in range(4):
        for _ in range(20):
            if stage == 0:
                with server.connect():
                    continue
            connection = connect()
            if stage == 2:
                connection.send(b"GET /health HT")
            if stage == 3:
                connection.send(request("GET", "/openapi.json") * 5)
            connection.close()
    with connect() as connection:
        assert connection.request("GET", "/health").status == 200


def test_its_end_is_told(connect):
    """A client that isn't told can't tell an end from a cut."""
    with connect(minimum_version=ssl.TLSVersion.TLSv1_3) as connection:
        reply = connection.request("GET", "/health", headers=["Connection: close"])
        assert reply.status == 200
        assert connection.socket.recv(100) == b""
    with connect() as connection:
        assert connection.request("GET", "/health").status == 200
        connection.socket.unwrap()  # ours, and its answer


def test_a_new_certificate_is_taken_and_a_bad_one_refused(kindred, dataset, model, pairs, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair):
        for source, to in zip(pair, (cert, key)):
            shutil.copy(source, f"{to}.new")
            (tmp_path / f"{to.name}.new").rename(to)

    def told(port, what, n):
        with Sealed(port, [pair[0] for pair in pairs]) as connection:
            end = time.monotonic() + 60
            while (model := connection.request("GET", "/model").json)[what] < n:
                assert time.monotonic() < end, model
                time.sleep(0.02)
            return model

    put(pairs[0])
    with serving_tls(kindred, tmp_path, dataset, model, cert, key) as server:
        with Sealed(server.port, [pairs[0][0]]) as old:
            assert old.name() == "first"
            put(pairs[1])
            server.process.send_signal(signal.SIGHUP)
            told(server.port, "reloads", 1)
            assert old.request("GET", "/health").status == 200
            with Sealed(server.port, [pairs[1][0]]) as new:
                assert new.name() == "second"
            shutil.copy(pairs[0][1], key)
            server.process.send_signal(signal.SIGHUP)
            assert str(key) in told(server.port, "failed_reloads", 1)["last_error"]
            with Sealed(server.port, [pairs[1][0]]) as new:
                assert new.name() == "second"


@pytest.mark.parametrize("cert, key, words", [
    ("first.pem", "second.key", ["second.key", "another certificate", "first.pem"]),
    ("first.key", "first.key", ["first.key", "no certificate"]),
    ("first.pem", "first.pem", ["first.pem", "no private key"]),
    ("none.pem", "first.key", ["none.pem", "No such file"]),
    ("first.pem", "none.key", ["none.key", "No such file"]),
])
def test_pairs_that_are_none(kindred, dataset, model, pairs, cert, key, words):
    folder = pairs[0][0].parent
    line = kindred.fails(1, "serve", "--check", "--data-dir", dataset, "--model-path", model, "--tls-cert", folder / cert, "--tls-key", folder / key)
    assert all(word in line for word in words)


@pytest.mark.parametrize("given, missing", [("--tls-cert", "--tls-key"), ("--tls-key", "--tls-cert")])
def test_one_of_two_is_a_mistake(kindred, dataset, model, given, missing):
    assert f"{given} needs {missing}" in kindred.fails(2, "serve", "--data-dir", dataset, "--model-path", model, given, "x.pem")


RECORD = 16384


def test_a_short_record_behind_much_else(connect):
    """While the server is busy, more comes than one read of the socket holds, and then one that ends within a record."""
    with connect() as connection:
        users = connection.request("GET", "/users").json["users"] * 20
        busy = request("POST", "/recommend/batch", json={"user_ids": users, "top_k": 50})
    for n in range(8, 40):
        sent = busy
        while len(sent) < n * RECORD - 8000:
            sent += request("GET", "/livez", headers=["X: " + "x" * 4000])
        sent += request("GET", "/livez", headers=["X: " + "x" * (n * RECORD + 20 - len(sent) - len(request("GET", "/livez", headers=["X: "])))])
        assert len(sent) == n * RECORD + 20
        with connect() as connection:
            connection.send(sent)
            for _ in range(sent.count(b"Host:")):
                assert connection.reply().status == 200
