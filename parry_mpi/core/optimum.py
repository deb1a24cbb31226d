"""What is known of the optimum while a run goes on: nothing is better than the bound, and nothing better was found than the incumbent.

This module must not change anything.
"""

from __future__ import annotations

import math
from typing import TypedDict

from parry_mpi.core.bounds import Score
from parry_mpi.core.policy import Settings
from parry_mpi.core.state import State
from parry_mpi.core.volatile import Volatile


def proven_bound(state: State, volatile: Volatile, settings: Settings) -> Score | None:
    """Return what no solution can have a smaller score than, infinity if there is none at all; None while that is not known.

    All that is left to explore has its bounds. In what was explored there is nothing better than the incumbent; and what was left
    out because of an incumbent could not be better by the gap, which is all that is known of it. What was proven stays proven,
    although a better incumbent would take it back by the gap, and although a worker need not tell bounds: so this only ever grows.

    Between the report that brought a solution and the Improved that follows from it this may be wrong.
    """
    if state.counters.decided:
        return volatile.incumbent
    bound = state.bound()
    if bound is None:
        return volatile.proven
    if volatile.incumbent is not None:
        bound = min(bound, volatile.incumbent - settings.gap)
    return bound if volatile.proven is None else max(bound, volatile.proven)


class Optimum(TypedDict):
    """What there is to show: the sense of the optimisation, how good the best solution is, and what none can be better than."""

    sense: str | None
    objective: Score | None
    bound: Score | None


def optimum(state: State, volatile: Volatile, settings: Settings) -> Optimum:
    """Return what is known, in the user's own sense; None for what is not known, for infinity, and if there is no optimum."""

    def shown(score: Score | None) -> Score | None:
        if settings.sense is None or score is None or math.isinf(score):
            return None
        return -score if settings.sense == "max" else score

    bound = proven_bound(state, volatile, settings)
    return {"sense": settings.sense, "objective": shown(volatile.incumbent), "bound": shown(bound)}
