"""Hosts of one's own: network namespaces on one bridge, with launchers that reach them without ssh.

    with Hosts(folder, 3) as hosts:
        hosts.limit("1gbit")
        job = subprocess.Popen(hosts.command("openmpi", [0, 1, 2], "kindred", "train", ...))
        hosts.cut(1)

At the end whatever still runs in them is killed, and they are gone. NoHosts where there can't be any.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PLACES = {
    "openmpi": ("mpirun.openmpi", "--bind-to", "none", "--mca", "btl", "self,tcp",
                "--mca", "oob_tcp_keepalive_time", "3", "--mca", "oob_tcp_keepalive_intvl", "2",
                "--mca", "oob_tcp_keepalive_probes", "3", "--mca", "plm_rsh_agent", "{agent}",
                "--host", "{hosts}"),
    "mpich": ("mpirun.mpich", "-launcher", "ssh", "-launcher-exec", "{agent}", "-hosts", "{hosts}"),
}
# enter N COMMAND...: the command on host N, which has a name of its own, and mounts if the test says so.
ENTER = """#!/bin/sh
n=$1
shift
exec ip netns exec {name}-$n unshare --uts sh -c '
    hostname host'$n'
    if [ -f {folder}/mounts-'$n' ]; then . {folder}/mounts-'$n'; fi
    exec "$@"' sh "$@"
"""
# As ssh: options, an address, and what a shell there makes of the rest.
AGENT = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
host=${{1##*.}}
shift
exec {folder}/enter $((host - 1)) sh -c "$*"
"""


def ip(*args, check=True):
    return subprocess.run(["ip", *map(str, args)], check=check, capture_output=True, text=True).stdout


class NoHosts(Exception):
    pass


class Hosts:
    def __init__(self, folder, n, timeout_s=40):
        """A job that hangs ends after timeout_s."""
        self.folder = Path(folder)
        self.n = n
        self.name = f"kindred-{os.getpid()}-{time.monotonic_ns() % 10**6}"
        self.timeout_s = timeout_s
        self.relays = []

    def make(self):
        if os.geteuid() or not shutil.which("ip") or not shutil.which("tc"):
            raise NoHosts("network namespaces need root and iproute2")
        if subprocess.run(["ip", "netns", "add", self.name], capture_output=True).returncode:
            raise NoHosts("no network namespaces here")
        try:
            self._make()
        except BaseException:
            self.remove()
            raise
        return self

    def __enter__(self):
        return self.make()

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        for name in [*map(self.host, range(self.n)), self.name]:
            for pid in ip("netns", "pids", name, check=False).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            ip("netns", "del", name, check=False)
        for relay in self.relays:
            relay.wait()

    def host(self, i):
        return f"{self.name}-{i}"

    def _make(self):
        for script, text in (("enter", ENTER), ("agent", AGENT)):
            (self.folder / script).write_text(text.format(name=self.name, folder=self.folder))
            (self.folder / script).chmod(0o755)
        ip("-n", self.name, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.name, "link", "set", "bridge", "up")
        for i in range(self.n):
            ip("netns", "add", self.host(i))
            ip("-n", self.host(i), "link", "set", "lo", "up")
            ip("-n", self.host(i), "link", "add", "eth0", "type", "veth", "peer", "name", f"port{i}", "netns", self.name)
            self._plug_in(i)

    def _plug_in(self, i):
        ip("-n", self.host(i), "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
        ip("-n", self.host(i), "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", f"port{i}", "master", "bridge")
        ip("-n", self.name, "link", "set", f"port{i}", "up")

    # What the network does

    def limit(self, rate):
        for i in range(self.n):
            subprocess.run(["tc", "-n", self.host(i), "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate,
                            "burst", "256kb", "latency", "50ms"], check=True)

    def cut(self, i):
        ip("-n", self.name, "link", "set", f"port{i}", "down")

    def disturb(self, i, **how):
        """Frames of the host are late, get lost and overtake each other, as relay.py has it."""
        ip("-n", self.host(i), "link", "del", "eth0")
        ip("-n", self.host(i), "tuntap", "add", "dev", "eth0", "mode", "tap")
        ip("-n", self.name, "tuntap", "add", "dev", f"port{i}", "mode", "tap")
        relay = Path(__file__).with_name("relay.py")
        options = [f"{name}={value}" for name, value in how.items()]
        self.relays.append(subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, relay, self.host(i), "eth0",
                                             f"port{i}", *options], stdout=subprocess.PIPE, text=True))
        assert self.relays[-1].stdout.readline() == "ready\n"
        self._plug_in(i)

    def mount(self, i, source, target):
        """On this host alone `target` is what `source` is."""
        with open(self.folder / f"mounts-{i}", "a") as file:
            file.write(f"mount --bind '{source}' '{target}'\n")

    # Jobs

    def command(self, impl, hosts, program, *args):
        """A rank of the program on each of these hosts; the first launches."""
        ends = ":1" if impl == "openmpi" else ""
        places = ",".join(f"10.77.0.{i + 1}{ends}" for i in hosts)
        launcher = [part.format(agent=self.folder / "agent", hosts=places) for part in PLACES[impl]]
        return ["timeout", "-v", "-k", "5", str(self.timeout_s), str(self.folder / "enter"), str(hosts[0]), *launcher, "-n",
                str(len(hosts)), str(program), *map(str, args)]

    def ranks(self, i, program, seconds=20):
        """The processes of the program on this host, once there is one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pids = [int(pid) for pid in ip("netns", "pids", self.host(i)).split()]
            if found := [pid for pid in pids if same_file(f"/proc/{pid}/exe", program)]:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no rank on host {i}")


def same_file(a, b):
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
