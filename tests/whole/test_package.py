"""The wheel: what it contains, and that it runs from another folder without the source tree."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import minisvdd

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources, so that nothing lands in the source tree."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("minisvdd", "kernels"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "minisvdd").rglob("*.py")}
    assert modules <= names
    assert "minisvdd/py.typed" in names  # our types are for others, too (PEP 561)
    assert {f"minisvdd/kernels/{path.name}" for path in (ROOT / "kernels").iterdir() if path.is_file()} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "lectures/"))]
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    expected = ["joblib", "matplotlib", "numpy", "pillow", "scikit-learn", "scipy", "threadpoolctl"]
    assert sorted(line.split()[1].split(">")[0] for line in required) == expected
    assert "License-Expression: MIT" in metadata


# Packages by the name under which they are imported, where that is another; and what one of our extras brings.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}
EXTRAS = {"cupy": "cuda12", "onnx": "onnx", "torch": "oracle", "distributed": "distributed"}


def imported_packages():
    """The names of all packages that the library imports, wherever the statement stands."""
    for path in (ROOT / "minisvdd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def test_every_import_is_declared():
    """As a dependency of the library, or of the extra that it needs; and nothing is declared that is not imported."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = set(re.findall(r'"([\w-]+)>=', re.search(r"\ndependencies = \[(.*?)\n\]", text, re.DOTALL)[1]))
    # the runner of the course starts as a script beside these two
    ours = {"minisvdd", "confine", "wire"}
    packages = set(imported_packages()) - sys.stdlib_module_names - ours
    assert {DISTRIBUTIONS.get(name, name) for name in packages - EXTRAS.keys()} == declared
    for extra in EXTRAS.values():
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", text, re.MULTILINE)[1] == minisvdd.__version__
    assert f'version = "{minisvdd.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_runs_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import minisvdd.cli as c; print(c.__file__); raise SystemExit(c.main(['gradcheck', '--layer', 'Tanh']))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
