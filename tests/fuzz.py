"""Feed damaged bytes to whatever reads from the network: ``python -m tests.fuzz --inputs N --seed N``."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support.fuzzing import Fuzzer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    fuzzer = Fuzzer(chosen.seed)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.process_time()
    fuzzer.run(chosen.inputs)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    for outcome, count in sorted(fuzzer.counts.items()):
        print(f"{count:9}  {outcome}")
    print(
        f"{chosen.inputs} inputs in {time.process_time() - began_s:.0f} s of processor time; "
        f"at most {fuzzer.memory_bytes_peak} bytes for one; the process grew by {grown_kib} KiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
