"""The lock of a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading

import msgspec
import pytest
from support.disk import dead_holder_lock, program

from parry_mpi.errors import CommitFailed, StoreLocked
from parry_mpi.store import lock as lock_module
from parry_mpi.store.holder import find_lock, this_process
from parry_mpi.store.lock import STALE_S, FolderLock

ELSEWHERE = msgspec.structs.replace(this_process("0" * 32), host="node17", boot="other", pid=1)


class Clock:
    """Time that passes only by waiting; ``meanwhile`` happens at each wait."""

    def __init__(self, meanwhile=lambda: None):
        self.now_s = 1000.0
        self.meanwhile = meanwhile
        self.said = []

    def sleep(self, seconds):
        self.now_s += seconds
        self.meanwhile()

    def acquire(self, folder, **options):
        return FolderLock.acquire(folder, now=lambda: self.now_s, sleep=self.sleep, progress=self.said.append, **options)


def beat(path, holder):
    path.write_bytes(holder.to_bytes())
    return msgspec.structs.replace(holder, beat=holder.beat + 1)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_holder(tmp_path):
    """Protects the state from a second coordinator, which is told who holds it."""
    held = FolderLock.acquire(tmp_path)
    with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\), which is alive: wait for it or stop it"):
        FolderLock.acquire(tmp_path)
    held.check()
    held.release()
    assert names(tmp_path) == []
    FolderLock.acquire(tmp_path).release()


def test_waits(tmp_path):
    """Protects a job that is requeued while its predecessor is still stopping."""
    held = FolderLock.acquire(tmp_path)
    clock = Clock(lambda: held.release() if clock.now_s > 1005 else None)
    lock = clock.acquire(tmp_path, wait_s=10)
    assert "waiting for it to end" in clock.said[0]
    assert clock.now_s < 1006
    lock.release()


def test_gives_up_waiting(tmp_path):
    """Protects a user's patience: waiting ends when it was said to."""
    held = FolderLock.acquire(tmp_path)
    clock = Clock(held.refresh)
    with pytest.raises(StoreLocked):
        clock.acquire(tmp_path, wait_s=10)
    assert 1010 <= clock.now_s < 1011
    held.release()


def test_dead_on_this_machine(tmp_path):
    """Protects the restart after a SIGKILL: it goes on at once."""
    dead_holder_lock(tmp_path, generation=7)
    clock = Clock()
    lock = clock.acquire(tmp_path)
    assert (clock.said, lock.generation, names(tmp_path)) == ([], 8, ["coordinator.8.lock"])
    lock.release()


def test_zombie(tmp_path):
    """Protects the restart when the dead coordinator's parent has not noticed yet."""
    code = f"from parry_mpi.store.lock import FolderLock; from pathlib import Path; FolderLock.acquire(Path({str(tmp_path)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", code + "; print(flush=True); import time; time.sleep(60)"], stdout=-1
    ) as process:
        process.stdout.readline()
        assert find_lock(tmp_path).alive is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert find_lock(tmp_path).alive is False
        FolderLock.acquire(tmp_path).release()


def test_process_id_used_again(tmp_path):
    """Protects the restart when the dead coordinator's process id belongs to somebody else by now."""
    (tmp_path / "coordinator.1.lock").write_bytes(msgspec.structs.replace(this_process("x"), started="1").to_bytes())
    FolderLock.acquire(tmp_path).release()


@pytest.mark.parametrize("content", [ELSEWHERE.to_bytes(), b"", b"\0" * 1024], ids=["elsewhere", "empty", "damaged"])
def test_silent_on_another_machine(tmp_path, content):
    """Protects the restart on another node after a node died; thirty seconds by our own clock, whatever theirs says."""
    path = tmp_path / "coordinator.3.lock"
    path.write_bytes(content)
    os.utime(path, (4e9, 4e9))
    clock = Clock()
    lock = clock.acquire(tmp_path)
    assert STALE_S <= clock.now_s - 1000 < STALE_S + 1
    assert "silent for 0 s" in clock.said[0]
    assert names(tmp_path) == ["coordinator.4.lock"]
    lock.release()


def test_alive_on_another_machine(tmp_path):
    """Protects a run on another node: one sign of life and the folder is refused."""
    path, holder = tmp_path / "coordinator.3.lock", ELSEWHERE

    def meanwhile():
        nonlocal holder
        if clock.now_s > 1000 + STALE_S - 2:
            holder = beat(path, holder)

    path.write_bytes(holder.to_bytes())
    clock = Clock(meanwhile)
    with pytest.raises(StoreLocked, match="node17"):
        clock.acquire(tmp_path)
    assert names(tmp_path) == ["coordinator.3.lock"]


def test_lost(tmp_path):
    """Protects the state from a coordinator that was suspended while another took over: it finds out before it writes."""
    first = FolderLock.acquire(tmp_path)
    (tmp_path / "coordinator.2.lock").write_bytes(ELSEWHERE.to_bytes())
    for _ in range(2):
        with pytest.raises(StoreLocked, match="taken over by the coordinator on node17"):
            first.check()
    assert first.refresh() is False
    first.release()
    assert "coordinator.2.lock" in names(tmp_path)


def test_lost_and_tidied(tmp_path):
    """Protects the new holder's lock file from the old holder, whose own was removed."""
    first = FolderLock.acquire(tmp_path)
    (tmp_path / "coordinator.1.lock").unlink()
    (tmp_path / "coordinator.1.lock").write_bytes(ELSEWHERE.to_bytes())
    assert first.refresh() is False
    with pytest.raises(StoreLocked, match="node17"):
        first.check()
    first.release()
    assert find_lock(tmp_path).holder == ELSEWHERE


def test_folder_removed(tmp_path):
    """Protects users who delete a folder under a run: the run says so instead of bringing half of it back."""
    folder = tmp_path / "run"
    folder.mkdir()
    lock = FolderLock.acquire(folder)
    (folder / "coordinator.1.lock").unlink()
    folder.rmdir()
    with pytest.raises(StoreLocked, match="was removed"):
        lock.check()
    lock.release()


def test_unreliable_disk(tmp_path, monkeypatch):
    """Protects the rule that nothing is written unless the lock is known to be held."""
    lock = FolderLock.acquire(tmp_path)

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(lock_module.os, "fsync", refuse)
        with pytest.raises(CommitFailed, match="Input/output error"):
            lock.check()
        assert lock.refresh() is True
    lock.check()
    lock.release()


def test_without_hard_links(tmp_path, monkeypatch):
    """Protects file systems without hard links: still one holder."""

    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(lock_module.os, "link", refuse)
    first = FolderLock.acquire(tmp_path)
    assert names(tmp_path) == ["coordinator.1.lock"]
    assert FolderLock._create(tmp_path, 1) is None
    with pytest.raises(StoreLocked):
        FolderLock.acquire(tmp_path)
    first.check()
    first.release()
    assert names(tmp_path) == []


def test_forked_child(tmp_path):
    """Protects the lock from the end of a forked explorer."""
    lock = FolderLock.acquire(tmp_path)
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    lock.check()
    lock.release()


def test_race_of_threads(tmp_path):
    """Protects the lock from many candidates at the same moment: one wins, the others are refused."""
    for generation in range(1, 30):
        _leave_dead(tmp_path, generation)
        won, start = [], threading.Barrier(8)

        def candidate(won=won, start=start):
            start.wait()
            with contextlib.suppress(StoreLocked):
                won.append(FolderLock.acquire(tmp_path))

        threads = [threading.Thread(target=candidate) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        won[0].check()
        assert names(tmp_path) == [f"coordinator.{won[0].generation}.lock"]
        won[0].release()


def test_race_of_processes(tmp_path):
    """Protects the folder from two batch jobs that start at the same moment after a crash: one goes on, the other is refused."""
    with program("race", tmp_path) as first, program("race", tmp_path) as second, program("race", tmp_path) as third:
        racers = [first, second, third]
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
        for generation in range(1, 60):
            _leave_dead(tmp_path, generation)
            answers = _tell(racers)
            winners = [racer for racer, answer in zip(racers, answers, strict=True) if answer.startswith("won")]
            assert len(winners) == 1, answers
            assert _tell(winners) == ["released"]
        for racer in racers:
            racer.stdin.close()
            racer.wait()


def _tell(racers):
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    return [racer.stdout.readline().strip() for racer in racers]


def _leave_dead(folder, generation):
    holder = msgspec.structs.replace(this_process("x"), started="1")
    (folder / f"coordinator.{generation}.lock").write_bytes(holder.to_bytes())
