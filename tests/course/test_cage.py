"""Attempts at what lies outside: each fails in the kernel, and each is named; as root and as an ordinary user.

Every attempt has canaries of its own: a file with a secret, a folder to write to, a listening port, a process to kill.
An attempt that succeeds prints DONE. Several of them share a submission, since none ends the process.
"""

import contextlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import minisvdd
from minisvdd.course import get_assignment, skeleton
from minisvdd.course.cage import confine, syscalls
from minisvdd.course.grader.grading import grade_source
from minisvdd.course.grader.places import problems

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(problems()), reason="the kernel of this machine keeps no walls"),
]
TOGETHER = 12  # of the 20 attempts that a report names
ROOT = Path(minisvdd.__file__).parents[1]
LINEAR = get_assignment("linear")
SOLUTION = skeleton(LINEAR, solution=True)

# In Python: what is tried, and how the report names it. FILE, FOLDER, PORT, VICTIM, OTHER, ROOT stand for the canaries.
PYTHON = [
    # reading
    ("open('FILE').read()", "reading FILE"),
    ("open(b'FILE').read()", "reading FILE"),
    ("os.open('FILE', os.O_RDONLY)", "reading FILE"),
    ("io.open_code('FILE')", "reading FILE"),
    ("pathlib.Path('FILE').read_text()", "reading FILE"),
    ("np.fromfile('FILE', np.uint8)", "reading FILE"),
    ("np.memmap('FILE', np.uint8, 'r')", "reading FILE"),
    ("np.load('FILE', allow_pickle=True)", "reading FILE"),
    ("np.loadtxt('FILE', str)", "reading FILE"),
    ("open('OTHER').read()", "reading OTHER"),
    ("open(f'/proc/{os.getppid()}/cmdline').read()", "reading /proc/.*/cmdline"),
    ("open(f'/proc/{os.getppid()}/environ').read()", "reading /proc/.*/environ"),
    ("open(f'/proc/{os.getppid()}/mem', 'r+b').read(1)", "writing /proc/.*/mem"),
    ("open('/proc/self/cmdline').read()", "reading /proc/self/cmdline"),
    ("open('/proc/VICTIM/environ').read()", "reading /proc/VICTIM/environ"),
    ("open('/etc/passwd').read()", "reading /etc/passwd"),
    ("open('ROOT/minisvdd/ops/linear.py').read()", "reading ROOT/minisvdd/ops/linear.py"),
    ("os.listdir('FOLDER')", "os.listdir|reading FOLDER"),
    ("list(os.scandir('FOLDER'))", "reading FOLDER"),
    ("list(os.walk('/proc'))[1]", "reading /proc"),
    ("fileinput.input('FILE').readline()", "reading FILE"),
    ("linecache.getlines('FILE')[0]", "reading FILE"),
    ("shutil.copyfile('FILE', 'mine')", "reading FILE"),
    ("sqlite3.connect('FILE').execute('select 1')", "sqlite3.connect of FILE"),
    ("sqlite3.connect(':memory:').execute('attach \"FOLDER/x.db\" as x')", "FOLDER/x.db"),
    ("zipfile.ZipFile('FILE')", "reading FILE"),
    ("mmap.mmap(os.open('FILE', os.O_RDWR), 0)", "writing FILE"),
    ("os.link('FILE', 'mine')", "os.link of FILE"),
    ("os.symlink('FILE', 'mine') or open('mine').read()", "os.symlink of FILE"),
    ("os.open('..', os.O_RDONLY)", "reading .."),
    # writing
    ("open('FILE', 'w').write('x')", "writing FILE"),
    ("open('FILE', 'a').write('x')", "writing FILE"),
    ("open('FOLDER/new', 'x')", "writing FOLDER/new"),
    ("os.open('FOLDER/new', os.O_CREAT | os.O_WRONLY)", "writing FOLDER/new"),
    ("np.save('FOLDER/new.npy', np.ones(3))", "writing FOLDER/new.npy"),
    ("np.ones(3).tofile('FOLDER/new')", "writing FOLDER/new"),
    ("os.remove('FILE')", "os.remove of FILE"),
    ("os.rename('FILE', 'mine')", "os.rename of FILE"),
    ("os.replace('linear.py', 'FILE')", "os.rename of FILE"),
    ("os.mkdir('FOLDER/new')", "os.mkdir of FOLDER/new"),
    ("os.makedirs('FOLDER/a/b')", "os.mkdir of FOLDER"),
    ("shutil.rmtree('FOLDER')", "shutil.rmtree of FOLDER"),
    ("os.truncate('FILE', 0)", "os.truncate of FILE"),
    ("os.chmod('FILE', 0)", "os.chmod of FILE"),
    ("os.chown('FILE', 1, 1)", "os.chown of FILE"),
    ("os.utime('FILE', (0, 0))", "os.utime of FILE"),
    ("os.setxattr('FILE', 'user.x', b'x')", "os.setxattr of FILE"),
    ("os.mkfifo('FOLDER/pipe')", "making a link or a special file"),
    ("os.mknod('FOLDER/node')", "making a link or a special file"),
    ("os.chdir('FOLDER')", "os.chdir of FOLDER"),
    ("tempfile.NamedTemporaryFile(dir='FOLDER')", "writing FOLDER"),
    ("logging.FileHandler('FOLDER/log')", "writing FOLDER/log"),
    ("shelve.open('FOLDER/shelf')", "FOLDER/shelf"),
    ("multiprocessing.shared_memory.SharedMemory(create=True, size=9)", "/dev/shm"),
    # processes
    ("os.fork()", "os.fork$"),
    ("os.forkpty()", "os.forkpty"),
    ("os.system('true')", "os.system"),
    ("subprocess.run(['true'])", "subprocess.Popen"),
    ("os.execv('/bin/true', ['true'])", "os.exec"),
    ("os.posix_spawn('/bin/true', ['true'], {})", "os.posix_spawn"),
    ("pty.spawn('true')", "pty.spawn"),
    ("multiprocessing.Process(target=print).start()", "os.fork"),
    ("threading.Thread(target=print).start()", "start_new_thread|starting a process or a thread"),
    ("os.kill(VICTIM, 9)", "os.kill"),
    ("os.kill(os.getppid(), 9)", "os.kill"),
    ("os.killpg(os.getpgid(os.getppid()), 9)", "os.killpg|signalling another process"),
    ("signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)", r"signalling another process \(pidfd_open\)"),
    ("resource.prlimit(VICTIM, resource.RLIMIT_CPU, (0, 0))", r"\(prlimit64\)"),
    ("os.sched_setaffinity(VICTIM, [0])", r"\(sched_setaffinity\)"),
    ("os.setpriority(os.PRIO_PROCESS, VICTIM, 19)", r"\(setpriority\)"),
    ("os.setsid()", r"leaving its session \(setsid\)"),
    ("fcntl.fcntl(1, 8, VICTIM) or 1", r"\(fcntl\)"),
    ("os.memfd_create('x')", r"\(memfd_create\)"),
    # network
    ("socket.create_connection(('127.0.0.1', PORT))", "socket"),
    ("socket.socket(socket.AF_UNIX)", "socket"),
    ("urllib.request.urlopen('http://127.0.0.1:PORT')", "socket"),
    ("asyncio.run(asyncio.sleep(0))", "socket"),
    # the library, and the walls themselves
    ("importlib.import_module('minisvdd')", "importing minisvdd"),
    ("exec('import torch')", "importing torch"),
    ("sys.path.insert(0, 'ROOT') or exec('import minisvdd.ops')", "importing minisvdd"),
    ("importlib.machinery.SourceFileLoader('m', 'ROOT/minisvdd/ops/linear.py').load_module()", "linear.py"),
    ("ctypes.CDLL(None)", "ctypes"),
    ("ctypes.string_at(id(1), 8)", "ctypes.string_at"),
    ("gc.get_objects()", "gc.get_objects"),
    ("gc.get_referrers(os)", "gc.get_referrers"),
    ("sys.settrace(print)", "sys.settrace"),
    ("sys.setprofile(print)", "sys.setprofile"),
    ("sys.addaudithook(print)", "sys.addaudithook"),
    ("os.chroot('.')", r"administering the system \(chroot\)"),
    ("os.setuid(0) or 1", r"\(setuid\)"),
]

# The hook's own tools replaced first: what then remains is the kernel.
PATCHES = [
    "os.path.realpath = os.path.abspath = lambda path, *_, **__: os.getcwd()",
    "os.getcwd = os.fspath = os.fsdecode = lambda *_: '.'",
    "sys.stdlib_module_names = type('All', (), {'__contains__': lambda *_: True})()",
    "sys.modules['confine'].watch = sys.modules['confine']._FORBIDDEN = ()",
    "builtins.isinstance = builtins.any = builtins.type = lambda *_: False",
    "posix.write = posix.getcwd = posix.fspath = lambda *_: None",
    "try: open('/etc/hostname')\nexcept OSError as e:\n"
    "    frame = e.__traceback__.tb_next.tb_frame\n    frame.f_globals.clear()\n    frame.f_locals.clear()",
    "try: open('/etc/hostname')\nexcept OSError as e:\n"
    "    frame = e.__traceback__.tb_next.tb_frame\n"
    "    frame.f_locals.update(reads=(), changes=(), forbidden=(), home='/')",
    "frame = sys._getframe()\nwhile frame:\n    for value in list(frame.f_locals.values()):\n"
    "        if hasattr(value, 'tried'): value.tried = []\n    frame = frame.f_back",
]

# As machine code, without a word to Python: (system call, its arguments, how the report names it).
MACHINE_CODE = [
    ("open", "path('FILE'), 0, 0", "reading FILE"),
    ("openat", "-100, path('FILE'), 0", "reading FILE"),
    ("openat", "-100, path('FILE'), 1", "writing FILE"),
    ("openat", "-100, path('FOLDER/new'), 0o101, 0o666", "writing FOLDER/new"),
    ("openat", "-100, path('../../../../FILE'), 0", "reading FILE"),
    ("openat", "-100, path('/proc/PARENT/cmdline'), 0", "reading /proc/PARENT/cmdline"),
    ("openat", "-100, path('/proc/PARENT/mem'), 2", "writing /proc/PARENT/mem"),
    ("creat", "path('FOLDER/new'), 0o666", "creat of FOLDER/new|writing FOLDER/new"),
    ("mkdir", "path('FOLDER/new'), 0o777", "mkdir of FOLDER/new"),
    ("unlink", "path('FILE')", "unlink of FILE"),
    ("unlinkat", "-100, path('FILE'), 0", "unlinkat of FILE"),
    ("rmdir", "path('FOLDER')", "rmdir of FOLDER"),
    ("rename", "path('FILE'), path('mine')", "rename of FILE"),
    ("renameat2", "-100, path('linear.py'), -100, path('FILE'), 0", "renameat2 of FILE"),
    ("fork", "", r"\(fork\)"),
    ("vfork", "", r"\(vfork\)"),
    ("clone", "0, 0, 0, 0, 0", r"\(clone\)"),
    ("clone", "0x10900, 0, 0, 0, 0", r"\(clone\)"),
    ("clone3", "0, 0", r"\(clone3\)"),
    ("execve", "path('/bin/true'), 0, 0", r"\(execve\)"),
    ("execveat", "-100, path('/bin/true'), 0, 0, 0", r"\(execveat\)"),
    ("kill", "VICTIM, 9", r"\(kill\)"),
    ("kill", "-1, 9", r"\(kill\)"),
    ("kill", "0, 9", r"\(kill\)"),
    ("tkill", "VICTIM, 9", r"\(tkill\)"),
    ("tgkill", "VICTIM, VICTIM, 9", r"\(tgkill\)"),
    ("rt_sigqueueinfo", "VICTIM, 9, path('x')", r"\(rt_sigqueueinfo\)"),
    ("pidfd_open", "VICTIM, 0", r"\(pidfd_open\)"),
    ("ptrace", "16, VICTIM, 0, 0", r"\(ptrace\)"),
    ("process_vm_readv", "VICTIM, 0, 0, 0, 0, 0", r"\(process_vm_readv\)"),
    ("process_vm_writev", "VICTIM, 0, 0, 0, 0, 0", r"\(process_vm_writev\)"),
    ("prlimit64", "VICTIM, 0, 0, 0", r"\(prlimit64\)"),
    ("prctl", "1, 0, 0, 0, 0", r"\(prctl\)"),
    ("socket", "2, 1, 0", r"\(socket\)"),
    ("socket", "1, 2, 0", r"\(socket\)"),
    ("socketpair", "1, 1, 0, path('x')", r"\(socketpair\)"),
    ("setsid", "", r"\(setsid\)"),
    ("setpgid", "0, 0", r"\(setpgid\)"),
    ("setuid", "0", r"\(setuid\)"),
    ("mount", "0, path('/'), 0, 0, 0", r"\(mount\)"),
    ("unshare", "0x10000000", r"\(unshare\)"),
    ("keyctl", "0, 0, 0, 0, 0", r"\(keyctl\)"),
    ("bpf", "0, 0, 0", r"\(bpf\)"),
    ("io_uring_setup", "1, path('x' * 200)", r"\(io_uring_setup\)"),
    ("perf_event_open", "0, 0, 0, 0, 0", r"\(perf_event_open\)"),
    ("userfaultfd", "0", r"\(userfaultfd\)"),
    ("memfd_create", "path('x'), 0", r"\(memfd_create\)"),
    ("symlink", "path('FILE'), path('mine')", r"\(symlink\)"),
    ("link", "path('FILE'), path('mine')", r"\(link\)"),
    ("mknod", "path('FOLDER/new'), 0o10666, 0", r"\(mknod\)"),
    ("chmod", "path('FILE'), 0", r"\(chmod\)"),
    ("truncate", "path('FILE'), 0", r"\(truncate\)"),
    ("utimensat", "-100, path('FILE'), 0, 0", r"\(utimensat\)"),
    ("shmget", "0, 4096, 0o1666", r"\(shmget\)"),
    ("open_by_handle_at", "-100, path('x' * 99), 0", r"\(open_by_handle_at\)"),
    ("seccomp", "0, 0, 0", r"\(seccomp\)"),
    ("landlock_restrict_self", "3, 0", r"\(landlock_restrict_self\)"),
    ("fcntl", "1, 8, VICTIM", r"\(fcntl\)"),
]

TRY = """
import os, sys, builtins, importlib
sys.stdout.reconfigure(line_buffering=True)
for _name in ('asyncio ctypes fcntl fileinput gc importlib.machinery io linecache logging mmap multiprocessing '
              'multiprocessing.shared_memory pathlib posix pty resource shelve shutil signal socket sqlite3 subprocess '
              'tempfile threading urllib.request zipfile').split():
    importlib.import_module(_name)
    globals()[_name.partition('.')[0]] = sys.modules[_name.partition('.')[0]]
_exec, _print = exec, print
_put_back = lambda update=vars(builtins).update, before=dict(vars(builtins)): update(before)
def attempt(number, code):
    try:
        _exec(f'_result = {code}', globals())
    except BaseException:
        return
    if _result not in (None, [], '', 'error'):
        _print('DONE', number, repr(_result)[:60])
"""
# The C library's function `syscall`, in a page of memory that can be executed; with six arguments at most.
CALL = """
_page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
_page.write(bytes.fromhex('4889f8 4889f7 4889d6 4889ca 4d89c2 4d89c8 4c8b4c2408 0f05 c3'))
_address = np.frombuffer(_page, np.uint8).__array_interface__['data'][0]
_function = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 7)(_address)
_kept = []
def path(text):
    _kept.append(np.frombuffer(text.encode() + b'\\0', np.uint8).copy())
    return _kept[-1].__array_interface__['data'][0]
def call(number, *arguments):
    result = _function(number, *arguments, *[0] * (6 - len(arguments)))
    return 'error' if result < 0 else f'returned {result}'
if call(39) != f'returned {os.getpid()}': print('DONE: the test itself is broken')
"""


@dataclass
class Canaries:
    """What lies around a submission, for one attempt after the other."""

    folder: Path
    port: int
    victim: subprocess.Popen
    number: int = 0

    def put(self, text):
        """The text with new canaries in it."""
        self.number += 1
        folder = self.folder / f"folder-{self.number}"
        folder.mkdir()
        folder.chmod(0o777)
        for file in (folder / "secret", self.folder / "other-submission" / f"linear-{self.number}.py"):
            file.parent.mkdir(exist_ok=True)
            file.write_text("the secret\n")
            file.chmod(0o666)
        names = {"FILE": folder / "secret", "FOLDER": folder, "OTHER": file, "ROOT": ROOT}
        names |= {"PORT": self.port, "VICTIM": self.victim.pid, "PARENT": os.getpid()}
        return re.sub("|".join(names), lambda name: str(names[name[0]]), text)

    def check(self):
        """Everything is as it was."""
        for number in range(1, self.number + 1):
            assert os.listdir(self.folder / f"folder-{number}") == ["secret"]
            file = self.folder / f"folder-{number}" / "secret"
            assert file.read_text() == "the secret\n"
            assert file.stat().st_mode & 0o777 == 0o666
            assert file.stat().st_mtime > 1
            assert os.listxattr(file) == []
        assert self.victim.poll() is None
        assert os.getpriority(os.PRIO_PROCESS, self.victim.pid) == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.fixture
def canaries():
    folder = Path(tempfile.mkdtemp(prefix="canaries-"))  # not tmp_path: here everybody may read, but for the walls
    folder.chmod(0o755)
    user = {"user": confine.NOBODY, "group": confine.NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.setblocking(False)
        victim = subprocess.Popen(["sleep", "600"], **user)  # the user of the submission
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        found = Canaries(folder, listening.getsockname()[1], victim)
        yield found
        found.check()
        with pytest.raises(BlockingIOError):  # nobody came
            listening.accept()


def grade(head, attempts):
    """Grade a submission that makes these attempts when it is loaded; (grade, what was tried as one text)."""
    lines = [head, *(f"attempt({number}, {code!r})" for number, (code, _) in enumerate(attempts))]
    lines += ["_put_back()", SOLUTION]  # what it replaced it needs itself, for its answers
    result = grade_source("\n".join(lines).encode(), "linear.py", LINEAR)
    assert result.score == 100, {part.message for part in result.parts}
    assert "DONE" not in result.output, (attempts, result.output)
    return result, "\n".join(result.tried)


def groups(attempts):
    return [attempts[i : i + TOGETHER] for i in range(0, len(attempts), TOGETHER)]


@pytest.mark.parametrize("attempts", groups(PYTHON), ids=lambda group: group[0][0][:20])
def test_attempts_in_python_fail_and_are_named(attempts, canaries):
    attempts = [canaries.put(f"{code}\0{name}").split("\0") for code, name in attempts]
    result, tried = grade("import numpy as np" + TRY, attempts)
    for code, name in attempts:
        assert re.search(name, tried, re.MULTILINE), (code, name, result.tried)


@pytest.mark.parametrize("patch", range(len(PATCHES)))
def test_no_patch_opens_the_walls(patch, canaries):
    """Whatever is replaced in the process, reading, writing, killing and connecting fail, and are named."""
    attempts = [
        ("open('FILE').read()", "reading FILE"),
        ("open('FOLDER/new', 'w')", "writing FOLDER/new"),
        ("os.kill(VICTIM, 9)", "kill"),
        ("socket.socket().connect(('127.0.0.1', PORT))", "socket"),
        ("open(f'/proc/{os.getppid()}/cmdline').read()", "reading /proc/.*/cmdline"),
        ("open('ROOT/minisvdd/ops/linear.py').read()", "linear.py"),
    ]
    attempts = [canaries.put(f"{code}\0{name}").split("\0") for code, name in attempts]
    result, tried = grade(f"import numpy as np{TRY}\n{PATCHES[patch]}\n", attempts)
    for code, name in attempts:
        assert re.search(name, tried), (code, name, result.tried)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has rights to give up")
def test_as_root_the_submission_is_nobody():
    """Wherever Python lies: it may have to keep the right to read every file, and the walls then allow but a few."""
    code = "import os\nprint(os.getresuid(), os.getresgid(), os.getgroups())\n"
    code += "try: os.setuid(0)\nexcept OSError: print('held')\n"
    result = grade_source((code + SOLUTION).encode(), "linear.py", LINEAR)
    nobody = (confine.NOBODY,) * 3
    assert result.output == f"{nobody} {nobody} []\nheld\n"
    assert result.score == 100


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the machine code is that of x86_64")
@pytest.mark.parametrize("attempts", groups(MACHINE_CODE), ids=lambda group: group[0][0])
def test_machine_code_meets_the_same_walls(attempts, canaries):
    numbers = {name: number for calls in syscalls.numbers("x86_64") for name, number in calls.items()}
    calls = [(f"call({numbers[name]}, {arguments})", found) for name, arguments, found in attempts]
    calls = [canaries.put(f"{code}\0{name}").split("\0") for code, name in calls]
    result, tried = grade(f"import numpy as np{TRY}{CALL}", calls)
    for code, name in calls:
        assert re.search(name, tried), (code, name, result.tried)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_all_of_this_holds_for_an_ordinary_user(tmp_path):
    """The tests of this file by a grader that runs as nobody: the submission then has the same user as the grader."""
    packages = Path(np.__file__).parents[1]
    version = "python{}.{}".format(*sys.version_info)
    choices = (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin"))
    python = next((p for p in choices if p and confine.everybody_can_reach(os.path.realpath(p))), None)
    if python is None or not all(map(confine.everybody_can_reach, (str(packages / "x"), str(ROOT / "x")))):
        pytest.skip("Python or the library lie where others cannot read")
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o777)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{packages}", "HOME": home, "TMPDIR": home}
        command = [python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "python or patch or machine"]
        who = {"user": confine.NOBODY, "group": confine.NOBODY, "extra_groups": []}
        done = subprocess.run(
            [*command, str(Path(__file__).resolve()), f"--basetemp={home}/t"],
            cwd=ROOT, env=environment, capture_output=True, text=True, **who,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-500:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
