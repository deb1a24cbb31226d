"""Solutions on disk: each accepted report's exactly once, whatever dies, and readable all the time."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest
from support.disk import QUEENS, MadeUpRun, collected_by, collected_of, content, make_run, program, same

from parry_mpi.errors import StoreCorrupt, StoreLocked, StoreVersionError
from parry_mpi.store import schema
from parry_mpi.store import solutions as module
from parry_mpi.store.readers import open_solutions
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.store.solutions import StoredSolutions
from parry_mpi.store.sqlite_reader import load

PAGE = 4096


def read(folder) -> list[bytes]:
    with open_solutions(folder) as solutions:
        return list(solutions.reports())


def test_killed_while_committing(tmp_path):
    """Protects solutions from SIGKILL at any moment: those on disk are those of the commit that is found, each once."""
    folder = tmp_path / "run"
    done = 0
    for round_ in range(0, 8, 2):
        with program("commit", folder, 5, "collecting") as committer:
            for _ in range(2 + round_):
                done = int(committer.stdout.readline())
            committer.kill()
            done = max([done, *(int(line) for line in committer.stdout if line.endswith("\n"))])
        stored = load(folder / "state.sqlite")
        assert stored.root.commits in (done, done + 1)
        assert collected_by(stored.root.commits) == read(folder)
    assert done > 10


@pytest.mark.parametrize("failed", range(2, 6))
def test_committed_twice(tmp_path, failed):
    """Protects from doubles: a commit that got to the disk although the file system said no is merged with the next."""
    run = make_run(tmp_path, commits=failed, collects=True)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        again = {**collected_of(failed), **collected_of(failed + 1)}
        directory.commit(run.advance(), run.result, collected=again)
    assert collected_by(failed + 1) == read(tmp_path)
    assert load(tmp_path / "state.sqlite").root.solutions.rows == 3 * failed


def test_all_or_nothing(tmp_path, monkeypatch):
    """Protects the count: a commit that is given up at its very end leaves neither solutions nor what counts them."""
    run = make_run(tmp_path, commits=3, collects=True)
    before = load(tmp_path / "state.sqlite")

    def taken_over():
        raise StoreLocked("somebody else has it")

    with RunDirectory.open(tmp_path, QUEENS) as directory:
        monkeypatch.setattr(directory._lock, "check", taken_over)
        with pytest.raises(StoreLocked):
            directory.commit(run.advance(), run.result, collected=collected_of(4))
    after = load(tmp_path / "state.sqlite")
    assert same(before.snapshot, after.snapshot)
    assert (before.root.commits, before.result) == (after.root.commits, after.result)
    assert collected_by(3) == read(tmp_path)


def test_reader_holds_nobody_up(tmp_path, monkeypatch):
    """Protects a run from slow readers: it goes on committing, and they read what was there when they began."""
    monkeypatch.setattr(module, "LOOK_BYTES", 1)
    run = make_run(tmp_path, commits=4, collects=True)
    with open_solutions(tmp_path) as solutions:
        reports = solutions.reports()
        found = [next(reports)]
        with RunDirectory.open(tmp_path, QUEENS) as directory:
            for commit in range(5, 9):
                directory.commit(run.advance(), run.result, collected=collected_of(commit))
                found.append(next(reports))
        found += reports
    assert collected_by(4) == found
    assert collected_by(8) == read(tmp_path)


def test_cut_short(tmp_path):
    """Protects readers of a run that was killed in the middle of a commit: they see the one before, and touch nothing."""
    make_run(tmp_path / "run", commits=5, collects=True)
    torn = tmp_path / "torn"
    torn.mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "state.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE solutions SET body = zeroblob(length(body))")
        connection.execute("SELECT count(*) FROM pending").fetchone()
        for name in ("state.sqlite", "state.sqlite-journal"):
            (torn / name).write_bytes((tmp_path / "run" / name).read_bytes())
        connection.execute("ROLLBACK")
    before = content(torn)
    assert collected_by(5) == read(torn)
    assert before == content(torn)


@pytest.mark.parametrize("damage", ["zeros", "noise", "half", "bit"])
def test_every_page(tmp_path, damage):
    """Protects solutions from a disk that damages any page: it is noticed when the run is taken up, and when they are read."""
    run = make_run(tmp_path, commits=6, collects=True)
    path = tmp_path / "state.sqlite"
    whole = path.read_bytes()
    draw = random.Random(damage)
    refused = pages = 0
    for at in range(0, len(whole), PAGE):
        page = bytearray(whole[at : at + PAGE])
        if damage == "bit":
            page[draw.randrange(PAGE)] ^= 1 << draw.randrange(8)
        else:
            page[{"half": PAGE // 2}.get(damage, 0) :] = draw.randbytes(PAGE) if damage == "noise" else bytes(PAGE)
        path.write_bytes(whole[:at] + page[:PAGE] + whole[at + PAGE :])
        pages += 1
        try:
            stored = load(path)
        except (StoreCorrupt, StoreVersionError):
            refused += 1
        else:
            assert same(run.snapshot, stored.snapshot)
            assert collected_by(6) == read(tmp_path)
        with contextlib.suppress(StoreCorrupt, StoreVersionError):
            assert collected_by(6) == read(tmp_path)
    assert refused > pages // 2


@pytest.mark.parametrize(
    "change", ["DELETE FROM solutions WHERE id = 4", "UPDATE solutions SET weight = 1 + weight WHERE id = 4"]
)
def test_missing_or_changed(tmp_path, change):
    """Protects the promise of the count: a report that is gone, or not what it was, is noticed."""
    make_run(tmp_path, commits=4, collects=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)) as connection:
        connection.execute(change)
    with pytest.raises(StoreCorrupt, match="solutions"):
        load(tmp_path / "state.sqlite")
    with pytest.raises(StoreCorrupt, match="solutions"):
        read(tmp_path)


def test_older_versions(tmp_path):
    """Protects runs from older versions of the program: a file that is theirs is read, and says what it is once this one writes to it."""
    run = make_run(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=1")
    assert same(run.snapshot, load(tmp_path / "state.sqlite").snapshot)
    assert 1 == written_version(tmp_path)
    with RunDirectory.open(tmp_path, QUEENS):
        pass
    assert schema.FORMAT_VERSION == written_version(tmp_path)


def written_version(folder: Path) -> int:
    """Which version of the format a state says that it has."""
    return int.from_bytes((folder / "state.sqlite").read_bytes()[60:64], "big")


def test_nothing_collected(tmp_path):
    """Protects readers of runs that do not collect: there is nothing, and nothing is wrong."""
    run = make_run(tmp_path)
    assert [] == read(tmp_path)
    with StoredSolutions(tmp_path / "state.sqlite") as solutions:
        assert 0 == solutions.count
    assert same(run.snapshot, load(tmp_path / "state.sqlite").snapshot)


def test_taken_up_again(tmp_path):
    """Protects the numbers of reports over restarts: who goes on is told how many there are."""
    make_run(tmp_path, commits=4, collects=True)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        solutions_count = sum(each.solutions_count for commit in range(2, 5) for each in collected_of(commit).values())
        assert (9, solutions_count) == (directory.collected.rows, directory.collected.weight)
    assert isinstance(MadeUpRun(1).snapshot, type(load(tmp_path / "state.sqlite").snapshot))
