"""What the events of a run's log mean, in words: one table, of all events that there are.

This module must not read a log. docs/logs.md explains the same events and their fields.
"""

from __future__ import annotations

from typing import Any

EVENTS = {
    "opened": "process {pid} on {host} took the folder",
    "began": "the run began, on {host}",
    "restarted": "the run goes on, on {host}; restart {restarts}",
    "retried": "{jobs} quarantined jobs were put back",
    "joined": "worker {worker} joined: process {pid} on {host}",
    "left": "worker {worker} on {host} left, having explored {nodes} nodes",
    "lost": "worker {worker} on {host} is lost: {why}",
    "killed": "lease {lease} was taken from worker {worker} on {host}: {why}",
    "shared": "worker {worker} gave away jobs of lease {lease}: {jobs}",
    "refused": "a report of worker {worker} under lease {lease} was refused: {why}",
    "raised": "the problem raised at worker {worker} on {host}, under lease {lease}: {error}; node {node}",
    "quarantined": "a job of lease {lease} was put aside, which worker {worker} on {host} explored last: {error}",
    "improved": "something better was found; its score, the smaller the better, is {score}",
    "turned away": "a worker on {host} was turned away: {why}",
    "unable": "a worker on {host} cannot explore: {error}",
    "undecodable": "what peer {peer} sent makes no sense: {why}",
    "commit failed": "the state could not be written: {why}",
    "slow commit": "writing the state took {seconds} s",
    "outside connected": "peer {peer} connected from {address} with the key {key} {comment}",
    "outside disconnected": "peer {peer} at {address} disconnected: {why}",
    "outside refused": "a connection from {address} with the key {key} was refused: {why}",
    "authorised keys": "the authorised keys: {why}",
    "bridge lost": "the bridge is lost: {why}",
    "bridge trouble": "the bridge has trouble: {why}",
    "stopping": "stopping: {why}",
    "settling": "all that counts is in, {nodes} nodes; the last commit is on its way",
    "finished": "the run is finished after {nodes} nodes",
    "incomplete": "nothing is left to explore, but {quarantined} jobs are quarantined",
    "stopped": "the run stopped, to be continued: {why}",
}
"""Every event, and a sentence with the fields it has."""

GOOD = frozenset({"began", "restarted", "joined", "improved", "finished"})
BAD = frozenset(
    {"lost", "killed", "raised", "quarantined", "refused", "undecodable", "commit failed", "bridge lost", "incomplete"}
)
STRANGE = frozenset(
    {"stopping", "stopped", "slow commit", "turned away", "unable", "outside refused", "authorised keys", "bridge trouble"}
)
"""What is green, red and yellow where there are colours."""

COUNTS = frozenset({"nodes", "jobs", "quarantined"})
"""The fields that may be large numbers, and are no names of anything."""

ALWAYS = ("time", "event")
"""The fields that every event has."""


class _Facts(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"  # written by another version


def named(text: str) -> str:
    """Return an event's name as it is in the log: people may write outside-refused, or Outside_Refused."""
    return text.strip().lower().replace("-", " ").replace("_", " ")


def in_words(event: dict[str, Any]) -> str:
    """Say what happened; nothing that a stranger put into it can move a terminal's cursor."""
    sentence = EVENTS.get(event["event"])
    if sentence is None:
        text = ", ".join(f"{name} {value}" for name, value in event.items() if name not in ALWAYS)
    else:
        text = sentence.format_map(_Facts({name: _told(name, value) for name, value in event.items()}))
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def colour_of(name: str) -> str | None:
    """Return the colour of an event, None for the terminal's own."""
    for colour, names in (("green", GOOD), ("red", BAD), ("yellow", STRANGE)):
        if name in names:
            return colour
    return None


def _told(name: str, value: Any) -> Any:
    return f"{value:,}" if name in COUNTS and isinstance(value, int) else value
