"""A virtual worker: the shipped protocol half, and an explorer that walks an abstract tree instead of running a user's code.

ToyExploring stands in for runtime.exploring.Exploring and has its interface: order(), busy, turn(). It is small enough to be copied
a million times; the shipped one serves in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Protocol

import msgspec

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.messages import Die, FromCoordinator, Hello
from parry_mpi.core.worker import (
    Abandon,
    Actions,
    Ask,
    Begin,
    Died,
    Go,
    HandedOver,
    Raised,
    ToExplorer,
    Want,
    Worker,
)
from parry_mpi.job import Job, cut, shares
from support.trees import Poisoned, Tree, encoded

FINGERPRINT = "toy"

POISONED = "poisoned"
"""The reason of a death by a poison node."""

_decode = msgspec.msgpack.Decoder(int).decode
_encode = msgspec.msgpack.Encoder().encode


class Explorer(Protocol):
    """What explores for a virtual worker."""

    @property
    def busy(self) -> bool: ...

    def order(self, order: ToExplorer) -> None: ...

    def turn(self) -> HandedOver | Raised | None: ...


class ToyExploring:
    """Explore an abstract tree, some nodes a turn.

    Args:
        tree: the tree.
        budget: how many nodes are explored in a turn.
        poison: nodes whose exploration kills.
        raising: nodes whose exploration raises.
        winning: nodes that end the search; what is found there is told at once.
        bounding: whether jobs have bounds: the later a node is numbered, the better, which is not the order of depths.
        node_us: how long a node is said to take.
    """

    def __init__(
        self,
        tree: Tree,
        budget: int = 1,
        poison: frozenset[int] = frozenset(),
        raising: frozenset[int] = frozenset(),
        winning: frozenset[int] = frozenset(),
        node_us: int = 0,
        *,
        bounding: bool = False,
    ) -> None:
        self.tree = tree
        self.budget = budget
        self.poison = poison
        self.raising = raising
        self.winning = winning
        self.node_us = node_us
        self.bounding = bounding
        self.stop()

    def stop(self) -> None:
        """Forget the lease."""
        self.begin: Begin | None = None
        self.stack: tuple[Job, ...] = ()
        self.value = 0
        self.nodes = 0
        self.stretch: int | None = None
        self.want: Want | None = None
        self.won = False

    def copy(self) -> ToyExploring:
        """Return an independent copy; all that it holds is immutable."""
        other = ToyExploring.__new__(ToyExploring)
        other.__dict__.update(self.__dict__)
        return other

    @property
    def busy(self) -> bool:
        return self.begin is not None and (self.want is not None or self.stretch != 0)

    def order(self, order: ToExplorer) -> None:
        if isinstance(order, Begin):
            self.stop()
            self.begin = order
            self.stack = order.jobs
            self.stretch = 0 if order.careful else None
            self.want = Want.CHECKPOINT if order.careful else Want.SPLIT if order.split else None
        elif self.begin is None or order.lease != self.begin.lease:
            return
        elif isinstance(order, Ask):
            self.want = order.want
        elif isinstance(order, Go):
            self.stretch = order.stretch or None
            self.want = Want.SPLIT if order.split else self.want
        elif isinstance(order, Abandon):
            self.stop()

    def turn(self) -> HandedOver | Raised | None:
        assert self.begin is not None
        if self.want in {Want.CHECKPOINT, Want.SURRENDER}:
            return self._hand_over(())
        if self.stretch is None and self.want is Want.SPLIT and len(self.stack) > 1:
            return self._split_and_hand_over()
        try:
            for _ in range(min(self.budget, self.stretch or self.budget)):
                self._explore_one()
                if not self.stack or self.stretch == 0 or self.won:
                    break
        except ArithmeticError as error:
            lease, before = self.begin.lease, self._hand_over(())
            self.stop()
            return Raised(lease, str(error), "", str(error), exact=True, before=before)
        if not self.stack or self.won:
            return self._hand_over(())
        if self.stretch == 0:
            return self._split_and_hand_over() if self.want is Want.SPLIT else self._hand_over(())
        return None

    def _explore_one(self) -> None:
        self.stack = alone_last(self.tree, self.stack)
        job = self.stack[-1]
        node = _decode(job.node)
        if node in self.poison:
            raise Poisoned(node)
        if node in self.raising:
            raise ArithmeticError(f"node {node} cannot be explored")
        children = self.tree.children[node]
        weights = shares(job.weight, len(children) or 1)
        self.stack = self.stack[:-1] + tuple(
            Job(encoded(child), job.depth + 1, job.killed, weight, bound=-child if self.bounding else None)
            for child, weight in zip(reversed(children), weights, strict=False)
        )
        self.value += self.tree.alone[node]
        self.nodes += 1
        self.won = node in self.winning
        if self.stretch is not None:
            self.stretch -= 1

    def _split_and_hand_over(self) -> HandedOver:
        half = len(self.stack) // 2
        shared, self.stack = self.stack[:half], self.stack[half:]
        return self._hand_over(shared)

    def _hand_over(self, shared: tuple[Job, ...]) -> HandedOver:
        assert self.begin is not None
        if self.stretch is not None:
            self.stack = alone_last(self.tree, self.stack)
        value = _encode(self.value) if self.nodes else b""
        told = HandedOver(self.begin.lease, self.nodes, value, self.nodes * self.node_us, self.nodes, self.stack, shared)
        self.value = self.nodes = 0
        self.won = False
        if self.stretch is not None:
            self.stretch = 0
        if not self.stack or self.want is Want.SURRENDER:
            self.stop()
        self.want = None
        return told


def alone_last(tree: Tree, stack: tuple[Job, ...]) -> tuple[Job, ...]:
    """Cut the last root off a run of roots, so that the last job is one node."""
    if not stack or not stack[-1].count:
        return stack
    run = stack[-1]
    rest: tuple[Job, ...] = ()
    if run.count > 1:
        kept, run = cut(run, run.count - 1)
        rest = (kept,)
    root = Job(encoded(tree.roots[run.first]), run.depth, run.killed, run.weight)
    return (*stack[:-1], *rest, root)


class VirtualWorker:
    """A worker: what it says is returned as frames, what it explores happens in turn().

    Args:
        half: the protocol.
        explorer: who explores.

    Attributes:
        told: what the explorer told and the half did not hear yet; used where there is a pipe between them.
        begun: the newest lease that the explorer was ever told to begin.
        canon: room for what support.copies keeps.
    """

    def __init__(self, half: Worker, explorer: Explorer) -> None:
        self.half = half
        self.explorer = explorer
        self.told: tuple[HandedOver | Raised | Died, ...] = ()
        self.begun = LeaseId(0)
        self.canon = None

    def copy(self) -> VirtualWorker:
        """Return an independent copy; for toy explorers only."""
        assert isinstance(self.explorer, ToyExploring)
        other = VirtualWorker(copy_half(self.half), self.explorer.copy())
        other.told, other.begun = self.told, self.begun
        return other

    def receive(self, messages: tuple[FromCoordinator, ...], now_ms: int) -> list:
        """Take in a frame; return what is said."""
        said = []
        for message in messages:
            said += self._perform(self.half.receive, message, now_ms)
            assert not isinstance(message, Die) or self.half.lease != message.lease, "a worker goes on with a dead lease"
        return said

    def turn(self, now_ms: int) -> list:
        """Let the explorer take a turn; return what is said."""
        return self.explored(*self.explore(), now_ms)

    def explore(self) -> tuple[HandedOver | Raised | Died | None, int | None]:
        """Let the explorer take a turn; return what it tells, and under which lease it died, if it did."""
        lease = self.half.lease
        try:
            return self.explorer.turn(), None
        except Poisoned:
            return None, lease

    def explored(self, event: HandedOver | Raised | Died | None, died: int | None, now_ms: int) -> list:
        """Take in what the explorer did; return what is said."""
        if died is not None:
            return self.crash(now_ms, POISONED, died)
        return [] if event is None else self._perform(self.half.explored, event, now_ms)

    def turn_unheard(self) -> None:
        """Let the explorer take a turn; what it tells, or that it died, is heard later."""
        event, died = self.explore()
        if died is not None:
            self.crash_unheard(POISONED)
        elif event is not None:
            self.told += (event,)

    def crash_unheard(self, why: str = "crashed") -> None:
        """Let the explorer die; it is heard later, after what it told before."""
        assert self.half.lease is not None
        lease = self.half.lease if self.explorer.begin is None else self.explorer.begin.lease
        self.explorer.order(Abandon(lease))
        self.told += (Died(lease, why),)

    def hear(self, now_ms: int) -> list:
        """Take in the oldest of what the explorer told; return what is said."""
        event, *rest = self.told
        self.told = tuple(rest)
        return self._perform(self.half.explored, event, now_ms)

    def crash(self, now_ms: int, why: str = "crashed", lease: int | None = None) -> list:
        """Let the explorer die; return what is said."""
        lease = self.half.lease if lease is None else lease
        if lease is None:
            return []
        self.explorer.order(Abandon(lease))
        return self._perform(self.half.explored, Died(lease, why), now_ms)

    def tick(self, now_ms: int) -> list:
        """Let time pass; return what is said."""
        return self._perform(self.half.tick, now_ms)

    def start(self) -> list:
        """Say hello."""
        return self._perform(self.half.start)

    def _perform(self, act: Callable[..., Actions], *args: object) -> list:
        held = self.half.lease
        actions = act(*args)
        for message in actions.sends:
            assert getattr(message, "lease", held) == held, "a worker speaks under a lease that it does not hold"
        for order in actions.orders:
            if isinstance(order, Begin):
                assert order.lease > self.begun, "a worker begins a lease twice, or one older than it knew"
                self.begun = order.lease
            self.explorer.order(order)
        return actions.sends


def hello(token: str, heartbeat_ms: int = 0, fingerprint: str = FINGERPRINT) -> Hello:
    """How a virtual worker introduces itself."""
    return Hello(fingerprint, "host", 1, token, heartbeat_ms)


def copy_half(half: Worker) -> Worker:
    """Return an independent copy of a worker's half; tests/unit/test_worker.py checks that nothing is forgotten."""
    other = Worker.__new__(Worker)
    other.__dict__.update(half.__dict__)
    work = copy(half._work)
    work.unanswered = work.unanswered[:]
    work.waiting = work.waiting[:]
    other._work = work
    return other
