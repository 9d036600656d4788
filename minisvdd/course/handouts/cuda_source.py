"""CUDA assignments: skeletons with the heads of the library's kernels, and what a submitted file may not contain."""

import re
import subprocess
import textwrap
from pathlib import Path

from ...backends.building import find_compiler, first_error
from ...backends.kernel import Kernel, find_kernel
from ...errors import DataError
from ..assignment import Assignment
from .contracts import KERNELS

BEGIN, END = "// BEGIN SOLUTION", "// END SOLUTION"
_STEP = "//:"  # begins a comment of a model solution that the level "guided" keeps
_TASKS = Path(__file__).parents[1] / "tasks" / "cuda"
_DIRECTIVES = {"define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "pragma"}
# From left to right, as a compiler reads: a comment may hold quotes, a string may hold what looks like a comment, and a
# number may hold apostrophes (1'000). The first quote or comment that nothing closes ends the reading.
_TOKEN = re.compile(
    r"""(?P<comment> //[^\n]* | /\*.*?\*/ )
      | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | \.?\d(?:'?[\w.]|(?<=[eEpP])[+-])* | \w+
      | (?P<unclosed> /\* | ["'] )""",
    re.DOTALL | re.VERBOSE,
)
_REACHES_OUT = re.compile(
    r"\b(asm|__asm|__asm__|dlopen|dlsym|syscall|system|popen|fopen|exec\w*|fork|vfork|kill|getenv|_Pragma|import)\b"
)


def refusal(source: bytes) -> str | None:
    """Why a kernel file is not compiled, or None. A kernel needs no header, no assembly and no operating system."""
    text = re.sub(r"\\[ \t\v\f\r]*\n", "", source.decode("utf-8", "replace"))  # lines that go on in the next one
    if "??" in text or "%:" in text:
        return "trigraphs and digraphs are not allowed in a kernel file"
    if 'R"' in text:
        return "raw strings are not allowed in a kernel file"
    try:
        text = _without_comments(text)
    except ValueError as error:
        return str(error)
    if "##" in text:
        return "## is not allowed in a kernel file: write the whole name"
    for number, line in enumerate(text.splitlines(), start=1):
        directive = re.match(r"\s*#\s*(\w*)", line)
        if directive and directive[1] not in _DIRECTIVES:
            return f"#{directive[1]} (line {number}) is not allowed: everything a kernel needs is there already"
    found = _REACHES_OUT.search(text)
    if found:
        return f"{found[1]} is not allowed in a kernel file"
    if re.search(r"\bextern\b(?!\s+__shared__)", text):
        return "extern is allowed for shared memory only (extern __shared__ ...)"
    return None


def refusal_after_preprocessing(path: str) -> str | None:
    """`refusal` of what the compiler's preprocessor makes of a file: no macro hides a word from that.

    Raises DataError when the file cannot be preprocessed.
    """
    command = [find_compiler() or "g++", "-std=c++17", "-E", "-P", "-w", "-x", "c++", path]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        said = first_error(done.stderr.decode("utf-8", "replace")) or "the preprocessor gave up"
        raise DataError(f"{Path(path).name} does not compile: {said:.300}")
    return refusal(done.stdout)


def _without_comments(text):
    """A space and the line breaks for every comment. ValueError where a comment or a quote is not closed."""
    pieces, end = [], 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "unclosed":
            line = text.count("\n", 0, token.start()) + 1
            raise ValueError(f"{token[0]} (line {line}) is never closed")
        if token.lastgroup == "comment":
            pieces += [text[end : token.start()], " ", "\n" * token[0].count("\n")]
            end = token.end()
    return "".join(pieces) + text[end:]


def plain_kernel(operation: str) -> Kernel:
    """The first rung of an operation: one thread for each entry of the result."""
    return find_kernel(operation, "naive")


def skeleton(assignment: Assignment, level: str, solution: bool, opening: list[str]) -> str:
    """The .cu file to fill in, whose first comment begins with `opening`.

    "guided" keeps the lines that find out which entry a thread works on, and the steps of the solution as comments.
    """
    formulas = [*assignment.formulas().splitlines(), ""] if level != "scratch" else []
    of_library = all(lender(assignment, name) for name in assignment.kernels)
    lines = [*opening, "", *formulas, _LAYOUT, *([_SIZES] if of_library else [])]
    top = [assignment.tag("//"), *_comment(lines)]
    return (
        "\n".join(top) + "\n\n" + "\n".join(_kernel(assignment, name, level, solution) for name in assignment.kernels)
    )


def _comment(lines):
    return [f"// {line}".rstrip() for line in lines]


_LAYOUT = "Arrays are contiguous, the last index runs fastest."
_SIZES = "(H, W): input, (P, Q): output, (kh, kw): kernel, (sh, sw): stride, (ph, pw): padding."


def _kernel(assignment, operation, level, solution):
    """One kernel: the library's head under the operation's name, markers, and the model solution where it is wanted."""
    template, _, rest = _head(assignment, operation).partition("\n")
    contract = _comment(KERNELS[operation].strip().splitlines()) if level == "scratch" and operation in KERNELS else []
    head = "\n".join([*contract, template, *textwrap.wrap(rest, 118, subsequent_indent=" " * 8)])
    body = _head_and_body(_TASKS / assignment.filename, operation)[1]
    given = next((i for i, line in enumerate(body) if _is_step(line)), 0) if level == "guided" else 0
    left = [line.replace(_STEP, "//", 1) for line in body[given:]] if solution else []
    if level == "guided" and not solution:
        left = [f"    {line.strip().replace(_STEP, '//', 1)}" for line in body if _is_step(line)]
    return "\n".join([head + " {", *body[:given], f"    {BEGIN}", *left, f"    {END}", "}", ""])


def lender(assignment: Assignment, operation: str) -> Kernel | None:
    """The library's kernel whose head is asked for: where the model solution leaves its own empty."""
    own = _head_and_body(_TASKS / assignment.filename, operation)[0]
    return plain_kernel(operation) if own.endswith("()") else None


def _head(assignment, operation):
    """Template and signature."""
    kernel = lender(assignment, operation)
    if kernel is None:
        return _head_and_body(_TASKS / assignment.filename, operation)[0]
    return _head_and_body(kernel.path, kernel.name)[0].replace(kernel.name, operation)


def _is_step(line):
    return line.strip().startswith(_STEP)


def _head_and_body(path, name):
    """(the lines up to the body, the lines of the body) of a kernel in a file."""
    text = path.read_text(encoding="utf-8")
    start = re.search(rf"template\s*<typename T>\s*__global__\s+void\s+{name}\s*\(", text).start()
    opening = text.index("{", start)
    depth, end = 0, opening
    for end in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            break
    return text[start:opening].rstrip(), text[opening + 1 : end].strip("\n").splitlines()
