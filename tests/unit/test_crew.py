"""Several processes that do the same: all are told to stop, and none is forgotten."""

from __future__ import annotations

import os
import signal
import sys
import threading

from support.commands import wait_until

from parry_mpi.errors import EXIT_STOPPED
from parry_mpi.runtime.crew import work_in_processes


def test_one_needs_no_fork():
    """Protects a single worker: it is this process."""
    pids = []
    assert 7 == work_in_processes(1, lambda index: (pids.append(os.getpid()), 7 + index)[1])
    assert [os.getpid()] == pids


def test_codes(tmp_path):
    """Protects the exit code: every process runs, and one that failed shows."""

    def one(index: int) -> int:
        (tmp_path / str(index)).write_text("done")
        return 2 if index == 1 else 0

    assert 2 == work_in_processes(3, one)
    assert ["0", "1", "2"] == sorted(path.name for path in tmp_path.iterdir())
    assert 0 == work_in_processes(2, lambda index: 0)


def test_one_is_killed():
    """Protects the others from the death of one, and the user from taking it for a good end."""

    def one(index: int) -> int:
        if index == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert EXIT_STOPPED == work_in_processes(2, one)


def test_signals_reach_all(tmp_path):
    """Protects a worker's good end: a signal to the first process reaches each of them."""

    def one(index: int) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        try:
            (tmp_path / str(index)).write_text("ready")
            signal.pause()
        except SystemExit:
            (tmp_path / f"{index} left").write_text("")
        return 0

    def ask() -> None:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "both are ready")
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    # Forked before the thread is started, as in the command: the first look at the crew comes after both.
    asking.start()
    try:
        assert 0 == work_in_processes(2, one)
    finally:
        asking.join()
    assert {"0", "0 left", "1", "1 left"} == {path.name for path in tmp_path.iterdir()}
