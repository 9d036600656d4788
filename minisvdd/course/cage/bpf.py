"""An assembler for classic BPF, the language of Linux's system call filters.

A BPF program is a list of instructions for a tiny machine inside the kernel: one register A, no loops, forward jumps
only, so that every program ends. `seccomp` runs one before each system call of a process and does what it returns. An
instruction has a code, two jump distances (if true, if false: how many instructions to skip) and a number k:

    load          A = the 32-bit word at offset k of what is judged
    jump if A == k, jump if A > k
    return k

Jump distances are tedious to count, so nothing here has labels. A condition holds the list of instructions that it
guards, and skips as many as there are:

    [*when_equal(41, give(REFUSE)), *give(ALLOW)]       if A == 41: return REFUSE;   return ALLOW

Sources: S. McCanne and V. Jacobson, "The BSD Packet Filter" (1993); Linux, Documentation/networking/filter.rst and
userspace-api/seccomp_filter.rst.
"""

import struct

_LOAD, _EQUAL, _GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_FARTHEST = 255


def load(offset: int) -> list[tuple[int, int, int, int]]:
    """A = the word at this offset."""
    return [(_LOAD, 0, 0, offset)]


def give(answer: int) -> list[tuple[int, int, int, int]]:
    """End with this answer."""
    return [(_RETURN, 0, 0, answer)]


def when_equal(value: int, body: list) -> list[tuple[int, int, int, int]]:
    """If A == value: body."""
    return [(_EQUAL, 0, _distance(body), value), *body]


def unless_equal(value: int, body: list) -> list[tuple[int, int, int, int]]:
    """If A != value: body."""
    return [(_EQUAL, _distance(body), 0, value), *body]


def when_greater(value: int, body: list) -> list[tuple[int, int, int, int]]:
    """If A > value: body."""
    return [(_GREATER, 0, _distance(body), value), *body]


def machine_code(program: list) -> bytes:
    """The program as the kernel reads it: 8 bytes an instruction."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _distance(body):
    if len(body) > _FARTHEST:
        raise ValueError(f"a condition can guard {_FARTHEST} instructions at most, got {len(body)}")
    return len(body)
