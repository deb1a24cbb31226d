"""The coordinator's role, and the workers' with it: runs in this process, from the beginning over stops and restarts to the end."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from support.disk import QUEENS
from support.toys import binary

from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import Goodbye, Hello, Refused, Stop, Unable
from parry_mpi.errors import ProblemError
from parry_mpi.problem import Enumeration
from parry_mpi.runtime import coordinating, processes
from parry_mpi.runtime.coordinating import Outcome, coordinate, decline, settings_of
from parry_mpi.runtime.coordinator_loop import Watchers
from parry_mpi.runtime.options import Options
from parry_mpi.runtime.working import work
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import Task
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.wire import codec

ALONE = Options(isolation="none")


def live(path, task: Task, options: Options = ALONE, warnings: list[str] | None = None) -> Outcome:
    """One life of a run in this process."""
    with RunDirectory.open(path, QUEENS) as directory:
        said = [] if warnings is None else warnings
        return coordinate(task, directory, None, options, Watchers(lambda view: None, said.append))


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_to_the_end(tmp_path, isolation):
    """Protects the answer: with and without a process of its own, the run is complete and exact."""
    outcome = live(tmp_path / "run", binary(depth=8), Options(isolation=isolation))
    assert (511, True, "", None, True) == (outcome.result, outcome.complete, outcome.stopped, outcome.failure, outcome.orderly)
    assert (511, 1, 0) == (outcome.view.nodes, outcome.view.workers_seen, outcome.view.restarts)


def test_stopped_and_taken_up(tmp_path):
    """Protects what was found before a stop: the next life starts from it."""
    task = binary(depth=8, doing={100: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    stopped = live(tmp_path / "run", task)
    assert (False, "SIGTERM") == (stopped.complete, stopped.stopped)
    assert 0 < stopped.result < 511
    assert stopped.result == stopped.view.nodes
    ended = live(tmp_path / "run", binary(depth=8))
    assert (511, 511, 1) == (ended.result, ended.view.nodes, ended.view.restarts)


def test_error_and_taken_up(tmp_path):
    """Protects a run from an error in the problem: what was found is kept, and the next life explores that node again."""

    def fail() -> None:
        raise ValueError("no")

    failed = live(tmp_path / "run", binary(depth=8, doing={100: fail}))
    assert failed.failure is not None
    assert ("ValueError: no", "100") == (failed.failure.error, failed.failure.node)
    quarantining = Options(isolation="none", on_error="quarantine")
    incomplete = live(tmp_path / "run", binary(depth=8, doing={100: fail}), quarantining)
    assert (511 - 7, False, 1) == (incomplete.result, incomplete.complete, incomplete.view.quarantined)


def test_error_in_zero(tmp_path):
    """Protects whoever's zero() raises before anything was done: it is theirs, and no folder is left."""

    class NoZero(Enumeration[int, dict]):
        def roots(self):
            return [1]

        def zero(self):
            raise ValueError("no zero")

    with pytest.raises(ProblemError, match="no zero"):
        live(tmp_path / "run", Task(NoZero()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("isolation", ["none", "process"])
def test_error_in_kernel(tmp_path, isolation):
    """Protects whoever's kernel() raises, in whichever process that is: it is told as theirs."""

    class NoKernel(Enumeration[int, int]):
        def roots(self):
            return [1]

        def kernel(self):
            raise ValueError("no compiler")

    if isolation == "process":
        failure = live(tmp_path / "run", Task(NoKernel()), Options()).failure
        assert failure is not None
        assert "no compiler" in failure.error
    else:
        with pytest.raises(ProblemError, match="no compiler"):
            live(tmp_path / "run", Task(NoKernel()))


def test_settings():
    """Protects the user's choices on their way to the coordinator."""
    settings = settings_of(
        binary(), "f", Options(max_kills=3, heartbeat_timeout_s=7.4, patience_s=0.5, grace_s=2, on_error="quarantine")
    )
    assert (True, 3, True, 7_400, 500, 2000) == (
        settings.splittable,
        settings.max_kills,
        settings.quarantine_errors,
        settings.heartbeat_timeout_ms,
        settings.patience_ms,
        settings.grace_ms,
    )
    assert 1_000 == settings_of(binary(), "f", Options(heartbeat_timeout_s=0)).heartbeat_timeout_ms

    class OneCall(Enumeration[int, int]):
        def roots(self):
            return [1]

        def value(self, node):
            return 1

    assert not settings_of(Task(OneCall()), "f", Options()).splittable

    class OnlyKernel(OneCall):
        def kernel(self):
            return None

    assert settings_of(Task(OnlyKernel()), "f", Options()).splittable, "a program that hangs must lose its jobs at last"


def test_worker_on_a_rank(tmp_path):
    """Protects the world: a coordinator and a worker that share nothing but a transport find the answer and part as friends."""
    hub, end = inprocess.pair()
    codes: list[int] = []
    task = binary(depth=8)
    with RunDirectory.open(tmp_path / "run", QUEENS) as directory:
        fingerprint = directory.identity.fingerprint()
        thread = threading.Thread(target=lambda: codes.append(work(lambda: (task, fingerprint), lambda: end, ALONE)[1]))
        signals_before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        ignoring, processes.ignore_stop_signals = processes.ignore_stop_signals, lambda: None
        try:
            thread.start()
            outcome = coordinate(task, directory, hub, ALONE, Watchers(lambda view: None, lambda line: None))
        finally:
            processes.ignore_stop_signals = ignoring
            thread.join(20)
    assert signals_before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    assert (511, True, [0]) == (outcome.result, outcome.orderly, codes)


@pytest.mark.parametrize("word", [Hello("f", "h", 1, "t"), Unable("h", "cannot")], ids=["able", "unable"])
def test_nothing_to_do(word):
    """Protects ranks from waiting for work that there is none of."""
    hub, end = inprocess.pair()
    end.send(COORDINATOR, codec.encode([word]))
    assert decline(hub, "all is done", 2)
    ((_, frame),) = end.receive()
    assert codec.decode_from_coordinator(frame)[0] in (Refused("all is done"), Stop())


def test_nobody_to_decline(monkeypatch):
    """Protects rank 0 from waiting for ranks that never come."""
    monkeypatch.setattr(coordinating, "STARTING_S", 0.05)
    hub, _ = inprocess.pair()
    assert not decline(hub, "all is done", 2)


def test_unable():
    """Protects the reader of an error that only one machine has: it is told to rank 0, whose exit code is the one that counts."""
    hub, end = inprocess.pair()

    def load():
        raise ProblemError("no such module", details="Traceback")

    hub.send(Peer(1), codec.encode([Stop()]))
    ignoring, processes.ignore_stop_signals = processes.ignore_stop_signals, lambda: None
    try:
        _, code = work(load, lambda: end, ALONE)
    finally:
        processes.ignore_stop_signals = ignoring
    assert 0 == code
    words = [message for _, frame in hub.receive() for message in codec.decode_from_worker(frame)]
    assert isinstance(words[0], Unable)
    assert ("no such module", "Traceback") == (words[0].error, words[0].details)
    assert isinstance(words[1], Goodbye)
