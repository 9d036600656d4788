"""Break the kernels in every small way that programmers break them, and see whether the tests notice.

    python tests/kernels/kernel_mutants.py --out tests/kernels/kernel_mutants.json [--count 100] [--jobs 2]
    python tests/kernels/kernel_mutants.py --renew --out ...    after a change: anew what survived or no longer stands
    python tests/kernels/kernel_mutants.py --file conv2d_rows --count 30 --out ...    of one file; the others' stay
    python tests/kernels/kernel_mutants.py --file fused --within window_at --count 5 --out ...    more, of new functions

A mutant is one edit of one place: a comparison, an operator, a number, a height for a width, a barrier or guard
removed. The places are drawn from all there are, with a fixed seed, as many for each kind of edit. Every mutant is
built and run on the emulator against NumPy (`kernel_checks.py`); it is killed when a check fails or the emulator
reports an error. Survivors are listed with the reason why no test can tell them from the original, in EQUIVALENT.
"""

import argparse
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))

import recorded_mutants as recorded

ROOT = Path(__file__).resolve().parents[2]
# the files, how many mutants of each per `--count`, and the headers that are edited with it (each one once)
_SHARES = {
    "conv2d": 0.4,
    "pooling": 0.2,
    "batchnorm": 0.2,
    "fused": 0.15,
    "activations": 0.05,
    "upsample": 0.15,
    "conv2d_rows": 0.3,
    "conv2d_tensor": 0.36,
    "linear": 0.15,
    "losses": 0.1,
    "adam": 0.15,
    "steps": 0.05,
    "reductions": 0.05,
}
_HEADERS = {
    "conv2d": ("conv2d.h", "gemm.h"),
    "batchnorm": ("reduce.h",),
    "activations": ("pack.h",),
    "conv2d_rows": ("conv2d_rows.h",),
    "conv2d_tensor": ("conv2d_tensor.h", "tensor_core.h"),
    "linear": ("gemm_split.h",),
}
_SECONDS = 150  # a mutant that runs longer loops for ever

# kind of edit: (pattern, replacements); a pattern's first group is what is replaced
_EDITS = {
    "comparison": (r" (<=|>=|==|!=|<|>) ", {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}),
    "sum": (r" (\+|-) ", {"+": "-", "-": "+"}),
    "product": (r" (\*|/|%) ", {"*": "+", "/": "*", "%": "/"}),
    "assignment": (r" (\+=) ", {"+=": "-="}),
    "logic": (r" (&&|\|\|) ", {"&&": "||", "||": "&&"}),
    "number": (r"(?<![\w.\"])(\d+)(?![\w.])", None),
    "axis": (
        r"\b(kh|kw|sh|sw|ph|pw|H|W|P|Q)\b",
        {
            "kh": "kw",
            "kw": "kh",
            "sh": "sw",
            "sw": "sh",
            "ph": "pw",
            "pw": "ph",
            "H": "W",
            "W": "H",
            "P": "Q",
            "Q": "P",
        },
    ),
    "barrier": (r"(__syncthreads\(\);)", {"__syncthreads();": ";"}),
    "guard": (r"(if \([^;{}]*\)) (?:\w|return)[^;]*;", None),
}


# Survivors that no test can kill, and why: (file, the edited line).
EQUIVALENT = {
    (
        "conv2d",
        "for (int base = first; base <= last; base += depth) {",
    ): "behind the last k, a piece of zeros more",
    ("conv2d_rows", "if (false) return;"): "threads of other shares add up, too, what nobody asks them for",
    (
        "conv2d_tensor",
        "return {big, side != LEFT ? pack_bfloat16(__uint_as_float(big), rest) : "
        "pack_bfloat16(rest, __uint_as_float(big))};",
    ): "both sides of the product are exchanged, (rest, big) times (big, rest)",
    (
        "conv2d_tensor",
        "if (true) add(sum, fresh);",
    ): "zeros are added where products went into the sum",
    (
        "conv2d_tensor",
        "float4 big = filters[0], rest = S::parts == 2 ? filters[32] : make_float4(0, 0, 1, 0);",
    ): "a product that has one part does without the rest",
    (
        "fused",
        "if (n < N) window = {T(0), mean[c], r, r, T(0), T(1), n * C + c, p, q, -1};",
    ): "the channel's mean takes that place before anybody reads it",
    ("linear", "gemm_register_blocked<T, 32, 129 / sizeof(T)>("): "129 / 4 is 32, as 128 / 4 is",
    ("steps", "if (i == 1) *before = *done;"): "one thread does it, whichever",
}


@dataclass(frozen=True)
class Mutant:
    """One edit: `text` at `start` of the file with its headers becomes `new`."""

    file: str
    kind: str
    start: int
    text: str
    new: str


def with_headers(folder: Path, file: str) -> str:
    """The kernel file with our headers in place of the includes, so that an edit of a header is one of this file."""
    seen = set()

    def expand(path):
        if path.name in seen:
            return ""
        seen.add(path.name)
        includes = re.findall(r'#include "([\w.]+)"\n', path.read_text())
        return "".join(expand(folder / name) for name in includes) + _body(path)

    return expand(folder / f"{file}.cu")


def _body(path):
    """A file without its includes."""
    return re.sub(r'#include "[\w.]+"\n|#pragma once\n', "", path.read_text())


def places(folder: Path, file: str) -> list[Mutant]:
    """All mutants of a file: edits inside the bodies of its functions, outside comments and compile-time code."""
    source = with_headers(folder, file)
    allowed = _code_in_bodies(source)
    for header in folder.glob("*.h"):
        start, length = source.find(_body(header)), len(_body(header))
        if start >= 0 and header.name not in _HEADERS.get(file, ()):
            allowed[start : start + length] = [False] * length
    found = []
    for kind, (pattern, replacements) in _EDITS.items():
        for match in re.finditer(pattern, source):
            start, text = match.start(1), match[1]
            if not all(allowed[start : start + len(text)]):
                continue
            if kind == "number":
                new = str(int(text) + 1)
            elif kind == "guard":
                new = "if (false)" if match[0].endswith(("return;", "continue;")) else "if (true)"
            else:
                new = replacements[text]
            found.append(Mutant(file, kind, start, text, new))
    return found


def _code_in_bodies(source):
    """For every character: is it run-time code of a function?"""
    allowed, depth = [True] * len(source), 0
    for i, character in enumerate(source):
        depth += (character == "{") - (character == "}")
        allowed[i] = depth > 0
    skipped = (
        r"//[^\n]*|static_assert\([^;]*;|constexpr[^;]*;|using [^;]*;"
        r"|template <[^>]*>|__shared__[^;]*;|#[^\n]*|warpSize / 2"
    )
    for match in re.finditer(skipped, source):
        allowed[match.start() : match.end()] = [False] * (match.end() - match.start())
    return allowed


def draw(folder: Path, count: int, seed: int = 0, shares: dict[str, float] = _SHARES) -> list[Mutant]:
    """`count` mutants, shared out among the files, and in each among the kinds of edit in turn."""
    rng, chosen = random.Random(seed), []
    for file, share in shares.items():
        by_kind = {}
        for mutant in places(folder, file):
            by_kind.setdefault(mutant.kind, []).append(mutant)
        for group in by_kind.values():
            rng.shuffle(group)
        wanted = round(count * share)
        while wanted > 0 and any(by_kind.values()):
            for group in by_kind.values():
                if group and wanted > 0:
                    chosen.append(group.pop())
                    wanted -= 1
    return chosen


def of_functions(folder: Path, file: str, names: list[str], count: int, rows: list[dict]) -> list[Mutant]:
    """`count` mutants of these functions that no row tells of yet."""
    source, known = with_headers(folder, file), {recorded.key(row) for row in rows}
    spans = [span for name in names for span in _definitions(source, name)]
    inside = (m for m in draw(folder, 100_000, shares={file: 1}) if any(m.start in span for span in spans))
    return list(itertools.islice((m for m in inside if recorded.key(described(source, m)) not in known), count))


def _definitions(source, name):
    """Where functions of that name are defined, each up to its last brace."""
    for match in re.finditer(rf"\b{name}\([^;{{]*{{", source):
        depth, end = 1, match.end()
        while depth:
            depth += (source[end] == "{") - (source[end] == "}")
            end += 1
        yield range(match.start(), end)


def find(folder: Path, rows: list[dict]) -> list[Mutant]:
    """The mutants of these rows; what is stale among them is left out."""
    found, wanted = {}, {recorded.key(row) for row in rows}
    for file in dict.fromkeys(row["file"].removesuffix(".cu") for row in rows):
        source = with_headers(folder, file)
        for mutant in places(folder, file):
            which = recorded.key(described(source, mutant))
            if which in wanted:
                found.setdefault(which, mutant)
    return list(found.values())


def renewal(folder: Path, rows: list[dict]) -> list[Mutant]:
    """The survivors, and as many new mutants of each file as rows of it no longer stand."""
    chosen = find(folder, [row for row in rows if row["outcome"] == "survived"])
    known = {recorded.key(row) for row in rows}
    lost = [row["file"].removesuffix(".cu") for row in recorded.stale(rows, lambda file: text_of(folder, file))]
    everything = draw(folder, 100_000) if lost else []
    for file in dict.fromkeys(lost):
        source = with_headers(folder, file)
        fresh = (m for m in everything if m.file == file and recorded.key(described(source, m)) not in known)
        chosen += itertools.islice(fresh, lost.count(file))
    return chosen


def text_of(folder: Path, file: str) -> str:
    """The source of "conv2d.cu" with its headers; "" for one that is gone."""
    return with_headers(folder, file.removesuffix(".cu")) if (folder / file).exists() else ""


def described(source: str, mutant: Mutant) -> dict:
    """What is recorded of it."""
    before, after = line_of(source, mutant)
    return {"file": f"{mutant.file}.cu", "kind": mutant.kind, "before": before, "after": after}


def line_of(source: str, mutant: Mutant) -> tuple[str, str]:
    """The source line before and after the edit."""
    first, last = source.rfind("\n", 0, mutant.start) + 1, source.find("\n", mutant.start)
    end = max(last, source.find("\n", mutant.start + len(mutant.text) - 1))
    before = source[first:end]
    at = mutant.start - first
    return before.strip(), (before[:at] + mutant.new + before[at + len(mutant.text) :]).strip()


def run(mutant: Mutant, folder: Path, cache: Path) -> dict:
    """Build and check one mutant in a process of its own."""
    source = with_headers(folder, mutant.file)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "kernels"
        shutil.copytree(folder, copy)
        edited = source[: mutant.start] + mutant.new + source[mutant.start + len(mutant.text) :]
        (copy / f"{mutant.file}.cu").write_text(edited)
        outcome, why = check_in_process(copy, [mutant.file], cache)
    result = described(source, mutant)
    if outcome == "survived":
        why = EQUIVALENT.get((mutant.file, result["after"]), "")
    return {**result, "outcome": outcome, "why": why}


def check_in_process(folder: Path, files: list[str], cache: Path) -> tuple[str, str]:
    """("survived", "") or ("killed" or "invalid", by what)."""
    paths = [ROOT, Path(__file__).parent, *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "XDG_CACHE_HOME": str(cache)}
    command, seconds = [sys.executable, __file__, "--check", str(folder), *files], _SECONDS * len(files)
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "killed", "runs for ever"
    if done.returncode == 0:
        return "survived", ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    why = errors[-1] if errors else f"crash ({done.returncode})"
    return ("invalid" if "does not compile" in why else "killed"), why[:200]


def check(folder: Path, files: list[str]) -> None:
    """In the child process: the checks of these files, with the kernels of that folder."""
    import kernel_checks
    import numpy as np

    from minisvdd.backends import building, emulator, kernel

    ours = kernel.kernel_folder()
    for module in (kernel, building, emulator):
        module.kernel_folder = lambda: folder
    everything = building._exports

    def exports(path, instance=""):
        """Of an edited file, which is built for this check alone, float32 only: half the time."""
        names, edited = everything(path, instance), path.read_bytes() != (ours / path.name).read_bytes()
        return {symbol: name for symbol, name in names.items() if not (edited and name.endswith("<double>"))}

    building._exports = exports
    for file in files:
        kernel_checks.FILE_CHECKS[file](emulator.EmulatorBackend(), np.random.default_rng(7))


def run_all(mutants: list[Mutant], folder: Path, jobs: int, cache: Path, report) -> list[dict]:
    """The outcomes of all mutants, in order. RuntimeError if a check fails on the kernels as they are.

    cache: as $XDG_CACHE_HOME, for the libraries of the kernels that are not edited.
    """
    with ThreadPoolExecutor(jobs) as pool:
        files = list(dict.fromkeys(mutant.file for mutant in mutants))
        outcome, why = check_in_process(folder, files, cache)
        if outcome != "survived":
            raise RuntimeError(f"checks of {', '.join(files)} fail without any edit: {why}")
        results = []
        for result in pool.map(lambda mutant: run(mutant, folder, cache), mutants):
            results.append(result)
            report("{outcome:9} {file:13} {kind:10} {after:.90}  {why:.90}".format(**result))
        return results


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description="Mutation test of the kernels on the emulator.")
    parser.add_argument(
        "--count", type=int, default=100, help="mutants, in the first five files (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--file", choices=_SHARES, help="of this one only")
    parser.add_argument("--within", nargs="+", metavar="FUNCTION", help="of these only, besides those in --out")
    parser.add_argument("--renew", action="store_true", help="keep those in --out that were killed and still stand")
    parser.add_argument("--out", type=Path, help="write the outcomes as JSON to this file")
    parser.add_argument("--check", nargs="+", metavar="FOLDER FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.within and not (options.file and options.out):
        parser.error("--within needs --file and --out")
    if options.check:
        return check(Path(options.check[0]), options.check[1:])
    folder, kept = ROOT / "kernels", []
    if options.renew:
        rows = json.loads(options.out.read_text())["results"]
        mutants = renewal(folder, rows)
        again = {recorded.key(described(with_headers(folder, m.file), m)) for m in mutants}
        gone = recorded.stale(rows, lambda file: text_of(folder, file))
        kept = [row for row in rows if row not in gone and recorded.key(row) not in again]
    elif options.within:
        kept = json.loads(options.out.read_text())["results"]
        mutants = of_functions(folder, options.file, options.within, options.count, kept)
    else:
        mutants = draw(folder, options.count, shares={options.file: 1} if options.file else _SHARES)
        if options.file and options.out and options.out.exists():
            rows = json.loads(options.out.read_text())["results"]
            kept = [row for row in rows if row["file"] != f"{options.file}.cu"]
    with tempfile.TemporaryDirectory() as cache:
        results = kept + run_all(mutants, folder, options.jobs, Path(cache), lambda line: print(line, flush=True))
    results.sort(key=lambda row: list(_SHARES).index(row["file"].removesuffix(".cu")))
    return publish(results, options.out)


def publish(results: list[dict], out: Path | None) -> None:
    """Print what came out, and write it."""
    valid = [r for r in results if r["outcome"] != "invalid"]
    killed = sum(r["outcome"] == "killed" for r in valid)
    explained = sum(r["outcome"] == "survived" and bool(r["why"]) for r in valid)
    print(
        f"{killed} of {len(valid) - explained} killed; {explained} change nothing; {len(results) - len(valid)} invalid"
    )
    if out:
        out.write_text(json.dumps({"killed": killed, "equivalent": explained, "results": results}, indent=1))


if __name__ == "__main__":
    main()
