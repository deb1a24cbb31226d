"""Problems whose explorers wait at a gate in the midst of their work: whoever is killed there certainly holds a lease.

This module must not know any problem, nor what a run makes of the kill.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from support import commands
from support.commands import ROOT, Started, wait_until

GATED = '''
"""{name} of {source}, with a gate."""
import importlib.util, os, sys, time
from pathlib import Path

spec = importlib.util.spec_from_file_location("ungated", {source!r})
sys.modules[spec.name] = ungated = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ungated)
Ungated = ungated.{name}
FOLDER = Path({folder!r})
nodes = 0

def gate():
    explorer = Path("/proc/self/comm").read_text() == "parry-explorer\\n"  # a scout explores too, but holds no lease
    if explorer and not (FOLDER / "open").exists():
        (FOLDER / "waiting" / str(os.getpid())).touch()
        while not (FOLDER / "open").exists():
            time.sleep(0.01)

def gated(name):
    def method(self, node):
        global nodes
        nodes += 1
        if nodes >= {nodes}:
            gate()
        return getattr(Ungated, name)(self, node)
    return method

def kernel(self):
    ungated = Ungated.kernel(self)
    def explore(*arguments):
        done = ungated(*arguments)
        gate()  # what was found is lost with whoever is killed here
        return done
    return ungated and explore

names = ("value", "witness", "objective", "solutions")
own = {{name for each in Ungated.__mro__ if not each.__module__.startswith("parry_mpi.") for name in vars(each)}}
methods = {{name: gated(name) for name in names if name in own}}
Gated = type(Ungated)("Gated", (Ungated,), {{"__module__": __name__, "kernel": kernel, **methods}})
'''
"""Makes the problem Gated of another one. Where there is a kernel the gate is behind its first call, else before some node."""

NODE = 3
"""Before which node of its own an explorer waits, if there is no kernel: what it explored before is lost with it."""


class Gate:
    """A gate for all explorers of a run.

    Args:
        folder: an empty one, for the problem's file and the gate's own.
        problem: FILE.py:Class.

    Attributes:
        problem: what to run instead of it.
    """

    def __init__(self, folder: Path, problem: str | Path) -> None:
        source, _, name = str(problem).partition(":")
        self._folder = folder
        (folder / "waiting").mkdir()
        (folder / "gated.py").write_text(GATED.format(source=str(ROOT / source), name=name, folder=str(folder), nodes=NODE))
        self.problem = "gated.py:Gated"

    def waiting(self) -> list[int]:
        """The explorers that wait at it."""
        return [pid for pid in (int(path.name) for path in (self._folder / "waiting").iterdir()) if commands.alive(pid)]

    def wait_for(self, count: int, *runs: Started) -> list[int]:
        """Wait until so many explorers wait, and return them."""

        def there() -> bool:
            return len(self.waiting()) >= count or not all(run.running for run in runs)

        wait_until(there, f"{count} explorers were at the gate; those there are: {self.waiting()}", 90)
        for run in runs:
            assert run.running, run.wait()
        return self.waiting()

    def open(self) -> None:
        """Let all go on, now and later."""
        (self._folder / "open").touch()


def kill_at_gate(gate: Gate, run: Started, run_dir: Path, count: int = 1) -> None:
    """Kill so many explorers that wait at a gate, wait until their leases were taken from them, and open it."""
    for pid in gate.wait_for(count, run)[:count]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(events(run_dir, "killed")) >= count or not run.running, f"{count} leases were killed", 60)
    gate.open()


def events(run_dir: Path, name: str) -> list[dict[str, Any]]:
    """What the log of a run says of one kind."""
    try:
        lines = (run_dir / "log.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(json.loads, lines) if event["event"] == name]
