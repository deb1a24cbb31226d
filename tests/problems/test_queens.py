"""The n queens problem has the answers of the literature."""

from __future__ import annotations

import msgspec
import pytest
from support.problems import HAVE_NUMBA, answer, load

Queens = load("queens").Queens

A000170 = [1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596]
"""https://oeis.org/A000170 from n = 1."""


@pytest.mark.parametrize("n", range(1, 9))
def test_plain_form_finds_the_known_counts(n):
    """Protects the answer in plain Python, without numba."""
    assert A000170[n - 1] == answer(Queens(n=n, engine="python"))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
@pytest.mark.parametrize("n", range(1, 15))
def test_kernel_finds_the_known_counts(n):
    """Protects the compiled answer."""
    assert A000170[n - 1] == answer(Queens(n=n, engine="numba"))


def test_largest_board_fits_the_masks():
    """Protects the bound of the parameter: no bit is lost on the largest board."""
    queens = Queens(n=32)
    (board,) = queens.roots()
    while children := list(queens.children(board)):
        board = children[-1]
        assert all(0 <= mask < 2**32 for mask in board)


@pytest.mark.parametrize("n", [0, 33, "8.5"])
def test_boards_out_of_range_are_refused(n):
    """Protects users from boards that the masks cannot hold."""
    with pytest.raises(msgspec.ValidationError, match="n"):
        msgspec.convert({"n": n}, Queens, strict=False)
