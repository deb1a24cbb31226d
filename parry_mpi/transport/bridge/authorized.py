"""Who may join just now, from a file of authorised keys that people edit while a run goes on.

This module must not know connections. It is used by the bridge process only.
"""

from __future__ import annotations

from pathlib import Path

from parry_mpi.errors import UsageError
from parry_mpi.wire.keys import AuthorizedKey, read_authorized_keys

FILE_BYTES_MAX = 4 * 2**20
"""Some 40,000 keys; what is larger is not such a file."""


def content_of(path: Path) -> bytes | None:
    """Read the file; None if that is impossible. It is opened each time: on a network file system only that tells what others wrote."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        return None
    return content if len(content) <= FILE_BYTES_MAX else None


class AuthorizedKeys:
    """The keys in the file as it was seen last.

    A line that makes no sense is skipped, and said so, and the others count: to keep an earlier list instead would keep a key alive
    whose line was removed. A file that cannot be read says nothing about anybody: who is in stays, nobody new gets in.

    Args:
        path: of the file.

    Attributes:
        path: of the file.
        readable: whether the last look succeeded.
        keys: by the raw bytes of the key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: bytes | None = b""
        self.readable = True
        self.keys: dict[bytes, AuthorizedKey] = {}

    def update(self, content: bytes | None) -> list[str]:
        """Take up what the file says now.

        Args:
            content: the file's, or None if it cannot be read.

        Returns:
            What people should know about it, one line each; empty if nothing changed.
        """
        if content == self._content:
            return []
        self._content = content
        self.readable = content is not None
        if content is None:
            return [f"{self.path} cannot be read: nobody new gets in, whoever is in stays"]
        text = content.decode("utf-8", "replace")
        try:
            self.keys = read_authorized_keys(text, str(self.path))
        except UsageError as error:
            return self._update_by_lines(text) or [str(error)]
        return []

    def _update_by_lines(self, text: str) -> list[str]:
        """Take the lines that make sense; of a key with two limits the lower one."""
        keys: dict[bytes, AuthorizedKey] = {}
        complaints = []
        for number, line in enumerate(text.split("\n")):
            try:
                found = read_authorized_keys(line, str(self.path))
            except UsageError:
                complaints.append(f"{self._complaint(line, number)}; this line does not count")
                continue
            for raw, authorized in found.items():
                if raw not in keys or _limit(authorized) < _limit(keys[raw]):
                    keys[raw] = authorized
        self.keys = keys
        return complaints

    def _complaint(self, line: str, number: int) -> str:
        try:
            read_authorized_keys("\n" * number + line, str(self.path))  # so that it names the right line
        except UsageError as error:
            return str(error)
        return f"{self.path}, line {number + 1}"


def _limit(authorized: AuthorizedKey) -> float:
    return float("inf") if authorized.connections_max is None else authorized.connections_max
