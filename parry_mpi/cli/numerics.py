"""Have numpy loaded with a single thread of linear algebra, whoever loads it, and only if somebody does.

Every process that explores has a core, and no more: threads of a library would only take it from the neighbours. Starting them takes
longer than the rest of numpy. Whoever sets one of the variables gets what it says. This module must not load anything.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Where OpenBLAS, which numpy's wheels contain, looks for how many threads to start; the first one that is set counts."""

NUMPY = "numpy"


def start_no_threads() -> None:
    """See to it that numpy, when it is imported, starts no threads, in this process and those that are forked from it.

    Afterwards the environment is as it was: programs that the user's code starts have as many threads as ever.
    """
    if not any(os.environ.get(name) for name in THREADS) and NUMPY not in sys.modules:
        sys.meta_path.insert(0, _Numpy())


class _Numpy:
    """The first of those that Python asks for a module: it has numpy found by the others, and loaded while the variable is set."""

    def find_spec(self, name: str, _path: Any = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != NUMPY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def with_one_thread(module: ModuleType) -> None:
                os.environ[THREADS[0]] = "1"
                try:
                    execute(module)
                finally:
                    del os.environ[THREADS[0]]

            spec.loader.exec_module = with_one_thread  # type: ignore[method-assign]
        return spec
