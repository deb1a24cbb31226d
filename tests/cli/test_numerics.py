"""parry_mpi.cli.numerics: numpy comes with one thread, unless the user says otherwise; in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import ROOT

SCRIPT = """
import os
import sys
from parry_mpi.cli import numerics
before = dict(os.environ)
numerics.start_no_threads()
assert "numpy" not in sys.modules
import numpy
print(len(os.listdir("/proc/self/task")), dict(os.environ) == before, numpy.arange(3).sum())
"""

ABSENT = """
import sys
from parry_mpi.cli import numerics
numerics.start_no_threads()
sys.path.clear()
try:
    import numpy
except ModuleNotFoundError as error:
    print(error)
"""


def printed(script: str, **given: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=environment | given, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


@pytest.mark.parametrize(("expected", "given"), [("1 True 3", {}), ("2 True 3", {"OMP_NUM_THREADS": "2"})])
@pytest.mark.skipif(not os.path.isdir("/proc/self/task") or (os.cpu_count() or 1) < 2, reason="threads can be seen, and started")  # noqa: PTH112
def test_threads_of_numpy(expected, given):
    """Protects the neighbours of an explorer from threads that nobody asked for, and what the user asked for from us."""
    assert expected == printed(SCRIPT, **given)


def test_without_numpy():
    """Protects what Python says when numpy cannot be found from becoming something else."""
    assert "No module named 'numpy'" == printed(ABSENT)
