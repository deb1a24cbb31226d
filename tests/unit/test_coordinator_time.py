"""What the coordinator does as time passes: sharing, patience, heartbeats, and the end of a run."""

from __future__ import annotations

import pytest
from support.desk import Desk, hello, parts, report

from parry_mpi.core.coordinator import PRESS_EVERY_MS, SAY_AGAIN_MS
from parry_mpi.core.events import Committed, Failure, Phase, ProblemRaised, RootsRead, StopAsked, Tick
from parry_mpi.core.messages import Ack, Alive, Bundle, Die, Finished, GetJob, Goodbye, Rejoin, Share, Stop
from parry_mpi.core.policy import ASK_AGAIN_MS, WORTHWHILE_MS
from parry_mpi.core.records import Restarted, Voided
from parry_mpi.core.state import LEASE_EPOCH_BITS
from parry_mpi.job import WHOLE, Job

PATIENCE_MS = 60_000


def one_busy_one_hungry(**settings: object) -> Desk:
    """Worker 1 holds everything, worker 2 waits; both have just come."""
    desk = Desk(**settings)
    desk.works(1)
    desk.says(2, GetJob(desk.joins(2)))
    return desk


class TestSharing:
    def test_asked_once_worthwhile(self):
        """Protects short leases: they are left alone, and the question comes when it is worth it."""
        desk = one_busy_one_hungry()
        assert ([], desk.now_ms + WORTHWHILE_MS) == (desk.heard(1), desk.effects.wake_at_ms)
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        assert [Share(1)] == desk.heard(1)
        desk.step(Tick(), after_ms=1)
        assert [] == desk.heard(1)
        assert SAY_AGAIN_MS - 1 == desk.effects.wake_at_ms - desk.now_ms

    def test_answered(self):
        """Protects the hungry: what is shared reaches them in the same step, and the sharer can be asked again at once."""
        desk = one_busy_one_hungry()
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        half = (Job(b"h", 1, weight=5),)
        assert [Ack(1, 1)] == desk.says(1, report(1, 1, half, half))
        assert [Bundle(2, half)] == desk.heard(2)
        desk.says(3, GetJob(desk.joins(3)))
        assert [Share(1)] == desk.heard(1)

    def test_nothing_to_give(self):
        """Protects a worker that cannot divide its job yet: it is not asked again for a while."""
        desk = one_busy_one_hungry()
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        assert [Ack(1, 1)] == desk.says(1, report(1, 1, [Job(b"h", 1, weight=5)]))
        assert desk.now_ms + ASK_AGAIN_MS == desk.effects.wake_at_ms
        desk.step(Tick(), after_ms=ASK_AGAIN_MS)
        assert [Share(1)] == desk.heard(1)

    def test_the_heaviest_is_asked(self):
        """Protects speed: who holds most is asked, and no more are asked than are hungry; of equals the oldest."""
        desk = Desk([Job(b"a", weight=5), Job(b"b", weight=9), Job(b"c", weight=9)])
        for peer in (1, 2, 3):
            desk.works(peer)
        desk.step(Tick(), after_ms=1000)
        desk.says(4, GetJob(desk.joins(4)))
        assert [(2, Share(2))] == desk.effects.sends
        desk.says(5, GetJob(desk.joins(5)))
        assert [(3, Share(3))] == desk.effects.sends

    def test_nobody_left_to_ask(self):
        """Protects the peace: when everybody was asked, more hungry workers change nothing."""
        desk = one_busy_one_hungry()
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        desk.says(3, GetJob(desk.joins(3)))
        assert [] == desk.heard(1)
        assert SAY_AGAIN_MS == desk.effects.wake_at_ms - desk.now_ms

    def test_repeated(self):
        """Protects against loss on the way: a question without an answer is asked again."""
        desk = one_busy_one_hungry()
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        for _ in range(3):
            desk.step(Tick(), after_ms=SAY_AGAIN_MS - 1)
            assert [] == desk.heard(1)
            desk.step(Tick(), after_ms=1)
            assert [Share(1)] == desk.heard(1)

    @pytest.mark.parametrize(("killed", "patience_ms"), [(0, 100), (1, 200), (3, 800)])
    def test_patience(self, killed, patience_ms):
        """Protects the hungry, and long jobs: who stays silent loses its lease, after a time that doubles with every kill."""
        desk = one_busy_one_hungry(jobs=[Job(b"0", 0, killed, WHOLE)], patience_ms=100)
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        desk.step(Tick(), after_ms=patience_ms - 1)
        assert [] == desk.heard(1)
        assert 1 == desk.effects.wake_at_ms - desk.now_ms
        desk.step(Tick(), after_ms=1)
        assert [Die(1)] == desk.heard(1)
        assert [Bundle(2, (Job(b"0", 0, killed + 1, WHOLE),), careful=True)] == desk.heard(2)
        assert f"silent for {patience_ms / 1000:g} s" in desk.effects.notes[0].facts["why"]

    @pytest.mark.parametrize("settings", [{"patience_ms": 0}, {"splittable": False}])
    def test_no_patience_needed(self, settings):
        """Protects jobs that cannot be divided: taking them from a slow worker would gain nothing."""
        desk = one_busy_one_hungry(**settings)
        for _ in range(100):
            desk.step(Tick(), after_ms=PATIENCE_MS)
        assert [Share(1)] == desk.heard(1)
        assert [1] == list(desk.state.leases)

    def test_a_report_calms(self):
        """Protects slow workers: any report is a sign of life, and the patience begins anew."""
        desk = one_busy_one_hungry(patience_ms=100)
        for seq in range(1, 6):
            desk.step(Tick(), after_ms=ASK_AGAIN_MS)
            desk.says(1, report(1, seq, [Job(b"h", 1, weight=5)]), after_ms=90)
        assert [1] == list(desk.state.leases)

    def test_two_silent_leases(self):
        """Protects all the hungry: each silent lease is pressed on its own."""
        desk = Desk(parts(2), patience_ms=100)
        for peer in (1, 2):
            desk.works(peer)
        for peer in (3, 4):
            desk.says(peer, GetJob(desk.joins(peer)), after_ms=10)
        desk.step(Tick(), after_ms=200)
        assert ([Die(1)], [Die(2)]) == (desk.heard(1), desk.heard(2))
        assert (["Bundle"], ["Bundle"]) == (desk.kinds(3), desk.kinds(4))

    def test_many_silent_leases(self):
        """Protects the coordinator's time: leases asked one after the other are pressed together, soon after each is due."""
        leases = 20
        desk = Desk(parts(leases))
        for peer in range(leases):
            desk.works(peer)
        for peer in range(leases, 2 * leases):
            desk.says(peer, GetJob(desk.joins(peer)), after_ms=10)
        looks, said = 0, 0
        for _ in range(3 * leases):
            if desk.effects.wake_at_ms >= 2 * SAY_AGAIN_MS:
                break
            desk.step(Tick(), after_ms=desk.effects.wake_at_ms - desk.now_ms)
            looks, said = looks + 1, said + len(desk.effects.sends)
        assert leases == said
        assert looks <= leases * 10 // PRESS_EVERY_MS + 2


class TestHeartbeats:
    def test_lost_after_some_missed(self):
        """Protects jobs: a worker that fell silent is lost after as long as was said, and not before."""
        desk = Desk(heartbeat_timeout_ms=300)
        desk.works(1, heartbeat_ms=100)
        assert 300 == desk.effects.wake_at_ms - desk.now_ms
        desk.step(Tick(), after_ms=299)
        assert 1 == len(desk.state.leases)
        desk.step(Tick(), after_ms=1)
        assert (0, 1) == (len(desk.state.leases), desk.state.counters.killings)
        assert "no sign of life for 0.3 s" == desk.effects.notes[-1].facts["why"]
        assert [Rejoin()] == desk.says(1, Alive(1, (1,)))

    def test_any_message_is_a_sign_of_life(self):
        """Protects busy workers: whatever they say counts."""
        desk = Desk(heartbeat_timeout_ms=300)
        desk.works(1, heartbeat_ms=100)
        for message in (Alive(1, (1,)), GetJob(1), report(1, 1, [Job(weight=1)]), Alive(1)) * 3:
            desk.says(1, message, after_ms=250)
        assert 1 == len(desk.coordinator.volatile.workers)

    def test_not_promised(self):
        """Protects workers without a supervisor: who promised no heartbeat is never given up for want of one."""
        desk = Desk()
        desk.works(1)
        desk.step(Tick(), after_ms=10**9)
        assert (1, None) == (len(desk.state.leases), desk.effects.wake_at_ms)

    def test_some_promised(self):
        """Protects the others: of many workers only those that promised heartbeats can be late with them, and none is with the first."""
        desk = Desk(parts(3), heartbeat_timeout_ms=300)
        desk.works(1, heartbeat_ms=100)
        desk.works(2)
        desk.works(3, heartbeat_ms=1_000)
        desk.step(Tick(), after_ms=300)
        assert [2, 3] == list(desk.coordinator.volatile.workers)
        assert 1_700 == desk.effects.wake_at_ms - desk.now_ms


class TestStopping:
    def test_handed_back(self):
        """Protects what was found: workers are asked, hand back, and leave; then the state is committed, and the run has ended."""
        desk = one_busy_one_hungry()
        desk.step(StopAsked("SIGTERM"))
        assert ([Stop()], [Stop()]) == (desk.heard(1), desk.heard(2))
        assert Phase.STOPPING is desk.coordinator.phase
        desk.says(2, Goodbye(2))
        rest = (Job(b"rest", 1, weight=5),)
        assert [Ack(1, 1)] == desk.says(1, report(1, 1, rest))
        assert not desk.effects.must_commit
        desk.says(1, Goodbye(1))
        assert (Phase.SETTLING, True, list(rest)) == (desk.coordinator.phase, desk.effects.must_commit, desk.pending)
        desk.step(Tick())
        assert desk.effects.must_commit
        desk.step(Committed())
        assert (Phase.ENDED, "SIGTERM") == (desk.coordinator.phase, desk.coordinator.volatile.stop_reason)
        assert not desk.effects.must_commit

    def test_asked_again(self):
        """Protects against loss on the way: the order to stop is repeated."""
        desk = one_busy_one_hungry(grace_ms=3 * SAY_AGAIN_MS)
        desk.step(StopAsked("SIGTERM"))
        desk.step(Tick(), after_ms=SAY_AGAIN_MS - 1)
        assert ([], 1) == (desk.heard(1), desk.effects.wake_at_ms - desk.now_ms)
        desk.step(Tick(), after_ms=1)
        assert [Stop()] == desk.heard(1)

    def test_grace_ends(self):
        """Protects the walltime: who does not hand back in time loses what it had not reported, without blame."""
        desk = one_busy_one_hungry(grace_ms=1_000)
        desk.step(StopAsked("SIGTERM"))
        desk.step(Tick(), after_ms=999)
        assert 1 == len(desk.state.leases)
        desk.step(Tick(), after_ms=1)
        assert [Voided(1, parts(1), killing=False)] == desk.effects.records
        assert Phase.SETTLING is desk.coordinator.phase
        assert [Die(1)] == desk.says(1, report(1))

    def test_at_once(self):
        """Protects a user in a hurry: nothing is waited for, and a second signal makes up for a patient first one."""
        desk = one_busy_one_hungry()
        desk.step(StopAsked("SIGINT", at_once=True))
        assert Phase.SETTLING is desk.coordinator.phase
        desk = one_busy_one_hungry()
        desk.step(StopAsked("SIGINT"))
        desk.step(StopAsked("SIGINT"))
        assert Phase.STOPPING is desk.coordinator.phase
        desk.step(StopAsked("SIGINT", at_once=True))
        assert Phase.SETTLING is desk.coordinator.phase

    def test_too_late_to_stop(self):
        """Protects a complete answer: a stop that comes when all is explored changes nothing."""
        desk = Desk()
        desk.works(1)
        desk.says(1, report(1))
        desk.step(StopAsked("SIGTERM", at_once=True))
        assert (Phase.SETTLING, "") == (desk.coordinator.phase, desk.coordinator.volatile.stop_reason)

    def test_nobody_there(self):
        """Protects against waiting for nobody: without workers a stop is immediate."""
        desk = Desk()
        desk.step(StopAsked("SIGTERM"))
        assert Phase.SETTLING is desk.coordinator.phase

    def test_roots_that_come_late(self):
        """Protects the count: roots that were on their way when the run stopped are part of the state."""
        desk = Desk([], exhausted=False)
        desk.joins(1)
        desk.step(StopAsked("SIGTERM"))
        desk.step(RootsRead((Job(b"late", weight=WHOLE),), 1, exhausted=True, unpulled_weight=0))
        assert [b"late"] == [job.node for job in desk.pending]
        assert [] == desk.heard(1)

    def test_nobody_is_pressed_while_stopping(self):
        """Protects history: a slow worker is not killed for silence while it hands back."""
        desk = one_busy_one_hungry(patience_ms=10, grace_ms=10_000)
        desk.step(Tick(), after_ms=WORTHWHILE_MS)
        desk.step(StopAsked("SIGTERM"))
        desk.step(Tick(), after_ms=5_000)
        assert 0 == desk.state.counters.killings

    def test_problem_raised_here(self):
        """Protects the user's time: what raises in the coordinator's process stops the run; nothing changes a told failure."""
        desk = one_busy_one_hungry()
        desk.step(ProblemRaised(Failure("roots() raised")))
        assert ([Stop()], "the problem raised") == (desk.heard(1), desk.coordinator.volatile.stop_reason)
        desk.step(StopAsked("SIGTERM", at_once=True))
        desk.step(ProblemRaised(Failure("another")))
        assert "roots() raised" == desk.coordinator.volatile.failure.error

    def test_failure_after_the_end(self):
        """Protects a complete answer: once all is explored, no failure takes it back."""
        desk = Desk([])
        desk.step(Tick())
        desk.step(ProblemRaised(Failure("late")))
        assert desk.coordinator.volatile.failure is None


class TestFinishing:
    def test_only_after_the_commit(self):
        """Protects the promise: Finished means that the answer is on disk."""
        desk = Desk()
        desk.works(1)
        desk.joins(2)
        desk.step(Committed())
        assert Phase.EXPLORING is desk.coordinator.phase
        assert [Ack(1, 1)] == desk.says(1, report(1))
        assert (Phase.SETTLING, True) == (desk.coordinator.phase, desk.effects.must_commit)
        assert [] == desk.says(1, GetJob(1, seen=1))
        assert [Stop()] == desk.says(9, hello("late"))
        desk.step(Committed())
        assert ([Finished()], [Finished()]) == (desk.heard(1), desk.heard(2))
        desk.step(Committed())
        assert [] == desk.effects.sends

    @pytest.mark.parametrize("message", [GetJob(1), Alive(1), GetJob(7), hello("late"), Goodbye(7)])
    def test_whoever_asks_after_the_end(self, message):
        """Protects latecomers: whoever says anything is told that it is over."""
        desk = Desk([])
        desk.joins(1)
        desk.step(Committed())
        assert Phase.ENDED is desk.coordinator.phase
        for peer in (1, 2):
            if peer == 1 and not isinstance(message, GetJob):
                continue
            assert [Finished()] == desk.says(peer, message)
        assert [] == desk.effects.records

    def test_leaving_after_the_end(self):
        """Protects the books: who leaves is forgotten, at any time."""
        desk = Desk([])
        desk.joins(1)
        desk.says(1, Goodbye(1))
        desk.step(Committed())
        assert {} == desk.coordinator.volatile.workers

    def test_restart(self):
        """Protects a restart: old leases are dead, their jobs are pending without blame, ids are new, and it is on disk first."""
        desk = Desk()
        desk.works(1)
        again = Desk()
        again.coordinator.state = desk.state
        effects = again.coordinator.restart()
        assert ([Restarted()], True) == (effects.records, effects.must_commit)
        assert list(parts(1)) == again.pending
        assert [Die(1)] == again.says(1, report(1))
        assert (1 << LEASE_EPOCH_BITS) + 1 == again.works(1).lease
