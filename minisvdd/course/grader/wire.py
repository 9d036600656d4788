"""Messages between the grader and a submission's process: JSON with the arrays' bytes behind it, and never pickle.

Unpickling runs code of the sender's choice; reading these messages does not. This module is also loaded by
`runner.py`, in a process that must not see the library: it imports nothing of minisvdd.
"""

import json
import math
import os
import struct
from dataclasses import dataclass

import numpy as np

_HEAD = struct.Struct("<4sQQ")
_MAGIC = b"mSVD"
_DTYPES = {np.dtype(name).str for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")}
_DEPTH = 20
ARRAY_OF = "array of dtype"
LARGEST = 1 << 26
LARGEST_HEAD = (
    1 << 22
)  # all but the bytes of arrays: what it says has to be made, object by object, within a call's time


class WireError(ValueError):
    """What was received is no message."""


class ClosedError(EOFError):
    """The other side is gone. A class of its own: a submission's EOFError (from `input()`) is something else."""


@dataclass(frozen=True)
class Odd:
    """Stands for a value that cannot be sent, such as a generator or an array of objects."""

    type: str


@dataclass(frozen=True)
class Seed:
    """Stands for `numpy.random.default_rng(value)`, which the receiver makes."""

    value: int


@dataclass(frozen=True)
class Remote:
    """Stands for an object that stays with the sender, who answers calls of these methods."""

    key: int
    methods: tuple[str, ...]


def pack(value) -> bytes:
    """A message: None, numbers, strings, arrays, slices, tuples, lists and dicts of them; all else becomes `Odd`.

    Long doubles become doubles. Raises WireError for more of them than `unpack` takes.
    """
    blobs: list[bytes] = []
    head = json.dumps(_encode(value, blobs, 0)).encode()
    if len(head) > LARGEST_HEAD:
        raise WireError(f"lists and strings of {len(head)} characters are too large to be sent, give arrays instead")
    size = sum(map(len, blobs))
    if len(head) + size > LARGEST:
        raise WireError(f"arrays of {size >> 20} MB in all are too large to be sent, at most {LARGEST >> 20} MB are")
    return b"".join([_HEAD.pack(_MAGIC, len(head), size), head, *blobs])


def message_size(data: bytes) -> int | None:
    """Bytes of the message that `data` begins; None while too little of it is there. Raises WireError."""
    if len(data) < _HEAD.size:
        return None
    magic, head, blobs = _HEAD.unpack_from(data)
    if magic != _MAGIC or head > LARGEST_HEAD or head + blobs > LARGEST:
        raise WireError("not a message")
    return _HEAD.size + head + blobs


def unpack(data: bytes):
    """The value of a whole message. Raises WireError for anything that `pack` does not write."""
    size = message_size(data)
    if size != len(data):
        raise WireError("not a whole message")
    _, head, _ = _HEAD.unpack_from(data)
    try:
        tree = json.loads(data[_HEAD.size : _HEAD.size + head])
        return _decode(tree, _Blobs(data, _HEAD.size + head))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError) as error:
        raise WireError(f"not a message: {error}") from None


def read_message(file_descriptor: int):
    """Wait for one message. Raises ClosedError when the other side is gone."""
    data = b""
    while (size := message_size(data)) is None or len(data) < size:
        wanted = _HEAD.size - len(data) if size is None else size - len(data)
        received = os.read(file_descriptor, min(wanted, 1 << 20))
        if not received:
            raise ClosedError
        data += received
    return unpack(data)


def write_message(file_descriptor: int, value) -> None:
    """Send one message."""
    data = memoryview(pack(value))
    while data:
        data = data[os.write(file_descriptor, data) :]


def _encode(value, blobs, depth):
    if depth > _DEPTH:
        return {"odd": "something nested too deeply"}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and not isinstance(value, np.generic):
        return value if abs(value) < 1 << 63 else {"odd": "an integer of more than 64 bits"}
    if isinstance(value, float) and not isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(value, blobs)
    if isinstance(value, slice):
        return {"slice": [_encode(part, blobs, depth + 1) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, tuple | list):  # a named tuple is one, too
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(part, blobs, depth + 1) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(part, blobs, depth + 1) for key, part in value.items()}}
    if isinstance(value, Odd):
        return {"odd": value.type}
    if isinstance(value, Seed | Remote):
        return {
            type(value).__name__: [list(part) if isinstance(part, tuple) else part for part in vars(value).values()]
        }
    return _odd(value)


def _odd(value):
    return {"odd": type(value).__name__}


def _encode_array(value, blobs):
    array = _usual(np.asarray(value))
    if array.dtype.str not in _DTYPES:
        return {"odd": odd_array(array).type}
    blobs.append(array.tobytes())
    return {"scalar" if isinstance(value, np.generic) else "array": [array.dtype.str, list(array.shape)]}


def odd_array(array: np.ndarray) -> Odd:
    """What stands for an array whose entries are no real numbers."""
    return Odd(f"{ARRAY_OF} {array.dtype}")


def _usual(array):
    """Long doubles as doubles, and numbers in the machine's order of bytes: what they say is right all the same."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "iuf" else array


class _Blobs:
    def __init__(self, data, start):
        self.data, self.start = data, start

    def array(self, dtype, shape):
        if dtype not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise WireError("not an array")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        piece = self.data[self.start : self.start + size]
        self.start += size
        return np.frombuffer(piece, dtype).reshape(shape).copy() if size else np.empty(shape, dtype)


def _decode(tree, blobs):
    if not isinstance(tree, dict):
        if isinstance(tree, list):
            raise WireError("a list without a kind")
        return tree
    ((kind, content),) = tree.items()
    if kind in ("array", "scalar"):
        array = blobs.array(*content)
        return array if kind == "array" else array[()]
    if kind == "dict":
        return {key: _decode(part, blobs) for key, part in content.items()}
    if kind == "odd":
        return Odd(str(content)[:100])
    makers = {
        "slice": lambda parts: slice(*parts),
        "tuple": tuple,
        "list": list,
    }
    if kind in makers:
        return makers[kind]([_decode(part, blobs) for part in content])
    return {"Seed": _seed, "Remote": _remote}[kind](*content)


def _seed(value):
    if type(value) is not int:
        raise WireError("not a seed")
    return Seed(value)


def _remote(key, methods):
    if type(key) is not int or not all(isinstance(name, str) for name in methods):
        raise WireError("not an object that stays with its sender")
    return Remote(key, tuple(methods))


_FIELDS = {  # of a reply, by the field that says which one it is
    "remote": {"remote": int, "method": str, "arguments": list, "keywords": dict},
    "error": {"error": dict},
    "value": {"arguments": list},
}


def checked_reply(reply):
    """The reply, if its fields are of the types that the runner sends, which is not to be trusted. Raises WireError."""
    if not isinstance(reply, dict):
        raise WireError("not a reply")
    for kind, fields in _FIELDS.items():
        if kind in reply and not all(isinstance(reply.get(name), wanted) for name, wanted in fields.items()):
            raise WireError("not a reply")
    said = reply.get("error", {})
    if not all(isinstance(said.get(name, ""), str) for name in ("type", "message", "text")):
        raise WireError("not a reply")
    return reply
