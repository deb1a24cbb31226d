"""The coordinator's loop: what is counted is committed with it, nothing is promised before it is on disk, and nothing hangs."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest
from support import loops
from support.gates import events
from support.toys import ROOT, binary

from parry_mpi.core.events import Phase
from parry_mpi.core.ids import LeaseId, Peer, WorkerId
from parry_mpi.core.messages import (
    Bundle,
    Crashed,
    Finished,
    FromCoordinator,
    FromWorker,
    GetJob,
    Goodbye,
    Hello,
    Refused,
    Report,
    Stop,
    Unable,
)
from parry_mpi.errors import CommitFailed, ProblemError, StoreCorrupt
from parry_mpi.problem import Enumeration
from parry_mpi.runtime import coordinator_loop as module
from parry_mpi.runtime.coordinator_loop import failure_of
from parry_mpi.runtime.deadline import Deadline
from parry_mpi.store.readers import read_result
from parry_mpi.task import Task
from parry_mpi.transport import inprocess
from parry_mpi.transport.base import COORDINATOR, OUTSIDE
from parry_mpi.wire import codec

ME = WorkerId(1)


class Setup(loops.Setup):
    """A loop whose worker explores a tree."""

    def join(self) -> Bundle:
        """Join and be given the first bundle."""
        bundle = self.say(Hello("f", "node7", 1, "token"), GetJob(ME))[-1]
        assert isinstance(bundle, Bundle)
        return bundle

    def report(self, nodes: int, **fields) -> list[FromCoordinator]:
        return self.say(Report(LeaseId(1), 1, nodes, msgspec.msgpack.encode(nodes), 1000, 1, **fields))


@pytest.fixture
def make(tmp_path):
    made = []

    def _make(task: Task | None = None, **settings) -> Setup:
        made.append(Setup(tmp_path / "run", task or binary(), **settings))
        return made[-1]

    yield _make
    for each in made:
        each.close()


def test_finished_only_when_on_disk(make, tmp_path):
    """Protects the answer: who is told Finished can read it from the folder."""
    setup = make()
    setup.join()
    setup.report(127)
    assert setup.loop.coordinator.phase is Phase.SETTLING
    words: list[FromCoordinator] = []
    setup.turn_until(lambda: words.extend(setup.heard()) or words, "something was said")
    assert [Finished()] == words
    stored = read_result(tmp_path / "run")
    assert (127, True, 127) == (msgspec.msgpack.decode(stored.result), stored.complete, stored.counters.nodes)
    assert setup.loop.ended


def test_committed_now_and_then(make, tmp_path):
    """Protects work on the way: what was reported is on disk soon, with what remains."""
    setup = make()
    setup.join()
    setup.report(3, remaining=(ROOT,))
    setup.turn_until(lambda: read_result(tmp_path / "run").counters.nodes == 3, "the report was on disk")
    assert 3 == msgspec.msgpack.decode(read_result(tmp_path / "run").result)


def test_failed_commits(make, tmp_path, monkeypatch):
    """Protects what a full disk refused: it comes with the next commit that succeeds, and user and log are told each time."""
    monkeypatch.setattr(module, "RETRY_MS", 10)
    monkeypatch.setattr(module, "SLOW_COMMIT_MS", 0)
    setup = make()
    setup.join()
    commit = setup.directory.commit

    def refuse(*arguments, **keywords):
        raise CommitFailed("no room")

    monkeypatch.setattr(setup.directory, "commit", refuse)
    setup.report(3, remaining=(ROOT,))
    setup.turn_until(lambda: len(setup.warnings) > 2, "the user was warned again and again")
    assert "WARNING: no room; exploring goes on" in setup.warnings[0]
    assert 0 == read_result(tmp_path / "run").counters.nodes
    setup.say(Report(LeaseId(1), 2, 124, msgspec.msgpack.encode(124), 1000, 1))
    monkeypatch.setattr(setup.directory, "commit", commit)
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert 127 == msgspec.msgpack.decode(read_result(tmp_path / "run").result)
    assert {"why": "no room"}.items() <= events(tmp_path / "run", "commit failed")[-1].items()
    assert events(tmp_path / "run", "slow commit")


@pytest.mark.parametrize("error", [StoreCorrupt("damaged"), ZeroDivisionError("a bug")])
def test_commits_that_can_never_succeed(make, monkeypatch, error):
    """Protects from exploring for nothing: what no waiting cures ends the run."""
    setup = make()
    setup.join()

    def refuse(*arguments, **keywords):
        raise error

    monkeypatch.setattr(setup.directory, "commit", refuse)
    setup.report(3, remaining=(ROOT,))
    with pytest.raises(Exception, match=str(error)):
        setup.turn_until(lambda: False, "it never ends")


def test_stop(make, tmp_path):
    """Protects a stop: what remains is asked for, committed, and only then is the end told."""
    setup = make()
    setup.join()
    os.kill(os.getpid(), signal.SIGUSR1)
    setup.loop.turn()
    assert [Stop()] == setup.heard()
    setup.report(3, remaining=(ROOT,))
    setup.say(Goodbye(ME))
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert {Peer(1)} == setup.loop.reception.departed
    stored = read_result(tmp_path / "run")
    assert (3, False, "stopped") == (stored.counters.nodes, stored.finished, stored.phase)


def test_what_stopping_took(make):
    """Protects the next walltime: how long commits and stopping took is published, for the next life to plan with."""
    setup = make()
    setup.join()
    assert "stopping_s" not in setup.loop.status()
    os.kill(os.getpid(), signal.SIGUSR1)
    setup.loop.turn()
    setup.report(3, remaining=(ROOT,))
    setup.say(Goodbye(ME))
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    setup.loop.stopped()
    status = setup.loop.status()
    assert status["stopping_s"] >= 0
    assert status["commit_s"] >= 0
    assert status["stopping_s"] == setup.loop.status()["stopping_s"]


def test_deadline(make):
    """Protects a plan: the run stops by itself when the time has come, and says why."""
    setup = make()
    setup.loop._deadline = Deadline(ends_s=0.0)
    setup.loop.turn()
    assert ["stopping (the batch job's time limit): collecting what remains"] == setup.warnings
    assert setup.loop.coordinator.phase is not Phase.EXPLORING


def test_impatience(make):
    """Protects a second Ctrl-C: leases are not waited for any more."""
    setup = make(grace_ms=10**9)
    setup.join()
    os.kill(os.getpid(), signal.SIGINT)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is Phase.STOPPING
    assert not setup.loop.impatient
    os.kill(os.getpid(), signal.SIGINT)
    setup.loop.turn()
    assert setup.loop.impatient
    setup.turn_until(lambda: setup.loop.ended, "it ended")


def test_everybody_left(make):
    """Protects from waiting for nobody: when all have left and something remains, the run stops."""
    setup = make()
    assert isinstance(setup.say(Hello("another", "node7", 1, "token"))[0], Refused)
    assert "a worker on node7 was turned away: another problem or other parameters" in setup.warnings
    setup.say(Goodbye(WorkerId(0)))
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert "stopping: no worker is left" in setup.warnings


def test_everybody_lost(make, monkeypatch):
    """Protects from waiting for the dead: first they are given up, and after as long again the run."""
    setup = make(heartbeat_timeout_ms=3_000)
    now_ms = module.clock.now_ms()
    setup.say(Hello("f", "node7", 1, "token", heartbeat_ms=1000), GetJob(ME))
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + 3_500)
    setup.loop.turn()
    assert ["worker 1 on node7 is lost: no sign of life for 3 s"] == setup.warnings
    assert {Peer(1)} == setup.loop.reception.lost
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + 6_000)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is Phase.EXPLORING
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + 7_000)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is not Phase.EXPLORING


def test_lost_and_back(make, monkeypatch):
    """Protects a rank that was frozen for a while: it counts again as soon as it is heard of."""
    setup = make(heartbeat_timeout_ms=3_000)
    now_ms = module.clock.now_ms()
    setup.say(Hello("f", "node7", 1, "token", heartbeat_ms=1000))
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + 3_500)
    setup.loop.turn()
    assert {Peer(1)} == setup.loop.reception.lost
    setup.say(Hello("f", "node7", 1, "token", heartbeat_ms=1000), GetJob(WorkerId(2)))
    assert set() == setup.loop.reception.lost


def test_first_worker_takes_its_time(make, monkeypatch):
    """Protects large worlds on slow file systems: nobody is missed before the first has come."""
    setup = make(heartbeat_timeout_ms=1_000)
    now_ms = module.clock.now_ms()
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + 60_000)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is Phase.EXPLORING
    monkeypatch.setattr(module.clock, "now_ms", lambda: now_ms + module.FIRST_WORKER_MS + 1000)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is not Phase.EXPLORING


def test_noise(make):
    """Protects the run from a frame that makes no sense: it is logged, and that is all."""
    setup = make()
    setup.end.send(COORDINATOR, b"\xc1 not ours")
    setup.loop.turn()
    assert setup.heard() == []
    assert isinstance(setup.join(), Bundle)


class Greedy(Enumeration[int, int]):
    """Does not like large values."""

    def roots(self):
        yield from range(3)

    def add_result(self, result, value, host):
        if value > 100:
            raise ValueError("too much")
        return result + value


def test_add_result_raises(make, tmp_path):
    """Protects the state from half a report: what the user's code refused to add is not committed."""
    setup = make(Task(Greedy()))
    setup.join()
    with pytest.raises(ProblemError, match="too much"):
        setup.report(127)
    assert 0 == read_result(tmp_path / "run").counters.nodes


class Broken(Greedy):
    def roots(self):
        yield 1
        raise ValueError("no second root")


def test_roots_raise(make):
    """Protects whoever's roots() raises: the run stops with it, in good order."""
    setup = make(Task(Broken()))
    setup.turn_until(lambda: setup.loop.ended, "it ended")
    assert "no second root" in setup.loop.coordinator.volatile.failure.error


def test_failures():
    """Protects the reader of an error: where it happened is told."""
    told = failure_of(ProblemError("no", details="Traceback", node="5", host="node7"), "here")
    assert ("no", "Traceback", "5") == (told.error, told.details, told.node)
    assert "here" == failure_of(ProblemError("no"), "here").host


class Page:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[dict] = []
        self.progressed = 0

    def show(self, status):
        self.shown.append(status)

    def progress(self, now_ms):
        self.progressed += 1


def test_page(make, tmp_path, monkeypatch):
    """Protects whoever watches: the page is handed all that is known, the folder's file no more workers than it can bear."""
    monkeypatch.setattr(module, "PUBLISH_MS", 0)
    monkeypatch.setattr(module, "PUBLISHED_WORKERS_MAX", 0)
    page = Page()
    setup = make(page=page)
    setup.join()
    setup.report(3, remaining=(ROOT,))
    setup.turn_until(lambda: page.shown[-1]["result_text"] == "3", "the result was shown")
    told = page.shown[-1]
    assert (1, "", [[0, 0, 1]]) == (told["version"], told["result_html"], [list(row) for row in told["by_depth"]])
    assert f"rank {inprocess.WORKER}" == told["workers_list"][0]["via"]
    assert page.progressed >= len(page.shown)
    setup.turn_until((tmp_path / "run" / "status.json").exists, "the status was published")
    assert msgspec.json.decode((tmp_path / "run" / "status.json").read_bytes())["status"]["workers_list"] == []


def test_status(make):
    """Protects `parry-mpi status`: what is published is plain data."""
    setup = make()
    setup.join()
    status = setup.loop.status()
    assert (1, 1) == (status["workers"], status["leased"])
    assert msgspec.json.encode(status)


class OneGuest:
    """A bridge with a gate, of which one guest has come in; what it says is in our hands."""

    size = 1
    unsent_bytes = 0

    def __init__(self) -> None:
        self.says: list[FromWorker] = []
        self.hears: list[FromCoordinator] = []
        self.noted: list[tuple[str, dict[str, str | int]]] = []

    def receive(self):
        says, self.says = self.says, []
        return [(Peer(OUTSIDE), codec.encode([message])) for message in says]

    def send(self, peer, frame):
        self.hears += codec.decode_from_coordinator(frame)

    def progress(self):
        return False

    def failed_peers(self):
        return set()

    def notes(self):
        noted, self.noted = self.noted, []
        return noted

    def describe(self, peer):
        return "alice@lab"


def test_guest_that_cannot_load_the_problem(make):
    """Protects a run from its guests: one that cannot explore is let go, and the run goes on."""
    guest = OneGuest()
    setup = make(hub=guest, gate=guest)
    guest.says = [Unable("laptop", "no numba")]
    setup.loop.turn()
    assert [Stop()] == guest.hears
    assert setup.loop.coordinator.phase is Phase.EXPLORING


def test_waits_for_guests(make, monkeypatch):
    """Protects a coordinator without ranks: it waits for workers as long as it takes."""
    guest = OneGuest()
    setup = make(hub=guest, gate=guest)
    long_after_ms = module.clock.now_ms() + 10 * module.FIRST_WORKER_MS
    monkeypatch.setattr(module.clock, "now_ms", lambda: long_after_ms)
    setup.loop.turn()
    assert setup.loop.coordinator.phase is Phase.EXPLORING
    assert setup.warnings == []


def test_what_happens_at_the_gate(make, tmp_path):
    """Protects whoever has to know who knocked: it is in the log, and told if nobody can come in any more."""
    guest = OneGuest()
    setup = make(hub=guest, gate=guest)
    guest.noted = [("outside refused", {"address": "127.0.0.1", "why": "unknown key"}), ("bridge lost", {"why": "it ended"})]
    setup.loop.turn()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert '"address":"127.0.0.1"' in log.replace(": ", ":")
    assert ["WARNING: it ended"] == setup.warnings


def test_guests_are_named(make):
    """Protects the reader of a status: what a guest explored stands under its name."""
    guest = OneGuest()
    setup = make(hub=guest, gate=guest)
    guest.says = [Hello("f", "laptop", 1, "token"), GetJob(ME)]
    setup.loop.turn()
    guest.says = [Report(LeaseId(1), 1, 127, msgspec.msgpack.encode(127), 1000, 1)]
    setup.loop.turn()
    assert {Peer(OUTSIDE)} == setup.loop.guests()
    (told,) = setup.loop.status()["contributions"]
    assert ("alice@lab", "laptop", 127) == (told["via"], told["host"], told["nodes"])


def test_calm(make):
    """Protects both latency and cores: a report of work that goes on, and its commit, are no reason to look for more at once."""
    setup = make()
    setup.join()
    setup.end.send(COORDINATOR, codec.encode([Report(LeaseId(1), 1, 3, msgspec.msgpack.encode(3), 1000, 0, remaining=(ROOT,))]))
    assert not setup.loop.turn()
    setup.end.send(COORDINATOR, codec.encode([Report(LeaseId(1), 2, 3, msgspec.msgpack.encode(3), 1000, 0)]))
    assert setup.loop.turn()


def test_careful_is_awaited(make):
    """Protects the speed at which a bad node is found: who reports under a careful lease waits for the answer."""
    setup = make()
    setup.join()
    setup.say(Crashed(LeaseId(1), "killed by signal 9"), GetJob(ME, LeaseId(1)))
    setup.end.send(COORDINATOR, codec.encode([Report(LeaseId(2), 1, 0, b"", 0, 0, remaining=(ROOT,))]))
    assert setup.loop.turn()
