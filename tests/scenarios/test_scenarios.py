"""Scripts of events with all that the coordinator does about them, to be read, and to be reviewed as diffs when it changes.

A golden file is the script and what happened: support/script.py tells the language. Rewrite them with PARRY_REWRITE_SCENARIOS=1.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.script import Script, settings_of

SCENARIOS = sorted(Path(__file__).parent.glob("golden/*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path):
    """Protects the protocol: what is recorded, said and waited for does not change without somebody having read it."""
    text = path.read_text()
    happened = Script(**settings_of(text)).run(text.splitlines())
    if os.environ.get("PARRY_REWRITE_SCENARIOS"):
        path.write_text(happened)
    assert path.read_text() == happened


def test_there_are_scenarios():
    """Protects against a folder that went missing: no scripts would be no failures."""
    assert 10 <= len(SCENARIOS)
