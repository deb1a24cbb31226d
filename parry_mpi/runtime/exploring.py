"""The exploring itself: carry out the worker's orders with the user's code, one slice at a time.

The same code runs in the explorer process and, with --isolation none, in the worker's own. This module must not know
the coordinator, nor how orders arrive.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from parry_mpi.core.worker import Abandon, Ask, Begin, Died, FromExplorer, Go, HandedOver, Improve, Raised, ToExplorer, Want
from parry_mpi.errors import ExplorerLost, ParryError, ProblemError, unreachable
from parry_mpi.job import Job
from parry_mpi.problem import Explore
from parry_mpi.runtime import clock
from parry_mpi.search.base import ExplorationError
from parry_mpi.search.bounding import BoundingTime
from parry_mpi.search.exploration import Exploration
from parry_mpi.search.tuning import BUDGET_MAX, SLICE_MS_MAX, SliceTuner, slice_ms
from parry_mpi.task import Task, call

TELL_US = 20_000
"""What is better than all that was known is told at once, but not more often than this: a search may improve a thousand times at its
beginning, and each telling carries all that remains."""

MORTAL = (MemoryError, ExplorerLost)
"""What may not happen again: the job is tried again, by another explorer."""

SPLIT_NODES_MAX = 256
"""How many nodes may be explored, one by one, to have something to give away."""


class Exploring:
    """Explore one lease at a time.

    Args:
        task: whose problem it is.
        kernel: what the problem's kernel() returned.
        slice_ms_max: how long a slice may last at most.
    """

    def __init__(self, task: Task, kernel: Explore | None, slice_ms_max: float = SLICE_MS_MAX) -> None:
        self._task = task
        self._kernel = kernel
        self._tuner = SliceTuner()
        self._slice_ms_max = slice_ms_max
        self._split_at_us = clock.now_us()
        self._bounding = BoundingTime()
        self._begin: Begin | None = None
        self._exploration: Exploration | None = None
        self._explored_us = 0
        self._stretch: int | None = None
        self._want: Want | None = None
        self._incumbent: int | float | None = None
        self._enough = call(task.problem.enough)
        self._told_at_us = -TELL_US

    @property
    def busy(self) -> bool:
        """Whether turn() has something to do now. What is full waits to be asked, which the worker does once its last report is safe."""
        full = self._exploration is not None and self._exploration.full and self._stretch is None
        return self._begin is not None and (self._want is not None or (self._stretch != 0 and not full))

    def order(self, order: ToExplorer) -> None:
        """Take in an order; an order about another lease has no effect."""
        if isinstance(order, Begin):
            self._begin = order
            self._exploration = None
            self._explored_us = 0
            self._stretch = 0 if order.careful else None
            self._want = None
            if order.careful or order.split:
                self._wish(Want.CHECKPOINT if order.careful else Want.SPLIT)
            # Only what the coordinator took is known: what was found under the last lease may have come to nothing with it.
            self._incumbent = order.incumbent
            return
        if self._begin is None or order.lease != self._begin.lease:
            return
        match order:
            case Ask():
                self._wish(order.want)
            case Go():
                self._stretch = order.stretch or None
                if order.split:
                    self._wish(Want.SPLIT)
            case Improve():
                self._improve(order.score)
            case Abandon():
                self._stop()
            case _:
                unreachable(order)

    def _wish(self, want: Want) -> None:
        """Note what is wanted; where something is to be given away, somebody is waiting, and may be again soon."""
        self._want = want
        if want is Want.SPLIT:
            self._split_at_us = clock.now_us()

    def _improve(self, score: float) -> None:
        """Note a score that is known; own ones may be better."""
        self._incumbent = score if self._incumbent is None else min(self._incumbent, score)
        if self._exploration is not None:
            known = self._exploration.incumbent
            self._exploration.incumbent = score if known is None else min(known, score)

    def turn(self) -> FromExplorer | None:
        """Explore one slice, or hand over if that is wanted or nothing is left to explore.

        Returns:
            What is to be told, or None. Died: there was no memory left, which may be the neighbours' fault, and different at the
            next try; nothing since the last handing over can be told.
        """
        begin = self._begin
        if begin is None or not self.busy:
            return None
        try:
            if self._exploration is None:
                self._exploration = Exploration(self._task, begin.jobs, self._kernel, self._incumbent, self._bounding)
            return self._turn(begin, self._exploration)
        except MemoryError as error:
            return self._died(begin, error)
        except ExplorationError as error:
            if isinstance(error.__cause__, MORTAL):
                return self._died(begin, error.__cause__)
            return self._raised(begin, error.to_problem_error(), intact=error.intact)
        except ParryError as error:
            if isinstance(error.__cause__, MORTAL):
                return self._died(begin, error.__cause__)
            return self._raised(begin, error, intact=False)

    def _turn(self, begin: Begin, exploration: Exploration) -> HandedOver | None:
        if self._want is Want.CHECKPOINT or self._want is Want.SURRENDER:
            return self._hand_over(begin, exploration, ())
        if self._stretch is not None:
            self._explore(exploration, self._stretch)
            if exploration.done or exploration.full or self._stretch == 0 or self._has_news(exploration):
                return self._hand_over(begin, exploration, self._split(exploration) if self._want is Want.SPLIT else ())
            return None
        if self._want is Want.SPLIT:
            return self._split_and_hand_over(begin, exploration)
        self._explore(exploration)
        return self._hand_over(begin, exploration, ()) if exploration.done or self._has_news(exploration) else None

    def _has_news(self, exploration: Exploration) -> bool:
        """Whether something was found that everybody should know now."""
        if not exploration.improved:
            return False
        over = self._enough is not None and exploration.incumbent is not None and exploration.incumbent <= self._enough
        return over or clock.now_us() >= self._told_at_us + TELL_US

    def _split_and_hand_over(self, begin: Begin, exploration: Exploration) -> HandedOver:
        """Cut something off to give away; explore a little first if there is only one node."""
        shared = self._split(exploration)
        tried = 0
        while not shared and not exploration.done and not exploration.full and tried < SPLIT_NODES_MAX:
            self._explore(exploration, 1)
            shared = self._split(exploration)
            tried += 1
        return self._hand_over(begin, exploration, shared)

    def _split(self, exploration: Exploration) -> tuple[Job, ...]:
        return self._jobs_made(exploration.split)

    def _jobs_made(self, make: Callable[[], tuple[Job, ...]]) -> tuple[Job, ...]:
        """Let jobs be made, and note how long that took: their bounds are asked for then."""
        began_us = clock.now_us()
        jobs = make()
        self._bounding.spend(clock.now_us() - began_us)
        return jobs

    def _explore(self, exploration: Exploration, nodes_max: int = BUDGET_MAX) -> None:
        began_us = clock.now_us()
        budget = min(nodes_max, self._tuner.budget(slice_ms((began_us - self._split_at_us) / 1000, self._slice_ms_max)))
        nodes = exploration.slice(budget)
        took_us = clock.now_us() - began_us
        self._explored_us += took_us
        self._bounding.earn(took_us)
        self._tuner.note(nodes, budget, took_us / 1000)
        if self._stretch is not None:
            self._stretch -= nodes

    def _hand_over(self, begin: Begin, exploration: Exploration, shared: tuple[Job, ...]) -> HandedOver:
        careful = self._stretch is not None
        remaining = () if exploration.done else self._jobs_made(lambda: exploration.remaining(apart=careful))
        if exploration.improved:
            self._told_at_us = clock.now_us()
        found = exploration.take_found()
        value = self._task.encode_found(found.value) if found.nodes else b""
        told = HandedOver(begin.lease, found.nodes, value, self._explored_us, found.solved, remaining, shared)
        self._explored_us = 0
        if careful:
            self._stretch = 0  # what comes next waits for Go, also if this came early
        if not remaining or self._want is Want.SURRENDER:
            self._stop()
        self._want = None
        return told

    def _raised(self, begin: Begin, error: ParryError, *, intact: bool) -> Raised:
        """Tell of an exception. Intact: what was found before it is good, and the node that raised is the last that remains."""
        before = None
        if intact and self._exploration is not None:
            with contextlib.suppress(ParryError):  # what was found cannot be encoded either: fall back to the last report
                before = self._hand_over(begin, self._exploration, ())
        self._stop()
        details, node = (error.details, error.node) if isinstance(error, ProblemError) else ("", "")
        return Raised(begin.lease, str(error), details, node, before is not None, before)

    def _died(self, begin: Begin, error: BaseException) -> Died:
        self._stop()
        return Died(begin.lease, str(error) if isinstance(error, ExplorerLost) else "it ran out of memory (MemoryError)")

    def _stop(self) -> None:
        self._begin = None
        self._exploration = None
        self._want = None
        self._stretch = None
