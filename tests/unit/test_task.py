"""Roots in all their forms, and errors of the user's code told in the user's own terms."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from parry_mpi import task as task_module
from parry_mpi.errors import ProblemError, UsageError
from parry_mpi.job import Job
from parry_mpi.problem import Enumeration, IndexedRoots
from parry_mpi.task import NODE_TEXT_MAX, SAMPLED_ROOTS, Task, call, node_text, plain_nodes, problem_error

PAIR = np.dtype([("a", "<i4"), ("b", "<i4")])
WIDER = np.dtype([("a", "<i8"), ("b", "<i8")])
FORMS = ["list", "tuple", "range", "indexed", "array", "generator", "set"]


class Sweep(Enumeration[int, int]):
    """Roots 0 to n - 1, given in one of several forms."""

    form: str = "list"
    n: int = 5

    def roots(self):
        forms = {
            "list": list,
            "tuple": tuple,
            "range": lambda numbers: numbers,
            "indexed": lambda numbers: IndexedRoots(len(numbers), int),
            "array": lambda numbers: np.arange(len(numbers)),
            "generator": lambda numbers: (number for number in numbers),
            "set": frozenset,
        }
        return forms[self.form](range(self.n))

    def value(self, node):
        return node


class Records(Enumeration[tuple[int, int], int]):
    node_dtype = PAIR
    form: str = "tuples"

    def roots(self):
        tuples = [(i, i * i) for i in range(4)]
        return {
            "tuples": tuples,
            "records": np.array(tuples, PAIR),
            "array": np.array([[1, 2]]),
            "wide": [(1, 2**40)],
            "wider": np.array(tuples, WIDER),
        }[self.form]


class Broken(Enumeration[int, int]):
    """Whose roots raise after ``after`` of them."""

    after: int = 0

    def roots(self):
        if not self.after:
            raise ValueError("no\nroots today")
        return self._some()

    def _some(self):
        yield from range(self.after)
        sys.exit("enough")


@pytest.mark.parametrize("form", FORMS)
def test_roots_in_all_forms(form):
    """Protects users' freedom: any iterable works, and what has an index is farmed out by index."""
    task = Task(Sweep(form=form))
    assert (form not in {"generator", "set"}) == task.indexed
    assert (5 if task.indexed else None) == task.roots_count
    decoded = [task.nodes.decode(node)[0] for node in task.pulled_roots(0)]
    assert [0, 1, 2, 3, 4] == sorted(decoded)
    if task.indexed:
        assert [1, 2, 3] == list(task.root_run(1, 3))
        assert [4] == list(task.root_run(4, 1))


def test_pulled_roots_skip_what_was_taken():
    """Protects restarts: roots that were taken before are not taken again, and the iterator starts afresh every time."""
    task = Task(Sweep(form="generator"))
    for skip, expected in ((0, [0, 1, 2, 3, 4]), (3, [3, 4]), (5, []), (9, [])):
        assert expected == [task.nodes.decode(node)[0] for node in task.pulled_roots(skip)]


def test_pulling_is_lazy():
    """Protects memory: no more roots are made than are asked for."""
    pulled = Task(Broken(after=3)).pulled_roots(0)
    assert [b"\x00", b"\x01", b"\x02"] == [next(pulled) for _ in range(3)]
    with pytest.raises(ProblemError, match="SystemExit: enough"):
        next(pulled)


@pytest.mark.parametrize("form", ["tuples", "records", "wider"])
def test_runs_of_records(form):
    """Protects kernels: a run of roots is an array of records of its own, whatever form roots() chose."""
    task = Task(Records(form=form))
    run = task.root_run(1, 2)
    assert (PAIR, [(1, 1), (2, 4)]) == (run.dtype, run.tolist())
    assert [(1, 1), (2, 4)] == task.plain_root_run(1, 2)
    run[0] = (9, 9)
    assert [(1, 1)] == task.root_run(1, 1).tolist()


def test_root_errors():
    """Protects users early: roots of the wrong shape, or that no record can hold, are refused by name."""
    with pytest.raises(UsageError, match="not one-dimensional"):
        Task(Records(form="array"))
    with pytest.raises(UsageError, match="does not fit node_dtype"):
        Task(Records(form="wide")).roots_digest()
    with pytest.raises(ProblemError, match="ValueError: no roots today"):
        Task(Broken())


class TestDigest:
    def test_tells_roots_apart(self):
        """Protects the run directory: other roots, or as many others, have another digest; the same ones the same."""
        digests = [Task(Sweep(form=form, n=n)).roots_digest() for form in ("range", "generator") for n in (0, 1, 5, 6, 1000)]
        assert 10 == len(set(digests))
        assert digests == [
            Task(Sweep(form=form, n=n)).roots_digest() for form in ("list", "generator") for n in (0, 1, 5, 6, 1000)
        ]
        assert {16} == {len(digest) for digest in digests}

    def test_looks_at_both_ends(self):
        """Protects against an unstable order: one other root at either end is noticed; 10^12 roots cost no more than a few."""
        seen = []

        class Looked(Sweep):
            last: int = 0

            def roots(self):
                return IndexedRoots(10**12, lambda i: (seen.append(i), i + self.last * (i == 10**12 - 1))[1])

        assert Task(Looked()).roots_digest() != Task(Looked(last=1)).roots_digest()
        assert 2 * 2 * SAMPLED_ROOTS == len(seen)
        assert {0, 10**12 - 1} <= set(seen)

    def test_input_files(self, tmp_path):
        """Protects an answer that depends on a file: another content is another run, and a file that is not there is said so."""
        path = tmp_path / "graph"

        class Reader(Sweep):
            def inputs(self):
                return [path]

        digests = []
        for text in ("one", "two", "one"):
            path.write_text(text)
            digests.append(Task(Reader()).roots_digest())
        assert digests[0] == digests[2] != digests[1]
        assert digests[0] != Task(Sweep()).roots_digest()
        path.unlink()
        with pytest.raises(UsageError, match="graph, which the problem names in inputs"):
            Task(Reader()).roots_digest()

    def test_short_sequences_are_looked_at_once(self):
        """Protects against looking twice: with few roots the two ends overlap."""
        seen = []

        class Looked(Sweep):
            def roots(self):
                return IndexedRoots(SAMPLED_ROOTS + 2, lambda i: seen.append(i) or i)

        Task(Looked()).roots_digest()
        assert list(range(SAMPLED_ROOTS + 2)) == seen


class Lowered(Sweep):
    """kill() halves the node; it raises at zero."""

    def kill(self, node, killed):
        return node // killed if node else 1 // 0


class LoweredRecords(Records):
    def kill(self, node, killed):
        return (node[0] + killed, node[1])


class TestKilled:
    def test_rewritten_by_the_problem(self):
        """Protects problems that lower their demands: kill() is given the node and how often it was killed."""
        task = Task(Lowered())
        job = Job(task.nodes.encode(12), 3, 4, 100)
        assert Job(task.nodes.encode(3), 3, 4, 100) == task.rewrite_killed(job)

    def test_records_one_by_one(self):
        """Protects kernels' jobs: each record of a frontier is asked about, as a tuple, and stays where it is."""
        task = Task(LoweredRecords())
        job = Job(task.root_run(0, 2).tobytes(), 1, 2, 9)
        assert [(2, 0), (3, 1)] == task.nodes.decode(task.rewrite_killed(job).node).tolist()

    def test_runs_stay(self):
        """Protects sweeps: roots that are known by index are not made into nodes by a kill."""
        run = Job(killed=1, first=3, count=4)
        assert run is Task(Lowered()).rewrite_killed(run)

    def test_raising(self):
        """Protects the coordinator: a kill() that raises is the problem's error."""
        with pytest.raises(ProblemError, match="ZeroDivisionError"):
            Task(Lowered()).rewrite_killed(Job(Task(Lowered()).nodes.encode(0), killed=1))


def deep():
    raise KeyError("what\n  now")


class TestErrors:
    def test_users_frames_only(self):
        """Protects the reader of a traceback: the user's frames are shown, the library's are not."""
        with pytest.raises(ProblemError) as caught:
            call(deep)
        lines = caught.value.details.splitlines()
        assert "Traceback (most recent call last):" == lines[0]
        assert "deep" in caught.value.details
        assert os.fspath(task_module.__file__) not in caught.value.details
        assert "KeyError: 'what\\n now'" == str(caught.value)
        assert "KeyError: 'what\\n  now'" == lines[-1]
        assert isinstance(caught.value.__cause__, KeyError)

    def test_without_frames(self):
        """Protects against empty tracebacks: an error that was raised in the library's call alone is one line."""
        assert "ValueError: x" == problem_error(ValueError("x")).details
        with pytest.raises(ProblemError) as caught:
            call(int, "x")
        assert "Traceback" not in caught.value.details

    def test_our_own_errors_pass(self):
        """Protects blame: what is told on purpose, and the end of an iterator, are not the user's exceptions."""
        for error in (UsageError("told"), ProblemError("raised")):
            with pytest.raises(type(error)) as caught:
                call(raising, error)
            assert caught.value is error
        with pytest.raises(StopIteration):
            call(next, iter(()))
        with pytest.raises(KeyboardInterrupt):
            call(raising, KeyboardInterrupt())

    def test_exit_is_an_error(self):
        """Protects the run: sys.exit() in the user's code does not end it as if all were well."""
        with pytest.raises(ProblemError, match="SystemExit: 0"):
            call(sys.exit, 0)

    def test_arguments_and_result(self):
        """Protects the call: arguments go in, the result comes out."""
        assert 8 == call(int, "10", base=8)


def raising(error):
    raise error


class Odd:
    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ((1, "a"), "(1, 'a')"),
        (np.array([(1, 2)], PAIR), "[(1, 2)]"),
        (np.int64(3), "3"),
        (Odd(), "<Odd whose repr raises RuntimeError>"),
        ("x" * 1000, "'" + "x" * (NODE_TEXT_MAX - 4) + "..."),
    ],
    ids=["tuple", "records", "scalar", "odd", "long"],
)
def test_node_text(node, text):
    """Protects error messages: a node is shown shortly and plainly, and showing it never raises."""
    assert text == node_text(node)
    assert text == problem_error(ValueError(), node).node
    assert "" == problem_error(ValueError()).node


def test_plain_nodes():
    """Protects children() and value(): records reach them as tuples."""
    assert [(1, 2)] == plain_nodes(np.array([(1, 2)], PAIR))
    assert [(1, 2), (3,)] == plain_nodes(((1, 2), (3,)))
