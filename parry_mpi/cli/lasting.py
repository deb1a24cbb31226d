"""Load without looking for garbage: what is loaded lasts as long as the process, and is looked through again and again for nothing.

That is a fifteenth of the processor time of a short run. This module must not know what is loaded.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Whatever is made within is kept out of all searches for garbage; a process forked later shares the memory of it for longer."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if searching:
            gc.enable()
