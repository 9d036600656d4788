"""Break the model solution of every assignment in every small way, and see whether the grader takes points for it.

    python tests/course/solution_mutants.py [--only conv2d] [--out tests/course/solution_mutants.json]

A mutant is one edit of one place of a model solution, as a student may have it wrong: an operator, a number, an axis,
a name for another, an = for a +=, arguments exchanged, a term left out. Python solutions are graded in this process;
kernels on the emulator. A mutant is killed when it loses points with each of three seeds. What survives is a case that
the assignment lacks, or changes nothing that is asked for: `solution_equivalents.py` says why.
"""

import argparse
import ast
import json
import random
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE.parents[1]), str(HERE), str(HERE.parent / "support"), str(HERE.parent / "mutants")]

import numpy as np  # noqa: E402
from edits import Edit, edits  # noqa: E402
from in_process import Here  # noqa: E402
from solution_equivalents import EQUIVALENT  # noqa: E402

from minisvdd.course.catalog import NAMES, get_assignment  # noqa: E402
from minisvdd.course.grader.checks import Student, Wrong  # noqa: E402
from minisvdd.course.handouts.skeleton import BEGIN, END, skeleton  # noqa: E402

PUBLISHED = HERE / "solution_mutants.json"
SEEDS = (0, 1, 2)
_SECONDS = 10  # a mutant that takes longer loops for ever
PYTHON = [name for name in NAMES if get_assignment(name).language == "python"]


@dataclass(frozen=True)
class Mutant:
    """One edit of the model solution of an assignment."""

    assignment: str
    source: bytes
    edit: Edit

    @property
    def row(self) -> dict:
        """What is recorded of it."""
        _, before, after = self.edit.lines(self.source)
        return {"assignment": self.assignment, "kind": self.edit.kind, "before": before, "after": after}

    @property
    def text(self) -> str:
        """The edited file."""
        return self.edit.apply(self.source).decode()


@cache
def mutants(name: str) -> list[Mutant]:
    """All mutants of a Python assignment: edits between the markers of its solution."""
    source = skeleton(get_assignment(name), solution=True).encode()
    found = {(edit.start, edit.stop, edit.new): edit for edit in _edits(source)}
    return [Mutant(name, source, found[key]) for key in sorted(found)]


def _edits(source):
    """All edits between markers, function by function: a short text is read much faster than a long one."""
    starts = [match.start() for match in re.finditer(rb"^def ", source, re.MULTILINE)]
    for start, stop in zip(starts, [*starts[1:], len(source)]):
        text = source[start:stop]
        spans = _solutions(text)
        for edit in dict.fromkeys((*_more_edits(text), *edits(text))):
            if any(first <= edit.start and edit.stop <= last for first, last in spans) and _compiles(edit.apply(text)):
                yield replace(edit, start=start + edit.start, stop=start + edit.stop)


def _compiles(source):
    try:
        return bool(compile(source, "mutant", "exec"))
    except SyntaxError:
        return False


def _solutions(source):
    """(start, stop) of what stands between markers."""
    spans, at = [], 0
    while (start := source.find(BEGIN.encode(), at)) >= 0:
        at = source.index(END.encode(), start)
        spans.append((start, at))
    return spans


def _more_edits(source: bytes) -> Iterator[Edit]:
    """What students get wrong beyond `edits`: a name for another, = for +=, one less, a function left out."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def edit(kind, node, new):
        return Edit(
            kind, starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset, new
        )

    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for node in _walk(function.body[1:]):
            if isinstance(node, ast.AugAssign):
                yield edit("= for +=", node, f"{ast.unparse(node.target)} = {ast.unparse(node.value)}")
            elif isinstance(node, ast.Constant) and type(node.value) is int and node.value:
                yield edit("number", node, str(node.value - 1))
            elif isinstance(node, ast.Call) and len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                yield edit("function left out", node, f"({ast.unparse(node.args[0])})")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
                yield edit("method left out", node, f"({ast.unparse(node.func.value)})")
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                yield edit("index left out", node, f"({ast.unparse(node.value)})")
            elif _is_pair(node):
                yield edit("order", node, "(" + ", ".join(ast.unparse(e) for e in node.elts[::-1]) + ")")
        yield from _other_names(function, edit)


def _walk(body):
    """All nodes but those of what is raised: the words of an error are free."""
    for node in body:
        if not isinstance(node, ast.Raise):
            yield node
            yield from _walk(ast.iter_child_nodes(node))


def _is_pair(node):
    """Whether these are two different things, in an order."""
    pair = isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load)
    return pair and ast.dump(node.elts[0]) != ast.dump(node.elts[1])


def _other_names(function, edit):
    """Every name of the function read as the one that comes next in the text, and as the one before."""
    own = [a.arg for a in function.args.args]
    own += [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    own = list(dict.fromkeys(own))
    for node in _walk(function.body[1:]):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in own and len(own) > 1:
            at = own.index(node.id)
            for other in dict.fromkeys((own[at - 1], own[(at + 1) % len(own)])):
                yield edit("name", node, other)


class _Endless(BaseException):
    """The mutant ran for too long."""


def verdict(mutant: Mutant, seeds=SEEDS) -> tuple[str, str]:
    """("killed" or "survived", by which part or with which seeds)."""
    lost = []
    for seed in seeds:
        lost.append(first_loss(mutant, seed))
        if lost[-1] == "time":  # it will not be quicker with another seed
            return "killed", "time"
    if all(lost):
        return "killed", lost[0]
    return "survived", "" if not any(
        lost
    ) else f"killed with {sum(map(bool, lost))} of {len(lost)} seeds by {max(lost)}"


def first_loss(mutant: Mutant, seed: int) -> str:
    """The name of the first part that loses points; "" if none does."""
    assignment = get_assignment(mutant.assignment)
    function = mutant.source[: mutant.edit.start].decode().rpartition("\ndef ")[2].partition("(")[0]
    parts = sorted(assignment.parts, key=lambda part: part.function != function)
    try:
        student = Student(Here(mutant.text))
    except Exception:
        return "loading"
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(_SECONDS)
    try:
        for part in parts:
            if not _passes(part, student, seed):
                return part.name
    except _Endless:
        return "time"
    finally:
        signal.alarm(0)
    return ""


def _stop(*_):
    raise _Endless


def _passes(part, student, seed):
    try:
        with np.errstate(all="ignore"):
            part.check(student, part.generator(seed))
    except Wrong as wrong:
        return wrong.fraction == 1
    except Exception:
        return False
    return True


def reason(row: dict) -> str:
    """Why no grader can tell the mutant from the solution; "" if nobody has said so."""
    return EQUIVALENT.get(row["after"], "")


def graded(chosen: list[Mutant], report=lambda line: None) -> list[dict]:
    """Rows with outcome and reason."""
    rows = []
    for mutant in chosen:
        outcome, why = verdict(mutant)
        row = {**mutant.row, "outcome": outcome, "why": why}
        if outcome == "survived":
            row |= {"why": why or reason(row), "outcome": "equivalent" if reason(row) else "survived"}
            report("{outcome:10} {assignment:20} {kind:16} {before:.100}\n    {after:.110}  {why:.90}".format(**row))
        rows.append(row)
    return rows


def sample(count: int, seed: int) -> list[Mutant]:
    """Some mutants of all Python assignments, the same for the same seed."""
    chosen, rng = [], random.Random(seed)
    for name in PYTHON:
        every = mutants(name)
        chosen += rng.sample(every, min(count, len(every)))
    return chosen


def table(rows: list[dict]) -> str:
    """Numbers of each assignment."""
    lines = [f"{'assignment':22}{'mutants':>9}{'killed':>9}{'equivalent':>12}{'survived':>10}"]
    for name in dict.fromkeys(row["assignment"] for row in rows):
        outcomes = [row["outcome"] for row in rows if row["assignment"] == name]
        counts = (len(outcomes), *(outcomes.count(kind) for kind in ("killed", "equivalent", "survived")))
        lines.append(f"{name:22}" + "{:9}{:9}{:12}{:10}".format(*counts))
    return "\n".join(lines)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Mutation test of the course's cases.")
    parser.add_argument("--only", nargs="*", default=[*NAMES], help="assignments (default: all)")
    parser.add_argument("--out", type=Path, help="write counts and survivors as JSON; other assignments' rows stay")
    options = parser.parse_args()
    rows = []
    for name in options.only:
        if name in PYTHON:
            rows += graded(mutants(name), lambda line: print(line, flush=True))
        else:
            import kernel_solution_mutants

            rows += kernel_solution_mutants.graded(name, lambda line: print(line, flush=True))
    print(table(rows))
    if options.out:
        publish(rows, options.out)


def publish(rows: list[dict], out: Path) -> None:
    """Write what came out: of the killed the number alone, of the others the lines."""
    record = json.loads(out.read_text()) if out.exists() else {}
    for name in dict.fromkeys(row["assignment"] for row in rows):
        of_name = [row for row in rows if row["assignment"] == name]
        others = [
            {k: row[k] for k in ("kind", "before", "after", "outcome", "why")}
            for row in of_name
            if row["outcome"] != "killed"
        ]
        record[name] = {"mutants": len(of_name), "killed": len(of_name) - len(others), "others": others}
    out.write_text(json.dumps({name: record[name] for name in NAMES if name in record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
