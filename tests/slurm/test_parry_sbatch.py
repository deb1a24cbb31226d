"""slurm/parry.sbatch as it is, under a real Slurm.

What waits, waits side by side: a test submits all its batch jobs before it looks at the first.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from support.commands import ROOT, Mpi, mpis, system_mpis, wait_until
from support.problem_files import TROUBLE, nodes_of
from support.slurm import CPUS, BatchJob, Slurm

from parry_mpi.errors import ParryError
from parry_mpi.store.readers import read_status

SCRIPT = ROOT / "slurm" / "parry.sbatch"

UTS = {"PROBLEM": str(ROOT / "jobs" / "uts.py"), "PARAMETERS": "tree=T3"}
UTS_ANSWER = {"nodes": 4112897, "depth": 1572, "leaves": 3599034}
"""What the authors of the benchmark count."""

DEPTH = 15
PAUSE_MS = 15
"""A tree that three workers explore for five minutes, however slow the machine, unless they are told to hurry: then for a second."""

DEADLINE_S = 150
"""For a wait that includes Slurm's own: a requeued batch job is looked at again after 5 s, a dead one is cleaned up after as many."""

pytestmark = pytest.mark.timeout(400)


class Submit(Protocol):
    def __call__(self, mpi: Mpi | None = None, *options: str, name: str = ..., **parameters: str) -> BatchJob: ...


@pytest.fixture
def submit(slurm: Slurm, tmp_path: Path) -> Iterator[Submit]:
    """Submit the script with parameters in the environment; what is still in the queue after the test is cancelled."""
    jobs = []

    def submit_one(mpi: Mpi | None = None, *options: str, name: str = "run", **parameters: str) -> BatchJob:
        mpi = mpi or mpis()[0]
        environment = {"VENV": str(mpi.bin.parent), "HYDRA_IFACE": "lo", "START_S": "3", **mpi.environment}
        environment |= {"RUN_DIR": str(tmp_path / name)} | parameters
        jobs.append(slurm.submit(SCRIPT, *options, folder=tmp_path, environment=environment))
        return jobs[-1]

    yield submit_one
    for job in jobs:
        job.cancel()


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    """Parameters of a run that takes long enough for things to happen to it; ``hurry`` ends that."""
    (tmp_path / "trouble.py").write_text(TROUBLE)
    words = f"depth={DEPTH} pause_ms={PAUSE_MS} hurry={tmp_path / 'hurry'}"
    return {"PROBLEM": str(tmp_path / "trouble.py"), "PARAMETERS": words}


def status_of(run_dir: Path) -> dict[str, Any]:
    with contextlib.suppress(ParryError):
        return read_status(run_dir)
    return {}


def wait_until_busy(run_dir: Path, workers: int = 3, restarts: int = 0) -> dict[str, Any]:
    """Wait until all workers explore in the life after so many restarts; return the status."""

    def busy() -> dict[str, Any] | None:
        status = status_of(run_dir)
        begun = status.get("restarts") == restarts and status.get("nodes", 0) > 0
        return status if status.get("live") and begun and status.get("busy") == workers else None

    found = wait_until(busy, f"{workers} workers explore in {run_dir.name}, restart {restarts}", DEADLINE_S)
    assert isinstance(found, dict)
    return found


def assert_exact(job: BatchJob, restarts: int) -> None:
    """The batch job has the answer of ``slow``, neither less nor more, after so many restarts of the run."""
    answer = job.answer
    assert (answer["result"], answer["complete"], answer["restarts"]) == (nodes_of(DEPTH), True, restarts), job.output


def test_runs_to_the_answer(submit):
    """Protects the first batch job of a user: the script, submitted as it is, gives the known answer on all ranks of any MPI."""
    jobs = {mpi.name: submit(mpi, **UTS, name=mpi.name) for mpi in mpis()}
    if mpis()[0].name == "mpich":
        jobs["srun"] = submit(**UTS, LAUNCHER="srun --mpi=pmi2", name="srun")
    for name, job in jobs.items():
        assert job.wait(DEADLINE_S) == "COMPLETED", f"{name}: {job.output}"
        assert UTS_ANSWER == job.answer["result"], f"{name}: {job.output}"
        assert job.answer["workers"] >= 2, (
            f"{name}: {job.output}"
        )  # alone it would be one; the last may come too late for this tree


def test_on_the_distributions_open_mpi(submit, slow, tmp_path):
    """Protects sites whose Open MPI is of the 4.1 series: the known answer, and a run that is warned goes on."""
    found = [mpi for mpi in system_mpis(tmp_path) if mpi.name == "debian-openmpi"]
    if not found:
        pytest.skip("Debian's Open MPI is not complete here: mpiexec.openmpi or libmpi.so.40 is missing")
    first = submit(found[0], **UTS, LAUNCHER=found[0].mpiexec[0], name="uts")
    second = submit(found[0], **slow, LAUNCHER=found[0].mpiexec[0], name="slow")
    wait_until_busy(tmp_path / "slow")
    second.warn()
    assert first.wait(DEADLINE_S) == "COMPLETED", first.output
    assert UTS_ANSWER == first.answer["result"]
    wait_until_busy(tmp_path / "slow", restarts=1)
    (tmp_path / "hurry").touch()
    assert second.wait(DEADLINE_S) == "COMPLETED", second.output
    assert_exact(second, restarts=1)


def test_goes_on_after_walltimes(slurm, submit, slow, tmp_path):
    """Protects runs longer than a walltime: warned, the job saves, comes again by itself or by a successor, and is exact at the end."""
    jobs = {mpi.name: submit(mpi, **slow, name=mpi.name) for mpi in mpis()}
    refused = submit(None, "--no-requeue", "--ntasks=3", **slow, name="refused")
    status = wait_until_busy(tmp_path / "refused", workers=2)
    assert {"walltime_ends_at", "walltime_left_s", "margin_s"} <= status.keys()
    refused.warn()
    for restarts in (0, 1):
        for name in jobs:
            wait_until_busy(tmp_path / name, restarts=restarts)
        for job in jobs.values():
            job.warn()
    wait_until(lambda: "goes on" in refused.output, "a successor was submitted", DEADLINE_S)
    wait_until_busy(tmp_path / "refused", workers=2, restarts=1)
    for name in jobs:
        wait_until_busy(tmp_path / name, restarts=2)
    (tmp_path / "hurry").touch()
    for job in jobs.values():
        assert job.wait(DEADLINE_S) == "COMPLETED", job.output
        assert_exact(job, restarts=2)
        assert job.field("Restarts") == "2"
        assert re.findall(r", start (\d)", job.output) == ["1", "2", "3"]
    assert refused.wait(DEADLINE_S) == "COMPLETED"
    (successor,) = re.findall(r"job (\d+) goes on", refused.output)
    assert BatchJob(slurm, successor, tmp_path).wait(DEADLINE_S) == "COMPLETED", refused.output
    assert_exact(refused, restarts=1)  # appended to the same file


def test_goes_on_after_trouble(slurm, submit, slow, tmp_path):
    """Protects runs on machines that are taken away: requeued by hand, cancelled and submitted anew, on a node that goes down."""
    requeued, cancelled, unlucky = (submit(None, **slow, name=name) for name in ("requeued", "cancelled", "unlucky"))
    node = slurm.call("sinfo", "-h", "-N", "-o", "%N").split()[0]
    for name in ("requeued", "cancelled", "unlucky"):
        wait_until_busy(tmp_path / name)
    slurm.call("scontrol", "requeue", requeued.id)
    slurm.call("scancel", cancelled.id)
    assert cancelled.wait(DEADLINE_S) == "CANCELLED", cancelled.output
    assert cancelled.field("Restarts") == "0"
    again = submit(None, **slow, name="cancelled")
    wait_until_busy(tmp_path / "requeued", restarts=1)
    wait_until_busy(tmp_path / "cancelled", restarts=1)
    try:
        slurm.call("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        assert unlucky.field("JobState") == "RUNNING", "a drained node ends what runs on it"
        slurm.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        wait_until(lambda: unlucky.field("JobState") != "RUNNING", "the node is gone", DEADLINE_S)
    finally:
        slurm.call("scontrol", "update", f"nodename={node}", "state=resume")
    lives = (("requeued", requeued, 2), ("cancelled", again, 2), ("unlucky", unlucky, 1))
    for name, _, restarts in lives:
        wait_until_busy(tmp_path / name, restarts=restarts)
    (tmp_path / "hurry").touch()
    for _, job, restarts in lives:
        assert job.wait(DEADLINE_S) == "COMPLETED", job.output
        assert_exact(job, restarts)


def test_goes_on_after_preemption(slurm, submit, slow, tmp_path):
    """Protects runs whose nodes others may take at any time: preempted, the job comes back when they are done, and is exact."""
    job = submit(None, **slow, name="preempted")
    wait_until_busy(tmp_path / "preempted")
    (tmp_path / "urgent.sh").write_text("#!/bin/sh\nexit 0\n")
    everything = f"--ntasks={CPUS['SLURM_LAB_CPUS']}"
    urgent = slurm.submit(tmp_path / "urgent.sh", "--partition=urgent", everything, folder=tmp_path, environment={})
    assert urgent.wait(DEADLINE_S) == "COMPLETED", job.output
    wait_until_busy(tmp_path / "preempted", restarts=1)
    (tmp_path / "hurry").touch()
    assert job.wait(DEADLINE_S) == "COMPLETED", job.output
    assert_exact(job, restarts=1)
    assert job.field("Restarts") == "1"


MISTAKES = {
    "parameter": ({"PARAMETERS": "rows=10"}, "rows"),
    "file": ({"PROBLEM": "nowhere.py"}, "nowhere.py"),
    "default folder": ({"PROBLEM": "nowhere.py", "RUN_DIR": ""}, "nowhere.py"),
    "installation": ({"VENV": "nowhere", "PATH": "/usr/bin:/bin"}, "is not there"),
}


def test_ends_at_last(submit, tmp_path):
    """Protects users and their site from a job that comes again for ever: a mistake ends it with one clear line, no progress soon."""
    queens = {"PROBLEM": str(ROOT / "jobs" / "queens.py")}
    # One rank and a bridge: it coordinates, and nobody explores.
    stuck = submit(None, "--ntasks=1", **queens, OPTIONS="--json --bridge 127.0.0.1:0 --stop-after 0", name="stuck")
    wrong = {name: submit(**(queens | parameters), name="wrong") for name, (parameters, _) in MISTAKES.items()}
    for name, job in wrong.items():
        assert job.wait(DEADLINE_S) == "FAILED", f"{name}: {job.output}"
        assert (job.field("ExitCode"), job.field("Restarts")) == ("2:0", "0"), f"{name}: {job.output}"
        assert MISTAKES[name][1] in job.output, name
    assert stuck.wait(DEADLINE_S) == "FAILED", stuck.output
    assert (stuck.field("ExitCode"), stuck.field("Restarts")) == ("75:0", "1"), stuck.output
    assert "not started again: 2 lives in a row explored nothing" in stuck.output
