"""The roles a process can have in a run, put together from loops, explorers and a transport that is handed in.

This module must not read the command line nor print.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Failure
from parry_mpi.core.ids import Peer, WorkerId
from parry_mpi.core.messages import Goodbye, Hello, Refused, Stop, Unable
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Restarted
from parry_mpi.core.state import State
from parry_mpi.core.view import View
from parry_mpi.errors import EXIT_COMPLETE, EXIT_STOPPED, ParryError, ProblemError
from parry_mpi.problem import Explore, Slice, overrides
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.coordinator_loop import CoordinatorLoop, Watchers
from parry_mpi.runtime.deadline import deadline
from parry_mpi.runtime.explorers import Explorer, InlineExplorer, ProcessExplorer, explore_in_child
from parry_mpi.runtime.guardian import guarded, nursery_beside
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.runtime.worker_loop import HEARTBEAT_MS, WorkerLoop
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import Task, call
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR, Transport
from parry_mpi.wire import codec

STARTING_S = 60.0
"""How long the end of a run waits for ranks that were never heard of: a rank that starts on a busy file system takes its time."""

DEPARTING_S = 5.0
"""How long it waits for ranks that were heard of and do not say goodbye: they are dead, or deep in the user's code."""


@dataclass(frozen=True)
class Options:
    """What the user can choose about how a run goes; nothing here changes its answer.

    Args:
        isolation: "process": the user's code runs in a process of its own, which may crash; "none": in the worker's.
        on_error: "stop" or "quarantine": what to do when the user's code raises.
        max_kills: how many kills a job is blamed for before it is quarantined.
        heartbeat_timeout_s: a worker that is silent for so long is lost.
        patience_s: how long a lease may be silent while others starve; doubles with every kill; 0 for ever.
        grace_s: how long a stop waits for what remains.
        stop_after_s: stop after so long, or None.
    """

    isolation: str = "process"
    on_error: str = "stop"
    max_kills: int = 5
    heartbeat_timeout_s: float = 30.0
    patience_s: float = 60.0
    grace_s: float = 10.0
    stop_after_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run, or one life of it, ended.

    Args:
        result: as the problem's add_result left it.
        complete: everything is explored, nothing is quarantined.
        stopped: why it was stopped before its end, or "".
        failure: what the user's problem raised, or None.
        view: the final numbers.
        seconds: how long this life lasted.
        orderly: everybody said goodbye: the transport can be closed in an orderly way.
    """

    result: Any
    complete: bool
    stopped: str
    failure: Failure | None
    view: View
    seconds: float
    orderly: bool


def coordinate(task: Task, directory: RunDirectory, transport: Transport | None, options: Options, watchers: Watchers) -> Outcome:
    """Be the coordinator until the run is complete or stopped; without a transport, explore as well.

    Args:
        task: the problem.
        directory: opened for this problem; the state goes on from what is in it.
        transport: to the workers, or None to have one in this process.
        options: what the user chose.
        watchers: who is told how it goes.

    Raises:
        ProblemError: the user's add_result() or combine() raised in this process.
        StoreError: the state cannot be kept.
        PeerLost: the embedded worker cannot go on; the state is as committed last.
    """
    began_at_ms = clock.now_ms()
    with StopSignals() as stop:
        hub, embedded = (transport, None) if transport is not None else _embedded(task, directory, options)
        coordinator, result = _take_up(task, directory, options)
        ends = deadline(options.stop_after_s, options.grace_s)
        loop = CoordinatorLoop(coordinator, task, result, hub, directory, stop, watchers, ends)
        try:
            loop.begin()
            _turn_until_ended(loop, embedded)
            orderly = embedded is not None or _dismiss(loop, hub)
        finally:
            loop.close()
            if embedded is not None:
                embedded.close()
        directory.publish(loop.status())
    volatile = coordinator.volatile
    done = coordinator.state.done
    return Outcome(
        result=loop.result,
        complete=done and not coordinator.state.quarantined,
        stopped="" if done else volatile.stop_reason,
        failure=volatile.failure,
        view=loop.view(),
        seconds=(clock.now_ms() - began_at_ms) / 1000,
        orderly=orderly,
    )


def work(
    load: Callable[[], tuple[Task, str]], open_transport: Callable[[], Transport], options: Options
) -> tuple[Transport, int]:
    """Be a worker on a rank of its own until the coordinator lets go.

    Args:
        load: returns the problem and its fingerprint; what it raises is told to the coordinator.
        open_transport: initialises MPI; called in the process that is the rank.
        options: what the user chose.

    Returns:
        The transport, to be closed, and the exit code. With isolation, only the child that became the rank gets here.
    """
    error: ParryError | None = None
    try:
        task, fingerprint = load()
    except ParryError as raised:
        error = raised
    if error is not None:
        processes.ignore_stop_signals()
        transport = open_transport()
        _say_unable(transport, error)
        return transport, EXIT_COMPLETE  # rank 0 ends with the code that tells; a launcher may mix the codes of two ranks
    explorer: Explorer
    if options.isolation == "process":
        nursery = guarded(_prepare(task))
        transport = open_transport()
        explorer = ProcessExplorer(nursery)
    else:
        processes.ignore_stop_signals()
        transport = open_transport()
        explorer = InlineExplorer(task, _kernel(task))
    loop = WorkerLoop(fingerprint, processes.host_name(), transport, explorer, _heartbeat_ms(options))
    backoff = clock.Backoff()
    parent = os.getppid()
    while not loop.left:
        if os.getppid() != parent:
            processes.leave(EXIT_STOPPED)  # the launcher is gone, and this rank cannot tell whether the others are
        if loop.turn() or loop.restless:
            backoff.active()
        else:
            loop.wait(backoff.pause_s())
    explorer.close()
    _flush(transport)
    return transport, EXIT_COMPLETE


def decline(transport: Transport, reason: str, ranks_count: int) -> bool:
    """Tell every other rank that there is nothing to do here, as when rank 0 could not begin or the answer is known.

    Returns:
        Whether all of them heard it.
    """
    waiting = {Peer(rank) for rank in range(1, ranks_count)}
    ends_at_ms = clock.now_ms() + int(STARTING_S * 1000)
    backoff = clock.Backoff()
    while waiting and clock.now_ms() < ends_at_ms:
        frames = transport.receive()
        for peer, frame in frames:
            for message in codec.decode_from_worker(frame):
                if isinstance(message, Hello):
                    transport.send(peer, codec.encode([Refused(reason)]))
                elif isinstance(message, Unable):
                    transport.send(peer, codec.encode([Stop()]))
            waiting.discard(peer)
        transport.progress()
        if not frames:
            clock.sleep(backoff.pause_s())
    _flush(transport)
    return not waiting


def settings_of(task: Task, fingerprint: str, options: Options) -> Settings:
    """Say what the coordinator has to know about the problem and the user's choices."""
    problem_class = type(task.problem)
    return Settings(
        fingerprint=fingerprint,
        splittable=overrides(problem_class, "children") or overrides(problem_class, "explore"),
        max_kills=options.max_kills,
        quarantine_errors=options.on_error == "quarantine",
        heartbeats_missed_max=max(1, round(options.heartbeat_timeout_s * 1000 / HEARTBEAT_MS)),
        patience_ms=int(options.patience_s * 1000),
        grace_ms=int(options.grace_s * 1000),
    )


def _take_up(task: Task, directory: RunDirectory, options: Options) -> tuple[Coordinator, Any]:
    """Go on from what the directory holds, or begin. What is done here is on disk before anybody is told anything."""
    settings = settings_of(task, directory.identity.fingerprint(), options)
    rewrite = task.rewrite_killed if overrides(type(task.problem), "kill") else None
    if directory.snapshot is None:
        coordinator = Coordinator(State(), settings, rewrite)
        result = call(task.problem.zero)
        directory.initialize(coordinator.state.take_changes(), task.values.encode(result))
        directory.log("began", host=processes.host_name())
        return coordinator, result
    state = State.from_snapshot(directory.snapshot)
    directory.forget_snapshot()
    result = task.values.decode(directory.result)
    state.apply(Restarted())
    directory.commit(state.take_changes(), directory.result)
    directory.log("restarted", host=processes.host_name(), restarts=state.counters.restarts)
    return Coordinator(state, settings, rewrite), result


class Embedded:
    """A worker in the coordinator's own process; its loop is turned along with the coordinator's."""

    def __init__(self, loop: WorkerLoop, explorer: Explorer) -> None:
        self.loop = loop
        self._explorer = explorer

    def close(self) -> None:
        """End its explorer."""
        self._explorer.close()


def _embedded(task: Task, directory: RunDirectory, options: Options) -> tuple[Transport, Embedded]:
    hub, end = inprocess.pair()
    explorer: Explorer
    if options.isolation == "process":
        explorer = ProcessExplorer(nursery_beside(_prepare(task)))
    else:
        explorer = InlineExplorer(task, _kernel(task))
    fingerprint = directory.identity.fingerprint()
    return hub, Embedded(WorkerLoop(fingerprint, processes.host_name(), end, explorer, 0), explorer)


def _turn_until_ended(loop: CoordinatorLoop, embedded: Embedded | None) -> None:
    backoff = clock.Backoff()
    while not loop.ended:
        active = loop.turn()
        if embedded is not None and not embedded.loop.left:
            active = embedded.loop.turn() or embedded.loop.restless or active
        if active:
            backoff.active()
        elif embedded is not None:
            embedded.loop.wait(backoff.pause_s())
        else:
            clock.sleep(backoff.pause_s())


def _dismiss(loop: CoordinatorLoop, transport: Transport) -> bool:
    """Wait until everybody has said goodbye; say whether they have.

    Without MPI's own failure detection nothing else tells a rank that left from one that died.
    """
    everybody = {Peer(rank) for rank in range(1, transport.size)}
    ended_at_ms = clock.now_ms()
    backoff = clock.Backoff()
    while not everybody <= loop.departed:
        if everybody <= loop.departed | loop.lost:
            return False  # whoever is left is dead
        patience_s = DEPARTING_S if everybody <= loop.seen else STARTING_S
        if clock.now_ms() >= ended_at_ms + patience_s * 1000 or transport.failed_peers() or loop.impatient:
            return False
        if loop.turn():
            backoff.active()
        else:
            clock.sleep(backoff.pause_s())
    _flush(transport)
    return True


def _say_unable(transport: Transport, error: ParryError) -> None:
    """Tell the coordinator why this rank cannot work, and wait to be let go."""
    details = error.details if isinstance(error, ProblemError) else ""
    transport.send(COORDINATOR, codec.encode([Unable(processes.host_name(), str(error), details)]))
    backoff = clock.Backoff()
    ends_at_ms = clock.now_ms() + int(STARTING_S * 1000)
    while clock.now_ms() < ends_at_ms:
        transport.progress()
        if transport.receive():
            break
        clock.sleep(backoff.pause_s())
    transport.send(COORDINATOR, codec.encode([Goodbye(WorkerId(0))]))
    _flush(transport)


def _flush(transport: Transport) -> None:
    """Push out what was sent, for a bounded time: the other side may be dead."""
    ends_at_ms = clock.now_ms() + int(DEPARTING_S * 1000)
    backoff = clock.Backoff()
    while transport.progress() and clock.now_ms() < ends_at_ms:
        clock.sleep(backoff.pause_s())


def _kernel(task: Task) -> Explore | None:
    return call(task.problem.kernel)


def _prepare(task: Task) -> Callable[[], Callable[[socket.socket], None]]:
    """Return what a nursery does first: make the kernel ready, so that every explorer it forks has it."""

    def prepare() -> Callable[[socket.socket], None]:
        try:
            kernel = _kernel(task)
        except ParryError as error:
            kernel = _raising(error)
        return lambda connection: explore_in_child(task, kernel, connection)

    return prepare


def _raising(error: ParryError) -> Explore:
    """Return a kernel that raises this: what kept the kernel from being made is told like any other error of the user's code."""

    def explore(_frontier: Any, _budget: int) -> Slice:
        raise error

    return explore


def _heartbeat_ms(options: Options) -> int:
    """With the user's code in the same process, no heartbeat can be promised."""
    return HEARTBEAT_MS if options.isolation == "process" else 0
