"""Problems of jobs/ whose explorers are told the best objective known like all others, and do not listen: what sharing it is worth.

They are named as a module, `tests.benchmarks.unshared:Golomb`, from the project's folder. This module must not change the tree, nor
what a node costs.
"""

from __future__ import annotations

from typing import Any

from jobs import clique, golomb, tsp
from parry_mpi import Best, Explore, Slice


class Unshared:
    """Mixed into an Optimisation: go by the best that this process has found itself, instead of the best that it is told.

    It is kept as long as the process lives, from lease to lease. If a lease is killed after something better was found and before it was
    reported, that is lost for good, and the answer may be wrong: whoever runs this has to check it.

    Attributes:
        own: the best score that was found here, None if nothing was.
    """

    own: Any = None

    def kernel(self) -> Explore | None:
        explore = super().kernel()
        if explore is None:
            return None

        def explore_for_oneself(frontier: Any, budget: int, _told: Any = None) -> Slice:
            done = explore(frontier, budget, self.limit(self.own))
            self._keep(done.value)
            return done

        return explore_for_oneself

    def hopeless(self, bound: Any, incumbent: Any) -> bool:
        return self.own is not None and super().hopeless(bound, self.own)

    def improvement(self, node: Any, incumbent: Any) -> Best | None:
        better = super().improvement(node, self.own)
        self._keep(better)
        return better

    def _keep(self, better: Best | None) -> None:
        """Remember what was found, which is better than what was known here."""
        if better is not None:
            self.own = self.score(better)


class Golomb(Unshared, golomb.Golomb):
    """Rulers."""


class Clique(Unshared, clique.Clique):
    """Cliques."""


class Tsp(Unshared, tsp.Tsp):
    """Tours."""
