"""Ways to break the coordinator, the state and the worker's half, each of which some test has to notice.

A mutant is a method with a piece of its text replaced. When the text is not there any more, the mutant has to be written anew.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from parry_mpi.core import books, coordinator, state, worker

Books, Coordinator, State, Worker = books.Books, coordinator.Coordinator, state.State, worker.Worker


@dataclass(frozen=True)
class Mutant:
    """One way to break something.

    Args:
        name: what is wrong with it.
        owner, method: what is broken.
        changes: pairs of a text and what stands there instead.
    """

    name: str
    owner: type
    method: str
    changes: tuple[tuple[str, str], ...]

    def broken(self) -> object:
        """Return the method, or the property, as it is in this mutant."""
        intact = vars(self.owner)[self.method]
        function = intact.fget if isinstance(intact, property) else intact
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.changes:
            assert source.count(old) == 1, f"{self.name}: {self.method} has {source.count(old)} times {old!r}"
            source = source.replace(old, new)
        names: dict[str, Callable[..., object]] = {}
        exec(compile(source, f"<{self.name}>", "exec"), vars(sys.modules[self.owner.__module__]), names)  # noqa: S102 our own text
        return property(names[self.method]) if isinstance(intact, property) else names[self.method]


def mutant(name: str, owner: type, method: str, *changes: tuple[str, str]) -> Mutant:
    return Mutant(name, owner, method, changes)


MUTANTS = (
    mutant(
        "a report is not asked for its number",
        Coordinator,
        "_report",
        ("report.seq <= lease.seq", "False"),
        ("report.seq != lease.seq + 1", "False"),
    ),
    mutant("a repeated report kills its lease", Coordinator, "_report", ("report.seq <= lease.seq", "report.seq == -1")),
    mutant("anybody may report", Books, "_own_lease", ("worker.lease == lease_id", "lease_id in self.state.leases")),
    mutant(
        "what was found is not counted", Coordinator, "_accept", ("if report.nodes:", "if report.nodes and report.remaining:")
    ),
    mutant(
        "a lease is not acknowledged", Coordinator, "_accept", ("self._send(worker.peer, Ack(report.lease, report.seq))", "pass")
    ),
    mutant("a lost worker keeps its lease", Books, "_lose", ("worker.lease is not None", "False")),
    mutant("a worker that leaves keeps its lease", Books, "_leave", ("worker.lease is not None", "False")),
    mutant(
        "Finished is said before the end is on disk",
        Coordinator,
        "_look_around",
        ("self._effects.must_commit = True", "self._committed()"),
    ),
    mutant("Finished is said to a run that was stopped", Coordinator, "_farewell", ("if self.state.done else Stop()", "")),
    mutant("a kill leaves no trace", Books, "_killed_once_more", ("job.killed_once_more()", "job")),
    mutant(
        "killed is reset",
        Books,
        "_killed_once_more",
        ("job.killed_once_more()", "job.killed_once_more() if not job.killed else msgspec.structs.replace(job, killed=0)"),
    ),
    mutant("a lease is sent again though it was begun", Coordinator, "_get_job", ("message.seen < worker.lease", "True")),
    mutant(
        "a lease let go is never noticed",
        Coordinator,
        "_get_job",
        ('self._kill(worker.lease, "its worker let it go", worker.hello.host)', "return"),
    ),
    mutant(
        "nobody is told again that it is over", Coordinator, "_get_job", ("self._send(worker.peer, self._farewell())", "pass")
    ),
    mutant("a witness does not end the search", Coordinator, "_improved", ("self._record(Decided())", "pass")),
    mutant(
        "a witness makes others' jobs vanish",
        Coordinator,
        "_improved",
        ("self._void(lease_id, lease.jobs, (), killing=False)", "self._void(lease_id, (), (), killing=False)"),
    ),
    mutant("a stranger is not answered", Coordinator, "_to_stranger", ("self._send(peer, Rejoin())", "pass")),
    mutant("Hello twice, two workers", Coordinator, "_hello", ("worker.hello.token == hello.token", "False")),
    mutant("one that raised takes its neighbours along", Coordinator, "_failed", ("tuple(others), (entry,)", "(), (entry,)")),
    mutant(
        "a bad job is quarantined and handed out", Coordinator, "_failed", ("tuple(others), (entry,)", "lease.jobs, (entry,)")
    ),
    mutant("the wrong job is blamed", Books, "_kill", ("*others, suspect = lease.jobs", "suspect, *others = lease.jobs")),
    mutant(
        "what is killed is quarantined at once",
        Books,
        "_kill",
        ("suspect.killed >= self.settings.max_kills and not watch.progressed", "True"),
    ),
    mutant("nothing is ever quarantined", Books, "_kill", ("suspect.killed >= self.settings.max_kills", "False")),
    mutant(
        "what a silent lease held is not handed out",
        Coordinator,
        "_look_around",
        ("self._feed()  # what was just taken from a silent lease", "pass"),
    ),
    mutant(
        "a stop forgets what is leased",
        Coordinator,
        "_await_hand_back",
        ("self._void(lease_id, lease.jobs, (), killing=False)", "self._void(lease_id, (), (), killing=False)"),
    ),
    mutant("what is shared is lost", State, "_apply_reported", ("self._add_pending(record.shared)", "pass")),
    mutant(
        "what is shared stays leased too",
        State,
        "_apply_reported",
        ("lease.jobs = record.remaining", "lease.jobs = record.remaining + record.shared"),
    ),
    mutant("reports are not numbered", State, "_apply_reported", ("lease.seq = record.seq", "pass")),
    mutant("a lease id is used twice", State, "_apply_granted", ("LeaseId(record.lease + 1)", "LeaseId(max(1, record.lease))")),
    mutant("what is granted stays pending", State, "_apply_granted", ("self._remove_pending(job_id)", "pass")),
    mutant(
        "a voided lease takes its jobs along",
        State,
        "_apply_voided",
        ("self._add_pending(record.pending)", "self._add_pending(record.pending[1:])"),
    ),
    mutant("quarantine forgets", State, "_apply_voided", ("self.quarantined[job_id] = entry", "pass")),
    mutant("a restart forgets what was leased", State, "_apply_restarted", ("self._add_pending(lease.jobs)", "pass")),
    mutant(
        "a restart gives out old lease ids",
        State,
        "_apply_restarted",
        ("LeaseId((counters.restarts << LEASE_EPOCH_BITS) + 1)", "counters.next_lease"),
    ),
    mutant(
        "a restart gives out old worker ids",
        State,
        "_apply_restarted",
        ("WorkerId((counters.restarts << WORKER_EPOCH_BITS) + 1)", "counters.next_worker"),
    ),
    mutant("a job that left stays on disk", State, "_remove_pending", ("self._changes.pending_removed.add(job_id)", "pass")),
    mutant("an ended lease stays on disk", State, "_end_lease", ("self._changes.leases_removed.add(lease_id)", "pass")),
    mutant(
        "a report does not reach the disk", State, "_apply_reported", ("self._changes.leases_put[record.lease] = lease", "pass")
    ),
    mutant("it is over while roots are left", State, "done", ("and self.counters.roots_exhausted", "")),
    mutant("a worker takes a bundle twice", Worker, "_bundle", ("bundle.lease <= self._newest_lease or ", "")),
    mutant(
        "a worker forgets the leases it knew",
        Worker,
        "receive",
        ("self.phase = Phase.JOINING", "self.phase, self._newest_lease = Phase.JOINING, LeaseId(0)"),
    ),
    mutant("a worker numbers all reports alike", Worker, "_hand_over", ("self._work.seq += 1", "self._work.seq = 1")),
    mutant("a worker says nothing twice", Worker, "tick", ("if self._unacknowledged and", "if False and")),
    mutant(
        "a worker goes on with a dead lease",
        Worker,
        "_hear_of_work",
        ("case Die():\n            if message.lease == self.lease:", "case Die():\n            if False:"),
    ),
    mutant("a worker reports an older lease's work", Worker, "explored", ("event.lease != self.lease", "self.lease is None")),
    mutant("a worker explores before it may", Worker, "_bundle", ("bundle.jobs, bundle.careful,", "bundle.jobs, False,")),
)
