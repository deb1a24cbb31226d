"""Find the shortest tour through all cities of a travelling salesman.

A node is a path from the first city; its children go on to each city not yet visited, the nearest first. The rest of the tour is a
road home and a tree on the cities it has to connect, so no shorter than the smallest spanning tree. Potentials make that bound
sharp: adding a number for each city to the lengths of its roads changes all tours alike, but not the trees.

    parry-mpi run jobs/tsp.py cities=ulysses16
    parry-mpi run jobs/tsp.py cities=random n=30 seed=1

Source: Held and Karp, "The traveling-salesman problem and minimum spanning trees", Operations Research 18, 1970, and part II,
Mathematical Programming 1, 1971 (potentials, and how to find them). Cities: Reinelt, "TSPLIB: a traveling salesman problem library",
ORSA Journal on Computing 3, 1991, with its distances on the globe (type GEO).
Known answers (TSPLIB): burma14 3323, ulysses16 6859.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from msgspec import Meta

from parry_mpi import Optimisation

CITIES = {
    "burma14": (
        (16.47, 96.10), (16.47, 94.44), (20.09, 92.54), (22.39, 93.37), (25.23, 97.24), (22.00, 96.05), (20.47, 97.02),
        (17.20, 96.29), (16.30, 97.38), (14.05, 98.12), (16.53, 97.38), (21.52, 95.59), (19.41, 97.13), (20.09, 94.55),
    ),
    "ulysses16": (
        (38.24, 20.42), (39.57, 26.15), (40.56, 25.32), (36.26, 23.12), (33.48, 10.54), (37.56, 12.19), (38.42, 13.11), (37.52, 20.44),
        (41.23, 9.10), (41.17, 13.05), (36.08, -5.21), (38.47, 15.13), (38.15, 15.35), (37.51, 15.17), (35.49, 14.32), (39.36, 19.56),
    ),
}  # fmt: skip
"""Latitude and longitude of each city, as degrees and, after the point, minutes."""

ASCENT_STEPS = 200
"""How often the potentials are improved; more changes little."""

T = TypeVar("T", int, float)

Path = tuple[int, ...]
"""The cities in the order in which they are visited."""


class Tsp(Optimisation[Path, list[int]]):
    """The travelling salesman. The answer numbers the cities from 1, as TSPLIB does.

    Args:
        cities: an instance of TSPLIB, or random places in a square.
        n, seed: how many random places, and of which random numbers.
    """

    cities: Literal["burma14", "ulysses16", "random"] = "burma14"
    n: Annotated[int, Meta(ge=3, le=100)] = 25
    seed: int = 0

    @cached_property
    def distances(self) -> list[list[int]]:
        """How far each city is from each other."""
        if self.cities == "random":
            draw = random.Random(self.seed)  # noqa: S311 for places, not for secrets
            square = [(draw.uniform(0, 1000), draw.uniform(0, 1000)) for _ in range(self.n)]
            return [[round(math.dist(one, other)) for other in square] for one in square]
        places = [(radians(latitude), radians(longitude)) for latitude, longitude in CITIES[self.cities]]
        return [[distance(one, other) for other in places] for one in places]

    def roots(self) -> list[Path]:
        return [(0,)]

    def children(self, node: Path) -> list[Path]:
        roads = self.potential_distances[node[-1]]
        # Of a tour and its reverse one is enough: the one that comes to city 1 before city 2.
        to_come = [city for city in self.unvisited(node) if city != 2 or 1 in node]
        return [(*node, city) for city in sorted(to_come, key=roads.__getitem__)]

    def objective(self, node: Path) -> int | None:
        return None if len(node) < len(self.distances) else self.length(node) + self.distances[node[-1]][0]

    def solution(self, node: Path) -> list[int]:
        return [city + 1 for city in node]

    def bound(self, node: Path) -> int | None:
        if len(node) == 1:
            return None
        unvisited, roads = self.unvisited(node), self.potential_distances
        tree = spanning_tree(roads, [*unvisited, node[-1]])
        rest = sum(roads[one][other] for one, other in tree) + min(roads[0][city] for city in unvisited or node[-1:])
        # The rest of the tour has two roads at each unvisited city and one at each end: so often their potentials were added.
        added = sum(2 * self.potentials[city] for city in unvisited) + self.potentials[node[-1]] + self.potentials[0]
        return self.length(node) + rest - added

    def verify(self, objective: float, solution: list[int]) -> bool:
        tour = [city - 1 for city in solution]
        return sorted(tour) == list(range(len(self.distances))) and self.length([*tour, tour[0]]) == objective

    def unvisited(self, node: Path) -> list[int]:
        """The cities that a path does not visit."""
        return [city for city in range(len(self.distances)) if city not in node]

    def length(self, path: Sequence[int]) -> int:
        """How long a path is."""
        return sum(self.distances[one][other] for one, other in itertools.pairwise(path))

    @cached_property
    def potentials(self) -> list[int]:
        """A number for each city. Any will do, and the bound holds exactly because they are integers; these make it sharp.

        The shortest graph of a kind that all tours are of, Held and Karp's 1-tree, has too many roads at some cities and too
        few at others. What changes their lengths in favour of the latter, step by step, makes it look like a tour.
        """
        count = len(self.distances)
        potentials = [0.0] * count
        step = max(map(max, self.distances)) / 20
        for _ in range(ASCENT_STEPS):
            weights = with_potentials(self.distances, potentials)
            nearest = sorted(range(1, count), key=weights[0].__getitem__)[:2]
            roads = [*spanning_tree(weights, range(1, count)), *((0, city) for city in nearest)]
            ends = [end for road in roads for end in road]
            potentials = [each + step * (ends.count(city) - 2) for city, each in enumerate(potentials)]
            step *= 0.97
        return [round(each) for each in potentials]

    @cached_property
    def potential_distances(self) -> list[list[int]]:
        """The distances with the potentials of both ends added."""
        return with_potentials(self.distances, self.potentials)


def with_potentials(distances: Sequence[Sequence[T]], potentials: Sequence[T]) -> list[list[T]]:
    """Return the distances with the potentials of both ends added."""
    return [[potentials[i] + potentials[j] + each for j, each in enumerate(row)] for i, row in enumerate(distances)]


def spanning_tree(distances: Sequence[Sequence[float]], cities: Sequence[int]) -> list[tuple[int, int]]:
    """Return the roads of the smallest spanning tree, found by Prim's algorithm."""
    nearest = dict.fromkeys(cities[1:], cities[0])
    roads = []
    while nearest:
        city = min(nearest, key=lambda city: distances[city][nearest[city]])
        roads.append((nearest.pop(city), city))
        for other, known in nearest.items():
            if distances[other][city] < distances[other][known]:
                nearest[other] = city
    return roads


def radians(degrees_and_minutes: float) -> float:
    """Return an angle as TSPLIB computes it, with its value of pi."""
    degrees = math.trunc(degrees_and_minutes)
    return 3.141592 * (degrees + 5 * (degrees_and_minutes - degrees) / 3) / 180


def distance(one: tuple[float, float], other: tuple[float, float]) -> int:
    """Return how far two places on the globe are from each other, in kilometres, as TSPLIB computes it."""
    if one == other:
        return 0
    q1, q2, q3 = math.cos(one[1] - other[1]), math.cos(one[0] - other[0]), math.cos(one[0] + other[0])
    return int(6378.388 * math.acos(0.5 * ((1 + q1) * q2 - (1 - q1) * q3)) + 1)
