"""What holds for every test: its layer's marker, the order of layers, nothing left behind, how Hypothesis draws."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from support import commands

import parry_mpi

LAYERS = (
    "unit",
    "scenarios",
    "model",
    "simulation",
    "exhaustive",
    "transport",
    "store",
    "cli",
    "repository",
    "problems",
    "mpi",
    "worlds",
    "browser",
    "chaos",
    "slurm",
    "benchmarks",
)
"""The folders of tests/, in the order in which they run: what fails fast and explains most comes first."""

SLURM = "slurm"
"""The layer that waits most."""

PROCESS_ENDS_S = 5
"""How long a process may need to go away after its test."""

PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h: orphans among our descendants become our children instead of init's, so that the guard sees them."""

HYDRA_FILES = pytest.StashKey[set[Path]]()
"""Those that were there before the first test."""

hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)  # a red run stays red
hypothesis.settings.register_profile("night", deadline=None, max_examples=5_000, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    config.stash[HYDRA_FILES] = commands.hydra_files()
    tested, checkout = Path(parry_mpi.__file__).resolve(), commands.ROOT
    if os.environ.get("PARRY_TEST_INSTALLED") and checkout in tested.parents:
        raise pytest.UsageError(f"the installed package was to be tested, but parry_mpi comes from {tested}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # others may still test
        commands.remove_hydra_files(before=config.stash[HYDRA_FILES])


def pytest_report_header() -> str:
    found = ", ".join(mpi.name for mpi in commands.mpis()) or "none"
    return f"parry_mpi {parry_mpi.__version__} from {Path(parry_mpi.__file__).parent}; MPI: {found}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    order = {}
    side_by_side = hasattr(items[0].config, "workerinput") if items else False
    for item in items:
        layer = item.path.relative_to(tests).parts[0]
        assert layer in LAYERS, f"{item.path}: tests/{layer} is not a layer; tests/README.md lists them"
        item.add_marker(layer)
        order[item] = LAYERS.index(layer)
        if layer == SLURM:
            # There is one Slurm for all its tests, so one worker has them all; it begins with them, for they wait more than they work.
            item.add_marker(pytest.mark.xdist_group(SLURM))
            order[item] = -1 if side_by_side else order[item]
    items.sort(key=order.__getitem__)


@pytest.fixture(autouse=True)
def _no_process_left_behind() -> Iterator[None]:
    """Fail a test that leaves a process, its own child or an orphan of one, and end that process."""
    before = set(commands.children(os.getpid()))
    yield

    def left() -> list[int]:
        for pid in set(commands.children(os.getpid())) - before:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return [pid for pid in commands.children(os.getpid()) if pid not in before]

    with contextlib.suppress(AssertionError):
        commands.wait_until(lambda: not left(), "the test's processes were gone", PROCESS_ENDS_S)
    if remaining := {pid: commands.command_line(pid) for pid in left()}:
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pytest.fail(f"processes left behind: {remaining}", pytrace=False)
