"""What the dashboard shows: the latest status, prepared for pages that follow it and for whoever asks once.

This module must not know HTTP, nor read a clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from parry_mpi.dashboard.pair import encoded
from parry_mpi.dashboard.samples import Samples

SEPARATE = ("workers_list", "quarantined_jobs", "contributions", "result_text", "result_html")
"""What a page is not sent every second: it asks for the workers that it shows, and is sent the others when they change."""

WORKERS_SENT_MAX = 1_000
"""Most rows of the table of workers that one request gets."""

Status = dict[str, Any]


class Board:
    """The latest status, and who waits for the next.

    Args:
        facts: what is added to every status.
        history: samples of earlier.

    Attributes:
        status: the latest, with the facts; None until there is one.
        brief: the part of it that pages are sent every second, encoded.
        version: how many there were.
        samples: numbers over time.
    """

    def __init__(self, facts: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> None:
        self.status: Status | None = None
        self.brief = b""
        self.version = 0
        self.samples = Samples(history)
        self._facts = dict(facts)
        self._changed = asyncio.Event()

    def take(self, status: Status) -> None:
        """Show this status from now on.

        Raises:
            KeyError, TypeError: it is none.
        """
        speed = self.samples.add(status)
        self.status = status | self._facts | {"nodes_per_s": speed or 0.0}
        self.brief = encoded({name: value for name, value in self.status.items() if name not in SEPARATE})
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer_than(self, version: int, seconds: float) -> bool:
        """Wait for a status that is newer than this one, at most so long; say whether there is one."""
        if self.version == version:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except asyncio.TimeoutError:
                return False
        return True


def shown_workers(status: Status, *, sort: str, descending: bool, wanted: str, limit: int) -> Status:
    """Return the rows of the table of workers that a page shows.

    Args:
        status: a whole one.
        sort: the name of a column; what is unknown sorts by "worker".
        descending: the largest first.
        wanted: keep workers whose id, host or rank has this in it, whatever its case.
        limit: at most so many rows.
    """
    workers: list[Status] = status["workers_list"]
    needle = wanted.strip().casefold()
    if needle:
        workers = [each for each in workers if needle in f"{each['worker']} {each['host']} {each['via']}".casefold()]
    key = sort if workers and sort in workers[0] else "worker"
    known = [each for each in workers if each[key] is not None]
    unknown = [each for each in workers if each[key] is None]
    known.sort(key=lambda each: each[key], reverse=descending)
    rows = [*known, *unknown][: min(limit, WORKERS_SENT_MAX)]
    return {"total": status["workers"], "listed": len(status["workers_list"]), "found": len(workers), "rows": rows}
