"""Problems that are only good for measuring: work that costs nothing, that never ends, that can only be handed from one to the other.

This module must not import anything of tests: it is loaded by path, on every rank.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta

from parry_mpi import Enumeration, Optimisation, Slice


class Nothing(Enumeration[int, int]):
    """A flat sweep whose points cost nothing: what is left is the library.

    Args:
        points: how many.
        source: farmed out by index, or pulled out of a generator by the coordinator.
    """

    points: Annotated[int, Meta(ge=0)] = 1000
    source: Literal["index", "generator"] = "index"

    def roots(self) -> Iterable[int]:
        return range(self.points) if self.source == "index" else (index for index in range(self.points))

    def value(self, node: int) -> int:
        return 1


class NothingLooped(Enumeration[int, int]):
    """The same, with a loop over the points that is the user's own, as a kernel's is.

    Args:
        points: how many.
    """

    points: Annotated[int, Meta(ge=0)] = 1000

    def roots(self) -> Iterable[int]:
        return range(self.points)

    def explore(self, frontier: Any, budget: int) -> Slice:
        taken = frontier[-budget:]
        del frontier[-budget:]
        return Slice(sum(nothing(node) for node in taken), frontier, len(taken))


def nothing(_node: int) -> int:
    """A point."""
    return 1


class Halving(Optimisation[tuple[float, float], None]):
    """The example of pybnb's README: the width of an interval that is halved again and again, until the bound is near enough."""

    gap: float = 1e-11

    def roots(self) -> list[tuple[float, float]]:
        return [(0.0, 1.0)]

    def children(self, node: tuple[float, float]) -> list[tuple[float, float]]:
        low, high = node
        middle = 0.5 * (low + high)
        return [(low, middle), (middle, high)]

    def objective(self, node: tuple[float, float]) -> float:
        return round(node[1] - node[0], 3)

    def solution(self, node: tuple[float, float]) -> None:
        return None

    def bound(self, node: tuple[float, float]) -> float:
        return -((node[1] - node[0]) ** 2)


class Sleeper(Enumeration[int, int]):
    """One job that cannot be divided and costs no processor time: all other ranks are idle.

    Args:
        seconds: how long it lasts.
    """

    seconds: Annotated[float, Meta(ge=0)] = 60.0

    def roots(self) -> list[int]:
        return [0]

    def value(self, node: int) -> int:
        time.sleep(self.seconds)
        return 1


class Relay(Enumeration[tuple[int, int], int]):
    """Work that two workers can only hand to each other: time and again one is idle while the other holds the only lease.

    A node (k, 0) leads to (k - 1, 0) and to a chain (0, length), and a chain only grows shorter. The chain is explored first, so
    there are never more than two nodes in the frontier, and whoever is asked to share gives (k - 1, 0) away, finishes its chain
    some milliseconds later, and is idle.

    Args:
        batons: how many chains there are.
        step_us: how long a node of a chain keeps the processor.
    """

    batons: Annotated[int, Meta(ge=0)] = 100
    step_us: Annotated[int, Meta(ge=0)] = 200

    def roots(self) -> list[tuple[int, int]]:
        return [(self.batons, 0)]

    def explore(self, frontier: Any, budget: int) -> Slice:
        explored = 0
        while frontier and explored < budget:
            explored += 1
            batons, chain = frontier.pop()
            if batons:
                frontier += [(batons - 1, 0), (0, chain_length(batons))]
            elif chain:
                ends_at_ns = time.perf_counter_ns() + self.step_us * 1000
                while time.perf_counter_ns() < ends_at_ns:
                    pass
                if chain > 1:
                    frontier.append((0, chain - 1))
        return Slice(explored, frontier, explored)


def chain_length(batons: int) -> int:
    """50 to 149 steps, 10 to 30 ms: no two alike in a row, so that nothing falls into step with a timer."""
    return 50 + batons * 7919 % 100


def relay_nodes(batons: int) -> int:
    """How many nodes a Relay has: its answer."""
    return batons + 1 + sum(chain_length(each) for each in range(1, batons + 1))
