"""Join a run from outside with as many processes as wanted, from the words on the command line to an exit code.

This module must not talk to the coordinator.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import mmap
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from parry_mpi.cli.explaining import explained
from parry_mpi.cli.preparing import Request, prepare
from parry_mpi.cli.seeking import Announced, Typed, address_of
from parry_mpi.cli.telling import say
from parry_mpi.cli.terminal import on_terminal
from parry_mpi.cli.wording import plural
from parry_mpi.errors import EXIT_COMPLETE, ParryError, UsageError
from parry_mpi.runtime import clock
from parry_mpi.runtime.crew import work_in_processes
from parry_mpi.runtime.deadline import Deadline, slurm_seconds_left
from parry_mpi.runtime.options import Options
from parry_mpi.runtime.outside import OutsideOptions, RunIsOver, work_outside
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.store import keyfiles
from parry_mpi.store.access import WORKER_KEY_NAME
from parry_mpi.transport.tcp import Address
from parry_mpi.wire.keys import PassphraseNeeded, PrivateKey

TRIES_MAX = 3
"""How often a passphrase is asked for, as ssh does."""

ANSWER_S = 5.0
"""Whoever does not want to wait gives a coordinator that is there so long to answer."""

LINES_COUNT = 2**20
"""How many different lines processes can say before two of them are likely to be taken for one: far more than anybody reads."""


class Chorus:
    """Speaks for several processes that mostly say the same: what one of them says for the n-th time is printed once for all of them.

    It has to be made before they are forked. Two processes that speak at the very same moment may both be heard.
    """

    def __init__(self) -> None:
        self._shared = memoryview(mmap.mmap(-1, 4 * LINES_COUNT)).cast("I")  # anonymous; the kernel gives what is written to
        self._own: collections.Counter[int] = collections.Counter()

    def say(self, line: str) -> None:
        """Print a line for the user on stderr. Never raises: a worker outlives the terminal it was started on."""
        if self.is_new(line):
            with contextlib.suppress(OSError, ValueError):
                say(line)

    def is_new(self, line: str) -> bool:
        """Count that this process says a line; whether no other one has said it as often."""
        digest = hashlib.sha256(line.encode(errors="surrogatepass")).digest()
        place = int.from_bytes(digest[:8], "big") % LINES_COUNT
        self._own[place] += 1
        if self._own[place] <= self._shared[place]:
            return False
        self._shared[place] = self._own[place]
        return True


def join_typed(
    address: tuple[str, int],
    request: Request,
    key_path: Path,
    server_key: str,
    processes: int | None,
    options: OutsideOptions,
) -> int:
    """Join the run at an address.

    Args:
        address: host and port.
        request: which problem to explore there.
        key_path: the private key to join with.
        server_key: the coordinator's public key, a line or a file.
        processes: how many; None for one a core.
        options: what the user chose.
    """
    if not address[1]:
        raise UsageError("port 0 is nobody's: the run says at its start where it listens, and so does access.json in its folder")
    began_at_ms = clock.now_ms()
    where = Address(*address, keyfiles.read_public_key_of(server_key))
    key = read_key(key_path)
    return _work(Typed(where).find, where, request, key, processes, _limited(options, began_at_ms))


def join_announced(run_dir: Path, key_path: Path | None, processes: int | None, options: OutsideOptions) -> int:
    """Join the run of a folder, as soon as it listens.

    Args:
        run_dir: its folder.
        key_path: the private key to join with; None for the run's own.
        processes: how many; None for one a core.
        options: what the user chose.
    """
    began_at_ms = clock.now_ms()
    key = read_key(key_path) if key_path is not None else None  # asked for before the wait, which may be long
    run = Announced(run_dir, say)
    wait_s = options.wait_s if options.stop_after_s is None else min(options.wait_s, options.stop_after_s)
    try:
        with StopSignals() as stop:
            access = run.wait(wait_s, stop)
    except RunIsOver:
        say(f"the run is finished: parry-mpi result {shlex.quote(str(run_dir))}")
        return EXIT_COMPLETE
    if access is None:
        return EXIT_COMPLETE
    if key is None:
        key = _key_of_run(run_dir)
    request = request_for(access.problem, access.words)
    return _work(run.find, address_of(access), request, key, processes, _limited(options, began_at_ms))


def request_for(where: str, words: Sequence[str]) -> Request:
    """Return which problem to explore, as ``prepare`` takes it."""
    return Request(where, words, None, False, Options())


def read_key(path: Path) -> PrivateKey:
    """Read a private key; ask for its passphrase, if it has one and there is somebody to ask.

    Raises:
        UsageError: it cannot be used.
    """
    asks = on_terminal()
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            return keyfiles.read_key(path, _ask if asks else None)
        except PassphraseNeeded as error:
            raise UsageError(
                f"{error}, and there is no terminal to ask for it on: use a key without one (parry-mpi keygen FILE --no-passphrase)"
            ) from None
        except keyfiles.WrongPassphrase as error:
            if not tries_left:
                raise
            say(str(error))
    raise AssertionError("the last try returns or raises")


def default_processes() -> int:
    """How many processes explore if nobody says: as many as there are cores for this one, which a batch system may have limited."""
    return len(os.sched_getaffinity(0))


def _ask(what: str) -> bytes:
    text: str = click.prompt(what, default="", show_default=False, hide_input=True, err=True)
    return text.encode(errors="surrogateescape")


def _key_of_run(run_dir: Path) -> PrivateKey:
    try:
        return read_key(run_dir / WORKER_KEY_NAME)
    except UsageError as error:
        raise UsageError(
            f"{error}. To join with a key of your own, give --key FILE; the run's owner authorises FILE.pub"
        ) from None


def _limited(options: OutsideOptions, began_at_ms: int) -> OutsideOptions:
    """Have the worker leave in time before its batch job ends, and count what it has waited."""
    ends_s = slurm_seconds_left()
    leave_s = None if ends_s is None else ends_s - Deadline(ends_s=ends_s, grace_s=options.grace_s).margin_s
    if options.stop_after_s is not None:
        stop_s = max(0.0, options.stop_after_s - (clock.now_ms() - began_at_ms) / 1000)
        leave_s = stop_s if leave_s is None else min(leave_s, stop_s)
    return dataclasses.replace(options, wait_s=max(options.wait_s, ANSWER_S), stop_after_s=leave_s)


def _work(
    find: Callable[[], Address | None],
    first: Address,
    request: Request,
    key: PrivateKey,
    processes: int | None,
    options: OutsideOptions,
) -> int:
    """Load the problem once, so that a mistake is told once, and have every process work on it."""
    prepared = prepare(request)
    count = processes if processes is not None else default_processes()
    chorus = Chorus()
    chorus.say(f"{prepared.title}: {plural(count, 'worker')} for {first}, with the key {key.public.fingerprint}")

    def one(_index: int) -> int:
        def work() -> int:
            try:
                fingerprint = prepared.identity.fingerprint()
                return work_outside(lambda: (prepared.task, fingerprint), find, key, options, chorus.say)
            except ParryError as error:
                if chorus.is_new(str(error)):
                    raise
                return error.exit_code

        return explained(work)

    return work_in_processes(count, one)
