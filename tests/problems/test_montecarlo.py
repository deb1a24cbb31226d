"""A Monte Carlo sweep is exact for its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from support.problems import answer, load

MonteCarlo, Tally = load("montecarlo").MonteCarlo, load("montecarlo").Tally


def test_known_answer():
    """Protects the exactness: this seed has these hits on every machine, with every version of numpy."""
    assert Tally(10**6, 784690) == answer(MonteCarlo())


@pytest.mark.parametrize("seed", [1, 2**63 - 1])
def test_hits_tend_to_pi(seed):
    """Protects the meaning: the estimate is within four standard errors."""
    points = 200_000
    assert abs(4 * answer(MonteCarlo(points=points, seed=seed)).hits / points - math.pi) < 4 * 1.64 / math.sqrt(points)


@pytest.mark.parametrize("block", [4, 64, 100, 1000, 2**16])
def test_size_of_the_blocks_does_not_matter(block):
    """Protects the answer from how the work is divided: hits are those of one stream, drawn in one go."""
    numbers = [int(number) for number in np.random.Philox(key=7).random_raw(1003)]
    hits = sum((number >> 33) ** 2 + (number & 2**31 - 1) ** 2 < 4**31 for number in numbers)
    assert Tally(1003, hits) == answer(MonteCarlo(points=1003, seed=7, block=block))


def test_no_points_have_an_answer():
    """Protects the neutral element."""
    assert Tally(0, 0) == answer(MonteCarlo(points=0))


def test_blocks_are_made_on_demand():
    """Protects memory: blocks are told by their index, and the last one has what is left."""
    roots = MonteCarlo(points=10**15 - 1, block=4).roots()
    assert isinstance(roots, Sequence)
    assert roots[len(roots) - 1] == (10**15 - 4, 3)


@pytest.mark.parametrize("block", [0, 6, 2**25])
def test_blocks_that_do_not_fit_the_stream_are_refused(block):
    """Protects the exactness: a block begins between two steps of the generator."""
    with pytest.raises(msgspec.ValidationError, match="block"):
        msgspec.convert({"block": block}, MonteCarlo)
