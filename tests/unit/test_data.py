"""What is data comes back as it was; what is not is refused, with a text that helps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.data import BIG_INTEGERS, PACKED_AS, DataCodec, NodeCodec, plain
from parry_mpi.errors import UsageError

PAIR = np.dtype([("a", "<i4"), ("b", "<f4")])
ROWS = np.dtype([("depth", "u1"), ("row", "<i8", (3,))])
PLAIN = [("a", "u1"), ("b", "<i2"), ("c", "<i8")]


class Record(msgspec.Struct):
    count: int
    name: str = "x"


@dataclass
class Point:
    x: int
    y: float


def there_and_back(kind: Any, value: Any) -> Any:
    codec = DataCodec(kind, "a value")
    return codec.decode(codec.encode(value))


big = 10**40


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 7),
        (int, 2**64 - 1),
        (int, 2**64),
        (int, -(2**63)),
        (int, -(2**63) - 1),
        (float, -0.0),
        (float, math.inf),
        (str, "häß"),
        (bytes, b"\x00\xff"),
        (tuple[int, ...], (1, 2, 3)),
        (frozenset[int], frozenset({1, big})),
        (dict[int, str], {1: "a", big: "b"}),
        (dict[tuple[int, int], int], {(1, -big): big}),
        (tuple[int, float, bytes], (big, math.inf, b"raw")),
        (Record, Record(big, "y")),
        (list[Point], [Point(big, 0.5), Point(2, -1.0)]),
        (int | None, None),
        (tuple[int, bool], (-big, True)),
    ],
)
def test_round_trip(kind, value):
    """Protects answers: whatever is sent is what is received, integers of any size anywhere in it included."""
    back = there_and_back(kind, value)
    assert value == back
    assert type(value) is type(back)


@given(st.recursive(st.integers() | st.booleans() | st.none() | st.binary() | st.text(), st.lists, max_leaves=20))
def test_untyped_round_trip(value):
    """Protects problems without type annotations: plain data comes back, and bytes do not become text beside a big integer."""
    assert value == there_and_back(Any, value)


def test_huge_integers():
    """Protects exact counts: no limit on the digits of a number, not even Python's own on texts."""
    huge = -(3**20_000)
    assert (huge - there_and_back(int, huge)) == 0


def test_nan_beside_a_big_integer():
    """Protects sweeps: no number turns into nothing, whatever stands next to it."""
    number, nan = there_and_back(tuple[int, float], (big, math.nan))
    assert big == number
    assert math.isnan(nan)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<i2").reshape(2, 3),
        np.array([(1, 0.5), (2, 1.5)], PAIR),
        np.array([(1, (2, 3, 4))], ROWS),
        np.empty((0, 4)),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
    ],
)
def test_arrays_round_trip(array):
    """Protects values that are arrays: dtype and shape come back, in memory of their own, big integers beside them or not."""
    for kind, value in ((tuple[int, np.ndarray], (1, array)), (tuple[int, np.ndarray], (big, array))):
        number, back = there_and_back(kind, value)
        assert value[0] == number
        assert (array.dtype, array.shape) == (back.dtype, back.shape)
        assert array.tobytes() == back.tobytes()
        assert back.flags.writeable


def test_scalars_round_trip():
    """Protects values computed with numpy: scalars are numbers, or come back as what they were declared to be."""
    assert 3 == there_and_back(Any, np.int64(3))
    back = there_and_back(np.float32, np.float32(0.1))
    assert (np.float32, np.float32(0.1)) == (type(back), back)
    typed = there_and_back(np.ndarray[Any, np.dtype[np.int64]], np.arange(2))
    assert [0, 1] == typed.tolist()
    assert [["<i4", [], b"\x01\x00\x00\x00"]] == there_and_back(Any, [np.array(1, "<i4")])


@pytest.mark.parametrize(
    "value",
    [1j, object(), {"deep": [lambda: 0]}, np.array([object()]), "\ud800", (big, object()), {(1, 2): {big: object()}}],
)
def test_what_is_not_data_is_refused(value):
    """Protects users from pickles: what is no data is named, with what to use instead."""
    with pytest.raises(UsageError, match=r"a value cannot be sent: .*; use numbers"):
        DataCodec(Any, "a value").encode(value)


def test_endless_data_is_refused():
    """Protects the explorer: a list that holds itself is an error of the user's, not a crash."""
    endless: list[Any] = [big]
    endless.append(endless)
    for value in (endless, endless[1:]):
        with pytest.raises(UsageError, match="a value cannot be sent"):
            DataCodec(Any, "a value").encode(value)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, b"\xa1x"),
        (int, b""),
        (str, b"\xa1\xff"),
        (int, BIG_INTEGERS),
        (int, BIG_INTEGERS + b"\xa1x"),
        (int, BIG_INTEGERS + b"\xd4\x02\x00"),
        (Any, BIG_INTEGERS + b"\xd4\x02\x00"),
        (np.ndarray, b"\x01"),
        (np.ndarray, b"\x93\xa3<i4\x91\x02\xc4\x01\x00"),
        (np.ndarray, b"\x93\xa3???\x91\x02\xc4\x01\x00"),
        (np.int8, b"\xa1x"),
    ],
)
def test_undecodable(kind, data):
    """Protects both sides: bytes that are not of the declared type are refused by name, and raise nothing else."""
    with pytest.raises(UsageError, match="a value does not come back as the type it is declared to have"):
        DataCodec(kind, "a value").decode(data)


def test_types_that_cannot_be_sent():
    """Protects users early: a type that cannot work is refused before anything runs, or at the first value."""
    with pytest.raises(UsageError, match=r"a node of type .* cannot be sent"):
        DataCodec(tuple[int, str] | list[int], "a node")
    with pytest.raises(UsageError, match="cannot be read"):
        DataCodec(complex, "a value").decode(b"\x01")


class TestNodes:
    def test_one_node(self):
        """Protects plain nodes: one node is one job."""
        codec = NodeCodec(tuple[int, ...], None)
        assert [(1, 2)] == codec.decode(codec.encode((1, 2)))
        assert codec.dtype is None

    def test_records(self):
        """Protects kernels: any number of records is their bytes, and comes back in memory of its own."""
        codec = NodeCodec(Any, PAIR)
        data = codec.encode((1, 0.5)) + codec.encode((2, 1.5))
        assert 2 * PAIR.itemsize == len(data)
        back = codec.decode(data)
        assert [(1, 0.5), (2, 1.5)] == back.tolist()
        back[0] = (9, 9.0)
        assert [(1, 0.5), (2, 1.5)] == codec.decode(data).tolist()

    @pytest.mark.parametrize(
        ("dtype", "node"),
        [
            (PAIR, (3, 1.5)),
            (PAIR, (np.int64(3), np.float32(0.1))),
            (PAIR, np.array([(3, 1.5)], PAIR)),
            (PAIR, np.array([(3, 1.5)], PAIR)[0]),
            (PAIR, np.array((3, 1.5), PAIR)),
            (ROWS, (1, (1, 2, 3))),
            (ROWS, (1, np.arange(3))),
            (np.dtype("<i4"), 7),
            (np.dtype("<i4"), np.int64(7)),
            (np.dtype("S3"), b"abc"),
        ],
        ids=str,
    )
    def test_what_fits(self, dtype, node):
        """Protects nodes in any of their forms: tuples, records, scalars."""
        assert np.array([node], dtype).tobytes() == NodeCodec(Any, dtype).encode(node)

    @pytest.mark.parametrize(
        ("dtype", "node"),
        [
            (PAIR, (1.5, 1.0)),
            (PAIR, (1, 0.1)),
            (PAIR, (2**31, 1.0)),
            (PAIR, (1,)),
            (PAIR, [1, 2]),
            (PAIR, None),
            (PAIR, "x"),
            (PAIR, np.zeros(2, PAIR)),
            (np.dtype("<i4"), 1.5),
            (np.dtype("<i4"), np.int64(2**40)),
            (np.dtype("<i4"), (1,)),
            (np.dtype([("name", "S3")]), (b"abcd",)),
            (np.dtype("U3"), "abcd"),
        ],
        ids=str,
    )
    def test_what_does_not_fit(self, dtype, node):
        """Protects counts: a node that a record would round, cut off or multiply is refused, not changed."""
        with pytest.raises(UsageError, match=r"a node .* does not fit node_dtype"):
            NodeCodec(Any, dtype).encode(node)

    @pytest.mark.parametrize("kind", PACKED_AS)
    def test_packed_without_numpy(self, kind):
        """Protects what is on disk: Python packs a field into the very bytes that numpy has, and refuses what numpy would cut off."""
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        fields = [("first", kind), ("last", "u1")]
        packing, dtype = NodeCodec(Any, fields), np.dtype(fields)
        assert str(dtype) == packing.text
        for number in (least, most, np.int64(7), True, 7.0):
            assert np.array([(number, 1)], dtype).tobytes() == packing.encode((number, 1))
            assert [(number, 1)] == packing.plain(packing.encode((number, 1)))
        for number in (least - 1, most + 1, 0.5, None):
            with pytest.raises(UsageError, match=r"a node .* does not fit node_dtype"):
                packing.encode((number, 1))

    @given(st.lists(st.tuples(st.integers(0, 255), st.integers(-(2**15), 2**15 - 1), st.integers(-(2**63), 2**63 - 1))))
    def test_packed_or_not(self, nodes):
        """Protects counts: nodes come back the same whether records are Python's or numpy's."""
        packing, dtype = NodeCodec(Any, PLAIN), np.dtype(PLAIN)
        data = b"".join(map(packing.encode, nodes))
        assert np.array(nodes, dtype).tobytes() == data
        assert nodes == packing.plain(data) == packing.decode(data).tolist() == NodeCodec(Any, dtype).plain(data)

    @pytest.mark.parametrize(
        "fields", [[("a", "<i4"), ("b", "<f4")], [("a", "i4")], [("a", "u1", (2,))], "<i8", [("", "u1")]], ids=str
    )
    def test_what_numpy_makes_a_dtype_of(self, fields):
        """Protects problems that write their dtype down without numpy: what Python cannot pack, numpy does."""
        codec, dtype = NodeCodec(Any, fields), np.dtype(fields)
        assert (dtype, str(dtype)) == (codec.dtype, codec.text)
        data = np.ones(2, dtype).tobytes()
        assert data == b"".join(map(codec.encode, codec.plain(data)))

    @pytest.mark.parametrize("fields", [[("a", "<i4"), ("a", "<i4")], [("a", "rubbish")], [("a",)]], ids=str)
    def test_what_is_no_dtype(self, fields):
        """Protects users early: a dtype that numpy does not know is refused before anything runs."""
        with pytest.raises(UsageError, match=r"^node_dtype .* is no dtype of numpy: "):
            NodeCodec(Any, fields)

    def test_torn_records(self):
        """Protects against damage: bytes that are no whole number of records are refused."""
        with pytest.raises(UsageError, match="7 bytes are no whole number of"):
            NodeCodec(Any, PAIR).decode(b"1234567")
        with pytest.raises(UsageError, match="12 bytes are no whole number of"):
            NodeCodec(Any, PLAIN).plain(b"123456789012")

    def test_objects_in_records(self):
        """Protects memory: records that hold pointers are refused before anything runs."""
        with pytest.raises(UsageError, match="holds Python objects"):
            NodeCodec(Any, np.dtype([("a", "O")]))

    def test_undecodable_node(self):
        """Protects the explorer: a node of another type is an error with a name."""
        with pytest.raises(UsageError, match="a node does not come back"):
            NodeCodec(int, None).decode(b"\xa1x")


def test_plain_is_for_people():
    """Protects results as they are printed: arrays are lists, keys are text, and whatever else there is, is text."""
    value = {1: np.arange(3), "s": {2}, "r": Record(1), "n": np.float64(0.5), "o": 1j, "big": big}
    shown = plain(value)
    assert {"1": [0, 1, 2], "s": [2], "r": {"count": 1, "name": "x"}, "n": 0.5, "o": "1j", "big": big} == shown
    assert msgspec.json.encode(shown)
