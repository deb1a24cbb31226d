"""The self-avoiding walks are as many as in the literature."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.problems import HAVE_NUMBA, answer, load

module = load("walks")
Walks = module.Walks

A001411 = [
    1, 4, 12, 36, 100, 284, 780, 2172, 5916, 16268, 44100, 120292, 324932, 881500, 2374444, 6416596, 17245332, 46466676, 124658732,
    335116620, 897697164,
]  # fmt: skip
"""https://oeis.org/A001411 from n = 0."""


@pytest.mark.parametrize("n", range(9))
def test_plain_form_finds_the_known_counts(n):
    """Protects the answer in plain Python, without numba."""
    assert A001411[n] == answer(Walks(n=n, engine="python"))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("n", [*range(17), 20])
def test_kernel_finds_the_known_counts(n):
    """Protects the compiled answer."""
    assert A001411[n] == answer(Walks(n=n, engine="numba"))


def test_walks_of_the_definition_are_those_of_the_tree():
    """Protects the use of symmetry, against a look at every sequence of steps."""
    walks = 0
    for steps in itertools.product(range(4), repeat=6):
        places = list(itertools.accumulate(steps, module.moved, initial=(0, 0)))
        walks += len(set(places)) == len(places)
    assert walks == answer(Walks(n=6, engine="python"))


@pytest.mark.parametrize("n", [-1, 61])
def test_lengths_out_of_range_are_refused(n):
    """Protects users from lengths that a record cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="n"):
        msgspec.convert({"n": n}, Walks)
