"""The explored share over whole runs of what is in jobs/: it never falls, whoever dies, and ends at exactly one."""

from __future__ import annotations

import itertools

import pytest
from support.farming import Farm
from support.problems import HAVE_PYSAT, load

from parry_mpi.core.estimate import Estimator
from parry_mpi.job import WHOLE

PLAIN = {"engine": "python"}

SMALL = [
    ("queens", "Queens", {"n": 7} | PLAIN),
    ("queens", "Queens", {"n": 8}),
    ("queens_boards", "QueensBoards", {"n": 6} | PLAIN),
    ("uts", "UnbalancedTree", {"tree": "T1", "d": 5} | PLAIN),
    ("semigroups", "Semigroups", {"genus": 10} | PLAIN),
    ("sweep", "Sweep", {"points": 2000}),
    ("sweep", "Sweep", {"points": 2000, "source": "generator"}),
    ("langford", "Langford", {"n": 7} | PLAIN),
    ("costas", "Costas", {"n": 6} | PLAIN),
    ("walks", "Walks", {"n": 6} | PLAIN),
    ("sudoku", "Sudoku", {"puzzle": "." * 16}),
    ("sudoku", "SudokuCount", {"puzzle": "." * 16}),
    ("colouring", "Colouring", {"graph": "myciel3", "colours": 3}),
    ("pats", "Pats", {"pattern": "sierpinski4", "tiles": 2}),
    ("pats", "PatsCount", {"pattern": "sierpinski4", "tiles": 2}),
    ("golomb", "Golomb", {"n": 6} | PLAIN),
    ("tsp", "Tsp", {"cities": "random", "n": 8}),
    ("clique", "Clique", {"n": 30} | PLAIN),
    ("montecarlo", "MonteCarlo", {"points": 2**18}),
]
if HAVE_PYSAT:
    SMALL.append(("sat_cubes", "SatCubes", {"formula": "pigeonhole", "n": 4}))


@pytest.mark.parametrize("calm", [True, False], ids=["calm", "storm"])
@pytest.mark.parametrize(("module", "name", "parameters"), SMALL, ids=[f"{each[1]}-{i}" for i, each in enumerate(SMALL)])
def test_explored_share(module, name, parameters, calm):
    """Protects the bar that people watch: it never goes back, neither at a kill nor at a restart, and is full when all is done."""
    farm = Farm(getattr(load(module), name)(**parameters), hands_count=2, slice_nodes=7, slices_per_report=3)
    share = 0
    for step, _ in enumerate(itertools.chain(tuple(farm.early), farm.run())):
        state = farm.coordinator.state
        assert share <= state.explored_weight
        share = state.explored_weight
        if not calm and step == 15:
            farm.join()
            farm.lose()
        if not calm and step == 35:
            farm.restart()
    state = farm.coordinator.state
    assert state.complete
    assert state.counters.decided or share == WHOLE
    found = Estimator(state).estimate()
    assert found is not None
    assert state.counters.nodes == found.nodes_low == found.nodes == found.nodes_high


def test_share_of_a_kernel_follows_its_nodes():
    """Protects the progress that is shown: in a tree without surprises it is the part of the nodes, with a kernel as without."""
    for engine, difference_max in (("auto", 0.25), ("python", 0.1)):
        farm = Farm(load("queens").Queens(n=9, engine=engine), hands_count=2, slice_nodes=20, slices_per_report=5)
        states = [
            (farm.coordinator.state.counters.nodes, farm.coordinator.state.explored_weight / WHOLE)
            for effects in farm.run()
            if effects.folds
        ]
        whole = states[-1][0]
        assert max(abs(share - nodes / whole) for nodes, share in states) < difference_max
