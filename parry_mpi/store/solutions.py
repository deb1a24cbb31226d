"""Read the solutions in a run directory, also while the run goes on: as they were when the reading began, a few at a time.

No lock is held between two looks, however slowly the reader takes what it is given: rows are only ever added, so what was there at
the beginning is there in every later look. This module must not know what a solution is.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from parry_mpi.errors import UsageError
from parry_mpi.store.rows import QUARANTINED, SOLUTIONS, Row, Totals, totals_of
from parry_mpi.store.schema import get_root
from parry_mpi.store.sqlite_reader import NotInPlaceError, copied_in_peace, read_copy, read_in_place, retried

LOOK_BYTES = 8 * 2**20
"""How much is read in one look: some milliseconds, so that no commit has to wait for a reader."""

Answer = TypeVar("Answer")


class StoredSolutions(contextlib.AbstractContextManager["StoredSolutions"]):
    """The solutions that were committed when this was made.

    Args:
        path: the state file.

    Attributes:
        count: how many there are.
        finished: whether these are all there are.
        phase: what the run was doing last.
        quarantined: how many jobs could not be explored: their solutions are missing.

    Raises:
        UsageError: it cannot be read.
        StoreCorrupt, StoreVersionError, StoreLocked: as ``sqlite_reader.load`` does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy: Path | None = None
        self._stack = contextlib.ExitStack()
        root = self._read(get_root)
        self._totals = root.solutions
        self.count = root.solutions.weight
        self.finished = root.finished
        self.quarantined = root.totals[QUARANTINED.name].rows
        self.phase = root.phase

    def reports(self) -> Iterator[bytes]:
        """Give the encoded solutions of each report, in the order in which the reports were accepted.

        Raises:
            StoreCorrupt: what is there is not what was written; only what was given before is good.
        """
        totals = Totals()
        last = 0
        while last < self._totals.rows:
            rows = self._read(functools.partial(_some, after=last, last=self._totals.rows))
            if not rows:
                break
            totals = totals.plus(totals_of(rows))
            last = rows[-1][0]
            for _, _, body, _ in rows:
                yield body
        SOLUTIONS.require(totals, self._totals)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _read(self, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
        try:
            if self._copy is None:
                try:
                    return retried(self._path, lambda: read_in_place(self._path, function))
                except NotInPlaceError:
                    self._copy = self._stack.enter_context(copied_in_peace(self._path))
            return read_copy(self._copy, self._path, function)
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read ({error.strerror or error})") from error


def _some(connection: sqlite3.Connection, after: int, last: int) -> list[Row]:
    """Return the next rows, checked."""
    cursor = connection.execute(
        f"SELECT id, weight, body, checksum FROM {SOLUTIONS.name} WHERE id > ? AND id <= ? ORDER BY id",  # noqa: S608 our own names
        (after, last),
    )
    rows: list[Row] = []
    size_bytes = 0
    for row in SOLUTIONS.verified(cursor):
        rows.append(row)
        size_bytes += len(row[2])
        if size_bytes >= LOOK_BYTES:
            break
    return rows
