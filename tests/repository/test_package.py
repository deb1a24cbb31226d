"""What is installed, and what that needs."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.commands import ROOT

import parry_mpi


def requirements() -> list[str]:
    """The lines of setup.cfg that say what is needed, each with its comment."""
    lines = (ROOT / "setup.cfg").read_text().splitlines()
    start = lines.index("install_requires =") + 1
    return lines[start : lines.index("", start)]


def test_requirements_have_reasons():
    """Protects users from idle dependencies: each stands under the reason for it."""
    lines = requirements()
    assert all(lines[index - 1].lstrip().startswith("#") for index, line in enumerate(lines) if "#" not in line)


def test_installed_files():
    """Protects site-packages: the wheel holds the package, all of it, and neither tests nor jobs."""
    if not os.environ.get("PARRY_TEST_INSTALLED"):
        pytest.skip("a checkout is tested, not a wheel (PARRY_TEST_INSTALLED)")
    files = {str(file) for file in metadata.files("parry_mpi") or () if "__pycache__" not in file.parts}
    information = f"parry_mpi-{parry_mpi.__version__}.dist-info"
    assert {file.split("/")[0] for file in files} == {"parry_mpi", information, ".."}
    assert {file for file in files if file.startswith("..")} == {"../../../bin/parry-mpi"}
    package = (path for path in (ROOT / "parry_mpi").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    sources = {str(path.relative_to(ROOT)) for path in package}
    assert sources == {file for file in files if file.startswith("parry_mpi/")}


def test_version_is_in_the_change_list():
    """Protects users who upgrade: the version has its entry in the change list."""
    assert f"## {parry_mpi.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_configuration_parses():
    """Protects the tools that read setup.cfg: it is one well-formed file with the command in it."""
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    assert "parry-mpi = parry_mpi.cli.main:main" in configuration["options.entry_points"]["console_scripts"]


@pytest.mark.parametrize("script", [".ci/run", "slurm/parry.sbatch", "slurm/workers.sbatch"])
def test_scripts(script):
    """Protects clusters and continuous integration from shell mistakes."""
    shellcheck = Path(sys.prefix) / "bin" / "shellcheck"
    program = str(shellcheck) if shellcheck.exists() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed (extra test)")
    finished = subprocess.run([program, ROOT / script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
