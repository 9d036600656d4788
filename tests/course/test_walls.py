"""The parts of the cage one by one: the filter's program on a machine of our own, folders, imports that are put off."""

import ast
import dis
import errno
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpf_machine
import pytest

from minisvdd.backends import building
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.cage import bpf, hook, landlock, missing, seccomp, syscalls
from minisvdd.course.grader import disk, places
from minisvdd.course.grader.grading import grade_source, read_submission
from minisvdd.course.grader.sandbox import Limits, Sandbox, SubmissionError
from minisvdd.errors import DataError

LINEAR = get_assignment("linear")
SOLUTION = skeleton(LINEAR, solution=True)
BODY = "    return x @ weight.T\n"
PID, SENDER, REFUSE = 4321, 9, seccomp.FAIL | errno.EPERM
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+) (\d+)"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
}


def judge(machine, number, *arguments, on=None):
    """What the filter for a machine answers to a system call of machine `on`."""
    words = {0: number, 4: syscalls.MACHINES[on or machine]}
    for i, argument in enumerate([*arguments, *[0] * 6][:6]):
        words[16 + 8 * i], words[20 + 8 * i] = argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF
    rules = seccomp.rules(machine, PID, SENDER, REFUSE, seccomp.TELL)
    return bpf_machine.run(bpf.machine_code(rules), words)


def test_python_s_hooks_look_nothing_up_and_hold_nothing_that_could_be_changed(monkeypatch):
    """Neither a global name nor a cell, and only immutable defaults: numbers, texts, types, built-in functions."""
    hooks, immutable = [], (int, str, bytes, type, type(len), type(None))
    monkeypatch.setattr(hook.sys, "addaudithook", hooks.append)
    hook.watch(7, {"home": "/h", "packages": ["/p/numpy"], "readable": ["/r"], "closed": ["/c"]})
    assert len(hooks) == 3
    for one in hooks:
        looked_up = [step.argval for step in dis.get_instructions(one) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
        assert looked_up == []
        assert one.__closure__ is None
        held = list(one.__defaults__)
        while held:
            value = held.pop()
            assert isinstance(value, immutable) or type(value) in (tuple, frozenset)
            held += value if isinstance(value, tuple | frozenset) else ()


@pytest.mark.parametrize("value", [0, 4, 5, 6, 7])
def test_conditions_guard_what_they_hold(value):
    program = [
        *bpf.load(8),
        *bpf.when_equal(5, [*bpf.unless_equal(6, bpf.give(50)), *bpf.give(0)]),
        *bpf.when_greater(5, bpf.when_equal(7, bpf.give(70))),
        *bpf.unless_equal(0, bpf.give(10)),
        *bpf.give(1),
    ]
    assert bpf_machine.run(bpf.machine_code(program), {8: value}) == {0: 1, 4: 10, 5: 50, 6: 10, 7: 70}[value]


def test_a_condition_that_would_jump_too_far_is_refused():
    with pytest.raises(ValueError, match="255 instructions at most, got 256"):
        bpf.when_equal(1, bpf.give(0) * 256)


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_the_filter_allows_and_refuses_by_its_tables(machine):
    allowed, on_paths, refused = syscalls.numbers(machine)
    assert {judge(machine, number) for number in allowed.values()} == {seccomp.ALLOW}
    assert {judge(machine, number) for number in on_paths.values()} == {seccomp.TELL}
    partly = {"prlimit64": seccomp.ALLOW, "fcntl": seccomp.ALLOW, "ioctl": seccomp.FAIL | errno.ENOTTY}
    assert {name: judge(machine, number) for name, number in refused.items()} == dict.fromkeys(refused, REFUSE) | partly
    assert len({*allowed.values(), *on_paths.values(), *refused.values()}) == len(allowed) + len(on_paths) + len(
        refused
    )


@pytest.mark.parametrize("machine", syscalls.MACHINES)
def test_some_arguments_make_a_difference(machine):
    number = syscalls.numbers(machine)[2]
    for name in ("kill", "tgkill"):
        assert judge(machine, number[name], PID, 9) == seccomp.ALLOW
        for other in (0, 1, PID + 1, -1, -PID, PID - 1):
            assert judge(machine, number[name], other, 9) == REFUSE
    assert judge(machine, number["prlimit64"], PID, 0, 0, 0) == seccomp.ALLOW
    assert judge(machine, number["prlimit64"], 1, 0, 0, 0) == REFUSE
    assert judge(machine, number["fcntl"], 1, 2, 1) == seccomp.ALLOW
    for command in (8, 10, 15, 1024, 1026, 1033):  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_ADD_SEALS
        assert judge(machine, number["fcntl"], 1, command, 1) == REFUSE
    assert judge(machine, number["sendmsg"], SENDER, 0, 0) == seccomp.ALLOW
    assert judge(machine, number["sendmsg"], SENDER + 1, 0, 0) == REFUSE
    assert judge(machine, number["ioctl"], 1, 0x5401) == seccomp.ALLOW
    assert judge(machine, number["ioctl"], 1, 0x5412) == seccomp.FAIL | errno.ENOTTY  # TIOCSTI: typing into a terminal


def test_other_machines_and_calls_that_are_not_known():
    read = syscalls.numbers("x86_64")[0]["read"]
    assert judge("x86_64", read, on="aarch64") == REFUSE
    assert judge("x86_64", read | 0x40000000) == seccomp.FAIL | errno.ENOSYS  # x32
    assert judge("x86_64", syscalls.NEWEST + 1) == seccomp.FAIL | errno.ENOSYS
    assert judge("x86_64", 167) == REFUSE  # swapon, which is in no table


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_those_of_the_system(machine):
    header, pattern = HEADERS[machine]
    if not os.path.exists(header):
        pytest.skip(f"no {header}")
    theirs = dict(re.findall(pattern, Path(header).read_text()))
    ours = {name: number for calls in syscalls.numbers(machine) for name, number in calls.items()}
    assert {name: int(theirs[name]) for name in ours if name in theirs} == {n: ours[n] for n in ours if n in theirs}
    assert len(set(ours) - set(theirs)) < 3


def test_no_call_is_told_without_a_name():
    assert syscalls.names("x86_64")[41] == "opening a socket (socket)"
    assert set(syscalls.names("aarch64")) == set(syscalls.numbers("aarch64")[2].values())


def test_what_the_machine_keeps_is_said(monkeypatch):
    if sys.platform == "linux" and landlock.abi() >= 3 and seccomp.available():
        assert places.problems() == []
        assert places.summary() == f"kept by the kernel (Landlock {landlock.abi()}, seccomp)"
    monkeypatch.setattr(seccomp, "available", lambda: False)
    monkeypatch.setattr(landlock, "abi", lambda: 1)
    assert "Landlock 1, expected 3 or newer" in places.problems()[0]
    assert "no seccomp filter here" in places.problems()[1]
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert "no Landlock" in places.summary()
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr("minisvdd.course.cage.confine.everybody_can_reach", lambda path: False)
    assert "submissions run as root" in places.problems()[-1]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert places.problems() == [
        "files, network and other processes are kept from a submission by Python's hook alone, not by the kernel"
    ]


# Folders


def dig(folder, depth):
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("file").write_text("x")
    finally:
        os.chdir(here)


@pytest.mark.parametrize("depth", [0, 1, pytest.param(2100, marks=pytest.mark.slow)])  # 4200 characters
def test_a_folder_is_removed_however_deep_it_goes(depth, tmp_path):
    folder = tmp_path / "folder"
    for name, further in (("a", depth), ("b", 3)):
        (folder / name).mkdir(parents=True)
        dig(folder / name, further)
    (folder / "link").symlink_to(tmp_path)
    (folder / "shut").mkdir(mode=0)
    (tmp_path / "kept").write_text("")
    disk.remove(str(folder))
    assert os.listdir(tmp_path) == ["kept"]


def test_too_much_in_a_folder(tmp_path):
    folder = str(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to("/usr")
    assert disk.too_much(folder, 2 << 20) is None
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    assert disk.too_much(folder, 2 << 20) == "wrote more than 2 MB into its folder"
    dig(tmp_path, 41)
    assert disk.too_much(folder, 1 << 30) == "made folders within folders, more than 40 deep"
    for i in range(2000):
        (tmp_path / f"{i}").touch()
    assert disk.too_much(folder, 1 << 30) == "made more than 2000 files"
    assert disk.too_much(str(tmp_path / "gone"), 1) is None


# Imports


def load(text):
    tree = ast.parse(text)
    names = missing.put_off(tree, {"os", "numpy", "__future__"})
    exec(compile(tree, "file", "exec"), names)
    return names


@pytest.mark.parametrize(
    "text",
    [
        "import no_such.pyplot as plt, os\nfrom no_such import a as b, c\nimport no_such.deep\nos.getcwd()",
        "from __future__ import annotations\nimport no_such\ndef f(x: no_such.Tensor): return no_such.nn",
        "import no_such\ndef f(x: no_such.Tensor): pass",
        "try:\n    import no_such\nexcept ImportError:\n    no_such = None\nassert no_such is None",
    ],
)
def test_an_import_that_is_not_used_costs_nothing(text):
    load(text)


@pytest.mark.parametrize(
    "text",
    [
        "import no_such as n\nn.f(1)",
        "import no_such.deep\nno_such.deep.f()",
        "from no_such import f\nf()",
        "import no_such\nno_such.a['x'] = 1",
        "import no_such\nclass C(no_such.Module): pass",
        "import no_such\n@no_such.jit\ndef f(): pass",
        "import no_such\nisinstance(1, no_such.Tensor)",
        "import no_such\nimport numpy\nnumpy.asarray(no_such.x)",
        "import no_such\nfor x in no_such.y: pass",
        "import no_such\nno_such.x = 1",
        "import no_such\n1 * no_such.pi",
        "from no_such import *",
        "if True:\n    import no_such",
    ],
)
def test_an_import_that_is_used_fails_where_it_is_used(text):
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        load(text)


# Whole submissions


def grade(source, **limits):
    return grade_source(source.encode(), "linear.py", LINEAR, limits=Limits(**limits))


@pytest.mark.slow
def test_what_is_fair_about_imports():
    honest = "import matplotlib.pyplot as plt\nimport minisvdd\nfrom torch import nn\n" + SOLUTION
    assert (grade(honest).score, grade(honest).tried) == (100, [])
    guarded = grade("try:\n    import torch\nexcept ImportError:\n    torch = None\n" + SOLUTION)
    assert (guarded.score, guarded.tried) == (100, ["importing torch"])
    used = grade("import scipy.signal\n" + SOLUTION.replace(BODY, "    return scipy.signal.convolve(x, weight)\n"))
    assert 0 < used.score < 100
    assert used.tried == ["importing scipy"]
    assert "scipy is not there while grading: NumPy and the standard library are" in used.parts[0].message


@pytest.mark.slow
def test_most_of_the_standard_library_works_and_is_no_attempt():
    modules = (
        "argparse array ast bisect bz2 calendar cmath collections contextlib copy csv dataclasses datetime decimal"
    )
    modules += " difflib enum fractions functools gzip hashlib heapq inspect itertools json lzma math numbers operator"
    modules += " pickle pprint random re sqlite3 statistics string struct tempfile textwrap time timeit traceback"
    modules += " types typing unittest uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo"
    code = f"import {', '.join(modules.split())}\nimport numpy.ma, numpy.polynomial, numpy.testing\n"
    code += "with open('notes', 'w') as f: f.write('mine')\nassert open('notes').read() == 'mine'\n"
    code += "import os\nos.mkdir('a')\nos.rename('notes', 'a/notes')\nos.remove('a/notes')\nos.rmdir('a')\n"
    code += "with tempfile.TemporaryDirectory() as t: open(t + '/x', 'w').close()\n"
    code += "time.sleep(0.01)\nrandom.random()\nos.getpid()\nos.cpu_count()\ntime.localtime()\n"
    code += "sqlite3.connect(':memory:').execute('create table t (x)')\nwarnings.warn('hm', stacklevel=3)\n"
    result = grade(code + SOLUTION)
    assert (result.score, result.tried) == (100, []), result.parts[0].message


@pytest.mark.slow
def test_the_disk_is_not_filled():
    many = "for k in range(99):\n    open(f'f{k}', 'wb').write(bytes(15 << 20))\n"
    result = grade(many + SOLUTION)
    assert "wrote more than 64 MB into its folder" in result.parts[0].message
    held = "files = [open(f'g{k}', 'wb') for k in range(9999)]\n"
    assert "Too many open files" in grade(held + SOLUTION).parts[0].message


@pytest.mark.slow
def test_deep_folders_and_odd_names_stop_nothing():
    deep = "import os\nfor i in range(1500):\n    os.mkdir('d'); os.chdir('d')\n"
    odd = "for name in (b'/etc/\\xff', '/etc/\\x1b[2J\\nx', '/etc/\\udcfe'):\n"
    odd += "    try: open(name)\n    except OSError: pass\n"
    result = grade(odd + deep + SOLUTION)
    assert [what.isprintable() for what in result.tried] == [True] * 3
    "\n".join(result.tried).encode()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end a process with its parent")
def test_no_process_outlives_a_grader_that_is_killed(tmp_path):
    (tmp_path / "linear.py").write_text("import os\nprint('pid', os.getpid(), flush=True)\nwhile True: pass\n")
    code = "from minisvdd.course.grader import sandbox\nimport sys\n"
    code += "drain = sandbox.Sandbox._drain\ndef tell(self):\n    print(self._process.pid, flush=True)\n"
    code += "    return drain(self)\nsandbox.Sandbox._drain = tell\n"
    code += f"from minisvdd.course import grade\ngrade({str(tmp_path / 'linear.py')!r}, 'linear')"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed grader leaves goes with this folder
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    pid = int(grader.stdout.readline())
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    grader.stdout.close()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/exe").is_symlink() and time.monotonic() < deadline:
        if " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.02)
    else:
        assert time.monotonic() < deadline


# Kernels

CUDA = get_assignment("conv2d-cuda")
KERNELS = skeleton(CUDA, solution=True)
NATIVE = """
__attribute__((section(".text#"))) const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6,
    0x48, 0x89, 0xca, 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 8, 0x0f, 5, 0xc3};
static long attempts() {
    long (*call)(long, ...) = (long (*)(long, ...))code;
    call(57L);
    call(2L, "SECRET", 0L);
    call(2L, "SECRET", 01L);
    call(41L, 2L, 1L, 0L);
    call(62L, PARENTL, 9L);
    return call(59L, "/bin/true", 0L, 0L);
}
static long tried = attempts();
"""


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.skipif(platform.machine() != "x86_64" or bool(places.problems()), reason="x86_64 code, and walls")
def test_native_code_of_a_kernel_file_meets_the_walls():
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:  # pytest's own may have a forbidden word in its name
        secret = Path(folder) / "secret"
        secret.write_text("the secret")
        native = NATIVE.replace("SECRET", str(secret)).replace("PARENT", str(os.getpid()))
        result = grade_source((KERNELS + native).encode(), CUDA.filename, CUDA)
        assert secret.read_text() == "the secret"
    found = [r"\(fork\)", f"reading {secret}", f"writing {secret}", r"\(socket\)", r"\(kill\)", r"\(execve\)"]
    assert all(re.search(pattern, "\n".join(result.tried)) for pattern in found), (result.tried, result.parts[0])


@pytest.mark.slow
@pytest.mark.compiler
def test_a_compile_bomb_ends_at_its_limit():
    bomb = "template<int N, int M> struct S { static constexpr int v = S<N-1, 2*M>::v + S<N-1, 2*M+1>::v; };\n"
    bomb += "template<int M> struct S<0, M> { static constexpr int v = 1; };\nstatic int q = S<25, 1>::v;\n"
    start = time.monotonic()
    result = grade_source((bomb + KERNELS).encode(), CUDA.filename, CUDA, limits=Limits(start_seconds=2.0))
    assert time.monotonic() - start < 9
    assert "while loading conv2d_cuda.cu: the compiler did not end in 2.0 s" in result.parts[0].message
    running = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True).stdout
    assert not re.search(r"cc1plus.*minisvdd-grade.*conv2d_cuda", running)


@pytest.mark.compiler
def test_the_emulator_s_own_code_is_not_compiled_for_each_submission():
    """What is built in the cage is the file alone: the runtime that was lent stays as it came."""
    with Sandbox(KERNELS.encode(), CUDA.filename, kind="cuda") as sandbox:
        (lent,) = sandbox._top.rglob("runtime-*.o")
        before = lent.stat().st_mtime_ns
        with pytest.raises(SubmissionError, match="there is no function nothing"):
            sandbox.call("nothing")
        assert [(path, path.stat().st_mtime_ns) for path in sandbox._top.rglob("runtime-*")] == [(lent, before)]
        assert lent.read_bytes() == building.runtime().read_bytes()
        assert len(list(sandbox._top.rglob("conv2d_cuda-*.so"))) == 1


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#define J(a, b) a##b\nint J(sys, tem)(const char*);\n", "system is not allowed"),
        ("#define J(a, b) a##b\nJ(ext, ern) int x;\n", "extern is allowed for shared memory only"),
        ('#define J(a, b) a##b\nvoid f() { J(as, m)("nop"); }\n', "asm is not allowed"),
        ("#if 0\n#define hidden system\n#endif\nint n;\n", None),
        (KERNELS, None),
    ],
)
def test_words_are_sought_after_preprocessing_too(text, found, tmp_path):
    from minisvdd.course.handouts.cuda_source import refusal_after_preprocessing

    (tmp_path / "file.cu").write_text(text)
    refusal = refusal_after_preprocessing(str(tmp_path / "file.cu"))
    assert refusal is None if found is None else found in refusal


@pytest.mark.slow
def test_a_teacher_is_warned_where_the_kernel_keeps_nothing(monkeypatch, capsys, tmp_path):
    from minisvdd.cli import course, main

    monkeypatch.setattr(course, "problems", lambda: ["no walls here"])
    (tmp_path / "linear.py").write_text(SOLUTION)
    assert main(["grade", str(tmp_path / "linear.py"), "--assignment", "linear"]) == 0
    assert capsys.readouterr().err == "minisvdd: warning: no walls here\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_submission(tmp_path):
    os.mkfifo(tmp_path / "linear.py")
    with pytest.raises(DataError, match="expected a regular file"):
        read_submission(tmp_path / "linear.py")
