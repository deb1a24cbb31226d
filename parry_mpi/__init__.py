"""parry_mpi: exhaustive search on clusters. What a problem needs to import stands here, and nothing else."""

from __future__ import annotations

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
