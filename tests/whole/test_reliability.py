"""docs/reliability.md: the files and functions that it names are there, and its figures are those of the records."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells[1:]
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines())
    if len(cells) == 4 and cells[0].endswith("?")
}
FILE = r"`((?:tests|benchmarks|minisvdd|docs|lectures|\.ci|\.github)/[\w./]+)(?: [^`]*)?`"


def test_files_that_it_names_are_there():
    named = re.findall(FILE, PAGE)
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_functions_that_it_names_are_there():
    named = re.findall(r"`(\w+)` in " + FILE, PAGE)
    assert named
    for function, file in named:
        names = {getattr(node, "name", "") for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))}
        assert function in names, (function, file)


@pytest.mark.parametrize("question", ROWS)
def test_a_row_says_where_its_figure_comes_from(question):
    """A file of tests, or a script that measures."""
    where = re.findall(FILE, ROWS[question][-1])
    assert any(re.fullmatch(r"tests/.*\.py|benchmarks/\w+\.py", name) for name in where)


def record(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_planted_errors_are_those_of_the_records():
    asked, found, _ = next(row for question, row in ROWS.items() if "planted errors in the Python code" in question)
    planted = record("tests/mutants/python_mutants.json")
    files = len({result["file"] for result in planted["results"]})
    assert asked.startswith(f"{planted['mutants']} edits")
    assert f"in {files} files" in asked
    for said in ("{killed} killed", "{equivalent} change nothing", "{survived} survive", "{cpu_seconds} s of CPU time"):
        assert said.format(**planted) in found


def test_mutants_of_the_kernels_are_those_of_the_record():
    asked, found, _ = next(row for question, row in ROWS.items() if "CUDA kernels" in question)
    broken = record("tests/kernels/kernel_mutants.json")
    results = broken["results"]
    assert asked.startswith(f"{len(results)} edits in {len({result['file'] for result in results})} files")
    assert "{killed} killed, {equivalent} change nothing".format(**broken) in found
    assert f"{sum(result['outcome'] == 'invalid' for result in results)} does not compile" in found


def test_damaged_files_are_those_of_the_record():
    asked, found, _ = next(row for question, row in ROWS.items() if "damaged files" in question)
    formats = record("benchmarks/results/fuzz.json")["formats"]
    files, refused = (sum(row[count] for row in formats) for count in ("files", "refused"))
    assert asked.startswith(f"{files} mutants of {len(formats)} formats")
    assert (
        f"{refused} refused, {files - refused} read, {sum(len(row['findings']) for row in formats)} findings" in found
    )
