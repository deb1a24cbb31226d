"""Find the coordinator of a run again and again: at an address that was typed, or wherever its folder says that it is now.

This module must not connect to it.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from parry_mpi.cli.telling import INCOMPLETE
from parry_mpi.cli.wording import time_text
from parry_mpi.errors import ParryError, PeerLost
from parry_mpi.runtime import clock
from parry_mpi.runtime.outside import RunIsOver
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.store.access import Access, NoBridge, read_access
from parry_mpi.store.holder import this_process
from parry_mpi.store.schema import STATE_NAME
from parry_mpi.store.sqlite_reader import summarize
from parry_mpi.transport.tcp import Address
from parry_mpi.wire.keys import read_public_key

LOOK_S = 0.5
"""How often to look whether a run has begun to listen: file servers show a new file to other machines after seconds anyway."""


@dataclass(frozen=True)
class Typed:
    """A coordinator at an address that the user typed.

    Args:
        address: where.
    """

    address: Address

    def find(self) -> Address | None:
        """Return where it is."""
        return self.address


class Announced:
    """A coordinator that announces itself in its run directory; after a restart it may be elsewhere.

    Args:
        run_dir: the folder.
        tell: called with lines for the user.
    """

    def __init__(self, run_dir: Path, tell: Callable[[str], None]) -> None:
        self._run_dir = run_dir
        self._tell = tell
        self._latest: Access | None = None

    def find(self) -> Address | None:
        """Return where it is now; None while it does not say.

        Raises:
            RunIsOver: the folder holds the whole answer.
            UsageError, StoreError: what it says cannot be understood.
        """
        access = self._read()
        if access is None or access == self._latest:  # gone, or did not answer there the last time
            self._look_for_the_end()
        self._latest = access
        return address_of(access) if access is not None else None

    def wait(self, wait_s: float, stop: StopSignals) -> Access | None:
        """Wait until the run listens.

        Args:
            wait_s: how long.
            stop: signals that end the wait.

        Returns:
            How it is joined; None if a signal came first.

        Raises:
            PeerLost: it did not in time.
            RunIsOver, UsageError, StoreError: as ``find``.
        """
        ends_at_ms = clock.now_ms() + int(wait_s * 1000)
        told = ""
        while not stop.name:
            access = self._read()
            if access is not None:
                self._hint(access)
                return access
            self._look_for_the_end()
            why = self._why_not()
            if clock.now_ms() >= ends_at_ms:
                raise PeerLost(f"no coordinator within {time_text(wait_s)}: {why}")
            if why != told:
                self._tell(f"waiting for a coordinator: {why}")
                told = why
            clock.sleep(LOOK_S)
        return None

    def _read(self) -> Access | None:
        with contextlib.suppress(NoBridge):
            return read_access(self._run_dir)
        return None

    def _why_not(self) -> str:
        try:
            read_access(self._run_dir)
        except NoBridge as error:
            return str(error)
        return "it has just begun to listen"

    def _look_for_the_end(self) -> None:
        if is_over(self._run_dir):
            raise RunIsOver

    def _hint(self, access: Access) -> None:
        """Say what is likely to be wrong when a bridge listens for its own machine only, and this is another."""
        here = this_process().host
        if access.machine and access.machine != here and _is_loopback(access.host):
            forward = f"ssh -L {access.port}:{access.host}:{access.port} {access.machine}"
            self._tell(
                f"the bridge of this run listens on {access.machine} for that machine alone, and this is {here}: "
                f"start the run with --bridge {access.machine}, or forward the port ({forward})"
            )


def address_of(access: Access) -> Address:
    """Return where a run is joined, and by which key its coordinator is known."""
    return Address(access.host, access.port, read_public_key(access.server_key, "the server_key of access.json"))


def is_over(run_dir: Path) -> bool:
    """Whether the folder shows that nothing is left to do in this run. Never raises: what cannot be read shows nothing."""
    try:
        root = summarize(run_dir / STATE_NAME).root
    except (ParryError, OSError):
        return False
    return root.finished or root.phase == INCOMPLETE


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
