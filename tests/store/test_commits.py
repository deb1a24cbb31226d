"""Commits: what is on disk is always one whole commit."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import tempfile
from pathlib import Path

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from support.commands import wait_until
from support.disk import QUEENS, MadeUpRun, content, make_run, program, same, small_disk

from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Changes, Counters, Lease, Snapshot
from parry_mpi.errors import CommitFailed, InvariantError, LocalProtocolError, StoreCorrupt, StoreLocked
from parry_mpi.job import WHOLE, Job
from parry_mpi.store import sqlite_state
from parry_mpi.store.readers import read_result
from parry_mpi.store.rows import merge
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.store.sqlite_reader import load

FAST_FOLDER = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)  # noqa: S108
"""Where synchronising costs nothing, for tests that do not crash."""

ids = st.integers(1, 12) | st.integers(2**62, 2**62 + 3)
jobs = st.builds(Job, st.binary(max_size=5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**50))
leases = st.builds(Lease, st.integers(1, 2**40), st.lists(jobs, max_size=3).map(tuple), st.integers(0, 9))
quarantined = st.builds(Quarantined, jobs, st.text(max_size=5), st.text(max_size=5))


@st.composite
def all_changes(draw):
    counters = Counters(nodes=draw(st.integers(0, 2**63)), unpulled_weight=draw(st.integers(0, WHOLE // 2)))
    changes = Changes(counters)
    for put, removed, entries in (
        (changes.pending_put, changes.pending_removed, jobs),
        (changes.leases_put, changes.leases_removed, leases),
        (changes.quarantined_put, changes.quarantined_removed, quarantined),
    ):
        put.update(draw(st.dictionaries(ids, entries, max_size=4)))
        removed.update(draw(st.sets(ids, max_size=4)) - put.keys())
    return changes


def apply(snapshot, changes):
    """The dumb model: dictionaries."""
    snapshot.counters = changes.counters
    for table, put, removed in (
        (snapshot.pending, changes.pending_put, changes.pending_removed),
        (snapshot.leases, changes.leases_put, changes.leases_removed),
        (snapshot.quarantined, changes.quarantined_put, changes.quarantined_removed),
    ):
        for row_id in removed:
            table.pop(row_id, None)
        table.update(put)


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.lists(st.tuples(all_changes(), st.binary(max_size=20), st.booleans()), min_size=1, max_size=6))
def test_any_changes(commits):
    """Protects every job, lease and number of a run through any commits and restarts, compared with plain dictionaries."""
    model = Snapshot(Counters())
    with tempfile.TemporaryDirectory(dir=FAST_FOLDER) as folder, contextlib.ExitStack() as stack:
        directory = stack.enter_context(RunDirectory.open(folder, QUEENS))
        for number, (changes, result, restart) in enumerate(commits):
            (directory.commit if number else directory.initialize)(changes, result)
            apply(model, changes)
            if restart:
                stack.pop_all().close()
                directory = stack.enter_context(RunDirectory.open(folder, QUEENS))
                assert same(model, directory.snapshot)
                assert directory.result == result
        assert same(model, load(Path(folder) / "state.sqlite").snapshot)


@hypothesis.given(all_changes(), all_changes())
def test_merge(older, newer):
    """Protects what a failed commit held: merged with what came later it says the same as both in a row."""
    one_by_one, together = Snapshot(Counters()), Snapshot(Counters())
    start = Changes(Counters(), pending_put={row_id: Job(depth=99) for row_id in range(1, 13)})
    for changes in (start, older, newer):
        apply(one_by_one, changes)
    merged = merge(older, newer)
    for changes in (start, merged):
        apply(together, changes)
    assert same(one_by_one, together)
    assert not merged.pending_put.keys() & merged.pending_removed
    apply(together, merged)
    assert same(one_by_one, together)


def test_many_rows(tmp_path, monkeypatch):
    """Protects a commit that has to be made row by row, some at a time: none is left out, none is written twice."""
    monkeypatch.setattr(sqlite_state, "ENCODED_TOGETHER", 700)
    jobs = {job_id: Job(weight=job_id) for job_id in range(1, 2001)}
    with RunDirectory.open(tmp_path / "run", QUEENS) as directory:
        directory.initialize(Changes(Counters(unpulled_weight=0), pending_put=jobs), b"")
    assert same(Snapshot(Counters(unpulled_weight=0), jobs), load(tmp_path / "run" / "state.sqlite").snapshot)


def test_killed_while_committing(tmp_path):
    """Protects the run from SIGKILL at any moment: what is found is the last commit that was made, or the one under way."""
    folder = tmp_path / "run"
    done = 0
    for round_ in range(6):
        with program("commit", folder, 5) as committer:
            for _ in range(1 + round_):
                done = int(committer.stdout.readline())
            committer.kill()
            done = max([done, *(int(line) for line in committer.stdout if line.endswith("\n"))])
        stored = load(folder / "state.sqlite")
        assert stored.root.commits in (done, done + 1)
        run = MadeUpRun(5)
        for _ in range(stored.root.commits):
            run.advance()
        assert same(run.snapshot, stored.snapshot)
        assert run.result == stored.result


@pytest.mark.parametrize("files", [1, 2, 3])
def test_killed_while_creating(tmp_path, files):
    """Protects the first moments of a run: a folder whose creation was cut short is created again."""
    folder = tmp_path / "run"
    with program("commit", folder, 5) as committer:
        wait_until(lambda: folder.exists() and len(list(folder.iterdir())) >= files, f"{files} files were there")
        committer.kill()
        committer.wait()
    begun = (folder / "state.sqlite").exists()
    with RunDirectory.open(folder, QUEENS) as directory:
        assert (directory.snapshot is not None) is begun
        run = MadeUpRun(6)
        changes = run.advance()
        if not begun:
            directory.initialize(changes, run.result)
            assert same(run.snapshot, load(folder / "state.sqlite").snapshot)


def test_torn_commit(tmp_path):
    """Protects the last commit from a crash in the middle of the next: whichever pages were written, they are undone."""
    run = make_run(tmp_path / "run", commits=30)
    for number, torn in enumerate(_torn_copies(tmp_path / "run", tmp_path)):
        before = content(torn)
        read = read_result(torn)
        assert read.result == run.result
        assert content(torn) == before, "reading must not touch it"
        with RunDirectory.open(torn, QUEENS) as directory:
            assert same(run.snapshot, directory.snapshot)
            directory.commit(Changes(directory.snapshot.counters), b"next")
        assert read_result(torn).result == b"next"
        if number == 8:
            break


def _torn_copies(folder, scratch):
    """Folders as a crash may leave them: the journal of a transaction is written, and some pages of the transaction itself."""
    before = (folder / "state.sqlite").read_bytes()
    with contextlib.closing(sqlite3.connect(folder / "state.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE pending SET body = zeroblob(length(body))")
        connection.execute("UPDATE leases SET body = zeroblob(length(body))")
        connection.execute("DELETE FROM meta")
        connection.execute("SELECT count(*) FROM pending").fetchone()
        journal = (folder / "state.sqlite-journal").read_bytes()
        after = (folder / "state.sqlite").read_bytes()
        connection.execute("ROLLBACK")
    assert journal[:8] == bytes.fromhex("d9d505f920a163d7")
    pages = [page for page in range(0, len(before), 4096) if before[page : page + 4096] != after[page : page + 4096]]
    assert len(pages) > 5
    for number in range(9):
        torn = scratch / f"torn{number}"
        torn.mkdir()
        mixed = bytearray(before)
        for page in pages[number::2] if number else pages:
            mixed[page : page + 4096] = after[page : page + 4096]
        (torn / "state.sqlite").write_bytes(mixed)
        (torn / "state.sqlite-journal").write_bytes(journal)
        yield torn


def test_full_disk(tmp_path):
    """Protects a run on a full disk: the commit fails and says so, the one before stays, and the next one holds everything."""
    with small_disk(tmp_path / "disk", 2**21) as disk:
        folder = disk / "run"
        run = make_run(folder, commits=3)
        ballast = disk / "ballast"
        with RunDirectory.open(folder, QUEENS) as directory:
            _fill(ballast)
            held = _fail_twice(directory, run, "full|disk I/O")
            assert read_result(folder).counters.reports == 3
            ballast.unlink()
            directory.commit(held, run.result)
        assert same(run.snapshot, load(folder / "state.sqlite").snapshot)


def test_full_disk_at_the_beginning(tmp_path):
    """Protects users who start on a full disk: one clear line, and no debris."""
    with small_disk(tmp_path / "disk", 2**16) as disk:
        (disk / "ballast").write_bytes(b"x" * (2**16 - 3 * 4096))
        run = MadeUpRun(1)
        with RunDirectory.open(disk / "run", QUEENS) as directory:
            first = run.advance()
            with pytest.raises(CommitFailed, match=r"cannot be created .*full"):
                directory.initialize(first, run.result)
            assert sorted(path.name for path in (disk / "run").iterdir()) == ["coordinator.1.lock"]
            (disk / "ballast").unlink()
            directory.initialize(first, run.result)
        assert same(run.snapshot, load(disk / "run" / "state.sqlite").snapshot)


def test_file_size_limit(tmp_path):
    """Protects a run over its quota, also where there is no small disk to try it on."""
    run = make_run(tmp_path, commits=3)
    size_bytes = (tmp_path / "state.sqlite").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
        try:
            held = _fail_twice(directory, run, "full|disk I/O")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert read_result(tmp_path).counters.reports == 3
        directory.commit(held, run.result)
    assert same(run.snapshot, load(tmp_path / "state.sqlite").snapshot)


def _fill(ballast):
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def _fail_twice(directory, run, text):
    """Go on until a commit fails, then once more; return the changes that are not on disk."""
    held = run.advance()
    for _ in range(200):
        held = merge(held, run.advance())
    for _ in range(2):
        with pytest.raises(CommitFailed, match=text):
            directory.commit(held, run.result)
        held = merge(held, run.advance())
    return held


def test_state_file_removed(tmp_path):
    """Protects users who delete the state under a run: the run says that it cannot commit, instead of writing into nothing."""
    run = make_run(tmp_path)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        directory.commit(run.advance(), run.result)
        (tmp_path / "state.sqlite").unlink()
        with pytest.raises((CommitFailed, StoreLocked)):
            directory.commit(run.advance(), run.result)


def test_fenced(tmp_path):
    """Protects a state that was taken over from the commit of a coordinator that was suspended just before its transaction."""
    make_run(tmp_path)
    first = RunDirectory.open(tmp_path, QUEENS)
    (tmp_path / "coordinator.2.lock").rename(tmp_path / "elsewhere")
    with RunDirectory.open(tmp_path, QUEENS) as second:
        second.commit(Changes(Counters(unpulled_weight=0)), b"second")
        (tmp_path / "elsewhere").rename(tmp_path / "coordinator.9.lock")  # Even if its lock looked good to it.
        first._lock.generation = 9
        for _ in range(2):
            with pytest.raises(StoreLocked):
                first.commit(Changes(Counters(unpulled_weight=0)), b"first")
        (tmp_path / "coordinator.9.lock").unlink()
    first.close()
    assert read_result(tmp_path).result == b"second"


def test_damaged_while_open(tmp_path):
    """Protects a state that is damaged under a running coordinator from being made worse."""
    make_run(tmp_path, commits=30)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        with (tmp_path / "state.sqlite").open("r+b") as file:
            file.write(b"x" * 8192)
        with pytest.raises(StoreCorrupt):
            directory.commit(Changes(Counters(unpulled_weight=0)), b"")


def test_nonsense_is_not_committed(tmp_path):
    """Protects a good state from being replaced by one that could not be read again."""
    run = make_run(tmp_path)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        with pytest.raises(InvariantError, match="more than the whole tree"):
            directory.commit(Changes(Counters(unpulled_weight=WHOLE)), b"")
        with pytest.raises(LocalProtocolError):
            directory.initialize(Changes(Counters()), b"")
    assert same(run.snapshot, load(tmp_path / "state.sqlite").snapshot)


def test_result_written_once(tmp_path):
    """Protects the file system from a large result that is written every second although it did not change."""
    make_run(tmp_path, commits=1)
    result = bytes(2**20)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        directory.commit(Changes(directory.snapshot.counters), result)
        before = (tmp_path / "state.sqlite").read_bytes()
        counters = msgspec.structs.replace(directory.snapshot.counters, nodes=7)
        directory.commit(Changes(counters), bytes(2**20))
        after = (tmp_path / "state.sqlite").read_bytes()
        changed = [page for page in range(0, len(after), 4096) if before[page : page + 4096] != after[page : page + 4096]]
        assert len(changed) <= 3
        directory.commit(Changes(counters), b"other")
    stored = read_result(tmp_path)
    assert (stored.result, stored.counters.nodes) == (b"other", 7)
