"""A language for scripts of events: every line that begins with ">" is an event; what the coordinator does about it stands below.

    > a joins heartbeat_ms=1000        say hello; a, b, ... are workers, each at a peer of its own
    > a asks                           GetJob; seen=0 pretends that the last lease was never heard of
    > a reports r0,r1 shares r2 n=3    under the lease it was granted last; lease=, seq= to say something else
    > a fails exact                    Failed;   > a crashes    > a beats    > a leaves    > a vanishes
    > a again                          what it said last, once more
    > roots r,s last                   RootsRead; "last": there are no more
    > stops now                        StopAsked; "now": at once
    > commits    > restarts    > +500  (Committed; a new coordinator; half a second passes)

A node is named by its path: r has the children r0, r1, r2, r3, each a quarter of its weight. "r2!1" is a job that was killed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Committed, Effects, Event, PeerGone, Received, RootsRead, StopAsked, Tick
from parry_mpi.core.messages import Alive, Bundle, Crashed, Failed, FromWorker, GetJob, Goodbye, Report, Welcome
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job
from support.desk import Desk, hello


def job(name: str, killed: int = 0) -> Job:
    """The job of this name; the shares of two roots are those of a run of two."""
    depth = len(name) - 1
    return Job(name.encode(), depth, killed, WHOLE // 2 // 4**depth)


def told(value: Any) -> str:
    """A value as it stands in a golden file."""
    if isinstance(value, Job):
        return value.node.decode() + (f"!{value.killed}" if value.killed else "")
    if isinstance(value, Quarantined):
        return f"{told(value.job)} ({value.error})"
    if isinstance(value, tuple):
        return ",".join(map(told, value)) or "-"
    return value.decode() if isinstance(value, bytes) else str(value)


def told_struct(struct: Any) -> str:
    """A record or a message: its name, and its fields but for those that are empty."""
    fields = ((name, getattr(struct, name)) for name in struct.__struct_fields__)
    shown = [f"{name}={told(value)}" for name, value in fields if value not in (None, False, 0, "", b"", ())]
    return " ".join([type(struct).__name__, *shown])


class Script:
    """Carry out a script, and write down what happens."""

    def __init__(self, **settings: Any) -> None:
        self.desk = Desk([], exhausted=False, **settings)
        self.peers: dict[str, int] = {}
        self.worker: dict[str, int] = {}
        self.lease: dict[str, int] = {}
        self.seq: dict[int, int] = {}
        self.last: dict[str, FromWorker] = {}
        self.pulled = 0

    def run(self, lines: Iterable[str]) -> str:
        """Return the script, with what happens below every event."""
        out = []
        for line in lines:
            if line.startswith(">"):
                effects = self.event(line[1:].split())
                out += [line, *(f"    {each}" for each in self.told_effects(effects)), ""]
            elif line.startswith("#"):
                out.append(line)
        return "\n".join(out)

    def event(self, words: list[str]) -> Effects:
        """Carry out one line."""
        if words[0].startswith("+"):
            return self.desk.step(Tick(), after_ms=int(words[0]))
        if words[0] == "restarts":
            return self.restart()
        if words[0] in {"roots", "stops", "commits"}:
            return self.desk.step(self.outside(words[0], words[1:]))
        who, verb, *rest = words
        peer = self.peers.setdefault(who, len(self.peers) + 1)
        if verb == "vanishes":
            return self.desk.step(PeerGone(peer, "vanished"))
        message = self.last[who] if verb == "again" else self.message(who, verb, rest)
        self.last[who] = message
        return self.desk.step(Received(peer, message))

    def outside(self, what: str, rest: list[str]) -> Event:
        if what == "commits":
            return Committed()
        if what == "stops":
            return StopAsked("signal", at_once="now" in rest)
        names = rest[0].split(",") if rest and rest[0] != "last" else []
        self.pulled += len(names)
        last = "last" in rest
        left = 0 if last else WHOLE - self.pulled * (WHOLE // 2)
        return RootsRead(tuple(map(job, names)), self.pulled, last, left)

    def message(self, who: str, verb: str, rest: list[str]) -> FromWorker:
        """What a worker says."""
        given = dict(word.split("=") for word in rest if "=" in word)
        lease = int(given.get("lease", self.lease.get(who, 0)))
        seq = int(given.get("seq", self.seq.get(lease, 0) + 1))
        worker = self.worker.get(who, 1)
        sayings: dict[str, Callable[[], FromWorker]] = {
            "joins": lambda: hello(given.get("token", who), int(given.get("heartbeat_ms", 0))),
            "asks": lambda: GetJob(worker, int(given.get("seen", self.lease.get(who, 0)))),
            "reports": lambda: self.report(lease, seq, rest, int(given.get("n", 1))),
            "fails": lambda: Failed(lease, seq, "ValueError", exact="exact" in rest),
            "crashes": lambda: Crashed(lease, "signal 9"),
            "beats": lambda: Alive(worker, (lease,) if lease else ()),
            "leaves": lambda: Goodbye(worker),
        }
        if verb in {"reports", "fails"}:
            self.seq[lease] = max(seq, self.seq.get(lease, 0))
        return sayings[verb]()

    def report(self, lease: int, seq: int, rest: list[str], nodes: int) -> Report:
        held = self.desk.state.leases.get(lease)
        killed = held.jobs[0].killed if held else 0
        names = [word for word in rest if "=" not in word] + ["-"]
        remaining = names[0] if names[0] != "shares" else "-"
        shared = names[names.index("shares") + 1] if "shares" in names else "-"
        jobs = [tuple(job(name, killed) for name in each.split(",") if name != "-") for each in (remaining, shared)]
        return Report(lease, seq, nodes, b"v" if nodes else b"", nodes * 1000, 0 if jobs[0] else 1, *jobs)

    def restart(self) -> Effects:
        state = State.from_snapshot(self.desk.state.to_snapshot())
        self.desk.coordinator = Coordinator(state, self.desk.coordinator.settings)
        return self.desk.coordinator.restart()

    def told_effects(self, effects: Effects) -> list[str]:
        """Write down what shall happen, and remember who was given what."""
        lines = [told_struct(record) for record in effects.records]
        lines += [f"fold {told(fold.value)} of {fold.host}" for fold in effects.folds]
        names = {peer: who for who, peer in self.peers.items()}
        for peer, message in effects.sends:
            who = names[peer]
            lines.append(f"-> {who}: {told_struct(message)}")
            if isinstance(message, Welcome):
                self.worker[who] = message.worker
            elif isinstance(message, Bundle):
                self.lease[who] = message.lease
        lines += ["pull roots"] if effects.pull else []
        lines += ["commit"] if effects.must_commit else []
        if effects.wake_at_ms is not None:
            lines.append(f"wake in {effects.wake_at_ms - self.desk.now_ms} ms")
        return lines or ["nothing"]


def settings_of(text: str) -> dict[str, Any]:
    """The settings of a coordinator, from a line such as "# settings: max_kills=2"."""
    types = {name: type(getattr(Settings("x"), name)) for name in Settings.__struct_fields__}
    for line in text.splitlines():
        if line.startswith("# settings:"):
            pairs = (word.split("=") for word in line.removeprefix("# settings:").split())
            return {name: types[name](int(value)) for name, value in pairs}
    return {}
