"""The shortest tours are as long as in the literature."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.guided import walk
from support.problems import answer, load

module = load("tsp")
Tsp = module.Tsp

PUBLISHED = {"burma14": 3323, "ulysses16": 6859}
"""Source: Reinelt, TSPLIB."""

ULYSSES = [1, 14, 13, 12, 7, 6, 15, 5, 11, 9, 10, 16, 3, 2, 4, 8]
"""The optimal tour that TSPLIB gives for ulysses16."""


@pytest.mark.parametrize("cities", PUBLISHED)
def test_published_instances(cities):
    """Protects the answer: the tour is as long as published, visits each city once, and is as long as its roads."""
    problem = Tsp(cities=cities)
    best = answer(problem)
    assert PUBLISHED[cities] == best.objective
    assert list(range(1, len(problem.distances) + 1)) == sorted(best.solution)
    roads = zip(best.solution, [*best.solution[1:], best.solution[0]], strict=True)
    assert best.objective == sum(problem.distances[one - 1][other - 1] for one, other in roads)


def test_distances_are_tsplibs():
    """Protects comparability: the published tour has the published length."""
    assert Tsp(cities="ulysses16").verify(6859, ULYSSES)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("seed", range(3))
def test_random_places(n, seed):
    """Protects the bound: of all tours of a few cities none is shorter."""
    problem = Tsp(cities="random", n=n, seed=seed)
    tours = ([1, *rest, 1] for rest in itertools.permutations(range(2, n + 1)))
    shortest = min(sum(problem.distances[one - 1][other - 1] for one, other in itertools.pairwise(tour)) for tour in tours)
    best = answer(problem)
    assert shortest == best.objective
    assert problem.verify(best.objective, best.solution)


def test_bound_is_no_longer_than_any_tour_below():
    """Protects the optimum: for every path of a small instance the bound is at most the shortest tour that begins with it."""
    problem = Tsp(cities="random", n=6, seed=4)
    below = {}

    def shortest(node):
        lengths = [shortest(child) for child in problem.children(node)]
        below[node] = min([*lengths, problem.objective(node) or 10**9])
        return below[node]

    shortest((0,))
    assert len(below) > 100
    assert all(problem.bound(node) is None or problem.bound(node) <= length for node, length in below.items())


def test_potentials_leave_out_most():
    """Protects speed: with the optimum known, hardly anything but its own branch is explored."""
    problem = Tsp()
    best, nodes, _ = walk(problem, PUBLISHED["burma14"])
    assert best is None
    assert nodes < 200


@pytest.mark.parametrize(("objective", "solution"), [(6858, ULYSSES), (6859, ULYSSES[:-1]), (6859, [*ULYSSES[:-1], 1]), (0, [])])
def test_what_is_no_tour_is_refused(objective, solution):
    """Protects the result from a worker that errs: another length, a city left out or visited twice."""
    assert not Tsp(cities="ulysses16").verify(objective, solution)


@pytest.mark.parametrize("parameters", [{"cities": "berlin52"}, {"n": 2}, {"n": 101}])
def test_parameters_out_of_range_are_refused(parameters):
    """Protects users from instances there are none of."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(parameters, Tsp)
