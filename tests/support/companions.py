"""A companion for tests: it does what it is told over its pair, and ends when that closes.

Run as `python -m support.companions PAIR [SOCKET ...]`.
"""

from __future__ import annotations

import os

from parry_mpi import companion


def main() -> None:
    pair, *others = companion.begin()
    while order := pair.recv(1 << 10):
        if order == b"fail":
            raise RuntimeError("as it was told")
        if order == b"take":
            others[0].accept()[0].sendall(b"taken")
        pair.sendall(order)
    os._exit(3)


if __name__ == "__main__":
    main()
