"""The numerical semigroups of each genus are as many as in the literature."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from support.problems import HAVE_NUMBA, answer, load

module = load("semigroups")
Semigroups = module.Semigroups

A007323 = [
    1, 1, 2, 4, 7, 12, 23, 39, 67, 118, 204, 343, 592, 1001, 1693, 2857, 4806, 8045, 13467, 22464, 37396, 62194, 103246, 170963,
    282828, 467224, 770832, 1270267, 2091030, 3437839, 5646773,
]  # fmt: skip
"""https://oeis.org/A007323 from genus 0."""


@pytest.mark.parametrize("genus", range(13))
def test_plain_form_finds_the_known_counts(genus):
    """Protects the answer in plain Python, without numba."""
    assert A007323[genus] == answer(Semigroups(genus=genus, engine="python"))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("genus", [*range(26), 30])
def test_kernel_finds_the_known_counts(genus):
    """Protects the compiled answer."""
    assert A007323[genus] == answer(Semigroups(genus=genus, engine="numba"))


def test_decompositions_are_what_they_are_called():
    """Protects the representation: every number counts the pairs of the semigroup, told from its definition."""
    problem = Semigroups(genus=8)
    level = problem.roots()
    for genus in range(8):
        assert A007323[genus] == len(level)
        for node in level[:12]:
            assert_decompositions(*node)
        level = [child for node in level for child in problem.children(node)]


def assert_decompositions(genus, conductor, multiplicity, decompositions):
    members = {x for x in range(module.SIZE) if decompositions[x]}
    gaps = [x for x in range(module.SIZE) if x not in members]
    assert (genus, conductor - 1) == (len(gaps), max(gaps, default=0))
    assert multiplicity == min(members - {0})
    for x in range(4 * genus + 4):
        assert decompositions[x] == sum(y in members and x - y in members for y in range(x // 2 + 1))


def test_largest_genus_fits_a_record():
    """Protects the bound of the parameter: on the branch that reaches highest, all generators are within the record."""
    problem = Semigroups(genus=module.GENUS_MAX)
    (node,) = problem.roots()
    for genus in range(module.GENUS_MAX):
        children = list(problem.children(node))
        assert children, genus
        node = children[0]  # losing the multiplicity again and again gives the largest possible one, genus + 1
    _, conductor, multiplicity, decompositions = node
    assert (conductor, multiplicity) == (module.GENUS_MAX + 1, module.GENUS_MAX + 1)
    assert decompositions.dtype == np.uint8
    assert decompositions.max() < 2**8 - 1


@pytest.mark.parametrize("genus", [-1, 101])
def test_genus_out_of_range_is_refused(genus):
    """Protects users from a genus that a record cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="genus"):
        msgspec.convert({"genus": genus}, Semigroups)
