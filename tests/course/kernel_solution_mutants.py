"""`solution_mutants.py` for kernels: edits of the text, as `tests/kernels/kernel_mutants.py` makes them, and some more.

All mutants of a kernel are compiled in one file, under numbered names; each then runs in a forked process.
"""

import os
import re
import signal
import sys
import tempfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "kernels"), str(HERE.parent / "support")]

import kernel_mutants  # noqa: E402
from kernels_here import Launcher  # noqa: E402
from solution_equivalents import EQUIVALENT  # noqa: E402

from minisvdd.backends import emulator  # noqa: E402
from minisvdd.backends.kernel import KernelError, read_kernels  # noqa: E402
from minisvdd.course.catalog import get_assignment  # noqa: E402
from minisvdd.course.grader.checks import Student, Wrong  # noqa: E402
from minisvdd.course.grader.sandbox import SubmissionError  # noqa: E402
from minisvdd.course.handouts.skeleton import skeleton  # noqa: E402

SEED = 0
_SECONDS, _AT_ONCE = 20, 40
# (kind, what stands there, what a student writes)
_MORE = [
    ("block", r"(blockIdx\.x \* blockDim\.x \+ threadIdx\.x)", "threadIdx.x"),
    ("block", r"(blockIdx\.x \* blockDim\.x \+ threadIdx\.x)", "blockIdx.x * gridDim.x + threadIdx.x"),
    ("block", r"(blockIdx\.x \* blockDim\.x \+ threadIdx\.x)", "blockIdx.x + blockDim.x * threadIdx.x"),
    ("barrier", r"(return;\n)", "return;\n    __syncthreads();\n"),
    ("type", r"(T) sum = 0;", "int"),
    ("type", r"(T) sum = 0;", "float"),
    ("row", r"tile\[\d+\](\[48\]);", "[22]"),
    ("row", r"tile\[\d+\](\[48\]);", "[32]"),
    ("= for +=", r"sum (\+=) ", "="),
    ("+= for =", r"\] (=) sum;", "+="),
    ("divided", r"(\] = sum);", "] = sum / N"),
    ("left out", r"( \* x\[[^;]*\]);", ""),
    ("left out", r" (grad_output\[[^;]*\] \* )x", ""),
    ("left out", r"(weight\[[^;]*\] \*\s+)grad", ""),
    ("left out", r"( - ph| - pw| \+ ph| \+ pw)", ""),
    ("left out", r"(sh \* |sw \* )", ""),
    ("name", r"(?<![\w.])(K|C|N)\b", {"K": "C", "C": "K", "N": "K"}),
    ("name", r"(?<!int )(?<=[(\[ ])([kcnabpquv])(?=[ )\]])(?! = )", dict(zip("kcnabpquv", "cnkbaqpvu"))),
]


@dataclass(frozen=True)
class Mutant:
    """Characters start ... of the model solution become `new`."""

    kernel: str
    kind: str
    start: int
    text: str
    new: str


def mutants(source: str) -> list[Mutant]:
    """All edits in the kernels' bodies."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "solution.cu").write_text(source)
        found = [(m.kind, m.start, m.text, m.new) for m in kernel_mutants.places(Path(folder), "solution")]
    for kind, pattern, new in _MORE:
        for match in re.finditer(pattern, source):
            found.append((kind, match.start(1), match[1], new[match[1]] if isinstance(new, dict) else new))
    spans, once = kernels(source), {}
    for kind, start, text, new in found:
        kernel = next((name for name, (first, stop) in spans.items() if source.find("{", first) < start < stop), None)
        if kernel and "//" not in source[source.rfind("\n", 0, start) : start]:
            once.setdefault((start, text, new), Mutant(kernel, kind, start, text, new))
    return sorted(once.values(), key=lambda m: (m.start, m.text, m.new))


def kernels(source: str) -> dict[str, tuple[int, int]]:
    """Where each kernel stands, with its template line."""
    starts = [match.start() for match in re.finditer(r"template <typename T>", source)]
    names = re.findall(r"__global__ void (\w+)\(", source)
    return dict(zip(names, zip(starts, [*starts[1:], len(source)])))


def row_of(name: str, source: str, mutant: Mutant) -> dict:
    """What is recorded of it."""
    before, after = kernel_mutants.line_of(source, mutant)
    return {"assignment": name, "kind": mutant.kind, "before": before, "after": after}


def graded(name: str, report=lambda line: None, count: int | None = None) -> list[dict]:
    """Rows with outcome and reason, of all mutants or of every so-many-th."""
    source = skeleton(get_assignment(name), solution=True)
    chosen = mutants(source)
    chosen = chosen[:: max(1, len(chosen) // count)] if count else chosen
    rows = []
    for kernel, (first, stop) in kernels(source).items():
        of_kernel = [mutant for mutant in chosen if mutant.kernel == kernel]
        for at in range(0, len(of_kernel), _AT_ONCE):
            some = of_kernel[at : at + _AT_ONCE]
            for mutant, lost in zip(some, _run_together(name, source, kernel, first, stop, some)):
                row = row_of(name, source, mutant)
                why = EQUIVALENT.get(row["after"], "")
                outcome = "killed" if lost else "equivalent" if why else "survived"
                rows.append({**row, "outcome": outcome, "why": lost or why})
                if not lost:
                    report("{outcome:10} {kind:10} {before:.90}\n    {after:.100}  {why:.90}".format(**rows[-1]))
    return rows


def _run_together(name, source, kernel, first, stop, some):
    """For each mutant the part that it loses, or ""."""
    if not some:
        return []
    texts = []
    for i, mutant in enumerate(some):
        edited = source[first : mutant.start] + mutant.new + source[mutant.start + len(mutant.text) : stop]
        texts.append(edited.replace(f"void {kernel}(", f"void {kernel}_{i}(", 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutants.cu"
        path.write_text("\n".join(texts))
        found = read_kernels(path)
        try:
            emulator._load(path, True)
        except KernelError as error:
            line = int(re.search(r"mutants\.cu:(\d+)", str(error))[1])
            ends = accumulate(text.count("\n") + 1 for text in texts)
            bad = next(i for i, end in enumerate(ends) if line <= end)
            others = _run_together(name, source, kernel, first, stop, [*some[:bad], *some[bad + 1 :]])
            return [*others[:bad], "does not compile", *others[bad:]]
        return [_in_child(name, found[f"{kernel}_{i}"], kernel) for i in range(len(some))]


def _in_child(assignment, kernel, name):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(_SECONDS)
        os.write(write, _first_loss(assignment, kernel, name).encode() or b"-")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return {"": "time or a crash", "-": ""}.get(said, said)


def _first_loss(assignment, kernel, name):
    student = Student(Launcher({name: kernel}))
    for part in get_assignment(assignment).parts:
        if part.function == name:
            try:
                part.check(student, part.generator(SEED))
            except (Wrong, SubmissionError):
                return part.name
    return ""
