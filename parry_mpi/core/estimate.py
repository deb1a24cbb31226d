"""Estimate how many nodes a tree has while it is explored, and say between which bounds.

The weighted backtrack estimator, for a farm of leases: what is not explored yet is thought to have as many nodes for its weight as what was
explored near by. Near by is the same lease; what a lease gives away takes its density along, so that a part of the tree that turned out
large stays large wherever it is explored. This module must not know the time, and nothing is decided by what it says.

Source: Knuth, "Estimating the efficiency of backtrack programs", Mathematics of Computation 29, 1975; Kilby, Slaney, Thiebaux, Walsh,
"Estimating search tree size", AAAI 2006 (weighted backtrack estimator, and the recursive one, which compares a subtree with its siblings);
Cochran, "Sampling Techniques", chapter 6 (the ratio estimator and its variance). docs/progress.md says how good it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import msgspec

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.records import Granted, Reported, RootsPulled, Voided
from parry_mpi.core.state import AnyRecord, State
from parry_mpi.job import WHOLE, Job, total_weight

PRIOR_PART = 0.05
"""How much is made of what was known of a job before it was begun: as if it had been seen of this part of its weight. Without it the
first leaves of a lease, few nodes of next to no weight, would speak for all of it."""

BATCHES_MAX = 64
"""Reports are gathered in so many batches at most, each of about as many nodes: enough to tell their spread, and small."""

BATCHES_MIN = 8
"""Fewer batches tell nothing: no estimate yet."""

COARSEST = 8
"""Batches are also compared in so many larger ones, because one large subtree fills many that follow on each other."""

MILESTONE = 2**0.25
MILESTONES_MAX = 8
"""What was estimated when so much less was explored, back to a quarter of it: it shows where the estimate is going."""

DEVIATIONS = 2.0
DEVIATION_MIN = 0.15
"""How many standard deviations the interval reaches to both sides, and the least that one is taken for; chosen by how often the truth
was inside, see docs/progress.md."""

GROWTH_KNOWN = 0.8
LONGER_MAX = 10.0
"""An estimate that grows as quickly as what is explored (growth 1) says nothing about the end. All that is known then is that the run
is somewhere on its way: with nine chances in ten it is past its first tenth. Up to GROWTH_KNOWN that plays no part."""


class Estimate(msgspec.Struct, frozen=True):
    """How many nodes there are in all, explored ones included, and how long the others will take.

    Args:
        nodes, nodes_low, nodes_high: the estimate and its interval.
        seconds_left, seconds_left_low, seconds_left_high: None while nothing is explored.
    """

    nodes: float
    nodes_low: float
    nodes_high: float
    seconds_left: float | None = None
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None

    def at(self, explored: int, nodes_per_s: float) -> Estimate:
        """Return it with the time left at this speed."""
        if nodes_per_s <= 0:
            return self
        left, low, high = ((each - explored) / nodes_per_s for each in (self.nodes, self.nodes_low, self.nodes_high))
        return msgspec.structs.replace(self, seconds_left=left, seconds_left_low=low, seconds_left_high=high)


class Level(msgspec.Struct):
    """The pending jobs of one depth.

    Args:
        count: how many.
        known, unknown: the weight of those of which something is known, and of the others.
        nodes: how many nodes are expected in those of which something is known.
    """

    count: int = 0
    known: int = 0
    unknown: int = 0
    nodes: float = 0.0

    def give(self, count: int, weight: int) -> tuple[int, float]:
        """Take so many jobs of this weight out; return how much of that is known, and how many nodes are expected in it."""
        both = self.known + self.unknown
        part = weight * self.known // both if both else 0
        nodes = self.nodes * part / self.known if self.known else 0.0
        self.count -= count
        self.known -= part
        self.unknown -= weight - part
        self.nodes -= nodes
        return part, nodes


class Held(msgspec.Struct):
    """A lease.

    Args:
        weight: of what it was granted.
        left: of what remains.
        expected: nodes for the whole weight, by what was known before; None if nothing was.
        nodes, explored: what was explored of it since, and the weight of that.
    """

    weight: int
    left: int
    expected: float | None
    nodes: int = 0
    explored: int = 0

    def density(self, mean: float) -> float:
        """Nodes for the whole weight, by all that is known.

        Args:
            mean: that of the whole tree, which counts where nothing was known before.
        """
        prior = PRIOR_PART * self.weight
        expected = mean if self.expected is None else self.expected
        return (self.nodes * WHOLE + expected * prior) / max(self.explored + prior, 1)


class Batches(msgspec.Struct):
    """What was explored, cut into pieces of about as many nodes that follow on each other.

    Args:
        pieces: nodes and weight of each.
        size: how many nodes fill one.
    """

    pieces: list[tuple[int, int]] = msgspec.field(default_factory=lambda: [(0, 0)])
    size: int = 1

    def add(self, nodes: int, weight: int) -> None:
        """Add a report."""
        pieces = self.pieces
        pieces[-1] = (pieces[-1][0] + nodes, pieces[-1][1] + weight)
        if pieces[-1][0] < self.size:
            return
        if len(pieces) == BATCHES_MAX:
            self.pieces = pieces = [_joined(pieces[index : index + 2]) for index in range(0, BATCHES_MAX, 2)]
            self.size = 2 * max(nodes for nodes, _ in pieces)
        pieces.append((0, 0))

    def deviation(self) -> float:
        """The relative standard deviation of nodes by weight, as the batches have it; the largest over their groupings."""
        pieces = self.pieces if self.pieces[-1][0] else self.pieces[:-1]
        found = 0.0
        while len(pieces) >= COARSEST:
            found = max(found, _deviation(pieces))
            pieces = [_joined(pieces[index : index + 2]) for index in range(0, len(pieces), 2)]
        return found


class Estimator:
    """Watches the records of a run. Memory is bounded by the leases and the depths of pending jobs.

    Args:
        state: where the run stands; what was explored before is one batch.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._levels: dict[int, Level] = {}
        self._held: dict[LeaseId, Held] = {}
        self._batches = Batches()
        self._milestones: deque[tuple[int, float]] = deque(maxlen=MILESTONES_MAX)
        self._explored = state.explored_weight
        self._put((job for _, job in state.pending.unordered()), None)
        for lease_id, lease in state.leases.items():
            weight = total_weight(lease.jobs)
            self._held[lease_id] = Held(weight, weight, None)
        if state.counters.nodes:
            self._batches.add(state.counters.nodes, self._explored)

    def take(self, record: AnyRecord) -> None:
        """Take in a record that was applied to the state just now."""
        match record:
            case RootsPulled():
                self._put(record.jobs, None)
                self._explored = self._state.explored_weight
            case Granted():
                self._granted(record)
            case Reported():
                self._reported(record)
            case Voided():
                self._put(record.pending, self._held.pop(record.lease).density(self._mean()))
            case _:
                pass  # who joins changes nothing; after a restart and a retry there is another estimator

    def estimate(self) -> Estimate | None:
        """Return what is thought now; None while there is too little to go by. When nothing is left it is exact."""
        nodes, total = self._state.counters.nodes, self._total()
        if self._state.done:
            return Estimate(nodes, nodes, nodes)
        if total is None or len(self._batches.pieces) <= BATCHES_MIN:
            return None
        left = total - nodes
        spread = DEVIATIONS * math.hypot(DEVIATION_MIN, self._batches.deviation(), self._drift(total))
        factor = min(math.exp(spread), LONGER_MAX)
        return Estimate(total, nodes + left / factor, max(nodes + left * factor, self._grown(nodes, total)))

    def _granted(self, record: Granted) -> None:
        counts: dict[int, list[int]] = {}  # by depth: jobs that go, their weight; bundles may have thousands of the same depth
        for job in record.jobs:
            found = counts.setdefault(job.depth, [0, 0])
            found[0] += 1
            found[1] += job.weight
        for job in record.left:
            counts[job.depth][0] -= 1  # the job that was cut stays, smaller
        known, expected, weight = 0, 0.0, 0
        for depth, (count, taken) in counts.items():
            its_known, its_expected = self._levels[depth].give(count, taken)
            known += its_known
            expected += its_expected
            weight += taken
            if not self._levels[depth].count:
                del self._levels[depth]
        self._held[record.lease] = Held(weight, weight, expected * WHOLE / known if 2 * known > weight else None)

    def _reported(self, record: Reported) -> None:
        held = self._held[record.lease]
        left, shared = total_weight(record.remaining), total_weight(record.shared)
        weight = held.left - left - shared
        held.nodes += record.nodes
        held.explored += weight
        held.left = left
        self._explored += weight
        self._batches.add(record.nodes, weight)
        self._put(record.shared, held.density(self._mean()) if self._explored else None)
        if not record.remaining:
            del self._held[record.lease]
        nodes = self._state.counters.nodes
        if (not self._milestones or nodes >= MILESTONE * self._milestones[-1][0]) and (total := self._total()) is not None:
            self._milestones.append((nodes, total))

    def _put(self, jobs: Iterable[Job], density: float | None) -> None:
        for job in jobs:
            level = self._levels.setdefault(job.depth, Level())
            level.count += 1
            if density is None:
                level.unknown += job.weight
            else:
                level.known += job.weight
                level.nodes += density * job.weight / WHOLE

    def _total(self) -> float | None:
        """How many nodes there seem to be; None if nothing is known yet."""
        nodes = self._state.counters.nodes
        if not self._explored or not nodes:
            return None
        mean = self._mean()
        unknown = self._state.counters.unpulled_weight + self._state.quarantined_weight
        left = 0.0
        for level in self._levels.values():
            left += level.nodes
            unknown += level.unknown
        for held in self._held.values():
            left += held.left * held.density(mean) / WHOLE
        jobs_left = self._state.pending.units + self._state.leased_count  # each has one node at least
        return nodes + max(float(jobs_left), left + unknown * mean / WHOLE)

    def _mean(self) -> float:
        """Nodes for the whole weight, by all that was explored."""
        return self._state.counters.nodes * WHOLE / max(self._explored, 1)

    def _drift(self, total: float) -> float:
        """How far the estimates of late were from the present one, as a logarithm."""
        squares = [math.log(earlier / total) ** 2 for _, earlier in self._milestones]
        return math.sqrt(sum(squares) / len(squares)) if squares else 0.0

    def _grown(self, nodes: int, total: float) -> float:
        """What the estimate comes to if it goes on growing as it did: as a power of the nodes explored, until it equals them."""
        growth = 0.0
        for at, earlier in self._milestones:
            if nodes >= 2**0.5 * at:
                growth = max(growth, min(1.0, math.log(total / earlier) / math.log(nodes / at)))
        lost = max(0.0, growth - GROWTH_KNOWN) / (1 - GROWTH_KNOWN)
        steps = min(math.log(total / nodes) / max(1 - growth, 1e-9), math.log(total * LONGER_MAX / nodes))
        return nodes * max(math.exp(steps), math.pow(LONGER_MAX, lost))


def _joined(pieces: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(nodes for nodes, _ in pieces), sum(weight for _, weight in pieces)


def _deviation(pieces: list[tuple[int, int]]) -> float:
    """The relative standard deviation of the ratio of nodes to weight (Cochran, 6.3)."""
    nodes, weight = _joined(pieces)
    if not nodes or not weight:
        return 0.0
    ratio = nodes / weight
    squares = sum((each - ratio * its_weight) ** 2 for each, its_weight in pieces)
    return math.sqrt(squares * len(pieces) / (len(pieces) - 1)) / nodes
