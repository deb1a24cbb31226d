"""Visit every moment that a small world can come to, check each, and check that from each the run can still be completed."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from support.copies import Canon
from support.small_worlds import FAST, FULL, SOMETIMES
from support.worlds import Rules, World


class Counterexample(AssertionError):
    """Something that must always hold does not; the text is the shortest story known of how it came to that."""


@dataclass
class Outcome:
    """What an exhaustive search saw.

    Args:
        states: distinct moments.
        transitions: steps between them.
        complete: moments in which the run is over.
        sometimes: which of the properties were seen that must be seen at least once.
    """

    states: int = 0
    transitions: int = 0
    complete: int = 0
    sometimes: list[str] = field(default_factory=list)


class Search:
    """Explore one world.

    Args:
        rules: of the world.
        sometimes: properties by name; each is asked of every moment until it was seen.
        states_max: give up beyond so many moments.
        make_world: returns the first moment.
    """

    def __init__(
        self,
        rules: Rules,
        sometimes: dict[str, Callable[[World], bool]] | None = None,
        states_max: int = sys.maxsize,
        make_world: Callable[[Rules], World] = World,
    ) -> None:
        self._rules = rules
        self._unseen = dict(sometimes or {})
        self._states_max = states_max
        self._make_world = make_world
        self._canon = Canon()
        self._numbers: dict[int, int] = {}
        self._parents = array("q")
        self._labels: list[str] = []
        self._names: dict[str, str] = {}
        self._edges = array("q")
        self._goals: list[int] = []
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Visit everything.

        Raises:
            Counterexample: a check failed, or a moment was found from which the run cannot be completed.
        """
        stack = [(0, self._first())]
        while stack:
            number, world = stack.pop()
            if world.complete:
                self._goals.append(number)
            try:
                for label, is_fault, following in world.successors():
                    self.outcome.transitions += 1
                    key = self._canon.key(following)
                    known = self._numbers.get(key)
                    if known is None:
                        known = self._add(key, number, label)
                        self._check(following, known, world)
                        stack.append((known, following))
                    if not is_fault:
                        self._edges.append(number)
                        self._edges.append(known)
            except Counterexample:
                raise
            except Exception as error:
                raise Counterexample(f"{type(error).__name__}: {error}\n{self.story(number)}") from error
            if len(self._numbers) > self._states_max:
                raise Counterexample(f"more than {self._states_max} states")
        self.outcome.states = len(self._numbers)
        self.outcome.complete = len(self._goals)
        self._check_completion()
        return self.outcome

    def story(self, number: int) -> str:
        """How it came to this moment, one line a step."""
        lines: list[str] = []
        while number:
            lines.append(self._labels[number])
            number = self._parents[number]
        return "\n".join(f"{place:3}. {line}" for place, line in enumerate(reversed(lines), 1))

    def _first(self) -> World:
        world = self._make_world(self._rules)
        self._add(self._canon.key(world), 0, "")
        world.check()
        return world

    def _add(self, key: int, parent: int, label: str) -> int:
        number = self._numbers[key] = len(self._numbers)
        self._parents.append(parent)
        self._labels.append(self._names.setdefault(label, label))
        return number

    def _check(self, world: World, number: int, before: World) -> None:
        try:
            if world.coordinator is not before.coordinator:
                world.check()
            for name in [name for name, holds in self._unseen.items() if holds(world)]:
                self.outcome.sometimes.append(name)
                del self._unseen[name]
        except Exception as error:
            raise Counterexample(f"{type(error).__name__}: {error}\n{self.story(number)}") from error

    def _check_completion(self) -> None:
        """Check that from every moment the run can be completed without any further fault."""
        count = len(self._numbers)
        edges = np.frombuffer(self._edges, dtype=np.int64).reshape(-1, 2)
        order = np.argsort(edges[:, 1], kind="stable")
        sources = edges[order, 0]
        starts = np.searchsorted(edges[order, 1], np.arange(count + 1))
        reached = np.zeros(count, dtype=bool)
        wave = np.array(self._goals, dtype=np.int64)
        reached[wave] = True
        while len(wave):
            before = np.concatenate([sources[starts[state] : starts[state + 1]] for state in wave]) if len(wave) else wave
            wave = np.unique(before[~reached[before]])
            reached[wave] = True
        stuck = np.flatnonzero(~reached)
        if len(stuck):
            raise Counterexample(f"from {len(stuck)} of {count} states the run cannot be completed\n{self.story(int(stuck[0]))}")


def searched(name: str) -> tuple[int, list[str]]:
    """Search one of the small worlds; return how many states it has, and which of SOMETIMES were seen."""
    outcome = Search((FAST | FULL)[name], SOMETIMES).run()
    return outcome.states, outcome.sometimes
