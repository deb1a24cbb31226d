"""Which leases may be asked to share, the heaviest first, and which were asked and have not answered.

Everything here costs O(log leases) a lease, so that ten thousand workers, half of them hungry, do not keep the coordinator busy with
looking through their leases. This module must not send anything, nor change the state.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import msgspec

from parry_mpi.core.ids import LeaseId

SLACK = 64
"""Entries of ended leases that are tolerated before the heaps are made anew."""


class Request(msgspec.Struct):
    """A share request that was not answered yet.

    Args:
        asked_at_ms: when it was sent first.
        said_at_ms: when it was sent last.
    """

    asked_at_ms: int
    said_at_ms: int


class ShareRequests:
    """The leases that are asked to share, and those that may be.

    Args:
        weight_of: how much remains under a live lease.

    Attributes:
        asked: requests without an answer.

    Invariants:
        Every lease that was added and not dropped is either asked, or in ``_rest_until_ms``, or in ``_ready``.
    """

    def __init__(self, weight_of: Callable[[LeaseId], int]) -> None:
        self.asked: dict[LeaseId, Request] = {}
        self._weight_of = weight_of
        self._rest_until_ms: dict[LeaseId, int] = {}
        self._resting: list[tuple[int, LeaseId]] = []
        self._ready: dict[LeaseId, None] = {}
        self._heaviest: list[tuple[int, LeaseId]] = []

    def rest(self, lease_id: LeaseId, until_ms: int) -> None:
        """A lease is new, or has answered: it may be asked from then on."""
        self.drop(lease_id)
        self._rest_until_ms[lease_id] = until_ms
        heapq.heappush(self._resting, (until_ms, lease_id))
        if len(self._resting) > 2 * len(self._rest_until_ms) + SLACK:
            self._resting = sorted((at_ms, lease) for lease, at_ms in self._rest_until_ms.items())

    def drop(self, lease_id: LeaseId) -> None:
        """A lease has ended."""
        self.asked.pop(lease_id, None)
        self._rest_until_ms.pop(lease_id, None)
        self._ready.pop(lease_id, None)

    def ask(self, now_ms: int) -> LeaseId | None:
        """Choose the heaviest lease that may be asked now, and count it as asked; None if there is none.

        The heaviest lasts longest. Of equals the oldest is chosen, so that the choice depends on nothing unseeded.
        """
        self._wake(now_ms)
        while self._heaviest:
            told, lease_id = heapq.heappop(self._heaviest)
            if lease_id not in self._ready:
                continue
            weight = self._weight_of(lease_id)
            if weight < -told:
                # It has become lighter since it was put here; there may be a heavier one now.
                heapq.heappush(self._heaviest, (-weight, lease_id))
                continue
            del self._ready[lease_id]
            self.asked[lease_id] = Request(now_ms, now_ms)
            return lease_id
        return None

    def next_at_ms(self) -> int | None:
        """When a lease that rests may be asked, or None if none rests."""
        while self._resting and self._rest_until_ms.get(self._resting[0][1]) != self._resting[0][0]:
            heapq.heappop(self._resting)
        return self._resting[0][0] if self._resting else None

    def copy(self, weight_of: Callable[[LeaseId], int]) -> ShareRequests:
        """Return an independent copy that asks somebody else for weights."""
        other = ShareRequests(weight_of)
        other.asked = {lease_id: Request(request.asked_at_ms, request.said_at_ms) for lease_id, request in self.asked.items()}
        other._rest_until_ms = self._rest_until_ms.copy()
        other._resting = self._resting.copy()
        other._ready = self._ready.copy()
        other._heaviest = self._heaviest.copy()
        return other

    def may_be_asked_at_ms(self, lease_id: LeaseId) -> int:
        """When a lease that is not asked may be; 0 for at once."""
        return self._rest_until_ms.get(lease_id, 0)

    def __contains__(self, lease_id: object) -> bool:
        return lease_id in self.asked or lease_id in self._rest_until_ms or lease_id in self._ready

    def __len__(self) -> int:
        return len(self.asked) + len(self._rest_until_ms) + len(self._ready)

    def _wake(self, now_ms: int) -> None:
        """Let the leases that have rested long enough stand ready."""
        while (at_ms := self.next_at_ms()) is not None and at_ms <= now_ms:
            _, lease_id = heapq.heappop(self._resting)
            del self._rest_until_ms[lease_id]
            self._ready[lease_id] = None
            heapq.heappush(self._heaviest, (-self._weight_of(lease_id), lease_id))
        if len(self._heaviest) > 2 * len(self._ready) + SLACK:
            self._heaviest = sorted((-self._weight_of(lease_id), lease_id) for lease_id in self._ready)
