"""Rank 0's first moments: load the problem, get hold of the other ranks, and only then load all that a run needs.

The other ranks wait for rank 0 inside MPI_Init, where they do not sleep: what is loaded before that is loaded on processors that they keep
busy. This module must not know what a run is.
"""

from __future__ import annotations

import contextlib
from typing import TextIO

from parry_mpi.cli.explaining import EXIT_INTERRUPTED, explained
from parry_mpi.cli.lasting import lasting
from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.cli.terminal import find_terminal
from parry_mpi.errors import EXIT_INTERNAL, ParryError, UsageError
from parry_mpi.transport import launcher, mpi
from parry_mpi.transport.base import Transport


class World:
    """The other ranks, on rank 0: MPI is initialised only when they have to be told something.

    A process alone has none, and needs no MPI.

    Args:
        launched: whether there are other ranks.
    """

    def __init__(self, *, launched: bool) -> None:
        self._launched = launched
        self._transport: Transport | None = None
        self._orderly = False
        self._told = False
        self._unable = False

    def transport(self) -> Transport | None:
        """Return the transport to the other ranks, None if there are none."""
        if self._launched and self._transport is None:
            try:
                self._transport = mpi.MpiTransport()
            except BaseException:
                self._launched, self._unable = False, True
                raise
        return self._transport

    def under_way(self) -> None:
        """Note that from now on the other ranks hear from a coordinator, and nobody else may speak to them."""
        self._told, self._orderly = True, False

    def dismissed(self, *, orderly: bool) -> None:
        """Note that the other ranks were told to leave, and whether all of them were heard to."""
        self._told, self._orderly = True, orderly

    def close(self, code: int) -> None:
        """Let the other ranks go, if nobody has told them yet, and end MPI. It may end this process with the code."""
        if not self._told and code != EXIT_INTERRUPTED:
            with contextlib.suppress(ParryError):
                transport = self.transport()
                if transport is not None:
                    from parry_mpi.runtime.coordinating import decline  # noqa: PLC0415 seldom needed

                    self._orderly = decline(transport, "rank 0 has nothing to explore", transport.size)
        if self._transport is not None:
            self._transport.close(orderly=self._orderly, code=code)
        elif self._unable and not mpi.initialised():
            launcher.abort(code)  # the others fail in the same way, or wait for this one without end
        else:
            launcher.keep_exit_code(code)  # there may be a launcher all the same, with one rank


def run(request: Request) -> int:
    """Live one life of a run as rank 0, or alone, and return the exit code."""
    world = World(launched=launcher.launched())
    code = EXIT_INTERNAL
    try:
        # What there is to say is said before MPI ends: that may be the end of this process too.
        code = explained(lambda: _begin(request, world))
    finally:
        world.close(code)
    return code


def _begin(request: Request, world: World) -> int:
    """Prepare everything, and coordinate."""
    if (strangers := launcher.strangers_count()) > 1:
        raise UsageError(
            f"srun started {strangers} copies of this command that do not know of each other: add --mpi=pmi2 or --mpi=pmix "
            "(srun --mpi=list tells which there are), or use the mpiexec of your MPI"
        )
    prepared = prepare(request)
    terminal = find_terminal()
    if not forks(request, terminal):
        world.transport()
    with lasting():
        from parry_mpi.cli.session import lead  # noqa: PLC0415 see above
    return lead(request, prepared, world, terminal)


def forks(request: Request, terminal: TextIO | None) -> bool:
    """Whether rank 0 has a bridge or a page, processes of their own: they have to be forked before MPI is initialised."""
    return request.bridge is not None or wants_page(request, terminal)


def wants_page(request: Request, terminal: TextIO | None) -> bool:
    """Whether the run is shown as a web page: if the user wants that or may want to, for who has a terminal may have a browser."""
    return not request.dashboard_off and bool(request.dashboard or terminal)
