"""What a kernel says is checked before it is believed, and its frontier keeps its weight."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.forms import RECORD, KernelOnLists, KernelOnRecords
from support.trees import encoded

from parry_mpi.job import WHOLE, Job, total_weight
from parry_mpi.problem import Enumeration, Slice
from parry_mpi.search.base import ExplorationError
from parry_mpi.search.exploration import Exploration
from parry_mpi.task import Task


class Scripted(Enumeration[int, int]):
    """A kernel that answers what it was told to."""

    answers = ()

    def roots(self):
        return [(0,), (1,), (2,)] if self.node_dtype else [0, 1, 2]

    def explore(self, frontier, budget):
        answer = self.answers[0]
        Scripted.answers = self.answers[1:]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class ScriptedRecords(Scripted):
    node_dtype = RECORD


def begun(problem: Scripted, *answers: object, weight: int = 700) -> Exploration:
    """Explore three nodes that weigh ``weight`` together with a kernel that answers this."""
    Scripted.answers = answers
    return Exploration(Task(problem), [Job(depth=1, killed=1, weight=weight, count=3)], problem.kernel())


def one_call(exploration: Exploration) -> None:
    """Let the kernel be called just once."""
    exploration.slice(Scripted.answers[0].nodes)


def records(*nodes: int) -> np.ndarray:
    return np.array([(node,) for node in nodes], RECORD)


@pytest.mark.parametrize(
    ("problem", "answer", "told"),
    [
        (ScriptedRecords(), Slice(0, records(), 0), "ScriptedRecords.explore\\(\\) explored 0 nodes of a frontier of 3; it must"),
        (ScriptedRecords(), Slice(0, records(), -1), "explored -1 nodes"),
        (ScriptedRecords(), Slice(0, records(), 11), "says that it explored 11 nodes, with a budget of 10"),
        (ScriptedRecords(), Slice(0, records(1), 1, -1), "says that it left -1 nodes untouched"),
        (ScriptedRecords(), Slice(0, np.zeros(1, "<i4"), 1), "left a frontier of int32, not of node_dtype"),
        (ScriptedRecords(), Slice(0, [(1,)], 1), "left a frontier of <class 'list'>, not of node_dtype"),
        (Scripted(), Slice(0, (1, 2), 1), "left a frontier of <class 'tuple'>, not a list"),
        (Scripted(), Slice(0, 7, 1), "left a frontier of <class 'int'>, not a list"),
        (ScriptedRecords(), None, "TypeError"),
        (ScriptedRecords(), (0, records()), "ValueError: not enough values"),
        (ScriptedRecords(), Slice(0, records(), None), "TypeError"),
        (ScriptedRecords(), Slice(0, records(), 1, None), "TypeError"),
        (ScriptedRecords(), KeyError("node"), "KeyError: 'node'"),
        (Scripted(), SystemExit(1), "SystemExit: 1"),
    ],
)
def test_what_a_kernel_may_not_say(problem, answer, told):
    """Protects the run: a kernel that makes no progress, does too much, changes its frontier's type or raises is not believed."""
    exploration = begun(problem, answer)
    with pytest.raises(ExplorationError) as caught:
        exploration.slice(10)
    assert (False, 0) == (caught.value.intact, caught.value.explored)
    error = caught.value.to_problem_error()
    assert re.search(told, str(error))
    assert error.node in {"[(2,)]", "[2]"}
    assert 0 == exploration.take_found().nodes


class TestWeights:
    def test_untouched_keeps_its_weight(self):
        """Protects the explored share: what a kernel did not touch weighs what it did, the rest shares the node above it."""
        exploration = begun(ScriptedRecords(), Slice(5, records(0, 7, 8), 2, 1), weight=900)
        one_call(exploration)
        # Node 1 was the last one taken off: its 300 are divided among itself, explored, and the two that came of it. What is that
        # much lighter is a job of its own.
        assert [300, 100, 100] == [job.weight for job in exploration.remaining(apart=True)]

    def test_nothing_new(self):
        """Protects the explored share: a node without children is explored, whole."""
        exploration = begun(ScriptedRecords(), Slice(5, records(0), 2, 1), weight=900)
        one_call(exploration)
        assert 300 == total_weight(exploration.remaining())

    def test_too_much_untouched(self):
        """Protects the explored share: a kernel that says it touched nothing has touched the last node at least."""
        exploration = begun(ScriptedRecords(), Slice(5, records(0, 1, 7, 8), 1, 99), weight=900)
        one_call(exploration)
        assert 600 + 200 == total_weight(exploration.remaining())

    def test_grown_below_what_was_said(self):
        """Protects against nonsense: untouched nodes that are not there any more weigh nothing."""
        exploration = begun(ScriptedRecords(), Slice(5, records(0), 2, 2), weight=900)
        one_call(exploration)
        assert 300 == total_weight(exploration.remaining())

    def test_rest_goes_to_the_first(self):
        """Protects exactness: weights that do not divide evenly add up all the same."""
        exploration = begun(ScriptedRecords(), Slice(5, records(0, 1, 5, 6, 7), 1, 2), weight=306)
        one_call(exploration)
        weights = exploration._current._weights
        assert [102, 102, 26, 26, 25] == weights.tolist()


class TestHandingOver:
    def test_records_travel_together(self):
        """Protects small reports: a frontier of records is one job, and its bytes are the array's."""
        exploration = begun(ScriptedRecords(), Slice(5, records(4, 5, 6), 1), weight=900)
        one_call(exploration)
        (job,) = exploration.remaining()
        assert (records(4, 5, 6).tobytes(), 2, 1) == (job.node, job.depth, job.killed)

    def test_apart(self):
        """Protects blame: asked for it, the node explored next is a job of its own."""
        exploration = begun(ScriptedRecords(), Slice(5, records(4, 5, 6), 1), Slice(0, records(), 1), weight=900)
        one_call(exploration)
        assert [records(4, 5).tobytes(), records(6).tobytes()] == [job.node for job in exploration.remaining(apart=True)]
        exploration._current._allowance.earn(10**9)  # as after a while: a heavy node is explored alone
        one_call(exploration)
        assert [records(4).tobytes(), records(5).tobytes()] == [job.node for job in exploration.remaining(apart=True)]

    def test_listed_nodes_travel_one_by_one(self):
        """Protects kernels on plain nodes: each is a job."""
        exploration = begun(Scripted(), Slice(5, [4, 5], 1), weight=900)
        one_call(exploration)
        assert [encoded(4), encoded(5)] == [job.node for job in exploration.remaining(apart=True)]
        assert [encoded(4), encoded(5)] == [job.node for job in exploration.remaining()]

    @pytest.mark.parametrize("problem", [Scripted(), ScriptedRecords()])
    def test_every_second_node_is_given(self, problem):
        """Protects balance: both halves hold work of every depth; one node alone is not divided."""
        nodes = records(4, 5, 6) if problem.node_dtype else [4, 5, 6]
        exploration = begun(problem, Slice(5, nodes, 1), weight=900)
        one_call(exploration)
        before = total_weight(exploration.remaining())
        given = exploration.split()
        task = Task(problem)
        assert [4, 6] == [
            int(node["node"]) if problem.node_dtype else node for job in given for node in task.nodes.decode(job.node)
        ]
        assert before == total_weight(given) + total_weight(exploration.remaining())
        assert () == exploration.split()

    def test_buffer_of_the_kernels_own(self):
        """Protects kernels that keep their stack: what was given away or kept does not change with it."""
        buffer = records(4, 5, 6, 7)
        exploration = begun(ScriptedRecords(), Slice(5, buffer, 1), weight=900)
        one_call(exploration)
        given = exploration.split()
        buffer[:] = records(0, 0, 0, 0)
        assert [records(4, 6).tobytes()] == [job.node for job in given]
        assert [records(5, 7).tobytes()] == [job.node for job in exploration.remaining()]


def test_frontier_of_another_rank():
    """Protects whole explorations: a job of many records, as another worker handed it over, is explored like any other."""
    problem = KernelOnRecords(seed=1, nodes=40, roots_count=6)
    task = Task(problem)
    roots = task.nodes.decode(task.root_run(0, 6).tobytes())
    exploration = Exploration(task, [Job(roots.tobytes(), weight=WHOLE)], problem.kernel())
    while exploration.slice(7):
        pass
    found = exploration.take_found()
    assert (problem.tree.whole, 40, 1) == (found.value, found.nodes, found.solved)


def test_untouched_makes_the_share_exact():
    """Protects the progress shown: a kernel that tells what it left untouched explores exactly the share that it says."""
    shares = []
    for tells in (True, False):
        problem = KernelOnLists(seed=3, nodes=200, roots_count=4, tells_untouched=tells)
        exploration = Exploration(Task(problem), [Job(weight=WHOLE, count=4)], problem.kernel())
        exploration.slice(1)
        shares.append(total_weight(exploration.remaining()))
    assert shares[0] >= 3 * (WHOLE // 4)
    assert shares[1] < shares[0]
