"""Name the run directory of a problem and its parameters, so that the same command finds the same folder.

This module must not touch the file system, and must not decide whether a folder fits: identity.py does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

RUNS_FOLDER = "runs"
NAME_LENGTH_MAX = 120
"""Longer names are shortened: encrypted home folders allow 143 bytes, other file systems 255, and people have to read them."""
DIGEST_LENGTH = 12
"""Hex digits that tell shortened names apart: 48 bits, so that nobody ever sees two runs share a name."""
TEMPORARY_MARK = ".new-"
"""Between the name of a file and random letters: what will replace that file, or what a killed process left of it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.,+-]")


def default_run_directory(problem: str, parameters: Mapping[str, object]) -> Path:
    """Return where a run goes if the user does not say.

    Args:
        problem: "module:Class", as in Identity.
        parameters: plain values in the order the class declares them, without incidental ones. What is None was not given
            and is left out.

    Returns:
        A relative path such as ``runs/queens-n=12``.
    """
    parts = [_problem_name(problem)]
    parts += [f"{_escaped(name)}={_escaped(_text(value))}" for name, value in parameters.items() if value is not None]
    return Path(RUNS_FOLDER) / _shortened("-".join(parts))


def _problem_name(problem: str) -> str:
    """The module's own name; the class too, if it does not say the same (a file may hold several problems)."""
    module, _, class_name = problem.partition(":")
    stem = module.rpartition(".")[2] or "run"
    if not class_name or class_name.lower() == stem.replace("_", "").lower():
        return _escaped(stem)
    return f"{_escaped(stem)}.{_escaped(class_name)}"


def _text(value: object) -> str:
    """The value as a user would type it."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, (int, float, str)) for item in value):
        return ",".join(_text(item) for item in value)
    return json.dumps(value, separators=(",", ":"), default=str)


def _escaped(text: str) -> str:
    """Replace what a file system or a shell could take amiss by %XX, byte by byte."""
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass")), text)


def _shortened(name: str) -> str:
    if len(name) <= NAME_LENGTH_MAX:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{name[: NAME_LENGTH_MAX - DIGEST_LENGTH - 1]}-{digest}"
