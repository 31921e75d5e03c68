"""A small HTTP/1.1 client that can also send what no proper client would."""

import json as json_module
import socket
from typing import NamedTuple

TIMEOUT_S = 30


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self):
        return json_module.loads(self.body)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.input = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.input.close()
        self.socket.close()

    def send(self, data):
        """Send the bytes; the server may answer and close before it has read them all."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def request(self, method, path, **options):
        self.send(request(method, path, **options))
        return self.reply(has_body=method != "HEAD")

    def reply(self, has_body=True):
        status = int(self.input.readline().split()[1])
        headers = {}
        while line := self.input.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers["content-length"]) if has_body else 0
        body = self.input.read(length)
        assert len(body) == length, "the answer is cut short"
        return Reply(status, headers, body)

    def is_closed(self):
        """Whether the server closes, rather than send more. Waits for either."""
        try:
            return self.input.peek(1) == b""
        except ConnectionResetError:
            return True


def request(method, path, json=None, body=None, headers=()):
    """The bytes of a request. json: a value to send; body: bytes to send as they are."""
    if json is not None:
        body = json_module.dumps(json).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
