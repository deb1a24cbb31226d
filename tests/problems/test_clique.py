"""Maximum cliques are as large as in the literature."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from support.problems import HAVE_NUMBA, answer, load

from parry_mpi.task import Task

module = load("clique")
Clique = module.Clique

engines = pytest.mark.parametrize(
    "engine", ["python", pytest.param("numba", marks=pytest.mark.skipif(not HAVE_NUMBA, reason="numba is not installed"))]
)


def hamming(bits, apart):
    """Words of so many bits are neighbours if they differ in at least ``apart`` of them."""
    words = range(2**bits)
    return 2**bits, [(one, other) for one, other in itertools.combinations(words, 2) if (one ^ other).bit_count() >= apart]


def johnson(bits, ones, apart):
    """The same for the words with so many ones."""
    words = [word for word in range(2**bits) if word.bit_count() == ones]
    pairs = itertools.combinations(range(len(words)), 2)
    return len(words), [(one, other) for one, other in pairs if (words[one] ^ words[other]).bit_count() >= apart]


PUBLISHED = {
    "hamming6-2": (hamming(6, 2), 1824, 32),
    "hamming6-4": (hamming(6, 4), 704, 4),
    "johnson8-2-4": (johnson(8, 2, 4), 210, 4),
    "johnson8-4-4": (johnson(8, 4, 4), 1855, 14),
}
"""Graphs of the second DIMACS challenge that are told by their definition: how many edges they have, and their largest clique."""


def dimacs(folder, vertices, edges, kind="edge"):
    lines = ["c a comment", "", f"p {kind} {vertices} {len(edges)}", *(f"e {one + 1} {other + 1}" for one, other in edges)]
    file = folder / "graph.clq"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def assert_clique(edges, best):
    """Check it by the edges alone."""
    pairs = itertools.combinations(sorted(best.solution), 2)
    assert best.objective == len(set(best.solution))
    assert {(one - 1, other - 1) for one, other in pairs} <= set(edges)


@engines
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_graphs(name, engine, tmp_path):
    """Protects the answer, and the numbers of the vertices: the challenge's graphs have the published clique, from a file."""
    (vertices, edges), edges_count, size = PUBLISHED[name]
    assert edges_count == len(edges)
    best = answer(Clique(file=dimacs(tmp_path, vertices, edges, "col"), engine=engine))
    assert size == best.objective
    assert_clique(edges, best)


@engines
@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(seed, engine):
    """Protects the bound: the dumbest search there is finds nothing larger in small graphs of every density."""
    problem = Clique(n=13 + seed, density=seed / 5, seed=seed, engine=engine)
    edges = [(int(one), int(other)) for one, other in zip(*np.nonzero(np.triu(problem.graph)), strict=True)]
    best = answer(problem)
    assert_clique(edges, best)
    assert largest_clique(len(problem.graph), set(edges)) == best.objective


def largest_clique(count, edges):
    def extend(clique, first):
        return max(
            [len(clique)]
            + [
                extend([*clique, vertex], vertex + 1)
                for vertex in range(first, count)
                if all((each, vertex) in edges for each in clique)
            ]
        )

    return extend([], 0)


@engines
@pytest.mark.parametrize("n", [1, 63, 64, 65])
def test_graphs_at_the_edge_of_a_word(n, engine):
    """Protects the bit sets: without edges one vertex is a clique, and with all of them all are."""
    assert 1 == answer(Clique(n=n, density=0, engine=engine)).objective
    best = answer(Clique(n=n, density=1, engine=engine))
    assert (n, list(range(1, n + 1))) == (best.objective, best.solution)


def test_colouring_is_one():
    """Protects the bound: neighbours have different colours, each candidate has one, and colours come in order."""
    problem = Clique(n=40, density=0.5, seed=5)
    coloured = problem.colour((1 << 40) - 1)
    colours = dict(coloured)
    assert list(range(40)) == sorted(colours)
    assert sorted(colour for _, colour in coloured) == [colour for _, colour in coloured]
    graph = problem.graph[problem.order][:, problem.order]
    assert not any(graph[one, other] for one, other in itertools.combinations(range(40), 2) if colours[one] == colours[other])


@pytest.mark.parametrize(("objective", "solution"), [(3, [1, 2]), (3, [1, 2, 4]), (2, [1, 1]), (4, [1, 2, 3])])
def test_what_is_no_clique_is_refused(objective, solution, tmp_path):
    """Protects the result from a worker that errs: another size, vertices that are no neighbours, one twice."""
    problem = Clique(file=dimacs(tmp_path, 4, [(0, 1), (0, 2), (1, 2), (2, 3)]))
    assert problem.verify(3, [1, 2, 3])
    assert not problem.verify(objective, solution)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p edge 2 1\ne 1 3\n", "line 2 is not DIMACS' format"),
        ("p edge 2 1\ne 0 1\n", "line 2"),
        ("p edge 9999 1\n", "line 1"),
        ("e 1 2\n", "line 1"),
        ("p edge 2\n", "line 1"),
        ("c nothing\n", "no line 'p edge"),
        ("p edge x 1\n", "invalid literal"),
        ("\u00e9", "ascii"),
        (None, "No such file"),
    ],
)
def test_bad_files_are_told(text, told, tmp_path):
    """Protects users: what is wrong with a file is said in one line, with its name, before the run begins."""
    file = tmp_path / "bad.clq"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(msgspec.ValidationError, match=told) as refused:
        msgspec.convert({"file": str(file)}, Clique)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_graph_is_another_run(tmp_path):
    """Protects a run from being continued after its file has changed."""
    digests = [Task(Clique(file=dimacs(tmp_path, 4, edges))).roots_digest() for edges in ([(0, 1)], [(0, 2)])]
    assert digests[0] != digests[1]
