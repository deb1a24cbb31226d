"""What a process can know of the launcher that started it, without MPI, and how to end so that the launcher learns the exit code.

This module must not import mpi4py: it is asked before anybody knows whether MPI is needed, or there.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import warnings
from typing import NoReturn

LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",)),
    ("PMI_RANK", ("PMI_SIZE",)),
    ("PMIX_RANK", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")),
)
"""Where launchers write rank and size: Open MPI's mpirun; hydra (MPICH, Intel) and srun --mpi=pmi2; srun --mpi=pmix. The first that
is there counts: mpirun sets PMIX_RANK as well, and under hydra SLURM_NTASKS is that of hydra's own step. Without a rank
variable SLURM_NTASKS means nothing: every batch script has it."""

OUTLIVING_LOOKS_COUNT = 5_000
OUTLIVING_LOOK_S = 0.002
"""How often, and how far apart, to look whether a process has ended that is about to: 10 s in all."""

REAPING_S = 0.05
"""Between that end, the end of its stdout and the end of its stderr: time for the launcher to take note of each alone."""

READING_S = 0.5
"""How long the launcher is given to pass on what was said before it is asked to end everything: it does not do so afterwards."""

FILES_COUNT_MAX = 65_536
"""Far above the number of any file that MPI opens in its first moments, and closed in no time."""


def launched() -> bool:
    """Whether an MPI launcher started this process as one of several ranks. Does not touch MPI."""
    return launched_rank() is not None and launched_size() != 1


def launched_rank() -> int | None:
    """Return the rank that the launcher gave this process, or None without one. Does not touch MPI."""
    return _rank_and_size()[0]


def launched_size() -> int | None:
    """Return how many ranks the launcher started; 1 without a launcher, None if it does not say. Does not touch MPI."""
    return _rank_and_size()[1]


def strangers_count() -> int:
    """Return how many copies of this command a bare srun started that do not know of each other; 1 if it is alone.

    Where Slurm's MpiDefault is none, srun without --mpi starts every task as if it were the only one.
    """
    step, tasks = os.environ.get("SLURM_STEP_ID", ""), os.environ.get("SLURM_STEP_NUM_TASKS", "")
    return int(tasks) if launched_rank() is None and step.isdigit() and tasks.isdigit() else 1


def keep_exit_code(code: int) -> None:
    """See to it that hydra learns the code with which this process is about to end, within 10 s.

    Once hydra's mpiexec has passed on a signal, its proxy (seen in MPICH 4.0.2, Debian 12's) counts every process that it reaps after
    the last of their stdout and stderr was closed as ended with 0; it reaps one process before that whenever one of them is
    closed. A process that closes its last and ends is therefore a race: half of all runs that stopped with 75 returned 0. So
    a child outlives this process by a moment. It keeps both open until this process has ended, and closes one after the other.

    Source: seen in system calls of the proxy; MPICH pull request 5930 removed the cause in later versions.
    """
    if code == 0 or "PMI_RANK" not in os.environ:
        return  # 0 is what the proxy would make of it anyway; other launchers do not have this fault
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python warns of threads. The child makes nothing but system calls, so no lock of theirs can hold it.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _outlive(parent)


def _outlive(parent: int) -> NoReturn:
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        for _ in range(OUTLIVING_LOOKS_COUNT):
            if os.getppid() != parent:
                break
            pause(OUTLIVING_LOOK_S)
        pause(REAPING_S)
        # MPI libraries keep duplicates of stdout: it is closed when all of them are.
        os.closerange(0, 2)
        os.closerange(3, FILES_COUNT_MAX)
        pause(REAPING_S)
    finally:
        os._exit(0)


def abort(code: int) -> None:
    """Ask MPICH's launcher to end all ranks with this code: it takes no notice of a process that ends before MPI is initialised.

    The others would wait for it in MPI_Init without end. It is what the process would have said, had it been able to call MPI_Abort:
    version 1 of MPICH's process management interface, in which commands are lines. Other launchers notice by themselves.

    What was said before is given time to be read: the launcher kills its own messengers along with the ranks.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    pause(READING_S)
    handle = os.environ.get("PMI_FD", "")
    if handle.isdigit():
        with contextlib.suppress(OSError):
            os.write(int(handle), f"cmd=abort exitcode={code}\n".encode())


def leave(code: int) -> None:
    """End this process without freeing its memory piece by piece, which takes the interpreter as long as a short run.

    If the last words cannot be written, return: then the interpreter says so as it always does.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    if launched():
        import ctypes  # noqa: PLC0415 not needed elsewhere

        # What C libraries want to do at the end has to be done: MPICH says only then to hydra that this rank is over, and hydra kills all
        # ranks if one ends without a word. The lock of the interpreter is kept, so that nothing else happens meanwhile.
        ctypes.PyDLL(None).exit(code)
    os._exit(code)


def pause(seconds: float) -> None:
    """Do nothing for a while: for the moments between a process and its end, when no loop is left to wait in."""
    select.select((), (), (), seconds)


def _rank_and_size() -> tuple[int | None, int | None]:
    for rank_variable, size_variables in LAUNCHERS:
        rank = os.environ.get(rank_variable, "")
        if rank.isdigit():
            sizes = [os.environ[name] for name in size_variables if os.environ.get(name, "").isdigit()]
            return int(rank), int(sizes[0]) if sizes else None
    return None, 1
