"""Graphs need as many colours as is known, and colourings are checked."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.problems import answer, answer_and_nodes, leaves, load

from parry_mpi.task import Task

module = load("colouring")
Colouring = module.Colouring

CHROMATIC_NUMBERS = {"myciel2": 3, "myciel3": 4, "myciel4": 5}
"""Mycielski 1955."""

LATE = """c found by trying random graphs: three colours are enough, and the first choices are wrong
p edge 14 28
e 1 3\ne 1 8\ne 1 9\ne 1 11\ne 2 4\ne 2 5\ne 2 6\ne 2 9\ne 2 14\ne 3 4\ne 3 11\ne 4 5\ne 4 7\ne 5 8\ne 5 10\ne 5 12\ne 6 14
e 7 10\ne 7 11\ne 7 14\ne 8 12\ne 8 13\ne 8 14\ne 9 13\ne 10 11\ne 11 12\ne 11 13\ne 13 14
"""


@pytest.fixture
def graph_file(tmp_path):
    def write(text):
        path = tmp_path / "graph.col"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(("graph", "needed"), CHROMATIC_NUMBERS.items())
def test_known_numbers_of_colours(graph, needed):
    """Protects the answer: so many colours are enough and one fewer is not."""
    enough = Colouring(graph=graph, colours=needed)
    assert enough.verify(answer(enough))
    assert answer(Colouring(graph=graph, colours=needed - 1)) is None


def test_generated_graphs_are_those_of_the_literature():
    """Protects the generator: vertices and edges are as many as in the DIMACS files of these names, and there is no triangle."""
    sizes = {"myciel2": (5, 5), "myciel3": (11, 20), "myciel4": (23, 71), "myciel5": (47, 236)}
    for graph, size in sizes.items():
        count, edges = Colouring(graph=graph).edges_of_graph()
        neighbours = Colouring(graph=graph).neighbours
        assert size == (count, len({frozenset(edge) for edge in edges}))
        assert not any(neighbours[one] & neighbours[other] for one, other in edges)


@pytest.mark.parametrize("colours", [2, 3])
def test_answers_are_those_of_all_colourings(colours, graph_file):
    """Protects what is left out for being alike, against a look at every colouring of small graphs."""
    pairs = list(itertools.combinations(range(1, 7), 2))
    answers = set()
    for mask in range(0, 2 ** len(pairs), 1571):
        edges = [pair for bit, pair in enumerate(pairs) if mask >> bit & 1]
        lines = [f"p edge 6 {len(edges)}", *(f"e {one} {other}" for one, other in edges)]
        problem = Colouring(graph=graph_file("\n".join(lines)), colours=colours)
        possible = any(problem.verify(list(each)) for each in itertools.product(range(1, colours + 1), repeat=6))
        assert possible == (answer(problem) is not None)
        answers.add(possible)
    assert answers == {True, False}


def test_colouring_in_the_first_leaf(graph_file):
    """Protects an easy search: where the first choices are right nothing else is looked at."""
    problem = Colouring(graph=graph_file("p edge 4 3\ne 1 2\ne 2 3\ne 3 4\n"), colours=3)
    first, *others = leaves(problem)
    assert (list(first), 5) == answer_and_nodes(problem)
    assert others


def test_colouring_in_the_last_leaf(graph_file):
    """Protects the end of the tree: a colouring there is found, after all else has failed."""
    problem = Colouring(graph=graph_file(LATE), colours=3)
    *others, last = leaves(problem)
    assert list(last) == answer(problem)
    assert len(others) == 2
    assert not any(problem.witness(leaf) for leaf in others)


@pytest.mark.parametrize(
    ("text", "colours", "witness"), [("p edge 0 0\n", 0, []), ("p edge 2 0\n", 1, [1, 1]), ("p edge 1 0\n", 0, None)]
)
def test_smallest_graphs(text, colours, witness, graph_file):
    """Protects the edges of the definition: no vertices, no edges, no colours."""
    assert witness == answer(Colouring(graph=graph_file(text), colours=colours))


@pytest.mark.parametrize("witness", [[1, 1, 2], [1, 2], [1, 2, 0], [1, 2, 4], [1, 2, 3, 1]])
def test_verify_refuses_what_is_no_colouring(witness, graph_file):
    """Protects the run from a worker that is wrong."""
    problem = Colouring(graph=graph_file("p edge 3 3\ne 1 2\ne 2 3\ne 1 3\n"), colours=3)
    assert problem.verify([3, 1, 2])
    assert not problem.verify(witness)


@pytest.mark.parametrize("text", ["", "e 1 2\n", "p edge x\n", "p edge 2 1\ne 1\n", "p edge 2 1\ne 1 3\n", "p edge 2 1\ne 1 1\n"])
def test_files_that_are_no_graph_are_refused(text, graph_file):
    """Protects users from a file of another format: it is refused by name, before anything is begun."""
    path = graph_file(text)
    with pytest.raises(msgspec.ValidationError, match=path):
        msgspec.convert({"graph": path}, Colouring)


def test_changed_file_is_another_problem(graph_file):
    """Protects a run that goes on: its roots tell that the file is not the one it began with."""
    before = Task(Colouring(graph=graph_file("p edge 3 1\ne 1 2\n"))).roots_digest()
    assert before != Task(Colouring(graph=graph_file("p edge 3 1\ne 1 3\n"))).roots_digest()


@pytest.mark.parametrize("graph", ["myciel1", "nosuch.col"])
def test_unknown_graphs_are_refused(graph):
    """Protects users from a name that was mistyped."""
    with pytest.raises(msgspec.ValidationError, match=f"{graph} is neither"):
        msgspec.convert({"graph": graph}, Colouring)
