"""Who is who among the processes of a run, ways to hurt them, and what a run has on disk.

This module must not decide what a run has to make of it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parry_mpi.core.worker import REPORT_MS
from parry_mpi.runtime.coordinator_loop import COMMIT_MS
from parry_mpi.store.readers import read_result
from support import commands
from support.commands import Finished, Mpi, Started, parry_mpi, wait_until
from support.problem_files import traced_nodes

THOROUGH = bool(os.environ.get("CI"))
"""Whether to take the time that a change to the project deserves, rather than that of somebody who waits."""

RANK_VARIABLES = (b"PMI_RANK=", b"PMIX_RANK=")
ROLES = ("guardian", "worker", "nursery", "explorer")

SLACK_MS = 500
"""What a report and a commit may themselves take, on a busy machine, beyond the interval at which they are made."""


@dataclass(frozen=True)
class Member:
    """A process of a run.

    Args:
        pid: its process id.
        role: "coordinator" (rank 0, or the only process), "worker" (the supervisor of a rank), "guardian", "nursery", "explorer", or
            "other": a launcher, its helpers, and what an explorer started.
        rank: which rank it belongs to; 0 without MPI.
    """

    pid: int
    role: str
    rank: int

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)


def members(command: Started) -> list[Member]:
    """Everybody in the tree of a command, the command itself first."""
    found = [command.pid, *commands.descendants(command.pid)]
    return [Member(pid, _role(pid), _rank(pid)) for pid in found if commands.alive(pid)]


def of_role(command: Started, role: str) -> list[Member]:
    """Those in the tree of a command that have this role, by rank."""
    return sorted((each for each in members(command) if each.role == role), key=lambda each: (each.rank, each.pid))


def kill_everybody(command: Started) -> None:
    """End the whole tree of a command as a power failure would: nobody gets to say anything."""
    everybody = members(command)
    for each in everybody:  # nobody may start others, or notice that somebody is gone
        each.send(signal.SIGSTOP)
    for each in reversed([*everybody, *members(command)]):
        each.kill()
    command.process.wait()
    wait_until(lambda: not any(commands.alive(each.pid) for each in everybody), "all of them were gone")


@contextlib.contextmanager
def paused(member: Member) -> Iterator[None]:
    """Have a process do nothing meanwhile."""
    member.send(signal.SIGSTOP)
    try:
        yield
    finally:
        member.send(signal.SIGCONT)


def pass_time(seconds: float) -> None:
    """Let a run go on for a while, between two blows."""
    time.sleep(seconds)


def nodes_on_disk(run_dir: Path) -> int:
    """How many nodes the last commit of a run has counted; 0 before the first commit."""
    return read_result(run_dir).counters.nodes if (run_dir / "state.sqlite").exists() else 0


@dataclass(frozen=True)
class World:
    """Where a command runs: alone, or on ranks.

    Args:
        mpi: which MPI; None for one process.
        ranks: how many ranks.
    """

    mpi: Mpi | None
    ranks: int = 3

    def __str__(self) -> str:
        return f"{self.mpi.name} on {self.ranks} ranks" if self.mpi else "alone"

    @property
    def workers(self) -> int:
        return self.ranks - 1 if self.mpi else 1

    @property
    def environment(self) -> dict[str, str]:
        return self.mpi.environment if self.mpi else {}

    def command(self, *arguments: str | Path) -> tuple[str, ...]:
        return self.mpi.ranks(self.ranks, *arguments) if self.mpi else parry_mpi(*arguments)

    def run(self, folder: Path, *arguments: str | Path, deadline_s: float = 60) -> Finished:
        """Run ``parry-mpi ARGUMENTS`` to its end."""
        return commands.run(self.command(*arguments), folder=folder, environment=self.environment, deadline_s=deadline_s)

    @contextlib.contextmanager
    def started(self, folder: Path, *arguments: str | Path) -> Iterator[Started]:
        """Start ``parry-mpi ARGUMENTS``; what is left of it is killed on the way out."""
        with commands.started(self.command(*arguments), folder=folder, environment=self.environment) as command:
            yield command

    def wait_for_explorers(self, command: Started) -> list[Member]:
        """Wait until every worker has an explorer, and return them."""
        return list(
            wait_until(
                lambda: found if len(found := of_role(command, "explorer")) == self.workers else None, "everybody had an explorer"
            )
        )


@dataclass(frozen=True)
class Life:
    """One life of a run, ended by a kill of everybody.

    Args:
        seconds: how long it lasted.
        explored: how many nodes were explored in it, by all explorers.
        counted: how many of them the next life starts with.
    """

    seconds: float
    explored: int
    counted: int

    @property
    def redone(self) -> int:
        """How many nodes will be explored again."""
        return self.explored - self.counted

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s: {self.explored} nodes explored, {self.counted} on disk, {self.redone} to be done again"


def redone_max(world: World, pause_ms: float) -> int:
    """How many nodes one kill of everybody may cost when a node takes at least so long: a report and a commit interval a worker."""
    return int(world.workers * (REPORT_MS + COMMIT_MS + SLACK_MS) / pause_ms)


def live_and_die(world: World, folder: Path, words: Sequence[str], draw: random.Random) -> Life | Finished:
    """Start a command that traces into folder/trace and keeps its run in folder/here; kill everybody after a random while.

    Returns:
        The life it had; or how it ended, if it ended before that.
    """
    traced_before, counted_before = traced_nodes(folder / "trace"), nodes_on_disk(folder / "here")
    seconds = draw.uniform(0.0, 2.5)
    with world.started(folder, *words) as command:
        began_at_s = time.monotonic()
        # In the time from the first node on, not from the start of Python, which may take seconds.
        wait_until(lambda: not command.running or traced_nodes(folder / "trace") > traced_before, "a node was explored", 60)
        ends_at_s = time.monotonic() + seconds
        wait_until(lambda: not command.running or time.monotonic() > ends_at_s, "its time had come")
        if not command.running:
            return command.wait()
        kill_everybody(command)
    explored, counted = traced_nodes(folder / "trace") - traced_before, nodes_on_disk(folder / "here") - counted_before
    assert counted >= 0, f"a life began with {counted_before} nodes on disk and ended with {-counted} less"
    return Life(time.monotonic() - began_at_s, explored, counted)


def _role(pid: int) -> str:
    name = _read(f"/proc/{pid}/comm").decode(errors="replace").strip().removeprefix("parry-")
    if name in ROLES:
        return name
    words = _read(f"/proc/{pid}/cmdline").split(b"\0")
    return "coordinator" if b"python" in words[0] and b"run" in words else "other"


def _rank(pid: int) -> int:
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        for variable in RANK_VARIABLES:
            if entry.startswith(variable):
                return int(entry.removeprefix(variable))
    return 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
