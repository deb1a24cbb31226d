"""The two kinds of explorer that a worker can have: in its own process, or in one that may crash without harm.

This module must not know the coordinator.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.worker import Abandon, Ask, Begin, Died, FromExplorer, Go, HandedOver, Improve, Raised, ToExplorer
from parry_mpi.problem import Explore
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.channel import Channel
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.runtime.nursery import Ended, NurseryClient
from parry_mpi.task import Task

ANSWER_MS_MAX = 3_000
"""How long a nursery may take to fork or to end an explorer before this worker falls silent. It takes milliseconds; and a short
silence does no harm."""

RESPAWN_MS = 1_000
"""When the machine could not fork (no memory, too many processes), how long to wait before trying again."""


INLINE_SLICE_MS = 4.0
"""How long a slice lasts at most where the worker's own messages wait for its end."""


class Explorer(Protocol):
    """What a worker's loop needs."""

    def order(self, order: ToExplorer) -> None:
        """Give an order; never waits for it to be carried out."""

    def turn(self) -> list[FromExplorer]:
        """Do a little, or see what was done, and tell of it; returns within a slice."""

    @property
    def wants_turn(self) -> bool:
        """Whether turn() explores by itself and should be called without a pause."""

    @property
    def sending(self) -> bool:
        """Whether part of an order is still to be sent to it, which turn() does."""

    @property
    def able(self) -> bool:
        """Whether it can explore; a worker whose explorer cannot shows no sign of life."""

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

    able = True
    sending = False

    def __init__(self, task: Task, kernel: Explore | None) -> None:
        self._exploring = Exploring(task, kernel, INLINE_SLICE_MS)

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


class Child:
    """An explorer process, from the request for it until the nursery says that it is gone.

    Attributes:
        channel: to it; what is said before it is born waits there.
        pid: None until it is born.
        status: how it ended; None until then.
        condemned: it is to be killed, or was.
    """

    def __init__(self, nursery: NurseryClient) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel: Channel[FromExplorer] = Channel(ours, HandedOver | Raised | Died)
        self.pid: int | None = None
        self.status: int | None = None
        self.condemned = False
        self._nursery = nursery

    def request(self) -> None:
        """Ask the nursery for it."""
        self._nursery.spawn(self._theirs)

    def born(self, pid: int) -> None:
        """It is there."""
        self.pid = pid
        self._theirs.close()
        if self.condemned:
            self._nursery.kill(pid)

    def condemn(self) -> None:
        """Have it killed, as soon as it is there."""
        if not self.condemned and self.pid is not None and self.status is None:
            self._nursery.kill(self.pid)
        self.condemned = True

    def close(self) -> None:
        """Let go of the connection."""
        self.channel.close()
        self._theirs.close()


class ProcessExplorer:
    """Have the exploring done by a child of the nursery; replace it when it dies. Nothing here waits for it, or for the nursery.

    Args:
        nursery: where explorers come from. It is waited for once, here: it loads the problem and compiles its kernel first.
    """

    wants_turn = False

    def __init__(self, nursery: NurseryClient) -> None:
        self._nursery = nursery
        self._lease: LeaseId | None = None
        self._unborn: deque[Child] = deque()
        self._owed_since_ms: int | None = None
        self._ask_again_at_ms: int | None = None
        self._child = Child(nursery)
        self._request()
        self._hear(None)

    def order(self, order: ToExplorer) -> None:
        if isinstance(order, Abandon):
            if order.lease == self._lease:
                # It may be deep in the user's code, where no word reaches it: only a signal does.
                self._replace()
            return
        if isinstance(order, Begin):
            self._lease = order.lease
        self._child.channel.post(order)

    def turn(self) -> list[FromExplorer]:
        self._hear(0.0)
        if self._ask_again_at_ms is not None and clock.now_ms() >= self._ask_again_at_ms:
            self._request()
        child = self._child
        child.channel.flush()
        events = child.channel.receive()
        for event in events:
            if not isinstance(event, HandedOver) or not event.remaining:
                self._lease = None
        if any(isinstance(event, Died) for event in events):
            self._replace()
        elif child.status is not None:
            if self._lease is not None:
                events.append(Died(self._lease, processes.describe_exit(child.status)))
            self._replace()
        elif child.channel.closed and not child.condemned:
            # It may have closed its socket without ending: user code can do that. And it may have died without closing it: a
            # process that it started has a copy. So what counts is what the nursery says.
            child.condemn()
            self._owe()
        return events

    @property
    def sending(self) -> bool:
        return self._child.channel.sending

    @property
    def able(self) -> bool:
        return self._owed_since_ms is None or clock.now_ms() < self._owed_since_ms + ANSWER_MS_MAX

    def filenos(self) -> Iterable[int]:
        # A closed channel is readable for ever: there is nothing more to wait for on it.
        return (self._nursery.fileno(),) if self._child.channel.closed else (self._nursery.fileno(), self._child.channel.fileno())

    def close(self) -> None:
        self._child.close()
        self._nursery.close()

    def _request(self) -> None:
        self._ask_again_at_ms = None
        self._owe()
        self._unborn.append(self._child)
        self._child.request()

    def _replace(self) -> None:
        self._lease = None
        self._child.condemn()
        self._child.channel.close()
        if self._child.pid is None and self._child not in self._unborn:
            self._child.close()
        self._child = Child(self._nursery)
        self._request()

    def _hear(self, timeout_s: float | None) -> None:
        """Take in what the nursery says."""
        answers = self._nursery.answers(timeout_s)
        for answer in answers:
            if isinstance(answer, Ended):
                if answer.pid == self._child.pid:
                    self._child.status = answer.status
                continue
            child = self._unborn.popleft()
            if answer.pid:
                child.born(answer.pid)
            elif child is self._child:
                self._ask_again_at_ms = clock.now_ms() + RESPAWN_MS
            else:
                child.close()
        if answers:
            self._owed_since_ms = None
            if self._unborn or self._child.condemned:
                self._owe()

    def _owe(self) -> None:
        """Note that the nursery owes us an answer."""
        if self._owed_since_ms is None:
            self._owed_since_ms = clock.now_ms()


def explore_in_child(task: Task, kernel: Explore | None, end: socket.socket) -> None:
    """What an explorer process does: carry out orders until the supervisor closes the connection."""
    channel: Channel[ToExplorer] = Channel(end, Begin | Ask | Go | Improve | Abandon)
    exploring = Exploring(task, kernel)
    while not channel.closed:
        if not exploring.busy:
            select.select([channel], [], [])
        for order in channel.receive():
            exploring.order(order)
        told = exploring.turn()
        if told is not None:
            channel.send(told)
        if isinstance(told, Died):  # of its own accord: what is left of it is not to be trusted with anything more
            return
