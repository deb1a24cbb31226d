"""The bridge of a run: opened for the time that the run lasts, and announced in its folder.

This module must not know how a run goes.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.store.access import Access, open_bridge_files, remove_access, write_access
from parry_mpi.transport.bridge.end import BridgeTransport
from parry_mpi.transport.tcp import Address


@dataclass(frozen=True)
class Invitation:
    """What somebody from outside has to be told to explore the same.

    Args:
        problem: FILE.py[:Class] with an absolute path, or module[:Class].
        words: each NAME=VALUE.
        fingerprint: of both.
    """

    problem: str
    words: tuple[str, ...]
    fingerprint: str


@contextlib.contextmanager
def opened(
    address: tuple[str, int], run_dir: Path, invitation: Invitation, say: Callable[[str], None]
) -> Iterator[BridgeTransport]:
    """Listen for workers from outside while the ``with`` block lasts.

    Args:
        address: host and port; port 0 for any that is free.
        run_dir: the run's folder, which this process holds.
        invitation: what is announced.
        say: called with a line for the user.

    Raises:
        UsageError: nobody can listen at this address, or a key cannot be used.
    """
    files = open_bridge_files(run_dir)
    bridge = BridgeTransport(*address, files.coordinator_key, files.authorized_keys)
    try:
        host, port = bridge.address[:2]
        key = files.coordinator_key.public
        write_access(
            run_dir,
            Access(
                host=host,
                port=port,
                server_key=key.line,
                problem=invitation.problem,
                words=invitation.words,
                fingerprint=invitation.fingerprint,
            ),
        )
        say(f"workers may join at {Address(host, port, key)}: parry-mpi worker --run-dir {shlex.quote(str(run_dir))}")
        yield bridge
    finally:
        remove_access(run_dir)
        bridge.close(orderly=True, code=EXIT_COMPLETE)
