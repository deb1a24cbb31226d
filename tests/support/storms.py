"""Runs in a storm: random processes are killed, frozen and signalled at random moments, then it is calm; the answer has to be exact.

This module must not know whether a test or a person asked for it.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support import chaos, commands
from support.chaos import Member, World
from support.commands import Finished, Started, wait_until
from support.problem_files import nodes_of, trouble_file

CALM_S = 60.0
"""How long a life may go on without being hurt: far longer than what a run takes that nobody hurts."""

GONE_S = 20.0
"""How long the processes of a life may outlive it."""

GAP_S_MAX = 1.5
FREEZE_S_MAX = 4.0
"""Longer than the heartbeat timeout of these runs, so that some of the frozen are given up and come back."""

HURTS_IN_A_RUN = 20

STOPPED_CODES = {75}
BUGS = {2, 3, 4, 65, 70, 73, 76, 78}
"""Codes that no storm explains: the run directory was damaged, a rule was broken, a job was blamed for what was done to it."""

WORDS = ("--heartbeat-timeout", "2", "--patience", "1", "--grace", "2", "--max-kills", "1000000", "--run-dir", "here", "--json")
STOPS = (signal.SIGTERM, signal.SIGUSR1)

VICTIMS = {
    "explorer": ("kill", "freeze"),
    "worker": ("kill", "freeze"),
    "guardian": ("kill", "freeze"),
    "nursery": ("kill", "freeze"),
    "coordinator": ("kill", "freeze", "stop"),
    "other": ("kill",),
    "everybody": ("kill",),
}
WEIGHTS = {"explorer": 8, "worker": 3, "guardian": 1, "nursery": 1, "coordinator": 2, "other": 1, "everybody": 2}


@dataclass
class Storm:
    """Storms over runs in one world.

    Args:
        world: where.
        draw: decides everything that is left to chance; what comes of it still depends on the machine's timing.
        say: told what happens, line by line.

    Attributes:
        hurts: how often what was done to whom.
        runs, lives: how many there were.
    """

    world: World
    draw: random.Random
    say: Callable[[str], None]
    hurts: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lives: int = 0

    def run(self, folder: Path, ends_at_s: float) -> None:
        """Take one run through a storm and to its end.

        Args:
            folder: empty.
            ends_at_s: of time.monotonic(): nobody is hurt after that.

        Raises:
            AssertionError: the answer is wrong, something was lost or left behind, or it hangs.
        """
        trouble_file(folder)
        depth, pause_ms = self.draw.choice([(10, 4), (11, 2), (13, 0.3)])
        words = ("run", "trouble.py", f"depth={depth}", f"pause_ms={pause_ms}", *WORDS)
        hurts_left, counted, ended = HURTS_IN_A_RUN, 0, None
        self.runs += 1
        while ended is None:
            hurts_left, ended = self._live(folder, words, hurts_left, ends_at_s)
            now = chaos.nodes_on_disk(folder / "here")
            assert counted <= now <= nodes_of(depth), f"{counted} nodes were on disk, then {now} of {nodes_of(depth)}"
            counted = now
        answer = ended.answer
        assert nodes_of(depth) == answer["result"] == answer["nodes"], ended
        self.say(f"exact: {answer['result']} nodes, {answer['killings']} killings, {answer['restarts']} restarts")

    def _live(self, folder: Path, words: tuple[str, ...], hurts_left: int, ends_at_s: float) -> tuple[int, Finished | None]:
        """One life. Returns how many hurts are left, and how it ended if it came to the run's end."""
        self.lives += 1
        with self.world.started(folder, *words) as command, contextlib.ExitStack() as frozen:
            everybody: dict[int, Member] = {}
            while command.running and hurts_left and time.monotonic() < ends_at_s:
                time.sleep(self.draw.uniform(0.05, GAP_S_MAX))
                everybody |= {each.pid: each for each in chaos.members(command)}
                hurts_left -= self._hurt(command, frozen)
            frozen.close()
            finished = command.wait(CALM_S)
            wait_until(lambda: not _left(everybody), f"everybody was gone; there were {everybody}", GONE_S)
        assert finished.code not in BUGS, finished
        assert "Traceback" not in finished.stderr, finished
        return hurts_left, finished if finished.code == 0 else None

    def _hurt(self, command: Started, frozen: contextlib.ExitStack) -> int:
        """Hurt somebody; return how many were hurt."""
        role = self.draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        what = self.draw.choice(VICTIMS[role])
        candidates = chaos.of_role(command, role)
        if not command.running or (role != "everybody" and not candidates):
            return 0
        self.hurts[f"{what} {role}"] += 1
        self.say(f"{what} {role}")
        if role == "everybody":
            frozen.close()
            chaos.kill_everybody(command)
            return 1
        victim = self.draw.choice(candidates)
        if what == "kill":
            victim.kill()
        elif what == "stop":
            victim.send(self.draw.choice(STOPS))
        else:
            frozen.enter_context(_frozen(victim))
            time.sleep(self.draw.uniform(0.0, FREEZE_S_MAX))
            if self.draw.random() < 0.8:
                victim.send(signal.SIGCONT)
        return 1


@contextlib.contextmanager
def _frozen(victim: Member) -> Iterator[None]:
    with chaos.paused(victim):
        yield


def _left(everybody: dict[int, Member]) -> list[Member]:
    return [each for each in everybody.values() if commands.alive(each.pid)]
