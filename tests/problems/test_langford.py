"""The Langford pairings are as many as in the literature."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.problems import HAVE_NUMBA, answer, leaves, load

Langford = load("langford").Langford

A014552 = [0, 0, 1, 1, 0, 0, 26, 150, 0, 0, 17792, 108144]
"""https://oeis.org/A014552 from n = 1."""


@pytest.mark.parametrize("n", range(1, 9))
def test_plain_form_finds_the_known_counts(n):
    """Protects the answer in plain Python, without numba."""
    assert A014552[n - 1] == answer(Langford(n=n, engine="python"))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("n", range(1, 13))
def test_kernel_finds_the_known_counts(n):
    """Protects the compiled answer."""
    assert A014552[n - 1] == answer(Langford(n=n, engine="numba"))


@pytest.mark.parametrize("n", [3, 4])
def test_pairings_of_the_definition_are_those_of_the_tree(n):
    """Protects the choice of one of every pair of mirror images, against a search through all rows."""
    rows = set(itertools.permutations([*range(1, n + 1)] * 2))
    pairings = {row for row in rows if all(row.index(k) + k + 1 < 2 * n and row[row.index(k) + k + 1] == k for k in row)}
    assert len(pairings) == 2 * answer(Langford(n=n, engine="python"))


def test_largest_order_fits_the_mask():
    """Protects the bound of the parameter: no place is beyond what a record holds."""
    problem = Langford(n=31)
    (node,) = problem.roots()
    while children := list(problem.children(node)):
        node = children[-1]
        assert 0 <= node[0] < 2**62


def test_leaves_are_of_both_kinds():
    """Protects the count from rows that are given up: only a complete one is worth something."""
    problem = Langford(n=4)
    assert {0, 1} == {problem.value(leaf) for leaf in leaves(problem)}


@pytest.mark.parametrize("n", [0, 32])
def test_orders_out_of_range_are_refused(n):
    """Protects users from orders that the mask cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="n"):
        msgspec.convert({"n": n}, Langford)
