"""Names of run directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from parry_mpi.store.naming import NAME_LENGTH_MAX, default_run_directory


@pytest.mark.parametrize(
    ("expected", "problem", "parameters"),
    [
        ("queens-n=12", "queens:Queens", {"n": 12}),
        ("queens", "jobs.queens:Queens", {}),
        ("queens.Toroidal-n=12", "queens:Toroidal", {"n": 12}),
        ("numerical_semigroups-g=3", "numerical_semigroups:NumericalSemigroups", {"g": 3}),
        ("uts-tree=T1-b=2.5", "uts:Uts", {"tree": "T1", "t": None, "b": 2.5}),
        ("sweep-fast=true-x=-1", "sweep:Sweep", {"fast": True, "x": -1}),
        ("sweep-sizes=1,2,3", "sweep:Sweep", {"sizes": [1, 2, 3]}),
        ("sweep-path=..%2Fa%20b%3D%C3%A9", "sweep:Sweep", {"path": "../a b=\N{LATIN SMALL LETTER E WITH ACUTE}"}),
        ("sweep-box=%7B%22a%22%3A1%7D", "sweep:Sweep", {"box": {"a": 1}}),
    ],
)
def test_name(expected, problem, parameters):
    """Protects the promise that the same command finds its folder again, and that people can read its name."""
    assert default_run_directory(problem, parameters) == Path("runs") / expected


def test_long_names():
    """Protects runs with long parameters: a name that fits every file system, and not the same one for two of them."""
    names = {default_run_directory("sweep:Sweep", {"text": "x" * 1000 + end}).name for end in "ab"}
    assert len(names) == 2
    assert all(len(name) == NAME_LENGTH_MAX and name.startswith("sweep-text=xxx") for name in names)
