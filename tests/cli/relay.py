"""A bad line between two tap devices, for tests on hosts.

usage: relay.py NAMESPACE A B delay_s=D jitter_s=J loss=P seed=S

A is in the named network namespace, B in that of this process. Each frame is late by D, some by up to J more, so that
others overtake it; one in 1/P is lost. Says "ready" once both ends are open, and works until it's killed.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0002, 0x1000, 0x40000000


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def open_elsewhere(namespace, name):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as here, open(f"/run/netns/{namespace}") as there:
        for ns in (there, here):
            if libc.setns(ns.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            if ns is there:
                fd = open_tap(name)
    return fd


def read_all(fd):
    frames = []
    try:
        while True:
            frames.append(os.read(fd, 65536))
    except BlockingIOError:
        return frames


def main(namespace, a, b, *options):
    how = dict(option.split("=") for option in options)
    delay_s, jitter_s, loss = (float(how.get(name, 0)) for name in ("delay_s", "jitter_s", "loss"))
    draw = random.Random(int(how.get("seed", 1)))
    ends = [open_elsewhere(namespace, a), open_tap(b)]
    waiting, n = [], 0  # (due, number, to, frame)
    print("ready", flush=True)
    while True:
        wait_s = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for fd in select.select(ends, [], [], wait_s)[0]:
            for frame in read_all(fd):
                if draw.random() < loss:
                    continue
                due = time.monotonic() + delay_s + (draw.random() * jitter_s if draw.random() < 0.1 else 0)
                heapq.heappush(waiting, (due, n, ends[fd == ends[0]], frame))
                n += 1
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            try:
                os.write(to, frame)
            except (BlockingIOError, OSError):
                pass  # lost as well: the link is down


if __name__ == "__main__":
    main(*sys.argv[1:])
