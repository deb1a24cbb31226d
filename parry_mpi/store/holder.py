"""Who holds a run directory, as written in its lock file, and whether that process can be seen to be alive from here.

This module must not create, change or remove a lock; lock.py does.
"""

from __future__ import annotations

import functools
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

import msgspec

LOCK_SIZE_BYTES = 1024
"""Every lock file has this size, so that a heartbeat overwrites all of it in one write and needs no new disk space."""
_LOCK_NAME = re.compile(r"coordinator\.([0-9]{1,18})\.lock")
_HOST_LENGTH_MAX = 255


class Holder(msgspec.Struct, frozen=True):
    """A coordinator.

    Args:
        host: name of the machine.
        boot: which start of the machine's kernel; tells machines of the same name apart.
        namespace: in which space of process ids (a container has its own).
        pid: process id.
        started: when that process was started, in the kernel's ticks; tells it from a later one with the same id.
        token: random, made for this lock.
        beat: counts heartbeats.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    token: str
    beat: int = 0

    def __str__(self) -> str:
        return f"the coordinator on {self.host} (process {self.pid})"

    def to_bytes(self) -> bytes:
        """Return the content of a lock file."""
        return msgspec.json.encode(self).ljust(LOCK_SIZE_BYTES - 1) + b"\n"

    def alive(self) -> bool | None:
        """Whether the process runs; None if that cannot be seen from here, such as from another machine."""
        here = this_process()
        if (self.host, self.boot, self.namespace) != (here.host, here.boot, here.namespace):
            return None
        state, started = _process_state(self.pid)
        if started:
            # A zombie only waits for its parent to notice that it is dead.
            return started == self.started and state not in "ZXx"
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return None
        return None if self.started else True


class LockFile(NamedTuple):
    """A lock file as found.

    Args:
        generation: its number; the highest one in a folder is the lock.
        content: its bytes and time stamp: only whether they change means anything.
        holder: who wrote it; None if that cannot be told, because it is being written or is damaged.
    """

    generation: int
    content: tuple[bytes, int]
    holder: Holder | None

    @property
    def owner(self) -> str:
        """Who holds it, for the user."""
        return str(self.holder) if self.holder else "another coordinator"

    @property
    def alive(self) -> bool | None:
        """Whether the holder runs; None if that cannot be seen from here."""
        return self.holder.alive() if self.holder else None


def lock_name(generation: int) -> str:
    """Return the name of the lock file of a generation."""
    return f"coordinator.{generation}.lock"


def generations(folder: Path) -> list[int]:
    """Return the generations of which there is a lock file, in ascending order."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _LOCK_NAME.fullmatch(path.name)))


def find_lock(folder: Path) -> LockFile | None:
    """Return the lock of a folder, None if nobody holds it."""
    for generation in reversed(generations(folder)):
        try:
            # Opened anew for every look: that is what makes a network file system ask its server.
            with (folder / lock_name(generation)).open("rb") as file:
                content = file.read(LOCK_SIZE_BYTES)
                modified_ns = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            continue  # Released, or taken over, just now.
        try:
            holder = msgspec.json.decode(content, type=Holder)
        except msgspec.DecodeError:
            holder = None
        return LockFile(generation, (content, modified_ns), holder)
    return None


def this_process(token: str = "") -> Holder:
    """Return the calling process as a holder."""
    pid = os.getpid()
    host, boot, namespace = _this_machine()
    return Holder(host, boot, namespace, pid, _process_state(pid)[1], token)


@functools.lru_cache(maxsize=1)
def _this_machine() -> tuple[str, str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # No Linux: the name of the machine must do.
        boot = namespace = ""
    return socket.gethostname()[:_HOST_LENGTH_MAX], boot, namespace


def _process_state(pid: int) -> tuple[str, str]:
    """The state letter and the start time of a process, from proc(5); empty if they cannot be had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), fields[19].decode()  # Fields 3 and 22 of the man page; the name in brackets is the second.
    except (OSError, IndexError):
        return "", ""
