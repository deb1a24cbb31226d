"""Say which problem, parameters and source a run belongs to, and explain in one line how two of them differ.

This module must not load problems: it is handed their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from parry_mpi.errors import StoreCorrupt

ELSEWHERE = "choose another folder with --run-dir"
_SHOWN_LENGTH_MAX = 80


CORRECTED = "corrected"
"""In place of the digest of the source: the user has said that the next version of it may go on with this run."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two runs the same run. Runs may be continued, and workers may join, only if all of it is equal.

    Args:
        problem: "module:Class".
        parameters: the parameters in the order of their declaration, as plain values (what JSON knows), without incidental ones.
        source_digest: digest of the source text that defines the problem.
        roots_digest: digest of the roots, as far as it is cheap to take, and of the files that the problem reads.
        node_type: text of the type of a node, including a numpy dtype.
        value_type: text of the type of a value.
    """

    problem: str
    parameters: dict[str, Any]
    source_digest: str
    roots_digest: str = ""
    node_type: str = ""
    value_type: str = ""

    def fingerprint(self) -> str:
        """Return a hex digest that is equal exactly for equal identities."""
        return hashlib.sha256(_canonical(msgspec.structs.asdict(self)).encode()).hexdigest()

    def difference(self, other: Identity) -> str | None:
        """Explain in one line why what this identity began cannot be continued as ``other``.

        Args:
            other: what the user wants to run now.

        Returns:
            A clause that follows "this folder ...", with what to do; None if nothing differs.
        """
        if self.problem != other.problem:
            return f"belongs to {self.problem}, not to {other.problem}: {ELSEWHERE}"
        if (text := _parameters_difference(self.parameters, other.parameters)) is not None:
            return f"belongs to {self.problem} with {text}: {ELSEWHERE}"
        if self.source_digest not in {other.source_digest, CORRECTED}:
            return (
                f"was begun with another version of the source of {self.problem}. If the change only mends what went wrong, and "
                "what was counted so far still counts, say so with `parry-mpi retry` and this folder, and run again; else restore "
                f"that version, or begin anew ({ELSEWHERE})"
            )
        if self.roots_digest != other.roots_digest:
            return (
                f"was begun with other roots or input files, although the source of {self.problem} is the same "
                f"(has a file changed, or do roots depend on the order of a set?): restore them, or begin anew ({ELSEWHERE})"
            )
        if (self.node_type, self.value_type) != (other.node_type, other.value_type):
            return (
                f"holds nodes and values of the types {self.node_type} and {self.value_type}, "
                f"not {other.node_type} and {other.value_type}: {ELSEWHERE}"
            )
        return None

    def corrected(self) -> Identity:
        """Return this identity for a run whose source the user has corrected: it may be continued with whatever the source is then."""
        return msgspec.structs.replace(self, source_digest=CORRECTED)

    def to_json(self) -> bytes:
        """Return the form that is kept on disk; decode it with ``from_json``."""
        return json.dumps(msgspec.structs.asdict(self), ensure_ascii=False).encode("utf-8", "surrogatepass")

    @classmethod
    def from_json(cls, data: bytes) -> Identity:
        """Read back what ``to_json`` wrote.

        Raises:
            StoreCorrupt: it is something else.
        """
        try:
            # The standard module, because integers of any length are parameters too.
            return msgspec.convert(json.loads(data.decode("utf-8", "surrogatepass")), cls)
        except (ValueError, msgspec.ValidationError) as error:
            raise StoreCorrupt(f"the identity of the run cannot be read ({error})") from error


def plain_parameters(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Turn typed parameters into plain values that compare equal after a round trip to disk; sets become sorted lists."""
    return {name: msgspec.to_builtins(value, order="deterministic") for name, value in parameters.items()}


def digest(*parts: bytes) -> str:
    """Return a hex digest of several byte strings; where one ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _parameters_difference(ours: Mapping[str, object], theirs: Mapping[str, object]) -> str | None:
    """Name the parameters that differ, such as "n=12, not n=14"."""
    names = [name for name in {**ours, **theirs} if _shown(ours, name, None) != _shown(theirs, name, None)]
    if not names:
        return None
    shown = [", ".join(_shown(values, name, _SHOWN_LENGTH_MAX) for name in names) for values in (ours, theirs)]
    return f"{shown[0]}, not {shown[1]}"


def _shown(values: Mapping[str, object], name: str, length_max: int | None) -> str:
    if name not in values:
        return f"no {name}"
    value = values[name]
    text = value if isinstance(value, str) and length_max is not None else _canonical(value)
    return f"{name}={text if length_max is None or len(text) <= length_max else text[:length_max] + '...'}"
