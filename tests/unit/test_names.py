"""parry_mpi: its public names are there, and are what they are where they are defined."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.commands import ROOT

import parry_mpi


@pytest.mark.parametrize("name", parry_mpi.__all__)
def test_public_names(name):
    """Protects problems that import from the front door: every public name is found there, and it is the thing and not its module."""
    found = getattr(parry_mpi, name)
    assert type(found) is not type(sys)
    assert getattr(parry_mpi, name) is found


def test_what_is_not_there():
    """Protects the usual answer to a mistyped name."""
    with pytest.raises(AttributeError, match="has no attribute 'Enumerations'"):
        _ = parry_mpi.Enumerations


def test_the_command_line_does_not_load_numpy():
    """Protects the time that --help and `status` take: what only a run needs is not loaded for them."""
    script = "import sys, parry_mpi.cli.group, parry_mpi.cli.status, parry_mpi.cli.result; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"
