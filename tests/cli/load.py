"""Clients of all kinds at once, for a while: good ones, slow ones, those that leave, those that send rubbish.

    load = Load(port, right)      right: user -> answers to /recommend, each of which is right
    load.run(seconds, turnover)   opens and closes at least so many connections besides
    load.failures, load.counts
"""

import json
import socket
import struct
import threading
import time
from collections import Counter

from wire import Connection, request

BAD = [(b"{", 422), (b'{"user_id": 1}', 422), (b'{"user_id": "a", "top_k": 0}', 422), (b"\xff", 400), (b"x" * 70_000, 413), (b"", 422)]


class Load:
    def __init__(self, port, right):
        self.port, self.right = port, right
        self.users = list(right)
        self.failures, self.counts = [], Counter()
        self.over = threading.Event()
        self.lock = threading.Lock()

    def run(self, seconds, turnover):
        kinds = [self.good, self.good, self.pipelining, self.slow, self.half_closing, self.bad, self.leaving, self.resetting]
        threads = [threading.Thread(target=self.repeat, args=(kind,)) for kind in kinds]
        threads += [threading.Thread(target=self.turn_over, args=(turnover // 2,)) for _ in range(2)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads[-2:]:
            thread.join()
        self.over.wait(max(0, seconds - (time.monotonic() - begun)))
        self.over.set()
        for thread in threads:
            thread.join()

    def repeat(self, kind):
        n = 0
        while not self.over.is_set():
            try:
                kind(n)
            except Exception as error:
                self.fail(kind.__name__, repr(error))
            n += 1

    def fail(self, kind, what):
        with self.lock:
            self.failures.append((kind, what))
        if len(self.failures) > 20:
            self.over.set()

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def check(self, user, reply):
        self.count("answers")
        if reply.status != 200 or reply.json not in self.right[user]:
            self.fail("answer", (user, reply.status, reply.body[:300]))

    def some(self, n, k):
        return [self.users[(n * 7 + i) % len(self.users)] for i in range(k)]

    def good(self, n):
        with Connection(self.port) as connection:
            for user in self.some(n, 50):
                self.check(user, connection.request("POST", "/recommend", json={"user_id": user}))

    def pipelining(self, n):
        users = self.some(n, 40)
        with Connection(self.port) as connection:
            connection.send(b"".join(request("POST", "/recommend", json={"user_id": user}) for user in users))
            for user in users:
                self.check(user, connection.reply())

    def slow(self, n):
        user = self.users[n % len(self.users)]
        sent = request("POST", "/recommend", json={"user_id": user})
        with Connection(self.port) as connection:
            for at in range(0, len(sent), 20):
                connection.send(sent[at:at + 20])
                time.sleep(0.01)
            self.check(user, connection.reply())

    def half_closing(self, n):
        user = self.users[n % len(self.users)]
        with Connection(self.port) as connection:
            connection.send(request("POST", "/recommend", json={"user_id": user}))
            connection.socket.shutdown(socket.SHUT_WR)
            self.check(user, connection.reply())
            if connection.input.read():
                self.fail("half-closing", "more than the answer")
        time.sleep(0.002)

    def bad(self, n):
        body, status = BAD[n % len(BAD)]
        with Connection(self.port) as connection:
            reply = connection.request("POST", "/recommend", body=body)
            if reply.status != status or not json.loads(reply.body)["detail"]:
                self.fail("bad", (body[:20], reply))
        self.count("bad")

    def leaving(self, n):
        with Connection(self.port) as connection:
            connection.send([b"GET /he", request("GET", "/openapi.json") * 3, b"POST /recommend HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{"][n % 3])
        self.count("left")
        time.sleep(0.002)

    def resetting(self, n):
        with Connection(self.port) as connection:
            connection.send(request("GET", "/openapi.json") * (n % 4))
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.count("reset")
        time.sleep(0.002)

    def turn_over(self, n):
        for k in range(n):
            if self.over.is_set():
                return
            with Connection(self.port) as connection:
                if k % 2:
                    user = self.users[k % len(self.users)]
                    self.check(user, connection.request("POST", "/recommend", json={"user_id": user}))
            self.count("turnover")
