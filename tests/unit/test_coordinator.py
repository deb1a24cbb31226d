"""Who may join, what a report must be to count, and what becomes of jobs that are not finished."""

from __future__ import annotations

import pytest
from support.desk import Desk, hello, parts, report

from parry_mpi.core.coordinator import PULL_COUNT, STORY_MAX
from parry_mpi.core.events import Committed, Failure, Fold, PeerGone, Phase, Received, RootsRead, StopAsked, Tick
from parry_mpi.core.messages import (
    Ack,
    Alive,
    Bundle,
    Crashed,
    Die,
    Failed,
    GetJob,
    Goodbye,
    Refused,
    Rejoin,
    Stop,
    Unable,
    Welcome,
)
from parry_mpi.core.records import Granted, Joined, Quarantined, Reported, Voided
from parry_mpi.job import WHOLE, Job

ROOT = Job(b"0", weight=WHOLE)
HALVES = (Job(b"l", 1, weight=WHOLE // 2), Job(b"r", 1, weight=WHOLE // 2))


class TestJoining:
    def test_welcome(self):
        """Protects worker ids: everybody who joins has one of its own."""
        desk = Desk()
        assert [Welcome(1)] == desk.says(7, hello("a"))
        assert [Joined(1)] == desk.effects.records
        assert [Welcome(2)] == desk.says(8, hello("b"))
        assert 2 == desk.coordinator.volatile.workers_seen

    def test_hello_twice(self):
        """Protects against ghosts: a Hello that comes twice joins once."""
        desk = Desk()
        desk.says(7, hello("a"))
        assert [Welcome(1)] == desk.says(7, hello("a"))
        assert [] == desk.effects.records

    def test_another_process_in_the_same_place(self):
        """Protects jobs: a new process at a known place means that the old one is gone, with what it held."""
        desk = Desk()
        desk.works(7)
        assert [Welcome(2)] == desk.says(7, hello("other"))
        assert [ROOT.killed_once_more()] == desk.pending
        assert ["killed", "lost", "joined"] == desk.notes()

    def test_another_problem(self):
        """Protects the answer: who explores something else is turned away, and told what differs."""
        desk = Desk()
        (refused,) = desk.says(7, hello("a", fingerprint="ffff"))
        assert isinstance(refused, Refused)
        assert "0123" in refused.reason
        assert "ffff" in refused.reason
        assert [] == desk.effects.records
        assert [Rejoin()] == desk.says(7, GetJob(1))

    def test_late(self):
        """Protects the end of a run: who comes when it stops or is over is sent home, with the truth."""
        desk = Desk()
        desk.works(1)
        desk.step(StopAsked("SIGTERM"))
        assert [Stop()] == desk.says(2, hello("late"))
        desk.says(1, Goodbye(1))
        desk.step(Committed())
        assert [Stop()] == desk.says(3, hello("later"))
        assert [] == desk.effects.records

    @pytest.mark.parametrize("message", [GetJob(1), Alive(1), GetJob(9)])
    def test_strangers(self, message):
        """Protects a restart: who believes to be known is asked to say hello again; its id is not anybody else's."""
        desk = Desk()
        assert [Rejoin()] == desk.says(7, message)
        desk.says(8, hello("somebody"))
        assert [Rejoin()] == desk.says(7, message)
        assert [] == desk.effects.records

    def test_strangers_may_leave(self):
        """Protects against endless politeness: a Goodbye is not answered, and changes nothing for anybody else."""
        desk = Desk()
        desk.works(1)
        assert [] == desk.says(7, Goodbye(1))
        assert 1 == len(desk.state.leases)

    def test_unable(self):
        """Protects the user's time: a worker that cannot begin stops the run, with its reason."""
        desk = Desk()
        assert [Stop()] == desk.says(7, Unable("h", "ImportError: no module", "Traceback"))
        failure = desk.coordinator.volatile.failure
        assert ("ImportError: no module", "Traceback", "h") == (failure.error, failure.details, failure.host)
        assert Phase.SETTLING is desk.coordinator.phase


class TestGranting:
    def test_granted(self):
        """Protects the lease: it is recorded before it is sent, with the same jobs."""
        desk = Desk()
        assert Bundle(1, (ROOT,)) == desk.works(7)
        assert [Granted(1, 1, (1,), (ROOT,))] == desk.effects.records

    def test_shallowest_first(self):
        """Protects balance: big jobs go first."""
        desk = Desk([Job(b"deep", 3, weight=1), Job(b"high", 1, weight=1)])
        assert (b"high", b"deep") == (desk.works(1).jobs[0].node, desk.works(2).jobs[0].node)

    def test_hungry_once(self):
        """Protects fairness: asking twice is waiting once."""
        desk = Desk([], exhausted=False)
        worker = desk.joins(1)
        desk.says(1, GetJob(worker), GetJob(worker))
        assert [worker] == list(desk.coordinator.volatile.hungry)

    def test_lost_bundle_is_sent_again(self):
        """Protects against loss on the way: a worker that never heard of its lease is sent it again, and not another."""
        desk = Desk(parts(2))
        bundle = desk.works(1)
        assert [bundle] == desk.says(1, GetJob(1, seen=0))
        assert [] == desk.effects.records

    def test_lease_that_was_let_go(self):
        """Protects jobs: a worker that knew its lease and asks for another does not hold it any more."""
        desk = Desk(parts(2))
        first = desk.works(1)
        (second,) = desk.says(1, GetJob(1, seen=first.lease))
        assert (first.lease + 1, True) == (second.lease, second.careful)
        assert first.jobs[0].killed_once_more() == second.jobs[0]

    def test_others_are_hungry(self):
        """Protects the start: who gets work while others wait is told to share from the beginning."""
        desk = Desk([], exhausted=False)
        for peer in (1, 2):
            desk.says(peer, GetJob(desk.joins(peer)))
        desk.step(RootsRead((ROOT,), 1, exhausted=True, unpulled_weight=0))
        assert [Bundle(1, (ROOT,), share=True)] == desk.heard(1)
        assert [] == desk.heard(2)

    def test_not_while_stopping(self):
        """Protects a stop: no new work is begun."""
        desk = Desk(parts(2))
        desk.works(1)
        desk.joins(2)
        desk.step(StopAsked("SIGTERM"))
        assert [] == desk.says(2, GetJob(2))


class TestPulling:
    def test_pulled_when_low(self):
        """Protects memory: roots are pulled as they are needed, one request at a time."""
        desk = Desk([], exhausted=False)
        desk.step(Tick())
        assert PULL_COUNT == desk.effects.pull
        desk.step(Tick())
        assert 0 == desk.effects.pull
        jobs = tuple(Job(b"%d" % i) for i in range(PULL_COUNT))
        desk.step(RootsRead(jobs, PULL_COUNT, exhausted=False, unpulled_weight=5))
        assert 0 == desk.effects.pull
        assert (PULL_COUNT, 5) == (desk.state.counters.roots_pulled, desk.state.counters.unpulled_weight)

    def test_exhausted(self):
        """Protects the end: when there are no more roots, none are asked for, and an empty tree is done."""
        desk = Desk([], exhausted=False)
        desk.step(RootsRead((), 0, exhausted=True, unpulled_weight=0))
        assert 0 == desk.effects.pull
        assert Phase.SETTLING is desk.coordinator.phase

    def test_nobody_shares_while_roots_are_on_their_way(self):
        """Protects speed: new roots are cheaper than parts of somebody else's work."""
        desk = Desk(parts(1), exhausted=False)
        desk.works(1)
        desk.says(2, GetJob(desk.joins(2)))
        desk.step(Tick(), after_ms=1000)
        assert [] == desk.heard(1)
        desk.step(RootsRead((), 1, exhausted=True, unpulled_weight=0))
        assert ["Share"] == desk.kinds(1)


class TestReports:
    def test_accepted(self):
        """Protects the one atomic step: value, what remains and what is shared are taken together, and acknowledged."""
        desk = Desk()
        desk.works(1)
        assert [Ack(1, 1)] == desk.says(1, report(1, 1, HALVES[:1], HALVES[1:]))
        assert [Fold(b"v", "host-token-1")] == desk.effects.folds
        assert [Reported(1, 1, 3, 5, 1, HALVES[:1], HALVES[1:])] == desk.effects.records
        assert (HALVES[:1], [HALVES[1]]) == (desk.state.leases[1].jobs, desk.pending)
        worker = desk.coordinator.volatile.workers[1]
        assert (3, 5, 1) == (worker.nodes, worker.explored_us, worker.solved)

    def test_lease_ends_with_its_last_job(self):
        """Protects the end: with nothing remaining the lease is over, and its number is refused from then on."""
        desk = Desk(parts(2))
        desk.works(1)
        assert [Ack(1, 1)] == desk.says(1, report(1))
        assert [Die(1)] == desk.says(1, report(1))
        assert [] == desk.effects.records
        assert [2] == [bundle.lease for bundle in desk.says(1, GetJob(1, seen=1))]

    def test_empty_report(self):
        """Protects the result: where nothing was explored there is nothing to add."""
        desk = Desk()
        desk.works(1)
        desk.says(1, report(1, 1, HALVES, nodes=0, value=b"", solved=0))
        assert [] == desk.effects.folds
        assert not desk.coordinator.volatile.watches[1].progressed

    def test_repeated(self):
        """Protects the count: what is said twice is answered twice and counts once, even after later reports."""
        desk = Desk()
        desk.works(1)
        first, second = report(1, 1, HALVES), report(1, 2, HALVES[:1])
        desk.says(1, first, second)
        for again in (first, second, first):
            assert [Ack(1, again.seq)] == desk.says(1, again)
            assert ([], []) == (desk.effects.records, desk.effects.folds)
        assert (2, 6) == (desk.state.leases[1].seq, desk.state.counters.nodes)

    @pytest.mark.parametrize("peer", [2, 3])
    def test_not_the_holder(self, peer):
        """Protects leases: nobody else may report on them, member or stranger, and the holder notices nothing."""
        desk = Desk()
        desk.works(1)
        desk.joins(2)
        for message in (report(1, 1, HALVES), Failed(1, 1, "error"), Crashed(1, "reason")):
            assert [Die(1)] == desk.says(peer, message)
            assert ([], []) == (desk.effects.records, desk.effects.folds)
        assert [Ack(1, 1)] == desk.says(1, report(1, 1, HALVES))

    @pytest.mark.parametrize("lease", [0, 2, 99])
    def test_forged(self, lease):
        """Protects the count: a lease that was never granted is not reported on."""
        desk = Desk()
        desk.works(1)
        assert [Die(lease)] == desk.says(1, report(lease))
        assert ([], {1}) == (desk.effects.records, set(desk.state.leases))

    @pytest.mark.parametrize(
        ("message", "why"),
        [
            (report(1, 3, HALVES), "not the next report"),
            (Failed(1, 3, "error"), "not the next report"),
            (report(1, 2, [Job(b"x", killed=1, weight=1)]), "it changes how often a job was killed"),
            (report(1, 2, [], [Job(b"x", killed=9, weight=1)]), "it changes how often a job was killed"),
            (report(1, 2, HALVES, [Job(b"x", weight=1)]), "its jobs weigh more than the lease"),
            (report(1, 2, [Job(b"x", weight=-1)]), "its jobs weigh more than the lease"),
            (report(1, 2, nodes=-1), "its numbers are impossible"),
            (report(1, 2, explored_us=-1), "its numbers are impossible"),
            (report(1, 2, solved=-1), "its numbers are impossible"),
            (report(1, 2, value=b""), "its numbers are impossible"),
            (report(1, 2, nodes=0), "its numbers are impossible"),
        ],
    )
    def test_what_cannot_be_true(self, message, why):
        """Protects the count: a report that cannot be true ends the lease; what was reported before it stays."""
        desk = Desk()
        desk.works(1)
        desk.says(1, report(1, 1, HALVES))
        assert [Die(1)] == desk.says(1, message)
        (voided,) = desk.effects.records
        assert Voided(1, tuple(job.killed_once_more() for job in HALVES)) == voided
        assert [] == desk.effects.folds
        assert why == desk.effects.notes[0].facts["why"]


class TestFailures:
    def test_stops_the_run(self):
        """Protects the user's time: an exception stops the run at once, and the node goes back as it was."""
        desk = Desk(parts(2))
        desk.works(1)
        desk.works(2)
        assert [Ack(1, 1), Stop()] == desk.says(1, Failed(1, 1, "ValueError: x", "Traceback", "(3,)"))
        assert Failure("ValueError: x", "Traceback", "(3,)", "host-token-1") == desk.coordinator.volatile.failure
        assert [Voided(1, parts(2)[:1], killing=False)] == desk.effects.records
        assert [Stop()] == desk.heard(2)

    def test_the_first_is_told(self):
        """Protects the reader: of many failures the first is told."""
        desk = Desk(parts(2))
        desk.works(1)
        desk.works(2)
        desk.says(1, Failed(1, 1, "first"))
        desk.says(2, Failed(2, 1, "second"))
        assert "first" == desk.coordinator.volatile.failure.error

    def test_while_stopping(self):
        """Protects the reader: a failure while the run stops for another reason is told, too."""
        desk = Desk()
        desk.works(1)
        desk.step(StopAsked("SIGTERM"))
        desk.says(1, Failed(1, 1, "late"))
        assert ("late", "SIGTERM") == (desk.coordinator.volatile.failure.error, desk.coordinator.volatile.stop_reason)

    def bundle_of_three(self, **settings: object) -> Desk:
        """A desk where worker 1 holds a lease on three jobs, as its first report left them."""
        desk = Desk(**settings)
        desk.works(1)
        desk.says(1, report(1, 1, parts(3)))
        return desk

    def test_exact_is_quarantined(self):
        """Protects the rest of the run: where one node is to blame, it alone is put aside, with its reason."""
        desk = self.bundle_of_three(quarantine_errors=True)
        assert [Ack(1, 2)] == desk.says(1, Failed(1, 2, "ValueError: x", "Traceback", exact=True))[:1]
        entry = Quarantined(parts(3)[2], "ValueError: x", "Traceback", "host-token-1")
        assert [Voided(1, parts(3)[:2], (entry,), killing=False)] == desk.effects.records
        assert Phase.EXPLORING is desk.coordinator.phase

    def test_inexact_is_looked_at_closer(self):
        """Protects innocent nodes: where a frontier is to blame it comes back carefully, until the culprit shows."""
        desk = self.bundle_of_three(quarantine_errors=True)
        desk.says(1, Failed(1, 2, "ValueError: x"))
        suspect = parts(3)[2].killed_once_more()
        assert [Voided(1, (*parts(3)[:2], suspect))] == desk.effects.records
        (bundle,) = desk.says(1, GetJob(1, seen=1))
        assert Bundle(2, (suspect,), careful=True) == bundle
        desk.says(1, Failed(2, 1, "ValueError: x"))
        assert [suspect] == [entry.job for entry in desk.state.quarantined.values()]

    def test_after_progress_it_is_not_alone(self):
        """Protects innocent nodes: after a careful lease explored something, an inexact failure blames nobody for good."""
        desk = self.bundle_of_three(quarantine_errors=True)
        desk.says(1, Failed(1, 2, "x"), GetJob(1, seen=1))
        rest = Job(b"rest", 1, 1, 5)
        desk.says(1, report(2, 1, [rest]), Failed(2, 2, "x"))
        assert {} == desk.state.quarantined
        assert rest.killed_once_more() in desk.pending

    def test_failed_twice(self):
        """Protects the count: a failure that is repeated does nothing more."""
        desk = self.bundle_of_three(quarantine_errors=True)
        failed = Failed(1, 2, "x", exact=True)
        desk.says(1, failed)
        assert [Die(1)] == desk.says(1, failed)
        assert 1 == len(desk.state.quarantined)


class TestKills:
    def test_crashed(self):
        """Protects jobs: what an explorer that died had not reported goes back, killed once more."""
        desk = Desk(parts(2))
        desk.works(1)
        desk.says(1, Crashed(1, "killed by signal 11"))
        assert [Voided(1, (parts(2)[0].killed_once_more(),))] == desk.effects.records
        assert "killed by signal 11" == desk.effects.notes[0].facts["why"]
        assert 1 == desk.coordinator.volatile.workers[1].killed

    def test_all_of_an_ordinary_lease_are_suspects(self):
        """Protects against guessing: which of its jobs killed a lease nobody knows; they come back together, carefully."""
        desk = Desk()
        desk.works(1)
        desk.says(1, report(1, 1, parts(3), solved=10, explored_us=1000), Crashed(1, "x"))
        assert [1, 1, 1] == [job.killed for job in desk.pending]
        (bundle,) = desk.says(1, GetJob(1, seen=1))
        assert bundle.careful
        assert {1} == {job.killed for job in bundle.jobs}

    def test_only_the_next_of_a_careful_lease_is_a_suspect(self):
        """Protects neighbours: of a careful lease the job explored next is to blame, and goes alone from then on."""
        desk = Desk(parts(3, killed=1))
        desk.coordinator.volatile.policy.note(100, 1)
        bundle = desk.works(1)
        desk.says(1, report(1, 1, bundle.jobs, nodes=0, value=b""))
        desk.says(1, Crashed(bundle.lease, "x"))
        assert [1, 1, 2] == sorted(job.killed for job in desk.pending)
        (alone,) = desk.says(1, GetJob(1, seen=1))
        assert ([2], True) == ([job.killed for job in alone.jobs], alone.careful)

    def test_quarantined_after_max_kills(self):
        """Protects the run: a job that kills again and again is put aside, never dropped; the run then ends incomplete."""
        desk = Desk(max_kills=3)
        desk.joins(1)
        seen = 0
        for _ in range(3):
            (bundle,) = desk.says(1, GetJob(1, seen))
            seen = bundle.lease
            desk.says(1, Crashed(bundle.lease, "killed by signal 9"))
        (entry,) = desk.state.quarantined.values()
        assert Quarantined(Job(b"0", 0, 3, WHOLE), "killed by signal 9", "", "host-token-1") == entry
        assert ["killed", "quarantined", "settling"] == desk.notes()
        assert 3 == desk.state.counters.killings

    def test_progress_clears_the_suspect(self):
        """Protects innocent nodes: under a lease that explored something, what killed it came later."""
        desk = Desk([Job(b"0", 0, 7, WHOLE)], max_kills=3)
        desk.works(1)
        rest = Job(b"rest", 1, 7, 5)
        desk.says(1, report(1, 1, [rest]), Crashed(1, "x"))
        assert ([rest.killed_once_more()], {}) == (desk.pending, desk.state.quarantined)

    def test_rewritten_by_the_problem(self):
        """Protects the count: a problem may lower the demands of a killed job, but neither its weight nor its history."""
        desk = Desk(rewrite=lambda job: Job(b"easier %d" % job.killed, job.depth, 0, 1))
        desk.works(1)
        desk.says(1, Crashed(1, "x"))
        assert [Job(b"easier 1", 0, 1, WHOLE)] == desk.pending

    def test_peer_gone(self):
        """Protects jobs: what a process that is gone held goes back; one that waited is not waited for."""
        desk = Desk()
        desk.works(1)
        desk.says(2, GetJob(desk.joins(2)))
        desk.step(PeerGone(2, "rank died"))
        assert [] == list(desk.coordinator.volatile.hungry)
        desk.step(PeerGone(1, "rank died"))
        assert [ROOT.killed_once_more()] == desk.pending
        assert "rank died" == desk.effects.notes[-1].facts["why"]
        desk.step(PeerGone(1, "rank died"))
        assert [] == desk.effects.records
        assert [Rejoin()] == desk.says(1, Alive(1))

    def test_goodbye(self):
        """Protects history: what is handed back on purpose was not killed."""
        desk = Desk(parts(2))
        bundle = desk.works(1)
        desk.says(1, Goodbye(1))
        assert [Voided(1, bundle.jobs, killing=False)] == desk.effects.records
        assert ["left"] == desk.notes()


def test_story():
    """Protects whoever finds a bug: the latest events are kept, and not more than can be read."""
    desk = Desk()
    desk.works(1)
    assert "1000 ms: Received GetJob from peer 1, lease -" == desk.coordinator.story[-1]
    for _ in range(2 * STORY_MAX):
        desk.step(Tick(), after_ms=1)
    assert STORY_MAX == len(desk.coordinator.story)
    desk.step(Received(1, report(1, 1)))
    assert desk.coordinator.story[-1].endswith("Report from peer 1, lease 1")
