"""A worker's loop: receive, give orders to the explorer, send what it did, wait. It decides nothing.

The user's code runs in the explorer; while it does, this loop keeps sending heartbeats.
"""

from __future__ import annotations

import os
import uuid

from parry_mpi.core.messages import Hello, Stop, awaited, goes_on
from parry_mpi.core.policy import HEARTBEAT_US_A_WORKER, pace_ms
from parry_mpi.core.worker import Actions, HandedOver, Phase, Worker
from parry_mpi.runtime import clock
from parry_mpi.runtime.explorers import Explorer
from parry_mpi.runtime.waits import WATCH_MS, rest
from parry_mpi.transport.base import COORDINATOR, Transport
from parry_mpi.wire import codec

HEARTBEAT_MS = 1_000
"""How often a supervisor shows a sign of life, if there are not very many workers."""

SENDING_MS = 1
"""How long to rest while an order is too long to be posted in one piece."""


class WorkerLoop:
    """Run a worker until it leaves.

    Args:
        fingerprint: of the problem and its parameters.
        host: name of this machine.
        transport: to the coordinator. The more workers were started along with this one, the less often each of them speaks.
        explorer: who runs the user's code.
        beating: whether to promise heartbeats; not if the user's code may keep this loop from turning.
    """

    def __init__(self, fingerprint: str, host: str, transport: Transport, explorer: Explorer, *, beating: bool) -> None:
        workers_count = transport.size - 1
        heartbeat_ms = pace_ms(HEARTBEAT_MS, workers_count, HEARTBEAT_US_A_WORKER) if beating else 0
        hello = Hello(fingerprint, host, os.getpid(), uuid.uuid4().hex, heartbeat_ms)
        self.worker = Worker(hello, clock.now_ms(), workers_count)
        self._transport = transport
        self._explorer = explorer
        self._perform(self.worker.start())

    @property
    def left(self) -> bool:
        """Whether this worker has nothing more to do, and has said so."""
        return self.worker.phase is Phase.LEFT

    @property
    def restless(self) -> bool:
        """Whether the next turn explores, so that it should come without a pause."""
        return self._explorer.wants_turn

    def turn(self) -> bool:
        """Do what there is to do now, without waiting; explore a slice if the explorer lives in this process.

        Returns:
            Whether anything happened that somebody waits for.
        """
        active = False
        for _, frame in self._transport.receive():
            for message in codec.decode_from_coordinator(frame):
                active = active or awaited(message)
                self._perform(self.worker.receive(message, clock.now_ms()))
        for event in self._explorer.turn():
            routine = isinstance(event, HandedOver) and goes_on(event.value, event.remaining, event.shared)
            active = active or not routine or self.worker.careful
            self._perform(self.worker.explored(event, clock.now_ms()))
        if self._explorer.able:
            self._perform(self.worker.tick(clock.now_ms()))
        self._transport.progress()
        return active

    def rest(self, backoff: clock.Backoff) -> None:
        """Wait until there is something to do, or to look at."""
        until_ms = clock.now_ms() + (SENDING_MS if self._explorer.sending else WATCH_MS)
        due_at_ms = self.worker.wake_at_ms()
        rest(self._transport, self._explorer.filenos(), backoff, until_ms if due_at_ms is None else min(until_ms, due_at_ms))

    def wait(self, pause_s: float) -> None:
        """Give the processor away for so long, or until the explorer has something to tell, or the coordinator."""
        clock.wait_readable([*self._explorer.filenos(), *self._transport.filenos()], pause_s)

    def reconnected(self) -> None:
        """Say again what may have got lost with the last connection."""
        self._perform(self.worker.reconnected(clock.now_ms()))

    def leave(self) -> None:
        """Hand back what remains and say goodbye, as if the coordinator had asked for it."""
        self._perform(self.worker.receive(Stop(), clock.now_ms()))

    def _perform(self, actions: Actions) -> None:
        for order in actions.orders:
            self._explorer.order(order)
        if actions.sends:
            self._transport.send(COORDINATOR, codec.encode(actions.sends))
