"""slurm/parry.sbatch as it is, under a real Slurm."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from support.commands import ROOT, Mpi, mpis, wait_until
from support.slurm import BatchJob, Slurm, slurm_up

SCRIPT = ROOT / "slurm" / "parry.sbatch"

SLOW_PROBLEM = {"PROBLEM": str(ROOT / "jobs" / "queens.py"), "PARAMETERS": "n=13 engine=python"}
SLOW_ANSWER = 73712
"""A search that takes long enough for all ranks to join it, and to be warned in the middle of it; the answer is OEIS A000170's."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    program = os.environ.get("PARRY_TEST_SLURM")
    if not program:
        pytest.skip("no Slurm to test with: PARRY_TEST_SLURM is not set")
    with slurm_up(program) as up:
        yield up


def environment_of(mpi: Mpi) -> dict[str, str]:
    """What a user of this MPI would have in the environment; ranks keep to the loopback address."""
    return {"VENV": str(mpi.bin.parent), "HYDRA_IFACE": "lo", "START_S": "3", **mpi.environment}


class Submit(Protocol):
    def __call__(self, mpi: Mpi | None = None, **parameters: str) -> BatchJob: ...


@pytest.fixture
def submit(slurm: Slurm, tmp_path: Path) -> Iterator[Submit]:
    """Submit the script with parameters in the environment; what is still in the queue after the test is cancelled."""
    jobs = []

    def submit_one(mpi: Mpi | None = None, **parameters: str) -> BatchJob:
        environment = environment_of(mpi or mpis()[0]) | {"RUN_DIR": str(tmp_path / "run")} | parameters
        jobs.append(slurm.submit(SCRIPT, folder=tmp_path, environment=environment))
        return jobs[-1]

    yield submit_one
    for job in jobs:
        job.cancel()


@pytest.mark.parametrize("mpi", mpis(), ids=lambda mpi: mpi.name)
def test_runs_to_the_answer(submit, mpi):
    """Protects the first batch job of a user: the script, submitted as it is, gives the answer on all its ranks."""
    job = submit(mpi, **SLOW_PROBLEM)
    assert job.wait(deadline_s=90) == "COMPLETED", job.output
    answer = job.answer
    assert answer["result"] == SLOW_ANSWER
    assert answer["workers"] == 3


def test_runs_under_srun(submit):
    """Protects sites where srun is the only launcher: LAUNCHER is all that has to be changed."""
    mpi = mpis()[0]
    if mpi.name != "mpich":
        pytest.skip("srun --mpi=pmi2 starts ranks of MPICH only")
    job = submit(**SLOW_PROBLEM, LAUNCHER="srun --mpi=pmi2")
    assert job.wait(deadline_s=90) == "COMPLETED", job.output
    answer = job.answer
    assert answer["result"] == SLOW_ANSWER
    assert answer["workers"] == 3


@pytest.mark.parametrize("mpi", mpis(), ids=lambda mpi: mpi.name)
def test_goes_on_after_the_walltime(submit, tmp_path, mpi):
    """Protects runs longer than a walltime: warned, the job saves, queues itself again, and ends with the exact answer."""
    job = submit(mpi, **SLOW_PROBLEM)
    wait_until((tmp_path / "run" / "state.sqlite").exists, "the run has begun", deadline_s=60)
    job.warn()
    assert job.wait(deadline_s=100) == "COMPLETED", job.output
    assert job.field("Restarts") == "1"
    assert re.findall(r"restart (\d)", job.output) == ["0", "1"]
    answer = job.answer
    assert answer["result"] == SLOW_ANSWER
    assert answer["restarts"] == 1


def test_goes_on_after_a_requeue(slurm, submit, tmp_path):
    """Protects runs on nodes that are taken away: a job that Slurm itself requeues ends with the exact answer."""
    job = submit(**SLOW_PROBLEM)
    wait_until((tmp_path / "run" / "state.sqlite").exists, "the run has begun", deadline_s=60)
    slurm.call("scontrol", "requeue", job.id)
    assert job.wait(deadline_s=100) == "COMPLETED", job.output
    assert job.field("Restarts") == "1"
    assert job.answer["result"] == SLOW_ANSWER


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"PARAMETERS": "rows=10"}, "rows"),
        ({"PROBLEM": "nowhere.py"}, "nowhere.py"),
        ({"VENV": "nowhere", "PATH": "/usr/bin:/bin"}, "is not there"),
    ],
    ids=["parameter", "file", "installation"],
)
def test_does_not_repeat_a_mistake(submit, parameters, said):
    """Protects users and their site from a job that fails and requeues for ever: a mistake ends it, with one clear line."""
    job = submit(**({"PROBLEM": str(ROOT / "jobs" / "queens.py")} | parameters))
    assert job.wait(deadline_s=60) == "FAILED", job.output
    assert job.field("ExitCode") == "2:0", job.output
    assert job.field("Restarts") == "0"
    assert said in job.output


def test_cancelled_stays_cancelled(slurm, submit, tmp_path):
    """Protects the user's last word: scancel ends a job, and it does not come back."""
    job = submit(**SLOW_PROBLEM)
    wait_until((tmp_path / "run" / "state.sqlite").exists, "the run has begun", deadline_s=60)
    slurm.call("scancel", job.id)
    assert job.wait(deadline_s=60) == "CANCELLED", job.output
    assert job.field("Restarts") == "0"
