"""The result so far in the problem's words, whatever these do."""

from __future__ import annotations

import pytest

from parry_mpi import Decision, Enumeration
from parry_mpi.runtime.meaning import HTML_LENGTH_MAX, TEXT_LENGTH_MAX, Meaning


class Witnesses(Decision[int, list[int]]):
    """Says what its answer means, and draws it."""

    def html(self, result):
        return f"<p>{result}</p>"


class Broken(Enumeration[int, int]):
    """Cannot say anything."""

    def describe(self, result):
        raise ZeroDivisionError

    def html(self, result):
        raise ZeroDivisionError


class Talkative(Enumeration[int, int]):
    """Says and draws too much."""

    def describe(self, result):
        return "\udcff" + "x" * 10 * TEXT_LENGTH_MAX

    def html(self, result):
        return "x" * (HTML_LENGTH_MAX + 1)


@pytest.mark.parametrize(
    ("result", "complete", "text"),
    [
        (None, False, ""),
        (None, True, "there is none"),
        ([1, 2], False, "[1,2]"),
        ([1, 2], True, "there is one\n[1,2]"),
        ("plain", False, "plain"),
    ],
)
def test_words(result, complete, text):
    """Protects whoever watches: what is only so far is not told as if it were the answer."""
    facts = Meaning(Witnesses(), draws=True).facts(result, complete=complete, version=1)
    assert {"result_text": text, "result_html": f"<p>{result}</p>"} == facts
    assert "" == Meaning(Witnesses(), draws=False).facts(result, complete=complete, version=1)["result_html"]


def test_what_goes_wrong():
    """Protects the run: a problem whose words raise, or never end, costs its user no more than these words."""
    facts = Meaning(Broken(), draws=True).facts(1, complete=True, version=1)
    assert {"result_text": "(it cannot be shown: ZeroDivisionError)", "result_html": ""} == facts
    facts = Meaning(Talkative(), draws=True).facts(1, complete=True, version=1)
    assert (True, "") == (len(facts["result_text"]) <= TEXT_LENGTH_MAX, facts["result_html"])
    assert facts["result_text"].encode()


def test_changed():
    """Protects rank 0's time: words are asked for when there is something new, and the answer's always."""
    meaning = Meaning(Witnesses(), draws=True)
    assert "[1]" == meaning.facts([1], complete=False, version=1)["result_text"]
    assert "[1]" == meaning.facts([2], complete=False, version=1)["result_text"]
    assert "there is one\n[2]" == meaning.facts([2], complete=True, version=2)["result_text"]
