"""parry_mpi.search.weighing: what a frontier weighs, and what is spent on knowing it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.job import WHOLE, Job
from parry_mpi.search.weighing import (
    CALLS_FIRST,
    CALLS_KEPT_MAX,
    CALLS_PER_SLICE,
    GROUPS_MAX,
    Allowance,
    calls_first,
    group_ends,
    reweighed,
)

WEIGHTS = st.lists(st.integers(0, WHOLE // 1000), max_size=40).map(lambda each: np.array(each, np.int64))


def weights(*each: int) -> np.ndarray:
    return np.array(each, np.int64)


def test_heavy_nodes_are_explored_alone():
    """Protects the explored share: a heavy node is given to the kernel alone, light ones without the heavy ones below them."""
    assert (2, 1) == Allowance(1).choose(weights(500, 1, 500), 1000)
    assert (2, 1000) == Allowance(1).choose(weights(500, 500, 1, 1), 1000)
    assert (0, 1000) == Allowance(1).choose(np.ones(1000, np.int64), 1000)
    assert (0, 1000) == Allowance(1).choose(weights(0, 0), 1000)


def test_one_node_costs_nothing():
    """Protects the allowance: to explore the only node alone needs no call more than there would be."""
    allowance = Allowance(1)
    for _ in range(3):
        assert (0, 1) == allowance.choose(weights(500), 1000)
    assert (1, 1) == allowance.choose(weights(500, 500), 1000)


def test_calls_are_few():
    """Protects speed: what may be spent is earned by exploring, and not without end."""
    allowance = Allowance(0)
    heavy = weights(1, 1)
    assert (0, 1000) == allowance.choose(heavy, 1000)
    allowance.earn(int(1000 * 3 / CALLS_PER_SLICE))
    chosen = [allowance.choose(heavy, 1000) for _ in range(5)]
    assert [(1, 1)] * 3 + [(0, 1000)] * 2 == chosen
    allowance.earn(10**9)
    chosen = [allowance.choose(heavy, 1000) for _ in range(CALLS_KEPT_MAX + 1)]
    assert (0, 1000) == chosen[-1]


def test_crumbs_are_not_weighed():
    """Protects speed at the end of a run: only one big job alone is worth weighing before it is explored."""
    big, small = Job(b"n", weight=WHOLE // 1000), Job(b"n", weight=WHOLE // 10_000)
    assert CALLS_FIRST == calls_first([big]) == calls_first([Job(weight=WHOLE, count=1)])
    assert [0, 0, 0, 0] == [calls_first(jobs) for jobs in ([small], [big, big], [Job(weight=WHOLE, count=2)], [])]


@given(WEIGHTS, st.data())
def test_nothing_is_made_of_nothing(before, data):
    """Protects exactness: however a frontier changes, it never weighs more than before, and what was untouched weighs what it did."""
    if not len(before):
        return
    untouched = data.draw(st.integers(0, len(before) - 1))
    count = data.draw(st.integers(untouched, untouched + 50))
    after = reweighed(before, untouched, count)
    assert count == len(after)
    assert before[:untouched].tolist() == after[:untouched].tolist()
    assert int(after[untouched:].sum()) <= int(before[untouched])
    assert (after >= 0).all()


@given(WEIGHTS)
def test_groups_are_all_nodes(frontier):
    """Protects every node that is given away: each is in one group, in order, and there are few groups."""
    ends = group_ends(frontier)
    assert sorted(set(ends)) == ends
    assert len(ends) <= GROUPS_MAX
    assert (ends[-1:] or [0]) == [len(frontier)]
    assert ends == [] or ends[0] > 0


def test_groups():
    """Protects what jobs are thought to weigh: nodes of about the same weight travel together, others apart."""
    assert [3] == group_ends(weights(8, 8, 8))
    assert [2, 3] == group_ends(weights(8, 5, 3))
    assert [1, 2, 3, 6] == group_ends(weights(1000, 100, 10, 1, 0, 0))
    assert [2] == group_ends(weights(0, 0))
