"""Runs that workers from outside join, as the commands start them, and such workers.

This module must not know what a test expects.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support.chaos import World
from support.commands import Started, parry_mpi, started, wait_until

SOON = ("--heartbeat-timeout", "2")
"""Whoever is silent so long is lost, for runs whose workers die. On a busy machine that may befall a living one too."""


@contextlib.contextmanager
def open_run(world: World, folder: Path, *words: str) -> Iterator[Started]:
    """Start a run in folder/here that workers can join; return once they can."""
    with world.started(folder, "run", *words, "--run-dir", "here", "--json", "--bridge", "127.0.0.1:0") as command:
        wait_until(lambda: (folder / "here" / "access.json").exists() or not command.running, "workers could join", 60)
        assert command.running, command.stderr
        yield command


@contextlib.contextmanager
def workers(folder: Path, processes: int = 1, *options: str) -> Iterator[Started]:
    """Start workers in another folder, folder/elsewhere, which find the run by its own."""
    (folder / "elsewhere").mkdir(exist_ok=True)
    command = parry_mpi("worker", "--run-dir", folder / "here", "--processes", str(processes), "--wait", "60s", *options)
    with started(command, folder=folder / "elsewhere") as begun:
        yield begun
