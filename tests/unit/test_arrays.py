"""parry_mpi.arrays: what is numpy's is known for it, and numpy is not loaded to find out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.commands import ROOT

from parry_mpi.arrays import is_array, is_record, is_scalar

RECORD = np.zeros(1, [("a", "u1")])[0]


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ((True, False, False), np.zeros(2)),
        ((False, True, False), np.int64(1)),
        ((False, True, True), RECORD),
        ((False, False, False), [1]),
        ((False, False, False), None),
    ],
    ids=str,
)
def test_what_is_what(expected, value):
    """Protects nodes, values and roots from being taken for something else."""
    assert expected == (is_array(value), is_scalar(value), is_record(value))


EXPLORING = """
import sys
from parry_mpi.cli import loading, parameters, session, following
from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.runtime.options import Options
from parry_mpi.search.exploration import explore_all
request = Request("jobs/queens.py", ("n=5", "engine=python"), None, False, Options())
print(explore_all(prepare(request).task), "numpy" in sys.modules)
"""


def test_a_run_without_a_kernel():
    """Protects the time that a rank takes to start: a problem of plain numbers is loaded and explored without numpy."""
    done = subprocess.run([sys.executable, "-c", EXPLORING], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert "(10, 54) False" == done.stdout.strip()


def test_numpy_that_is_just_being_loaded(monkeypatch):
    """Protects threads of the user's: a module of which nothing is there yet has no arrays."""
    monkeypatch.setitem(sys.modules, "numpy", type(sys)("numpy"))
    assert not is_array(np.zeros(1))
