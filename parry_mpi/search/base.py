"""What the searches of one job have in common. This module must not know any of them."""

from __future__ import annotations

from typing import Any, Protocol

from parry_mpi.errors import ProblemError
from parry_mpi.job import Job
from parry_mpi.problem import Number
from parry_mpi.task import problem_error


class ExplorationError(Exception):
    """The user's code raised. sys.exit() counts: it would end the explorer, and without isolation the run, as if all were well.

    Args:
        error: what it raised.
        value, explored: what the same slice had found before, and how many nodes that was.
        node: the node, or the last of the frontier, that was being explored.
        intact: what remains is as it was before that node, which stands last. False for a kernel: it may have changed the frontier.
    """

    def __init__(self, error: BaseException, value: Any, explored: int, node: Any, *, intact: bool) -> None:
        super().__init__(str(error))
        self.intact = intact
        self.value = value
        self.explored = explored
        self._error = error
        self._node = node

    def to_problem_error(self) -> ProblemError:
        """Describe it to the user, with the user's own traceback."""
        return self._error if isinstance(self._error, ProblemError) else problem_error(self._error, self._node)


class Search(Protocol):
    """The search of one job."""

    def slice(self, budget: int, incumbent: Number | None) -> tuple[Any, int]:
        """Explore at most ``budget`` nodes and return what they are worth and how many there were; at least one.

        Args:
            budget: at least 1.
            incumbent: the best score known, if there is one.
        """

    def split(self) -> list[Job]:
        """Give away about half of what remains, shallowest first; nothing if it cannot be divided now."""

    def remaining(self, *, apart: bool) -> list[Job]:
        """Return what remains, the part explored next last. Empty when done.

        Args:
            apart: the node explored next is a job of its own.
        """

    @property
    def done(self) -> bool:
        """Whether nothing remains."""


def stronger(bound: Number | None, other: Number | None) -> Number | None:
    """Return the bound that says more, of two that both hold."""
    if bound is None or other is None:
        return other if bound is None else bound
    return max(bound, other)
