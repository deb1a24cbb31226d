"""What the peers' programs share: the job that costs nothing, and a clock around what is counted.

This module must not import any of the peers: workers of all of them import it.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Callable

WARM = 64
"""Jobs before those that count: then everybody is connected, and has loaded what it needs."""

SIOCSIFFLAGS = 0x8914
IFF_UP = 1
"""netdevice(7): how an interface is brought up."""


def nothing(_index: int) -> int:
    """The job."""
    return 1


def nothings(bounds: tuple[int, int]) -> int:
    """A batch of jobs, for those that leave the loop over a batch to their user."""
    return sum(nothing(index) for index in range(*bounds))


def timed(repetitions: int, jobs: int, work: Callable[[], int]) -> list[float]:
    """Return how many seconds the work took each time; who loses a job has no time.

    Raises:
        SystemExit: the total is wrong.
    """
    seconds = []
    for _ in range(repetitions):
        began_at_s = time.perf_counter()
        total = work()
        seconds.append(time.perf_counter() - began_at_s)
        if total != jobs:
            raise SystemExit(f"{jobs} jobs were counted as {total}")
    return seconds


def raise_loopback() -> None:
    """Bring up the loopback interface, which is down in a network of one's own; elsewhere it is up, or not ours to touch."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, contextlib.suppress(OSError):
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
