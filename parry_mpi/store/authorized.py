"""The file authorized_keys of a run directory: which keys may join the run.

Every change replaces the whole file at once, because a running bridge reads it again whenever it changes. All other lines, comments
among them, stay as they are. This module must not know connections: who is dropped for a removed line is the bridge's business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from parry_mpi.errors import UsageError
from parry_mpi.store import keyfiles
from parry_mpi.wire.keys import AuthorizedKey, PublicKey, read_authorized_keys

AUTHORIZED_KEYS_NAME = "authorized_keys"
MODE = 0o600


def authorized(folder: Path) -> list[AuthorizedKey]:
    """Return the keys that may join, in the order of the file; none if there is no file.

    Raises:
        UsageError: the file cannot be read, or a line of it makes no sense.
    """
    path = folder / AUTHORIZED_KEYS_NAME
    return list(read_authorized_keys(_read(path), str(path)).values())


def authorize(folder: Path, keys: Sequence[AuthorizedKey]) -> list[AuthorizedKey]:
    """Let keys join. A key that is there already is not added again; if its limit is another now, its line is replaced.

    Args:
        folder: the run directory.
        keys: what to add. A limit of None leaves the limit of a key that is there already as it is.

    Returns:
        Those of the keys whose line is new or changed.

    Raises:
        UsageError: the file cannot be read or written, or a line of it makes no sense.
        CommitFailed: the file system refuses for now.
    """
    path = folder / AUTHORIZED_KEYS_NAME
    with _alone(folder):
        text = _read(path)
        present = read_authorized_keys(text, str(path))  # a line that makes no sense is said now, not when the run begins
        changed = [key for key in keys if _differs(key, present.get(key.key.raw))]
        if changed or not path.exists():
            replaced = {key.key.raw for key in changed}
            kept = [line for line in _lines(text) if _key_of(line) not in replaced]
            _write(path, [*kept, *map(line_of, changed)])
    return changed


def remove(folder: Path, what: Sequence[PublicKey] | str) -> list[PublicKey]:
    """Take away the right to join.

    Args:
        folder: the run directory.
        what: keys, or a fingerprint or a comment as ``--list`` shows them; a comment that several keys have means all of them.

    Returns:
        The keys that were removed, in the order of the file.

    Raises:
        UsageError: the file cannot be read or written.
        CommitFailed: the file system refuses for now.
    """
    path = folder / AUTHORIZED_KEYS_NAME
    with _alone(folder):
        kept, removed = [], []
        for line in _lines(_read(path)):
            key = _parsed(line)
            if key is not None and _is_meant(key.key, what):
                removed.append(key.key)
            else:
                kept.append(line)
        if removed:
            _write(path, kept)
    return removed


def line_of(key: AuthorizedKey) -> str:
    """Return a line of the file."""
    return key.key.line if key.connections_max is None else f"connections={key.connections_max} {key.key.line}"


def _differs(wanted: AuthorizedKey, present: AuthorizedKey | None) -> bool:
    return present is None or wanted.connections_max not in {None, present.connections_max}


def _is_meant(key: PublicKey, what: Sequence[PublicKey] | str) -> bool:
    return what in {key.fingerprint, key.comment} if isinstance(what, str) else key in what


def _parsed(line: str) -> AuthorizedKey | None:
    """The key on a line; None for comments and for what makes no sense, which must not keep a key from being removed."""
    with contextlib.suppress(UsageError):
        return next(iter(read_authorized_keys(line, "").values()), None)
    return None


def _key_of(line: str) -> bytes | None:
    key = _parsed(line)
    return key.key.raw if key is not None else None


def _lines(text: str) -> list[str]:
    """The lines, as the bridge reads them: no odd character in a comment begins another one."""
    return text.removesuffix("\n").split("\n") if text else []


def _read(path: Path) -> str:
    return keyfiles.read_file(path).decode(errors="surrogateescape") if path.exists() else ""


def _write(path: Path, lines: Sequence[str]) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else MODE
    keyfiles.replace(path, "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"), mode)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two commands on one machine from undoing each other's change; where the file system knows no such locks, do without."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used ({error.strerror or error})") from error
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
