"""parry_mpi.cli.lasting: what is loaded is never looked through for garbage, and garbage is looked for again afterwards."""

from __future__ import annotations

import gc

import pytest

from parry_mpi.cli.lasting import lasting


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.unfreeze()
    gc.enable()


def test_what_lasts():
    """Protects the start of every rank from searches for garbage, and a run of days from never having one."""
    before = gc.get_freeze_count()
    with lasting():
        assert not gc.isenabled()
        kept = [[each] for each in range(1000)]
    assert gc.isenabled()
    assert len(kept) <= gc.get_freeze_count() - before


def test_nobody_looks_anyway():
    """Protects whoever has switched the search off from having it switched on."""
    gc.disable()
    with lasting():
        pass
    assert not gc.isenabled()
