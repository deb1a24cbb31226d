"""The layers of the package, as setup.cfg states them."""

from __future__ import annotations

import sys
from pathlib import Path

from support.commands import run

FORBIDDEN_AT_START = ("cryptography", "mpi4py", "numba", "rich", "sqlite3")
"""What takes long to import and what a command may never need."""


def test_contracts_hold():
    """Protects the cut of the package: a module that imports upwards, or that was given no place, is noticed at once."""
    finished = run((Path(sys.prefix) / "bin" / "lint-imports", "--no-cache"), environment={"PYTHONSAFEPATH": ""})
    assert finished.code == 0, finished


def test_command_line_starts_light():
    """Protects the start-up time of every command and every rank: nothing heavy is imported before it is needed."""
    program = f"import sys, parry_mpi.cli.group; print(*sorted(set({FORBIDDEN_AT_START}) & set(sys.modules)))"
    finished = run((sys.executable, "-c", program))
    assert finished.code == 0, finished
    assert finished.stdout.strip() == ""


def test_problem_imports_light():
    """Protects those who only write a problem: importing the public names needs msgspec, nothing more."""
    heavy = {"asyncio", "click", "mpi4py", "numpy", "socket", "sqlite3"}
    program = f"import sys; from parry_mpi import *; print(*sorted({heavy} & set(sys.modules)))"
    finished = run((sys.executable, "-c", program))
    assert finished.code == 0, finished
    assert finished.stdout.strip() == ""
