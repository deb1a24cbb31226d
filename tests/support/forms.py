"""One tree, described in every way a problem may describe it: plain nodes or records, walked by the library or by a kernel.

The values are those of support.trees: they name every node, so a total says which nodes were counted, and how often.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parry_mpi.problem import Slice
from support.trees import Digits

RECORD = np.dtype([("node", "<i4")])


class Records(Digits):
    """Nodes are records of one field."""

    node_dtype = RECORD

    def roots(self):
        roots = [(root,) for root in self.tree.roots]
        return roots if self.indexed else iter(roots)

    def children(self, node):
        return [(child,) for child in self.tree.children[node[0]]]

    def value(self, node):
        return super().value(node[0])


class KernelOnLists(Digits):
    """A kernel that explores a list of nodes.

    Args:
        tells_untouched: whether it says what it left untouched.
    """

    tells_untouched: bool = True

    def explore(self, frontier, budget):
        lowest, value, nodes = len(frontier), 0, 0
        while frontier and nodes < budget:
            node = frontier.pop()
            lowest = min(lowest, len(frontier))
            value += self.value(node)
            nodes += 1
            frontier += self.tree.children[node]
        return Slice(value, frontier, nodes, lowest if self.tells_untouched else 0)


class KernelOnRecords(KernelOnLists):
    """A kernel that explores an array of records."""

    node_dtype = RECORD

    def roots(self):
        roots = np.array([(root,) for root in self.tree.roots], RECORD)
        return roots if self.indexed else iter(roots)

    def explore(self, frontier, budget):
        done = KernelOnLists.explore(self, frontier["node"].tolist(), budget)
        return done._replace(frontier=np.array([(node,) for node in done.frontier], RECORD))


class KernelWithoutUntouched(KernelOnRecords):
    """A kernel that cannot tell what it left untouched."""

    tells_untouched: bool = False


FORMS: dict[str, Any] = {
    "nodes": Digits,
    "records": Records,
    "kernel on lists": KernelOnLists,
    "kernel on records": KernelOnRecords,
    "kernel without untouched": KernelWithoutUntouched,
}
