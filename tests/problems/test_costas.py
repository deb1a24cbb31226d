"""The Costas arrays are as many as in the literature."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from support.problems import HAVE_NUMBA, answer, leaves, load

Costas = load("costas").Costas

A008404 = [1, 2, 4, 12, 40, 116, 200, 444, 760, 2160, 4368]
"""https://oeis.org/A008404 from n = 1."""


@pytest.mark.parametrize("n", range(1, 8))
def test_plain_form_finds_the_known_counts(n):
    """Protects the answer in plain Python, without numba."""
    assert A008404[n - 1] == answer(Costas(n=n, engine="python"))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("n", range(1, 12))
def test_kernel_finds_the_known_counts(n):
    """Protects the compiled answer."""
    assert A008404[n - 1] == answer(Costas(n=n, engine="numba"))


def test_arrays_are_those_of_the_definition():
    """Protects what is counted: the permutations of which no two pairs of dots have the same displacement."""
    problem = Costas(n=5)
    found = {tuple(map(int, rows[:5])) for columns, rows in leaves(problem) if columns == 5}
    pairs = list(itertools.combinations(range(5), 2))
    wanted = {p for p in itertools.permutations(range(5)) if len({(j - i, p[j] - p[i]) for i, j in pairs}) == len(pairs)}
    assert wanted == found


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
def test_largest_order_fits_the_masks():
    """Protects the bound of the parameter: on the largest board the kernel finds the children that the definition gives."""
    problem = Costas(n=31)
    (node,) = problem.roots()
    for _ in range(12):
        children = list(problem.children(node))
        compiled = problem.kernel()(np.array([node], problem.node_dtype), 1).frontier
        assert [rows.tolist() for _, rows in children] == [record["rows"].tolist() for record in compiled]
        node = children[-1]


@pytest.mark.parametrize("n", [0, 32])
def test_orders_out_of_range_are_refused(n):
    """Protects users from orders that the masks cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="n"):
        msgspec.convert({"n": n}, Costas)
