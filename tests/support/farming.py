"""A whole run in one thread and without a clock: the shipped coordinator, and workers that explore a problem of jobs/ in slices.

Nothing gets lost and nothing is late, unless a test says so; support.simulation is for what may go wrong. This module must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parry_mpi import Explore
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, Improved, PeerGone, Phase, Received
from parry_mpi.core.ids import LeaseId, Peer, WorkerId
from parry_mpi.core.messages import Bundle, Die, FromWorker, GetJob, Hello, Incumbent, Report, Share, Welcome
from parry_mpi.core.policy import Settings
from parry_mpi.core.state import State
from parry_mpi.data import Gathered
from parry_mpi.runtime.roots import RootSource
from parry_mpi.search.exploration import Exploration
from parry_mpi.task import Task

SLICE_MS = 20
"""How long a slice lasts in virtual time, whatever is explored in it; real workers aim at as much."""


class Hand:
    """A worker.

    Args:
        peer: where it is.
        kernel: its own, for a kernel keeps its frontier in memory of its own.
    """

    def __init__(self, peer: Peer, kernel: Explore | None) -> None:
        self.peer = peer
        self.kernel = kernel
        self.worker = WorkerId(0)
        self.lease: LeaseId | None = None
        self.exploration: Exploration | None = None
        self.seq = self.slices = 0
        self.asked = False


class Farm:
    """A run.

    Args:
        problem: what is explored.
        hands_count: how many workers there are.
        slice_nodes: how many nodes each explores in a turn.
        slices_per_report: how many turns later it reports, if nobody asks before.

    Attributes:
        coordinator: as it is now.
        result: what was found so far; of a collection only how much.
        early: what the steps led to in which workers joined, before run() or between its steps.
    """

    def __init__(self, problem: Any, hands_count: int = 2, slice_nodes: int = 50, slices_per_report: int = 25) -> None:
        self._task = Task(problem)
        self._slice_nodes = slice_nodes
        self._slices_per_report = slices_per_report
        self._settings = Settings("farm", grace_ms=0)
        self._now_ms = 0
        self._enough = problem.enough()
        self._score: Any = None
        self.result = problem.zero()
        self.coordinator = Coordinator(State(), self._settings)
        self._roots = RootSource(self._task, self.coordinator.state.counters)
        self._hands: dict[Peer, Hand] = {}
        self.early: list[Effects] = []
        self._peers_count = 0
        for _ in range(hands_count):
            self.join()

    def run(self) -> Iterator[Effects]:
        """Explore to the end, giving what each step of the coordinator led to."""
        while self.coordinator.phase is not Phase.ENDED:
            self._now_ms += SLICE_MS
            for hand in tuple(self._hands.values()):
                if hand.exploration is not None:
                    yield from self._explore(hand)
            if self.coordinator.phase is Phase.SETTLING:
                yield from self._step(Committed())

    def join(self) -> None:
        """Have another worker join."""
        self._peers_count += 1
        hand = Hand(Peer(self._peers_count), self._task.problem.kernel())
        self._hands[hand.peer] = hand
        self.early += self._say(hand, Hello("farm", "here", hand.peer, f"hand {hand.peer}"))

    def lose(self) -> list[Effects]:
        """Lose the worker that has been there longest, and what it has not reported."""
        hand = next(iter(self._hands.values()))
        del self._hands[hand.peer]
        return list(self._step(PeerGone(hand.peer, "lost")))

    def restart(self) -> list[Effects]:
        """Lose all workers and the coordinator, and take up what is on disk."""
        count = len(self._hands)
        self._hands.clear()
        self.coordinator = Coordinator(State.from_snapshot(self.coordinator.state.to_snapshot()), self._settings)
        self._roots = RootSource(self._task, self.coordinator.state.counters)
        effects = self.coordinator.restart()
        self._score = None
        for _ in range(count):
            self.join()
        return [effects]

    def _explore(self, hand: Hand) -> Iterator[Effects]:
        exploration = hand.exploration
        assert exploration is not None
        exploration.slice(self._slice_nodes)
        hand.slices += 1
        shared = exploration.split() if hand.asked else ()
        if exploration.done or hand.asked or exploration.improved or hand.slices >= self._slices_per_report:
            found = exploration.take_found()
            hand.seq += 1
            hand.slices, hand.asked = 0, False
            worth = found.value.count if isinstance(found.value, Gathered) else found.value
            value = self._task.values.encode(worth) if found.nodes else b""
            done_us = found.nodes * 1000 * SLICE_MS // self._slice_nodes
            remaining = exploration.remaining()
            assert hand.lease is not None
            yield from self._say(
                hand, Report(hand.lease, hand.seq, found.nodes, value, done_us, found.solved, remaining, tuple(shared))
            )
            if not remaining and hand.exploration is exploration:
                hand.lease = hand.exploration = None
                yield from self._say(hand, GetJob(hand.worker))

    def _say(self, hand: Hand, message: FromWorker) -> Iterator[Effects]:
        return self._step(Received(hand.peer, message))

    def _step(self, event: Event) -> Iterator[Effects]:
        effects = self.coordinator.step(event, self._now_ms)
        problem = self._task.problem
        for fold in effects.folds:
            self.result = problem.add_result(self.result, self._task.values.decode(fold.value), fold.host)
        yield effects
        if effects.folds:
            score = problem.score(self.result)
            if score is not None and (self._score is None or score < self._score):
                self._score = score
                yield from self._step(Improved(score, self._enough is not None and score <= self._enough))
        if effects.pull:
            yield from self._step(self._roots.read(effects.pull))
        for peer, message in effects.sends:
            hand = self._hands.get(peer)
            if hand is None:
                continue
            if isinstance(message, Welcome):
                hand.worker = message.worker
                yield from self._say(hand, GetJob(hand.worker))
            elif isinstance(message, Bundle):
                hand.lease, hand.seq, hand.slices, hand.asked = message.lease, 0, 0, message.share
                hand.exploration = Exploration(self._task, message.jobs, hand.kernel, message.incumbent)
            elif isinstance(message, Share) and message.lease == hand.lease:
                hand.asked = True
            elif isinstance(message, Incumbent) and hand.exploration is not None and message.lease == hand.lease:
                hand.exploration.incumbent = message.score
            elif isinstance(message, Die) and message.lease == hand.lease:
                hand.lease = hand.exploration = None
                yield from self._say(hand, GetJob(hand.worker))
