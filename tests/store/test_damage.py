"""Damaged, foreign and newer state files: refused by name and never overwritten."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct

import pytest
from support.disk import QUEENS, content, make_run, same

from parry_mpi.errors import StoreCorrupt, StoreError, StoreVersionError
from parry_mpi.job import Job
from parry_mpi.store.readers import read_result, read_status
from parry_mpi.store.rows import PENDING, totals_of
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.store.schema import FORMAT_VERSION
from parry_mpi.store.sqlite_reader import load

PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run whose state has several pages of every kind, free ones too."""
    folder = tmp_path_factory.mktemp("damage") / "run"
    run = make_run(folder, commits=12, changed_rows=60)
    return folder, run, (folder / "state.sqlite").read_bytes()


def refused_or_same(folder, run, data):
    """Open a damaged state; return whether it was refused, in which case nothing may have been touched."""
    (folder / "state.sqlite").write_bytes(data)
    before = content(folder)
    try:
        stored = load(folder / "state.sqlite")
    except (StoreCorrupt, StoreVersionError):
        with pytest.raises(StoreError, match=r"^[^\n]*state\.sqlite [^\n]*$"):
            RunDirectory.open(folder, QUEENS)
        assert content(folder) == before
        return True
    assert content(folder) == before
    assert same(run.snapshot, stored.snapshot)
    assert (run.result, QUEENS) == (stored.result, stored.identity)
    return False


DAMAGES = {
    "zeros": lambda page, draw: bytes(PAGE),
    "ones": lambda page, draw: b"\xff" * PAGE,
    "noise": lambda page, draw: draw.randbytes(PAGE),
    "half": lambda page, draw: page[: PAGE // 2] + bytes(PAGE // 2),
    "bit": lambda page, draw: _flip(page, draw.randrange(PAGE), draw.randrange(8)),
    "early bit": lambda page, draw: _flip(page, draw.randrange(120), draw.randrange(8)),
    "shift": lambda page, draw: page[1:] + page[:1],
}


def _flip(page, position, bit):
    return page[:position] + bytes([page[position] ^ 1 << bit]) + page[position + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_page(whole, damage):
    """Protects the answer from a disk that damages any page of the state: it is refused, or the damage means nothing."""
    folder, run, data = whole
    draw = random.Random(damage)
    pages = range(0, len(data), PAGE)
    assert len(pages) >= 12
    refused = 0
    for page in pages:
        damaged = DAMAGES[damage](data[page : page + PAGE], draw)
        refused += refused_or_same(folder, run, data[:page] + damaged + data[page + PAGE :])
    assert refused > (0 if "bit" in damage else len(pages) // 3)


def test_every_bit_of_the_header(whole):
    """Protects against SQLite's trust in the first hundred bytes of a file."""
    folder, run, data = whole
    refused = [at for at in range(100) if refused_or_same(folder, run, _flip(data, at, 0))]
    assert set(range(24)) - set(refused) == set()


def test_page_of_an_earlier_commit(tmp_path):
    """Protects the answer from a disk that lost one write: a page that is whole, but old."""
    folder = tmp_path / "run"
    run = make_run(folder, commits=10)
    old = (folder / "state.sqlite").read_bytes()
    with RunDirectory.open(folder, QUEENS) as directory:
        for _ in range(3):
            directory.commit(run.advance(), run.result)
    new = (folder / "state.sqlite").read_bytes()
    changed = [page for page in range(0, len(old), PAGE) if old[page : page + PAGE] != new[page : page + PAGE]]
    refused = [refused_or_same(folder, run, new[:page] + old[page : page + PAGE] + new[page + PAGE :]) for page in changed]
    assert sum(refused) > len(changed) // 2


@pytest.mark.parametrize("size_bytes", [0, 50, 100, PAGE, 3 * PAGE, -PAGE, -1])
def test_truncated(whole, size_bytes):
    """Protects a state that was cut short, down to nothing, from being taken for a new run."""
    folder, run, data = whole
    assert refused_or_same(folder, run, data[:size_bytes])


def test_newer(whole):
    """Protects a run of a newer parry_mpi from an older one."""
    folder, _, data = whole
    (folder / "state.sqlite").write_bytes(data[:60] + struct.pack(">I", FORMAT_VERSION + 1) + data[64:])
    before = content(folder)
    for use in (lambda: RunDirectory.open(folder, QUEENS), lambda: read_result(folder), lambda: read_status(folder)):
        with pytest.raises(StoreVersionError, match="written by a newer parry_mpi"):
            use()
    assert content(folder) == before


def test_somebody_elses(tmp_path):
    """Protects other people's files of the same name."""
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite")) as connection:
        connection.execute("CREATE TABLE accounts (id)")
        connection.commit()
    before = content(tmp_path)
    with pytest.raises(StoreCorrupt, match="not written by parry_mpi"):
        RunDirectory.open(tmp_path, QUEENS)
    (tmp_path / "state.sqlite").write_text("my notes\n" * 100)
    with pytest.raises(StoreCorrupt, match="does not begin like a state"):
        RunDirectory.open(tmp_path, QUEENS)
    assert before.keys() == content(tmp_path).keys()


def test_journal_that_outlived_its_file(tmp_path):
    """Protects a run that is begun anew after its state was deleted from the journal of the old one."""
    make_run(tmp_path / "old", commits=30)
    with contextlib.closing(sqlite3.connect(tmp_path / "old" / "state.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE pending SET body = zeroblob(length(body))")
        journal = (tmp_path / "old" / "state.sqlite-journal").read_bytes()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "state.sqlite-journal").write_bytes(journal)
    run = make_run(tmp_path / "new", commits=2)
    assert same(run.snapshot, load(tmp_path / "new" / "state.sqlite").snapshot)


def test_row_out_of_place():
    """Protects the jobs of a run: rows that do not come in the order of their ids are refused, though all of them are there."""
    rows = list(PENDING.rows({1: Job(weight=1), 2: Job(weight=2)}))
    assert [1, 2] == [job.weight for _, job in PENDING.entries(rows, totals_of(rows))]
    for others in (rows[::-1], [rows[0], rows[0]]):
        with pytest.raises(StoreCorrupt, match="not in its place"):
            list(PENDING.entries(others, totals_of(others)))
