"""Run directories for tests: a made-up run whose every commit is known, and processes that commit to it or fight for it.

As a program, ``disk.py commit FOLDER SEED`` commits until it is killed, and ``disk.py race FOLDER`` tries to take a folder each
time it reads a line. This module must not look inside the store.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from parry_mpi.core.ids import JobId, LeaseId, WorkerId
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Changes, Counters, Lease, Snapshot
from parry_mpi.errors import StoreLocked
from parry_mpi.job import WHOLE, Job
from parry_mpi.store import lock as lock_module
from parry_mpi.store.identity import Identity
from parry_mpi.store.lock import FolderLock
from parry_mpi.store.rows import Collected
from parry_mpi.store.run_directory import RunDirectory

QUEENS = Identity(problem="queens:Queens", parameters={"n": 12}, source_digest="5" * 64, node_type="Node", value_type="int")
CHANGED_ROWS = 40
"""Rows changed by each commit of a made-up run: a few pages."""


class MadeUpRun:
    """A run whose states are a function of a seed and the number of commits.

    Attributes:
        snapshot: the state after the commits made so far.
        result: the encoded result that belongs to it.
    """

    def __init__(self, seed: int, changed_rows: int = CHANGED_ROWS) -> None:
        self.snapshot = Snapshot(Counters(unpulled_weight=WHOLE // 2))
        self.result = b""
        self._random = random.Random(seed)
        self._changed_rows = changed_rows

    def advance(self) -> Changes:
        """Go on by one commit and return its net change."""
        draw, snapshot = self._random, self.snapshot
        counters = snapshot.counters = msgspec.structs.replace(snapshot.counters)
        counters.nodes += draw.randrange(1000)
        counters.reports += 1
        changes = Changes(msgspec.structs.replace(counters))
        for job_id in draw.sample(sorted(snapshot.pending), min(len(snapshot.pending), self._changed_rows // 3)):
            del snapshot.pending[job_id]
            changes.pending_removed.add(job_id)
        for _ in range(self._changed_rows // 2):
            job_id = JobId(counters.next_job)
            counters.next_job = changes.counters.next_job = JobId(job_id + 1)
            snapshot.pending[job_id] = changes.pending_put[job_id] = self._job()
        for lease_id in [lease_id for lease_id in snapshot.leases if draw.random() < 0.2]:
            del snapshot.leases[lease_id]
            changes.leases_removed.add(lease_id)
        lease_id = LeaseId(counters.next_lease)
        counters.next_lease = changes.counters.next_lease = LeaseId(lease_id + 1)
        jobs = tuple(self._job() for _ in range(draw.randrange(1, 9)))
        snapshot.leases[lease_id] = changes.leases_put[lease_id] = Lease(WorkerId(draw.randrange(1, 5)), jobs, draw.randrange(9))
        if draw.random() < 0.1:
            job_id = JobId(counters.next_job)
            counters.next_job = changes.counters.next_job = JobId(job_id + 1)
            entry = Quarantined(self._job(), "ZeroDivisionError: \N{DIVISION SIGN}", "Traceback ...", "node7")
            snapshot.quarantined[job_id] = changes.quarantined_put[job_id] = entry
        self.result = draw.randbytes(draw.randrange(2000))
        return changes

    def _job(self) -> Job:
        draw = self._random
        return Job(draw.randbytes(draw.randrange(300)), draw.randrange(50), draw.randrange(3), draw.randrange(2**40))


def collected_of(commit: int) -> dict[int, Collected]:
    """What a made-up run collects with one of its commits, from the second on: three reports, one of them of several pages."""
    draw = random.Random(commit)
    reports = [[[commit, number] for number in range(draw.choice([1, 20, 2000]))] for _ in range(3)]
    return {3 * (commit - 2) + at: Collected(len(report), msgspec.msgpack.encode(report)) for at, report in enumerate(reports, 1)}


def collected_by(commits: int) -> list[bytes]:
    """All that a made-up run has collected after so many commits, as it is on disk."""
    return [each.body for commit in range(2, commits + 1) for each in collected_of(commit).values()]


def same(snapshot: Snapshot, other: Snapshot) -> bool:
    """Whether two states are equal in every field; the order of rows means nothing."""
    return _tables(snapshot) == _tables(other)


def _tables(snapshot: Snapshot) -> tuple:
    return (snapshot.counters, dict(snapshot.pending.items()), snapshot.leases, snapshot.quarantined)


def make_run(
    path: Path,
    commits: int = 5,
    *,
    seed: int = 1,
    changed_rows: int = CHANGED_ROWS,
    finished: bool = False,
    collects: bool = False,
) -> MadeUpRun:
    """Create a run directory with some commits in it, closed in order."""
    run = MadeUpRun(seed, changed_rows)
    with RunDirectory.open(path, QUEENS) as directory:
        directory.initialize(run.advance(), run.result)
        for commit in range(2, commits + 1):
            collected = collected_of(commit) if collects else {}
            directory.commit(run.advance(), run.result, finished=finished and commit == commits, collected=collected)
    return run


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: equal before and after means nothing was touched."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextlib.contextmanager
def program(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run this module as a program; it is killed at the end."""
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of its own with this much room; skips the test where that may not be made."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder],  # noqa: S607 wherever it is
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607


@contextlib.contextmanager
def read_only(folder: Path, scratch: Path) -> Iterator[Path]:
    """The folder, or a copy, where nothing may be written, not even by root."""
    if os.geteuid():
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
        return
    with small_disk(scratch, 2**24) as disk:
        shutil.copytree(folder, disk / folder.name)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: S607
        yield disk / folder.name


def dead_holder_lock(folder: Path, generation: int = 1) -> Path:
    """Leave the lock of a coordinator on this machine that is dead."""
    source = FolderLock.acquire(folder, generation_min=generation)
    path = next(folder.glob("coordinator.*.lock"))
    text = path.read_bytes()
    source.release()
    pid = os.getpid()
    path.write_bytes(text.replace(b'"pid":%d' % pid, b'"pid":%d' % _free_pid(), 1))
    return path


def _free_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _commit(folder: str, seed: str, how: str = "") -> None:
    """Commit for ever from where the folder is, and say the number of each commit once it is done."""
    if how == "without-locks":
        lock_module._posix_locks_work = lambda _: False
    run = MadeUpRun(int(seed))
    with RunDirectory.open(folder, QUEENS) as directory:
        done = 0
        if directory.snapshot is not None:
            while not same(run.snapshot, directory.snapshot):
                run.advance()
                done += 1
        else:
            directory.initialize(run.advance(), run.result)
            done = 1
        while True:
            _say(done)
            directory.commit(run.advance(), run.result, collected=collected_of(done + 1) if how == "collecting" else {})
            done += 1


def _race(folder: str) -> None:
    """For each line read, try to take the folder; say whether that worked, and hold it until the next line."""
    _say("ready")
    lock = None
    for _ in sys.stdin:
        if lock is not None:
            lock.release()
            lock = None
            _say("released")
            continue
        try:
            lock = FolderLock.acquire(Path(folder))
            lock.check()
            _say(f"won {lock.generation}")
        except StoreLocked:
            lock = None
            _say("lost")


if __name__ == "__main__":
    {"commit": _commit, "race": _race}[sys.argv[1]](*sys.argv[2:])
