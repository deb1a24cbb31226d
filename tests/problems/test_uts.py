"""The Unbalanced Tree Search benchmark is the one its authors specify."""

from __future__ import annotations

import math
import struct

import msgspec
import numpy as np
import pytest
from support.problems import HAVE_NUMBA, answer, load

module = load("uts")
UnbalancedTree, Tree = module.UnbalancedTree, module.Tree

PUBLISHED = {
    "T1": Tree(4130071, 10, 3305118),
    "T2": Tree(4117769, 81, 2342762),
    "T3": Tree(4112897, 1572, 3599034),
    "T4": Tree(4132453, 134, 3108986),
    "T5": Tree(4147582, 20, 2181318),
}

STATES = {
    0: ("6768033e216468247bd031a0a2d9876d79818f8f", "f6b4e21a6db7135e161960a04c6bd6cab35bd8d3"),
    19: ("c6988ab70cc9559ae4d6cba254e29a845a85f86b", "2fb3131030280c1617a81d6a49c1e29effb19645"),
    42: ("a11dabbcec7aab309c890ab3dbc256eaeb582782", "7407806c9e18f6e1d4d944809de9c0c94b892757"),
    2147483647: ("1565ced228f1e41de0af4edfedab19a6d8df6f72", "299faa2c353fce5a0acebd70a47c98b032a97942"),
}
"""Seed: state of the root, state of its first child."""

NODES_OF_T1_TO_DEPTH = {1: 6, 2: 65, 3: 254, 4: 944, 5: 3987, 6: 16000}

needs_numba = pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")


def state_of(node):
    return struct.pack(">5I", *node[:5]).hex()


@pytest.mark.parametrize("seed", STATES)
def test_states_are_the_published_ones(seed):
    """Protects the tree itself: the root's and the first child's state for known seeds."""
    problem = UnbalancedTree(t=3, b=1, r=seed)
    (root,) = problem.roots()
    (child,) = problem.children(root)
    assert STATES[seed] == (state_of(root), state_of(child))


@needs_numba
@pytest.mark.parametrize("seed", STATES)
def test_compiled_states_are_the_published_ones(seed):
    """Protects the compiled SHA-1: the state of the first child for known seeds."""
    problem = UnbalancedTree(t=3, b=1, r=seed)
    done = problem.kernel()(np.array(problem.roots(), problem.node_dtype), 1)
    assert STATES[seed][1] == state_of(done.frontier[0].item())


@pytest.mark.parametrize("d", NODES_OF_T1_TO_DEPTH)
def test_plain_form_counts_the_ladder(d):
    """Protects the answer in plain Python, without numba."""
    assert NODES_OF_T1_TO_DEPTH[d] == answer(UnbalancedTree(tree="T1", d=d, engine="python")).nodes


@needs_numba
@pytest.mark.parametrize("name", PUBLISHED)
def test_kernel_counts_the_published_trees(name):
    """Protects the compiled answer: the authors' sample trees."""
    assert PUBLISHED[name] == answer(UnbalancedTree(tree=name, engine="numba"))


@pytest.mark.night
@needs_numba
@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("T1L", Tree(102181082, 13, 81746377)),
        ("T2L", Tree(96793510, 67, 53791152)),
        ("T3L", Tree(111345631, 17844, 89076904)),
    ],
)
def test_kernel_counts_the_large_published_trees(name, tree):
    """Protects the compiled answer where the stack is deep."""
    assert tree == answer(UnbalancedTree(tree=name, engine="numba"))


def test_letters_count_instead_of_the_trees_own():
    """Protects the command line: letters given change a published tree, and nothing else of it."""
    problem = UnbalancedTree(tree="T1", d=5)
    assert module.TREES["T1"]._replace(d=5) == problem.letters


def test_defaults_are_the_authors():
    """Protects comparability: without a tree, the letters not given are the authors' defaults."""
    assert UnbalancedTree().letters == (1, 0, 6, 4.0, 0, 0.234375, 4, 0.5)


def test_every_published_tree_can_be_named():
    """Protects the list of names from missing a tree."""
    assert set(module.TREES) == set(module.TreeName.__args__)


def test_shapes_follow_their_formulas():
    """Protects the branching factors of all four shapes, told from the specification."""
    linear, expdec, cyclic, fixed = (module.Letters(a=shape, d=10, b=6.0) for shape in range(4))
    assert [module.branching_factor(0, letters) for letters in (linear, expdec, cyclic, fixed)] == [6.0] * 4
    assert (pytest.approx(module.branching_factor(3, linear)), module.branching_factor(10, linear)) == (4.2, 0.0)
    assert module.branching_factor(3, expdec) == pytest.approx(6.0 * 3 ** -math.log10(6.0))
    assert module.branching_factor(10, expdec) == pytest.approx(1.0)
    assert module.branching_factor(3, cyclic) == pytest.approx(6.0 ** math.sin(0.6 * math.pi))
    assert (module.branching_factor(51, cyclic), module.branching_factor(50, cyclic) > 0) == (0.0, True)
    assert (module.branching_factor(9, fixed), module.branching_factor(10, fixed)) == (6.0, 0.0)


def test_children_are_capped_except_where_the_authors_do_not():
    """Protects the cap of 100 children, and the two exemptions from it."""
    last = 0x7FFFFFFF
    assert module.children_count(last, 1, module.Letters(a=3, b=50.0)) == module.CHILDREN_MAX
    assert module.children_count(0, 1, module.Letters(t=0, m=200)) == module.CHILDREN_MAX
    assert module.children_count(last, 0, module.Letters(t=0, b=2000.9)) == 2000
    assert module.children_count(last, 0, module.Letters(t=3, b=200.0)) == 200


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"tree": "T9"}, "tree"),
        ({"t": 4}, r"\$\.t"),
        ({"r": 2**31}, r"\$\.r"),
        ({"q": 1.5}, r"\$\.q"),
        ({"a": 1, "d": 1}, "make no tree"),
        ({"tree": "T2", "b": 0}, "make no tree"),
    ],
)
def test_letters_that_make_no_tree_are_refused(parameters, text):
    """Protects users from letters that mean nothing, with one line that says why."""
    with pytest.raises(msgspec.ValidationError, match=text) as refused:
        msgspec.convert(parameters, UnbalancedTree)
    assert "\n" not in str(refused.value)
