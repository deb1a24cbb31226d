"""One Slurm for all tests of this layer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.slurm import Slurm, slurm_up


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    program = os.environ.get("PARRY_TEST_SLURM")
    if not program:
        pytest.skip("no Slurm to test with: PARRY_TEST_SLURM is not set")
    with slurm_up(program) as up:
        yield up
