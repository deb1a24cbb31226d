"""parry_mpi: exhaustive search on clusters. What a problem needs to import stands here, and nothing else.

Each name is loaded when it is first asked for: the command line starts without numpy, and a problem without what it does not use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parry_mpi.external import external
    from parry_mpi.kernels import Engine, Stack, compiled, compiled_wanted, stack_kernel
    from parry_mpi.problem import Best, Collection, Counting, Decision, Enumeration, Explore, IndexedRoots, Optimisation, Slice

__all__ = [
    "Best",
    "Collection",
    "Counting",
    "Decision",
    "Engine",
    "Enumeration",
    "Explore",
    "IndexedRoots",
    "Optimisation",
    "Slice",
    "Stack",
    "compiled",
    "compiled_wanted",
    "external",
    "stack_kernel",
]
__version__ = "0.1.0"

ELSEWHERE = {"external": "external"} | dict.fromkeys(
    ("Engine", "Stack", "compiled", "compiled_wanted", "stack_kernel"), "kernels"
)
"""The modules of the names that are not in parry_mpi.problem."""


def __getattr__(name: str) -> Any:
    """Load a name and keep it: in place of the module, where a module has the same name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{ELSEWHERE.get(name, 'problem')}"), name)
    globals()[name] = value
    return value
