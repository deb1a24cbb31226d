"""What speaks against a report: a worker that says what cannot be true is not believed.

This module must not decide what follows from it.
"""

from __future__ import annotations

from parry_mpi.core.messages import Report
from parry_mpi.core.state import Lease
from parry_mpi.job import total_weight


def objection(lease: Lease, report: Report) -> str:
    """Say why a report under this lease cannot be true, or return ""."""
    pieces = (*report.remaining, *report.shared)
    killed = max(job.killed for job in lease.jobs)
    if any(job.killed != killed for job in pieces):
        return "it changes how often a job was killed"
    if any(job.weight < 0 for job in pieces) or total_weight(pieces) > total_weight(lease.jobs):
        return "its jobs weigh more than the lease"
    if min(report.nodes, report.explored_us, report.solved) < 0 or bool(report.value) != bool(report.nodes):
        return "its numbers are impossible"
    return ""
