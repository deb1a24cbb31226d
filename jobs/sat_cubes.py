"""Can a formula be satisfied? Cube and conquer: split into cubes, hand each to a SAT solver.

A cube is some literals that are assumed to be true. Its children assume one variable more, true and false; a cube that unit propagation
refutes has none. After so many splits a cube goes to the solver, in one call that the library cannot divide. When such a call is killed,
because it took too long while others had nothing to do, the cube is split further and tried again.

    parry-mpi run jobs/sat_cubes.py formula=pigeonhole n=9 splits=8
    parry-mpi run jobs/sat_cubes.py formula=some.cnf

The solvers are those of python-sat (https://pysathq.github.io), in the extra `jobs`.

Source: Heule, Kullmann, Wieringa and Biere, "Cube and conquer: guiding CDCL SAT solvers by lookaheads", HVC 2011; Haken, "The
intractability of resolution", Theoretical Computer Science 39, 1985 (the pigeonhole formulas).
Known answers: n + 1 pigeons do not fit n holes, so the pigeonhole formulas have no model; a planted formula has one.
"""

from __future__ import annotations

import functools
import importlib.util
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from parry_mpi import Decision

Clauses = list[list[int]]
"""Literals as in DIMACS: v for variable v, from 1, and -v for its negation."""

Cube = tuple[list[int], int]
"""The literals that are assumed, and how many more shall be before the solver is called."""

PLANTED_RATIO = 4.2
"""Clauses per variable: near the threshold of random 3-SAT, where formulas are hardest."""

SPLITS_AFTER_KILL = 2
"""How many more variables are assumed after a call was killed: four smaller calls instead of it."""


class SatCubes(Decision[Cube, list[int]]):
    """Find a model of a formula: a literal for every variable.

    Args:
        formula: "pigeonhole": n + 1 pigeons in n holes; "planted": random 3-SAT with n variables that has a model; or a DIMACS
            file (.cnf).
        n: size of a formula that is made here.
        seed: which planted formula.
        splits: how many variables are assumed before the solver is called.
        solver: which of python-sat's solvers.
    """

    formula: str = "pigeonhole"
    n: Annotated[int, Meta(ge=1)] = 6
    seed: int = 0
    splits: Annotated[int, Meta(ge=0)] = 4
    solver: Literal["cadical153", "glucose4", "lingeling", "maplechrono", "minisat22"] = "glucose4"

    incidental = frozenset({"solver"})

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pysat") is None:
            raise ValueError('python-sat is not installed: pip install "parry_mpi[jobs]"')
        _ = self.clauses  # what cannot be read is refused before anything is begun

    def inputs(self) -> list[str]:
        return [] if self.formula in {"pigeonhole", "planted"} else [self.formula]

    def roots(self) -> list[Cube]:
        return [([], self.splits)]

    def children(self, node: Cube) -> Iterator[Cube]:
        cube, splits = node
        consistent, implied = self.propagator.propagate(assumptions=cube)
        if not consistent or splits == 0:
            return
        known = {abs(literal) for literal in (*cube, *implied)}
        variable = next((variable for variable in self.variables if variable not in known), None)
        if variable is None:
            yield cube, 0
        else:
            yield [*cube, variable], splits - 1
            yield [*cube, -variable], splits - 1

    def witness(self, node: Cube) -> list[int] | None:
        cube, splits = node
        if splits > 0:
            return None
        return list(self.conqueror.get_model()) if self.conqueror.solve(assumptions=cube) else None

    def verify(self, witness: list[int]) -> bool:
        model = set(witness)
        return not any(-literal in model for literal in model) and all(not model.isdisjoint(clause) for clause in self.clauses)

    def kill(self, node: Cube, killed: int) -> Cube:
        cube, splits = node
        return cube, splits + SPLITS_AFTER_KILL

    @functools.cached_property
    def clauses(self) -> Clauses:
        """The formula.

        Raises:
            ValueError: there is no such formula, or the file is none.
        """
        if self.formula == "pigeonhole":
            return pigeonhole(self.n)
        if self.formula == "planted":
            return planted(self.n, self.seed)
        try:
            return read_dimacs(Path(self.formula).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"formula={self.formula} is neither pigeonhole, nor planted, nor a DIMACS file: {error}") from error

    @functools.cached_property
    def variables(self) -> list[int]:
        """The variables, those in the most clauses first."""
        clauses_with = Counter(abs(literal) for clause in self.clauses for literal in clause)
        return sorted(clauses_with, key=lambda variable: (-clauses_with[variable], variable))

    @functools.cached_property
    def conqueror(self) -> Any:
        """What solves cubes; kept, for what it learns from one helps with the next."""
        return new_solver(self.solver, self.clauses)

    @functools.cached_property
    def propagator(self) -> Any:
        """What finds the consequences of a cube; it never solves, for what it had learned would change a node's children."""
        return new_solver("minisat22", self.clauses)


def new_solver(name: str, clauses: Clauses) -> Any:
    """Return a SAT solver that knows these clauses."""
    from pysat.solvers import Solver  # noqa: PLC0415 an extra

    return Solver(name=name, bootstrap_with=clauses)


def pigeonhole(holes: int) -> Clauses:
    """Say that every pigeon is in a hole, and no two in the same; there is one pigeon more than there are holes."""
    variable = [[pigeon * holes + hole + 1 for hole in range(holes)] for pigeon in range(holes + 1)]
    pairs = [(one, other) for other in range(holes + 1) for one in range(other)]
    return variable + [[-variable[one][hole], -variable[other][hole]] for hole in range(holes) for one, other in pairs]


def planted(variables: int, seed: int) -> Clauses:
    """Make random clauses of three literals that one hidden assignment satisfies."""
    uniform = random.Random(seed).random  # noqa: S311 no secret; the one method whose numbers never change between Pythons
    model = [uniform() < 0.5 for _ in range(variables)]
    clauses: Clauses = []
    while len(clauses) < PLANTED_RATIO * variables:
        signed = [(int(uniform() * variables), uniform() < 0.5) for _ in range(3)]
        if any(model[variable] == sign for variable, sign in signed):
            clauses.append([variable + 1 if sign else -variable - 1 for variable, sign in signed])
    return clauses


def read_dimacs(text: str) -> Clauses:
    """Read a formula.

    Raises:
        ValueError: it is not in the DIMACS format.
    """
    lines = text.partition("\n%")[0].splitlines()  # a line with % is the end in the files of SATLIB
    if not any(line.split()[:2] == ["p", "cnf"] for line in lines):
        raise ValueError("it has no line that begins with p cnf")
    clauses: Clauses = [[]]
    for word in " ".join(line for line in lines if not line.lstrip().startswith(("c", "p"))).split():
        if literal := int(word):
            clauses[-1].append(literal)
        else:
            clauses.append([])
    return clauses if clauses[-1] else clauses[:-1]
