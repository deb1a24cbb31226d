"""The two kinds of explorer that a worker can have: in its own process, or in one that may crash without harm.

This module must not know the coordinator.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from typing import Protocol

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.worker import Abandon, Ask, Begin, Died, FromExplorer, Go, HandedOver, Raised, ToExplorer
from parry_mpi.problem import Explore
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.channel import Channel
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.runtime.nursery import Ended, NurseryClient, Spawned
from parry_mpi.task import Task

SPAWN_PATIENCE_S = 30.0
"""How long a nursery may take to fork. It forks within milliseconds; a machine that swaps may take seconds."""

RESPAWN_PAUSE_S = 1.0
"""When the machine could not fork (no memory, too many processes), how long to wait before trying again."""


class Explorer(Protocol):
    """What a worker's loop needs."""

    def order(self, order: ToExplorer) -> None:
        """Give an order; never waits for it to be carried out."""

    def turn(self) -> list[FromExplorer]:
        """Do a little, or see what was done, and tell of it; returns within a slice."""

    @property
    def wants_turn(self) -> bool:
        """Whether turn() explores by itself and should be called without a pause."""

    def filenos(self) -> Iterable[int]:
        """File descriptors on which something to be seen by turn() arrives."""

    def close(self) -> None:
        """Stop exploring; whatever is under way is lost."""


class InlineExplorer:
    """Explore in this very process, a slice at every turn.

    Args:
        task: whose problem it is.
        kernel: what the problem's kernel() returned.
    """

    def __init__(self, task: Task, kernel: Explore | None) -> None:
        self._exploring = Exploring(task, kernel)

    def order(self, order: ToExplorer) -> None:
        self._exploring.order(order)

    def turn(self) -> list[FromExplorer]:
        told = self._exploring.turn()
        return [] if told is None else [told]

    @property
    def wants_turn(self) -> bool:
        return self._exploring.busy

    def filenos(self) -> Iterable[int]:
        return ()

    def close(self) -> None:
        """Nothing goes on between turns: there is nothing to stop."""


class ProcessExplorer:
    """Have the exploring done by a child of the nursery; replace it when it dies.

    Args:
        nursery: where explorers come from.
    """

    wants_turn = False

    def __init__(self, nursery: NurseryClient) -> None:
        self._nursery = nursery
        self._lease: LeaseId | None = None
        self._ended: dict[int, int] = {}
        self._spawn()

    def order(self, order: ToExplorer) -> None:
        if isinstance(order, Abandon):
            if order.lease == self._lease:
                # It may be deep in the user's code, where no word reaches it: only a signal does.
                self._lease = None
                self._replace()
            return
        if isinstance(order, Begin):
            self._lease = order.lease
        self._channel.send(order)

    def turn(self) -> list[FromExplorer]:
        events: list[FromExplorer] = list(self._channel.receive())
        for event in events:
            if isinstance(event, Raised) or (isinstance(event, HandedOver) and not event.remaining):
                self._lease = None
        if self._channel.closed:
            # It may have closed its socket without ending: user code can do that. A dead one takes no notice of the signal.
            self._nursery.kill(self._pid)
            reason = self._bury()
            if self._lease is not None:
                events.append(Died(self._lease, reason))
                self._lease = None
            self._spawn()
        return events

    def filenos(self) -> Iterable[int]:
        return (self._channel.fileno(),)

    def close(self) -> None:
        self._channel.close()
        self._nursery.close()

    def _spawn(self) -> None:
        while True:
            self._channel: Channel[HandedOver | Raised] = Channel(self._nursery.spawn(), HandedOver | Raised)
            spawned = self._await_spawned()
            self._pid = spawned.pid
            if spawned.pid:
                return
            self._channel.close()
            clock.sleep(RESPAWN_PAUSE_S)

    def _await_spawned(self) -> Spawned:
        while True:
            for answer in self._nursery.answers(SPAWN_PATIENCE_S):
                if isinstance(answer, Spawned):
                    return answer
                self._ended[answer.pid] = answer.status

    def _replace(self) -> None:
        self._nursery.kill(self._pid)
        self._channel.close()
        self._bury()
        self._spawn()

    def _bury(self) -> str:
        """Wait for the word that the explorer is gone, and say how it went."""
        self._channel.close()
        while self._pid not in self._ended:
            for answer in self._nursery.answers(SPAWN_PATIENCE_S):
                if isinstance(answer, Ended):
                    self._ended[answer.pid] = answer.status
        return processes.describe_exit(self._ended.pop(self._pid))


def explore_in_child(task: Task, kernel: Explore | None, end: socket.socket) -> None:
    """What an explorer process does: carry out orders until the supervisor closes the connection."""
    channel: Channel[ToExplorer] = Channel(end, Begin | Ask | Go | Abandon)
    exploring = Exploring(task, kernel)
    while not channel.closed:
        if not exploring.busy:
            select.select([channel], [], [])
        for order in channel.receive():
            exploring.order(order)
        told = exploring.turn()
        if told is not None:
            channel.send(told)
