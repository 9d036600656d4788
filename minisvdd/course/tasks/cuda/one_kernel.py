"""One kernel of a file by itself: a file that does not compile as a whole may hold kernels that do."""

import re

_HEAD = re.compile(r"(?:template\s*<[^<>]*>\s*)?__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+(\w+)\s*\(")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def only(source: bytes, name: str) -> bytes:
    """The file with the bodies of all kernels but `name` emptied; its lines keep their numbers."""
    text = source.decode("utf-8", "replace")
    code = _COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), text)  # as long as the text
    heads = list(_HEAD.finditer(code))
    stops = [head.start() for head in heads[1:]] + [len(code)]
    pieces, end = [], 0
    for head, stop in zip(heads, stops):
        start = code.find("{", head.end(), stop)
        if head[1] == name or start < 0:
            continue
        after = _closing(code, start, stop)
        pieces += [text[end:start], "{", "\n" * text.count("\n", start, after), "}"]
        end = after
    return "".join([*pieces, text[end:]]).encode()


def _closing(code, start, stop):
    """Behind the brace that closes the one at `start`; `stop` where braces do not match up to there."""
    depth, closed = 0, stop
    for i in range(start, stop):
        depth += {"{": 1, "}": -1}.get(code[i], 0)
        if depth < 0:
            return stop
        if depth == 0 and code[i] == "}" and closed == stop:
            closed = i + 1
    return stop if depth else closed
