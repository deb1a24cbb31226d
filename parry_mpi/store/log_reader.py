"""Reads the event log of a run while it is written: the part that was put aside first, then what there is, then what comes.

This module must not change the log, and must not know what an event means.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from parry_mpi.errors import UsageError
from parry_mpi.store.log import LOG_NAME, ROTATED_NAME
from parry_mpi.store.run_directory import not_a_run


class LogReader:
    """Reads the log of a run, which need not have one yet. It is a context manager.

    Args:
        folder: the run directory.

    Raises:
        UsageError: there is no such folder, or its log cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise not_a_run(folder)
        self._folder = folder
        # In this order: a log that is put aside meanwhile is then found to be the same file.
        self._file = self._opened(LOG_NAME)
        self._aside = self._opened(ROTATED_NAME)

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._aside):
            if file is not None:
                file.close()

    def more(self) -> Iterator[dict[str, Any]]:
        """Give the events since the last call, in the order in which they were written. What is no whole line of ours is left out."""
        if self._aside is not None:
            aside, self._aside = self._aside, None
            with aside:
                if not _same(aside, self._file):
                    yield from _events(aside)
        while True:
            if self._file is not None:
                yield from _events(self._file)
            newer = self._opened(LOG_NAME)
            if newer is None or _same(newer, self._file):
                if newer is not None:
                    newer.close()
                return
            if self._file is not None:
                yield from _events(self._file)  # what came before it was put aside
                self._file.close()
            self._file = newer

    def _opened(self, name: str) -> BinaryIO | None:
        try:
            return (self._folder / name).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{self._folder / name} cannot be read ({error.strerror or error})") from None


def _same(one: BinaryIO, other: BinaryIO | None) -> bool:
    return other is not None and os.path.sameopenfile(one.fileno(), other.fileno())


def _events(file: BinaryIO) -> Iterator[dict[str, Any]]:
    while True:
        begins_at = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(begins_at)  # it may be whole when we look again
            return
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("time"), str) and isinstance(event.get("event"), str):
                yield event
