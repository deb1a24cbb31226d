"""Work in other processes: what goes wrong there must be told here."""

from __future__ import annotations

import pytest
from support.pool import answers


def test_answers_come_back_by_piece():
    """Protects the long searches: each test gets the answer to its own piece, and what was raised there fails it."""
    with answers("json:loads", ["[1, 2]", "{", "3"]) as answer:
        assert answer("3") == 3
        assert answer("[1, 2]") == [1, 2]
        with pytest.raises(pytest.fail.Exception, match="JSONDecodeError"):
            answer("{")


def test_process_that_dies_fails_its_test():
    """Protects CI from waiting for an answer that nobody will give."""
    with answers("os:_exit", [3]) as answer, pytest.raises(pytest.fail.Exception, match="died"):
        answer(3)
