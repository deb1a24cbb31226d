"""When to begin to stop: when the user wants it, or before the batch system ends this process, with a margin that is measured.

The end is asked for once at the start, for a signal before it may never come. This module must not stop anything.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from parry_mpi.runtime import clock

ASK_S = 5.0
"""How long Slurm may take to answer. A busy controller takes seconds; then the run goes on without knowing its end."""

SAFETY = 2.0
"""Stopping may take so many times as long as it ever did: file systems and networks have bad days."""

LAUNCHER_S = 8.0
"""What cannot be measured from within: how long MPI and the launcher take to end, and the script to ask for another turn."""

MARGIN_S_MIN = 10.0
"""The margin is never shorter: Slurm keeps time in steps, and nodes' clocks differ."""

MARGIN_PART_MAX = 0.25
"""The margin never takes more than this part of the time that was left at the start: short jobs should explore, too."""


class Deadline:
    """When to begin to stop. All times are seconds from the start.

    Args:
        wanted_s: --stop-after; None to go on.
        ends_s: when the batch system ends this process; None if it does not, or does not tell.
        grace_s: how long handing back may take; believed until it was measured.
        stopping_s: how long an earlier life of this run took to stop; None if that is not known.
    """

    def __init__(
        self,
        wanted_s: float | None = None,
        ends_s: float | None = None,
        grace_s: float = 0.0,
        stopping_s: float | None = None,
    ) -> None:
        self.wanted_s = wanted_s
        self.ends_s = ends_s
        self._grace_s = grace_s
        self._stopping_s = stopping_s
        self._commit_s = 0.0
        self._began_to_stop_s: float | None = None
        self._stopped_s: float | None = None

    def due(self, after_s: float) -> str:
        """Say why it is time to stop; "" while it is not, and when that was said before.

        Args:
            after_s: now.
        """
        if self._began_to_stop_s is not None:
            return ""
        if self.wanted_s is not None and after_s >= self.wanted_s:
            return "--stop-after"
        if self.ends_s is not None and after_s >= self.ends_s - self.margin_s:
            return "the batch job's time limit"
        return ""

    @property
    def margin_s(self) -> float:
        """How long before the end to begin to stop, by what handing back and committing took so far."""
        handing_back_s = self._grace_s if self._stopping_s is None else SAFETY * self._stopping_s
        needed_s = max(MARGIN_S_MIN, handing_back_s + SAFETY * self._commit_s + LAUNCHER_S)
        return needed_s if self.ends_s is None else min(needed_s, MARGIN_PART_MAX * self.ends_s)

    def committed(self, took_s: float) -> None:
        """Note how long a commit took; the slowest counts."""
        self._commit_s = max(self._commit_s, took_s)

    def stopping(self, after_s: float) -> None:
        """Note that stopping has begun, for whatever reason; only the first time counts."""
        if self._began_to_stop_s is None:
            self._began_to_stop_s = after_s

    def stopped(self, after_s: float) -> None:
        """Note that everything was handed back and committed and everybody let go; without ``stopping`` it means nothing."""
        self._stopped_s = after_s

    def facts(self, after_s: float) -> dict[str, object]:
        """What `parry-mpi status` shows of this, and what the next life learns from; plain data.

        Args:
            after_s: now.
        """
        facts: dict[str, object] = {"commit_s": self._commit_s}
        stopping_s = self._stopping_s
        if self._began_to_stop_s is not None:
            took_s = (after_s if self._stopped_s is None else self._stopped_s) - self._began_to_stop_s
            # A life that is killed while it stops leaves how long it had tried by then, so that the next one begins earlier.
            stopping_s = took_s if self._stopped_s is not None else max(took_s, stopping_s or 0.0)
        if stopping_s is not None:
            facts["stopping_s"] = stopping_s
        if self.ends_s is not None:
            left_s = self.ends_s - after_s
            facts |= {"walltime_ends_at": clock.local_time_in(left_s), "walltime_left_s": left_s, "margin_s": self.margin_s}
        return facts


def deadline(wanted_s: float | None, grace_s: float, left_behind: Mapping[str, object]) -> Deadline:
    """Return when to begin to stop, as far as that is known now.

    Args:
        wanted_s: --stop-after.
        grace_s: how long handing back may take.
        left_behind: the facts that the life before this one published last, or nothing.
    """
    stopping_s = left_behind.get("stopping_s")
    # A file that somebody wrote into must not keep a run from exploring: what makes no sense is not believed.
    known = isinstance(stopping_s, int | float) and stopping_s >= 0
    return Deadline(wanted_s, slurm_seconds_left(), grace_s, float(stopping_s) if known else None)  # type: ignore[arg-type]


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


def _asked(job: str) -> float | None:
    """Ask squeue when a job ends; a local time without a zone, or N/A."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%e"]  # job is digits only
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=True).stdout.strip()  # noqa: S603
        return clock.wall_s_of(told)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
