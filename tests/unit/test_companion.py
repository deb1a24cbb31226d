"""Companions: what they are told nobody else can read, and neither side outlives the other without saying so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import alive, wait_until

from parry_mpi import companion
from parry_mpi.companion import Companion
from parry_mpi.runtime import processes

MODULE = "support.companions"

DEADLINE_S = 60
"""A loaded machine takes its time to start Python."""


@contextlib.contextmanager
def started(*sockets: socket.socket, module: str = MODULE) -> Iterator[Companion]:
    """A companion that answers each word with the same; on the way out it has to be gone."""
    beside = Companion(module, *sockets)
    beside.socket.settimeout(DEADLINE_S)
    try:
        yield beside
    finally:
        beside.end()
        assert not alive(beside.pid)


def told(beside: Companion, words: bytes) -> bytes:
    beside.socket.sendall(words)
    return beside.socket.recv(len(words) or 1)


def test_secrets_stay_between_the_two():
    """Protects keys and tokens: what a companion is told is neither on its command line nor in its environment."""
    secret = b"a made-up secret"
    with started() as beside:
        assert secret == told(beside, secret)
        words = [Path(f"/proc/{beside.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        assert MODULE.encode() in words[0]
        assert not any(secret in each for each in words)


def test_it_is_given_sockets():
    """Protects a port from being let go of while a companion is started again: the socket stays open on both sides."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(2):
            with started(listening) as beside, socket.create_connection(listening.getsockname()) as caller:
                caller.settimeout(DEADLINE_S)
                assert b"take" == told(beside, b"take")
                assert b"taken" == caller.recv(len(b"taken"))


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda beside: told(beside, b"fail"), "exit code 1; RuntimeError: as it was told"),
        (lambda beside: os.kill(beside.pid, signal.SIGKILL), "exit code -9"),
        (lambda beside: beside.socket.shutdown(socket.SHUT_WR), "exit code 3"),
    ],
)
def test_its_end_is_told(end, why):
    """Protects whoever reads that a companion is gone: its exit code and its last line are told."""
    with started() as beside:
        assert b"here" == told(beside, b"here")
        end(beside)
        assert why == beside.last_words(DEADLINE_S)


def test_nobody_waits_who_does_not_want_to():
    """Protects a run from its companion: why the pair is closed can be asked while the other side still lives."""
    with started() as beside:
        assert b"here" == told(beside, b"here")
        assert "its end of the pair is closed" == beside.last_words()
        assert b"still here" == told(beside, b"still here")


def test_no_such_program():
    """Protects whoever has half a package installed: the module that is missing is named."""
    with started(module="support.missing") as beside:
        assert b"" == beside.socket.recv(1)
        assert "No module named support.missing" in beside.last_words(DEADLINE_S)


def test_it_cannot_be_started(monkeypatch):
    """Protects a run on a machine that is full: what cannot be started is an error at once, and leaves nothing open."""

    def sockets() -> set[str]:
        found = set()
        for each in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # what the folder was read with is closed again
                found.add(str(each.readlink()))
        return {each for each in found if each.startswith("socket:")}

    before = sockets()
    monkeypatch.setattr(companion.sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        Companion(MODULE)
    assert not sockets() - before


def test_stop_signals_pass_it_by():
    """Protects the end of a run: what a terminal sends to everybody does not take its companions away."""
    with started() as beside:
        for number in companion.IGNORED_SIGNALS:
            os.kill(beside.pid, number)  # perhaps before it has begun
        assert b"here" == told(beside, b"here")
        for number in companion.IGNORED_SIGNALS:
            os.kill(beside.pid, number)
        assert b"still here" == told(beside, b"still here")


def test_it_ends_with_its_process():
    """Protects machines from companions whose run was killed."""
    reading, writing = os.pipe()

    def run() -> None:
        os.write(writing, str(Companion(MODULE).pid).encode())
        threading.Event().wait()

    pid = processes.fork_child(run)
    beside = int(os.read(reading, 20))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not alive(beside), "the companion was gone", DEADLINE_S)
    os.close(reading)
    os.close(writing)


def test_a_fork_does_not_keep_it():
    """Protects machines from companions that an explorer, a fork of the run, holds after the run was killed."""

    class Owner:
        def __init__(self) -> None:
            self.beside = Companion(MODULE)
            companion.disown_in_forks(self)

        def disown(self) -> None:
            self.beside.leave()

    reading, writing = os.pipe()

    def run() -> None:
        owner = Owner()
        fork = os.fork()
        if fork == 0:
            threading.Event().wait()
        os.write(writing, f"{owner.beside.pid} {fork}".encode())
        threading.Event().wait()

    pid = processes.fork_child(run)
    beside, fork = map(int, os.read(reading, 40).split())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not alive(beside), "the companion was gone", DEADLINE_S)
    assert alive(fork)
    os.kill(fork, signal.SIGKILL)
    os.close(reading)
    os.close(writing)


def test_an_owner_of_none():
    """Protects forks from what has ended: an owner without companions is not asked to let go of any."""

    class Owner:
        def disown(self) -> None:
            raise AssertionError

    owner = Owner()
    companion.disown_in_forks(owner)
    companion.owns_no_more(owner)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(processes.fork_child(lambda: None), 0)[1])
