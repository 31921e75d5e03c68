"""The .deb, installed by apt into a Debian that has nothing else: the README's commands there, as a user who isn't root."""

import re
import shutil
import subprocess
import time

import pytest

from conftest import ROOT, boxed, get, post, run, until_ready

USER = "65532"


@pytest.fixture(scope="module")
def deb():
    return ROOT / run("make", "--no-print-directory", "deb", cwd=ROOT).splitlines()[-1]


@pytest.fixture(scope="module")
def system(debian, deb, tmp_path_factory):
    """Debian with the package and what it depends on and recommends."""
    root = tmp_path_factory.mktemp("system") / "root"
    run("cp", "-a", debian, root)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(deb, root / "srv/kindred.deb")
    apt(root, "update", "-qq")
    apt(root, "install", "-qq", "-y", "man-db", "bash-completion", "/srv/kindred.deb")
    return root


def command(root, *args, user=USER):
    environment = {"HOME": "/srv", "PATH": "/usr/sbin:/usr/bin", "DEBIAN_FRONTEND": "noninteractive"}
    return boxed({"root": str(root), "read_only": False, "mounts": [], "workdir": "/srv", "user": f"{user}:{user}", "env": environment,
                  "command": list(args)})


def apt(root, *args):
    run(*command(root, "/usr/bin/apt-get", *args, user="0"))


def inside(root, script):
    """What a shell there says."""
    return run(*command(root, "/bin/bash", "-ec", script))


def road():
    """The commands of the README's road, but for the server."""
    block = re.search(r"## The road\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    commands = [line for line in block.splitlines() if line.startswith("kindred ")]
    assert [line.split()[1] for line in commands] == ["preprocess", "train", "evaluate", "serve"]
    return commands


def test_the_same_sources_make_the_same_package(deb):
    before = deb.read_bytes()
    run("make", "--no-print-directory", "deb", cwd=ROOT)
    assert deb.read_bytes() == before


def test_install_puts_all_below_destdir_and_prefix(tmp_path):
    run("make", "--no-print-directory", "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/my kindred", cwd=ROOT)
    there = tmp_path / "opt/my kindred"
    assert run(there / "bin/kindred", "--version").startswith("kindred ")
    files = {str(path.relative_to(there)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"share/man/man1/kindred-serve.1", "share/bash-completion/completions/kindred.bash", "lib/systemd/system/kindred.service",
            "lib/kindred/libduckdb.so", "share/kindred/serve.yaml"} <= files
    run(there / "bin/kindred", "generate", "--output", "reviews.jsonl", "--reviews", 5000, "--users", 200, "--items", 100, cwd=tmp_path)
    run(there / "bin/kindred", "preprocess", "--input", "reviews.jsonl", "--output-dir", "data", "--track", "off", cwd=tmp_path)  # by its DuckDB


def test_the_road_from_the_readme(system, tmp_path):
    (system / "srv").chmod(0o777)
    *steps, serve = road()
    inside(system, "kindred generate --output reviews.jsonl --reviews 50000 --users 2000 --items 500")
    said = inside(system, "\n".join(steps))
    assert "ndcg" in said.lower()
    log = tmp_path / "log"
    with open(log, "w") as output:
        process = subprocess.Popen(command(system, f"/usr/bin/{serve.split()[0]}", *serve.split()[1:]), stdout=output, stderr=output)
    try:
        until_ready(process, 8000, log)
        assert inside(system, "kindred ping") == "ready\n"
        user = re.search(r'"user_id": ?"([^"]+)"', (system / "srv/reviews.jsonl").open().readline())[1]
        assert get("/health")["status"] == "healthy"
        assert post("/recommend", {"user_id": user, "top_k": 5})["recommendations"]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_what_it_recommends_is_there(system):
    inside(system, "kindred train --model ials --output-dir ials --track off")


def test_man_pages(system):
    excluded = system / "etc/dpkg/dpkg.cfg.d/docker"
    assert not excluded.exists()
    assert "answer recommendation requests over HTTP" in inside(system, "MANPAGER=cat man kindred-serve")
    commands = re.findall(r"^  (\w+) ", inside(system, "kindred help").split("Commands")[1], re.MULTILINE)
    for command in commands:
        page = inside(system, f"MANWIDTH=200 MANPAGER=cat man --warnings=w kindred-{command} 2>&1")
        options = set(re.findall(r"^  (--[\w-]+)", inside(system, f"kindred help {command}"), re.MULTILINE))
        assert options <= set(re.findall(r"--[\w-]+", page.replace("\u2010", "-").replace("‐", "-"))), command
        assert "warning:" not in page


@pytest.mark.parametrize("words, wanted", [
    (["kindred", "ser"], {"serve"}),
    (["kindred", "serve", "--por"], {"--port"}),
    (["kindred", "train", "--model", "ne"], {"neumf"}),
    (["kindred", "serve", "--log", ""], {"text", "json"}),
])
def test_completion(system, words, wanted):
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        source /usr/share/bash-completion/bash_completion
        _completion_loader kindred || [ $? = 124 ]
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
        _kindred; echo "${{COMPREPLY[@]}}" """
    assert set(inside(system, script).split()) == wanted


def test_the_unit_is_sound(system):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    unit = system / "usr/lib/systemd/system/kindred.service"
    done = subprocess.run(["systemd-analyze", "verify", "--root", str(system), "--man=no", str(unit)], capture_output=True, text=True)
    assert not [line for line in done.stderr.splitlines() if "kindred.service:" in line and "sysinit.target not found" not in line], done.stderr
    exposed = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)], capture_output=True, text=True)
    assert exposed.returncode == 0, exposed.stdout


def test_what_the_unit_runs_runs(system):
    unit = (system / "usr/lib/systemd/system/kindred.service").read_text()
    for line in re.findall(r"^ExecStart(?:Pre)?=(.+)$", unit, re.MULTILINE):
        done = subprocess.run(command(system, *line.split()), capture_output=True, text=True)
        assert done.returncode == 1 and "/var/lib/kindred/outputs/model.safetensors" in done.stderr


def test_it_goes_as_it_came(system):
    apt(system, "purge", "-qq", "-y", "kindred")
    left = subprocess.run(["find", system, "-xdev", "-name", "*kindred*", "-not", "-path", "*/srv/*", "-not", "-path", "*/var/lib/*",
                           "-not", "-path", "*/tmp/*", "-not", "-path", "*/var/log/*", "-not", "-path", "*/var/cache/*"], capture_output=True, text=True)
    assert left.stdout == ""
