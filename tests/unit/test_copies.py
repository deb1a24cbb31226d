"""The exhaustive search copies worlds and compares them by canonical forms: neither may forget anything."""

from __future__ import annotations

from collections import deque

import msgspec
import pytest
from support.copies import Canon, copy_coordinator
from support.small_worlds import CHERRY, FAST
from support.worlds import Rules, World

from parry_mpi.core.bounds import Bounds
from parry_mpi.core.jobset import JobSet
from parry_mpi.core.packed import PackedJobs
from parry_mpi.core.sharing import Request, ShareRequests
from parry_mpi.core.state import State
from parry_mpi.core.volatile import Volatile, Watch, Worker
from parry_mpi.core.worker import LeaseWork

CHANGING = (dict, list, set, deque, Bounds, JobSet, PackedJobs, State, ShareRequests, Request, Worker, Watch, Volatile, LeaseWork)
"""Types of things that change in place; a msgspec struct that is not frozen changes too."""

KNOWN = {
    Volatile: "requests phase workers by_peer hungry watches policy pulling failure stop_reason grace_ends_at_ms said_stop_at_ms "
    "expiry_at_ms press_at_ms workers_seen incumbent proven",
    Worker: "worker peer hello joined_at_ms heard_at_ms lease hungry nodes explored_us solved killed",
    Watch: "granted_at_ms bundle progressed",
    LeaseWork: "seq unanswered waiting ending asked hungry_others careful stretch",
}
"""The fields that support.copies was written for. Who adds one decides whether it can change what will happen, and then adds it
to the canonical form there."""


def changing(thing, found: dict[int, object]) -> dict[int, object]:
    """Everything below a thing that changes in place, by identity."""
    frozen = isinstance(thing, msgspec.Struct) and thing.__struct_config__.frozen
    if id(thing) in found or frozen:
        return found
    if isinstance(thing, (*CHANGING, msgspec.Struct)):
        found[id(thing)] = thing
    if isinstance(thing, dict):
        parts = [*thing, *thing.values()]
    elif isinstance(thing, list | tuple | set | deque):
        parts = list(thing)
    elif isinstance(thing, msgspec.Struct):
        parts = [getattr(thing, name) for name in thing.__struct_fields__ if name != "policy"]
    else:
        parts = [part for name, part in getattr(thing, "__dict__", {}).items() if name not in {"settings", "canon"}]
        parts += [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]
    for part in parts:
        if not callable(part):
            changing(part, found)
    return found


def some_world(rules: Rules, steps: int = 40) -> World:
    """A world in the middle of its run: of every choice the last that is no fault is taken."""
    world = World(rules)
    for _ in range(steps):
        following = [after for _, is_fault, after in world.successors() if not is_fault]
        if not following or world.complete:
            break
        world = following[-1]
    return world


@pytest.mark.parametrize("steps", [3, 9, 15, 40])
def test_copied_coordinator_shares_nothing(steps):
    """Protects the exhaustive search: what happens to a copy does not happen to the original."""
    coordinator = some_world(Rules(CHERRY), steps).coordinator
    copied = copy_coordinator(coordinator)
    assert changing(coordinator, {}).keys() & changing(copied, {}).keys() == set()


@pytest.mark.parametrize("steps", [3, 9, 15, 40])
def test_copied_worker_shares_nothing(steps):
    """Protects the exhaustive search: what happens to a copy does not happen to the original."""
    for virtual in some_world(Rules(CHERRY), steps).workers:
        copied = virtual.copy()
        assert changing(virtual.half, {}).keys() & changing(copied.half, {}).keys() == set()


@pytest.mark.parametrize("name", FAST)
def test_equal_worlds_have_equal_keys(name):
    """Protects the number of states: a copy of a world is the same world."""
    world = some_world(FAST[name], 12)
    other = world.copy()
    other.coordinator = copy_coordinator(world.coordinator)
    other.workers = tuple(virtual.copy() for virtual in world.workers)
    canon = Canon()
    assert canon.key(world) == canon.key(other)


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_no_field_is_forgotten(kind):
    """Protects the exhaustive search from taking two different states for one because of a field that it does not know."""
    assert KNOWN[kind].split() == list(kind.__struct_fields__)
