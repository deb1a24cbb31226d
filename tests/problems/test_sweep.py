"""A flat sweep finds the known record, wherever its points come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from support.problems import answer, load

Sweep, Glide = load("sweep").Sweep, load("sweep").Glide

RECORDS = {27: 96, 703: 132, 10087: 171, 35655: 220}
"""https://oeis.org/A060412: https://oeis.org/A060413."""


@pytest.mark.parametrize("source", ["index", "generator"])
@pytest.mark.parametrize("start", RECORDS)
def test_record_is_found_as_soon_as_it_is_in_range(source, start):
    """Protects both ways of giving roots, and both ends of the range."""
    assert Glide(RECORDS[start], start) == answer(Sweep(points=start - 1, source=source))
    assert start > answer(Sweep(points=start - 2, source=source)).start


def test_empty_sweep_has_an_answer():
    """Protects the neutral element: no points, no record."""
    assert Glide(0, 0) == answer(Sweep(points=0))


def test_points_are_made_on_demand():
    """Protects memory: neither source holds more than the point it is asked for."""
    index, generator = (Sweep(points=10**12, source=source).roots() for source in ("index", "generator"))
    assert isinstance(index, Sequence)
    assert (len(index), index[10**12 - 1]) == (10**12, 10**12 + 1)
    assert isinstance(generator, Iterator)
    assert next(generator) == 2


def test_ties_go_to_the_smallest_start():
    """Protects the answer from the order in which parts come in."""
    sweep, one, other = Sweep(), Glide(3, 5), Glide(3, 9)
    assert one == sweep.combine(one, other) == sweep.combine(other, one)
