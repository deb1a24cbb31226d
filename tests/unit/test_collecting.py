"""Collections: what a slice finds is handed over once, encoded as it is found, and held until it is on disk."""

from __future__ import annotations

from typing import Any

import hypothesis
import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st
from support import loops
from support.toys import LEASE, ROOT, begin

from parry_mpi import data as data_module
from parry_mpi.cli.solutions import decoded
from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.core.messages import Ack, GetJob, Goodbye, Hello, Report
from parry_mpi.core.worker import Ask, Go, Want
from parry_mpi.data import DataCodec, SolutionsCodec
from parry_mpi.errors import CommitFailed, UsageError
from parry_mpi.job import WHOLE, Job
from parry_mpi.problem import Collection, Slice
from parry_mpi.runtime import collecting as module
from parry_mpi.runtime import coordinator_loop as loop_module
from parry_mpi.runtime.collecting import Collector
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.search.exploration import Exploration, explore_all
from parry_mpi.store.solutions import StoredSolutions
from parry_mpi.task import Task

POINT = np.dtype([("x", "<i2"), ("y", "<f8")])
DEPTH = 7
LEAVES = [*range(2**DEPTH, 2 ** (DEPTH + 1))]


class Leaves(Collection[int, tuple[int, str]]):
    """The leaves of a binary tree."""

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < 2**DEPTH else []

    def solutions(self, node):
        return [(node, "leaf")] if node >= 2**DEPTH else []


class KernelLeaves(Leaves):
    def explore(self, frontier, budget):
        found, nodes = [], 0
        while frontier and nodes < budget:
            node = frontier.pop()
            found += self.solutions(node)
            frontier += self.children(node)
            nodes += 1
        return Slice(found, frontier, nodes)


class RecordLeaves(Leaves):
    solution_dtype = POINT

    def solutions(self, node):
        return [(each, 0.5) for each, _ in super().solutions(node)]


class RecordKernelLeaves(KernelLeaves):
    """A kernel that keeps its array, and writes over it in the next call."""

    solution_dtype = POINT
    kept: Any = None

    def explore(self, frontier, budget):
        done = super().explore(frontier, budget)
        self.kept = np.empty(2**DEPTH, POINT) if self.kept is None else self.kept
        self.kept[:] = (-1, -1)
        array = self.kept[: len(done.value)]
        array["x"], array["y"] = [each for each, _ in done.value], 0.5
        return done._replace(value=array)


FORMS = [Leaves, KernelLeaves, RecordLeaves, RecordKernelLeaves]


def numbers(bodies):
    """The leaves in some reports, in order."""
    solutions = [solution for body in bodies for piece in decoded(body) for solution in piece]
    return sorted(each["x"] if isinstance(each, dict) else each[0] for each in solutions)


@pytest.mark.parametrize("form", FORMS)
def test_each_once_however_it_is_sliced(form):
    """Protects every solution, in all forms of a problem: slices, reports and gifts hand over each of them once."""
    task = Task(form())
    waiting, bodies = [(Job(msgspec.msgpack.encode(1), weight=WHOLE),)], []
    while waiting:
        exploration = Exploration(task, waiting.pop(), task.problem.kernel())
        for slices in range(1, 100):
            exploration.slice(3)
            if slices % 4 == 0:
                bodies.append(task.encode_found(exploration.take_found().value))
            if slices % 9 == 0 and (given := exploration.split()):
                waiting.append(given)
            if exploration.done:
                break
        found = exploration.take_found()
        bodies += [task.encode_found(found.value)] if found.nodes else []
    assert LEAVES == numbers(bodies)
    assert len(LEAVES) == sum(map(task.solutions.count, bodies))


@pytest.mark.parametrize("form", FORMS)
def test_result_is_the_count(form):
    """Protects memory: the result of a collection is how many solutions there are."""
    assert (2**DEPTH, 2 ** (DEPTH + 1) - 1) == explore_all(Task(form()))


def test_types():
    """Protects type safety: what Collection[Node, Solution] says is what a report may carry, and the result is a number."""
    assert (int, list[tuple[int, str]]) == (Leaves.node_type(), Leaves.value_type())
    task = Task(Leaves())
    assert 7 == task.values.decode(task.values.encode(7))
    with pytest.raises(NotImplementedError, match=r"must define solutions\(node\)"):
        Collection().value(1)


plain = st.recursive(
    st.integers(-(2**70), 2**70) | st.text(max_size=3) | st.none(), lambda it: st.lists(it, max_size=3), max_leaves=5
)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.lists(st.lists(plain, max_size=40), max_size=8))
def test_gathered(parts):
    """Protects solutions of any kind and number, put together piece by piece: they come back as they were, integers of any size too."""
    solutions = SolutionsCodec(Any, None)
    gathered = solutions.gather()
    for part in parts:
        gathered.add(part)
    body = gathered.encoded()
    whole = [each for part in parts for each in part]
    assert whole == DataCodec(Any, "").decode(body)
    assert len(whole) == gathered.count == solutions.count(body)


@pytest.mark.parametrize("count", [15, 16, 65535, 65536])
def test_gathered_length(count):
    """Protects large reports: each form that msgpack has for the length of a list."""
    solutions = SolutionsCodec(list[int], None)
    gathered = solutions.gather()
    gathered.add([1] * count)
    assert count == solutions.count(gathered.encoded()) == len(msgspec.msgpack.decode(gathered.encoded()))


@pytest.mark.parametrize(
    ("dtype", "wrong", "text"),
    [
        (None, 7, "handed over as a list, not as int"),
        (None, np.zeros(3), "handed over as a list, not as ndarray"),
        (None, [("a", 1)], "does not come back as the type"),
        (None, [(1, object())], "cannot be sent"),
        (POINT, np.zeros(3), "solutions are an array of float64, not of solution_dtype"),
        (POINT, [(1.5, 0.0)], "does not fit solution_dtype .* exactly"),
        (POINT, 7, "as a list or an array, not as int"),
    ],
)
def test_wrong_solutions(dtype, wrong, text):
    """Protects users from solutions that would come back as something else: they are refused where they are found."""
    with pytest.raises(UsageError, match=text):
        SolutionsCodec(list[tuple[int, int]], dtype).gather().add(wrong)


@pytest.mark.parametrize("dtype", [None, POINT])
@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x07", b"\xdd\x00", b"\x93\x01\x02\x03"])
def test_nonsense_is_not_counted(dtype, damaged):
    """Protects the count from a report that brings no list."""
    if dtype is None and damaged[:1] == b"\x93":
        return
    with pytest.raises(UsageError, match="does not come back"):
        SolutionsCodec(Any, dtype).count(damaged)


def exploring(monkeypatch, *, bytes_max: int) -> tuple[Exploring, list[bytes]]:
    monkeypatch.setattr(data_module, "COLLECTED_BYTES_MAX", bytes_max)
    explorer = Exploring(Task(Leaves()), None)
    monkeypatch.setattr(explorer._tuner, "note", lambda *times: None)  # a slice is one node, on every machine
    return explorer, []


def until_idle(explorer: Exploring, bodies: list[bytes]):
    last = None
    while explorer.busy:
        told = explorer.turn()
        if told is not None:
            last = told
            bodies += [told.value] if told.nodes else []
    return last


def test_full_explorer_waits(monkeypatch):
    """Protects memory where solutions abound: an explorer that has found enough waits until it is asked for them, and goes on then."""
    explorer, bodies = exploring(monkeypatch, bytes_max=60)
    explorer.order(begin())
    asked = 0
    while until_idle(explorer, bodies) is None or explorer._begin is not None:
        explorer.order(Ask(LEASE, Want.CHECKPOINT))
        asked += 1
    assert asked > 5
    assert LEAVES == numbers(bodies)
    assert max(map(len, bodies)) < 60 + 20


def test_full_and_careful(monkeypatch):
    """Protects memory also after a kill: a careful explorer hands over early, and waits for Go as ever."""
    explorer, bodies = exploring(monkeypatch, bytes_max=60)
    explorer.order(begin(careful=True))
    for _ in range(1000):
        told = until_idle(explorer, bodies)
        if told is not None and not told.remaining:
            break
        explorer.order(Go(LEASE, 10_000))
    assert len(bodies) > 5
    assert LEAVES == numbers(bodies)


def body_of(*solutions: int, size_bytes: int = 0) -> bytes:
    return msgspec.msgpack.encode([(solution, "x" * size_bytes) for solution in solutions])


def test_numbers_are_kept():
    """Protects from doubles: what a failed commit held keeps its numbers in the next one, after what is on disk."""
    collector = Collector(SolutionsCodec(Any, None), rows=4)
    assert (2, 0, 1) == (collector.add(body_of(1, 2)), collector.add(body_of()), collector.add(body_of(3)))
    first = collector.take()
    assert ([5, 6], False) == (list(first), collector.waiting)
    collector.add(body_of(4))
    collector.failed(first)
    second = collector.take()
    assert ([5, 6, 7], [2, 1, 1]) == (list(second), [each.solutions_count for each in second.values()])
    collector.committed(second)
    assert 0 == collector.held_bytes


class Setup(loops.Setup):
    """A loop whose worker collects the leaves."""

    def __init__(self, path) -> None:
        super().__init__(path, Task(Leaves()))
        self.say(Hello("f", "node7", 1, "token"), GetJob(WorkerId(1)))

    def report(self, number: int, *solutions: int, size_bytes: int = 0, last: bool = False):
        body = body_of(*solutions, size_bytes=size_bytes)
        return self.say(Report(LeaseId(1), number, 1, body, 1000, 1, () if last else (ROOT,)))

    def on_disk(self) -> list[int]:
        with StoredSolutions(self.path / "state.sqlite") as stored:
            return numbers(stored.reports())


@pytest.fixture
def setup(tmp_path):
    made = Setup(tmp_path / "run")
    yield made
    made.close()


def test_on_disk_with_what_counts_them(setup):
    """Protects the promise: once a run says how many solutions it has, that many can be read."""
    setup.report(1, 1, 2)
    setup.report(2, 3, last=True)
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert ([1, 2, 3], 3) == (setup.on_disk(), setup.loop.result)


def test_failed_commits(setup, monkeypatch):
    """Protects solutions from a full disk: they come with the next commit that succeeds, each once."""
    monkeypatch.setattr(loop_module, "RETRY_MS", 10)
    commit, tried = setup.directory.commit, []

    def refuse(*arguments, collected, **keywords):
        tried.append(list(collected))
        if len(tried) == 2:
            commit(*arguments, collected=collected, **keywords)  # it does get to the disk, and is told not to
        raise CommitFailed("no room")

    monkeypatch.setattr(setup.directory, "commit", refuse)
    setup.report(1, 1, 2)
    setup.turn_until(lambda: len(tried) > 3, "it was tried again and again")
    setup.report(2, 3, last=True)
    monkeypatch.setattr(setup.directory, "commit", commit)
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert [1, 2, 3] == setup.on_disk()
    assert [1] in tried


def test_no_room(setup, monkeypatch):
    """Protects the coordinator's memory from a disk that is slower than the search: a report for which there is no room is not taken.

    It is taken when it comes again, with all that came with it; a goodbye is heard at once.
    """
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 1000)
    monkeypatch.setattr(loop_module, "RETRY_MS", 10)
    commit = setup.directory.commit

    def refuse(*arguments, **keywords):
        raise CommitFailed("no room")

    monkeypatch.setattr(setup.directory, "commit", refuse)
    assert [Ack(LeaseId(1), 1)] == setup.report(1, 1, size_bytes=1000)
    assert [] == setup.report(2, 2)
    assert [] == setup.report(2, 2)
    monkeypatch.setattr(setup.directory, "commit", commit)
    setup.turn_until(lambda: not setup.loop._collector.held_bytes, "there was room")
    assert [Ack(LeaseId(1), 2)] == setup.report(2, 2)
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 0)
    setup.say(Report(LeaseId(1), 3, 1, body_of(3), 1000, 1), Goodbye(WorkerId(1)))
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert [1, 2, 3] == setup.on_disk()


def test_much_is_committed_soon(setup, monkeypatch):
    """Protects memory: when much has come in, the commit does not wait for its time."""
    monkeypatch.setattr(module, "URGENT_BYTES", 500)
    monkeypatch.setattr(loop_module, "COMMIT_MS", 10**9)
    setup.loop._commit_at_ms += 10**9
    setup.report(1, 1)
    assert setup.loop._in_flight is None
    setup.report(2, 2, size_bytes=600)
    setup.turn_until(lambda: setup.on_disk() == [1, 2], "it was on disk")
