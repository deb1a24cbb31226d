"""What an explorer makes of its orders, without a process: every node is handed over once, whatever it is asked for."""

from __future__ import annotations

import sys

import msgspec
import pytest
from support.toys import LEASE, begin, binary, exploring

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.worker import Abandon, Ask, Died, Go, HandedOver, Raised, Want
from parry_mpi.job import WHOLE, Job, total_weight
from parry_mpi.problem import Enumeration
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.task import Task

WHOLE_TREE = 127


def to_the_next_word(explorer: Exploring) -> HandedOver | Raised | Died:
    for _ in range(100_000):
        told = explorer.turn()
        if told is not None:
            return told
    raise AssertionError("it never said anything")


def value_of(told: HandedOver) -> int:
    return msgspec.msgpack.decode(told.value) if told.nodes else 0


def fail() -> None:
    raise ValueError("no")


def no_memory() -> None:
    raise MemoryError


def test_to_the_end():
    """Protects the count: left alone, an explorer hands over everything at once and wants no more turns."""
    explorer = exploring()
    assert not explorer.busy
    assert explorer.turn() is None
    explorer.order(begin())
    told = to_the_next_word(explorer)
    assert (WHOLE_TREE, WHOLE_TREE, 1, ()) == (value_of(told), told.nodes, told.solved, told.remaining)
    assert not explorer.busy


@pytest.mark.parametrize("want", list(Want))
def test_asked_on_the_way(want):
    """Protects the count: what was found, what remains and what is given away make up the tree, after every kind of question."""
    explorer = exploring(depth=12)
    explorer.order(begin())
    explorer.turn()
    explorer.order(Ask(LEASE, want))
    told = to_the_next_word(explorer)
    assert 0 < told.nodes < 2**13 - 1
    assert total_weight((*told.remaining, *told.shared)) <= WHOLE
    assert bool(told.shared) == (want is Want.SPLIT)
    assert explorer.busy == (want is not Want.SURRENDER)
    rest = exploring(depth=12)
    rest.order(begin(*told.remaining, *told.shared))
    assert 2**13 - 1 == value_of(told) + value_of(to_the_next_word(rest))


def test_split_at_once():
    """Protects starving workers: a lease that is to be shared is divided before it is explored."""
    explorer = exploring()
    explorer.order(begin(split=True))
    told = to_the_next_word(explorer)
    assert told.shared
    assert told.nodes <= 2


def test_careful():
    """Protects the neighbours of a poison node: it hands over first, waits, then explores in the stretches it is given."""
    explorer = exploring()
    explorer.order(begin(careful=True))
    told = to_the_next_word(explorer)
    assert (0, b"") == (told.nodes, told.value)
    assert not explorer.busy
    explored = 0
    for stretch in (1, 2, 4):
        explorer.order(Go(LEASE, stretch))
        told = to_the_next_word(explorer)
        explored += told.nodes
        assert stretch == told.nodes
        assert not explorer.busy
    explorer.order(Go(LEASE, 0))
    assert WHOLE_TREE == explored + to_the_next_word(explorer).nodes


def test_careful_and_shared():
    """Protects speed after a kill: part of a careful lease is given away once there is something to give."""
    explorer = exploring()
    explorer.order(begin(careful=True))
    to_the_next_word(explorer)
    explorer.order(Go(LEASE, 4, split=True))
    told = to_the_next_word(explorer)
    assert told.shared
    assert 4 == told.nodes


def test_error_of_a_node():
    """Protects everything before a node that raises: it is handed over, and the node is what remains last."""
    explorer = exploring(doing={5: fail})
    explorer.order(begin())
    told = to_the_next_word(explorer)
    assert isinstance(told, Raised)
    assert ("ValueError: no", "5", True) == (told.error, told.node, told.exact)
    assert "in fail" in told.details
    assert told.before is not None
    assert msgspec.msgpack.encode(5) == told.before.remaining[-1].node
    assert not explorer.busy


@pytest.mark.parametrize("code", [0, 1, None])
def test_sys_exit(code):
    """Protects a run from problems that call sys.exit(): without isolation it would end the run as if all were well."""
    explorer = exploring(doing={5: lambda: sys.exit(code)})
    explorer.order(begin())
    told = to_the_next_word(explorer)
    assert isinstance(told, Raised)
    assert told.error.startswith("SystemExit")


def test_out_of_memory():
    """Protects a job from its neighbours' hunger: without memory it is tried again, not an error of the problem."""
    explorer = exploring(doing={5: no_memory})
    explorer.order(begin())
    assert Died(LEASE, "it ran out of memory (MemoryError)") == to_the_next_word(explorer)
    assert not explorer.busy


def test_out_of_memory_in_combine():
    """Protects the same where values are added up."""

    class Hungry(Enumeration[int, int]):
        def roots(self):
            return [1, 2]

        def value(self, node):
            return node

        def combine(self, left, right):
            raise MemoryError

    explorer = Exploring(Task(Hungry()), None)
    explorer.order(begin(Job(count=2, weight=WHOLE)))
    assert isinstance(to_the_next_word(explorer), Died)


def test_value_that_cannot_be_encoded():
    """Protects whoever returns something odd: it is told as an error of theirs."""

    class Odd(Enumeration[int, int]):
        def roots(self):
            return [1]

        def value(self, node):
            return object()

    explorer = Exploring(Task(Odd()), None)
    explorer.order(begin())
    told = to_the_next_word(explorer)
    assert isinstance(told, Raised)
    assert not told.exact


def test_error_of_a_kernel():
    """Protects the lease of a kernel that raises: nothing since the last report is believed."""

    def explore(frontier, budget):
        raise OverflowError("too deep")

    explorer = Exploring(binary(), explore)
    explorer.order(begin())
    told = to_the_next_word(explorer)
    assert isinstance(told, Raised)
    assert ("OverflowError: too deep", False, None) == (told.error, told.exact, told.before)


def test_orders_about_another_lease():
    """Protects the lease that is explored from orders about one that is over."""
    explorer = exploring()
    explorer.order(begin(careful=True))
    to_the_next_word(explorer)
    for order in (Go(LeaseId(6), 1), Ask(LeaseId(6), Want.SURRENDER), Abandon(LeaseId(6))):
        explorer.order(order)
        assert not explorer.busy
    explorer.order(Go(LEASE, 0))
    assert explorer.busy
    explorer.order(Abandon(LEASE))
    assert not explorer.busy
    explorer.order(Go(LEASE, 0))
    assert not explorer.busy
