"""The coordinator's loop: receive, step, fold, commit, send, show, wait. It carries out effects and decides nothing.

The order within one turn is what makes an answer right: the result is folded in the same turn as the report that
brought it is recorded, so that every commit carries both or neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.estimate import Estimate
from parry_mpi.core.events import (
    Committed,
    Effects,
    Event,
    Failure,
    Improved,
    PeerGone,
    Phase,
    ProblemRaised,
    Received,
    StopAsked,
    Tick,
)
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import FromCoordinator, FromWorker, Report, Stop, Unable, awaited
from parry_mpi.core.view import View, view
from parry_mpi.errors import CommitFailed, ProblemError, UsageError
from parry_mpi.runtime import clock, processes
from parry_mpi.runtime.collecting import Collector
from parry_mpi.runtime.committer import Commit, Committer, Done
from parry_mpi.runtime.deadline import Deadline
from parry_mpi.runtime.forecast import Forecast
from parry_mpi.runtime.meaning import Meaning
from parry_mpi.runtime.reception import Reception
from parry_mpi.runtime.roots import RootSource
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.runtime.waits import WATCH_MS
from parry_mpi.store.rows import merge
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import Task, call
from parry_mpi.transport.base import OUTSIDE, Gate, Transport
from parry_mpi.wire import codec

COMMIT_MS = 500
"""How often the state is committed: at most so much finished work is done again after a sudden end. A commit costs some
milliseconds of another thread."""

RETRY_MS = 1_000
"""How long to wait after a commit failed before trying again."""

SLOW_COMMIT_MS = 2_000
"""A commit that takes so long is worth a line in the log: a file system that is busy, or far away."""

FIRST_WORKER_MS = 600_000
"""How long to wait for the first worker: hundreds of ranks that start Python from one busy file system take minutes."""

WARNINGS = {
    "lost": "worker {worker} on {host} is lost: {why}",
    "turned away": "a worker on {host} was turned away: {why}",
    "commit failed": "WARNING: {why}; exploring goes on, trying again every second",
    "authorised keys": "WARNING: {why}",
    "bridge lost": "WARNING: {why}",
    "bridge trouble": "WARNING: the bridge has trouble: {why}",
}
"""What is told to the user beside the log: the run goes on, but not as it was meant to."""

COMMITTING_MS = 1
"""How often to look whether a commit has ended: what waits for it is the end of the run."""

SHOW_MS = 200
PUBLISH_MS = 1_000

STATUS_VERSION = 1
"""Of the status as docs/dashboard.md describes it; another one when a name gets another meaning, or goes."""

PUBLISHED_WORKERS_MAX = 1_000
"""Most workers listed in the folder's status file, which is written every second, often over a network."""


class Page(Protocol):
    """Where the run can be watched."""

    def show(self, status: dict[str, object]) -> None:
        """Show this from now on. Never waits, never raises."""

    def progress(self, now_ms: int) -> None:
        """Move on what was shown, if that was too much for one moment. Never waits, never raises."""


class Watchers(msgspec.Struct, frozen=True):
    """Who is told how the run goes, and who tells what happens at its gate.

    Args:
        show: called with a view about five times a second.
        warn: called with one line for the user.
        gate: where workers from outside come in; None if none can.
        page: who is handed the status about once a second, all of it; None if nobody is.
    """

    show: Callable[[View], None]
    warn: Callable[[str], None]
    gate: Gate | None = None
    page: Page | None = None


def failure_of(error: ProblemError | UsageError, host: str) -> Failure:
    """Describe what the user's code raised on this host."""
    if isinstance(error, ProblemError):
        return Failure(str(error), error.details, error.node, host)
    return Failure(str(error), host=host)


class CoordinatorLoop:
    """Run a coordinator until it ends.

    Args:
        coordinator: the decisions.
        task: the user's problem: folds values, gives roots.
        result: what the run found so far.
        transport: to the workers.
        directory: where the state is kept.
        stop: signals.
        watchers: who is told.
        deadline: when and why to stop; None to go on to the end. It is told how long commits and stopping take.

    Attributes:
        result: what the run found so far.
        reception: who came and who left.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        task: Task,
        result: Any,
        transport: Transport,
        directory: RunDirectory,
        stop: StopSignals,
        watchers: Watchers,
        deadline: Deadline | None = None,
    ) -> None:
        self.coordinator = coordinator
        self.result = result
        self._task = task
        self._transport = transport
        self._directory = directory
        self._stop = stop
        self._watchers = watchers
        self.reception = Reception(transport, watchers.gate, self._tell)
        self._committer = Committer(directory)
        self._collector = Collector(task.solutions, directory.collected.rows)
        self._roots = RootSource(task, coordinator.state.counters)
        self._began_at_ms = clock.now_ms()
        self._deadline = deadline or Deadline()
        self._forecast = Forecast(coordinator.state)
        self._meaning = Meaning(task.problem, draws=watchers.page is not None)
        self._enough = call(task.problem.enough)
        self._score: int | float | None = None
        self._wake_at_ms: int | None = None
        self._must_commit = False
        self._in_flight: Commit | None = None
        self._in_flight_since_ms = 0
        self._in_flight_covers_all = False
        self._failed: Commit | None = None
        self._commit_at_ms = self._began_at_ms + COMMIT_MS
        self._show_at_ms = self._publish_at_ms = self._began_at_ms
        self._impatience_told = False
        self._worked_at_ms = self._began_at_ms

    @property
    def ended(self) -> bool:
        """Whether the last commit is on disk and everybody was told."""
        return self.coordinator.phase is Phase.ENDED

    @property
    def impatient(self) -> bool:
        """Whether the user wants to wait for nothing any more."""
        return self._stop.impatient

    def begin(self) -> None:
        """Take the first step: pull the roots, if that was not done in an earlier life."""
        improved = self._improved()
        self._step(improved or Tick())

    def turn(self) -> bool:
        """Do what there is to do now, without waiting.

        Returns:
            Whether anything happened that somebody waits for.

        Raises:
            ProblemError: the user's add_result() or combine() raised; nothing was committed after it.
            StoreError: the state cannot be committed for good.
        """
        active = self._receive()
        self._look_at_signals()
        self.reception.look_at_gate()
        now_ms = clock.now_ms()
        self._look_for_workers(now_ms)
        if self._wake_at_ms is not None and now_ms >= self._wake_at_ms:
            self._step(Tick())
        done = self._committer.poll()
        if done is not None:
            active = active or self._in_flight_covers_all
            self._committed(done)
        self._commit_if_due(now_ms)
        self._show(now_ms)
        self._transport.progress()
        return active

    def due_at_ms(self) -> int:
        """When the next turn should come at the latest, if nothing comes in."""
        now_ms = clock.now_ms()
        if self._in_flight is not None:
            return now_ms + COMMITTING_MS
        due_at_ms = min(now_ms + WATCH_MS, self._commit_at_ms)
        return due_at_ms if self._wake_at_ms is None else min(due_at_ms, self._wake_at_ms)

    def stopped(self) -> None:
        """Note that everybody was let go: how long that took is what the next life plans with."""
        self._deadline.stopped(self._after_s())

    def close(self) -> None:
        """End the committing thread."""
        self._committer.close()

    def guests(self) -> set[Peer]:
        """The workers from outside that are still there."""
        return {peer for peer in self.coordinator.volatile.by_peer if peer >= OUTSIDE}

    def view(self) -> View:
        """What the run looks like now."""
        return view(self.coordinator, clock.now_ms(), estimate=self._estimate(clock.now_ms()))

    def _estimate(self, now_ms: int) -> Estimate | None:
        """How large the tree seems to be; None when the run does not go on."""
        return self._forecast.estimate(now_ms) if self.coordinator.phase is Phase.EXPLORING else None

    def _after_s(self) -> float:
        return (clock.now_ms() - self._began_at_ms) / 1000

    # In

    def _receive(self) -> bool:
        active = False
        for peer, messages in self.reception.frames():
            if self._collector.defers(messages):
                continue
            replies: list[tuple[Peer, FromCoordinator]] = []
            active = active or any(awaited(message) or self._under_care(message) for message in messages)
            for message in messages:
                replies += self._take_in(peer, message)
            self._send(replies)
        for peer, why in self.reception.gone():
            self._step(PeerGone(peer, why))
        return active

    def _under_care(self, message: FromWorker) -> bool:
        """Whether it is a report under a careful lease: the worker waits for the answer before it explores any further."""
        watch = self.coordinator.volatile.watches.get(message.lease) if isinstance(message, Report) else None
        return watch is not None and watch.bundle.careful

    def _take_in(self, peer: Peer, message: FromWorker) -> list[tuple[Peer, FromCoordinator]]:
        if isinstance(message, Unable) and peer >= OUTSIDE:
            # A rank that cannot explore stops a run that cannot be right; somebody from outside has no such power.
            self._tell("unable", peer=int(peer), host=message.host, error=message.error)
            return [(peer, Stop())]
        return self._step_quietly(Received(peer, message))

    def _look_at_signals(self) -> None:
        if self._stop.name and not self._stop.seen:
            self._stop.seen = True
            self._deadline.stopping(self._after_s())
            self._watchers.warn(f"stopping ({self._stop.name}): collecting what remains")
            self._step(StopAsked(self._stop.name))
        elif self._stop.impatient and not self._impatience_told:
            self._impatience_told = True
            self._step(StopAsked(self._stop.name, at_once=True))
        elif why := self._deadline.due(self._after_s()):
            self._deadline.stopping(self._after_s())
            self._watchers.warn(f"stopping ({why}): collecting what remains")
            self._step(StopAsked(why))

    def _look_for_workers(self, now_ms: int) -> None:
        """Stop when nobody is left to explore: ranks that died do not come back. One that was held for dead may.

        Where workers come in from outside, they may come at any time: then it waits.
        """
        if self.coordinator.volatile.workers or self.coordinator.phase is not Phase.EXPLORING or self.reception.open:
            self._worked_at_ms = now_ms
            return
        patience_ms = self.coordinator.settings.heartbeat_timeout_ms if self.reception.seen else FIRST_WORKER_MS
        if self.reception.everybody_left or now_ms >= self._worked_at_ms + patience_ms:
            self._watchers.warn("stopping: no worker is left")
            self._step(StopAsked("the loss of all workers"))

    # Step and out

    def _step(self, event: Event) -> None:
        self._send(self._step_quietly(event))

    def _step_quietly(self, event: Event) -> list[tuple[Peer, FromCoordinator]]:
        """Take a step and do everything that follows from it but sending, which is done once for a whole frame."""
        effects = self.coordinator.step(event, clock.now_ms())
        self._carry_out(effects)
        if effects.folds and isinstance(event, Received):
            self.reception.explored(event.peer, effects)
        sends, pull = effects.sends, effects.pull
        if effects.folds and (improved := self._improved()) is not None:
            effects = self.coordinator.step(improved, clock.now_ms())
            self._carry_out(effects)
            sends, pull = sends + effects.sends, pull or effects.pull
        while pull:
            effects = self._pull(pull)
            sends, pull = sends + effects.sends, effects.pull
        return sends

    def _improved(self) -> Improved | None:
        """Whether the result is better than it was when this was last asked, and how good it is."""
        score = call(self._task.problem.score, self.result)
        if score is None or (self._score is not None and score >= self._score):
            return None
        self._score = score
        return Improved(score, self._enough is not None and score <= self._enough)

    def _pull(self, count: int) -> Effects:
        try:
            event: Event = self._roots.read(count)
        except (ProblemError, UsageError) as error:
            event = ProblemRaised(failure_of(error, processes.host_name()))
        effects = self.coordinator.step(event, clock.now_ms())
        self._carry_out(effects)
        return effects

    def _carry_out(self, effects: Effects) -> None:
        self._forecast.take(effects.records)
        for fold in effects.folds:
            value = self._collector.add(fold.value) if self._collector.collects else self._task.values.decode(fold.value)
            self.result = call(self._task.problem.add_result, self.result, value, fold.host)
        for note in effects.notes:
            self._tell(note.event, **note.facts)
            if note.event == "lost":
                self.reception.gave_up(Peer(int(note.facts["peer"])))
        self._must_commit = self._must_commit or effects.must_commit
        self._wake_at_ms = effects.wake_at_ms

    def _send(self, sends: list[tuple[Peer, FromCoordinator]]) -> None:
        by_peer: dict[Peer, list[FromCoordinator]] = {}
        for peer, message in sends:
            by_peer.setdefault(peer, []).append(message)
        for peer, messages in by_peer.items():
            self._transport.send(peer, codec.encode(messages))

    # Commits

    def _commit_if_due(self, now_ms: int) -> None:
        if self._in_flight is not None or not (self._must_commit or self._collector.urgent or now_ms >= self._commit_at_ms):
            return
        if self._failed is not None and now_ms < self._commit_at_ms:
            return
        state = self.coordinator.state
        changes = state.take_changes()
        if self._failed is not None:
            changes = merge(self._failed.changes, changes)
            self._failed = None
        if not (changes or self._must_commit or self._collector.waiting):
            self._commit_at_ms = now_ms + COMMIT_MS
            return
        ending = self.coordinator.phase in {Phase.SETTLING, Phase.ENDED}
        finished = ending and state.complete
        phase = "finished" if finished else ("incomplete" if state.done else "stopped") if ending else "running"
        self._in_flight = Commit(changes, self._task.values.encode(self.result), finished, phase, self._collector.take())
        self._in_flight_covers_all = self._must_commit
        self._must_commit = False
        self._in_flight_since_ms = now_ms
        self._committer.submit(self._in_flight)

    def _committed(self, done: Done) -> None:
        self._in_flight = None
        now_ms = clock.now_ms()
        took_ms = now_ms - self._in_flight_since_ms
        if done.error is None:
            self._collector.committed(done.commit.collected)
            self._deadline.committed(took_ms / 1000)
            if took_ms >= SLOW_COMMIT_MS:
                self._tell("slow commit", seconds=took_ms / 1000)
            self._commit_at_ms = now_ms + COMMIT_MS
            if self._in_flight_covers_all:
                self._step(Committed())
            return
        if not isinstance(done.error, CommitFailed) or self._giving_up:
            raise done.error
        self._tell("commit failed", why=str(done.error))
        self._failed = done.commit
        self._collector.failed(done.commit.collected)
        self._must_commit = self._must_commit or self._in_flight_covers_all
        self._commit_at_ms = now_ms + RETRY_MS

    @property
    def _giving_up(self) -> bool:
        """Whether the user wants to stop while the disk takes nothing: then what was committed before has to do."""
        return self.coordinator.phase is Phase.SETTLING and bool(self._stop.name)

    def _tell(self, event: str, **facts: object) -> None:
        """Write an event to the log, and tell the user if the run does not go on as it was meant to."""
        self._directory.log(event, **facts)
        if event in WARNINGS:
            self._watchers.warn(WARNINGS[event].format(**facts))

    def _show(self, now_ms: int) -> None:
        if now_ms >= self._show_at_ms:
            self._show_at_ms = now_ms + SHOW_MS
            self._watchers.show(view(self.coordinator, now_ms, with_lists=False, estimate=self._estimate(now_ms)))
        if now_ms >= self._publish_at_ms:
            self._publish_at_ms = now_ms + PUBLISH_MS
            self._committer.publish(self.told())
        if self._watchers.page is not None:
            self._watchers.page.progress(now_ms)

    def told(self) -> dict[str, object]:
        """Show the status on the page, and return what is published in the folder."""
        status = self.status()
        if self._watchers.page is not None:
            self._watchers.page.show(status)
        workers: Any = status["workers_list"]
        return status | {"workers_list": workers[:PUBLISHED_WORKERS_MAX]}

    def status(self) -> dict[str, object]:
        """What `parry-mpi status` shows, as plain data."""
        now_ms = clock.now_ms()
        via = self.reception.contributions.via
        seen = view(self.coordinator, now_ms, describe=via, estimate=self._estimate(now_ms))
        return {
            "version": STATUS_VERSION,
            "time": clock.wall_s(),
            **msgspec.to_builtins(seen),
            **self._deadline.facts(self._after_s()),
            **self._meaning.facts(self.result, complete=seen.complete, version=seen.reports),
            "seconds": self._after_s(),
            "host": processes.host_name(),
            "contributions": self.reception.contributions.told(),
        }
