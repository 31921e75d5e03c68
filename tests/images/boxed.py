"""Run a program with a root file system of its own, as a container engine would: alone in its namespace of processes (as process 1), and its
files read-only, if asked for, but for /tmp and what is mounted.

usage: boxed.py SPEC    SPEC: JSON of root, read_only, mounts [[from, to, read_only]], workdir, user, env, command

Its exit code is the program's (128 + n by a signal); SIGTERM, SIGINT and SIGHUP are passed on.
"""

import ctypes
import json
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NAMESPACES = 0x00020000 | 0x20000000  # CLONE_NEWNS, CLONE_NEWPID
RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def must(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0, data=None):
    texts = [text and str(text).encode() for text in (source, target, kind, data)]
    must(LIBC.mount(texts[0], texts[1], texts[2], flags, texts[3]), f"mount {target}")


def bind(source, target, read_only):
    mount(source, target, flags=BIND)
    if read_only:
        mount(None, target, flags=BIND | REMOUNT | RDONLY)


def mount_all(root, read_only, mounts):
    for _, target, _ in mounts:
        if not os.path.exists(f"{root}{target}"):
            os.makedirs(f"{root}{target}")  # engines do so too
    mount(None, "/", flags=REC | PRIVATE)
    bind(root, root, read_only)
    mount("tmpfs", f"{root}/tmp", "tmpfs", data="mode=1777")
    mount("tmpfs", f"{root}/dev", "tmpfs", data="mode=755")
    for device in ("null", "zero", "urandom"):
        open(f"{root}/dev/{device}", "w").close()
        bind(f"/dev/{device}", f"{root}/dev/{device}", False)
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    os.mkdir(f"{root}/dev/shm", 0o1777)
    os.chmod(f"{root}/dev/shm", 0o1777)
    mount("proc", f"{root}/proc", "proc")
    for source, target, only_read in mounts:
        bind(source, f"{root}{target}", only_read)


def run(spec):
    user, group = map(int, spec["user"].split(":"))
    must(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    must(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    mount_all(spec["root"], spec["read_only"], spec["mounts"])
    os.chroot(spec["root"])
    os.chdir(spec["workdir"])
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    os.execve(spec["command"][0], spec["command"], spec["env"])


def main(spec):
    must(LIBC.unshare(NEW_NAMESPACES), "unshare")
    child = os.fork()
    if child == 0:
        run(spec)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
