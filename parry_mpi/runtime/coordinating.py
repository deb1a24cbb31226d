"""The role of rank 0, or of a process alone: coordinate a run from its beginning to its end, or send everybody home.

This module must not read the command line nor print.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Failure
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import Hello, Refused, Stop, Unable
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Restarted
from parry_mpi.core.state import State
from parry_mpi.core.view import View
from parry_mpi.problem import Optimisation, overrides
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.coordinator_loop import CoordinatorLoop, Watchers
from parry_mpi.runtime.deadline import deadline
from parry_mpi.runtime.options import Options
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.runtime.waits import DEPARTING_S, GUESTS_S, STARTING_S, flush, rest
from parry_mpi.runtime.worker_loop import HEARTBEAT_MS
from parry_mpi.runtime.working import Embedded, embed
from parry_mpi.store.readers import last_published
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import Task, call
from parry_mpi.transport.base import Transport
from parry_mpi.wire import codec


class Outcome(msgspec.Struct, frozen=True):
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
        hub, embedded = (transport, None) if transport is not None else embed(task, directory.identity.fingerprint(), options)
        coordinator, result = _take_up(task, directory, options)
        ends = deadline(options.stop_after_s, options.grace_s, last_published(directory.path))
        loop = CoordinatorLoop(coordinator, task, result, hub, directory, stop, watchers, ends)
        try:
            loop.begin()
            _turn_until_ended(loop, hub, embedded)
            orderly = embedded is not None or _dismiss(loop, hub)
            loop.stopped()
        finally:
            loop.close()
            if embedded is not None:
                embedded.close()
        directory.publish(loop.told())
        _log_end(directory, coordinator)
    volatile = coordinator.volatile
    done = coordinator.state.done
    return Outcome(
        result=loop.result,
        complete=coordinator.state.complete,
        stopped="" if done else volatile.stop_reason,
        failure=volatile.failure,
        view=loop.view(),
        seconds=(clock.now_ms() - began_at_ms) / 1000,
        orderly=orderly,
    )


def _log_end(directory: RunDirectory, coordinator: Coordinator) -> None:
    state = coordinator.state
    if state.complete:
        directory.log("finished", nodes=state.counters.nodes)
    elif state.done:
        directory.log("incomplete", nodes=state.counters.nodes, quarantined=len(state.quarantined))
    else:
        directory.log("stopped", why=coordinator.volatile.stop_reason, nodes=state.counters.nodes)


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
    flush(transport)
    return not waiting


def settings_of(task: Task, fingerprint: str, options: Options) -> Settings:
    """Say what the coordinator has to know about the problem and the user's choices."""
    problem_class = type(task.problem)
    return Settings(
        fingerprint=fingerprint,
        splittable=any(overrides(problem_class, name) for name in ("children", "explore", "kernel")),
        max_kills=options.max_kills,
        quarantine_errors=options.on_error == "quarantine",
        heartbeat_timeout_ms=max(HEARTBEAT_MS, int(options.heartbeat_timeout_s * 1000)),
        patience_ms=int(options.patience_s * 1000),
        grace_ms=int(options.grace_s * 1000),
        sense=task.problem.sense if isinstance(task.problem, Optimisation) else None,
        gap=task.problem.gap if isinstance(task.problem, Optimisation) else 0,
    )


def _take_up(task: Task, directory: RunDirectory, options: Options) -> tuple[Coordinator, Any]:
    """Go on from what the directory holds, or begin. What is done here is on disk before anybody is told anything."""
    settings = settings_of(task, directory.identity.fingerprint(), options)
    rewrite = task.rewrite_killed if overrides(type(task.problem), "kill") else None
    if directory.snapshot is None:
        coordinator = Coordinator(State(options.order), settings, rewrite)
        result = call(task.problem.zero)
        directory.initialize(coordinator.state.take_changes(), task.values.encode(result))
        directory.log("began", host=processes.host_name())
        return coordinator, result
    state = State.from_snapshot(directory.snapshot, options.order)
    directory.forget_snapshot()
    result = task.values.decode(directory.result)
    state.apply(Restarted())
    directory.commit(state.take_changes(), directory.result)
    directory.log("restarted", host=processes.host_name(), restarts=state.counters.restarts)
    return Coordinator(state, settings, rewrite), result


def _turn_until_ended(loop: CoordinatorLoop, hub: Transport, embedded: Embedded | None) -> None:
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
            rest(hub, (), backoff, loop.due_at_ms())


def _dismiss(loop: CoordinatorLoop, transport: Transport) -> bool:
    """Wait until everybody has said goodbye; say whether all ranks have.

    Without MPI's own failure detection nothing else tells a rank that left from one that died. Workers from outside are waited for
    as well, but not long: those that miss the end see it when they come back.
    """
    everybody = {Peer(rank) for rank in range(1, transport.size)}
    ended_at_ms = clock.now_ms()
    backoff = clock.Backoff()
    while loop.guests() and clock.now_ms() < ended_at_ms + GUESTS_S * 1000 and not loop.impatient:
        if loop.turn():
            backoff.active()
        else:
            clock.sleep(backoff.pause_s())
    while not everybody <= loop.reception.departed:
        if everybody <= loop.reception.departed | loop.reception.lost:
            return False  # whoever is left is dead
        patience_s = DEPARTING_S if everybody <= loop.reception.seen else STARTING_S
        if clock.now_ms() >= ended_at_ms + patience_s * 1000 or transport.failed_peers() & everybody or loop.impatient:
            return False
        if loop.turn():
            backoff.active()
        else:
            clock.sleep(backoff.pause_s())
    flush(transport)
    return True
