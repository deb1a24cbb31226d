"""Roots by index or one after the other, with the whole weight divided among them, across restarts too."""

from __future__ import annotations

import msgspec
import pytest

from parry_mpi.core.events import RootsRead
from parry_mpi.core.state import Counters
from parry_mpi.errors import ProblemError
from parry_mpi.job import WHOLE, Job, total_weight
from parry_mpi.problem import Enumeration
from parry_mpi.runtime.roots import RootSource
from parry_mpi.task import Task


class Listed(Enumeration[int, int]):
    count: int = 5

    def roots(self):
        return range(self.count)


class Pulled(Listed):
    fails_at: int = -1

    def roots(self):
        for root in range(self.count):
            if root == self.fails_at:
                raise ValueError("no more")
            yield root


def read_all(source: RootSource, at_once: int) -> list[RootsRead]:
    reads = [source.read(at_once)]
    while not reads[-1].exhausted:
        reads.append(source.read(at_once))
    return reads


def nodes(reads: list[RootsRead]) -> list[int]:
    return [msgspec.msgpack.decode(job.node) for read in reads for job in read.jobs]


def test_by_index():
    """Protects memory: a sweep of any length is one job until it is divided."""
    source = RootSource(Task(Listed(count=10**12)), Counters())
    assert RootsRead((Job(weight=WHOLE, count=10**12),), 10**12, exhausted=True, unpulled_weight=0) == source.read(4)


def test_none():
    """Protects a sweep of nothing: it is over at once."""
    assert RootsRead((), 0, exhausted=True, unpulled_weight=0) == RootSource(Task(Listed(count=0)), Counters()).read(4)
    assert RootsRead((), 0, exhausted=True, unpulled_weight=0) == RootSource(Task(Pulled(count=0)), Counters()).read(4)


@pytest.mark.parametrize("at_once", [1, 2, 4, 5, 100])
def test_pulled(at_once):
    """Protects every root from being forgotten or read twice, however many are read at once, and the explored share."""
    reads = read_all(RootSource(Task(Pulled()), Counters()), at_once)
    assert list(range(5)) == nodes(reads)
    assert [read.exhausted for read in reads] == [False] * (len(reads) - 1) + [True]
    left = WHOLE
    for read in reads:
        left -= total_weight(read.jobs)
        assert 0 <= read.unpulled_weight <= left
    assert reads[-1].unpulled_weight == 0
    assert reads[-1].pulled == 5


@pytest.mark.parametrize("pulled", range(6))
def test_after_a_restart(pulled):
    """Protects a run that is taken up: it goes on with the first root that was not taken yet."""
    counters = Counters(roots_pulled=pulled, unpulled_weight=1000)
    reads = read_all(RootSource(Task(Pulled()), counters), 2)
    assert list(range(pulled, 5)) == nodes(reads)
    assert sum(total_weight(read.jobs) for read in reads) <= 1000


def test_error():
    """Protects whoever's generator raises: it is told as theirs."""
    source = RootSource(Task(Pulled(fails_at=3)), Counters())
    assert [0, 1] == nodes([source.read(2)])
    with pytest.raises(ProblemError, match="no more"):
        source.read(2)
