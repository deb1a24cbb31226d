"""Problems for runs that something happens to: a tree whose nodes can be counted by hand, with trouble at one of them.

This module must not know what a run makes of the trouble: that is for the tests.
"""

from __future__ import annotations

from pathlib import Path

NODES_OF_DEPTH = "2 ** (depth + 1) - 1"

TROUBLE = '''
"""A binary tree: node n has the children 2n and 2n + 1, the root is 1, and every node counts one."""
import ctypes, os, resource, signal, subprocess, sys, time
from pathlib import Path
from parry_mpi import Enumeration

class Trouble(Enumeration[int, int]):
    depth: int = 10
    pause_ms: float = 0   # what a node takes
    hurry: str = ""       # a file: while it exists a node takes nothing
    at: int = -1          # the first node with trouble; one for each word of:
    how: str = ""         # what they do: names of functions below, separated by commas
    cure: str = ""        # a file: while it exists there is no trouble
    once: bool = False    # each trouble happens once, and then its name is appended to that of the cure
    trace: str = ""       # a folder: each process appends a byte for every node it explores

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < 2 ** self.depth else []

    def value(self, node):
        if self.trace:
            write_trace(self.trace)
        if self.pause_ms and not (self.hurry and os.path.exists(self.hurry)):
            time.sleep(self.pause_ms / 1000)
        troubles = self.how.split(",")
        if 0 <= node - self.at < len(troubles) and not (self.cure and os.path.exists(self.cure)):
            self.trouble(troubles[node - self.at])
        return 1

    def trouble(self, name):
        if self.once:
            if os.path.exists(f"{self.cure}-{name}"):
                return
            Path(f"{self.cure}-{name}").touch()
        TROUBLES[name]()

TRACES = {}

def write_trace(folder):
    if os.getpid() not in TRACES:
        TRACES[os.getpid()] = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(TRACES[os.getpid()], b".")

def segfault():
    ctypes.string_at(0)

def exit_at_once():
    os._exit(0)

def sys_exit():
    sys.exit(0)

def raise_error():
    raise ValueError("this node is poison")

def memory_error():
    limit = 2**31
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    bytearray(2**32)

def killed_for_memory():
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does it

def loop():
    while True:
        pass

def sleep_in_c(seconds=float(os.environ.get("TROUBLE_S", "1"))):
    ctypes.PyDLL(None).usleep(int(seconds * 1e6) % 1_000_000)
    ctypes.PyDLL(None).sleep(int(seconds))  # PyDLL keeps the interpreter lock

def close_all():
    os.closerange(0, 4096)

def close_and_reuse():
    os.closerange(3, 4096)
    for _ in range(64):
        os.open("/dev/null", os.O_RDWR)

def write_everywhere():
    for number in range(3, 64):
        try:
            os.write(number, b"this is not for you" * 10)
        except OSError:
            pass

def forked_grandchild():
    if os.fork() == 0:
        while True:
            time.sleep(1)
    os._exit(1)

def program_grandchild():
    subprocess.Popen(["sleep", "600"])
    os.kill(os.getpid(), signal.SIGKILL)

def terminate_grandchild():
    solver = subprocess.Popen(["sleep", "600"])
    solver.terminate()
    assert solver.wait() == -signal.SIGTERM

def signal_itself():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(os.getpid(), number)

def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)

def deep_recursion():
    return deep_recursion()

def keyboard_interrupt():
    raise KeyboardInterrupt

TROUBLES = {name: it for name, it in list(globals().items()) if callable(it)}
'''
"""The problem Trouble."""


def nodes_of(depth: int) -> int:
    """How many nodes a Trouble of this depth has."""
    return int(2 ** (depth + 1) - 1)


def nodes_below(node: int, depth: int) -> int:
    """How many nodes the subtree at a node of a Trouble of this depth has, the node included."""
    return nodes_of(depth - node.bit_length() + 1)


def trouble_file(folder: Path) -> Path:
    """Write the problem Trouble into a folder and return its file."""
    path = folder / "trouble.py"
    path.write_text(TROUBLE)
    return path


def traced_nodes(folder: Path) -> int:
    """How many nodes were explored by all processes that traced into a folder, whether they counted or not."""
    return sum(path.stat().st_size for path in folder.iterdir())
