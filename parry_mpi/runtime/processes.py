"""What Linux lets a process arrange about itself and its relatives: die with the parent, be the first to go without memory.

This module must not know what the processes are for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from parry_mpi.runtime.signals import STOP_SIGNALS

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent ends."""

EXIT_FAILED_START = 70


def fork() -> int:
    """Fork, like os.fork, without the warning that Python gives when a library has threads.

    numpy's BLAS starts threads when it is imported; they idle, and it re-creates them in the child by itself (pthread_atfork).
    Ours are only started after the last fork of a process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def fork_child(run: Callable[[], None], *, own_group: bool = False) -> int:
    """Fork a child that dies with this process, runs a function and leaves without any of the parent's clean-up.

    Args:
        run: what the child does.
        own_group: it leads a process group of its own, for kill_group().

    Returns:
        The child's process id.
    """
    parent = os.getpid()
    pid = fork()
    if pid == 0:
        _be_child(run, parent, own_group=own_group)
    if own_group:  # done on both sides, so that it is done whichever comes first
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
    return pid


def _be_child(run: Callable[[], None], parent: int, *, own_group: bool) -> NoReturn:
    try:
        if own_group:
            os.setpgid(0, 0)
        die_with_parent(parent)
        run()
    except BaseException:  # noqa: BLE001 whatever it is, the parent's code must not run a second time in the child
        sys.excepthook(*sys.exc_info())
        leave(EXIT_FAILED_START)
    leave(0)


def leave(code: int) -> NoReturn:
    """End this process now: output is flushed, nothing else of what was inherited is touched."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        leave(0)


def go_first_without_memory() -> None:
    """When memory runs out, let the kernel kill this process before any other: it can be replaced."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return  # not Linux, or not allowed: the kernel then chooses by size, which is most likely this one anyway


def show_as(name: str) -> None:
    """Have ps and top show this process by another name, of at most 15 characters."""
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def kill_group(leader: int) -> None:
    """Kill a child that leads a process group, and whatever it started that did not leave the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def ignore_stop_signals() -> None:
    """Leave it to the coordinator to stop: it is told by the same signal, and tells everybody in an orderly way."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def leave_stop_signals_to_others() -> None:
    """Ignore stop signals in this process but not in those that the user's code starts: an external solver can be terminated."""
    for number in STOP_SIGNALS:
        # A handler, unlike SIG_IGN, is not passed on to another program; a fork of this one puts the default back by itself.
        signal.signal(number, lambda _number, _frame: None)
        signal.siginterrupt(number, False)
    os.register_at_fork(after_in_child=_default_stop_signals)


def _default_stop_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def host_name() -> str:
    """The name of this machine."""
    return socket.gethostname()


def describe_exit(status: int) -> str:
    """Say how a process ended, from its wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        names = {int(each): each.name for each in signal.Signals}
        hint = "; out of memory?" if number == signal.SIGKILL else ""
        return f"its process was killed by signal {number} ({names.get(number, 'unnamed')}{hint})"
    return f"its process left with exit code {os.WEXITSTATUS(status)}"
