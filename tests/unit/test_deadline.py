"""runtime/deadline.py: when the batch system will end this process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from parry_mpi.runtime import clock
from parry_mpi.runtime.deadline import LAUNCHER_S, MARGIN_S_MIN, SAFETY, Deadline, deadline, slurm_seconds_left


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


def test_the_margin_covers_grace_until_stopping_was_measured() -> None:
    """Protects what was explored before the first walltime: handing back may take all that the user allows."""
    assert Deadline(ends_s=3600, grace_s=60).margin_s == 60 + LAUNCHER_S
    assert Deadline(ends_s=3600, grace_s=0).margin_s == MARGIN_S_MIN


def test_the_margin_follows_what_was_measured() -> None:
    """Protects large states on slow file systems: the margin grows with what commits and the last stop really took."""
    ends = Deadline(ends_s=3600, grace_s=60, stopping_s=12)
    assert ends.margin_s == SAFETY * 12 + LAUNCHER_S
    ends.committed(0.5)
    ends.committed(7)
    ends.committed(1)
    assert ends.margin_s == SAFETY * (12 + 7) + LAUNCHER_S


def test_the_margin_leaves_time_to_explore() -> None:
    """Protects short jobs: they explore for three quarters of their time at least, whatever was measured."""
    ends = Deadline(ends_s=40, grace_s=10, stopping_s=1000)
    assert ends.margin_s == 10
    assert ends.due(29.9) == ""
    assert ends.due(30) == "the batch job's time limit"
    assert Deadline(ends_s=0).due(0) != ""


def test_the_earlier_of_two_reasons_counts() -> None:
    """Protects the user's own --stop-after, and the batch job's limit when that comes first."""
    assert Deadline().due(1e9) == ""
    assert Deadline(100, 3600).due(99) == ""
    assert Deadline(100, 3600).due(100) == "--stop-after"
    assert Deadline(3600, 100).due(95) == "the batch job's time limit"


def test_a_stop_is_asked_for_once() -> None:
    """Protects a stop that is under way from being asked for again."""
    ends = Deadline(100)
    ends.stopping(40)
    assert ends.due(100) == ""


def test_the_next_life_learns_how_long_stopping_took() -> None:
    """Protects the last commit of the next walltime: what a stop took is published, also by a life that was killed meanwhile."""
    ends = Deadline(ends_s=3600, grace_s=10, stopping_s=5)
    assert ends.facts(0)["stopping_s"] == 5
    ends.stopping(100)
    assert ends.facts(103)["stopping_s"] == 5
    assert ends.facts(120)["stopping_s"] == 20
    ends.stopping(110)
    ends.stopped(102)
    assert ends.facts(200)["stopping_s"] == 2


def test_what_is_told_of_the_end() -> None:
    """Protects whoever wonders when a run will stop: status has the end, what is left and the margin, where there is an end."""
    facts = Deadline(ends_s=3600, grace_s=10).facts(600)
    assert (3000, 10 + LAUNCHER_S) == (facts["walltime_left_s"], facts["margin_s"])
    left_s = clock.wall_s_of(str(facts["walltime_ends_at"])) - clock.wall_s()
    assert 2900 < left_s < 3100
    assert {"commit_s"} == set(Deadline().facts(600))


@pytest.mark.parametrize("nonsense", [None, "soon", -1, float("nan")])
def test_a_hint_that_makes_no_sense_is_not_believed(nonsense: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a run from what somebody wrote into its status file."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(clock.wall_s()) + 3600))
    assert deadline(None, 10, {"stopping_s": nonsense}).margin_s == 10 + LAUNCHER_S
    assert deadline(None, 10, {"stopping_s": 20}).margin_s == SAFETY * 20 + LAUNCHER_S
