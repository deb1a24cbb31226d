"""Formulas are split into cubes that together are the formula, and models are checked."""

from __future__ import annotations

import importlib.util
import itertools

import msgspec
import pytest
from support.problems import answer, answer_and_nodes, leaves, load

from parry_mpi.task import Task

if importlib.util.find_spec("pysat") is None:
    pytest.skip("python-sat, an extra, is not installed", allow_module_level=True)

module = load("sat_cubes")
SatCubes = module.SatCubes


def dimacs(clauses):
    variables = max(abs(literal) for clause in clauses for literal in clause)
    lines = [" ".join(map(str, [*clause, 0])) for clause in clauses]
    return "\n".join(["c a comment", f"p cnf {variables} {len(clauses)}", *lines, ""])


@pytest.fixture
def formula_file(tmp_path):
    def write(text):
        path = tmp_path / "formula.cnf"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("splits", [0, 1, 4])
def test_pigeonhole_formula_has_no_model(n, splits):
    """Protects the answer "none", however finely the formula is split."""
    assert answer(SatCubes(formula="pigeonhole", n=n, splits=splits)) is None


@pytest.mark.parametrize("solver", ["cadical153", "glucose4", "lingeling", "maplechrono", "minisat22"])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_formula_has_a_model(seed, solver):
    """Protects the answer "yes", with every solver that may be asked for: the model satisfies every clause."""
    problem = SatCubes(formula="planted", n=60, seed=seed, splits=3, solver=solver)
    model = set(answer(problem))
    assert all(model & set(clause) for clause in problem.clauses)
    assert problem.verify(sorted(model))


@pytest.mark.parametrize("n", [3, 8])
def test_answers_are_those_of_a_table_of_truth(n, formula_file):
    """Protects both answers, on small random formulas of which some have a model."""
    answers = set()
    for seed in range(8):
        # two planted formulas at once: models of the one are seldom models of the other
        clauses = module.planted(n, seed) + module.planted(n, seed + 100)[: n * (seed % 4)]
        table = itertools.product(*((variable, -variable) for variable in range(1, n + 1)))
        possible = any(all(set(clause) & set(row) for clause in clauses) for row in table)
        problem = SatCubes(formula=formula_file(dimacs(clauses)), splits=seed)
        model = answer(problem)
        assert possible == (model is not None)
        assert model is None or problem.verify(model)
        answers.add(possible)
    assert answers == {True, False}


@pytest.mark.parametrize(("literal", "nodes"), [(-100, 2), (100, 3)])
def test_model_in_the_first_and_in_the_last_leaf(literal, nodes, formula_file):
    """Protects the ends of the tree: the pigeons are only in question on one side of the split, and the model is on the other."""
    clauses = [[*clause, -literal] for clause in module.pigeonhole(4)]
    problem = SatCubes(formula=formula_file(dimacs(clauses)), splits=1)
    found = [problem.witness(leaf) is not None for leaf in leaves(problem)]
    assert found == [literal < 0, literal > 0]
    model, explored = answer_and_nodes(problem)
    assert -literal in model
    assert explored == nodes


def test_cubes_of_a_formula_exclude_each_other():
    """Protects completeness: two leaves differ in the sign of a variable, and every assignment of the variables is in one."""
    problem = SatCubes(formula="planted", n=8, seed=3, splits=3)
    cubes = [set(cube) for cube, *_ in leaves(problem)]
    assert all(any(-literal in other for literal in one) for one, other in itertools.combinations(cubes, 2))
    models = [row for row in itertools.product(*((v, -v) for v in range(1, 9))) if problem.verify(list(row))]
    assert models
    assert all(sum(cube <= set(model) for cube in cubes) == 1 for model in models)


def test_children_do_not_depend_on_what_was_solved_before():
    """Protects exactly-once: a cube has the same children in a process that has solved many others."""
    fresh, used = (SatCubes(formula="pigeonhole", n=5, splits=4) for _ in range(2))
    assert answer(used) is None
    assert leaves(fresh) == leaves(used)


def test_killed_cube_is_split_further():
    """Protects a run from a cube that is too hard: it comes back as several, which stand for the same part of the formula."""
    problem = SatCubes(formula="pigeonhole", n=5, splits=2)
    leaf = leaves(problem)[0]
    killed = problem.kill(leaf, 1)
    assert list(problem.children(leaf)) == []
    assert [cube for cube, *_ in problem.children(killed)] == [[*leaf[0], literal] for literal in split_of(problem, killed)]


def split_of(problem, node):
    (one, *_), (other, *_) = problem.children(node)
    assert one[-1] == -other[-1]
    return one[-1], other[-1]


def test_files_are_read_as_they_are_found(formula_file):
    """Protects users of the public collections: clauses over several lines, the mark at the end of SATLIB's files, an empty clause."""
    read = module.read_dimacs
    assert [[1, -2], [2, 3]] == read("c x\np cnf 3 2\n1\n-2 0 2\n3 0\n%\n0\n")
    assert [[1], []] == read("p cnf 1 2\n1 0\n0\n")
    assert answer(SatCubes(formula=formula_file("p cnf 1 2\n1 0\n0\n"))) is None


@pytest.mark.parametrize("text", ["", "1 2 0\n", "p cnf 2 1\n1 x 0\n"])
def test_files_that_are_no_formula_are_refused(text, formula_file):
    """Protects users from a file of another format: it is refused by name, before anything is begun."""
    path = formula_file(text)
    with pytest.raises(msgspec.ValidationError, match=path):
        msgspec.convert({"formula": path}, SatCubes)


def test_changed_file_is_another_problem(formula_file):
    """Protects a run that goes on: its roots tell that the file is not the one it began with."""
    before = Task(SatCubes(formula=formula_file("p cnf 2 1\n1 2 0\n"))).roots_digest()
    assert before != Task(SatCubes(formula=formula_file("p cnf 2 1\n1 -2 0\n"))).roots_digest()


def test_verify_refuses_what_is_no_model():
    """Protects the run from a worker that is wrong: contradictions and clauses without a true literal."""
    problem = SatCubes(formula="planted", n=20)
    model = answer(problem)
    assert problem.verify(model)
    assert not problem.verify([*model, -model[0]])
    assert not problem.verify([])


def test_missing_extra_is_told(monkeypatch):
    """Protects users without python-sat: they are told what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install"):
        SatCubes()
