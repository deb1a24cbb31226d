"""Fast copies and canonical forms of what the exhaustive search holds; tests/unit/test_copies.py checks that no field is forgotten."""

from __future__ import annotations

from collections import deque
from copy import copy

from parry_mpi.core import coordinator as coordinator_module
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Effects
from support.protocol import VirtualWorker


def copy_coordinator(coordinator: Coordinator) -> Coordinator:
    """Return an independent copy of a coordinator, without its story."""
    other = Coordinator.__new__(Coordinator)
    other.__dict__.update(coordinator.__dict__)
    other.__dict__.pop("canon", None)
    other.state = coordinator.state.copy()
    other.story = deque(maxlen=0)
    other._effects = Effects()
    volatile = coordinator.volatile
    copied = copy(volatile)
    copied.workers = {key: copy(worker) for key, worker in volatile.workers.items()}
    copied.watches = {key: copy(watch) for key, watch in volatile.watches.items()}
    copied.by_peer = volatile.by_peer.copy()
    copied.hungry = volatile.hungry.copy()
    copied.policy = volatile.policy.copy()
    copied.requests = volatile.requests.copy(other._lease_weight)
    other.volatile = copied
    return other


class Part:
    """The canonical form of one part of a world: plain numbers, and ids of which only the order matters.

    Ids are doubled; those of workers are odd. Once it is complete, one number stands for the plain ones.
    """

    __slots__ = ("ids", "number", "plain")

    def __init__(self) -> None:
        self.plain: list[int] = []
        self.ids: list[int] = []
        self.number = -1


class Canon:
    """Turn worlds into keys that are equal when nothing that will ever happen can tell them apart.

    Ids are replaced by their rank, times by how far they are away. Nothing changes an actor or a frame once it is part of a
    world, so their canonical forms are kept with them.
    """

    def __init__(self) -> None:
        self._numbers: dict = {}

    def number(self, thing) -> int:
        """A small number for a thing: the same for equal things."""
        return self._numbers.setdefault(thing, len(self._numbers))

    def key(self, world) -> int:
        """The key of a world."""
        plain = [world.left, world.must_commit, world.pull, world.ledger.result]
        ids: list[int] = []
        coordinator = world.coordinator
        parts = [coordinator.__dict__.get("canon") or self._kept(coordinator, self._coordinator(world))]
        for index, virtual in enumerate(world.workers):
            parts.append(virtual.canon or self._kept(virtual, self._worker(virtual, world.worker_ms[index])))
            for link in (world.up[index], world.down[index]):
                plain.append(len(link))
                parts += [frame.canon or self._kept(frame, self._frame(frame.messages)) for frame in link]
        if world.rules.restarts:
            disk = world.disk
            plain.append(disk.result)
            parts.append(disk.canon or self._kept(disk, self._state(disk.state, Part())))
        for part in parts:
            plain.append(part.number)
            ids += part.ids
        ranks: dict[int, int] = {}
        seen = [0, 0]
        for mark in sorted(set(ids)):
            kind = mark & 1
            ranks[mark] = seen[kind]
            seen[kind] += 1
        plain += [ranks[mark] for mark in ids]
        return hash(tuple(plain))

    def _kept(self, owner, part: Part) -> Part:
        part.number = self.number(tuple(part.plain))
        part.plain.clear()
        owner.canon = part
        return part

    def _state(self, state, part: Part) -> Part:
        number = self.number
        plain, ids = part.plain, part.ids
        plain.append(tuple([number(job) for _, job in state.pending.items()]))
        plain.append(tuple([number(entry.job) for entry in state.quarantined.values()]))
        plain += (state.counters.roots_pulled, state.counters.roots_exhausted, state.counters.decided)
        for lease_id, lease in state.leases.items():
            plain += (lease.seq, number(lease.jobs))
            ids += (lease_id << 1, lease.worker << 1 | 1)
        return part

    def _coordinator(self, world) -> Part:
        coordinator = world.coordinator
        part = self._state(coordinator.state, Part())
        volatile, now_ms = coordinator.volatile, world.clock_ms
        plain, ids = part.plain, part.ids
        plain += (volatile.phase.value, volatile.pulling, volatile.failure is not None, len(volatile.workers), volatile.incumbent)
        plain.append(-1 if volatile.grace_ends_at_ms is None else max(0, volatile.grace_ends_at_ms - now_ms))
        plain.append(-1 if world.wake_at_ms is None else max(0, world.wake_at_ms - now_ms))
        plain.append(max(0, volatile.said_stop_at_ms + coordinator_module.SAY_AGAIN_MS - now_ms))
        for worker in volatile.workers.values():
            plain += (worker.peer, worker.hello.token, worker.hungry)
            ids.append(worker.worker << 1 | 1)
        ids += [worker_id << 1 | 1 for worker_id in volatile.hungry]
        for lease_id, watch in volatile.watches.items():
            request = volatile.requests.asked.get(lease_id)
            if request is None:
                plain += (-1, max(0, volatile.requests.may_be_asked_at_ms(lease_id) - now_ms))
            else:
                asked = now_ms - request.asked_at_ms if world.rules.patience_ms else 0
                plain += (asked, max(0, request.said_at_ms + coordinator_module.SAY_AGAIN_MS - now_ms))
            # A bundle is sent again only as long as it was never reported on; it then holds what its lease holds.
            plain += (watch.progressed, watch.bundle.careful, watch.bundle.share)
        return part

    def _worker(self, virtual: VirtualWorker, now_ms: int) -> Part:
        half, work, explorer = virtual.half, virtual.half._work, virtual.explorer
        part = Part()
        part.ids += ((half.worker_id or 0) << 1 | 1, (half.lease or 0) << 1, half._newest_lease << 1, virtual.begun << 1)
        part.plain += (
            half.phase.value,
            half.lease is None,
            half._hello.token,
            max(0, half._said_at_ms + half.say_again_ms - now_ms),
            max(0, half._reported_at_ms + half.report_ms - now_ms) if half.lease else 0,
            work.seq,
            work.ending,
            work.asked,
            work.hungry_others,
            work.careful,
            work.stretch if work.careful else 0,
        )
        self._messages_of(work.unanswered, part)
        self._messages_of(work.waiting, part)
        self._messages_of(virtual.told, part)
        if explorer.begin is not None:
            part.ids.append(explorer.begin.lease << 1)
            part.plain += (self.number(explorer.stack), explorer.value, explorer.stretch, str(explorer.want), explorer.won)
        return part

    def _frame(self, messages) -> Part:
        part = Part()
        self._messages_of(messages, part)
        return part

    def _messages_of(self, messages, part: Part) -> None:
        part.plain.append(len(messages))
        for message in messages:
            self._message(message, part)

    def _message(self, message, part: Part) -> None:
        part.plain.append(type(message).__name__)
        for name in message.__struct_fields__:
            content = getattr(message, name)
            if name in {"lease", "seen"}:
                part.ids.append(content << 1)
            elif name == "worker":
                part.ids.append(content << 1 | 1)
            elif name == "before" and content is not None:
                self._message(content, part)
            else:
                part.plain.append(self.number(content))
