"""Submissions that misbehave: each ends in a valid results.json in time, and loses no more than it must."""

import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from helpers_course import in_time

from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.grader.grading import grade_source
from minisvdd.course.grader.output import gradescope
from minisvdd.course.grader.sandbox import Limits
from minisvdd.course.handouts import cuda_source

pytestmark = pytest.mark.slow

LINEAR = get_assignment("linear")
SOLUTION = skeleton(LINEAR, solution=True)
BODY = "    return x @ weight.T\n"
FORWARD = {part.name for part in LINEAR.parts if part.function == "linear_forward"}
ALL = {part.name for part in LINEAR.parts}
SHORT = Limits(call_seconds=1.5, total_seconds=6.0)
TENTH = Limits(call_seconds=0.5, total_seconds=1.4)  # of the default ones


def in_function(code):
    """The model solution whose linear_forward begins with this code."""
    assert SOLUTION.count(BODY) == 1
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return SOLUTION.replace(BODY, lines + BODY)


def at_top(code):
    """The model solution with this code above it."""
    return code + "\n" + SOLUTION


def run(source, limits=SHORT):
    """The grade, after its results.json was checked for what Gradescope needs."""
    source = source if isinstance(source, bytes) else source.encode()
    with in_time(limits.total_seconds + 5):
        grade = grade_source(source, "linear.py", LINEAR, limits=limits)
    results = json.loads(json.dumps(gradescope(grade), allow_nan=False))
    assert len(results["tests"]) == len(LINEAR.parts)
    assert results["score"] == sum(test["score"] for test in results["tests"])
    assert all(0 <= test["score"] <= test["max_score"] for test in results["tests"])
    return grade


def lost(grade):
    return {part.name for part in grade.parts if not part.passed}


def messages(grade):
    return "\n".join(part.message for part in grade.parts)


LOSES_FORWARD = [
    ("memory bomb", "bomb = np.ones(1 << 34)", "asked for more memory than allowed in line"),
    ("list bomb", "bomb = []\nwhile True: bomb.append(np.empty(1 << 24))", "asked for more memory than allowed"),
    ("os._exit", "import os\nos._exit(0)", r"ended \(exit status 0\) before it gave a result"),
    ("sys.exit", "import sys\nsys.exit(0)", "linear_forward called exit in line"),
    ("asks the user", "input('your name? ')", "linear_forward raised EOFError"),
    ("fork", "import os\nwhile True: os.fork()", "os.fork is not allowed here"),
    ("subprocess", "import subprocess\nsubprocess.run(['true'])", "subprocess.Popen is not allowed here"),
    (
        "threads",
        "import threading\nfor _ in range(9999): threading.Thread(target=input).start()",
        "thread|an endless loop",
    ),
    ("recursion", "return linear_forward(x, weight)", "RecursionError"),
    ("crash", "import signal\nsignal.raise_signal(signal.SIGSEGV)", "SIGSEGV"),
    ("generator", "return (row for row in x)", "is of type generator: expected an array of shape"),
    ("closes all files", "import os\nos.closerange(0, 4096)", "closed the pipe|ended"),
    ("network", "import socket\nsocket.create_connection(('localhost', 80))", "socket.*not allowed here"),
    ("a long text", "return (1 << 23) * 'x'", "too large to be sent, give arrays instead"),
    ("kills the grader", "import os\nos.kill(os.getppid(), 9)", "os.kill is not allowed here"),
]


@pytest.mark.parametrize(("code", "message"), [case[1:] for case in LOSES_FORWARD], ids=[c[0] for c in LOSES_FORWARD])
def test_costs_the_points_of_its_part_only(code, message):
    grade = run(in_function(code))
    assert lost(grade) == FORWARD
    assert re.search(message, messages(grade)), messages(grade)


def test_an_endless_loop_costs_the_points_of_its_part_only():
    grade = run(in_function("while True: pass"), TENTH)
    assert lost(grade) == FORWARD
    assert "no result after 0.5 s: an endless loop?" in messages(grade)


COSTS_NOTHING = [
    ("exception in __del__", "class Bad:\n    def __del__(self): raise ValueError('boo')\nkeep = Bad()"),
    ("prints 10 MB", "print('x' * 10_000_000)"),
    ("deletes its folder", "import os\nfor name in os.listdir('.'): os.remove(name)"),
]


@pytest.mark.parametrize("code", [case[1] for case in COSTS_NOTHING], ids=[case[0] for case in COSTS_NOTHING])
def test_costs_nothing(code):
    grade = run(in_function(code))
    assert lost(grade) == set()
    assert len(grade.output) < 3000


def test_print_is_kept_and_cut():
    grade = run(at_top("print('hello from the student')\nprint('x' * 10_000_000)"))
    assert grade.output.startswith("hello from the student")
    assert "further bytes" in grade.output


@pytest.mark.parametrize(
    "source",
    [
        b"\x00\xff\xfe\x80garbage" * 999,
        b"",
        b"def f(:\n",
        b"raise KeyError('no')",
        b"import os; os._exit(0)",
        os.urandom(5000),
    ],
    ids=["nul bytes", "empty", "syntax error", "exception", "exit", "random"],
)
def test_a_file_that_does_not_load(source):
    grade = run(source)
    assert lost(grade) == ALL
    assert grade.score == 0
    assert all(part.message for part in grade.parts)


def test_endless_loop_while_loading_ends_in_time():
    """In the time of a call, in the end; the default limits are those that the handouts name."""
    grade = run("while True: pass", TENTH)
    assert lost(grade) == ALL
    assert "while loading linear.py: no result after 0.5 s" in messages(grade)
    assert Limits() == Limits(call_seconds=10 * TENTH.call_seconds, total_seconds=10 * TENTH.total_seconds)


def test_a_loop_in_every_function_ends_within_the_total():
    source = "\n".join(f"def {f.name}(*a):\n    while True: pass" for f in LINEAR.functions)
    grade = run(source, TENTH)
    assert lost(grade) == ALL
    assert "no time left" in messages(grade)


ODD = """
_odd = [None, "text", object(), float("nan"), 1j, np.array(None), np.full((2, 2), np.nan), [], (), {}, b"", True, 2**80,
        np.empty((0, 3)), np.ones((1,) * 20), [[1], [2, 3]], (1, 2, 3, 4), print, np.ones(3, complex), np.array(["a"]),
        np.float16(1), np.inf, [np.ones(2), "x", None], {"a": 1}, iter(()), np.ma.masked, np.zeros(3, "i1,i1"), -1]
_calls = iter(range(10**9))
"""


@pytest.mark.parametrize("name", [name for name in NAMES if get_assignment(name).language == "python"])
def test_odd_results_cost_points_and_nothing_else(name):
    assignment = get_assignment(name)
    source = "import numpy as np\n" + ODD
    source += "\n".join(f"def {f.name}(*a):\n    return _odd[next(_calls) % len(_odd)]" for f in assignment.functions)
    for shift in range(3):
        text = source + f"\n[next(_calls) for _ in range({9 * shift})]"
        grade = grade_source(text.encode(), assignment.filename, assignment, limits=SHORT)
        assert grade.score == 0, [part for part in grade.parts if part.score]
        json.dumps(gradescope(grade), allow_nan=False)
        assert "cannot be compared" not in messages(grade), messages(grade)


# Cheating

CHEATS = [
    ("imports the library", "from minisvdd.ops.linear import linear_forward", "importing minisvdd"),
    ("imports by path", "import sys\nsys.path.insert(0, {root!r})\nimport minisvdd", "importing minisvdd"),
    ("reads the source", "exec(open({ops!r}).read())", "reading .*linear.py"),
    (
        "loads the source as a module",
        "import importlib.util as u\ns = u.spec_from_file_location('stolen', {ops!r})\n"
        "m = u.module_from_spec(s)\ns.loader.exec_module(m)",
        "reading .*linear.py",
    ),
    ("imports another framework", "import torch", "importing torch"),
    ("tampers with gradcheck", "import minisvdd.gradcheck as g\ng.gradcheck = lambda *a: True", "importing minisvdd"),
    ("writes results.json", "open({results!r}, 'w').write('100')", "writing .*results.json"),
    ("writes beside itself", "open('../results.json', 'w').write('100')", "writing .*results.json"),
    ("goes there first", "import os\nos.chdir({folder!r})\nopen('results.json', 'w')", "os.chdir of"),
    ("replaces the grader's file", "import os\nos.rename('linear.py', {results!r})", "os.rename"),
    ("calls C", "import ctypes\nctypes.CDLL(None).getpid()", "ctypes"),
    ("looks for the grader's objects", "import gc\ngc.get_objects()", "gc.get_objects"),
]


@pytest.mark.parametrize(("code", "found"), [case[1:] for case in CHEATS], ids=[case[0] for case in CHEATS])
@pytest.mark.parametrize("caught", [False, True], ids=["", "caught"])
def test_cheating_is_refused_and_found(code, found, caught, tmp_path):
    import minisvdd.ops.linear as ops

    root, results = str(Path(ops.__file__).parents[2]), tmp_path / "results.json"
    results.write_text("untouched")
    code = code.format(root=root, ops=ops.__file__, results=str(results), folder=str(tmp_path))
    if caught:
        indented = "".join(f"    {line}\n" for line in code.splitlines())
        code = f"try:\n{indented}except BaseException: pass"
    grade = run(at_top(code) if caught else in_function(code))
    assert results.read_text() == "untouched"
    assert lost(grade) == (set() if caught else FORWARD)
    assert re.search(found, "\n".join(grade.tried)), grade.tried


def test_patching_the_runner_changes_no_grade():
    """A wrong solution that makes every comparison in its own process true is still wrong."""
    patch = (
        "import sys\nfor module in list(sys.modules.values()):\n"
        "    for name in ('_serve', '_describe', 'close', 'compare'):\n"
        "        if hasattr(module, name): setattr(module, name, lambda *a, **k: True)\n"
        "np.allclose = np.array_equal = lambda *a, **k: True\n"
    )
    source = SOLUTION.replace(BODY, "    return -(x @ weight.T)\n") + patch
    grade = run(source)
    assert {"linear_forward: values", "linear_forward: other shapes"} <= lost(grade)


@pytest.mark.parametrize("files", [0, 60], ids=["", "grader with many files"])
def test_forged_replies_are_no_points(files):
    """Writing into the pipe of the results gives garbage or a wrong answer, never points, whatever its number is."""
    code = (
        "import os\nfor fd in range(3, 4096):\n    try: os.write(fd, b'{\"value\": 1}' * 99)\n    except OSError: pass"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(files):
            stack.enter_context(open(os.devnull))
        grade = run(in_function(code))
    assert lost(grade) == FORWARD
    assert "garbage" in messages(grade)


@pytest.mark.parametrize(
    "fields",
    [
        {"remote": {"list": []}, "method": "step", "arguments": {"list": []}, "keywords": {"dict": {}}},
        {"remote": 0, "method": {"array": ["|b1", [2]]}, "arguments": {"list": []}, "keywords": {"dict": {}}},
        {"remote": 0},
        {"error": {"dict": {"type": {"array": ["|b1", [2]]}}}},
        {"error": 5},
        {"value": 1, "arguments": 5},
        {"value": 1},
    ],
    ids=str,
)
def test_messages_with_fields_of_other_types_are_garbage(fields):
    """Well formed, and not what the runner would send; the next part begins in a new process."""
    head = json.dumps({"dict": fields}).encode()
    message = struct.pack("<4sQQ", b"mSVD", len(head), 2) + head + b"\0\0"
    code = f"import os\nfor fd in range(3, 4096):\n    try: os.write(fd, {message!r})\n    except OSError: pass"
    grade = run(in_function(code))
    assert lost(grade) == FORWARD
    assert "garbage" in messages(grade)


def test_nothing_is_left_behind(monkeypatch):
    """In a folder for temporary files of its own: other graders may be at work at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # a submission runs as somebody else
        monkeypatch.setattr(tempfile, "tempdir", folder)
        run(in_function("while True: pass"), TENTH)
        assert list(Path(folder).iterdir()) == []
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True).stdout
    assert "runner.py" not in children


def test_sandbox_runs_this_interpreter():
    grade = run(in_function("import sys\nprint(sys.executable)"))
    assert Path(grade.output.splitlines()[0]).resolve() == Path(sys.executable).resolve()


# Kernels

CUDA = get_assignment("conv2d-cuda")
KERNELS = skeleton(CUDA, solution=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('#include "conv2d.cu"', "#include (line 1) is not allowed"),
        ("/* */ # /* */ include <stdio.h>", "#include (line 1) is not allowed"),
        ("#inc\\\nlude <stdio.h>", "#include (line 1) is not allowed"),
        ('/* // */\n#include "x"\n/* */', "#include"),
        ('const char* s = "/*";\n#include "x"\nconst char* t = "*/";', "#include (line 2) is not allowed"),
        ('const char* s = R"(/*)";', "raw strings"),
        ("%:include <stdio.h>", "digraphs are not allowed"),
        ("??=include <stdio.h>", "trigraphs and digraphs"),
        ('extern "C" int puts(const char*);', "extern is allowed for shared memory only"),
        ('void f() { asm("nop"); }', "asm is not allowed"),
        ("import <iostream>;", "import is not allowed"),
        ("#inc\\ \t\nlude <stdio.h>", "#include (line 1) is not allowed"),
        ("int n = 1'0; /* ' // */ asm(\"nop\");", "asm is not allowed"),
        ("float x = 1e-1'0; /* ' // */ asm(\"nop\");", "asm is not allowed"),
        ("// fine\nint n = 'a;", "' (line 2) is never closed"),
        ("int n; /*/", "/* (line 1) is never closed"),
    ],
)
def test_kernel_files_that_reach_out_are_refused(text, message):
    grade = grade_source(f"{text}\n{KERNELS}".encode(), CUDA.filename, CUDA)
    assert grade.score == 0
    assert message in grade.problem


@pytest.mark.parametrize("text", ["'\\", '"\\', "/*", "/*/", "1'", "\\ ", "extern ", "//", "exec", "u8'", "# "])
def test_a_kernel_file_is_read_in_linear_time(text):
    """Whatever it repeats. Quadratic time would be half a minute and more for each of these, linear time is 50 ms."""
    start = time.process_time()
    cuda_source.refusal((text * (200_000 // len(text))).encode())
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "// #include <stdio.h>, don't\n",
        "extern __shared__ float tile[];\n",
        "#define TILE 16\n",
        "const int n = 1'000'000, m = 0x1'f; const char c = '\\'', *s = \"/* ' \"; /* don't */\n",
    ],
)
def test_harmless_kernel_files_are_not_refused(text):
    assert cuda_source.refusal((text + KERNELS).encode()) is None


@pytest.mark.compiler
def test_an_endless_kernel_costs_its_points_only():
    source = KERNELS.replace("    y[i] = sum;", "    while (y[i] != sum) y[i] = 2 * sum + 1;")
    patient = Limits(call_seconds=1.0, total_seconds=30.0, start_seconds=60.0)
    grade = grade_source(source.encode(), CUDA.filename, CUDA, limits=patient)
    assert lost(grade) == {part.name for part in CUDA.parts if part.function == "conv2d_forward"}
    assert "no result after 1.0 s: an endless loop?" in messages(grade)
