"""What processes arrange about themselves and their relatives; each on a real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.commands import alive, wait_until

from parry_mpi.runtime import processes

FOREVER = "import time; time.sleep(600)"


def status_of(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def test_child():
    """Protects from a child that runs its parent's clean-up: it leaves with 0 after its function, 70 after an exception."""
    assert os.waitstatus_to_exitcode(status_of(processes.fork_child(lambda: None))) == 0

    def fail() -> None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 the traceback is not for whoever runs the tests
        raise KeyboardInterrupt

    assert os.waitstatus_to_exitcode(status_of(processes.fork_child(fail))) == 70


def test_dies_with_parent():
    """Protects a machine from explorers whose worker was killed."""
    reading, writing = os.pipe()

    def parent() -> None:
        pid = processes.fork_child(threading.Event().wait)
        os.write(writing, str(pid).encode())
        threading.Event().wait()

    middle = processes.fork_child(parent)
    grandchild = int(os.read(reading, 20))
    os.kill(middle, signal.SIGKILL)
    status_of(middle)
    wait_until(lambda: not alive(grandchild), "the grandchild was gone")
    os.close(reading)
    os.close(writing)


def test_group():
    """Protects a machine from what an explorer has started: it goes with the explorer."""
    reading, writing = os.pipe()

    def leader() -> None:
        os.write(writing, str(subprocess.Popen([sys.executable, "-c", FOREVER]).pid).encode())
        threading.Event().wait()

    pid = processes.fork_child(leader, own_group=True)
    assert os.getpgid(pid) == pid
    program = int(os.read(reading, 20))
    processes.kill_group(pid)
    assert os.WTERMSIG(status_of(pid)) == signal.SIGKILL
    wait_until(lambda: not alive(program), "the program was gone")
    processes.kill_group(pid)
    os.close(reading)
    os.close(writing)


def test_stop_signals():
    """Protects explorers from signals that are meant for the coordinator, and the programs they start from becoming deaf."""

    def explore() -> None:
        processes.leave_stop_signals_to_others()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        program = subprocess.Popen([sys.executable, "-c", FOREVER])
        program.terminate()
        reading, writing = os.pipe()
        fork = os.fork()
        if fork == 0:
            os.write(writing, b"x")
            threading.Event().wait()
        os.read(reading, 1)
        os.kill(fork, signal.SIGTERM)
        processes.leave(7 if (program.wait(), os.WTERMSIG(status_of(fork))) == (-15, 15) else 1)

    assert os.waitstatus_to_exitcode(status_of(processes.fork_child(explore))) == 7


def test_ignored_stop_signals():
    """Protects a rank from the signal that its launcher passes on to everybody: rank 0 tells it what to do."""

    def rank() -> None:
        processes.ignore_stop_signals()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        processes.leave(3)

    assert os.waitstatus_to_exitcode(status_of(processes.fork_child(rank))) == 3


def test_name():
    """Protects whoever looks at a busy machine with ps: each process says what it is."""
    reading, writing = os.pipe()

    def named() -> None:
        processes.show_as("parry-explorer")
        os.write(writing, Path("/proc/self/comm").read_bytes())

    status_of(processes.fork_child(named))
    assert os.read(reading, 20) == b"parry-explorer\n"
    os.close(reading)
    os.close(writing)


def test_first_to_go():
    """Protects supervisors when memory runs out: the kernel takes explorers first."""
    reading, writing = os.pipe()

    def explorer() -> None:
        processes.go_first_without_memory()
        os.write(writing, Path("/proc/self/oom_score_adj").read_bytes())

    status_of(processes.fork_child(explorer))
    assert os.read(reading, 20) == b"1000\n"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "its process left with exit code 0"),
        (7 << 8, "its process left with exit code 7"),
        (signal.SIGSEGV, "its process was killed by signal 11 (SIGSEGV)"),
        (signal.SIGKILL, "its process was killed by signal 9 (SIGKILL; out of memory?)"),
        (int(signal.SIGRTMIN) + 3, f"its process was killed by signal {int(signal.SIGRTMIN) + 3} (unnamed)"),
    ],
)
def test_exits_in_words(status, text):
    """Protects whoever reads why a job was put aside."""
    assert text == processes.describe_exit(status)
