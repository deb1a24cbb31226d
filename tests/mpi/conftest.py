"""What holds for tests that run on every rank of an MPI world at once; tests/worlds/test_inside.py starts the worlds.

All ranks run the same tests in the same order. One that fails on any rank fails on all, so that no rank waits for another that has
given up, and every rank ends with the same exit code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parry_mpi.transport.mpi import MpiTransport

if TYPE_CHECKING:
    from mpi4py import MPI

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def comm() -> MPI.Intracomm:
    """All ranks. pytest-mpi has initialised MPI, and skips these tests where there is none."""
    from mpi4py import MPI  # noqa: PLC0415 initialises MPI

    return MPI.COMM_WORLD


@pytest.fixture
def end(comm) -> Iterator[MpiTransport]:
    """This rank's end of a new transport, on which nobody has spoken yet."""
    transport = MpiTransport(comm)
    yield transport
    transport._comm.Free()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item):
    if HERE not in item.path.parents:
        return (yield)
    comm = item.funcargs["comm"]
    try:
        outcome = yield
    except BaseException:
        comm.allreduce(1)
        raise
    failed = comm.allreduce(0)
    assert failed == 0, f"failed on {failed} of the other ranks"
    return outcome
