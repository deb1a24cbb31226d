"""Count an unbalanced tree: the Unbalanced Tree Search benchmark (UTS), exactly as its authors specify it.

Every node carries a 20-byte state; its i-th child's state is the SHA-1 of that state and i. A node's last 31 bits decide how many
children it has, so a tree of any size is described by a few letters, cannot be predicted, and can only be counted node by node.

    parry-mpi run jobs/uts.py tree=T1
    parry-mpi run jobs/uts.py tree=T1 d=8          # a published tree, with one of its letters changed
    parry-mpi run jobs/uts.py t=0 b=2000 q=0.124875 m=8 r=42

Source: Olivier, Huan, Liu, Prins, Dinan, Sadayappan, Tseng, "UTS: An Unbalanced Tree Search Benchmark", LCPC 2006, and the
authors' distribution 2.1, whose letters and defaults are used here.
Known answers (the authors' sample trees; nodes, depth, leaves):

    T1    4130071 10 3305118        T1L   102181082 13 81746377       T1XL   1635119272 15 1308100063
    T2    4117769 81 2342762        T2L    96793510 67 53791152       T1XXL  4230646601 15 (not given)
    T3    4112897 1572 3599034      T3L   111345631 17844 89076904    T3XXL  2793220501 (not given)
    T4    4132453 134 3108986
    T5    4147582 20 2181318
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from parry_mpi import Engine, Enumeration, Explore, stack_kernel

Node = tuple[int, int, int, int, int, int]
"""The state as five words of 32 bits, and the depth."""

BINOMIAL, GEOMETRIC, HYBRID, BALANCED = range(4)
"""Tree types, letter t."""

LINEAR, EXPDEC, CYCLIC, FIXED = range(4)
"""How the branching factor of a geometric tree depends on the depth, letter a."""

CHILDREN_MAX = 100
"""More children are cut to this many, except below the root of a binomial tree and in balanced trees."""


class Letters(NamedTuple):
    """What describes a tree; the names and defaults are the authors'.

    Args:
        t: tree type.
        a: shape of a geometric tree.
        d: depth at which a geometric or balanced tree ends, if its shape has an end.
        b: branching factor of the root.
        r: seed of the root.
        q: binomial: probability of having children.
        m: binomial: how many children.
        f: hybrid: fraction of d from which on the tree is binomial.
    """

    t: int = GEOMETRIC
    a: int = LINEAR
    d: int = 6
    b: float = 4.0
    r: int = 0
    q: float = 0.234375
    m: int = 4
    f: float = 0.5


TREES = {
    "T1": Letters(GEOMETRIC, FIXED, d=10, b=4.0, r=19),
    "T2": Letters(GEOMETRIC, CYCLIC, d=16, b=6.0, r=502),
    "T3": Letters(BINOMIAL, b=2000.0, q=0.124875, m=8, r=42),
    "T4": Letters(HYBRID, LINEAR, d=16, b=6.0, r=1, q=0.234375, m=4),
    "T5": Letters(GEOMETRIC, LINEAR, d=20, b=4.0, r=34),
    "T1L": Letters(GEOMETRIC, FIXED, d=13, b=4.0, r=29),
    "T2L": Letters(GEOMETRIC, CYCLIC, d=23, b=7.0, r=220),
    "T3L": Letters(BINOMIAL, b=2000.0, q=0.200014, m=5, r=7),
    "T1XL": Letters(GEOMETRIC, FIXED, d=15, b=4.0, r=29),
    "T1XXL": Letters(GEOMETRIC, FIXED, d=15, b=4.0, r=19),
    "T3XXL": Letters(BINOMIAL, b=2000.0, q=0.499995, m=2, r=316),
}
TreeName = Literal["T1", "T2", "T3", "T4", "T5", "T1L", "T2L", "T3L", "T1XL", "T1XXL", "T3XXL"]


class Tree(msgspec.Struct):
    """What is known of a tree, or of a part of one."""

    nodes: int
    depth: int
    leaves: int


class UnbalancedTree(Enumeration[Node, Tree], dict=True):
    """The Unbalanced Tree Search benchmark.

    Args:
        tree: a published tree; without one the letters not given have the authors' defaults.
        t, a, d, b, r, q, m, f: the authors' letters, see Letters; those given count instead of the tree's own.
        engine: whether to use the compiled kernel.
    """

    tree: TreeName | None = None
    t: Annotated[int, Meta(ge=BINOMIAL, le=BALANCED)] | None = None
    a: Annotated[int, Meta(ge=LINEAR, le=FIXED)] | None = None
    d: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    b: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    r: Annotated[int, Meta(ge=0, lt=2**31)] | None = None
    q: Annotated[float, Meta(ge=0, le=1)] | None = None
    m: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    f: Annotated[float, Meta(ge=0, le=1)] | None = None
    engine: Engine = "auto"

    node_dtype = np.dtype([(name, "<u4") for name in ("h0", "h1", "h2", "h3", "h4")] + [("depth", "<i4")])
    incidental = frozenset({"engine"})

    def __post_init__(self) -> None:
        t, a, d, b, *_ = self.letters
        if t in {GEOMETRIC, HYBRID} and ((a == EXPDEC and d < 2) or (a in {EXPDEC, CYCLIC} and b == 0)):
            raise ValueError(
                f"d={d} b={b:g} make no tree: shapes a={EXPDEC} and a={CYCLIC} need b > 0, and a={EXPDEC} needs d > 1"
            )

    @cached_property
    def letters(self) -> Letters:
        """The tree with the letters given."""
        given = {name: value for name in Letters._fields if (value := getattr(self, name)) is not None}
        return (TREES[self.tree] if self.tree else Letters())._replace(**given)

    def roots(self) -> list[Node]:
        state = hashlib.sha1(struct.pack(">16xI", self.letters.r), usedforsecurity=False).digest()
        return [(*struct.unpack(">5I", state), 0)]

    def children(self, node: Node) -> Iterator[Node]:
        *state, depth = node
        for i in range(children_count(state[-1], depth, self.letters)):
            child = hashlib.sha1(struct.pack(">6I", *state, i), usedforsecurity=False).digest()
            yield (*struct.unpack(">5I", child), depth + 1)

    def value(self, node: Node) -> Tree:
        *_, last, depth = node
        return Tree(nodes=1, depth=depth, leaves=int(children_count(last, depth, self.letters) == 0))

    def zero(self) -> Tree:
        return Tree(nodes=0, depth=0, leaves=0)

    def combine(self, left: Tree, right: Tree) -> Tree:
        return Tree(left.nodes + right.nodes, max(left.depth, right.depth), left.leaves + right.leaves)

    def kernel(self) -> Explore | None:
        room = max(CHILDREN_MAX, int(self.letters.b))
        words = np.zeros(80, np.uint32)
        return stack_kernel(self, count_tree, room, self.letters, words, room=room, value=lambda counted: Tree(*counted))


def children_count(last: int, depth: int, letters: Letters) -> int:
    """Return how many children a node has; one definition for both engines.

    Args:
        last: the last word of its state.
        depth: its depth.
        letters: the tree.
    """
    if letters.t == BALANCED:
        return int(letters.b) if depth < letters.d else 0
    uniform = (last & 0x7FFFFFFF) / 2147483648.0
    if letters.t == BINOMIAL or (letters.t == HYBRID and depth >= letters.f * letters.d):
        if letters.t == BINOMIAL and depth == 0:
            return int(letters.b)
        return min(CHILDREN_MAX, letters.m) if uniform < letters.q else 0
    failure = 1.0 - 1.0 / (1.0 + branching_factor(depth, letters))
    if failure <= 0.0:
        return 0
    return min(CHILDREN_MAX, int(math.log(1.0 - uniform) / math.log(failure)))


def branching_factor(depth: int, letters: Letters) -> float:
    """Return the expected number of children at this depth of a geometric tree."""
    if depth == 0:
        return letters.b
    if letters.a == LINEAR:
        return letters.b * (1.0 - depth / letters.d)
    if letters.a == EXPDEC:
        return letters.b * math.pow(depth, -math.log(letters.b) / math.log(letters.d))
    if letters.a == CYCLIC:
        return 0.0 if depth > 5 * letters.d else math.pow(letters.b, math.sin(2.0 * math.pi * depth / letters.d))
    return letters.b if depth < letters.d else 0.0


def count_tree(pending: Any, height: int, budget: int, room: int, letters: Letters, words: Any) -> tuple[Any, int, int, int]:
    """Explore from the top of a stack: the same tree as children() and value() describe, compiled.

    Returns:
        Nodes, largest depth and leaves of what was explored; height of the stack, nodes explored, lowest height on the way.
    """
    nodes = deepest = leaves = 0
    lowest = height
    while height > 0 and nodes < budget and height + room <= len(pending):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        node = pending[height]
        h0, h1, h2, h3, h4, depth = node.h0, node.h1, node.h2, node.h3, node.h4, node.depth
        deepest = max(deepest, depth)
        count = children_count(h4, depth, letters)
        if count == 0:
            leaves += 1
        for i in range(count):
            words[0], words[1], words[2], words[3], words[4], words[5] = h0, h1, h2, h3, h4, i
            child = pending[height]
            child.h0, child.h1, child.h2, child.h3, child.h4 = sha1_of_child(words)
            child.depth = depth + 1
            height += 1
    return (nodes, deepest, leaves), height, nodes, lowest


def sha1_of_child(words: Any) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32, np.uint32]:
    """Return the SHA-1 of 24 bytes, by FIPS 180-4, section 6.1.

    Args:
        words: 80 words of scratch, the first six of which are what is hashed.
    """
    u4 = np.uint32  # numba widens the sum of two of them to 64 bits: every rotated value is cut back
    words[6] = 0x80000000  # the end mark of the message, and its length in bits: one block holds it all
    words[7:15] = 0
    words[15] = 24 * 8
    for t in range(16, 80):
        word = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]
        words[t] = word << 1 | word >> 31
    a, b, c, d, e = u4(0x67452301), u4(0xEFCDAB89), u4(0x98BADCFE), u4(0x10325476), u4(0xC3D2E1F0)
    for t in range(20):
        mixed = u4((a << 5 | a >> 27) + (d ^ (b & (c ^ d))) + e + u4(0x5A827999) + words[t])
        a, b, c, d, e = mixed, a, u4(b << 30 | b >> 2), c, d
    for t in range(20, 40):
        mixed = u4((a << 5 | a >> 27) + (b ^ c ^ d) + e + u4(0x6ED9EBA1) + words[t])
        a, b, c, d, e = mixed, a, u4(b << 30 | b >> 2), c, d
    for t in range(40, 60):
        mixed = u4((a << 5 | a >> 27) + (b & c | d & (b | c)) + e + u4(0x8F1BBCDC) + words[t])
        a, b, c, d, e = mixed, a, u4(b << 30 | b >> 2), c, d
    for t in range(60, 80):
        mixed = u4((a << 5 | a >> 27) + (b ^ c ^ d) + e + u4(0xCA62C1D6) + words[t])
        a, b, c, d, e = mixed, a, u4(b << 30 | b >> 2), c, d
    return a + u4(0x67452301), b + u4(0xEFCDAB89), c + u4(0x98BADCFE), d + u4(0x10325476), e + u4(0xC3D2E1F0)
