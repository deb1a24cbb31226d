"""Tile systems are found exactly where there are some, and assemble the pattern."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.problems import answer, leaves, load

module = load("pats")
Pats, PatsCount, TileSystem = module.Pats, module.PatsCount, module.TileSystem


def patterns(width, height):
    """All patterns of a size, as they are written."""
    rows = ["".join(row) for row in itertools.product("01", repeat=width)]
    return ["/".join(pattern) for pattern in itertools.product(rows, repeat=height)]


def patterns_of_two_tile_types(width, height):
    """All patterns that any two tile types with any glues assemble from any seed: nothing of the search is used."""
    pairs = list(itertools.product(range(2), repeat=2))
    found = set()
    for inputs in itertools.combinations(pairs, 2):
        for outputs in itertools.product(pairs, repeat=2):
            glues = [[north, east, south, west] for (south, west), (north, east) in zip(inputs, outputs, strict=True)]
            for seed in itertools.product(range(2), repeat=width + height):
                # with the colours 0 and 1 the pattern tells which tile is where, and every other way to colour them follows
                rows = module.assembled(TileSystem(glues, [0, 1], list(seed[:width]), list(seed[width:])))
                if rows:
                    for colours in itertools.product("01", repeat=2):
                        found.add("/".join("".join(colours[tile] for tile in row) for row in reversed(rows)))
    return found


@pytest.mark.parametrize(("width", "height"), [(2, 2), (3, 2), (2, 3), (3, 3)])
def test_two_tile_types_assemble_what_brute_force_says(width, height):
    """Protects both answers of the decision, for every pattern of a small size."""
    possible = patterns_of_two_tile_types(width, height)
    assert possible == {pattern for pattern in patterns(width, height) if answer(Pats(pattern=pattern, tiles=2))}
    assert 2 < len(possible) < 2 ** (width * height)


@pytest.mark.parametrize("pattern", ["01/10", "001/010", "110/011"])
@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_counts_are_those_of_all_assignments(pattern, tiles):
    """Protects what is left out early, against all ways to name the cells of the pattern by tile types."""
    rows = module.rows_of(pattern)
    width, colours = len(rows[0]), list(itertools.chain(*rows))
    count = 0
    for types in itertools.product(range(tiles), repeat=len(colours)):
        in_order = all(tile <= max(types[:cell], default=-1) + 1 for cell, tile in enumerate(types))
        if in_order and len(set(zip(types, colours, strict=True))) == len(set(types)):
            glues = module.most_general_glues(types, width)
            count += len({(south, west) for _, _, south, west in glues}) == len(glues)
    assert count == answer(PatsCount(pattern=pattern, tiles=tiles))


@pytest.mark.parametrize("size", [4, 6])
def test_sierpinski_triangle_needs_four_tile_types(size):
    """Protects the known answer: adding two bits without carry takes four tile types, and three do not do."""
    problem = Pats(pattern=f"sierpinski{size}", tiles=4)
    assert problem.verify(answer(problem))
    assert answer(Pats(pattern=f"sierpinski{size}", tiles=3)) is None


def test_winfrees_tiles_assemble_the_triangle():
    """Protects verify(): the four tiles that add two bits without carry are accepted, whoever found them."""
    bits = list(itertools.product(range(2), repeat=2))
    adding = TileSystem([[s ^ w, s ^ w, s, w] for s, w in bits], [s ^ w for s, w in bits], [1] + [0] * 6, [0] * 7)
    assert Pats(pattern="sierpinski7", tiles=4).verify(adding)
    assert not Pats(pattern="sierpinski7", tiles=3).verify(adding)
    assert not Pats(pattern="sierpinski6", tiles=4).verify(adding)


def test_system_in_the_first_leaf_and_in_the_only_one():
    """Protects the ends of the tree."""
    first = Pats(pattern="000/111", tiles=2)
    found = [first.witness(leaf) for leaf in leaves(first)]
    assert found[0] == answer(first)
    assert len(found) > 1
    only = Pats(pattern="1/0/1/0", tiles=2)
    assert answer(only) == only.witness(leaves(only)[-1]) is not None


def test_verify_refuses_what_assembles_otherwise():
    """Protects the run from a worker that is wrong: ambiguous tiles, tiles that do not fit, other patterns, too many tiles."""
    problem = Pats(pattern="01/10", tiles=3)
    right = answer(problem)
    assert problem.verify(right)
    assert not Pats(pattern="01/10", tiles=1).verify(right)
    assert not Pats(pattern="01/11", tiles=3).verify(right)
    assert not problem.verify(msgspec.structs.replace(right, glues=[right.glues[0]] * len(right.glues)))
    assert not problem.verify(msgspec.structs.replace(right, south=[99, 99]))
    assert not problem.verify(msgspec.structs.replace(right, colours=right.colours[:1]))


@pytest.mark.parametrize("pattern", ["", "012", "01/1", "sierpinski0", "01//10"])
def test_what_is_no_pattern_is_refused(pattern):
    """Protects users from a pattern that was mistyped."""
    with pytest.raises(msgspec.ValidationError, match="pattern"):
        msgspec.convert({"pattern": pattern}, Pats)
