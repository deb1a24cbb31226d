"""Find the terminal on which somebody watches: our own, or that of the MPI launcher that reads our stderr through a pipe.

This module must not write to it, nor read from it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

LAUNCHERS = ("mpiexec", "mpirun", "hydra_pmi_proxy", "orterun", "prterun", "prted", "orted", "srun")
"""How the programs between rank 0 and the user's shell are called; mpiexec.hydra and the like begin the same."""

ANCESTORS_MAX = 8
"""How far up the launcher is looked for; two are usual, a proxy and mpiexec."""


class Process(NamedTuple):
    """What is known of a process, from proc(5)."""

    pid: int
    name: str
    parent: int
    group: int
    terminal_group: int


def find_terminal() -> TextIO | None:
    """Return the terminal to draw on, None if nobody watches or another program is in its foreground. Never raises."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            return sys.stderr if _in_foreground(_process(os.getpid())) else None
        launcher = _launcher()
        if launcher is not None and _in_foreground(launcher):
            return _stderr_of(launcher)
    return None


def on_terminal() -> bool:
    """Whether somebody can be asked: stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def takes_more(stream: TextIO) -> bool:
    """Whether writing to it would not block: a terminal that was stopped with Ctrl-S must not stop the run."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))
    except (OSError, ValueError):
        return False


def _launcher() -> Process | None:
    """The program that the user started: the topmost launcher above us."""
    found = None
    for process in _ancestors():
        if not process.name.startswith(LAUNCHERS):
            break
        found = process
    return found


def _ancestors() -> Iterator[Process]:
    process = _process(os.getpid())
    for _ in range(ANCESTORS_MAX):
        if process is None or process.parent <= 1:
            return
        process = _process(process.parent)
        if process is not None:
            yield process


def _process(pid: int) -> Process | None:
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
        fields = tail.split()
        return Process(pid, head.partition("(")[2], int(fields[1]), int(fields[2]), int(fields[5]))
    except (OSError, ValueError, IndexError):
        return None


def _in_foreground(process: Process | None) -> bool:
    """Whether what a process writes to its terminal is what the user looks at, and not a job in the background."""
    return process is not None and process.group == process.terminal_group


def _stderr_of(process: Process) -> TextIO | None:
    path = Path(f"/proc/{process.pid}/fd/2")
    if not str(path.readlink()).startswith(("/dev/pts/", "/dev/tty")):
        return None
    descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
    if stream.isatty():
        return stream
    stream.close()
    return None
