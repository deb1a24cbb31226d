"""Replay a simulated run: ``python -m tests.simulation --seed N``; or many: ``--seeds FIRST LAST``; or a large one: ``--large WORKERS``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.large import SECONDS_EACH, measure
from support.simulation import Simulation


def replay(seed: int) -> int:
    """Run one seed and tell everything that happens."""
    simulation = Simulation(seed, lambda at_ms, line: print(f"{at_ms:9} ms  {line}"))
    print(simulation.plan)
    try:
        simulation.run()
    except Exception:  # noqa: BLE001 whatever it is, it is what was looked for
        traceback.print_exc()
        return 1
    print(f"complete and exact after {simulation.now_ms} ms")
    return 0


def many(first: int, last: int) -> int:
    """Run many seeds; name those that fail."""
    failed = []
    seen: Counter[str] = Counter()
    began_s = time.process_time()
    for seed in range(first, last):
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Exception as error:  # noqa: BLE001 one failing seed must not hide the others
            print(f"seed {seed}: {type(error).__name__}: {error}")
            failed.append(seed)
        seen.update(simulation.sometimes)
    print(f"{last - first} seeds, {len(failed)} failed, {time.process_time() - began_s:.0f} s; {dict(seen)}")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int)
    what.add_argument("--seeds", type=int, nargs=2, metavar=("FIRST", "LAST"))
    what.add_argument("--large", type=int, metavar="WORKERS")
    parser.add_argument("--seconds-each", type=int, default=SECONDS_EACH, help="work for each worker of a large run")
    parser.add_argument("--sweep", action="store_true", help="a large run is a sweep, of many roots, and not a tree with one")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return replay(chosen.seed)
    if chosen.seeds is not None:
        return many(*chosen.seeds)
    print(measure(chosen.large, chosen.seconds_each, sweep=chosen.sweep))
    return 0


if __name__ == "__main__":
    sys.exit(main())
