"""Names for the integers that identify things. Ids start at 1, grow, and are never used twice, across restarts too."""

from __future__ import annotations

from typing import NewType

WorkerId = NewType("WorkerId", int)
LeaseId = NewType("LeaseId", int)
JobId = NewType("JobId", int)
Peer = NewType("Peer", int)
"""Whom a transport delivers from and to: an MPI rank, or a number the bridge gave a connection. Only the transport knows which."""
