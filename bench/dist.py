"""Time `kindred train` on ranks beside threads, and torch's DDP at the same job.

usage: bench/dist.py KINDRED GOWALLA FOLDER

GOWALLA has train.txt and test.txt. Datasets stay in FOLDER. PARTS="gowalla big weak ddp" does these tables alone: big is
100 million generated reviews of 5 million users and 1 million items (REVIEWS=N: as many, in proportion); weak gives
each rank as many. DDP only if the peers' environment has torch: .deps/bench-venv/bin/pip install torch.

Two hosts are network namespaces of this machine, where it has them (root).

Prints Markdown tables: medians over the runs, after a warm-up, of processes that take turns; the time is that of all
epochs, what precedes them apart. It stops when two models of one table differ.
"""

import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from data import HERE, PYTHON, print_table, run, say
from train import generated, rows_of

sys.path.insert(0, str(HERE.parent / "tests" / "cli"))
from hosts import Hosts, NoHosts

PARTS = "gowalla big weak ddp"
RUNS, EPOCHS, BIG_EPOCHS, DDP_STEPS = 5, 40, 4, 40
OPTIONS = ["--reg", "0.005", "--future-negatives", "1", "--quiet", "--lr"]
RATE, BIG_RATE = 0.2, 0.05  # the made reviews diverge at Gowalla's
MPIRUN = ["mpirun.openmpi", "--bind-to", "none", "--oversubscribe", "-n"]
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
WAYS = {"1 rank, 1 thread": (0, 1), "1 rank, 2 threads": (0, 2), "2 ranks, 1 thread each": (2, 1)}

GIGABIT = "2 hosts, 1 Gbit/s"
TIMEOUT_S = 600
LINES = ["2 hosts, 1 thread each", GIGABIT]


def train(kindred, dataset, output, epochs, ranks, threads):
    return [*([*MPIRUN, ranks] if ranks else []), kindred, *options(dataset, output, epochs, threads)]


def options(dataset, output, epochs, threads):
    return ["train", "--data-dir", dataset, "--output-dir", output, "--epochs",
            epochs, "--threads", threads, *OPTIONS, RATE if dataset.name == "gowalla" else BIG_RATE]


def took(command, output):
    """(s of the epochs, bytes a rank sent an epoch, the model's digest)"""
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=os.environ | AS_ROOT)
    told = json.loads((output / "run.json").read_text())
    sent = [rank["bytes_sent"] / len(told["epochs"]) for rank in told.get("ranks", [])]
    digest = hashlib.sha256((output / "model.safetensors").read_bytes()).hexdigest()
    return told["timings"]["epochs_s"], max(sent, default=0), digest


def take_turns(jobs, runs):
    """{name: (median s, bytes)} of jobs {name: (command, output)}, whose models are the same."""
    taken = {name: [] for name in jobs}
    for turn in range(1 + runs):
        for name, job in jobs.items():
            say(f"{name}, {f'run {turn} of {runs}' if turn else 'warm-up'}")
            taken[name].append(took(*job))
    if len({row[2] for rows in taken.values() for row in rows}) > 1:
        sys.exit(f"the models differ: {taken}")
    return {name: (statistics.median(row[0] for row in rows[1:]), rows[0][1]) for name, rows in taken.items()}


def lines(stack, scratch, names):
    """Those of LINES that this machine can make: {name: hosts}, until the stack ends."""
    made = {}
    try:
        for name in names:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            made[name] = stack.enter_context(Hosts(folder, 2, TIMEOUT_S))
        if GIGABIT in made:
            made[GIGABIT].limit("1gbit")
    except NoHosts as error:
        say(f"left out: {error}")
    return made


def scale(kindred, title, dataset, scratch, epochs, runs):
    """One rank, two threads, two ranks, two hosts."""
    jobs = {name: (train(kindred, dataset, scratch / f"{i}", epochs, *way), scratch / f"{i}")
            for i, (name, way) in enumerate(WAYS.items())}
    with contextlib.ExitStack() as stack:
        for name, hosts in lines(stack, scratch, LINES).items():
            output = scratch / f"{len(jobs)}"
            jobs[name] = (hosts.command("openmpi", [0, 1], kindred, *options(dataset, output, epochs, 1)), output)
        found = take_turns(jobs, runs)
    first = found["1 rank, 1 thread"][0]
    print_table([title, "s an epoch", "M positives a second", "times 1 rank, 1 thread", "MB sent an epoch and rank"],
                [[name, f"{seconds / epochs:.3f}", f"{rows_of(dataset)[0] * epochs / seconds / 1e6:.1f}",
                  f"{first / seconds:.2f}", f"{sent / 1e6:.1f}" if sent else ""]
                 for name, (seconds, sent) in found.items()])


def weak(kindred, datasets, scratch, runs):
    """Half the data for one rank, all of it for two, on one host and on two."""
    half, whole = datasets
    output, table = scratch / "weak", []
    jobs = {"half, 1 rank": (train(kindred, half, output, BIG_EPOCHS, 0, 1), half),
            "all, 2 ranks": (train(kindred, whole, output, BIG_EPOCHS, 2, 1), whole)}
    with contextlib.ExitStack() as stack:
        for title, hosts in lines(stack, scratch, LINES[:1]).items():
            asked = options(whole, output, BIG_EPOCHS, 1)
            jobs[f"all, {title}"] = (hosts.command("openmpi", [0, 1], kindred, *asked), whole)
        taken = {name: take_turns({name: (command, output)}, runs)[name] for name, (command, _) in jobs.items()}
    for name, (seconds, sent) in taken.items():
        dataset = jobs[name][1]
        table.append([name, f"{rows_of(dataset)[0] / 1e6:.1f}", f"{seconds / BIG_EPOCHS:.2f}", f"{sent / 1e6:.0f}"])
    print_table(["weak scaling, 1 thread a rank", "M train rows", "s an epoch", "MB sent an epoch and rank"], table)


def gowalla(kindred, source, folder):
    output = folder / "gowalla"
    if not (output / "stats.json").is_file():
        run([kindred, "preprocess", "--train", source / "train.txt", "--test", source / "test.txt", "--output-dir",
             output, "--quiet"], stdout=subprocess.DEVNULL)
    return output


def ddp(dataset, scratch):
    table = []
    for processes in (1, 2):
        output = scratch / "ddp.json"
        say(f"torch DDP, {processes} processes")
        run([PYTHON, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", HERE / "peers" / "train_ddp.py",
             dataset, output, 1, DDP_STEPS], env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
        told = json.loads(output.read_text())
        table.append([f"torch DDP on gloo, {processes} processes", f"{told['samples_per_s']:,.0f}",
                      "yes" if told["same"] else "no"])
    print_table(["Gowalla, BPR, dim 64", "positives a second", "weights the same on all"], table)


def main(kindred, source, folder):
    kindred, source, folder = Path(kindred).absolute(), Path(source), Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.pop("OPENBLAS_CORETYPE", None)
    parts = os.environ.get("PARTS", PARTS).split()
    n = int(os.environ.get("REVIEWS", 100_000_000))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = Path(scratch)
        if "gowalla" in parts:
            scale(kindred, "Gowalla, dim 64", gowalla(kindred, source, folder), scratch, EPOCHS, RUNS)
        if "big" in parts:
            scale(kindred, f"{n // 10**6} M reviews", generated(kindred, folder / f"train-{n}", n), scratch, BIG_EPOCHS, 3)
        if "weak" in parts:
            weak(kindred, [generated(kindred, folder / f"train-{k}", k) for k in (n // 2, n)], scratch, 3)
        if "ddp" in parts and not subprocess.run([PYTHON, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode:
            ddp(gowalla(kindred, source, folder), scratch)


if __name__ == "__main__":
    main(*sys.argv[1:])
