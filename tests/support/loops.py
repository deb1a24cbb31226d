"""A coordinator's loop over a real run directory, with the test as its only worker.

This module must not know what a worker says, nor check anything: that is for the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.messages import FromCoordinator, FromWorker
from parry_mpi.core.policy import Settings
from parry_mpi.core.state import State
from parry_mpi.runtime.coordinator_loop import CoordinatorLoop, Watchers
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import Task
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.wire import codec
from support.commands import wait_until
from support.disk import QUEENS


class Setup:
    """A loop that has begun.

    Args:
        path: of the run directory.
        task: what is searched.
        hub: what the loop has for a transport instead of one end of a pair.
        gate, page: of Watchers.
        settings: of the coordinator, those that are not as usual.

    Attributes:
        end: the worker's end of the pair.
        warnings: what the user was told.
    """

    def __init__(self, path: Path, task: Task, *, hub: Any = None, gate: Any = None, page: Any = None, **settings: Any) -> None:
        self.path = path
        self.hub, self.end = inprocess.pair()
        self.directory = RunDirectory.open(path, QUEENS)
        self.warnings: list[str] = []
        self.stop = StopSignals().__enter__()
        coordinator = Coordinator(State(), Settings("f", **settings))
        self.directory.initialize(coordinator.state.take_changes(), task.values.encode(0))
        watchers = Watchers(lambda view: None, self.warnings.append, gate, page)
        self.loop = CoordinatorLoop(coordinator, task, 0, hub or self.hub, self.directory, self.stop, watchers)
        self.loop.begin()

    def say(self, *messages: FromWorker) -> list[FromCoordinator]:
        """Say this in one frame; return what is answered."""
        self.end.send(COORDINATOR, codec.encode(messages))
        self.loop.turn()
        return self.heard()

    def heard(self) -> list[FromCoordinator]:
        return [message for _, frame in self.end.receive() for message in codec.decode_from_coordinator(frame)]

    def turn_until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: (self.loop.turn(), condition())[1], what)

    def close(self) -> None:
        self.stop.__exit__(None, None, None)
        self.loop.close()
        self.directory.close()
