"""When the batch system will end this process: asked once at the start, for a signal before the end may never come.

This module must not stop anything.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from parry_mpi.runtime import clock

ASK_S = 5.0
"""How long Slurm may take to answer. A busy controller takes seconds; then the run goes on without knowing its end."""

MARGIN_S = 15.0
"""How long before the end to stop, beside the grace for handing back: for the last commit, and for the launcher to end."""

MARGIN_PART_MAX = 0.25
"""The margin never takes more than this part of the time that is left: short jobs should explore, too."""


@dataclass(frozen=True)
class Deadline:
    """When to begin to stop.

    Args:
        after_s: seconds from the start.
        why: for the user.
    """

    after_s: float
    why: str


def deadline(wanted_s: float | None, grace_s: float) -> Deadline | None:
    """Return when to begin to stop: when the user wants it, or before the batch system ends the job, whichever comes first.

    Args:
        wanted_s: --stop-after.
        grace_s: how long handing back may take.
    """
    left_s = slurm_seconds_left()
    deadlines = [] if wanted_s is None else [Deadline(wanted_s, "--stop-after")]
    if left_s is not None:
        deadlines.append(Deadline(stop_after_s(left_s, grace_s), "the batch job's time limit"))
    return min(deadlines, key=lambda each: each.after_s, default=None)


def slurm_seconds_left(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how many seconds Slurm leaves to this job; None outside Slurm, without a limit, or if it does not tell.

    Args:
        environment: SLURM_JOB_END_TIME (seconds since 1970) is used where Slurm sets it; else squeue is asked.
    """
    job = environment.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        return None
    told = environment.get("SLURM_JOB_END_TIME", "")
    ends_at_s = float(told) if told.isdigit() else _asked(job)
    return None if ends_at_s is None else max(0.0, ends_at_s - clock.wall_s())


def stop_after_s(seconds_left: float, grace_s: float) -> float:
    """Return after how many seconds to begin to stop, so that everything is on disk before the end.

    Args:
        seconds_left: until the batch system ends the job.
        grace_s: how long handing back may take.
    """
    margin_s = min(grace_s + MARGIN_S, seconds_left * MARGIN_PART_MAX)
    return seconds_left - margin_s


def _asked(job: str) -> float | None:
    """Ask squeue when a job ends; a local time without a zone, or N/A."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%e"]  # job is digits only
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=True).stdout.strip()  # noqa: S603
        return clock.wall_s_of(told)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
