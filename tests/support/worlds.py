"""Small worlds that can be explored exhaustively: the shipped coordinator and workers, with every link, clock and disk a plain value.

A World is one moment. ``successors`` gives every moment that may follow: a frame is delivered, lost or repeated, an explorer takes a
turn or dies, time passes, the state is committed, the coordinator starts again from what was committed, and so on. Clocks are not
shared: each actor's time jumps to when it wants to wake, at any moment, so that nothing can depend on timing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from parry_mpi.core import worker as worker_module
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, Improved, PeerGone, Phase, Received, RootsRead, StopAsked, Tick
from parry_mpi.core.ids import LeaseId, Peer
from parry_mpi.core.messages import Crashed, Failed, Finished, Report
from parry_mpi.core.policy import BundlePolicy, Settings
from parry_mpi.core.state import State
from parry_mpi.core.worker import Worker
from parry_mpi.job import Job, shares
from support.copies import copy_coordinator
from support.ledger import Ledger, check_effects, check_ledger, expected
from support.protocol import FINGERPRINT, ToyExploring, VirtualWorker, hello
from support.trees import Tree, encoded


class Frame:
    """Messages that travel together.

    Attributes:
        canon: room for what support.copies keeps.
    """

    __slots__ = ("canon", "messages")

    def __init__(self, messages: Iterable) -> None:
        self.messages = tuple(messages)
        self.canon = None

    def __str__(self) -> str:
        return "+".join(f"{type(message).__name__}({getattr(message, 'lease', '')})" for message in self.messages)


class Disk:
    """What was committed.

    Attributes:
        canon: room for what support.copies keeps.
    """

    __slots__ = ("canon", "result", "state")

    def __init__(self, state: State, result: int) -> None:
        self.state = state
        self.result = result
        self.canon = None


QUEUE_MAX = 2
"""No timer fires for an actor with so many frames under way: what is said again and again would fill the links without end."""


class FixedBundles(BundlePolicy):
    """Bundles of a fixed size, so that no measured time decides anything."""

    def __init__(self, jobs_count: int) -> None:
        super().__init__()
        self._jobs_count = jobs_count

    def note(self, solved: int, explored_us: int) -> None:
        pass

    def jobs_wanted(self, pending_count: int, workers_count: int) -> int:
        return self._jobs_count

    def copy(self) -> FixedBundles:
        return self


@dataclass(frozen=True)
class Rules:
    """What a world is made of and what may go wrong in it, and how often.

    Args:
        tree: what is explored.
        workers: how many.
        bundle: jobs in a bundle.
        poison, raising, winning: nodes that kill the explorer, raise, or end the search.
        max_kills: as in Settings.
        quarantine_errors: as in Settings.
        patience_ms: as in Settings; 0 for no end.
        piped: what an explorer tells is heard later, in a step of its own; otherwise at once.
        prompt: timers fire only when the actor's links are empty; otherwise also while frames are under way.
        losses, repeats, overtakings: of frames.
        crashes: explorers that die.
        suspicions: workers held for lost that are alive.
        deaths: workers that end and are replaced by a new process at the same peer; nobody tells the coordinator.
        restarts: of the coordinator, from what was committed.
        stops: requests to stop.
        forgeries: messages under another worker's lease, or with numbers that make no sense.
        generated: roots are pulled one at a time.
        best_first: jobs are handed out in the order of their bounds, which are those of ToyExploring.
        fault_after: with which node explored faults begin; 0 from the start.
    """

    tree: Tree
    workers: int = 2
    bundle: int = 1
    poison: frozenset[int] = frozenset()
    raising: frozenset[int] = frozenset()
    winning: frozenset[int] = frozenset()
    max_kills: int = 2
    quarantine_errors: bool = True
    patience_ms: int = 0
    piped: bool = False
    prompt: bool = True
    losses: int = 0
    repeats: int = 0
    overtakings: int = 0
    crashes: int = 0
    suspicions: int = 0
    deaths: int = 0
    restarts: int = 0
    stops: int = 0
    forgeries: int = 0
    generated: bool = False
    best_first: bool = False


FAULTS = ("losses", "repeats", "overtakings", "crashes", "suspicions", "deaths", "restarts", "stops", "forgeries")


class World:
    """One moment. Whatever it holds is replaced, never changed, once the world is complete."""

    __slots__ = (
        "clock_ms",
        "coordinator",
        "disk",
        "down",
        "ledger",
        "left",
        "must_commit",
        "pull",
        "rules",
        "up",
        "wake_at_ms",
        "worker_ms",
        "workers",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        settings = Settings(
            FINGERPRINT,
            max_kills=rules.max_kills,
            quarantine_errors=rules.quarantine_errors,
            patience_ms=rules.patience_ms,
            grace_ms=1000,
        )
        self.coordinator = Coordinator(State("bound" if rules.best_first else "depth"), settings)
        self.coordinator.volatile.policy = FixedBundles(rules.bundle)
        self.ledger = Ledger(rules.tree)
        self.clock_ms = 0
        self.wake_at_ms: int | None = None
        self.must_commit = False
        self.left = tuple(getattr(rules, fault) for fault in FAULTS)
        self.workers: tuple[VirtualWorker, ...] = ()
        self.worker_ms = (0,) * rules.workers
        self.up: tuple[tuple[Frame, ...], ...] = ()
        self.down: tuple[tuple[Frame, ...], ...] = ((),) * rules.workers
        self.disk = Disk(self.coordinator.state.copy(), 0)
        self.pull = 0
        self._step(Tick())
        if rules.restarts:
            self._commit()
        for index in range(rules.workers):
            virtual = new_worker(rules, f"t{index}", 0)
            self.workers += (virtual,)
            self.up += ((Frame(virtual.start()),),)

    def copy(self) -> World:
        """Return a world that shares everything with this one."""
        other = World.__new__(World)
        for name in World.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    # What may happen next

    def successors(self) -> Iterator[tuple[str, bool, World]]:
        """Give every next moment: what happened, whether it is a fault, and the world then."""
        for index in range(self.rules.workers):
            yield from self._of_worker(index)
        yield from self._of_coordinator()
        for kind, fault in enumerate(FAULTS):
            if self.left[kind]:
                yield from getattr(self, f"_{fault}")(kind)

    def _of_worker(self, index: int) -> Iterator[tuple[str, bool, World]]:
        if self.up[index]:
            yield f"coordinator receives {self.up[index][0]} from {index}", False, self._deliver_up(index, 0)
        if self.down[index]:
            yield f"{index} receives {self.down[index][0]}", False, self._deliver_down(index, 0)
        virtual = self.workers[index]
        if virtual.explorer.busy:
            world, actor = self._with_worker(index)
            if self.rules.piped:
                actor.turn_unheard()
            else:
                world._say(index, actor.turn(self.worker_ms[index]))
            yield f"{index} explores", False, world
        if virtual.told:
            world, actor = self._with_worker(index)
            world._say(index, actor.hear(self.worker_ms[index]))
            yield f"{index} hears of its explorer: {type(virtual.told[0]).__name__}", False, world
        wake_at_ms = virtual.half.wake_at_ms()
        if wake_at_ms is not None and self._may_fire(index):
            world, actor = self._with_worker(index)
            now_ms = max(wake_at_ms, self.worker_ms[index])
            world.worker_ms = replaced(self.worker_ms, index, now_ms)
            world._say(index, actor.tick(now_ms))
            yield f"{index} waits until {now_ms} ms", False, world

    def _may_fire(self, index: int) -> bool:
        """Whether time may pass for a worker: not while it explores and has found nothing new, as it would report that for ever."""
        virtual = self.workers[index]
        if virtual.explorer.busy and not virtual.explorer.nodes:
            return False
        reports = virtual.explorer.busy and not virtual.half._work.unanswered
        if self.rules.prompt and not reports:
            return not self.up[index] and not self.down[index] and not virtual.told
        return len(self.up[index]) < QUEUE_MAX and len(self.down[index]) < QUEUE_MAX

    def _of_coordinator(self) -> Iterator[tuple[str, bool, World]]:
        if self.pull:
            world = self._with_coordinator()
            world.pull = 0
            world._step(self._roots())
            yield "roots are read", False, world
        if self.must_commit:
            world = self._with_coordinator()
            world._commit()
            world._step(Committed())
            yield "the last commit", False, world
        elif self.rules.restarts and (self.disk.result != self.ledger.result or differs(self.disk.state, self.coordinator.state)):
            world = self.copy()
            world._commit()
            yield "a commit", False, world
        if self.rules.restarts and self._deserted:
            world = self.copy()
            world.workers = replaced(self.workers, 0, new_worker(self.rules, "again", self.worker_ms[0]))
            world._say(0, world.workers[0].start())
            yield "somebody starts a worker again", False, world
        quiet = all(not frames for frames in (*self.up, *self.down)) if self.rules.prompt else True
        if self.wake_at_ms is not None and quiet and all(len(frames) < QUEUE_MAX for frames in self.down):
            world = self._with_coordinator()
            world.clock_ms = max(self.wake_at_ms, self.clock_ms)
            world._step(Tick())
            yield f"the coordinator waits until {world.clock_ms} ms", False, world

    # Faults

    def _losses(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index in range(self.rules.workers):
            for link in ("up", "down"):
                frames = getattr(self, link)[index]
                if frames:
                    world = self._spent(kind)
                    setattr(world, link, replaced(getattr(self, link), index, frames[1:]))
                    yield f"lost, {link} {index}: {frames[0]}", True, world

    def _repeats(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index in range(self.rules.workers):
            for link in ("up", "down"):
                frames = getattr(self, link)[index]
                if frames:
                    world = self._spent(kind)
                    setattr(world, link, replaced(getattr(self, link), index, (*frames, frames[0])))
                    yield f"repeated, {link} {index}: {frames[0]}", True, world

    def _overtakings(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index in range(self.rules.workers):
            if len(self.up[index]) > 1:
                yield f"overtaken: {self.up[index][1]} from {index}", True, self._spent(kind)._deliver_up(index, 1)
            if len(self.down[index]) > 1:
                yield f"overtaken: {self.down[index][1]} to {index}", True, self._spent(kind)._deliver_down(index, 1)

    def _crashes(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index, virtual in enumerate(self.workers):
            if virtual.half.lease is not None:
                world, actor = self._spent(kind)._with_worker(index)
                if self.rules.piped:
                    actor.crash_unheard()
                else:
                    world._say(index, actor.crash(self.worker_ms[index]))
                yield f"the explorer of {index} dies", True, world

    def _suspicions(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index in range(self.rules.workers):
            if Peer(index) in self.coordinator.volatile.by_peer:
                world = self._spent(kind)._with_coordinator()
                world._step(PeerGone(Peer(index), "suspected"))
                yield f"{index} is held for lost", True, world

    def _deaths(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for index in range(self.rules.workers):
            world = self._spent(kind)
            world.workers = replaced(self.workers, index, new_worker(self.rules, f"t{index}n", self.worker_ms[index]))
            world._say(index, world.workers[index].start())
            yield f"another process takes the place of {index}", True, world

    def _restarts(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        world = self._spent(kind)
        world.coordinator = Coordinator(
            State.from_snapshot(self.disk.state.to_snapshot(), self.coordinator.state.pending.order), self.coordinator.settings
        )
        world.coordinator.volatile.policy = FixedBundles(self.rules.bundle)
        world.ledger = self.ledger.restarted(self.disk.result)
        world._take(world.coordinator.restart())
        world.must_commit = False
        world.pull = 0
        world._commit()
        world._step(Improved(0, enough=True) if world._won else Tick())
        yield "the coordinator starts again", True, world

    def _stops(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        for at_once in (False, True):
            if self.coordinator.phase is Phase.EXPLORING:
                world = self._spent(kind)._with_coordinator()
                world._step(StopAsked("asked", at_once=at_once))
                yield f"stop, at once: {at_once}", True, world

    def _forgeries(self, kind: int) -> Iterator[tuple[str, bool, World]]:
        """What another worker says of a lease, or what nobody could know, changes nothing that lasts."""
        for lease_id, lease in self.coordinator.state.leases.items():
            owner = self.coordinator.volatile.workers[lease.worker].peer
            for message in forged(lease_id, lease.seq):
                for index in range(self.rules.workers):
                    if index != owner:
                        world = self._spent(kind)._with_coordinator()
                        world._step(Received(Peer(index), message))
                        yield f"forged by {index}: {message}", True, world

    # Doing it

    def _deliver_up(self, index: int, place: int) -> World:
        world = self._with_coordinator()
        frames = self.up[index]
        world.up = replaced(self.up, index, frames[:place] + frames[place + 1 :])
        for message in frames[place].messages:
            world._step(Received(Peer(index), message))
        return world

    def _deliver_down(self, index: int, place: int) -> World:
        world, actor = self._with_worker(index)
        frames = self.down[index]
        world.down = replaced(self.down, index, frames[:place] + frames[place + 1 :])
        world._say(index, actor.receive(frames[place].messages, self.worker_ms[index]))
        return world

    def _with_worker(self, index: int) -> tuple[World, VirtualWorker]:
        world = self.copy()
        actor = self.workers[index].copy()
        world.workers = replaced(self.workers, index, actor)
        return world, actor

    def _with_coordinator(self) -> World:
        world = self.copy()
        world.coordinator = copy_coordinator(self.coordinator)
        world.ledger = self.ledger.copy()
        return world

    def _spent(self, kind: int) -> World:
        world = self.copy()
        world.left = replaced(self.left, kind, self.left[kind] - 1)
        return world

    def _say(self, index: int, messages: list) -> None:
        if messages:
            self.up = replaced(self.up, index, (*self.up[index], Frame(messages)))

    def _step(self, event: Event) -> None:
        live = expected(event, self.coordinator)
        effects = self.coordinator.step(event, self.clock_ms)
        check_effects(event, live, effects)
        self._take(effects)

    def _take(self, effects: Effects) -> None:
        self.ledger.take(effects, self.coordinator.state)
        if effects.folds and self._won:
            self._step(Improved(0, enough=True))
        frames: dict[int, list] = {}
        for peer, message in effects.sends:
            if isinstance(message, Finished):
                assert self.disk.state.done, "Finished is said before the end is on disk"
                assert self.disk.result == self.ledger.result, "Finished is said before the answer is on disk"
            frames.setdefault(peer, []).append(message)
        for peer, messages in frames.items():
            self.down = replaced(self.down, peer, (*self.down[peer], Frame(messages)))
        self.must_commit = self.must_commit or effects.must_commit
        self.pull = self.pull or effects.pull
        self.wake_at_ms = effects.wake_at_ms

    def _roots(self) -> RootsRead:
        roots, pulled = self.rules.tree.roots, self.coordinator.state.counters.roots_pulled
        count = 1 if self.rules.generated else len(roots)
        taken = roots[pulled : pulled + count]
        exhausted = pulled + len(taken) == len(roots)
        unpulled_weight = self.coordinator.state.counters.unpulled_weight
        weight = unpulled_weight if exhausted else unpulled_weight // 2
        jobs = tuple(
            Job(encoded(root), weight=part, bound=-root if self.rules.best_first else None)
            for root, part in zip(taken, shares(weight, len(taken)), strict=True)
        )
        return RootsRead(jobs, pulled + len(taken), exhausted, unpulled_weight - weight)

    def _commit(self) -> None:
        self.must_commit = False
        self.disk = Disk(self.coordinator.state.copy(), self.ledger.result)

    def check(self) -> None:
        """Check all that must always hold."""
        check_ledger(self.ledger, self.coordinator)
        rules = self.rules
        if rules.winning:
            assert self._won == self.coordinator.state.counters.decided, "it is decided when a witness counts, and only then"
        if not any(getattr(rules, fault) for fault in FAULTS) and not rules.patience_ms:
            bad = rules.tree.of_nodes(rules.poison | rules.raising)
            for entry in self.coordinator.state.quarantined.values():
                assert rules.tree.of_job(entry.job) & bad, "an innocent node is quarantined"

    @property
    def _won(self) -> bool:
        """Whether a node that ends the search is counted."""
        return bool(self.ledger.result & self.rules.tree.of_nodes(self.rules.winning))

    @property
    def _deserted(self) -> bool:
        """Whether every worker left a run that goes on: they were told that it is over, and then its end got lost."""
        left = all(virtual.half.phase is worker_module.Phase.LEFT for virtual in self.workers)
        return left and self.coordinator.phase is Phase.EXPLORING

    @property
    def complete(self) -> bool:
        """Whether the run is over and everybody knows."""
        return self.coordinator.phase is Phase.ENDED and all(
            virtual.half.phase is worker_module.Phase.LEFT for virtual in self.workers
        )


def new_worker(rules: Rules, token: str, now_ms: int) -> VirtualWorker:
    """A worker process that has just begun."""
    return VirtualWorker(
        Worker(hello(token), now_ms),
        ToyExploring(rules.tree, poison=rules.poison, raising=rules.raising, winning=rules.winning, bounding=rules.best_first),
    )


def forged(lease_id: LeaseId, seq: int) -> list:
    """Messages about a lease from somebody who does not hold it."""
    return [
        Report(lease_id, seq + 1, 1, msgspec.msgpack.encode(1), 0, 1),
        Failed(lease_id, seq + 1, "forged", exact=True),
        Crashed(lease_id, "forged"),
    ]


def differs(disk: State, state: State) -> bool:
    """Whether a commit would change what is on disk."""
    return (
        dict(disk.pending.items()) != dict(state.pending.items())
        or disk.leases != state.leases
        or disk.quarantined != state.quarantined
        or disk.counters.roots_pulled != state.counters.roots_pulled
    )


def replaced(items: tuple, index: int, item: object) -> tuple:
    """The same tuple with another item in one place."""
    return (*items[:index], item, *items[index + 1 :])
