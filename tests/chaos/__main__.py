"""Storms for as long as you like: ``python -m tests.chaos --minutes 60 --seed 7``.

Every run is taken through kills, freezes and signals to its end, and its answer must be exact. Where something is wrong, the folder
of that run is kept and named.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where pytest finds `support`, too

from support import commands
from support.chaos import World
from support.storms import Storm

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Storm until the time is over; return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="what chance decides [%(default)s]; timing stays the machine's")
    parser.add_argument("--quiet", action="store_true", help="say only what came of each run")
    chosen = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ends_at_s = time.monotonic() + chosen.minutes * 60
    draw = random.Random(chosen.seed)
    say = (lambda line: None) if chosen.quiet else (lambda line: print("   ", line, flush=True))
    storms = [
        Storm(world, draw, say) for world in (World(None), *(World(mpi, ranks) for mpi in commands.mpis() for ranks in (2, 4)))
    ]
    while time.monotonic() < ends_at_s:
        storm = draw.choice(storms)
        folder = Path(tempfile.mkdtemp(prefix="parry-storm-"))
        print(f"run {sum(each.runs for each in storms) + 1}: {storm.world}, {folder}", flush=True)
        try:
            storm.run(folder, ends_at_s)
        except AssertionError as error:
            print(f"WRONG with --seed {chosen.seed}: {error}\nkept: {folder}")
            return 1
        shutil.rmtree(folder)
    hurts = sum((each.hurts for each in storms), start=Counter[str]())
    print(f"{sum(each.runs for each in storms)} runs, {sum(each.lives for each in storms)} lives, all exact; {dict(hurts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
