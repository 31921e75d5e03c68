"""Several ranks under the launchers of both MPIs: every call of comm/comm.h, how a job begins, and how it ends.

For tests on ranks, here and elsewhere: a test that asks for `impl` runs with each MPI that is here, and

    done = mpirun(impl, 3, "train", "--data-dir", dataset, ...)

is the finished job of `kindred train ...` on three ranks, more than the machine has cores or not: returncode,
stdout, stderr. program="comm_ranks" runs tests/comm_ranks.c instead, whose calls are named there. Other keywords
are environment variables. A job that doesn't end by itself fails the test. Open MPI's launcher adds lines of its own
to stderr when a rank fails; `told(done)` are kindred's.
"""

import os
import re
import shutil
import subprocess

import pytest

import mpi
from program import environment

UNSHARED = {"train": ("--model", "blend", "--parts", "a,b")}
ALONE = ("generate", "preprocess", "baselines", "serve")


def told(done):
    return [line for line in done.stderr.splitlines() if line.startswith("kindred")]


def alone(mpirun, *args, program="comm_ranks", folder=None, **variables):
    """Without a launcher, though the environment may look like one's."""
    return subprocess.run([(folder or mpirun.folder) / program, *args], capture_output=True, text=True,
                          env=environment() | variables, timeout=60)


# Every call


def memory(mpirun, impl, size, **variables):
    """What three ranks have, in words; a launcher may mix their line ends."""
    done = mpirun(impl, 3, "memory", size, program="comm_ranks", **variables)
    assert done.returncode == 0, done.stderr
    return re.findall("common|none", done.stdout)


def test_ranks_of_a_host_have_memory_in_common(mpirun, impl):
    assert memory(mpirun, impl, 1_000_000) == ["common"] * 3


def test_where_there_is_no_room_or_nobody_wants_it_there_is_none_for_all(mpirun, impl):
    assert memory(mpirun, impl, 1 << 62) == ["none"] * 3
    assert memory(mpirun, impl, 1_000_000, KINDRED_SHARED_MEMORY="0") == ["none"] * 3


def test_ranks_on_hosts_of_two_names_have_none_in_common(mpirun):
    if os.geteuid():
        pytest.skip("giving a host another name needs root")
    program = mpirun.folder / "comm_ranks"
    rename = 'hostname "host$((OMPI_COMM_WORLD_RANK / 2))" && exec "$@"'
    command = mpirun.command("openmpi", 3, "--uts", "sh", "-c", rename, "sh", program, "memory", 1000, program="unshare")
    command = [shutil.which("unshare") if part.endswith("/unshare") else part for part in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment() | mpi.SURROUNDINGS)
    assert (done.returncode, done.stdout) == (0, "none\n" * 3), done.stderr


@pytest.mark.parametrize("n", (1, 2, 3, 4))
def test_every_call_does_what_it_says(mpirun, impl, n):
    done = mpirun(impl, n, "calls", program="comm_ranks")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"rank {r} of {n}: all calls" for r in range(n)]


def test_every_call_does_what_it_says_alone(mpirun):
    done = alone(mpirun, "calls")
    assert (done.returncode, done.stdout) == (0, "rank 0 of 1: all calls\n"), done.stderr


def test_what_is_long_goes_at_once(mpirun, impl):
    done = mpirun(impl, 3, "bulk", 30_000_001, program="comm_ranks")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("n", (1, 2, 3))
def test_ranks_of_a_host_share_its_processors(mpirun, impl, n):
    done = mpirun(impl, n, "processors", program="comm_ranks")
    each = max(1, len(os.sched_getaffinity(0)) // n)
    assert (done.returncode, done.stdout) == (0, f"{each}\n" * n), done.stderr


# How a job begins


def test_alone_no_mpi_is_loaded(mpirun, impl):
    none = "rank 0 of 1: no MPI is loaded, pml unset\n"
    assert alone(mpirun, "loaded").stdout == none
    assert mpirun(impl, 1, "loaded", program="comm_ranks").stdout == none
    linked = subprocess.run(["ldd", mpirun.folder / "kindred"], capture_output=True, text=True, check=True).stdout
    assert "libc.so" in linked and "mpi" not in linked


def test_several_ranks_load_it_with_settings_that_the_environment_overrides(mpirun, impl):
    for variables, pml in (({}, "ob1"), ({"OMPI_MCA_pml": "^cm"}, "^cm")):
        done = mpirun(impl, 2, "loaded", program="comm_ranks", **variables)
        assert sorted(done.stdout.splitlines()) == [f"rank {r} of 2: MPI is loaded, pml {pml}" for r in (0, 1)]


def test_the_other_mpis_module_is_refused(mpirun, impl):
    other = "mpich" if impl == "openmpi" else "openmpi"
    mpirun.check(other)
    for choice in (other, str(mpirun.module(other))):
        done = mpirun(impl, 3, "evaluate", KINDRED_MPI=choice)
        assert done.returncode == 2
        assert told(done) == [f"kindred evaluate: started as one of 3 ranks, but MPI ({other}) sees 1: start it with "
                              "that MPI's own launcher, or set KINDRED_MPI to the launcher's MPI"]


def test_a_module_may_be_named_by_its_path(mpirun, impl):
    done = mpirun(impl, 2, "loaded", program="comm_ranks", KINDRED_MPI=str(mpirun.module(impl)))
    assert done.stdout.count("MPI is loaded") == 2


def test_what_is_no_module_is_refused(mpirun, impl, tmp_path):
    libc = re.search(r"/\S+libc\.so\.6", open("/proc/self/maps").read())[0]
    for choice, code, line in (
        ("lam", 2, "KINDRED_MPI is 'lam': openmpi, mpich, or the path of a module"),
        (libc, 1, f"'{libc}' is no module of kindred .*: build both together"),
        (f"{tmp_path}/none.so", 1, f"cannot load '{tmp_path}/none.so': .*No such file.* libopenmpi3 or libmpich12"),
    ):
        done = mpirun(impl, 3, "evaluate", KINDRED_MPI=choice)
        assert done.returncode == code
        assert len(told(done)) == 1 and re.fullmatch(f"kindred evaluate: {line}", told(done)[0]), done.stderr


@pytest.fixture
def moved(mpirun, tmp_path):
    """A folder with the program alone."""
    shutil.copy(mpirun.folder / "kindred", tmp_path)
    return tmp_path


@pytest.mark.parametrize("mpi, package, variables", (
    ("openmpi", "libopenmpi-dev", {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "3"}),
    ("openmpi", "libopenmpi-dev", {"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "3"}),
    ("mpich", "libmpich-dev", {"PMI_RANK": "0", "PMI_SIZE": "3"}),
))
def test_a_missing_module_is_told_with_what_to_install(mpirun, moved, mpi, package, variables):
    done = alone(mpirun, "evaluate", program="kindred", folder=moved, **variables)
    assert done.returncode == 1
    assert len(told(done)) == 1
    assert f"there is no 'kindred_comm_{mpi}.so' in '{moved}' or '/" in done.stderr
    assert f"build kindred with {package} installed" in done.stderr


def test_a_rank_that_cannot_begin_says_which_it_is(mpirun):
    done = alone(mpirun, "evaluate", program="kindred", KINDRED_MPI="/none.so", PMI_RANK="4", PMI_SIZE="8",
                 MPI_LOCALRANKID="0")
    assert re.match(r"kindred evaluate: rank 4 \(\S+\): cannot load '/none.so'", done.stderr)
    second = alone(mpirun, "evaluate", program="kindred", KINDRED_MPI="/none.so", PMI_RANK="5", PMI_SIZE="8",
                   MPI_LOCALRANKID="1")
    assert (second.returncode, second.stderr) == (1, "")


def test_tasks_of_slurm_without_an_mpi_are_refused(mpirun):
    done = alone(mpirun, "evaluate", program="kindred", SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="3")
    assert done.returncode == 2
    assert told(done) == ["kindred evaluate: srun started this as one of 3 tasks that don't know each other: start it "
                          "with srun --mpi=pmix (Open MPI) or srun --mpi=pmi2 (MPICH)"]


def test_the_script_of_a_slurm_job_runs_alone(mpirun):
    """Slurm tells it SLURM_NTASKS and SLURM_PROCID as well."""
    done = alone(mpirun, "loaded", SLURM_PROCID="0", SLURM_NTASKS="4", SLURM_LOCALID="0")
    assert done.stdout == "rank 0 of 1: no MPI is loaded, pml unset\n"


def test_kindred_ranks_says_how_many_there_must_be(mpirun, impl):
    assert mpirun(impl, 2, "loaded", program="comm_ranks", KINDRED_RANKS="2").returncode == 0
    done = mpirun(impl, 2, "evaluate", KINDRED_RANKS="3")
    assert done.returncode == 2
    assert told(done) == ["kindred evaluate: KINDRED_RANKS is 3, but the launcher started 2: start it with mpirun -n 3"]
    done = alone(mpirun, "evaluate", program="kindred", KINDRED_RANKS="3")
    assert done.returncode == 2
    assert told(done) == ["kindred evaluate: KINDRED_RANKS is 3, but without a launcher there is only 1: start it with "
                          "mpirun -n 3"]


@pytest.mark.parametrize("command", ALONE)
def test_what_runs_alone_is_refused_under_a_launcher(mpirun, impl, command):
    done = mpirun(impl, 3, command)
    assert done.returncode == 2 and done.stdout == ""
    assert told(done) == [f"kindred {command}: started by a launcher, but 'kindred {command}' runs alone: start it "
                          "without one"]


@pytest.mark.parametrize("command", UNSHARED)
def test_work_that_ranks_do_not_share_is_refused(mpirun, impl, command):
    done = mpirun(impl, 3, command, *UNSHARED[command])
    assert done.returncode == 2 and done.stdout == ""
    assert told(done) == [f"kindred {command}: 3 ranks were started, which don't share this work yet: start it once, "
                          "without the launcher"]


# What is told


def test_rank_0_prints_for_all(mpirun, impl, kindred):
    done = mpirun(impl, 3, "evaluate", "--help")
    assert (done.returncode, done.stdout) == (0, kindred.ok("evaluate", "--help"))


def test_a_log_says_whose_it_is_and_ranks_other_than_0_only_warn(mpirun, impl):
    done = mpirun(impl, 2, "speak", program="comm_ranks")
    said = sorted(line.split(" ", 1)[1] for line in done.stderr.splitlines())
    assert said == ["info  rank=0 news n=1", "warn  rank=0 trouble n=2", "warn  rank=1 trouble n=2"]
    said = [line.split(" ", 1)[1] for line in alone(mpirun, "speak").stderr.splitlines()]
    assert said == ["info  news n=1", "warn  trouble n=2"]


# How it ends


def test_a_fault_that_all_ranks_have_is_told_once(mpirun, impl):
    done = mpirun(impl, 3, "evaluate", "--foo")
    assert done.returncode == 2
    assert told(done) == ["kindred evaluate: no option '--foo'; --help lists them"]


def test_faults_that_differ_are_told_by_the_first(mpirun, impl, kindred):
    done = mpirun(impl, 1, "evaluate", "--bar", ":", "-n", 2, kindred.path, "evaluate", "--foo")
    assert done.returncode == 2
    assert len(told(done)) == 1
    assert re.match(r"kindred evaluate: rank 0 \(\S+\): no option '--bar'", told(done)[0])


def test_a_rank_that_fails_alone_ends_the_others(mpirun, impl, kindred):
    done = mpirun(impl, 1, "evaluate", "--help", ":", "-n", 1, kindred.path, "evaluate", "--foo")
    assert done.returncode == 2
    assert len(told(done)) == 1
    assert re.match(r"kindred evaluate: rank 1 \(\S+\): no option '--foo'", told(done)[0])


@pytest.mark.parametrize("how, code, line", (
    ("alike", 4, r"all: cannot"),
    ("differently", 4, r"all: rank 0 \(\S+\): cannot 0"),
    ("0", 3, r"alone: rank 0 \(\S+\): cannot 0"),
    ("2", 3, r"alone: rank 2 \(\S+\): cannot 2"),
))
def test_a_failure_waits_for_the_others_but_not_for_long(mpirun, impl, how, code, line):
    done = mpirun(impl, 3, "failed", how, program="comm_ranks")
    said = [one for one in done.stderr.splitlines() if one.startswith(("all:", "alone:"))]
    assert done.returncode == code, done.stderr
    assert len(said) == 1 and re.fullmatch(line, said[0]), done.stderr


def test_a_failure_alone_is_ones_own(mpirun):
    done = alone(mpirun, "failed", "alike")
    assert (done.returncode, done.stderr) == (4, "all: cannot\n")


def test_messages_on_their_way_do_not_keep_a_failed_job(mpirun, impl):
    done = mpirun(impl, 3, "pending", program="comm_ranks")
    assert done.returncode == 4
    assert done.stderr.count("all: cannot\n") == 1


@pytest.mark.parametrize("how", ("killed", "exits", "aborts"))
def test_a_lost_rank_ends_the_job(mpirun, impl, how):
    assert mpirun(impl, 3, "lose", how, program="comm_ranks").returncode != 0


def test_a_rank_without_memory_says_so_by_name_and_ends_the_job(mpirun, impl):
    done = mpirun(impl, 3, "lose", "wants too much", program="comm_ranks")
    assert done.returncode != 0
    assert len(re.findall(r"^kindred: rank 2 \(\S+\): out of memory", done.stderr, re.M)) == 1, done.stderr
