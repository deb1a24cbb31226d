"""The small worlds that are explored exhaustively, and what must be seen in them at least once."""

from __future__ import annotations

from collections.abc import Callable

from parry_mpi.core.events import Phase
from parry_mpi.core.messages import Die, Failed, Rejoin, Report
from support.trees import Tree
from support.worlds import Rules, World

ONE = Tree([[]], [0])
PATH = Tree([[1], []], [0])
LONG_PATH = Tree([[1], [2], []], [0])
CHERRY = Tree([[1, 2], [], []], [0])
TWO_ROOTS = Tree([[], []], [0, 1])
THREE_ROOTS = Tree([[2], [], []], [0, 1])
FIRST, SECOND = frozenset({1}), frozenset({2})

FAST = {
    "one worker, everything on the network": Rules(PATH, workers=1, losses=1, repeats=1, overtakings=1),
    "one worker, three losses": Rules(PATH, workers=1, losses=3),
    "one worker, death and restart": Rules(PATH, workers=1, restarts=1, crashes=1),
    "one worker, suspicion and restart": Rules(ONE, workers=1, restarts=1, suspicions=1),
    "one worker, suspicion and repetition": Rules(LONG_PATH, workers=1, suspicions=1, repeats=1),
    "one worker, death and loss": Rules(PATH, workers=1, crashes=1, losses=1),
    "one worker, stop and restart": Rules(PATH, workers=1, stops=1, restarts=1),
    "one worker, two restarts": Rules(TWO_ROOTS, workers=1, restarts=2),
    "one worker, a poison node": Rules(CHERRY, workers=1, poison=FIRST),
    "one worker, a node that raises": Rules(CHERRY, workers=1, raising=FIRST),
    "one worker, a bundle with a node that raises": Rules(THREE_ROOTS, workers=1, bundle=2, raising=FIRST),
    "one worker, a bundle with a poison node": Rules(THREE_ROOTS, workers=1, bundle=2, poison=FIRST),
    "one worker, death, loss and repetition": Rules(LONG_PATH, workers=1, crashes=1, losses=1, repeats=1),
    "one worker, timers at any moment": Rules(PATH, workers=1, prompt=False, repeats=1),
    "one worker, roots are pulled": Rules(TWO_ROOTS, workers=1, generated=True, crashes=1),
    "one worker, suspicion and overtaking": Rules(ONE, workers=1, suspicions=1, overtakings=2),
    "one worker, its explorer is heard late": Rules(PATH, workers=1, suspicions=1, crashes=1, piped=True),
    "two workers, one is held for lost": Rules(ONE, suspicions=1),
    "two workers, patience ends": Rules(ONE, patience_ms=2_000),
    "two workers, a forgery": Rules(PATH, forgeries=1),
    "one worker, a witness": Rules(CHERRY, workers=1, winning=FIRST, losses=1, crashes=1),
    "two workers, a witness": Rules(TWO_ROOTS, winning=FIRST),
    "one worker, best bounds first": Rules(CHERRY, workers=1, best_first=True, crashes=1, restarts=1),
}
"""A few seconds in all: what the mutants have to face."""

FULL = {
    "an explorer dies": Rules(TWO_ROOTS, crashes=1),
    "a frame is lost": Rules(TWO_ROOTS, losses=1),
    "a frame is repeated and overtaken": Rules(TWO_ROOTS, repeats=1, overtakings=1),
    "a worker is held for lost": Rules(CHERRY, suspicions=1),
    "an explorer dies, a worker is held for lost": Rules(ONE, crashes=1, suspicions=1),
    "a worker process is replaced": Rules(TWO_ROOTS, deaths=1),
    "the coordinator starts again": Rules(TWO_ROOTS, restarts=1),
    "a stop": Rules(TWO_ROOTS, stops=1),
    "a stop, and an explorer dies": Rules(ONE, stops=1, crashes=1),
    "a forgery": Rules(TWO_ROOTS, forgeries=1),
    "roots are pulled, an explorer dies": Rules(TWO_ROOTS, generated=True, crashes=1),
    "a poison node": Rules(CHERRY, poison=SECOND),
    "a node that raises": Rules(CHERRY, raising=FIRST),
    "a node that raises stops the run": Rules(CHERRY, raising=FIRST, quarantine_errors=False),
    "bundles, an explorer dies": Rules(THREE_ROOTS, bundle=2, crashes=1),
    "one worker, everything": Rules(PATH, workers=1, losses=1, repeats=1, overtakings=1, crashes=1, suspicions=1),
    "one worker, everything and a restart": Rules(ONE, workers=1, losses=1, repeats=1, overtakings=1, deaths=1, restarts=1),
    "patience ends": Rules(PATH, patience_ms=2_000),
    "one worker, a witness, restart and repetition": Rules(CHERRY, workers=1, winning=FIRST, restarts=1, repeats=1),
    "a witness, and a worker is held for lost": Rules(TWO_ROOTS, winning=FIRST, suspicions=1),
    "explorers are heard late": Rules(PATH, piped=True),
    "explorers are heard late, a worker is held for lost": Rules(ONE, piped=True, suspicions=1),
    "one worker, its explorer is heard late, everything": Rules(
        ONE, workers=1, losses=1, repeats=1, overtakings=1, crashes=1, suspicions=1, piped=True
    ),
    "one worker, timers at any moment, suspicion and overtaking": Rules(
        ONE, workers=1, prompt=False, suspicions=1, overtakings=2
    ),
    "one worker, timers at any moment, a loss": Rules(PATH, workers=1, prompt=False, losses=1),
}
"""More than a million states in all."""


def frames(world: World, way: str) -> list:
    """All messages under way."""
    return [message for link in getattr(world, way) for frame in link for message in frame.messages]


def _late_report(world: World) -> bool:
    leases = world.coordinator.state.leases
    return any(isinstance(message, Report) and message.lease not in leases for message in frames(world, "up"))


def _share_crosses_kill(world: World) -> bool:
    leases = world.coordinator.state.leases
    return any(isinstance(message, Report) and message.shared and message.lease not in leases for message in frames(world, "up"))


def _killed_under_a_live_worker(world: World) -> bool:
    leases = world.coordinator.state.leases
    return any(virtual.half.lease is not None and virtual.half.lease not in leases for virtual in world.workers)


def _heard_too_late(world: World) -> bool:
    return any(event.lease != virtual.half.lease for virtual in world.workers for event in virtual.told)


SOMETIMES: dict[str, Callable[[World], bool]] = {
    "a report is late": _late_report,
    "a share crosses a kill": _share_crosses_kill,
    "a lease is killed under a live worker": _killed_under_a_live_worker,
    "a late message is refused": lambda world: any(isinstance(message, Die) for message in frames(world, "down")),
    "an explorer is heard when its lease is gone": _heard_too_late,
    "a worker has to join again": lambda world: any(isinstance(message, Rejoin) for message in frames(world, "down")),
    "a restart with leases out": lambda world: (
        world.coordinator.state.counters.restarts > 0 and any(virtual.half.lease is not None for virtual in world.workers)
    ),
    "a witness is found while others explore": lambda world: (
        world.coordinator.state.counters.decided and any(virtual.half.lease is not None for virtual in world.workers)
    ),
    "something is shared": lambda world: world.coordinator.state.counters.shared > 0,
    "something is quarantined": lambda world: bool(world.coordinator.state.quarantined),
    "something raised": lambda world: any(isinstance(message, Failed) for message in frames(world, "up")),
    "two leases at once": lambda world: len(world.coordinator.state.leases) > 1,
    "the run stops": lambda world: world.coordinator.phase is Phase.STOPPING,
    "the run is complete": lambda world: world.complete and world.coordinator.state.done,
}
"""What must be seen at least once over all worlds, so that nothing holds only because nothing happens."""
