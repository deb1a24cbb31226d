"""The coordinator against a dumb model that knows of every node only where it is, whatever workers do, say twice, or forge.

The workers here keep no protocol: any of them may say anything it ever said again, or what another one said, at any time.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from support.desk import FINGERPRINT, hello
from support.trees import Tree, encoded, random_tree

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Event, PeerGone, Phase, Received, RootsRead, StopAsked, Tick
from parry_mpi.core.invariants import check_coordinator
from parry_mpi.core.messages import (
    Ack,
    Alive,
    Bundle,
    Crashed,
    Die,
    Failed,
    Finished,
    FromWorker,
    GetJob,
    Goodbye,
    Rejoin,
    Report,
    Stop,
    Welcome,
)
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Reported, Voided
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job, shares

PEERS = st.integers(1, 3)
HEARTBEAT_MS = 1_000
NODES = 40
EXPLORED, PENDING, QUARANTINED, UNPULLED = "explored", "pending", "quarantined", "not pulled"

SOMETIMES: Counter[str] = Counter()
"""What has happened in any of the runs."""

EXPECTED = {"Granted", "Reported", "Voided", "Quarantined", "Ack", "Die", "Rejoin", "Finished", "Share", "Bundle"}
"""What has to happen in some of them."""

_decode = msgspec.msgpack.Decoder(int).decode


def below(tree: Tree, node: int) -> list[int]:
    """A node and all below it."""
    nodes = [node]
    for each in nodes:
        nodes += tree.children[each]
    return nodes


def nodes_of(tree: Tree, jobs: tuple[Job, ...]) -> list[int]:
    """All that these jobs still have to explore."""
    return [each for job in jobs for each in below(tree, _decode(job.node))]


class Holding:
    """What the model knows about a lease: whose it is, what it is on, how many reports counted, and whether it is live."""

    def __init__(self, peer: int, worker: int, jobs: tuple[Job, ...]) -> None:
        self.peer, self.worker, self.jobs = peer, worker, jobs
        self.seq, self.live = 0, True


class Model(RuleBasedStateMachine):
    """Where every node is, according to what was said."""

    @initialize(
        seed=st.integers(0, 20),
        roots=st.integers(1, 6),
        quarantine_errors=st.booleans(),
        splittable=st.booleans(),
        max_kills=st.integers(1, 3),
    )
    def begin(self, seed, roots, quarantine_errors, splittable, max_kills):
        self.tree = random_tree(seed, NODES, roots)
        self.settings = Settings(
            FINGERPRINT,
            quarantine_errors=quarantine_errors,
            splittable=splittable,
            max_kills=max_kills,
            patience_ms=3_000,
            grace_ms=5_000,
        )
        self.coordinator = Coordinator(State(), self.settings)
        self.now_ms = 0
        self.where: dict[int, object] = dict.fromkeys(range(NODES), UNPULLED)
        self.holdings: dict[int, Holding] = {}
        self.worker_of: dict[int, int] = {}
        self.workers_ever: set[int] = set()
        self.said: list[FromWorker] = [hello("1", HEARTBEAT_MS)]
        self.tokens = 0
        self.kills = dict.fromkeys(range(NODES), 0)
        self.calm = 0
        self.step(Tick())

    # What the model believes

    def step(self, event: Event, after_ms: int = 0) -> list[tuple[int, object]]:
        """Let the coordinator take in an event; believe what it says about new leases and ended ones, if it can be true."""
        self.now_ms += after_ms
        effects = self.coordinator.step(event, self.now_ms)
        check_coordinator(self.coordinator)
        for record in effects.records:
            SOMETIMES[type(record).__name__] += 1
            if isinstance(record, Voided):
                self.void(record)
        for peer, message in effects.sends:
            SOMETIMES[type(message).__name__] += 1
            if isinstance(message, Bundle):
                self.granted(peer, message)
            elif isinstance(message, Welcome) and message.worker not in self.workers_ever:
                self.workers_ever.add(message.worker)
                self.worker_of[peer] = message.worker
            elif isinstance(message, Finished):
                assert set(self.where.values()) <= {EXPLORED, QUARANTINED}, "Finished is a promise"
        if effects.pull:
            self.pull()
        self.reported = [record for record in effects.records if isinstance(record, Reported)]
        self.folded = [fold.value for fold in effects.folds]
        return effects.sends

    def pull(self) -> None:
        weights = shares(WHOLE, len(self.tree.roots))
        jobs = tuple(Job(encoded(root), weight=weight) for root, weight in zip(self.tree.roots, weights, strict=True))
        self.move(jobs, UNPULLED, PENDING)
        self.step(RootsRead(jobs, len(jobs), exhausted=True, unpulled_weight=0))

    def move(self, jobs: tuple[Job, ...], source: object, target: object) -> None:
        for node in nodes_of(self.tree, jobs):
            assert source == self.where[node], f"node {node} is {self.where[node]}, not {source}"
            self.where[node] = target

    def granted(self, peer: int, bundle: Bundle) -> None:
        if bundle.lease in self.holdings:
            holding = self.holdings[bundle.lease]
            assert holding.live
            assert (peer, bundle.jobs) == (holding.peer, holding.jobs) or holding.seq, "the same bundle is repeated"
            return
        assert all(lease < bundle.lease for lease in self.holdings), "a lease id was used before"
        self.move(bundle.jobs, PENDING, bundle.lease)
        self.holdings[bundle.lease] = Holding(peer, self.worker_of[peer], bundle.jobs)

    def void(self, record: Voided) -> None:
        holding = self.holdings[record.lease]
        assert holding.live, "a lease ends once"
        holding.live = False
        self.move(record.pending, record.lease, PENDING)
        self.move(tuple(entry.job for entry in record.quarantined), record.lease, QUARANTINED)
        SOMETIMES["Quarantined"] += len(record.quarantined)
        assert record.lease not in self.where.values(), "all of a lease goes back"
        for job in (*record.pending, *(entry.job for entry in record.quarantined)):
            for node in nodes_of(self.tree, (job,)):
                assert job.killed >= self.kills[node], "killed never decreases"
                self.kills[node] = job.killed

    def is_own(self, peer: int, lease: int) -> bool:
        """Whether this peer may report on this lease."""
        holding = self.holdings.get(lease)
        return holding is not None and holding.live and holding.worker == self.worker_of.get(peer)

    def expect(self, peer: int, message: FromWorker, after_ms: int = 0) -> None:
        """Say something, and check what it did against what the model believes that it must do."""
        lease = getattr(message, "lease", None)
        own = lease is not None and self.is_own(peer, lease)
        holding = self.holdings.get(lease)
        if self.worker_of.get(peer) is not None and not self.known(peer):
            del self.worker_of[peer]
            own = False
        expected_seq = holding.seq + 1 if own else None
        accepted = isinstance(message, Report) and own and message.seq == expected_seq
        if accepted:
            self.accept(message, holding)
        sends = self.step(Received(peer, message), after_ms)
        answers = [answer for to, answer in sends if to == peer]
        assert ([message.seq] if accepted else []) == [record.seq for record in self.reported]
        assert ([message.value] if accepted and message.nodes else []) == self.folded
        if lease is None:
            return
        if not own:
            assert Die(lease) in answers, "what is not one's own is refused"
        elif isinstance(message, Report):
            repeated = message.seq < expected_seq
            assert (Ack(lease, message.seq) in answers) == (accepted or repeated)

    def known(self, peer: int) -> bool:
        return self.worker_of[peer] in self.coordinator.volatile.workers

    def accept(self, report: Report, holding: Holding) -> None:
        """The one atomic step, the dumb way: what does not remain and was not given away is explored."""
        left = set(nodes_of(self.tree, report.remaining + report.shared))
        explored: list[int] = []
        for node in nodes_of(self.tree, holding.jobs):
            assert report.lease == self.where[node]
            if node not in left:
                self.where[node] = EXPLORED
                explored.append(node)
        assert sorted(explored) == sorted(msgspec.msgpack.decode(report.value) if report.value else []), (
            "the model is dumb, not wrong"
        )
        self.move(report.shared, report.lease, PENDING)
        holding.jobs, holding.seq = report.remaining, report.seq
        holding.live = bool(report.remaining)

    # What workers do

    @rule(peer=PEERS)
    def join(self, peer):
        self.tokens += 1
        self.say(peer, hello(str(self.tokens), HEARTBEAT_MS))

    @rule(peer=PEERS)
    def ask_for_work(self, peer):
        own = [lease for lease, holding in self.holdings.items() if holding.peer == peer]
        self.say(peer, GetJob(self.worker_of.get(peer, 1), max(own, default=0)))

    @rule(peer=PEERS)
    def ask_for_work_again(self, peer):
        self.say(peer, GetJob(self.worker_of.get(peer, 1), 0))

    def say(self, peer: int, message: FromWorker, after_ms: int = 0) -> None:
        self.said.append(message)
        self.expect(peer, message, after_ms)

    def live(self) -> list[int]:
        return [lease for lease, holding in self.holdings.items() if holding.live]

    @rule(peer=PEERS, nodes=st.integers(0, 6), shared=st.integers(0, 3), after_ms=st.integers(0, 500))
    def work(self, peer, nodes, shared, after_ms):
        """Do what a good worker does next."""
        held = [lease for lease in self.live() if self.is_own(peer, lease)]
        if held:
            self.report(held[0], nodes, shared, after_ms)
        elif peer in self.worker_of and self.known(peer):
            self.ask_for_work(peer)
        else:
            self.join(peer)

    @rule(peer=PEERS, more=st.integers(0, 6), shared=st.integers(0, 3))
    def work_hard(self, peer, more, shared):
        """Do so until a report counts, or nobody wants one."""
        for _ in range(3):
            self.work(peer, 1 + more, shared, 0)

    def report(self, lease: int, nodes: int, shared: int, after_ms: int) -> None:
        holding = self.holdings[lease]
        stack, explored = list(holding.jobs), []
        while stack and len(explored) < nodes:
            job = stack.pop()
            node = _decode(job.node)
            explored.append(node)
            children = self.tree.children[node]
            for child, weight in zip(children, shares(job.weight, len(children) or 1), strict=False):
                stack.append(Job(encoded(child), job.depth + 1, job.killed, weight))
        given = min(shared, len(stack) - 1) if len(stack) > 1 else 0
        self.say(
            holding.peer,
            Report(
                lease,
                holding.seq + 1,
                len(explored),
                msgspec.msgpack.encode(explored) if explored else b"",
                len(explored) * 1000,
                0 if stack else 1,
                tuple(stack[given:]),
                tuple(stack[:given]),
            ),
            after_ms,
        )

    @precondition(lambda self: self.calm >= 5 and self.live())
    @rule(data=st.data(), exact=st.booleans())
    def raise_an_error(self, data, exact):
        self.calm = 0
        lease = data.draw(st.sampled_from(self.live()))
        holding = self.holdings[lease]
        self.say(holding.peer, Failed(lease, holding.seq + 1, "error", exact=exact))
        assert not holding.live

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def crash(self, data):
        lease = data.draw(st.sampled_from(self.live()))
        own = self.is_own(self.holdings[lease].peer, lease)
        self.say(self.holdings[lease].peer, Crashed(lease, "signal"))
        assert own != self.holdings[lease].live

    @rule(peer=PEERS, data=st.data())
    def anything_ever_said(self, peer, data):
        self.expect(peer, data.draw(st.sampled_from(self.said)))

    @precondition(lambda self: self.calm >= 5)
    @rule(peer=PEERS)
    def leave(self, peer):
        self.calm = 0
        self.say(peer, Goodbye(self.worker_of.get(peer, 1)))

    @precondition(lambda self: self.calm >= 5)
    @rule(peer=PEERS)
    def vanish(self, peer):
        self.calm = 0
        self.step(PeerGone(peer, "gone"))
        assert not any(holding.live and holding.peer == peer for holding in self.holdings.values())

    # What else happens

    @rule(after_ms=st.sampled_from([1, 10, 100, 1_000, 5_000]))
    def time_passes(self, after_ms):
        for peer, worker in self.worker_of.items():
            if self.known(peer):
                self.expect(peer, Alive(worker), after_ms // len(self.worker_of))
        self.step(Tick(), after_ms)

    @precondition(lambda self: self.calm >= 5)
    @rule()
    def silence(self):
        self.calm = 0
        self.step(Tick(), self.settings.heartbeat_timeout_ms)
        assert not self.coordinator.volatile.workers
        assert [] == self.live()

    @rule()
    def commit(self):
        before = self.coordinator.phase
        self.step(Committed())
        ended = before in {Phase.SETTLING, Phase.ENDED}
        assert ended == (self.coordinator.phase is Phase.ENDED)

    @precondition(lambda self: self.calm >= 20)
    @rule(at_once=st.booleans())
    def stop(self, at_once):
        self.calm = 0
        self.step(StopAsked("signal", at_once=at_once))

    @precondition(lambda self: self.calm >= 10)
    @rule()
    def start_again(self):
        """A new coordinator takes over what the old one left; workers do not know yet."""
        self.calm = 0
        self.coordinator = Coordinator(State.from_snapshot(self.coordinator.state.to_snapshot()), self.settings)
        for lease in self.live():
            self.move(self.holdings[lease].jobs, lease, PENDING)
            self.holdings[lease].live = False
        effects = self.coordinator.restart()
        assert effects.must_commit
        self.worker_of.clear()
        assert all(lease < self.coordinator.state.counters.next_lease for lease in self.holdings)
        assert all(worker < self.coordinator.state.counters.next_worker for worker in self.workers_ever)
        assert (3, Rejoin()) in self.step(Received(3, Alive(1)))

    def teardown(self):
        """Protects progress: from wherever it got to, a run that is left in peace finishes."""
        if not hasattr(self, "coordinator"):
            return
        if self.coordinator.phase is not Phase.EXPLORING:
            self.start_again()
        for _ in range(2 * NODES):
            for peer in (1, 2, 3):
                self.work(peer, NODES, 1, 10)
        assert Phase.SETTLING is self.coordinator.phase
        sends = self.step(Committed())
        assert {peer: Finished() for peer in self.worker_of if self.known(peer)} == dict(sends)

    @invariant()
    def time_since_trouble(self):
        self.calm += 1  # so that most of a run is work, not trouble

    @invariant()
    def every_node_is_where_the_model_has_it(self):
        state = self.coordinator.state
        here = [(PENDING, (job,)) for _, job in state.pending.items()]
        here += [(lease_id, lease.jobs) for lease_id, lease in state.leases.items()]
        here += [(QUARANTINED, (entry.job,)) for entry in state.quarantined.values()]
        actual = {node: place for place, jobs in here for node in nodes_of(self.tree, jobs)}
        expected = {node: place for node, place in self.where.items() if place not in {EXPLORED, UNPULLED}}
        assert expected == actual

    @invariant()
    def stopped_means_stop(self):
        if self.coordinator.phase is Phase.ENDED:
            sends = self.coordinator.step(Received(9, hello("late")), self.now_ms).sends
            done = not self.coordinator.state.pending
            assert [(9, Finished() if done else Stop())] == sends


def test_model():
    """Protects the count: whatever is said, lost, repeated or forged, every node is explored, or in exactly one place."""
    SOMETIMES.clear()
    run_state_machine_as_test(Model, settings=settings(max_examples=100, stateful_step_count=50, deadline=None))
    never = EXPECTED - set(SOMETIMES)
    assert set() == never, "the model never got there: the rules have become too tame"
