"""Tell numpy's arrays and numbers from other objects without loading numpy: as long as nobody has loaded it, nothing is one.

To load it takes a process as long as all else that it loads, and many problems, and most processes of a run, have no use for it. This
module must not load it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeGuard

    import numpy as np


def is_array(value: object) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether this is an array."""
    return isinstance(value, _kind("ndarray"))


def is_scalar(value: object) -> TypeGuard[np.generic]:
    """Whether this is one number, or one record, of an array."""
    return isinstance(value, _kind("generic"))


def is_record(value: object) -> TypeGuard[np.void]:
    """Whether this is one record of an array."""
    return isinstance(value, _kind("void"))


def _kind(name: str) -> Any:
    """Return a class of numpy's; what nothing is an instance of, if it is not there, or only just being loaded by another thread."""
    return getattr(sys.modules.get("numpy"), name, ())
