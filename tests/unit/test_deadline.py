"""runtime/deadline.py: when the batch system will end this process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from parry_mpi.runtime import clock
from parry_mpi.runtime.deadline import Deadline, deadline, slurm_seconds_left, stop_after_s


def test_outside_slurm_there_is_no_end() -> None:
    """Protects runs on a workstation from being stopped for a batch job that is not theirs."""
    assert slurm_seconds_left({}) is None
    assert slurm_seconds_left({"SLURM_JOB_ID": "not a number"}) is None


def test_the_end_is_taken_from_the_environment() -> None:
    """Protects the walltime margin where Slurm says the end by itself."""
    left_s = slurm_seconds_left({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(clock.wall_s()) + 600)})
    assert left_s is not None
    assert 590 < left_s <= 600


def test_an_end_that_is_past_leaves_nothing() -> None:
    """Protects against a negative time when the clock of the node is ahead."""
    assert slurm_seconds_left({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1000"}) == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("date -d '+600 seconds' +%Y-%m-%dT%H:%M:%S", 600.0), ("echo N/A", None), ("exit 1", None)],
    ids=["an end", "no limit", "no answer"],
)
def test_squeue_is_asked_where_the_environment_is_silent(
    answer: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the margin on a Slurm that sets no end time, and the run where squeue does not help."""
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\n{answer}\n")
    squeue.chmod(squeue.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    left_s = slurm_seconds_left({"SLURM_JOB_ID": "7"})
    assert left_s is None if expected is None else left_s is not None and expected - 10 < left_s <= expected


def test_the_margin_covers_grace_but_leaves_time_to_explore() -> None:
    """Protects both ends: everything handed back in time, and short jobs that explore at all."""
    assert stop_after_s(3600, 10) == 3600 - 25
    assert stop_after_s(40, 10) == 30
    assert stop_after_s(0, 10) == 0


def test_the_earlier_of_two_reasons_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the user's own --stop-after, and the batch job's limit when that comes first."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert deadline(None, 10) is None
    assert deadline(100, 10) == Deadline(100, "--stop-after")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(clock.wall_s()) + 90))
    assert deadline(1000, 10).why == "the batch job's time limit"
    assert deadline(1, 10) == Deadline(1, "--stop-after")
