"""Load numpy with a single thread of linear algebra.

Every process that explores has a core, and no more: threads of a library would only take it from the neighbours. Starting them takes
longer than the rest of numpy. Whoever sets one of the variables gets what it says. This module must not load anything else.
"""

from __future__ import annotations

import os

THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Where OpenBLAS, which numpy's wheels contain, looks for how many threads to start; the first one that is set counts."""


def load() -> None:
    """Import numpy. Afterwards the environment is as it was: programs that the user's code starts have as many threads as ever."""
    wanted = any(os.environ.get(name) for name in THREADS)
    if not wanted:
        os.environ[THREADS[0]] = "1"
    try:
        import numpy as np  # noqa: F401, PLC0415 for what it starts when it is loaded
    finally:
        if not wanted:
            del os.environ[THREADS[0]]
