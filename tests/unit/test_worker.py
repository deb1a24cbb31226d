"""The worker's half of the protocol, at every moment of its life."""

from __future__ import annotations

import pytest
from support.life import NOTHING, A, B, Life, exploring, handed, said, working
from support.protocol import copy_half

from parry_mpi.core.messages import (
    Ack,
    Alive,
    Bundle,
    Crashed,
    Die,
    Failed,
    Finished,
    GetJob,
    Goodbye,
    Refused,
    Rejoin,
    Share,
    Stop,
    Welcome,
)
from parry_mpi.core.worker import (
    CAREFUL_STRETCH_MS,
    REPORT_MS,
    SAY_AGAIN_MS,
    Abandon,
    Actions,
    Ask,
    Begin,
    Died,
    Go,
    HandedOver,
    LeaseWork,
    Phase,
    Raised,
    Want,
)

BEAT_MS = 1_000
BEFORE = HandedOver(7, 3, b"v", 5, 0, (A,))
"""What an explorer hands over in the middle of a lease."""


class TestJoining:
    def test_hello_is_repeated(self):
        """Protects against loss on the way: a Hello without an answer is said again, and again."""
        life = Life(heartbeat_ms=BEAT_MS)
        assert SAY_AGAIN_MS == life.wakes_in_ms()
        assert NOTHING == life.tick(SAY_AGAIN_MS - 1)
        assert Actions(sends=[life.hello]) == life.tick(1)
        assert NOTHING == life.tick(1)
        assert Actions(sends=[life.hello]) == life.tick(SAY_AGAIN_MS - 1)

    def test_welcome_twice(self):
        """Protects the worker's id: a repeated Welcome asks for nothing more."""
        life = working()
        assert NOTHING == life.hears(Welcome(3))
        assert NOTHING == life.hears(Welcome(9))
        assert 3 == life.half.worker_id

    def test_refused(self):
        """Protects the user: why a worker may not join is kept, and it leaves."""
        life = Life()
        assert Actions(sends=[Goodbye(0)]) == life.hears(Refused("another problem"))
        assert ("another problem", Phase.LEFT) == (life.half.refusal, life.half.phase)
        assert NOTHING == life.hears(Welcome(1))

    def test_refused_too_late(self):
        """Protects a worker that has joined: a stray refusal does not end it."""
        life = working()
        assert NOTHING == life.hears(Refused("late"))
        assert Phase.WORKING is life.half.phase

    @pytest.mark.parametrize("message", [Bundle(7, (A,)), Ack(7, 1), Share(7), Die(7)])
    def test_too_early(self, message):
        """Protects against somebody else's messages: before the Welcome nothing else has an effect."""
        assert NOTHING == Life().hears(message)


class TestWorking:
    def test_asks_again(self):
        """Protects against loss on the way: a question without an answer is asked again."""
        life = working()
        assert SAY_AGAIN_MS == life.wakes_in_ms()
        assert Actions(sends=[GetJob(3)]) == life.tick(SAY_AGAIN_MS)

    @pytest.mark.parametrize(
        ("share", "careful", "begin"),
        [
            (False, False, Begin(7, (A, B))),
            (True, False, Begin(7, (A, B), split=True)),
            (False, True, Begin(7, (A, B), careful=True)),
            (True, True, Begin(7, (A, B), careful=True)),
        ],
    )
    def test_bundle(self, share, careful, begin):
        """Protects the first moment of a lease: the explorer is told how to begin."""
        assert Actions(orders=[begin]) == working().hears(Bundle(7, (A, B), share, careful))

    def test_bundle_twice(self):
        """Protects the count: a lease is begun once, even if it is heard of again after it ended."""
        life = exploring()
        assert NOTHING == life.hears(Bundle(7, (A, B)))
        assert NOTHING == life.hears(Bundle(8, (A, B)))
        life.explored(handed(remaining=()))
        life.hears(Ack(7, 1))
        assert NOTHING == life.hears(Bundle(7, (A, B)))
        assert NOTHING == life.hears(Bundle(6, (A, B)))
        assert Actions(orders=[Begin(9, (A,))]) == life.hears(Bundle(9, (A,)))

    def test_reports_now_and_then(self):
        """Protects against losing hours: a busy worker reports every REPORT_MS, counted from its last report."""
        life = exploring()
        assert REPORT_MS == life.wakes_in_ms()
        assert NOTHING == life.tick(REPORT_MS - 1)
        assert Actions(orders=[Ask(7, Want.CHECKPOINT)]) == life.tick(1)
        assert NOTHING == life.tick(REPORT_MS)
        assert Actions(sends=[said(handed(), 1)]) == life.explored(handed(), 100)
        assert NOTHING == life.hears(Ack(7, 1), after_ms=10)
        assert REPORT_MS - 10 == life.wakes_in_ms()

    def test_one_report_at_a_time(self):
        """Protects the order: what the explorer hands over while a report is unanswered waits for the answer."""
        life = exploring()
        events = [handed(), handed(shared=(B,)), handed(remaining=())]
        assert Actions(sends=[said(events[0], 1)]) == life.explored(events[0])
        assert NOTHING == life.explored(events[1])
        assert NOTHING == life.explored(events[2])
        assert SAY_AGAIN_MS == life.wakes_in_ms()
        assert Actions(sends=[said(events[1], 2)]) == life.hears(Ack(7, 1))
        assert Actions(sends=[said(events[2], 3), GetJob(3, seen=7)]) == life.hears(Ack(7, 2))
        assert 7 == life.half.lease
        assert NOTHING == life.hears(Ack(7, 3))
        assert life.half.lease is None

    def test_nothing_is_asked_meanwhile(self):
        """Protects the order: while a report is unanswered the explorer is left alone; afterwards what is due is asked for."""
        life = exploring()
        life.explored(handed())
        assert NOTHING == life.tick(REPORT_MS)
        assert NOTHING == life.hears(Share(7))
        assert Actions(orders=[Ask(7, Want.SPLIT)]) == life.hears(Ack(7, 1))

    def test_report_is_repeated(self):
        """Protects against loss on the way: a report without an answer is said again, just as it was."""
        life = exploring()
        life.explored(handed())
        assert NOTHING == life.tick(SAY_AGAIN_MS - 1)
        assert Actions(sends=[said(handed(), 1)]) == life.tick(1)

    @pytest.mark.parametrize("ack", [Ack(7, 0), Ack(6, 1), Ack(8, 1)])
    def test_other_acks(self, ack):
        """Protects reports: only its own answer makes one forgotten."""
        life = exploring()
        life.explored(handed())
        assert NOTHING == life.hears(ack)
        assert Actions(sends=[said(handed(), 1)]) == life.tick(SAY_AGAIN_MS)

    def test_last_report_and_the_next_question(self):
        """Protects against loss on the way: after the last report is answered, the question for more is repeated."""
        life = exploring()
        assert Actions(sends=[said(handed(remaining=()), 1), GetJob(3, 7)]) == life.explored(handed(remaining=()))
        assert Actions(sends=[said(handed(remaining=()), 1)]) == life.tick(SAY_AGAIN_MS)
        life.hears(Ack(7, 1))
        assert Actions(sends=[GetJob(3, seen=7)]) == life.tick(SAY_AGAIN_MS)

    @pytest.mark.parametrize("event", [handed(6), Raised(8, "e", "", ""), Died(6, "x")])
    def test_late_explorers(self, event):
        """Protects the count: what an explorer says of a lease that is over has no effect."""
        life = exploring()
        assert NOTHING == life.explored(event)
        assert Actions(sends=[said(handed(), 1)]) == life.explored(handed())
        assert NOTHING == working().explored(event)


class TestSharing:
    def test_asked(self):
        """Protects the hungry: the explorer is asked at once, and once."""
        life = exploring()
        assert Actions(orders=[Ask(7, Want.SPLIT)]) == life.hears(Share(7))
        assert NOTHING == life.hears(Share(7))
        assert Actions(sends=[said(handed(shared=(B,)), 1)]) == life.explored(handed(shared=(B,)))
        assert NOTHING == life.hears(Ack(7, 1))

    def test_another_lease(self):
        """Protects speed: a question about a lease that is over is not meant for the next one."""
        assert NOTHING == exploring().hears(Share(6))

    def test_nothing_explored_nothing_shared(self):
        """Protects the hungry: an answer that gives nothing and found nothing is no answer yet."""
        life = exploring()
        life.hears(Share(7))
        life.explored(handed(nodes=0))
        assert Actions(orders=[Ask(7, Want.SPLIT)]) == life.hears(Ack(7, 1))


class TestCareful:
    def test_stretches(self):
        """Protects the run from poison: nothing is explored that was not reported and acknowledged; stretches grow, then caution ends."""
        life = exploring(careful=True)
        assert NOTHING == life.tick(REPORT_MS)
        assert Actions(sends=[said(handed(nodes=0), 1)]) == life.explored(handed(nodes=0))
        seq, stretch = 1, 1
        while stretch <= 16:
            assert Actions(orders=[Go(7, stretch)]) == life.hears(Ack(7, seq))
            assert NOTHING == life.tick(CAREFUL_STRETCH_MS // 100)
            assert Actions(sends=[said(handed(), seq + 1)]) == life.explored(handed())
            seq, stretch = seq + 1, 2 * stretch
        life.hears(Ack(7, seq))
        life.explored(handed(), after_ms=CAREFUL_STRETCH_MS)
        assert Actions(orders=[Go(7, 0)]) == life.hears(Ack(7, seq + 1))
        assert REPORT_MS == life.wakes_in_ms()
        assert Actions(orders=[Ask(7, Want.CHECKPOINT)]) == life.tick(REPORT_MS)

    def test_repeated_ack(self):
        """Protects blame: an answer that comes twice lets the explorer go once, not beyond what was reported."""
        life = exploring(careful=True)
        life.explored(handed(nodes=0))
        assert Actions(orders=[Go(7, 1)]) == life.hears(Ack(7, 1))
        assert NOTHING == life.hears(Ack(7, 1))

    def test_sharing_waits_for_the_first_node(self):
        """Protects blame: what is given away is cut off after the first stretch."""
        life = exploring(careful=True, share=True)
        life.explored(handed(nodes=0))
        assert Actions(orders=[Go(7, 1, split=True)]) == life.hears(Ack(7, 1))
        life.explored(handed())
        assert Actions(orders=[Go(7, 2)]) == life.hears(Ack(7, 2))

    def test_asked_to_share(self):
        """Protects the hungry: a careful worker gives away with its next stretch."""
        life = exploring(careful=True)
        life.explored(handed(nodes=0))
        assert NOTHING == life.hears(Share(7))
        assert Actions(orders=[Go(7, 1, split=True)]) == life.hears(Ack(7, 1))

    def test_stopped(self):
        """Protects what was found: a careful worker that is to leave hands back instead of going on."""
        life = exploring(careful=True)
        life.explored(handed(nodes=0))
        assert NOTHING == life.hears(Stop())
        assert Actions(orders=[Ask(7, Want.SURRENDER)]) == life.hears(Ack(7, 1))


class TestFailing:
    def test_raised(self):
        """Protects the reader: the user's exception is told under the lease, which then ends."""
        life = exploring()
        failed = Failed(7, 1, "ValueError: x", "Traceback", "(1,)")
        assert Actions(sends=[failed, GetJob(3, 7)]) == life.explored(Raised(7, "ValueError: x", "Traceback", "(1,)"))
        assert Actions(sends=[failed]) == life.tick(SAY_AGAIN_MS)
        assert NOTHING == life.hears(Ack(7, 1))
        assert life.half.lease is None

    def test_with_what_was_before(self):
        """Protects what was found: it is reported first, so that the node that raised stands alone; both are repeated until answered."""
        life = exploring()
        failed = Failed(7, 2, "x", exact=True)
        sends = life.explored(Raised(7, "x", "", "", exact=True, before=BEFORE)).sends
        assert [said(BEFORE, 1), failed, GetJob(3, 7)] == sends
        assert Actions(sends=[said(BEFORE, 1), failed]) == life.tick(SAY_AGAIN_MS)
        assert NOTHING == life.hears(Ack(7, 1))
        assert Actions(sends=[failed]) == life.tick(SAY_AGAIN_MS)
        life.hears(Ack(7, 2))
        assert life.half.lease is None

    def test_waits_for_its_turn(self):
        """Protects the order: an exception is told after the report that went before it is answered."""
        life = exploring()
        life.explored(handed())
        assert NOTHING == life.explored(Raised(7, "x", "", ""))
        assert Actions(sends=[Failed(7, 2, "x"), GetJob(3, 7)]) == life.hears(Ack(7, 1))

    def test_died(self):
        """Protects the run: an explorer that died is told of, and the worker goes on with another lease."""
        life = exploring()
        life.explored(handed())
        assert Actions(sends=[Crashed(7, "signal 9"), GetJob(3, 7)]) == life.explored(Died(7, "signal 9"))
        assert life.half.lease is None
        assert Actions(sends=[GetJob(3, 7)]) == life.tick(SAY_AGAIN_MS)

    @pytest.mark.parametrize(
        ("event", "sends"),
        [
            (Died(7, "x"), [Crashed(7, "x"), Goodbye(3)]),
            (handed(), [said(handed(), 1), Goodbye(3)]),
            (handed(remaining=()), [said(handed(remaining=()), 1), GetJob(3, 7), Goodbye(3)]),
            (Raised(7, "x", "", ""), [Failed(7, 1, "x"), GetJob(3, 7)]),
        ],
        ids=["died", "handed back", "finished", "raised"],
    )
    def test_while_leaving(self, event, sends):
        """Protects a stop: whatever the explorer does last is told, then the worker leaves."""
        life = exploring()
        assert Actions(orders=[Ask(7, Want.SURRENDER)]) == life.hears(Stop())
        assert Actions(sends=sends) == life.explored(event)
        if Goodbye(3) not in sends:
            assert Actions(sends=[Goodbye(3)]) == life.hears(Ack(7, 1))
        assert Phase.LEFT is life.half.phase


class TestOrders:
    def test_die(self):
        """Protects the count: a lease that is void is abandoned, with all that was found under it."""
        life = exploring()
        life.explored(handed())
        life.explored(handed())
        assert Actions(sends=[GetJob(3, 7)], orders=[Abandon(7)]) == life.hears(Die(7))
        assert NOTHING == life.explored(handed())
        assert NOTHING == life.hears(Ack(7, 1))

    def test_die_for_another_lease(self):
        """Protects the lease that is held: one that is over may die as often as it likes."""
        life = exploring()
        assert NOTHING == life.hears(Die(6))
        assert NOTHING == working().hears(Die(7))

    def test_die_while_leaving(self):
        """Protects a stop: with nothing left to hand back the worker leaves."""
        life = exploring()
        life.hears(Stop())
        assert Actions(sends=[Goodbye(3)], orders=[Abandon(7)]) == life.hears(Die(7))

    def test_stop_with_nothing(self):
        """Protects a stop: who holds nothing leaves at once, with or without an id."""
        assert Actions(sends=[Goodbye(3)]) == working().hears(Stop())
        life = Life()
        assert Actions(sends=[Goodbye(0)]) == life.hears(Stop())
        assert NOTHING == life.hears(Stop())

    def test_stop_twice(self):
        """Protects what was found: a repeated order does not hurry a worker that hands back."""
        life = exploring()
        life.hears(Stop())
        assert NOTHING == life.hears(Stop())
        assert NOTHING == life.tick(REPORT_MS)
        assert Actions(sends=[said(handed(), 1), Goodbye(3)]) == life.explored(handed())

    def test_stop_while_asked(self):
        """Protects a stop: the explorer's answer to an earlier question is its last one."""
        life = exploring()
        life.hears(Share(7))
        assert NOTHING == life.hears(Stop())
        assert Actions(sends=[said(handed(shared=(B,)), 1), Goodbye(3)]) == life.explored(handed(shared=(B,)))

    def test_stop_while_a_last_report_is_unanswered(self):
        """Protects what was found: the last report is answered before the worker leaves."""
        life = exploring()
        life.explored(handed(remaining=()))
        assert NOTHING == life.hears(Stop())
        assert Actions(sends=[Goodbye(3)]) == life.hears(Ack(7, 1))

    def test_stop_while_something_waits(self):
        """Protects what was found: what waits for its turn is said, then the worker leaves."""
        life = exploring()
        life.explored(handed())
        life.explored(handed(shared=(B,)))
        assert NOTHING == life.hears(Stop())
        assert Actions(sends=[said(handed(shared=(B,)), 2), Goodbye(3)]) == life.hears(Ack(7, 1))

    def test_bundle_while_leaving(self):
        """Protects a stop: a lease that crosses it on the way is not begun."""
        life = exploring()
        life.hears(Stop())
        assert NOTHING == life.hears(Bundle(8, (A,)))

    @pytest.mark.parametrize("life", [Life, working, exploring], ids=lambda life: life.__name__)
    def test_finished(self, life):
        """Protects the end: when all is explored everybody leaves, whatever it was doing."""
        living = life()
        actions = living.hears(Finished())
        assert [Goodbye(living.half.worker_id or 0)] == actions.sends
        assert ([Abandon(7)] if life is exploring else []) == actions.orders
        assert (True, Phase.LEFT) == (living.half.finished, living.half.phase)
        assert NOTHING == living.hears(Finished())

    @pytest.mark.parametrize("life", [Life, working, exploring], ids=lambda life: life.__name__)
    def test_rejoin(self, life):
        """Protects a restart: who is not known any more says hello again, and keeps nothing of its lease."""
        living = life()
        actions = living.hears(Rejoin())
        assert [living.hello] == actions.sends
        assert ([Abandon(7)] if life is exploring else []) == actions.orders
        seen = 7 if life is exploring else 0
        assert Actions(sends=[GetJob(5, seen)]) == living.hears(Welcome(5))
        assert 5 == living.half.worker_id

    def test_rejoin_while_leaving(self):
        """Protects a stop: a worker that has to join again is told to stop again."""
        life = exploring()
        life.hears(Stop())
        assert Actions(sends=[life.hello], orders=[Abandon(7)]) == life.hears(Rejoin())
        assert Actions(sends=[Goodbye(3)]) == life.hears(Stop())

    @pytest.mark.parametrize(
        "message",
        [Welcome(1), Refused("x"), Bundle(9, (A,)), Ack(7, 1), Share(7), Die(7), Stop(), Finished(), Rejoin()],
        ids=lambda message: type(message).__name__,
    )
    def test_nothing_after_leaving(self, message):
        """Protects the peace: whoever has left hears nothing, says nothing, and waits for nothing."""
        life = working(heartbeat_ms=BEAT_MS)
        life.hears(Stop())
        assert NOTHING == life.hears(message)
        assert NOTHING == life.tick(10**6)
        assert life.wakes_in_ms() is None
        assert (Phase.LEFT, False) == (life.half.phase, life.half.finished)

    @pytest.mark.parametrize(
        "message",
        [Welcome(1), Bundle(9, (A,)), Ack(7, 1), Share(7), Die(7), Stop(), Finished(), Rejoin()],
        ids=lambda message: type(message).__name__,
    )
    def test_nothing_is_said_after_handing_back(self, message):
        """Protects the count: a worker that handed back and left says nothing more, though its report was never answered."""
        life = exploring()
        life.hears(Stop())
        life.explored(handed())
        assert Phase.LEFT is life.half.phase
        assert [] == life.hears(message).sends
        assert NOTHING == life.tick(SAY_AGAIN_MS)
        assert Phase.LEFT is life.half.phase


class TestReconnected:
    @pytest.mark.parametrize("life", [Life, working], ids=lambda life: life.__name__)
    def test_what_is_not_answered_is_said_again(self, life):
        """Protects a worker whose connection was lost: its Hello, or its wish for work, does not wait for a timer."""
        living = life(heartbeat_ms=BEAT_MS)
        expected = [living.hello] if life is Life else [GetJob(3)]
        assert Actions(sends=expected) == living.half.reconnected(0)
        assert NOTHING == living.tick(BEAT_MS - 1)

    def test_report(self):
        """Protects a report that got lost with its connection: it is sent again under the same number."""
        life = exploring()
        life.explored(handed())
        assert Actions(sends=[said(handed(), 1)]) == life.half.reconnected(0)

    def test_sign_of_life(self):
        """Protects the coordinator's view: a worker that owes nothing shows that it is back, and which lease it holds."""
        life = exploring(heartbeat_ms=BEAT_MS)
        assert Actions(sends=[Alive(3, (7,))]) == life.half.reconnected(0)

    def test_nothing_after_leaving(self):
        """Protects the peace: whoever has left does not come back."""
        life = working()
        life.hears(Stop())
        assert NOTHING == life.half.reconnected(0)


class TestHeartbeats:
    def test_beats(self):
        """Protects long calls: a heartbeat goes out whatever the explorer does, and names the lease."""
        life = exploring(heartbeat_ms=100)
        assert 100 == life.wakes_in_ms()
        assert Actions(sends=[Alive(3, (7,))]) == life.tick(100)
        assert NOTHING == life.tick(99)
        assert Actions(sends=[Alive(3, (7,))]) == life.tick(1)
        life.explored(handed(remaining=()))
        life.hears(Ack(7, 1))
        assert Actions(sends=[Alive(3)]) == life.tick(100)

    def test_anything_said_is_a_beat(self):
        """Protects the coordinator's time: who has just said something need not say that it lives."""
        life = exploring(heartbeat_ms=100)
        life.explored(handed(), after_ms=90)
        assert NOTHING == life.tick(99)
        assert Actions(sends=[Alive(3, (7,))]) == life.tick(1)

    def test_none_promised_none_sent(self):
        """Protects silence: without a promise there is no heartbeat; nor before there is an id."""
        assert NOTHING == exploring().tick(REPORT_MS - 1)
        assert NOTHING == Life(heartbeat_ms=100).tick(100)
        assert SAY_AGAIN_MS == Life(heartbeat_ms=100).wakes_in_ms()


def test_copies_forget_nothing():
    """Protects the model checker: its hand-written copy of a worker is as good as the original, and independent of it."""
    life = exploring()
    life.explored(handed())
    life.explored(handed(shared=(B,)))
    copied = copy_half(life.half)
    assert vars(life.half).keys() == vars(copied).keys()
    for name in LeaseWork.__struct_fields__:
        ours, theirs = getattr(life.half._work, name), getattr(copied._work, name)
        assert ours == theirs
        assert not isinstance(ours, list) or ours is not theirs
    copied.receive(Ack(7, 1), 0)
    assert Actions(sends=[said(handed(shared=(B,)), 2)]) == life.hears(Ack(7, 1))
