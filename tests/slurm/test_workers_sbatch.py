"""slurm/workers.sbatch as it is, under a real Slurm: batch jobs of workers for a run that is elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ROOT, parry_mpi, run, started, wait_until
from support.problem_files import nodes_of, trouble_file
from support.slurm import BatchJob, Slurm

SCRIPT = ROOT / "slurm" / "workers.sbatch"

DEPTH = 13
"""Of a tree that takes a worker half a minute, until a file makes it hurry: time enough to join, to be warned and to come back."""


@contextlib.contextmanager
def submitted(slurm: Slurm, folder: Path, **parameters: str) -> Iterator[BatchJob]:
    """Submit the script; what is still in the queue at the end is cancelled."""
    environment = {"VENV": sys.prefix, "PROCESSES": "1", "WAIT": "90s", "START_S": "3"} | parameters
    job = slurm.submit(SCRIPT, folder=folder, environment=environment)
    try:
        yield job
    finally:
        job.cancel()


def workers_count(folder: Path) -> int:
    finished = run(parry_mpi("status", "here", "--json"), folder=folder)
    return finished.answer.get("workers", 0) if finished.code == 0 else 0


def test_workers_come_and_go(slurm, tmp_path):
    """Protects second allocations: they may start before the run, leave when warned, be followed by others, or come too late."""
    trouble_file(tmp_path)
    words = (
        f"depth={DEPTH}",
        "pause_ms=2.0",
        f"hurry={tmp_path / 'hurry'}",
        "--run-dir",
        "here",
        "--bridge",
        "127.0.0.1:0",
        "--json",
    )
    with submitted(slurm, tmp_path, RUN_DIR="here") as first:
        wait_until(lambda: "does not exist" in first.output, "the first job waits for the run", 60)
        with started(parry_mpi("run", "trouble.py", *words), folder=tmp_path) as command:
            wait_until(lambda: workers_count(tmp_path) == 1, "the first job has joined", 60)
            first.warn()
            assert first.wait(deadline_s=60) == "COMPLETED", first.output
            with submitted(slurm, tmp_path, RUN_DIR="here") as second:
                wait_until(lambda: workers_count(tmp_path) == 1, "the second job has joined", 60)
                (tmp_path / "hurry").touch()
                finished = command.wait(90)
                assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished
                assert second.wait(deadline_s=60) == "COMPLETED", second.output
    with submitted(slurm, tmp_path, RUN_DIR="here") as third:
        assert third.wait(deadline_s=60) == "COMPLETED", third.output
        assert "is finished" in third.output


@pytest.mark.parametrize(
    ("parameters", "code", "said"),
    [
        ({}, 2, "which run?"),
        ({"RUN_DIR": "here", "OPTIONS": "--key nowhere"}, 2, "nowhere"),
        ({"RUN_DIR": "nowhere", "WAIT": "1s"}, 75, "nowhere does not exist"),
        ({"RUN_DIR": "here", "VENV": "nowhere", "PATH": "/usr/bin:/bin"}, 2, "is not there"),
    ],
    ids=["run", "key", "nobody", "installation"],
)
def test_mistakes(slurm, tmp_path, parameters, code, said):
    """Protects users from allocations that idle: a mistake ends the job, with one clear line."""
    with submitted(slurm, tmp_path, **parameters) as job:
        assert job.wait(deadline_s=60) == "FAILED", job.output
        assert job.field("ExitCode") == f"{code}:0", job.output
        assert said in job.output
