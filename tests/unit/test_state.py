"""The durable state: one fact at a time, and only the net change goes to the disk."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core.invariants import check_state
from parry_mpi.core.packed import PackedJobs
from parry_mpi.core.records import Granted, Joined, Quarantined, Reported, Restarted, Retried, RootsPulled, Voided
from parry_mpi.core.state import LEASE_EPOCH_BITS, WORKER_EPOCH_BITS, Changes, Counters, Lease, Snapshot, State
from parry_mpi.errors import InvariantError
from parry_mpi.job import WHOLE, Job

A, B, C = Job(b"a", weight=100), Job(b"b", 1, weight=20), Job(b"c", 1, weight=30)
POISON = Quarantined(B, "killed by signal 9", "", "host")


def begun(*jobs: Job) -> State:
    """A state with these jobs pending, ids from 1 on."""
    state = State()
    state.apply(RootsPulled(jobs, len(jobs), exhausted=True, unpulled_weight=0))
    state.apply(Joined(1))
    return state


def leased(*jobs: Job) -> State:
    """A state in which lease 1 is on these jobs."""
    state = begun(*jobs)
    state.apply(Granted(1, 1, tuple(range(1, len(jobs) + 1)), jobs))
    return state


def reported(lease=1, seq=1, remaining=(), shared=()) -> Reported:
    return Reported(lease, seq, 5, 7, 2, remaining, shared)


def table(state: State) -> tuple:
    return msgspec.to_builtins((state.to_snapshot().counters, dict(state.pending.items()), state.leases, state.quarantined))


class TestRecords:
    def test_joined(self):
        """Protects worker ids: they are given out once."""
        state = State()
        state.apply(Joined(1))
        assert 2 == state.counters.next_worker

    def test_roots_pulled(self):
        """Protects roots: how many were taken is part of the state, and so is the weight of those to come."""
        state = State()
        assert (WHOLE, 0) == (state.unexplored_weight, state.explored_weight)
        state.apply(RootsPulled((A, B), 2, exhausted=False, unpulled_weight=500))
        assert {1: A, 2: B} == dict(state.pending.items())
        assert (2, False, 500) == (state.counters.roots_pulled, state.counters.roots_exhausted, state.counters.unpulled_weight)
        assert 620 == state.unexplored_weight
        assert not state.done

    def test_granted(self):
        """Protects a run of roots that is cut: what stays pending has an id of its own, and nothing is lost."""
        run = Job(weight=100, count=10)
        state = begun(run)
        state.apply(Granted(1, 4, (1,), (Job(weight=30, count=3),), (Job(weight=70, first=3, count=7),)))
        assert {2: Job(weight=70, first=3, count=7)} == dict(state.pending.items())
        assert {1: Lease(4, (Job(weight=30, count=3),))} == state.leases
        assert (100, 30, 1) == (state.unexplored_weight, state.leased_weight, state.leased_count)
        assert (2, 1) == (state.counters.next_lease, state.counters.grants)

    def test_reported(self):
        """Protects the one atomic step: value, what remains and what is shared change hands together."""
        state = leased(A)
        state.apply(reported(remaining=(B,), shared=(C,)))
        assert {1: Lease(1, (B,), 1)} == state.leases
        assert [C] == [job for _, job in state.pending.items()]
        counters = state.counters
        assert (5, 7, 2, 1, 1) == (counters.nodes, counters.explored_us, counters.solved, counters.reports, counters.shared)
        assert (20, 1) == (state.leased_weight, state.leased_count)
        state.apply(reported(seq=2))
        assert {} == state.leases
        assert (0, 0, 30) == (state.leased_weight, state.leased_count, state.unexplored_weight)

    def test_voided(self):
        """Protects what a lost worker held: it goes back, or into quarantine; only a kill counts as one."""
        state = leased(A, B)
        state.apply(Voided(1, (A,), (POISON,)))
        assert [A] == [job for _, job in state.pending.items()]
        assert [POISON] == list(state.quarantined.values())
        assert (1, 20) == (state.counters.killings, state.quarantined_weight)
        state = leased(A)
        state.apply(Voided(1, (A,), killing=False))
        assert 0 == state.counters.killings

    def test_retried(self):
        """Protects quarantined jobs: the user gets them back, under new ids, with their history."""
        state = leased(B)
        state.apply(Voided(1, (), (POISON,)))
        assert state.done
        state.apply(Retried())
        assert ({3: B}, {}) == (dict(state.pending.items()), state.quarantined)
        assert not state.done

    def test_restarted(self):
        """Protects a restart: leases end, their jobs go back as they were, and ids go on where nobody has been."""
        state = leased(A, B)
        state.apply(Restarted())
        assert [A, B] == [job for _, job in state.pending.items()]
        assert {} == state.leases
        assert (0, 1) == (state.counters.killings, state.counters.restarts)
        assert ((1 << WORKER_EPOCH_BITS) + 1, (1 << LEASE_EPOCH_BITS) + 1) == (
            state.counters.next_worker,
            state.counters.next_lease,
        )
        state.apply(Restarted())
        assert (2 << LEASE_EPOCH_BITS) + 1 == state.counters.next_lease

    @pytest.mark.parametrize("record", [reported(lease=7), Voided(7, ())])
    def test_leases_that_are_not_live(self, record):
        """Protects the count: a fact about a lease that ended is a bug, never applied."""
        with pytest.raises(InvariantError, match="lease 7, which is not live"):
            leased(A).apply(record)

    def test_jobs_that_are_not_pending(self):
        """Protects the count: a job cannot be granted twice."""
        state = leased(A)
        with pytest.raises(InvariantError, match="job 1, which is not pending"):
            state.apply(Granted(2, 1, (1,), (A,)))


class TestChanges:
    def test_born_and_finished_in_between(self):
        """Protects the disk: a job that comes and goes between two commits is never written."""
        state = begun(A)
        state.take_changes()
        state.apply(Granted(1, 1, (1,), (A,)))
        state.apply(reported(remaining=(B,), shared=(C,)))
        state.apply(Granted(2, 2, (2,), (C,)))
        state.apply(reported(lease=2))
        changes = state.take_changes()
        assert ({}, {1}) == (changes.pending_put, changes.pending_removed)
        assert {1: Lease(1, (B,), 1)} == changes.leases_put
        assert changes

    def test_quarantined_and_retried_in_between(self):
        """Protects the disk: the same for the quarantine, and a row that is on disk is removed from it."""
        state = leased(B)
        state.apply(Voided(1, (), (POISON,)))
        assert {2: POISON} == state.copy().quarantined == state.take_changes().quarantined_put
        state.apply(Retried())
        changes = state.take_changes()
        assert ({}, {2}, {3: B}) == (changes.quarantined_put, changes.quarantined_removed, changes.pending_put)
        state = leased(B)
        state.apply(Voided(1, (), (POISON,)))
        state.apply(Retried())
        changes = state.take_changes()
        assert ({}, set()) == (changes.quarantined_put, changes.quarantined_removed)

    def test_independent_of_what_follows(self):
        """Protects the commit: it is written by another thread while the state goes on changing."""
        state = leased(A)
        changes = state.take_changes()
        state.apply(reported(remaining=(B,)))
        assert {1: Lease(1, (A,), 0)} == changes.leases_put
        assert 0 == changes.counters.nodes
        assert 5 == state.take_changes().counters.nodes

    def test_nothing_changed(self):
        """Protects the disk: without a change there is nothing to write, though counters may move."""
        state = begun(A)
        assert state.take_changes()
        state.apply(Joined(2))
        changes = state.take_changes()
        assert not changes
        assert 3 == changes.counters.next_worker

    @pytest.mark.parametrize(
        "field", ["pending_put", "pending_removed", "leases_put", "leases_removed", "quarantined_put", "quarantined_removed"]
    )
    def test_any_row_is_a_change(self, field):
        """Protects every table: a change in any of them is one."""
        changes = Changes(State().counters)
        rows = getattr(changes, field)
        rows.update({1}) if isinstance(rows, set) else rows.update({1: None})
        assert changes


class TestCopies:
    def state(self) -> State:
        state = leased(A, B)
        state.apply(Granted(2, 1, (), (C,)))
        state.apply(Voided(1, (A,), (POISON,)))
        return state

    def test_copy(self):
        """Protects the model checker: a copy is equal, and goes its own way."""
        state = self.state()
        copied = state.copy()
        before = table(state)
        assert before == table(copied)
        check_state(copied)
        copied.apply(reported(lease=2, remaining=(C,)))
        copied.apply(Restarted())
        copied.apply(Retried())
        assert before == table(state)
        assert (30, 1) == (state.leased_weight, state.leased_count)

    def test_snapshot_round_trip(self):
        """Protects a restart: what was stored is what is taken up, and new ids do not collide with old ones."""
        state = self.state()
        snapshot = state.to_snapshot()
        shuffled = Snapshot(snapshot.counters, dict(reversed(snapshot.pending.items())), snapshot.leases, snapshot.quarantined)
        restored = State.from_snapshot(shuffled)
        check_state(restored)
        assert table(state) == table(restored)
        assert (state.leased_weight, state.leased_count) == (restored.leased_weight, restored.leased_count)
        assert not restored.take_changes()

    def test_packed_snapshot(self):
        """Protects a restart with very many jobs: what the store read and packed is taken up, and not kept twice."""
        pending = PackedJobs()
        for job_id in range(1, 1001):
            pending.add(job_id, Job(depth=job_id % 3, weight=job_id))
        before = dict(pending.items())
        restored = State.from_snapshot(Snapshot(Counters(next_job=1001), pending))
        assert before == dict(restored.pending.items())
        assert 0 == len(pending)

    def test_snapshot_is_independent(self):
        """Protects readers: a snapshot stays what it was."""
        state = self.state()
        snapshot = state.to_snapshot()
        state.apply(reported(lease=2, remaining=(A,)))
        assert (C,) == snapshot.leases[2].jobs
        assert 0 == snapshot.counters.nodes


class Disk:
    """Tables that are changed by commits alone."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(State().counters)

    def commit(self, changes: Changes) -> None:
        tables = self.snapshot
        tables.counters = changes.counters
        for rows, put, removed in (
            (tables.pending, changes.pending_put, changes.pending_removed),
            (tables.leases, changes.leases_put, changes.leases_removed),
            (tables.quarantined, changes.quarantined_put, changes.quarantined_removed),
        ):
            assert not put.keys() & removed, "no id is both put and removed"
            rows.update(put)
            for key in removed:
                rows.pop(key, None)


@given(st.lists(st.tuples(st.sampled_from(["grant", "report", "end", "void", "retry", "restart", "commit"]), st.integers(0, 9))))
def test_commits_make_up_the_state(steps):
    """Protects a restart at any moment: the commits, one after the other, are the state."""
    state, disk = begun(A, B, C), Disk()
    for what, which in steps:
        lease = list(state.leases)[which % len(state.leases)] if state.leases else None
        if what == "grant" and state.pending:
            job_id, job = list(state.pending.items())[which % len(state.pending)]
            state.apply(Granted(state.counters.next_lease, 1, (job_id,), (job,)))
        elif what in {"report", "end"} and lease:
            seq, jobs = state.leases[lease].seq + 1, state.leases[lease].jobs
            state.apply(reported(lease, seq, jobs if what == "report" else (), () if what == "report" else jobs))
        elif what == "void" and lease:
            (job,) = state.leases[lease].jobs
            state.apply(Voided(lease, (), (Quarantined(job, "why"),)) if which % 2 else Voided(lease, (job,)))
        elif what in {"retry", "restart"}:
            state.apply(Retried() if what == "retry" else Restarted())
        elif what == "commit":
            disk.commit(state.take_changes())
            assert state.to_snapshot() == disk.snapshot
        check_state(state)
        assert 150 == state.unexplored_weight
    disk.commit(state.take_changes())
    assert state.to_snapshot() == disk.snapshot
