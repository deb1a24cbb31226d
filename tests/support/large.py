"""A run with thousands of virtual workers, to see what the coordinator costs and how well the workers are used.

What is explored are piles: so many units of work, which may be cut anywhere but not fairly, as nobody knows the size of a subtree
before it is explored. That makes a slice cost the same however many units it has, and ten thousand workers affordable. In a sweep a
unit is a root, and the coordinator cuts bundles off the run of them.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, Phase, Received, RootsRead, Tick
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import Bundle, GetJob
from parry_mpi.core.policy import HEARTBEAT_US_A_WORKER, MESSAGE_US, Settings, pace_ms
from parry_mpi.core.state import State
from parry_mpi.core.worker import Abandon, Ask, Begin, Go, HandedOver, ToExplorer, Want, Worker
from parry_mpi.job import WHOLE, Job, shares
from parry_mpi.runtime.worker_loop import HEARTBEAT_MS
from support.protocol import FINGERPRINT, VirtualWorker, hello

UNIT_US = 200
SLICE_UNITS = 25
"""A slice lasts 5 ms."""

LATENCY_US = 150
TIMED_EVERY = 11
"""Reading the clock costs as much as half a step, so only some steps are timed; a prime number, so that no pattern is met."""

SECONDS_EACH = 8
"""How much work there is for each worker, if nothing else is said: little more than it takes to spread it from one root."""


Pile = Callable[[int, int, int], Job]
"""Makes a job of units, depth and weight."""


def cost_of_the_clock_s() -> float:
    """How much of what is measured is the measuring."""
    readings = [time.process_time() for _ in range(1001)]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(readings))


CLOCK_S = cost_of_the_clock_s()


class PileExploring:
    """Explore piles of work: the last one first.

    Args:
        pile: makes a pile.
    """

    def __init__(self, pile: Pile) -> None:
        self.pile = pile
        self.begin: Begin | None = None
        self.piles: list[Job] = []
        self.units = 0
        self.done = 0
        self.finished = 0
        self.want: Want | None = None
        self.draw = 12345

    @property
    def busy(self) -> bool:
        return self.begin is not None

    def order(self, order: ToExplorer) -> None:
        if isinstance(order, Begin):
            self.begin, self.piles, self.done, self.finished = order, list(order.jobs), 0, 0
            self.units = size_of(self.piles[-1])
            self.want = Want.CHECKPOINT if order.careful else Want.SPLIT if order.split else None
        elif self.begin is not None and order.lease == self.begin.lease:
            if isinstance(order, Ask):
                self.want = order.want
            elif isinstance(order, Abandon):
                self.begin = None
            assert not isinstance(order, Go), "nobody dies here"

    def advance(self, units: int) -> None:
        """So much was explored of the last pile."""
        self.units -= units
        self.done += units

    def turn(self) -> HandedOver | None:
        """Hand over if that is wanted, or if nothing is left."""
        if self.want is not None and self.units:
            return self._hand_over(self._split() if self.want is Want.SPLIT else ())
        if self.units == 0:
            self.piles.pop()
            self.finished += 1
            if not self.piles:
                return self._hand_over(())
            self.units = size_of(self.piles[-1])
        return None

    def _split(self) -> tuple[Job, ...]:
        if len(self.piles) > 1:
            half = len(self.piles) // 2
            given, self.piles = self.piles[:half], self.piles[half:]
            return tuple(given)
        if self.units < 2:
            return ()
        # Nobody knows how large a subtree is: between a twentieth and a half is given away.
        self.draw = (self.draw * 1103515245 + 12345) % 2**31
        given_units = max(1, self.units * (5 + self.draw % 46) // 100)
        kept, given = shares(self.piles[0].weight, 2)
        depth = self.piles[0].depth + 1
        self.units -= given_units
        self.piles = [self.pile(self.units, depth, kept)]
        return (self.pile(given_units, depth, given),)

    def _hand_over(self, shared: tuple[Job, ...]) -> HandedOver:
        assert self.begin is not None
        if self.piles:
            last = self.piles[-1]
            self.piles[-1] = self.pile(self.units, last.depth, last.weight)
        value = msgspec.msgpack.encode(self.done) if self.done else b""
        told = HandedOver(self.begin.lease, self.done, value, self.done * UNIT_US, self._solved(), tuple(self.piles), shared)
        self.done, self.finished, self.want = 0, 0, None
        if not self.piles:
            self.begin = None
        return told

    def _solved(self) -> int:
        """How many jobs were finished: of a sweep, one for each unit."""
        return self.done if self.pile is run_of_roots else self.finished


def pile(units: int, depth: int, weight: int) -> Job:
    """A job of so many units."""
    return Job(msgspec.msgpack.encode(units), depth, 0, weight)


def run_of_roots(units: int, depth: int, weight: int) -> Job:
    """The same for a sweep: so many roots. Which ones does not matter here."""
    return Job(b"", depth, 0, weight, 0, units)


def size_of(job: Job) -> int:
    """How many units a job has."""
    return job.count or msgspec.msgpack.decode(job.node, type=int)


@dataclass
class Measured:
    """What a large run looked like; times are virtual unless they are said to be measured; ``said`` is for each worker."""

    workers: int
    virtual_s: float
    utilisation: float
    steady_utilisation: float
    messages: int
    messages_per_s: float
    share_ms_median: float
    share_ms_99th: float
    said: dict[str, float]
    step_us: float
    queue_max: int
    exact: bool

    def __str__(self) -> str:
        return (
            f"{self.workers} workers, {self.virtual_s:.1f} s: utilisation {self.utilisation:.1%} in all, "
            f"{self.steady_utilisation:.1%} between the first and last tenth; {self.messages_per_s:.0f} messages/s at the coordinator; "
            f"from hungry to fed {self.share_ms_median:.1f} ms (median), {self.share_ms_99th:.1f} ms (99 %); "
            f"said by each worker: {', '.join(f'{count:.1f} {name}' for name, count in self.said.items())}; "
            f"at most {self.queue_max} frames waited there; measured {self.step_us:.0f} us of processor a step (simulated: {MESSAGE_US}); "
            f"exact: {self.exact}"
        )


@dataclass(frozen=True)
class Stretch:
    """What an explorer does without looking up: when it began, and how many units it explores."""

    began_us: int
    units: int


class LargeRun:
    """One coordinator, many workers, one pile; nothing fails.

    Args:
        workers: how many.
        seconds_each: how much work there is for each of them.
        sweep: whether it is a run of roots, and not one root.
    """

    def __init__(self, workers: int, seconds_each: int, *, sweep: bool = False) -> None:
        self._pile = run_of_roots if sweep else pile
        self._units = workers * seconds_each * 1_000_000 // UNIT_US
        self.coordinator = Coordinator(State(), Settings(FINGERPRINT))
        self.now_us = 0
        self._inbox: deque[tuple[int, list]] = deque()
        self._serving = False
        self._heap: list[tuple[int, int, Callable[..., None], tuple]] = []
        self._order = 0
        self._wake_at_us: int | None = None
        self.result = 0
        self.said: Counter[str] = Counter()
        self.queue_max = 0
        self._steps = 0
        self._timed_s: list[float] = []
        self._hungry_at_us: dict[int, int] = {}
        self.waits_us: list[int] = []
        self._busy_us: dict[int, int] = {}
        beat_ms = pace_ms(HEARTBEAT_MS, workers, HEARTBEAT_US_A_WORKER)
        self.workers = [
            VirtualWorker(Worker(hello(str(index), beat_ms), 0, workers), PileExploring(self._pile)) for index in range(workers)
        ]
        self._stretches: list[Stretch | None] = [None] * workers
        self._ticking: list[int | None] = [None] * workers
        self._later(0, self._step, Tick())
        for index, virtual in enumerate(self.workers):
            self._later(index, self._spoken, index, virtual.start())

    def run(self) -> Measured:
        """Run to the end."""
        while self._heap and self.coordinator.phase is not Phase.ENDED:
            at_us, _, function, args = heapq.heappop(self._heap)
            self.now_us = max(at_us, self.now_us)
            function(*args)
        seconds = [self._busy_us.get(second, 0) for second in range(self.now_us // 1_000_000 + 1)]
        tenth = max(1, len(seconds) // 10)
        steady = seconds[tenth:-tenth] or seconds
        count = len(self.workers)
        return Measured(
            count,
            self.now_us / 1e6,
            sum(seconds) / (self.now_us * count),
            sum(steady) / (len(steady) * 1e6 * count),
            messages := self.said.total(),
            messages * 1e6 / self.now_us,
            statistics.median(self.waits_us) / 1000,
            statistics.quantiles(self.waits_us, n=100)[-1] / 1000,
            {name: count_said / count for name, count_said in self.said.most_common()},
            statistics.fmean(self._timed_s) * 1e6,
            self.queue_max,
            self.result == self._units,
        )

    def _later(self, at_us: int, function: Callable[..., None], *args: object) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at_us, self._order, function, args))

    def _arrive(self, index: int, frame: list) -> None:
        """The coordinator takes in one frame after the other; those that come meanwhile wait."""
        if any(isinstance(message, GetJob) for message in frame):
            self._hungry_at_us.setdefault(index, self.now_us)
        self._inbox.append((index, frame))
        self.queue_max = max(self.queue_max, len(self._inbox))
        if not self._serving:
            self._serve()

    def _serve(self) -> None:
        index, frame = self._inbox.popleft()
        for message in frame:
            self.said[type(message).__name__] += 1
            self._step(Received(Peer(index), message))
        self._serving = True
        self._later(self.now_us + MESSAGE_US * len(frame), self._served)

    def _served(self) -> None:
        self._serving = False
        if self._inbox:
            self._serve()

    def _step(self, event: Event) -> None:
        self._steps += 1
        if self._steps % TIMED_EVERY:
            effects = self.coordinator.step(event, self.now_us // 1000)
        else:
            began_s = time.process_time()
            effects = self.coordinator.step(event, self.now_us // 1000)
            self._timed_s.append(time.process_time() - began_s - CLOCK_S)
        self._take(effects)

    def _take(self, effects: Effects) -> None:
        self.result += sum(msgspec.msgpack.decode(fold.value, type=int) for fold in effects.folds)
        for peer, message in effects.sends:
            if isinstance(message, Bundle) and peer in self._hungry_at_us:
                self.waits_us.append(self.now_us - self._hungry_at_us.pop(peer))
            self._later(self.now_us + LATENCY_US, self._hear, peer, message)
        if effects.wake_at_ms is not None:
            at_us = max(effects.wake_at_ms * 1000, self.now_us + 1000)
            if self._wake_at_us is None or at_us < self._wake_at_us:
                self._wake_at_us = at_us
                self._later(at_us, self._tick)
        if effects.pull:
            self._step(RootsRead((self._pile(self._units, 0, WHOLE),), 1, exhausted=True, unpulled_weight=0))
        if effects.must_commit:
            self._step(Committed())

    def _tick(self) -> None:
        if self._wake_at_us is not None and self._wake_at_us <= self.now_us:
            self._wake_at_us = None
            self._step(Tick())

    def _hear(self, index: int, message: object) -> None:
        self._spoken(index, self.workers[index].receive((message,), self.now_us // 1000))

    def _spoken(self, index: int, said: list) -> None:
        if said:
            self._later(self.now_us + LATENCY_US, self._arrive, index, said)
        virtual = self.workers[index]
        stretch = self._stretches[index]
        if virtual.explorer.busy and stretch is None:
            self._explore(index)
        elif stretch is not None and virtual.explorer.want is not None:
            self._interrupt(index, stretch)
        wake_at_ms = virtual.half.wake_at_ms()
        ticking = self._ticking[index]
        if wake_at_ms is not None and (ticking is None or wake_at_ms < ticking):
            self._ticking[index] = wake_at_ms
            self._later(max(wake_at_ms * 1000, self.now_us + 1000), self._tick_worker, index)

    def _tick_worker(self, index: int) -> None:
        ticking = self._ticking[index]
        if ticking is not None and ticking * 1000 <= self.now_us:
            self._ticking[index] = None
            self._spoken(index, self.workers[index].tick(self.now_us // 1000))

    def _explore(self, index: int) -> None:
        """Let the explorer begin a stretch: it ends with the pile, or at the end of the slice in which an order comes."""
        explorer = self.workers[index].explorer
        units = 0 if explorer.want is not None else explorer.units
        stretch = self._stretches[index] = Stretch(self.now_us, units)
        self._later(self.now_us + units * UNIT_US, self._explored, index, stretch)

    def _interrupt(self, index: int, stretch: Stretch) -> None:
        slices = -(-(self.now_us - stretch.began_us) // (SLICE_UNITS * UNIT_US))
        if slices * SLICE_UNITS < stretch.units:
            stretch = self._stretches[index] = Stretch(stretch.began_us, slices * SLICE_UNITS)
            self._later(stretch.began_us + stretch.units * UNIT_US, self._explored, index, stretch)

    def _explored(self, index: int, stretch: Stretch) -> None:
        if self._stretches[index] is not stretch:
            return
        self._stretches[index] = None
        virtual = self.workers[index]
        if virtual.explorer.busy:
            virtual.explorer.advance(stretch.units)
            for second in range(stretch.began_us // 1_000_000, self.now_us // 1_000_000 + 1):
                begin_us, end_us = max(stretch.began_us, second * 1_000_000), min(self.now_us, (second + 1) * 1_000_000)
                self._busy_us[second] = self._busy_us.get(second, 0) + end_us - begin_us
            event, _ = virtual.explore()
            self._spoken(index, virtual.explored(event, None, self.now_us // 1000))


def measure(workers: int, seconds_each: int = SECONDS_EACH, *, sweep: bool = False) -> Measured:
    """Run with so many workers and say how it went."""
    return LargeRun(workers, seconds_each, sweep=sweep).run()
