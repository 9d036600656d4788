"""The machine inside the kernel that runs the programs of `minisvdd.course.cage.bpf`, in Python."""

import struct

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # and 0x25: jump if A > k


def run(machine_code: bytes, words: dict[int, int]) -> int:
    """What a program answers, in machine code, given the word at each offset."""
    program = list(struct.iter_unpack("=HBBI", machine_code))
    accumulator, here = 0, 0
    while True:
        code, if_true, if_false, k = program[here]
        if code == _RETURN:
            return k
        if code == _LOAD:
            accumulator, skip = words[k], 0
        else:
            skip = if_true if (accumulator == k if code == _EQUAL else accumulator > k) else if_false
        here += 1 + skip
