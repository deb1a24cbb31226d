"""`python -m parry_mpi` is the command parry-mpi."""

from __future__ import annotations

import sys

from parry_mpi.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
