"""Who is who among the processes of a running run, and ways to hurt them.

This module must not decide what a run has to make of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import commands

RANK_VARIABLES = (b"PMI_RANK=", b"PMIX_RANK=")


@dataclass(frozen=True)
class Member:
    """A process of a run.

    Args:
        pid: its process id.
        role: "coordinator" (rank 0, or the only process), "worker" (supervisor of a rank), "guardian", "nursery", "explorer",
            "launcher" (mpiexec and its helpers) or "other" (what an explorer started).
        rank: which rank it belongs to; None without MPI.
    """

    pid: int
    role: str
    rank: int | None

    def kill(self) -> None:
        """Kill it, whether it is still there or not."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def members(launcher: int) -> list[Member]:
    """Everybody below a command that was started, the command itself first."""
    found = [launcher, *commands.descendants(launcher)]
    return [Member(pid, _role(pid), _rank(pid)) for pid in found if commands.alive(pid)]


def of_role(launcher: int, role: str) -> list[Member]:
    """Those below a command that have this role, in the order of their ranks."""
    return sorted((each for each in members(launcher) if each.role == role), key=lambda each: (each.rank or 0, each.pid))


def kill_all(started: commands.Started) -> None:
    """Kill the whole tree of a command, the launcher first, as a power failure would: nobody gets to say anything."""
    everybody = members(started.pid)
    for each in everybody:  # stopped first: nobody may start others, or end in good order, while we go through them
        each.send(signal.SIGSTOP)
    for each in [*everybody, *members(started.pid)]:
        each.kill()
    started.process.wait()


@contextlib.contextmanager
def stopped(member: Member) -> Iterator[None]:
    """Have a process not do anything for a while."""
    member.send(signal.SIGSTOP)
    try:
        yield
    finally:
        member.send(signal.SIGCONT)


def nodes_on_disk(run_dir: Path) -> int:
    """How many nodes the last commit of a run counted; 0 before the first one."""
    from parry_mpi.store.readers import read_result  # noqa: PLC0415

    if not (run_dir / "state.sqlite").exists():
        return 0
    return int(read_result(run_dir).nodes)


def _role(pid: int) -> str:
    name = _read(f"/proc/{pid}/comm").strip().decode(errors="replace")
    if name.startswith("parry-") and name != "parry-mpi":
        return name.removeprefix("parry-")
    return "coordinator" if b"parry-mpi\0run\0" in _read(f"/proc/{pid}/cmdline") and _is_python(pid) else "other"


def _is_python(pid: int) -> bool:
    return b"python" in _read(f"/proc/{pid}/cmdline").split(b"\0")[0]


def _rank(pid: int) -> int | None:
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        for variable in RANK_VARIABLES:
            if entry.startswith(variable):
                return int(entry.removeprefix(variable))
    return None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
