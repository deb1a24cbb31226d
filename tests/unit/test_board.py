"""What the dashboard process shows: small every second, and as many workers as a page has room for."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.watching import FACTS, status, workers

from parry_mpi.dashboard.board import SEPARATE, WORKERS_SENT_MAX, Board, shown_workers
from parry_mpi.dashboard.pair import HEADER, Kind, encoded, record


def test_take():
    """Protects the page: a status is shown with the facts of the run, and what is long is not sent every second."""
    board = Board(FACTS)
    assert (None, 0) == (board.status, board.version)
    board.take(status(moment=3))
    assert 1 == board.version
    assert ("Queens n=12", 0.0, 3) == (board.status["title"], board.status["nodes_per_s"], len(board.status["workers_list"]))
    brief = json.loads(board.brief)
    assert not set(SEPARATE) & set(brief)
    assert set(board.status) == set(SEPARATE) | set(brief)


def test_nonsense():
    """Protects the page from half a status: what was shown before stays."""
    board = Board(FACTS)
    board.take(status())
    with pytest.raises(KeyError):
        board.take({"phase": "exploring"})
    assert 1 == board.version


def test_waiting():
    """Protects pages that follow a run: they hear of every new status, and of nothing when there is none."""

    async def story() -> list[bool]:
        board = Board(FACTS)
        heard = [await board.newer_than(0, 0.0)]
        waiting = asyncio.create_task(board.newer_than(0, 60.0))
        await asyncio.wait({waiting}, timeout=0)
        board.take(status())
        heard.append(await waiting)
        heard.append(await board.newer_than(0, 60.0))
        heard.append(await board.newer_than(1, 0.0))
        return heard

    assert [False, True, True, False] == asyncio.run(story())


def rows(told, **wanted):
    asked = {"sort": "worker", "descending": False, "wanted": "", "limit": 200} | wanted
    return shown_workers(told, **asked)


def test_workers():
    """Protects the table of workers: sorted by any column, unknown values last, filtered by host, rank or key, and bounded."""
    told = status(workers_count=300)
    assert list(range(1, 201)) == [each["worker"] for each in rows(told)["rows"]]
    assert {"total": 300, "listed": 300, "found": 300} == {name: rows(told)[name] for name in ("total", "listed", "found")}
    assert [300, 299] == [each["worker"] for each in rows(told, descending=True, limit=2)["rows"]]
    by_depth = [each["depth"] for each in rows(told, sort="depth", descending=True, limit=300)["rows"]]
    assert (10, None) == (by_depth[0], by_depth[-1])
    assert [4, None] == [by_depth[-4], by_depth[-3]]
    assert [1, 2] == [each["worker"] for each in rows(told, sort="nonsense", limit=2)["rows"]]
    assert (30, "alice@lab") == ((found := rows(told, wanted=" ALICE "))["found"], found["rows"][0]["via"][:9])
    assert 45 == rows(told, wanted="node002")["found"]
    assert [] == rows(status(workers_count=0))["rows"]
    assert WORKERS_SENT_MAX == len(rows(status(workers_count=2 * WORKERS_SENT_MAX), limit=10**8)["rows"])


def test_five_thousand_workers():
    """Protects rank 0 and the pipe of a large run: a status of 5,000 workers has a bounded size, and a page gets a small part of it."""
    told = status(workers_count=5_000)
    data = record(Kind.STATUS, told)
    assert len(data) < 2 * 2**20
    assert (Kind.STATUS, len(data) - HEADER.size) == HEADER.unpack_from(data)
    board = Board(FACTS)
    board.take(told)
    assert len(board.brief) < 4_096
    assert len(encoded(rows(told))) < 128 * 1024


def test_text_that_is_none():
    """Protects runs in folders with strange names: what JSON cannot write is replaced, and the rest is shown."""
    assert {"name": "a?", "list": [1]} == json.loads(encoded({"name": "a\udcff", "list": (1,)}))
    assert {"number": None} == json.loads(encoded({"number": float("nan")}))
    assert 3 == len(workers(3))
