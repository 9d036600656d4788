"""Wheel and sdist: what they contain, and that both work in another folder, without the source tree."""

import ast
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from helpers_build import FILES, FOLDERS, ROOT, build, copied_sources, unpacked

import minisvdd
from minisvdd.course.handouts.wheel import build_wheel

pytestmark = pytest.mark.slow

LECTURES = ROOT / "lectures"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The sdist, and the wheel that is built from what the sdist holds."""
    folder = tmp_path_factory.mktemp("build")
    sdist = build(copied_sources(folder / "source"), folder, "sdist")
    return sdist, build(unpacked(sdist, folder / "unpacked"), folder, "wheel")


@pytest.fixture(scope="module")
def wheel(archives):
    return archives[1]


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with the library as the wheel installs it."""
    return unpacked(wheel, tmp_path_factory.mktemp("site"))


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "minisvdd").rglob("*") if path.suffix in (".py", ".cu")}
    assert modules <= names, "the archive forgets them"
    assert "minisvdd/py.typed" in names  # our types are for others, too (PEP 561)
    assert {f"minisvdd/kernels/{path.name}" for path in (ROOT / "kernels").iterdir() if path.is_file()} <= names
    assert {f"minisvdd/lectures/{path.relative_to(LECTURES)}" for path in LECTURES.rglob("[0-9]*.py")} <= names
    assert not [name for name in names if not name.startswith(("minisvdd/", "minisvdd-"))]
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    expected = ["joblib", "matplotlib", "numpy", "pillow", "scikit-learn", "scipy", "threadpoolctl"]
    assert sorted(line.split()[1].split(">")[0] for line in required) == expected
    for line in ("License-Expression: MIT", "Author: minisvdd maintainers", "Classifier: Typing :: Typed"):
        assert line in metadata.splitlines()
    assert "Classifier: Programming Language :: Python :: 3.10" in metadata  # as `requires-python` says


def test_the_course_s_own_wheel_holds_what_the_build_system_puts_into_one(wheel):
    """But for pictures: `minisvdd assignment pack` brings one along, written without a build system."""
    name, data = build_wheel()
    assert name == wheel.name
    with zipfile.ZipFile(wheel) as theirs, zipfile.ZipFile(io.BytesIO(data)) as ours:
        names = {n for n in theirs.namelist() if n.startswith("minisvdd/") and not n.endswith((".png", "/"))}
        assert {n for n in ours.namelist() if n.startswith("minisvdd/")} == names
        assert [n for n in names if ours.read(n) != theirs.read(n)] == []
        (about,) = (n for n in theirs.namelist() if n.endswith("METADATA"))
        theirs_say, ours_say = (archive.read(about).decode().splitlines() for archive in (theirs, ours))
    for key in ("Name", "Version", "Summary", "Requires-Python"):
        assert [line for line in ours_say if line.startswith(f"{key}:")] == [
            line for line in theirs_say if line.startswith(f"{key}:")
        ]
    required = [line for line in theirs_say if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert [line for line in ours_say if line.startswith("Requires-Dist")] == required


# Packages by the name under which they are imported, where that is another; and what one of our extras brings.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}
EXTRAS = {"IPython": "docs", "cupy": "cuda12", "onnx": "onnx", "torch": "oracle", "distributed": "distributed"}


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
    # the runner of the course starts as a script, and imports these two folders as packages
    ours = {"minisvdd", "cage", "grader"}
    for_type_checkers = {"typing_extensions"}  # which know it without a package
    packages = set(imported_packages()) - sys.stdlib_module_names - ours - for_type_checkers
    assert {DISTRIBUTIONS.get(name, name) for name in packages - EXTRAS.keys()} == declared
    for extra in EXTRAS.values():
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", text, re.MULTILINE)[1] == minisvdd.__version__
    assert f'version = "{minisvdd.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def python(*arguments, cwd, path):
    """Python with the library of the folder `path`, and none beside it."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_it_trains_and_scores_where_nothing_can_be_written(site, tmp_path):
    """From another folder, and neither byte code nor caches are needed beside it: all its own folders are read-only."""
    installed = tmp_path / "site"
    shutil.copytree(site, installed, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(installed.rglob("*"))
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 5)), np.arange(60) % 2
    np.savez(tmp_path / "mine.npz", x_train=x[y == 0], x_test=x, y_test=y)
    train = ["train", "--quiet", "--protocol", "quick", "--normal-class", "0", "--data", "mine.npz", "--out", "out"]
    code = (
        f"import minisvdd.cli as c; print(c.__file__); c.main({train}); c.main(['score', 'out/model.npz', 'mine.npz'])"
    )
    done = python("-B", "-c", code, cwd=tmp_path, path=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(installed))
    assert len(re.findall(r"^\d+,", done.stdout, re.MULTILINE)) == 60, done.stdout
    assert sorted(installed.rglob("*")) == before
    for path in before:
        path.chmod(0o755)


def test_lectures_come_with_it(site, tmp_path):
    """And find in the package what they read of the benchmarks' results."""
    assert python("-m", "minisvdd", "lectures", "lectures", cwd=tmp_path, path=site).returncode == 0
    done = python("lectures/11_adversarial_stop_signs.py", "--quick", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sdist_can_test_itself(archives, tmp_path):
    folder = unpacked(archives[0], tmp_path)
    assert {path.name for path in folder.iterdir()} >= {*FOLDERS, *FILES}
    done = python(
        "-m", "pytest", "-q", "tests/svdd/test_radius.py", "tests/ops/test_pooling.py", cwd=folder, path=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_an_index_would_take_them(archives):
    pytest.importorskip("twine", reason="needs twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *archives], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_of_the_readme_work_on_an_index():
    """With the repository's address they are absolute; without it, nothing is left that leads nowhere."""
    setup = runpy.run_path(str(ROOT / "setup.py"))
    text = "a [link](docs/x.md#part), ![a picture](results/y.png)\n[there](https://example.org) [here](#start)"
    assert setup["long_description"](text, "") == "a link, \n[there](https://example.org) [here](#start)"
    assert setup["long_description"](text, "https://example.org/me/it") == (
        "a [link](https://example.org/me/it/blob/HEAD/docs/x.md#part), "
        "![a picture](https://example.org/me/it/raw/HEAD/results/y.png)\n[there](https://example.org) [here](#start)"
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", readme):
        assert (ROOT / path).exists(), path
    for repository in ("", "https://example.org/me/it"):
        links = re.findall(r"\]\(([^)]*)\)", setup["long_description"](readme, repository))
        assert all(link.startswith(("https:", "#")) for link in links), links
    assert set(setup["project_urls"]("https://example.org/me/it")) == {
        "Homepage", "Repository", "Documentation", "Changelog",
    }  # fmt: skip


USER = """
import numpy as np

from minisvdd import DeepSVDD, check_gradients, load_dataset, load_model
from minisvdd.nn import Linear

split = load_dataset("digits").one_class(3)
model: DeepSVDD = DeepSVDD(nu=0.1, epochs=1, verbose=0).fit(split.train)
assert split.test is not None  # as of every data set that has test samples
scores: np.ndarray = model.anomaly_score(split.test)
inside = model.predict(split.test) == 1
print(scores.mean(), inside.sum(), model.radius_ + 1.0)
layer = Linear(3)
layer.build((5,), np.random.default_rng(0), np.float64)
report = check_gradients(layer, np.zeros((4, 5)))
print(report.passed, load_model)
"""


def test_types_reach_the_user_s_own_script(site, tmp_path):
    """mypy --strict finds nothing in a right script, and the wrong arguments in a wrong one."""
    pytest.importorskip("mypy")
    wrong = USER.replace("nu=0.1", 'nu="a"').replace("model.radius_ + 1.0", 'model.radius_ + "a"')
    (tmp_path / "user.py").write_text(USER, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")
    done = python("-m", "mypy", "--strict", "user.py", "wrong.py", cwd=tmp_path, path=site)
    assert 'Argument "nu"' in done.stdout
    assert re.findall(r"^(.*?):\d+: error:", done.stdout, re.MULTILINE) == ["wrong.py"] * 2, done.stdout
    assert "Found 2 errors in 1 file (checked 2 source files)" in done.stdout
