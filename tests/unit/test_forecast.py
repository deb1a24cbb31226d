"""parry_mpi.runtime.forecast: the speed of late, and the time left by it."""

from __future__ import annotations

from parry_mpi.core.ids import JobId, LeaseId, WorkerId
from parry_mpi.core.records import Granted, Reported, RootsPulled
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job
from parry_mpi.runtime.forecast import PACE_MS, Forecast


def test_time_left_follows_the_speed_of_late():
    """Protects the time left: a run that became ten times slower is not promised to end as soon as before."""
    root = Job(weight=WHOLE, count=1)
    state = State()
    forecast = Forecast(state)
    records = [RootsPulled((root,), 1, True, 0), Granted(LeaseId(1), WorkerId(1), (JobId(1),), (root,))]
    left = []
    for second in range(1, 201):
        nodes = 1000 if second <= 100 else 100
        done = state.explored_weight + nodes * (WHOLE // 200_000)
        records.append(Reported(LeaseId(1), second, nodes, 0, 0, (Job(b"rest", 1, 0, WHOLE - done),), ()))
        for record in records:
            state.apply(record)
            forecast.take([record])
        records = []
        found = forecast.estimate(second * 1000)
        if found is not None:
            left.append(found.seconds_left)
    assert 200 - len(left) < 20
    fast, slow = left[99 - (200 - len(left))], left[-1]
    assert abs(fast - 100) < 10
    assert abs(slow - 900) < 50
    assert len(forecast._noted) <= PACE_MS // 500 + 2
