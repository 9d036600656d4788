"""Messages: what is sent arrives, what cannot be sent is marked, and garbage is refused without running anything."""

import contextlib
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minisvdd.course.grader.wire import Odd, Remote, Seed, WireError, message_size, pack, unpack

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
