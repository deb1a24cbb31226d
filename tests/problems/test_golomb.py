"""The shortest Golomb rulers are as long as in the literature."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support.guided import walk
from support.problems import HAVE_NUMBA, answer, load

module = load("golomb")
Golomb = module.Golomb

A003022 = [0, 1, 3, 6, 11, 17, 25, 34, 44, 55, 72, 85]
"""https://oeis.org/A003022, from n = 2 on; a single mark has length 0."""

ONE_OF_127 = [0, 4, 6, 20, 35, 52, 59, 77, 78, 86, 89, 99, 122, 127]
"""Source: Shearer, 1990: the shortest ruler with 14 marks."""


def assert_ruler(n, best):
    """Check it from its definition: n (n - 1) / 2 pairs, n (n - 1) / 2 distances."""
    marks = np.array(best.solution)
    distances = (marks[:, None] - marks).ravel()
    assert (n, 0, best.objective) == (len(marks), marks.min(), marks.max())
    assert n * (n - 1) // 2 == len(np.unique(distances[distances > 0]))


@pytest.mark.parametrize("n", range(1, 9))
def test_plain_form_finds_the_known_lengths(n):
    """Protects the answer in plain Python, without numba."""
    best = answer(Golomb(n=n, engine="python"))
    assert A003022[n - 1] == best.objective
    assert_ruler(n, best)


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("n", range(1, 12))
def test_kernel_finds_the_known_lengths(n):
    """Protects the compiled answer."""
    best = answer(Golomb(n=n, engine="numba"))
    assert A003022[n - 1] == best.objective
    assert_ruler(n, best)


@pytest.mark.parametrize("n", range(2, 8))
def test_bound_leaves_out_no_optimum(n, monkeypatch):
    """Protects the proof: without the mirror image and without any bound but the length itself, nothing shorter is found."""
    monkeypatch.setattr(Golomb, "bound", lambda self, node: node[1] + (node[2] if node[0] < self.n else 0))
    best, _, _ = walk(Golomb(n=n), A003022[n - 1] + 1)
    assert A003022[n - 1] == best.objective


@pytest.mark.parametrize("engine", ["python", pytest.param("numba", marks=pytest.mark.skipif(not HAVE_NUMBA, reason="no numba"))])
def test_longest_ruler_fits_the_masks(engine):
    """Protects the bound of the parameter: the branch of the longest ruler reaches it, offset by offset, in both engines."""
    problem = Golomb(n=14, engine=engine)
    explore = problem.kernel()
    (node,) = problem.roots()
    for mark in ONE_OF_127[1:]:
        while mark - node[1] > node[2]:
            node = problem.children(node)[1]
        assert mark - node[1] == node[2]
        if explore is None:
            node = problem.children(node)[0]
        else:
            node = explore(np.array([node], problem.node_dtype), 1, None).frontier[-1].item()
    assert (14, 127) == node[:2]
    assert ONE_OF_127 == problem.solution(node)
    assert problem.verify(127, ONE_OF_127)
    assert problem.bound(problem.roots()[0]) <= 127


@pytest.mark.parametrize(
    ("objective", "solution"),
    [(6, [0, 1, 4]), (6, [0, 2, 4, 6]), (6, [1, 2, 5, 7]), (5, [0, 1, 4, 6]), (6, [0, 0, 1, 6]), (6, [])],
)
def test_what_is_no_ruler_is_refused(objective, solution):
    """Protects the result from a worker that errs: too few marks, equal distances, another length."""
    assert Golomb(n=4).verify(6, [0, 1, 4, 6])
    assert not Golomb(n=4).verify(objective, solution)


@pytest.mark.parametrize("n", [0, 15])
def test_rulers_out_of_range_are_refused(n):
    """Protects users from rulers that the masks cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="n"):
        msgspec.convert({"n": n}, Golomb)


def test_masks_are_shifted_across_words():
    """Protects the compiled masks where a mark is placed far from the last one: told from integers that have no words."""
    mask = 0x9E3779B97F4A7C15F39CC0605CEDC835
    low, high = map(np.uint64, module.words(mask))
    for offset in range(1, module.BITS):
        assert module.words(mask << offset | 1 << (offset - 1)) == module.shifted_up(low, high, offset)
        assert module.words(mask >> offset) == module.shifted_down(low, high, offset)
