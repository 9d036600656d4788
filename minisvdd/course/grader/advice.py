"""What a file that cannot be run was most likely meant to be: a sentence below the error of Python or a compiler."""

import difflib
import re

from ..assignment import Assignment

_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_DEFINED = {"python": re.compile(r"^[ \t]*def (\w+)", re.MULTILINE), "cuda": re.compile(r"\bvoid\s+(\w+)\s*\(")}
_MISSING = re.compile(r"there is no function (\w+)$")
# What Python, the compiler and the reader of kernel files say of a text that is none.
_UNREADABLE = re.compile(
    r"loading \S+ raised (Syntax|Indentation|Tab)Error|.* is not allowed|.* is never closed|.*error:"
)


def advised(message: str, source: bytes, assignment: Assignment) -> str:
    """The message of a submission that failed, with advice where its text shows what went wrong."""
    language = assignment.language
    text = source.decode("utf-8-sig", "replace")
    missing = _MISSING.match(message)
    advice = _other_name(missing[1], text, language, _asked(assignment)) if missing else None
    if _UNREADABLE.match(message):
        advice = _what_it_is(source, text, language)
    return f"{message}\n{advice}" if advice else message


def _asked(assignment):
    """The names that a file of the assignment must or may define."""
    ours = {op.__name__ for op in assignment.helpers} | {source.name for source in assignment.functions}
    return ours | {part.function for part in assignment.parts} | set(assignment.kernels)


def _other_name(name, text, language, asked):
    """The function that may have been meant, and where: none that is there for something else."""
    found = list(_DEFINED[language].finditer(text[: 1 << 17]))
    exact = next((match for match in found if match[1] == name), None)
    if exact and exact[0][0] in " \t":
        return f"line {_line(text, exact)} defines {name}, but inside of something else: it must begin at the margin"
    if exact:
        return None
    others = [match[1][:100] for match in found[:200] if match[1] not in asked]
    near = difflib.get_close_matches(name, others, n=1, cutoff=0.75)
    if not near:
        return None
    match = next(match for match in found if match[1] == near[0])
    return f"line {_line(text, match)} defines {near[0]}: is {name} meant?"


def _what_it_is(source, text, language):
    marks = list(_CONFLICT.finditer(text))
    if {mark[1][0] for mark in marks} >= {"<", ">"}:
        return f"line {_line(text, marks[0])} is a conflict mark of git: choose one of both versions, remove the marks"
    if b"\0" in source:
        return "the file is no plain text in UTF-8: save it again as UTF-8"
    if text.lstrip().startswith("{") and '"cells"' in text[:5000]:
        return "this is a notebook (.ipynb) under another name: hand it in as .ipynb, or its code as a script"
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if language == "python" and (first.startswith(("//", "/*", "#include")) or "__global__" in text):
        return "this looks like C++ or CUDA: this assignment is written in Python"
    if language == "cuda" and (
        re.search(r"^\s*(def \w+\(.*:|import \w+)", text, re.MULTILINE) or first.startswith("# ")
    ):
        return "this looks like Python: this assignment is written in CUDA"
    magic = re.search(r"^[ \t]*[%!]\w.*$", text, re.MULTILINE)
    if language == "python" and magic:
        return f"line {_line(text, magic)} is a command of Jupyter's: remove it, or hand in the notebook itself"
    return None


def _line(text, match):
    return text.count("\n", 0, match.start()) + 1
