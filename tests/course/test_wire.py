"""Messages: what is sent arrives, what cannot be sent is marked, and garbage is refused without running anything."""

import contextlib
import json
import os
import pickle
import struct
import threading
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minisvdd.course.grader.wire import (
    LARGEST,
    LARGEST_HEAD,
    ClosedError,
    Odd,
    Remote,
    Seed,
    WireError,
    message_size,
    pack,
    read_message,
    unpack,
    write_message,
)

SIMPLE = (
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=9)
    | arrays.arrays(st.sampled_from([np.float32, np.float64, np.int64]), arrays.array_shapes(min_dims=0, min_side=0))
    | st.builds(Seed, st.integers(0, 9)) | st.builds(lambda n: slice(n, None, 2), st.integers(0, 9))
)  # fmt: skip
VALUES = st.recursive(
    SIMPLE, lambda v: st.lists(v, max_size=3) | st.tuples(v, v) | st.dictionaries(st.text(), v, max_size=3)
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@given(VALUES)
@settings(max_examples=80)
def test_what_is_sent_arrives(value):
    data = pack(value)
    assert message_size(data) == len(data)
    assert same(unpack(data), value)


@pytest.mark.parametrize("dtype", ["longdouble", ">f8", ">f4", "<f8", ">i4", "<u2"])
def test_numbers_of_other_machines_arrive_as_numbers(dtype):
    """What is right in `np.longdouble` is right; as is what was read from a file with another order of bytes."""
    array = np.arange(6).astype(dtype).reshape(2, 3)
    received = unpack(pack({"array": array, "number": array[1, 2]}))
    assert received["array"].dtype == (np.float64 if dtype == "longdouble" else array.dtype.newbyteorder("="))
    np.testing.assert_array_equal(received["array"], array)
    assert received["number"] == 5


@given(st.binary(max_size=80))
@settings(max_examples=80)
def test_garbage_is_refused(data):
    with pytest.raises(WireError):
        unpack(data)


@given(st.data())
@settings(max_examples=80)
def test_a_damaged_message_is_refused_or_is_another_value(data):
    message = bytearray(pack({"value": np.arange(6.0).reshape(2, 3), "tried": ["x"]}))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        unpack(bytes(message))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.array([print], object), "array of dtype object"),
        (np.array(["text"]), "array of dtype <U4"),
        ((i for i in range(3)), "generator"),
        (2**70, "an integer of more than 64 bits"),
        ({1: 2}, "dict"),
        (print, "builtin_function_or_method"),
    ],
)
def test_what_cannot_be_sent_is_marked(value, name):
    assert unpack(pack(value)) == Odd(name)


def test_endless_nesting_is_cut():
    loop = []
    loop.append(loop)
    assert isinstance(unpack(pack(loop)), list)


def test_a_pickle_is_garbage():
    with pytest.raises(WireError):
        unpack(pickle.dumps({"value": 1}))


def test_remote_objects_keep_their_methods():
    assert unpack(pack(Remote(3, ("forward", "step")))) == Remote(3, ("forward", "step"))


@pytest.mark.parametrize("value", [np.float32(2.5), np.int64(-3), np.bool_(True)])
def test_scalars_keep_their_dtype(value):
    got = unpack(pack(value))
    assert (type(got), got) == (type(value), value)


def test_limits_of_integers_depth_and_names():
    for value in (2**63 - 1, 1 - 2**63):
        assert unpack(pack(value)) == value
    for value in (2**63, -(2**63)):
        assert unpack(pack(value)) == Odd("an integer of more than 64 bits")
    nested = 7
    for _ in range(20):
        nested = [nested]
    assert unpack(pack(nested)) == nested
    deeper = unpack(pack([nested]))
    for _ in range(20):
        (deeper,) = deeper
    assert deeper == [Odd("something nested too deeply")]
    assert unpack(written({"odd": 150 * "x"})) == Odd(100 * "x")


def test_more_objects_than_a_message_holds_are_not_sent():
    with pytest.raises(WireError, match="too large to be sent, give arrays instead"):
        pack([[0.125] * 1000] * 1000)


def test_what_is_derived_from_a_container_is_that_container():
    class Mine(list):
        pass

    class Result(NamedTuple):
        value: float
        grad: list

    assert unpack(pack(Mine([1]))) == [1]
    assert unpack(pack(Result(1.0, [2]))) == (1.0, [2])
    assert unpack(pack({1})) == Odd("set")
    assert unpack(pack([(1, 2), [3], {"a": (4,)}])) == [(1, 2), [3], {"a": (4,)}]


def written(tree, blobs=b"", magic=b"mSVD", head=None, tail=None):
    """A message of this tree, as somebody else might write it."""
    text = json.dumps(tree).encode()
    sizes = len(text) if head is None else head, len(blobs) if tail is None else tail
    return struct.pack("<4sQQ", magic, *sizes) + text + blobs


def test_the_head_promises_the_size():
    whole = written(None)
    assert (unpack(whole), message_size(whole)) == (None, len(whole))
    assert [message_size(whole[:n]) for n in (0, 19, 20)] == [None, None, len(whole)]
    assert message_size(written(None, head=5, tail=LARGEST - 5)) == LARGEST + 20
    assert message_size(written(None, head=LARGEST_HEAD, tail=0)) == LARGEST_HEAD + 20
    for head, tail in ((LARGEST_HEAD + 1, 0), (0, LARGEST + 1), (5, LARGEST - 4), (2**63, 2**63)):
        with pytest.raises(WireError, match="not a message"):
            message_size(written(None, head=head, tail=tail))
    for other in (whole[:-1], whole + b"x", written(None, magic=b"mSVX")):
        with pytest.raises(WireError):
            unpack(other)


@pytest.mark.parametrize(
    "tree",
    [
        [1],
        {},
        {"list": [1], "tuple": [2]},
        {"unknown": [1]},
        {"slice": []},
        {"array": ["<f8", [3]]},
        {"array": ["<f8", [-1]]},
        {"array": ["<f8", [0.5, 2]]},
        {"array": ["|O", [1]]},
        {"array": ["<U4", [1]]},
        {"Seed": [1, 2]},
        {"Seed": [[]]},
        {"Seed": ["1"]},
        {"Remote": [[], ["step"]]},
        {"Remote": [1, [2]]},
        {"Remote": [1, 2]},
        {"Odd": [{}]},
        {"dict": 5},
        {"dict": [1]},
        {"array": {"a": 1}},
        {"array": "<f8"},
        {"array": [[], [1]]},
        {"array": ["<f8", 3]},
        {"array": ["|b1", [2**70]]},
        {"scalar": ["<f8", [2**40, 2**40]]},
        {"list": 5},
    ],
    ids=str,
)
def test_trees_that_nobody_writes_are_refused(tree):
    with pytest.raises(WireError):
        unpack(written(tree, 8 * b"\0"))


@pytest.fixture
def pipe():
    """(reading end, writing end), both closed afterwards."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_messages_come_one_by_one_in_whatever_pieces(pipe):
    reading, writing = pipe
    values = [1, np.arange(300_000.0), ("a", None), np.zeros((0, 3), np.float32)]

    def send():
        for value in values[:-1]:
            write_message(writing, value)
        for byte in pack(values[-1]):
            os.write(writing, bytes([byte]))

    sender = threading.Thread(target=send)
    sender.start()
    received = [read_message(reading) for _ in values]
    sender.join()
    assert all(map(same, received, values))


@pytest.mark.parametrize("sent", [0, 5, 20, 23])
def test_the_other_side_is_gone(sent, pipe):
    reading, writing = pipe
    os.write(writing, pack("a text")[:sent])
    os.close(writing)
    with pytest.raises(ClosedError):
        read_message(reading)
