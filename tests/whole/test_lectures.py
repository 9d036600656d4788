"""Every lecture and every solution runs quickly and passes its own checks; what makes a lecture fail; their form."""

import ast
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
from forked import Starter
from helpers_processes import environment

pytestmark = pytest.mark.slow

LECTURES = Path(__file__).parents[2] / "lectures"
SCRIPTS = sorted(LECTURES.glob("[0-9]*.py")) + sorted(LECTURES.glob("solutions/[0-9]*.py"))
ON_KERNELS = ("13_cuda",)


def _name(script):
    return script.relative_to(LECTURES).with_suffix("").as_posix()


each_script = pytest.mark.parametrize("script", SCRIPTS, ids=_name)


def run(script, *arguments, **variables):
    """The script as a process of its own; returns what subprocess.run does."""
    command = [sys.executable, script, *map(str, arguments)]
    variables = {**environment(), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300)


@pytest.fixture(scope="module")
def quick_runs(request, tmp_path_factory):
    """Future results of the scripts whose tests were selected, two at a time."""
    out = tmp_path_factory.mktemp("lectures")
    items = [item for item in request.session.items if item.name.startswith("test_runs[")]
    selected = {item.callspec.params["script"] for item in items if not item.get_closest_marker("skip")}
    starters, free = [Starter({**environment(), "OMP_NUM_THREADS": "1"}) for _ in range(2)], SimpleQueue()

    def start(script):
        starter = free.get()
        try:
            return starter.run(script, "--quick", "--out", out)
        finally:
            free.put(starter)

    for starter in starters:
        free.put(starter)
    with ThreadPoolExecutor(len(starters)) as pool:
        yield {script: pool.submit(start, script) for script in SCRIPTS if script in selected}
    for starter in starters:
        starter.close()


_RUNS = [pytest.param(s, marks=[pytest.mark.compiler] if s.stem in ON_KERNELS else [], id=_name(s)) for s in SCRIPTS]


@pytest.mark.parametrize("script", _RUNS)
def test_runs(script, quick_runs):
    done = quick_runs[script].result()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(rf"^{script.stem}: [1-9]\d* checks, all passed$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("check('holds', True); finish()", 0),
        ("check('does not', 1 > 2); finish()", 1),
        ("check('does not', float('nan') < 1); check('holds', True); finish()", 1),
        ("check('holds', True)", 1),
        ("check('holds', True); raise SystemExit(0)", 1),
        ("check('holds', True); finish(); check('one more', True)", 1),
        ("check('holds', True); finish(); check('one more', False); finish()", 1),
        ("finish()", 1),
        ("check('has no single truth', [1, 2] == numpy.array([1, 2])); finish()", 1),
        ("raise ValueError('halfway')", 1),
    ],
)
def test_exit_status(body, status, tmp_path):
    script = tmp_path / "99_claims.py"
    script.write_text(f"import numpy\nfrom minisvdd.lecture import check, finish\n{body}\n")
    done = run(script, "--out", tmp_path)
    assert done.returncode == status, done.stderr
    assert ("FAIL" in done.stdout) == ("does not" in done.stdout or "one more', False" in body)


def test_a_claim_counts_as_its_cells_last_run_says(tmp_path):
    """In a notebook; in a script, which runs once, every check counts."""
    cells = ["check('a', 1 > 2)", "check('b', True)", "check('a', True)", "check('b', True); check('c', True)"]
    script = tmp_path / "99_cells.py"
    script.write_text(
        "from minisvdd import lecture\nfrom minisvdd.lecture import check, finish\nclass Shell: execution_count = 0\n"
        "if NOTEBOOK: lecture._shell = Shell\n"
        + "\n".join(f"Shell.execution_count += 1\n{cell}" for cell in cells)
        + "\nlecture._shell = lambda: None\nfinish()\n"
    )
    text = script.read_text()
    for notebook, status, verdict in ((True, 0, "3 checks, all passed"), (False, 1, "5 checks, 1 FAILED")):
        script.write_text(text.replace("NOTEBOOK", str(notebook)))
        done = run(script, "--out", tmp_path)
        assert (done.returncode, verdict in done.stdout) == (status, True), done.stdout + done.stderr


@each_script
def test_no_claim_is_made_twice(script):
    """By its words a notebook knows that a claim is checked anew."""
    calls = [node for node in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(node, ast.Call)]
    claims = [ast.unparse(call.args[0]) for call in calls if getattr(call.func, "id", "") == "check"]
    assert len(set(claims)) == len(claims), [claim for claim in claims if claims.count(claim) > 1]


def test_options_and_pictures(tmp_path):
    script = tmp_path / "99_picture.py"
    script.write_text(
        "import matplotlib.pyplot as plt\nfrom minisvdd.lecture import QUICK, check, choose, figure, finish\n"
        "plt.plot([1, 2])\nfigure('line')\ncheck('no figure is left open', not plt.get_fignums())\n"
        "print('size', choose('small', 'large'), QUICK)\nfinish()\n"
    )
    assert "size large False" in run(script, "--out", tmp_path, MINISVDD_QUICK="").stdout
    assert "size small True" in run(script, "--out", tmp_path, MINISVDD_QUICK="1").stdout
    assert "size small True" in run(script, "--out", tmp_path, "--quick").stdout
    assert (tmp_path / "99_picture" / "line.png").read_bytes().startswith(b"\x89PNG")
    assert run(script, "--fast").returncode == 2


def test_show_prints_the_lines_alone(tmp_path):
    script = tmp_path / "99_show.py"
    script.write_text(
        "from minisvdd.lecture import check, finish, show\nfrom minisvdd import ops\nfrom minisvdd.ops import layout\n"
        "show(ops.linear_forward, ops.linear_forward.reading('fast'), ops.tanh_backward)\n"
        "show(layout, type(ops.linear_forward))\n"
        "check('shown', True)\nfinish()\n"
    )
    done = run(script)
    assert done.returncode == 0, done.stderr
    operations, _, rest = done.stdout.partition("minisvdd/ops/layout.py:\n")
    files = [line for line in done.stdout.splitlines() if line.endswith(".py:")]
    assert files == [f"minisvdd/ops/{name}.py:" for name in ("linear", "activations", "layout", "operation")]
    places = [
        operations.index(line)
        for line in (
            "    def linear_forward(x: np.ndarray",
            "        return x @ weight.T\n",
            "    @linear_forward.fast\n    def _(x: np.ndarray, weight: np.ndarray)",
            "        with one_blas_thread():\n",
            "    def tanh_backward(",
        )
    ]
    assert places == sorted(places)
    assert "@Operation" not in operations
    assert '"""' not in operations  # the lecture has said what a docstring says
    assert '"""Views between the public shape' in rest  # but of a module everything is shown
    assert "class Operation(" in rest


def cells(script):
    """(is text, lines) of each cell; the text without its comment signs."""
    first, *parts = re.split(r"^# %%", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert first == "", f"{script.name} does not begin with a cell"
    for part in parts:
        kind, *lines = part.rstrip().split("\n")
        assert kind in ("", " [markdown]"), f"{script.name}: cell marker '# %%{kind}'"
        if kind:
            assert all(line == "#" or line.startswith("# ") or not line for line in lines), lines
        yield bool(kind), [re.sub("^# ?", "", line) for line in lines] if kind else lines


@each_script
def test_form(script):
    (is_text, head), *rest = cells(script)
    number = int(script.stem.split("_")[0])
    is_solution = script.parent.name == "solutions"
    assert is_text
    if is_solution:
        assert head[0].startswith(f"# Solutions to {number}. ")
    else:
        assert re.match(rf"# {number}\. \S", head[0])
        assert re.search(r"^\*Needs: .+\. Minutes: [\d.]+ quick, [\d.]+ full\.\*$", "\n".join(head), re.DOTALL | re.M)
    assert [line for is_text, lines in rest if not is_text for line in lines if line][-1] == "finish()"
    for is_text, lines in [(True, head), *rest]:
        assert_maths_is_balanced("\n".join(lines)) if is_text else ast.parse("\n".join(lines))


def assert_maths_is_balanced(text):
    """Every $ opens or closes a formula, within one paragraph, and its braces match."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)):
        formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", paragraph, re.DOTALL)
        left = re.sub(r"\$\$.+?\$\$|\$[^$]+?\$", "", paragraph, flags=re.DOTALL)
        assert "$" not in left.replace(r"\$", ""), paragraph
        for formula in map("".join, formulas):
            bare = re.sub(r"\\[{}]", "", formula)
            assert bare.count("{") == bare.count("}"), formula
            assert formula.count(r"\left") - formula.count(r"\leftarrow") == formula.count(r"\right") - formula.count(
                r"\rightarrow"
            ), formula


ABOUT_BACKENDS = ("13_cuda", "14_fast_numpy")
MOST_IMPORTS = {
    **{"01_idea": 3, "10_mnist_cifar": 4, "11_adversarial_stop_signs": 4, "15_from_score_to_decision": 3},
    **dict.fromkeys(ABOUT_BACKENDS, 5),
}


@each_script
def test_imports_are_few_and_backends_out_of_sight(script):
    text = script.read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [getattr(node, "module", None) or node.names[0].name for node in nodes]
    ours = [name for name in modules if name.startswith("minisvdd") and name != "minisvdd.lecture"]
    assert len(ours) <= MOST_IMPORTS.get(script.stem, 2), "take packages: from minisvdd import nn, ops"
    if script.stem not in ABOUT_BACKENDS:
        for word in ("NUMPY", "one_blas_thread", "use_threads", "Workspace", ".on("):
            assert word not in text, f"{word}: a lecture calls the formula"


def test_every_lecture_has_exercises_and_their_solutions():
    for script in LECTURES.glob("[0-9]*.py"):
        text = script.read_text(encoding="utf-8")
        exercises = re.findall(r"^# (\d+)\. ", text.partition("# ## Exercises")[2], re.MULTILINE)
        assert exercises, f"{script.name} has no exercises"
        solved = re.findall(r"^# ## Exercise (\d+)", (LECTURES / "solutions" / script.name).read_text(), re.MULTILINE)
        assert solved == exercises, script.name


def test_jupytext_reads_what_the_scripts_say():
    jupytext = pytest.importorskip("jupytext", reason="needs the extra `docs`")
    for script in SCRIPTS:
        notebook = jupytext.read(script, fmt="py:percent")
        kinds = [cell.cell_type == "markdown" for cell in notebook.cells]
        assert kinds == [is_text for is_text, _ in cells(script)], script.name
