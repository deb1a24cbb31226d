"""parry_mpi.cli.numerics: numpy comes with one thread, unless the user says otherwise; in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import ROOT

SCRIPT = """
import os
from parry_mpi.cli import numerics
before = dict(os.environ)
numerics.load()
print(len(os.listdir("/proc/self/task")), dict(os.environ) == before)
"""


@pytest.mark.parametrize(("expected", "given"), [("1 True", {}), ("2 True", {"OMP_NUM_THREADS": "2"})])
@pytest.mark.skipif(not os.path.isdir("/proc/self/task") or (os.cpu_count() or 1) < 2, reason="threads can be seen, and started")  # noqa: PTH112
def test_threads_of_numpy(expected, given):
    """Protects the neighbours of an explorer from threads that nobody asked for, and what the user asked for from us."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(words, env=environment | given, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == expected
