"""The n queens problem once more, explored by a program in C: how a solver in any language joins.

A node is the list of columns that are attacked along columns and along the two diagonals, as in jobs/queens.py. The program reads lines of
JSON and answers them; jobs/queens_external.c is all there is to it.

    cc -O2 -o build/queens_external jobs/queens_external.c
    parry-mpi run jobs/queens_external.py n=12 program=build/queens_external

Known answers: those of jobs/queens.py (https://oeis.org/A000170), 12: 14200.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from parry_mpi import Enumeration, Explore, external

Board = tuple[int, int, int]


class QueensExternal(Enumeration[Board, int]):
    """The n queens problem.

    Args:
        n: size of the board.
        program: what explores it.
    """

    n: Annotated[int, Meta(ge=1, le=31)] = 8
    program: str = "build/queens_external"

    incidental = frozenset({"program"})

    def roots(self) -> list[Board]:
        return [(0, 0, 0)]

    def kernel(self) -> Explore:
        return external(self, [Path(self.program).resolve()])
