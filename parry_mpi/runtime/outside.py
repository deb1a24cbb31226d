"""The role of a worker outside the MPI world: it comes in over the bridge, explores, survives lost connections and stopped runs.

This module must not read the command line nor print.
"""

from __future__ import annotations

import enum
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from parry_mpi.errors import EXIT_COMPLETE, EXIT_STOPPED, UsageError
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.explorers import Explorer
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.runtime.waits import flush
from parry_mpi.runtime.worker_loop import WorkerLoop
from parry_mpi.runtime.working import explorer_beside
from parry_mpi.task import Task
from parry_mpi.transport.tcp import Address, TcpTransport
from parry_mpi.wire.keys import PrivateKey

NAME_BYTES = 16
"""By its random name the coordinator knows a worker again that lost its connection."""

RESTED_S = 1.0
"""How long to stay away from a run that has just been stopped, before looking whether it goes on."""


class RunIsOver(Exception):
    """Raised by ``find``: the run is known to be finished, so that nobody will ever answer again."""


@dataclass(frozen=True)
class OutsideOptions:
    """What the user can choose about a worker.

    Args:
        isolation: as in Options.
        wait_s: how long to wait for a coordinator that cannot be reached, or for a stopped run to go on.
        stop_after_s: leave after so long, or None.
        grace_s: how long leaving may take.
    """

    isolation: str = "process"
    wait_s: float = 600.0
    stop_after_s: float | None = None
    grace_s: float = 10.0


class Left(enum.Enum):
    """Why a worker does not work on."""

    FINISHED = "the run is finished"
    STOPPED = "the run was stopped, and may go on"
    ASKED = "this worker was asked to leave"
    ALONE = "nobody answers"


class OutsideWorker:
    """One worker, from its first attempt to connect to its end.

    Args:
        fingerprint: of the problem and its parameters.
        transport: to the bridge.
        explorer: who runs the user's code.
        stop: signals that ask it to leave.
        options: what the user chose.
        tell: called with lines for the user.
    """

    def __init__(
        self,
        fingerprint: str,
        transport: TcpTransport,
        explorer: Explorer,
        stop: StopSignals,
        options: OutsideOptions,
        tell: Callable[[str], None],
    ) -> None:
        self._fingerprint = fingerprint
        self._transport = transport
        self._explorer = explorer
        self._stop = stop
        self._options = options
        self._tell = tell
        self._began_at_ms = clock.now_ms()
        self._leave_by_ms: int | None = None
        self._connections = 0
        self._reached = False

    def run(self) -> int:
        """Work until the run is finished, the user wants it to end, or nobody has answered for too long.

        Returns:
            The exit code.

        Raises:
            AuthenticationError: one side does not accept the other's key.
            UsageError: the coordinator explores something else.
        """
        while True:
            left = self._work()
            if left in {Left.FINISHED, Left.ASKED}:
                return EXIT_COMPLETE
            if left is Left.ALONE:
                self._tell(f"giving up: {self._transport.last_trouble or 'nobody answers'}")
                return EXIT_STOPPED
            self._rest()

    def _work(self) -> Left:
        """Take part once, from a Hello to a Goodbye."""
        beating = self._options.isolation == "process"
        loop = WorkerLoop(self._fingerprint, processes.host_name(), self._transport, self._explorer, beating=beating)
        backoff = clock.Backoff()
        while not loop.left:
            active = loop.turn()
            self._look_at_connection(loop)
            if self._wants_to_leave(loop):
                break
            if self._leave_by_ms is None and self._away_ms() > self._options.wait_s * 1000:
                return Left.ALONE
            if active or loop.restless:
                backoff.active()
            else:
                loop.wait(backoff.pause_s())
        flush(self._transport)
        if loop.worker.refusal:
            raise UsageError(f"turned away: {loop.worker.refusal}")
        if loop.worker.finished:
            return Left.FINISHED
        return Left.ASKED if self._leave_by_ms is not None else Left.STOPPED

    def _look_at_connection(self, loop: WorkerLoop) -> None:
        if self._transport.connections_count != self._connections:
            self._tell("connected" if not self._connections else "connected again")
            self._connections, self._reached = self._transport.connections_count, True
            loop.reconnected()
        elif self._reached and not self._transport.connected:
            self._reached = False
            self._tell(f"connection lost, trying again: {self._transport.last_trouble}")

    def _wants_to_leave(self, loop: WorkerLoop) -> bool:
        """Hand back when the user wants it to end; say whether there is no time left for that."""
        now_ms = clock.now_ms()
        stop_after_s = self._options.stop_after_s
        timed_out = stop_after_s is not None and now_ms >= self._began_at_ms + stop_after_s * 1000
        if self._leave_by_ms is None and (self._stop.name or timed_out):
            self._stop.seen = True
            self._leave_by_ms = now_ms + int(self._options.grace_s * 1000)
            self._tell(f"leaving ({self._stop.name or '--stop-after'}): handing back what remains")
            loop.leave()
        return self._leave_by_ms is not None and (now_ms >= self._leave_by_ms or self._stop.impatient)

    def _away_ms(self) -> int:
        since_ms = self._transport.disconnected_since_ms
        return 0 if since_ms is None else clock.now_ms() - since_ms

    def _rest(self) -> None:
        """Wait until it makes sense to say Hello again."""
        self._tell(f"the run was stopped; waiting up to {self._options.wait_s:g} s for it to go on")
        ends_at_ms = clock.now_ms() + int(RESTED_S * 1000)
        while clock.now_ms() < ends_at_ms and not self._stop.name:
            self._transport.receive()
            self._transport.progress()
            clock.sleep(RESTED_S / 20)


def work_outside(
    load: Callable[[], tuple[Task, str]],
    find: Callable[[], Address | None],
    key: PrivateKey,
    options: OutsideOptions,
    tell: Callable[[str], None],
) -> int:
    """Be one worker outside the MPI world.

    Args:
        load: returns the problem and its fingerprint.
        find: says where the coordinator is, before every attempt to connect; None if that is not known now. May raise RunIsOver.
        key: this worker's.
        options: what the user chose.
        tell: called with lines for the user.

    Returns:
        The exit code: 0 when the run is finished or this worker was asked to leave, 75 when nobody answered for too long.

    Raises:
        AuthenticationError: one side does not accept the other's key.
        UsageError: the coordinator explores another problem, or with other parameters.
        ProblemError: the problem cannot be loaded.
    """
    task, fingerprint = load()
    with StopSignals() as stop:
        explorer = explorer_beside(task, options.isolation)
        transport = TcpTransport(find, key, os.urandom(NAME_BYTES), clock.now_ms, random.Random(os.urandom(NAME_BYTES)))  # noqa: S311 jitter
        try:
            return OutsideWorker(fingerprint, transport, explorer, stop, options, tell).run()
        except RunIsOver:
            tell("the run is finished")
            return EXIT_COMPLETE
        finally:
            explorer.close()
            transport.close(orderly=True, code=EXIT_COMPLETE)
