"""Who is asked to share: the heaviest that may be, once, and cheaply among thousands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core.sharing import SLACK, Request, ShareRequests


class Weights:
    """Leases by number, with what remains under them."""

    def __init__(self, **weights: int) -> None:
        self.of = {int(name[1:]): weight for name, weight in weights.items()}
        self.requests = ShareRequests(lambda lease: self.of[lease])

    def rested(self) -> ShareRequests:
        for lease in self.of:
            self.requests.rest(lease, 0)
        return self.requests


def test_heaviest_first_of_equals_the_oldest():
    """Protects speed: who holds most is asked first, and the choice depends on nothing but what is known."""
    requests = Weights(l1=5, l2=9, l3=9, l4=1).rested()
    assert [2, 3, 1, 4, None] == [requests.ask(10) for _ in range(5)]
    assert Request(10, 10) == requests.asked[2]
    assert 4 == len(requests)


def test_weights_that_changed():
    """Protects speed: a lease that has become lighter since it stood ready is passed over for a heavier one."""
    weights = Weights(l1=10, l2=8, l3=6)
    requests = weights.rested()
    assert 1 == requests.ask(0)
    weights.of[2] = 5
    assert [3, 2] == [requests.ask(0), requests.ask(0)]


def test_rest():
    """Protects short leases: nobody is asked before its time, and the time is known."""
    weights = Weights(l1=1, l2=2)
    requests = weights.requests
    assert requests.next_at_ms() is None
    requests.rest(1, 30)
    requests.rest(2, 20)
    assert (20, 30, 20) == (requests.next_at_ms(), requests.may_be_asked_at_ms(1), requests.may_be_asked_at_ms(2))
    assert requests.ask(19) is None
    assert [2, None] == [requests.ask(20), requests.ask(29)]
    assert (30, 0) == (requests.next_at_ms(), requests.may_be_asked_at_ms(2))
    requests.rest(1, 50)
    assert (50, None) == (requests.next_at_ms(), requests.ask(49))
    assert 1 == requests.ask(50)


def test_dropped():
    """Protects against asking the dead: a lease that ended is not asked, wherever it stood, and is not looked for."""
    weights = Weights(l1=5, l2=4, l3=3)
    requests = weights.rested()
    assert 1 == requests.ask(0)
    requests.rest(3, 99)
    for lease in (1, 2, 3):
        assert lease in requests
        requests.drop(lease)
        assert lease not in requests
    weights.of.clear()
    assert (0, None, None) == (len(requests), requests.next_at_ms(), requests.ask(1000))
    requests.drop(77)


def test_copy_is_independent():
    """Protects the model checker: what is asked in a copy is not asked in the original."""
    weights = Weights(l1=5, l2=4, l3=3)
    requests = weights.rested()
    assert 1 == requests.ask(0)
    requests.rest(3, 50)
    copied = requests.copy(lambda lease: weights.of[lease])
    copied.asked[1].said_at_ms = 99
    assert [2, 3] == [copied.ask(60), copied.ask(60)]
    assert (Request(0, 0), 3) == (requests.asked[1], len(requests))
    assert [2, 3] == [requests.ask(60), requests.ask(60)]


def test_memory():
    """Protects long runs: what is kept follows the leases that live, not those that ever lived."""
    weights = Weights()
    requests = weights.requests
    for lease in range(20 * SLACK):
        weights.of[lease] = lease
        requests.rest(lease, lease % 3)
        if lease % 2:
            requests._wake(9)
        requests.drop(lease)
    for at_ms in range(10 * SLACK):
        requests.rest(0, at_ms)
    assert len(requests._resting) <= SLACK + 4
    requests.drop(0)
    weights.of[10**6] = 1
    requests.rest(10**6, 0)
    requests._wake(9)
    assert len(requests._resting) <= SLACK + 2
    assert len(requests._heaviest) <= SLACK + 2
    assert 10**6 == requests.ask(9)


@given(
    st.lists(st.tuples(st.sampled_from(["rest", "drop", "ask", "lighter"]), st.integers(1, 6), st.integers(0, 20)), max_size=40)
)
def test_like_a_dumb_list(steps):
    """Protects the choice: whatever was before, the one that is asked is the heaviest of those that may be."""
    weight = {lease: 100 - lease for lease in range(1, 7)}
    requests = ShareRequests(weight.__getitem__)
    rests: dict[int, int] = {}
    asked: set[int] = set()
    now_ms = 0
    for what, lease, number in steps:
        now_ms += number % 3
        if what == "rest":
            requests.rest(lease, now_ms + number)
            rests[lease] = now_ms + number
            asked.discard(lease)
        elif what == "drop":
            requests.drop(lease)
            rests.pop(lease, None)
            asked.discard(lease)
        elif what == "lighter":
            weight[lease] -= number
        else:
            may = sorted((-weight[each], each) for each, at_ms in rests.items() if at_ms <= now_ms)
            assert (may[0][1] if may else None) == requests.ask(now_ms)
            if may:
                asked.add(may[0][1])
                del rests[may[0][1]]
        assert asked == set(requests.asked)
        assert len(asked) + len(rests) == len(requests)
