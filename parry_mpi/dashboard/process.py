"""The dashboard process: shows over HTTP what rank 0 tells it.

`python -m parry_mpi.dashboard.process PAIR LISTENING` is started by dashboard/end.py with the numbers of two file descriptors, is told
all else over the first, and ends when that closes. A process of its own, so that no reader of a page ever holds rank 0 up.

This module must not print anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn

from parry_mpi import companion
from parry_mpi.dashboard.application import application
from parry_mpi.dashboard.board import Board
from parry_mpi.dashboard.pair import HEADER, Configuration, Kind
from parry_mpi.store.history import read_history

LAST_WORDS_S = 0.3
"""How long the end waits for pages to be sent the last status."""

CONNECTIONS_MAX = 128
"""Connections at one time: a page has up to six, and strangers on a shared machine shall not fill this one's memory."""

STREAM_BYTES_MAX = 1 << 20
"""How much of what rank 0 says is kept before it is taken in."""


class Server(uvicorn.Server):
    """Leaves signals alone: they are rank 0's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def follow(reader: asyncio.StreamReader, board: Board) -> None:
    """Take in what rank 0 says until it is gone."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            kind, content = await read_record(reader)
            if kind is Kind.STATUS:
                # A status that makes no sense must not take the page away.
                with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
                    board.take(msgspec.json.decode(content))


async def read_record(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """Read the next record.

    Raises:
        asyncio.IncompleteReadError: there is none.
    """
    kind, length = HEADER.unpack(await reader.readexactly(HEADER.size))
    return Kind(kind), await reader.readexactly(length)


async def serve(pair: socket.socket, listening: socket.socket) -> None:
    """Be the dashboard until rank 0 is gone."""
    reader, _writer = await asyncio.open_connection(sock=pair, limit=STREAM_BYTES_MAX)
    _, content = await read_record(reader)
    configuration = msgspec.json.decode(content, type=Configuration)
    board = Board(configuration.facts, _history(configuration.run_dir))
    server = Server(
        uvicorn.Config(
            application(board, configuration.token),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
        )
    )
    serving = asyncio.create_task(server.serve([listening]))
    following = asyncio.create_task(follow(reader, board))
    await asyncio.wait({serving, following}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return
    # Whoever comes next, a coordinator that was started again, finds the port free.
    for each in server.servers:
        each.close()
    await asyncio.sleep(LAST_WORDS_S)


def _history(run_dir: str) -> list[dict[str, Any]]:
    try:
        return read_history(run_dir)
    except Exception:  # noqa: BLE001 a file that somebody wrote into: the charts begin now
        return []


def main() -> None:
    """Run as a program."""
    pair, listening = companion.begin()
    logging.disable()
    os.set_blocking(sys.stderr.fileno(), False)  # nobody reads it before the end
    with contextlib.suppress(asyncio.IncompleteReadError):
        asyncio.run(serve(pair, listening))
    os._exit(0)  # whatever connection is still open: it is over


if __name__ == "__main__":
    main()
