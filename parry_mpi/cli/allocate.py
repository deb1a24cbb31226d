"""The command `parry-mpi allocate`: keep batch jobs with workers queued or running for as long as a run can use them.

It looks, has allocating.py decide, and does what was decided. This module must not decide.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import parry_mpi
from parry_mpi.cli.options import TIMES
from parry_mpi.cli.telling import say
from parry_mpi.cli.wording import plural, seconds
from parry_mpi.errors import EXIT_COMPLETE, EXIT_STOPPED, ParryError, UsageError
from parry_mpi.runtime import batch, clock
from parry_mpi.runtime.allocating import ALLOCATIONS_MAX, Allocation, Decision, Limits, Memory, decide, run_of
from parry_mpi.runtime.batch import BatchError
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.store.access import joinable
from parry_mpi.store.readers import read_status

SCRIPT = Path("slurm", "workers.sbatch")

NAP_S = 0.2
"""How soon a signal is acted on between two looks."""


@click.command("allocate", epilog=TIMES)
@click.argument("run_dir", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("options", metavar="[-- SBATCH-OPTIONS...]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--max",
    "allocations_max",
    metavar="N",
    type=click.IntRange(1, ALLOCATIONS_MAX),
    default=1,
    show_default=True,
    help="Most batch jobs queued or running at a time.",
)
@click.option(
    "--idle-minutes",
    metavar="M",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Cancel what is still queued when nothing has needed it for so long.",
)
@click.option(
    "--interval", metavar="TIME", type=seconds, default="30s", show_default=True, help="How often to look at run and queue."
)
@click.option(
    "--script", metavar="FILE", type=click.Path(path_type=Path), help="What to submit; by default slurm/workers.sbatch."
)
@click.option("--dry-run", is_flag=True, help="Look once and say what would be done.")
def command(
    run_dir: Path,
    options: tuple[str, ...],
    allocations_max: int,
    idle_minutes: float,
    interval: float,
    script: Path | None,
    *,
    dry_run: bool,
) -> int:
    """Keep batch jobs with workers for a run queued or running under Slurm, as long as the run can use them.

    The run has to be started with --bridge. What follows -- goes to sbatch, such as --partition and --time. When the run is over,
    or at Ctrl-C or SIGTERM, the batch jobs that have not been started are cancelled; those that run end with the run.
    """
    script = script or _default_script()
    if not script.is_file():
        raise UsageError(f"{script} does not exist: give the script that starts workers with --script")
    read_status(run_dir)  # whoever mistypes a folder should not wait for it
    limits = Limits(allocations_max, int(idle_minutes * 60_000))
    with StopSignals() as stop:
        return Allocator(run_dir, script, options, limits, dry_run=dry_run).keep(stop, interval)


def _default_script() -> Path:
    """Return the script of this installation's checkout, else the one that is seen from here."""
    beside = Path(parry_mpi.__file__).resolve().parents[1] / SCRIPT
    return beside if beside.is_file() else SCRIPT


@dataclass
class Allocator:
    """Looks, and does what was decided.

    Args:
        run_dir: of the run.
        script: what is submitted.
        options: for sbatch.
        limits: what the user allows.
        dry_run: only say what would be done.
    """

    run_dir: Path
    script: Path
    options: Sequence[str]
    limits: Limits
    dry_run: bool

    def __post_init__(self) -> None:
        self._name = batch.name_of(self.run_dir)
        self._memory = Memory(clock.now_ms())
        self._told = ""

    def keep(self, stop: StopSignals, interval_s: float) -> int:
        """Look until the run is over or somebody wants an end; return the exit code."""
        while True:
            decision = self.look()
            if self.dry_run or (decision is not None and decision.over):
                return EXIT_COMPLETE
            ends_at_ms = clock.now_ms() + int(interval_s * 1000)
            while clock.now_ms() < ends_at_ms and not stop.name:
                clock.sleep(NAP_S)
            if stop.name:
                self._leave(stop.name)
                return EXIT_STOPPED

    def look(self) -> Decision | None:
        """Look once and do what is to be done; None if nothing could be seen."""
        try:
            status = read_status(self.run_dir)
            allocations = batch.allocations(self._name)
        except ParryError as error:
            self._tell(f"nothing is submitted or cancelled: {error}")  # not knowing is no reason to do anything
            return None
        run = run_of(status, joinable=joinable(self.run_dir))
        decision = decide(run, allocations, self.limits, self._memory, clock.now_ms())
        self._memory = decision.memory
        if decision.submit or decision.cancel:
            self._told = ""
        self._tell(decision.why, f"{'; '.join([decision.why, *_actions(decision)])} ({decision.numbers})")
        if not self.dry_run:
            self._cancel(decision.cancel)
            self._submit(decision.submit)
        return decision

    def _submit(self, count: int) -> None:
        for _ in range(count):
            try:
                job_id = batch.submit(self.script, self._name, self.options, self._environment())
            except BatchError as error:
                self._memory = self._memory.refused(clock.now_ms())
                wait_s = (self._memory.wait_until_ms - clock.now_ms()) / 1000
                self._tell(str(error), f"not submitted, trying again in {wait_s:.0f} s or later: {error}")
                return
            self._memory = self._memory.accepted(job_id, clock.now_ms())
            say(f"submitted batch job {job_id} ({self._name})")

    def _cancel(self, job_ids: Sequence[str]) -> None:
        try:
            batch.cancel_queued(job_ids)
        except BatchError as error:
            say(f"not cancelled: {error}")

    def _leave(self, why: str) -> None:
        """Leave nothing in the queue that nobody looks after."""
        queued: list[Allocation] = []
        with contextlib.suppress(BatchError):
            queued = [each for each in batch.allocations(self._name) if each.queued]
        say(f"stopping ({why}): {plural(len(queued), 'queued batch job')} to cancel; those that run go on")
        self._cancel([each.id for each in queued])

    def _environment(self) -> dict[str, str]:
        """What the script finds: the run, and this installation unless the user named another."""
        environment = {"RUN_DIR": os.path.abspath(self.run_dir)}  # noqa: PTH100 links are kept: they may be what nodes share
        if "VENV" not in os.environ and sys.prefix != sys.base_prefix:
            environment["VENV"] = sys.prefix
        return environment

    def _tell(self, what: str, line: str = "") -> None:
        """Say a line, unless the last one was about the same."""
        if what != self._told:
            self._told = what
            say(line or what)


def _actions(decision: Decision) -> Iterator[Any]:
    if decision.submit:
        yield f"submitting {decision.submit}"
    if decision.cancel:
        yield f"cancelling {', '.join(decision.cancel)}"
