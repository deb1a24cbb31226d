"""Jobs in the order of their ids, oldest first: of many, all but some of the oldest and of the newest are packed.

As an object a job takes five times the memory of its encoding. What is first is at hand, because it goes next. This module must
not decide what goes next.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

import msgspec

from parry_mpi.core.ids import JobId
from parry_mpi.job import Job

BLOCK_JOBS = 256
"""How many jobs are packed together: what comes with each block does not count then, and unpacking one takes no more than 0.1 ms."""

BLOCK_BYTES = 1 << 16
"""Jobs with large nodes are packed together until they have so many bytes: little is saved there, and much would be copied at once."""

AT_HAND_JOBS = 64
"""How many of the oldest are not packed, at least: what most bundles take."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """Some jobs whose ids follow on each other.

    Args:
        first: the smallest id.
        count: how many jobs.
        body: ids and jobs, encoded.
    """

    first: JobId
    count: int
    body: bytes

    def jobs(self) -> dict[JobId, Job]:
        """Unpack them."""
        return _decode(self.body)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[JobId, Job]).decode
_first_of = attrgetter("first")


def _packed(jobs: dict[JobId, Job]) -> Block:
    """Pack some jobs, at least one, oldest first."""
    return Block(next(iter(jobs)), len(jobs), _encode(jobs))


class PackedJobs:
    """Jobs by id. Adding, finding and removing the first cost the same however many there are; others have to be looked for.

    Invariants:
        Every id in the front is smaller than those in the blocks, which grow, and these are smaller than those in the back.
        The front has AT_HAND_JOBS of the jobs or more, or all of them.
    """

    __slots__ = ("_back", "_back_bytes", "_blocks", "_front", "_packed_count")

    def __init__(self) -> None:
        self._front: dict[JobId, Job] = {}
        self._blocks: list[Block] = []
        self._back: dict[JobId, Job] = {}
        self._back_bytes = 0
        self._packed_count = 0

    def add(self, job_id: JobId, job: Job) -> None:
        """Add a job, with an id greater than all that are in."""
        if len(self._front) < BLOCK_JOBS and not self._blocks and not self._back:
            self._front[job_id] = job
            return
        self._back[job_id] = job
        self._back_bytes += job.size_bytes
        if len(self._back) >= BLOCK_JOBS or self._back_bytes >= BLOCK_BYTES:
            self._blocks.append(_packed(self._back))
            self._packed_count += len(self._back)
            self._back, self._back_bytes = {}, 0

    def remove(self, job_id: JobId) -> Job:
        """Take a job out. One that is neither among the oldest nor among the newest costs unpacking and packing again.

        Raises:
            KeyError: it is not in.
        """
        job = self._front.pop(job_id, None)
        if job is None:
            job = self._back.pop(job_id, None)
        if job is None:
            job = self._remove_packed(job_id)
        if len(self._front) < AT_HAND_JOBS:
            self._refill()
        return job

    def first(self) -> JobId | None:
        """Return the oldest id."""
        return next(iter(self._front), None)

    def items(self) -> Iterator[tuple[JobId, Job]]:
        """Give ids and jobs, oldest first; they must not change meanwhile."""
        if self._blocks or self._back:
            return self._all_items()
        return iter(self._front.items())

    def drained(self) -> Iterator[tuple[JobId, Job]]:
        """Give ids and jobs, oldest first, and let go of them on the way: who keeps them elsewhere does not have them twice."""
        while self._front:
            yield from self._front.items()
            self._front.clear()
            self._refill()

    def __len__(self) -> int:
        return len(self._front) + self._packed_count + len(self._back)

    def __getitem__(self, job_id: JobId) -> Job:
        job = self._front.get(job_id) or self._back.get(job_id)
        if job is not None:
            return job
        place = self._place(job_id)
        if place < 0:
            raise KeyError(job_id)
        return self._blocks[place].jobs()[job_id]

    def __contains__(self, job_id: JobId) -> bool:
        if job_id in self._front or job_id in self._back:
            return True
        place = self._place(job_id)
        return place >= 0 and job_id in self._blocks[place].jobs()

    def at_hand(self, job_id: JobId) -> bool:
        """Whether it is in, and among the oldest: what can be told at once."""
        return job_id in self._front

    def copy(self) -> PackedJobs:
        """Return an independent copy; jobs and blocks are immutable and shared."""
        other = PackedJobs()
        other._front = self._front.copy()
        other._blocks = self._blocks.copy()
        other._back = self._back.copy()
        other._back_bytes = self._back_bytes
        other._packed_count = self._packed_count
        return other

    def _all_items(self) -> Iterator[tuple[JobId, Job]]:
        yield from self._front.items()
        for block in self._blocks:
            yield from block.jobs().items()
        yield from self._back.items()

    def _refill(self) -> None:
        """See to it that the front has as many as it should."""
        front = self._front
        while self._blocks and len(front) < AT_HAND_JOBS:
            block = self._blocks.pop(0)
            self._packed_count -= block.count
            front.update(block.jobs())
        if self._back and len(front) < AT_HAND_JOBS:
            front.update(self._back)
            self._back, self._back_bytes = {}, 0

    def _place(self, job_id: JobId) -> int:
        """Return which block alone can hold a job; -1 for none."""
        return bisect_right(self._blocks, job_id, key=_first_of) - 1

    def _remove_packed(self, job_id: JobId) -> Job:
        place = self._place(job_id)
        if place < 0:
            raise KeyError(job_id)
        jobs = self._blocks[place].jobs()
        job = jobs.pop(job_id)
        self._blocks[place : place + 1] = [_packed(jobs)] if jobs else []
        self._packed_count -= 1
        return job
