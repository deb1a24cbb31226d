"""Runs of the shipped coordinator, workers and explorers that look for the best, in any order of deliveries, deaths and restarts.

After every step what is said of the optimum is compared with what it is. A run ends when it is complete; its faults are over before.
"""

from __future__ import annotations

import random
from collections import Counter

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, Improved, PeerGone, Phase, Received, Tick
from parry_mpi.core.ids import Peer
from parry_mpi.core.invariants import check_coordinator
from parry_mpi.core.optimum import proven_bound
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Restarted
from parry_mpi.core.state import State
from parry_mpi.core.worker import Worker
from parry_mpi.runtime import exploring
from parry_mpi.runtime.roots import RootSource
from parry_mpi.task import Task
from support.optima import FORMS
from support.protocol import FINGERPRINT, VirtualWorker, hello
from support.trees import Effort

STEPS_MAX = 100_000
"""More than any of these runs takes."""

FAULTY_STEPS = 150
"""For so many steps things go wrong."""


class _EffortClock:
    """A clock that only exploring moves."""

    @staticmethod
    def now_us() -> int:
        return Effort.us


class BoundedRun:
    """One run.

    Args:
        seed: everything is drawn from it.
    """

    def __init__(self, seed: int) -> None:
        self._draw = draw = random.Random(seed)
        self.problem = FORMS[draw.choice(sorted(FORMS))](
            seed=draw.randrange(10**6),
            nodes=draw.choice([3, 20, 60, 120]),
            roots_count=draw.choice([1, 3, 6]),
            indexed=draw.random() < 0.6,
            gap=draw.choice([0, 0, 1, 5, 2.5]),
        )
        self.task = Task(self.problem)
        self.kernel = self.problem.kernel()
        self.order = draw.choice(["depth", "bound"])
        self.settings = Settings(FINGERPRINT, max_kills=10**6, sense=self.problem.sense, gap=self.problem.gap)
        self.now_ms = 0
        self.steps = 0
        self.sometimes: Counter[str] = Counter()
        self.workers: dict[int, VirtualWorker] = {}
        self.up: dict[int, list] = {}
        self.down: dict[int, list] = {}
        self.disk, self.disk_result = State().to_snapshot(), None
        self._begin_coordinator(State(self.order), None)
        for peer in range(draw.randint(1, 3)):
            self._begin_worker(peer)

    def run(self) -> None:
        """Let it happen until the run is complete.

        Raises:
            AssertionError: something that must hold does not.
        """
        original, exploring.clock = exploring.clock, _EffortClock
        try:
            while self.coordinator.phase is not Phase.ENDED:
                self.steps += 1
                assert self.steps < STEPS_MAX, "the run does not end"
                self._draw.choice(self._possible())()
        finally:
            exploring.clock = original
        self._check_answer()

    def _possible(self) -> list:
        """All that may happen now; what goes wrong is rare."""
        actions = [lambda peer=peer: self._deliver_up(peer) for peer, waiting in self.up.items() if waiting]
        actions += [lambda peer=peer: self._deliver_down(peer) for peer, waiting in self.down.items() if waiting]
        actions += [lambda peer=peer: self._turn(peer) for peer, virtual in self.workers.items() if virtual.explorer.busy]
        actions += [self._pass_time, self._commit, *([self._read_roots] if self.pulling else [])]
        if self.steps < FAULTY_STEPS and self._draw.random() < 0.1:
            actions += [self._replace_somebody, self._restart]
        return actions

    # The coordinator

    def _begin_coordinator(self, state: State, result) -> None:
        self.coordinator = Coordinator(state, self.settings)
        self.roots = RootSource(self.task, state.counters)
        self.result = result
        self.score = None
        self.told = None
        self.pulling = False
        improved = self._improved()
        self._step(improved or Tick())

    def _step(self, event: Event) -> None:
        """Take a step, and all that follows from it, as the coordinator's loop does."""
        self._take(self.coordinator.step(event, self.now_ms))
        check_coordinator(self.coordinator)
        self._check()

    def _take(self, effects: Effects) -> None:
        for fold in effects.folds:
            self.result = self.problem.add_result(self.result, self.task.values.decode(fold.value), fold.host)
        for peer, message in effects.sends:
            self.down[peer].append(message)
        if effects.folds and (improved := self._improved()) is not None:
            self._take(self.coordinator.step(improved, self.now_ms))
        self.pulling = self.pulling or bool(effects.pull)
        if effects.must_commit:
            self._commit()
            self._take(self.coordinator.step(Committed(), self.now_ms))

    def _read_roots(self) -> None:
        self.pulling = False
        self._step(self.roots.read(self._draw.randint(1, 2)))

    def _improved(self) -> Improved | None:
        score = self.problem.score(self.result)
        if score is None or (self.score is not None and score >= self.score):
            return None
        self.score = score
        return Improved(score)

    def _commit(self) -> None:
        self.coordinator.state.take_changes()
        self.disk, self.disk_result = self.coordinator.state.to_snapshot(), self.result

    def _check(self) -> None:
        """What is said of the optimum is true, and never less than it was."""
        told = proven_bound(self.coordinator.state, self.coordinator.volatile, self.settings)
        assert told is None or told <= self.problem.optimum, "nothing is better than the bound"
        assert self.told is None or (told is not None and told >= self.told), "what is proven stays proven"
        assert self.result is None or told is None or told <= self.problem.score(self.result)
        self.told = told
        if self.coordinator.phase is Phase.EXPLORING and told is not None:
            self.sometimes["known while exploring"] += 1
            self.sometimes["known, and not the optimum"] += told < self.problem.optimum
            self.sometimes["known without a solution"] += self.result is None
            self.sometimes["known with leases out"] += bool(self.coordinator.state.leases)
            self.sometimes[f"known by {type(self.problem).__name__}"] += 1
        self.sometimes["not known"] += told is None

    def _check_answer(self) -> None:
        score, optimum, gap = self.problem.score(self.result), self.problem.optimum, self.problem.gap
        if score is None:
            assert all(each is None for each in self.problem.drawn[0])
            return
        assert score == optimum or optimum > score - gap, "the optimum is missed by less than the gap"
        assert self.told >= score - gap, "at the end nothing is left but the gap"
        self.sometimes["missed by less than the gap"] += score != optimum

    def _restart(self) -> None:
        """Start the coordinator again from the disk; the workers find out."""
        self.sometimes["restarted"] += 1
        result = self.disk_result
        state = State.from_snapshot(self.disk, self.order)
        state.apply(Restarted())
        self.disk, self.disk_result = state.to_snapshot(), result
        self._begin_coordinator(state, result)

    # Workers

    def _begin_worker(self, peer: int) -> None:
        half = Worker(hello(f"{peer}-{self.steps}"), self.now_ms)
        self.workers[peer] = VirtualWorker(half, exploring.Exploring(self.task, self.kernel))
        self.up[peer] = list(self.workers[peer].start())
        self.down[peer] = []

    def _replace_somebody(self) -> None:
        """A process dies, with all that is under way to it and from it, and another takes its place."""
        self.sometimes["died"] += 1
        peer = self._draw.choice(sorted(self.workers))
        self._begin_worker(peer)
        self._step(PeerGone(Peer(peer), "died"))

    def _deliver_up(self, peer: int) -> None:
        self._step(Received(Peer(peer), self.up[peer].pop(0)))

    def _deliver_down(self, peer: int) -> None:
        self.up[peer] += self.workers[peer].receive((self.down[peer].pop(0),), self.now_ms)

    def _turn(self, peer: int) -> None:
        self.up[peer] += self.workers[peer].turn(self.now_ms)

    def _pass_time(self) -> None:
        self.now_ms += self._draw.choice([10, 100, 600, 3_000])
        for peer, virtual in self.workers.items():
            self.up[peer] += virtual.tick(self.now_ms)
        self._step(Tick())
