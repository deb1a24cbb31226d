"""Whole runs in virtual time: the shipped coordinator, workers and explorers on a simulated network, disk and clock, all drawn from a seed.

Until ``heal_at_ms`` everything may fail; then nothing does any more, and the run must end with the exact answer.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, PeerGone, Phase, Received, StopAsked, Tick
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import Die, Finished
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Granted, Reported, Retried, Voided
from parry_mpi.core.state import Snapshot, State
from parry_mpi.core.worker import Phase as WorkerPhase
from parry_mpi.core.worker import Worker
from parry_mpi.runtime import exploring
from parry_mpi.runtime.roots import RootSource
from parry_mpi.task import Task
from support.ledger import Ledger, check_effects, check_killed, check_ledger, check_once, expected
from support.protocol import FINGERPRINT, POISONED, VirtualWorker, hello
from support.trees import Digits, Effort

EVENTS_MAX = 400_000
"""More events than any of these runs needs: a run that passes it does not end."""

HEALED_MS_MAX = 3_600_000
"""After healing, every run of this size is over within an hour of virtual time."""


@dataclass
class Plan:
    """What a run is made of, drawn from its seed."""

    problem: Digits
    workers: int
    settings: Settings
    heartbeat_ms: int
    latency_ms: tuple[int, int]
    in_order: bool
    loss: float
    repeat: float
    commit_ms: int
    fault_ms: int
    heal_at_ms: int
    told_of_deaths: bool
    faults: tuple[str, ...]


FAULTS = ("crash", "die", "silent", "pause", "cut", "restart", "restart all", "stop", "full disk")


def draw_plan(seed: int) -> Plan:
    """Draw a run."""
    draw = random.Random(seed)
    nodes = draw.choice([1, 3, 10, 30, 60, 120, 250])
    poison = frozenset(draw.sample(range(nodes), draw.choice([1, 1, 2]))) if nodes > 5 and draw.random() < 0.25 else frozenset()
    raising = frozenset(draw.sample(range(nodes), 1)) if draw.random() < 0.2 else frozenset()
    problem = Digits(
        seed=seed,
        nodes=nodes,
        roots_count=min(nodes, draw.choice([1, 1, 2, 5, 40])),
        indexed=draw.random() < 0.6,
        poison=poison,
        raising=raising - poison,
        node_us=draw.choice([100, 5_000, 30_000, 300_000]),
    )
    settings = Settings(
        FINGERPRINT,
        max_kills=draw.choice([2, 3, 5]),
        quarantine_errors=draw.random() < 0.6,
        heartbeat_timeout_ms=3_000,
        patience_ms=draw.choice([0, 3_000, 60_000]),
        grace_ms=draw.choice([100, 10_000]),
    )
    rough = draw.random() < 0.5
    return Plan(
        problem,
        workers=draw.randint(1, 6),
        settings=settings,
        heartbeat_ms=1_000,
        latency_ms=draw.choice([(1, 1), (0, 3), (1, 200), (50, 3_000)]),
        in_order=not rough or draw.random() < 0.5,
        loss=draw.choice([0.0, 0.02, 0.3]) if rough else 0.0,
        repeat=draw.choice([0.0, 0.02, 0.3]) if rough else 0.0,
        commit_ms=draw.choice([50, 300, 1_000]),
        fault_ms=draw.choice([300, 2_000, 10_000, 10**9]),
        heal_at_ms=draw.choice([2_000, 20_000, 60_000]),
        told_of_deaths=draw.random() < 0.5,
        faults=tuple(draw.sample(FAULTS, draw.randint(1, len(FAULTS)))),
    )


class Site:
    """A worker process somewhere.

    Args:
        peer: how the coordinator knows it.
        virtual: the worker.
    """

    def __init__(self, peer: int, virtual: VirtualWorker) -> None:
        self.peer = peer
        self.virtual = virtual
        self.alive = True
        self.paused_until_ms = 0
        self.cut_until_ms = 0
        self.exploring = False
        self.wake_at_ms: int | None = None


class Simulation:
    """One run.

    Args:
        seed: everything is drawn from it.
        tell: called with the time and a line for everything that happens; None to be quiet.
    """

    def __init__(self, seed: int, tell: Callable[[int, str], None] | None = None) -> None:
        self.plan = draw_plan(seed)
        self._draw = random.Random(seed + 1)
        self._tell = tell
        self.now_ms = 0
        self.sometimes: Counter[str] = Counter()
        self._heap: list[tuple[int, int, Callable[..., None], tuple]] = []
        self._order = 0
        self.problem = self.plan.problem
        self.task = Task(self.problem)
        self.unlucky = 0
        self.sites: dict[int, Site] = {}
        self._next_peer = 1
        self._arrived_at_ms: Counter[tuple[int, str]] = Counter()
        self.life = 0
        self.disk = Snapshot(State().counters)
        self.disk_result = 0
        self.ledger = Ledger(self.problem.tree)
        self._begin_coordinator(State())

    # The run

    def run(self) -> None:
        """Let it happen until the run is complete.

        Raises:
            AssertionError: something that must hold does not.
        """
        original, exploring.clock = exploring.clock, _EffortClock
        try:
            self._faulty()
            while not self._complete():
                assert self._heap, "nothing will ever happen again, and the run is not complete"
                assert self._order < EVENTS_MAX, "the run does not end"
                at_ms, _, function, args = heapq.heappop(self._heap)
                self.now_ms = max(self.now_ms, at_ms)
                assert self.now_ms < self.plan.heal_at_ms + HEALED_MS_MAX, "the run takes for ever"
                function(*args)
            self._check_answer()
        finally:
            exploring.clock = original

    def _complete(self) -> bool:
        """Whether the run is over; one that was stopped or is incomplete is taken up again first."""
        if self.coordinator.phase is not Phase.ENDED:
            return False
        state = self.coordinator.state
        self._check_disk()
        if state.done and not state.quarantined:
            return True
        if state.done:
            self._check_quarantine()
        if state.done or self.coordinator.volatile.failure is not None:
            self._say("the problem is mended")
            poison = frozenset() if state.done else self.problem.poison
            self.problem = msgspec.structs.replace(self.problem, poison=poison, raising=frozenset())
            self.task = Task(self.problem)
        self._restart(everybody=True, retry=state.done)
        return False

    def _check_answer(self) -> None:
        assert self.ledger.result == self.problem.tree.whole
        assert self.coordinator.state.counters.nodes == len(self.problem.tree)

    def _check_quarantine(self) -> None:
        """What is quarantined is what kills or raises; and if nothing else went wrong, nothing but that."""
        self.sometimes["quarantined"] += 1
        nodes = {
            node
            for entry in self.coordinator.state.quarantined.values()
            for node in self.problem.tree.nodes_of(self.problem.tree.of_job(entry.job))
        }
        tree = self.problem.tree
        bad = self.problem.poison | self.problem.raising
        assert bad <= nodes, f"{bad - nodes} can not have been explored"
        if not self.unlucky:
            below = {node for culprit in bad for node in tree.nodes_of(tree.below[culprit])}
            assert nodes == below, f"innocent: {nodes - below}"

    def _later(self, at_ms: int, function: Callable[..., None], *args: object) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at_ms, self._order, function, args))

    def _say(self, text: str) -> None:
        if self._tell is not None:
            self._tell(self.now_ms, text)

    # The coordinator

    def _begin_coordinator(self, state: State) -> None:
        self.life += 1
        self.coordinator = Coordinator(state, self.plan.settings)
        self.roots = RootSource(self.task, state.counters)
        self.committing = False
        self.must_commit = False
        self._wake_at_ms: int | None = None
        self._wake(self.now_ms)
        self._later(self.now_ms, self._keep_workers, self.life)
        self._later(self.now_ms + self.plan.commit_ms, self._commit_now_and_then, self.life)

    def _restart(self, *, everybody: bool, retry: bool = False) -> None:
        """Start the coordinator again from the disk; everybody: as when the MPI world ends."""
        self._say(f"the coordinator starts again, everybody: {everybody}, retry: {retry}")
        self.sometimes["restarted with leases out"] += bool(self.disk.leases)
        self.ledger = self.ledger.restarted(self.disk_result)
        self._begin_coordinator(State.from_snapshot(self._copy_of_disk()))
        self._take(self.coordinator.restart())
        if retry:
            self.coordinator.state.apply(Retried())
        self._commit_everything()
        if everybody:
            for site in list(self.sites.values()):
                self._end(site)
        for site in self.sites.values():
            if self._draw.random() < 0.5:
                self._arrived_at_ms[site.peer, "up"] = 0

    def _wake(self, at_ms: int) -> None:
        """Remember when the coordinator wants to wake, if not earlier."""
        if self._wake_at_ms is None or at_ms < self._wake_at_ms:
            self._wake_at_ms = at_ms
            self._later(at_ms, self._tick, self.life)

    def _tick(self, life: int) -> None:
        if life == self.life and self._wake_at_ms is not None and self._wake_at_ms <= self.now_ms:
            self._wake_at_ms = None
            self._step(Tick())

    def _step(self, event: Event) -> None:
        before = {lease_id: lease.jobs for lease_id, lease in self.coordinator.state.leases.items()}
        live = expected(event, self.coordinator)
        effects = self.coordinator.step(event, self.now_ms)
        check_effects(event, live, effects)
        for record in effects.records:
            if isinstance(record, Granted):
                before[record.lease] = record.jobs
            elif isinstance(record, Reported | Voided) and record.lease in before:
                check_killed(record, before[record.lease])
        self._take(effects)
        check_ledger(self.ledger, self.coordinator)

    def _take(self, effects: Effects) -> None:
        self.ledger.take(effects, self.coordinator.state, decode=self.task.values.decode)
        for record in effects.records:
            self._say(f"    {record}")
        self.sometimes.update(note.event for note in effects.notes)
        self.unlucky += sum(note.event == "killed" and note.facts["why"] != POISONED for note in effects.notes)
        for peer, message in effects.sends:
            if isinstance(message, Finished):
                assert State.from_snapshot(self._copy_of_disk()).done, "Finished is said before the end is on disk"
                assert self.disk_result == self.ledger.result, "Finished is said before the answer is on disk"
            if isinstance(message, Die):
                self.sometimes["refused"] += 1
            self._send(peer, "down", (message,))
        self.must_commit = self.must_commit or effects.must_commit
        if effects.must_commit:
            self._later(self.now_ms, self._commit, self.life)
        if effects.wake_at_ms is not None:
            self._wake(max(effects.wake_at_ms, self.now_ms + 1))
        if effects.pull:
            self._later(self.now_ms + self._draw.choice([0, 0, 30]), self._read_roots, self.life)

    def _read_roots(self, life: int) -> None:
        if life == self.life:
            self._step(self.roots.read(self._draw.randint(1, 5)))

    def _commit_now_and_then(self, life: int) -> None:
        if life == self.life:
            self._commit(life)
            self._later(self.now_ms + self.plan.commit_ms, self._commit_now_and_then, life)

    def _commit(self, life: int) -> None:
        """Hand the changes to the disk; it is done some time later, or never."""
        if life != self.life or self.committing:
            return
        if self._faults_on("full disk") and self._draw.random() < 0.5:
            self._later(self.now_ms + 100, self._commit, life)
            return
        self.committing = True
        changes = self.coordinator.state.take_changes()
        rebuilt = applied(self._copy_of_disk(), changes)
        snapshot = self.coordinator.state.to_snapshot()
        assert rebuilt == snapshot, f"the changes do not make the state: {rebuilt} != {snapshot}"
        last = self.must_commit
        self.must_commit = False
        self._later(self.now_ms + self._draw.choice([0, 1, 40]), self._committed, life, rebuilt, self.ledger.result, last)

    def _committed(self, life: int, snapshot: Snapshot, result: int, last: bool) -> None:
        if life != self.life:
            return
        self.committing = False
        self.disk, self.disk_result = snapshot, result
        self._check_disk()
        if last:
            self._step(Committed())
        elif self.must_commit:
            self._commit(life)

    def _commit_everything(self) -> None:
        self.coordinator.state.take_changes()
        self.disk, self.disk_result = self.coordinator.state.to_snapshot(), self.ledger.result
        self.must_commit = False

    def _copy_of_disk(self) -> Snapshot:
        return State.from_snapshot(
            Snapshot(
                msgspec.structs.replace(self.disk.counters),
                dict(self.disk.pending),
                {lease_id: msgspec.structs.replace(lease) for lease_id, lease in self.disk.leases.items()},
                dict(self.disk.quarantined),
            )
        ).to_snapshot()

    def _check_disk(self) -> None:
        """What is on disk is a consistent cut."""
        check_once(self.disk_result, State.from_snapshot(self._copy_of_disk()), self.problem.tree)

    # Workers

    def _keep_workers(self, life: int) -> None:
        """Start workers until there are as many as planned; while things fail, not every time."""
        if life != self.life or self.coordinator.phase is not Phase.EXPLORING:
            return
        alive = sum(site.alive for site in self.sites.values())
        for _ in range(self.plan.workers - alive):
            if alive == 0 or self._healed or self._draw.random() < 0.7:
                self._begin_worker()
        self._later(self.now_ms + 1_000, self._keep_workers, self.life)

    def _begin_worker(self) -> None:
        gone = [site.peer for site in self.sites.values() if not site.alive]
        if gone and self._draw.random() < 0.5:
            peer = gone[0]
        else:
            peer, self._next_peer = self._next_peer, self._next_peer + 1
        half = Worker(hello(f"{peer}-{self._order}", self.plan.heartbeat_ms), self.now_ms)
        virtual = VirtualWorker(half, exploring.Exploring(self.task, None))
        site = self.sites[peer] = Site(peer, virtual)
        self._say(f"a worker begins at peer {peer}")
        self._spoken(site, virtual.start())

    def _end(self, site: Site) -> None:
        self._say(f"the worker at peer {site.peer} dies")
        site.alive = False

    def _awake(self, site: Site, function: Callable[..., None], *args: object) -> bool:
        """Whether a worker can act now; if it is only paused, it will act later."""
        if site.alive and site.paused_until_ms > self.now_ms:
            self._later(site.paused_until_ms, function, site, *args)
            return False
        return site.alive

    def _tick_worker(self, site: Site) -> None:
        if self._awake(site, self._tick_worker) and site.wake_at_ms is not None and site.wake_at_ms <= self.now_ms:
            site.wake_at_ms = None
            self._spoken(site, site.virtual.tick(self.now_ms))

    def _turn(self, site: Site) -> None:
        """The explorer takes a turn; what comes of it shows when the time that it took is over."""
        if not self._awake(site, self._turn):
            return
        site.exploring = False
        virtual = site.virtual
        if not virtual.explorer.busy:
            return
        began_us = Effort.us
        site.exploring = True
        event, died = virtual.explore()
        took_ms = (Effort.us - began_us) // 1000
        self._later(self.now_ms + took_ms, self._turned, site, event, died)

    def _turned(self, site: Site, event: object, died: str) -> None:
        if self._awake(site, self._turned, event, died):
            site.exploring = False
            self._spoken(site, site.virtual.explored(event, died, self.now_ms))

    def _spoken(self, site: Site, messages: list) -> None:
        if messages:
            self._send(site.peer, "up", tuple(messages))
        wake_at_ms = site.virtual.half.wake_at_ms()
        if wake_at_ms is not None and (site.wake_at_ms is None or wake_at_ms < site.wake_at_ms):
            site.wake_at_ms = max(wake_at_ms, self.now_ms + 1)
            self._later(site.wake_at_ms, self._tick_worker, site)
        if site.virtual.half.phase is WorkerPhase.LEFT:
            site.alive = False
        elif not site.exploring and site.virtual.explorer.busy:
            site.exploring = True
            self._later(self.now_ms, self._turn, site)

    # The network

    def _send(self, peer: int, way: str, frame: tuple) -> None:
        self._say(f"{peer} {'->' if way == 'up' else '<-'} {'; '.join(map(str, frame))}")
        plan, draw = self.plan, self._draw
        copies = 1
        if not self._healed:
            site = self.sites.get(peer)
            cut = site is not None and site.cut_until_ms > self.now_ms
            copies = 0 if cut or draw.random() < plan.loss else 2 if draw.random() < plan.repeat else 1
        for _ in range(copies):
            at_ms = self.now_ms + draw.randint(*plan.latency_ms)
            if plan.in_order:
                at_ms = self._arrived_at_ms[peer, way] = max(at_ms, self._arrived_at_ms[peer, way])
            self._later(at_ms, self._arrive, peer, way, frame)

    def _arrive(self, peer: int, way: str, frame: tuple) -> None:
        if way == "up":
            for message in frame:
                self._step(Received(Peer(peer), message))
        elif (site := self.sites.get(peer)) is not None:
            self._hear(site, frame)

    def _hear(self, site: Site, frame: tuple) -> None:
        if self._awake(site, self._hear, frame):
            self._spoken(site, site.virtual.receive(frame, self.now_ms))

    # Faults

    @property
    def _healed(self) -> bool:
        return self.now_ms >= self.plan.heal_at_ms

    def _faults_on(self, kind: str) -> bool:
        return not self._healed and kind in self.plan.faults and self.plan.fault_ms < self.plan.heal_at_ms

    def _faulty(self) -> None:
        """Let something fail, and again after some time."""
        wait_ms = int(self._draw.expovariate(1 / self.plan.fault_ms)) + 1
        if self.now_ms + wait_ms < self.plan.heal_at_ms:
            self._later(self.now_ms + wait_ms, self._fail)

    def _fail(self) -> None:
        kind = self._draw.choice(self.plan.faults)
        alive = [site for site in self.sites.values() if site.alive]
        self._say(f"FAULT {kind}")
        self.sometimes[kind] += 1
        if kind == "restart":
            self._restart(everybody=False)
        elif kind == "restart all":
            self._restart(everybody=True)
        elif kind == "stop":
            self._step(StopAsked("asked", at_once=self._draw.random() < 0.3))
        elif alive:
            self._fail_worker(kind, self._draw.choice(alive))
        self._faulty()

    def _fail_worker(self, kind: str, site: Site) -> None:
        if kind == "crash":
            self._spoken(site, site.virtual.crash(self.now_ms))
        elif kind == "die":
            self._end(site)
            if self.plan.told_of_deaths:
                self._step(PeerGone(Peer(site.peer), "died"))
        elif kind == "silent":
            self._step(PeerGone(Peer(site.peer), "held for lost"))
        elif kind == "pause":
            site.paused_until_ms = self.now_ms + self._draw.choice([500, 5_000, 20_000])
        elif kind == "cut":
            site.cut_until_ms = self.now_ms + self._draw.choice([500, 5_000, 20_000])


class _EffortClock:
    """A clock that only exploring moves."""

    @staticmethod
    def now_us() -> int:
        return Effort.us


def applied(snapshot: Snapshot, changes) -> Snapshot:
    """Apply a transaction to the tables, as the store does."""
    for name in ("pending", "leases", "quarantined"):
        table, put, removed = (
            getattr(*where) for where in ((snapshot, name), (changes, f"{name}_put"), (changes, f"{name}_removed"))
        )
        assert not put.keys() & removed, f"{name}: put and removed at once"
        table.update(put)
        for key in removed:
            table.pop(key, None)
    snapshot.counters = changes.counters
    return State.from_snapshot(snapshot).to_snapshot()
