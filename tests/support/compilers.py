"""NVIDIA's compilers, where there are any: from a kernel file to machine code, and what the assembler reports.

`nvcc` is the toolkit's; NVRTC, the library that CuPy compiles with, also comes as a package (nvidia-cuda-nvrtc).
Neither needs a GPU.
"""

import ctypes
import hashlib
import importlib.util
import re
import shutil
import subprocess
from ctypes.util import find_library
from pathlib import Path

from specialisations import specialisations

from minisvdd.backends.cuda import instances
from minisvdd.backends.kernel import TEMPLATE_TYPES, read_kernels

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")  # Turing, Ampere, Hopper
_OPTIONS = ["-std=c++17", "-Xptxas", "-v", "-Werror", "all-warnings"]
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'.*?(?=Compiling entry function|\Z)", re.S)
_PRECISIONS = ("TF32", "TF32x3", "CORRECTED")  # in the order of the enum
_FIGURES = {
    "registers": r"Used (\d+) registers",
    "shared": r"(\d+) bytes smem",
    "stack": r"(\d+) bytes stack frame",
    "spill_stores": r"(\d+) bytes spill stores",
    "spill_loads": r"(\d+) bytes spill loads",
}


def expected_entries(path: Path, architecture: str = "sm_90") -> set[tuple[str, str]]:
    """(kernel, scalar type, sizes or "") of all that a file must compile to."""
    scalars = {"": ("",), "T": TEMPLATE_TYPES.values(), "S": ()}
    plain = {(kernel.name, scalar) for kernel in read_kernels(path).values() for scalar in scalars[kernel.template]}
    return plain | specialisations(path, architecture)


def names_of(path: Path, architecture: str = "sm_90") -> list[str]:
    """The C++ names of the same."""
    return instances(path) + [f"{kernel}<{sizes}>" for kernel, sizes in sorted(specialisations(path, architecture))]


def sources_of(path: Path) -> list[Path]:
    """A kernel file and every header that it includes, also by way of others; what is not there is the compiler's."""
    found, waiting = [], [path]
    while waiting:
        file = waiting.pop()
        if file not in found and file.is_file():
            found.append(file)
            names = re.findall(r'#include "(.+?)"', file.read_text(encoding="utf-8"))
            waiting += [path.parent / name for name in names]
    return found


def made_from(path: Path) -> str:
    """A hash of all that decides on a file's machine code but the compiler: sources, instances, options."""
    texts = [source.read_text(encoding="utf-8") for source in sorted(sources_of(path))]
    names = [f"{architecture} {name}" for architecture in ARCHITECTURES for name in names_of(path, architecture)]
    return hashlib.sha256("\0".join([*texts, *names, *_OPTIONS]).encode()).hexdigest()[:16]


def a_third(names: list[str]) -> list[str]:
    """Every third of the names in the order of their hashes: at least one, and of every kind some."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[::3]


def parse_report(text: str) -> dict[tuple[str, str], dict[str, int]]:
    """Registers, shared memory, stack and spills of every kernel, by (name, scalar type or sizes)."""
    (report,) = parse_reports(text).values()
    return report


def parse_reports(text: str) -> dict[str, dict[tuple[str, str], dict[str, int]]]:
    """`parse_report` by architecture."""
    reports = {}
    for match in _ENTRY.finditer(text):
        figures = {name: re.search(pattern, match[0]) for name, pattern in _FIGURES.items()}
        numbers = {name: int(found[1]) if found else 0 for name, found in figures.items()}
        reports.setdefault(match[2], {})[_demangle(match[1])] = numbers
    return reports


def _demangle(symbol):
    """_Z5naiveIfEvPKT_ -> ("naive", "float"), _Z4plainPf -> ("plain", "").

    With a struct of integers: _Z1fI4RowsILi1ELi8EEEvPf -> ("f", "Rows<1, 8>"); one of enum Precision has its name.
    """
    length = re.match(r"_Z(\d+)", symbol)
    start = length.end()
    name, rest = symbol[start : start + int(length[1])], symbol[start + int(length[1]) :]
    if struct := re.match(r"I(\d+)", rest):
        end = struct.end() + int(struct[1])
        values = re.findall(r"L(i|9Precision)(\d+)E", re.match(r"I((?:L\w+?E)+)E", rest[end:])[1])
        numbers = [_PRECISIONS[int(number)] if kind != "i" else number for kind, number in values]
        return name, f"{rest[struct.end() : end]}<{', '.join(numbers)}>"
    return name, {"IfE": "float", "IdE": "double"}.get(rest[:3], "")


def nvcc() -> str | None:
    """The toolkit's compiler."""
    return shutil.which("nvcc")


def version() -> str:
    """What nvcc says of itself."""
    return subprocess.run([nvcc(), "--version"], capture_output=True, text=True).stdout.splitlines()[-2]


def compile_with_nvcc(
    path: Path, architectures: list[str], names: list[str], scratch: Path
) -> dict[str, dict[tuple[str, str], dict[str, int]]]:
    """Machine code of these instances by architecture; RuntimeError with the compiler's words.

    The front end runs once, for the oldest: our files do not ask for the architecture, and so give all the same PTX.
    """
    unit = scratch / f"{path.stem}-{architectures[0]}.cu"
    lines = [f'#include "{path.resolve()}"']  # and what makes the compiler write every instance out: its address
    lines += [f"auto instance_{i} = &{name};" for i, name in enumerate(names)]
    unit.write_text("\n".join(lines) + "\n")
    oldest = min(architectures).replace("sm", "compute")
    target = f"arch={oldest},code=[{','.join(architectures)}]"
    command = [nvcc(), *_OPTIONS, "-fatbin", "-gencode", target, str(unit), "-o", str(unit.with_suffix(".fatbin"))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr + done.stdout)
    return parse_reports(done.stderr + done.stdout)


def nvrtc() -> ctypes.CDLL | None:
    """The NVRTC library: of the Python package, else of the system."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (spec.submodule_search_locations if spec else [])]
    found = sorted(file for folder in folders for file in folder.glob("*/lib/libnvrtc.so.*"))
    name = str(found[-1]) if found else find_library("nvrtc")
    return ctypes.CDLL(name) if name else None


def compile_with_nvrtc(library, path: Path, architecture: str, options) -> dict[tuple[str, str], dict[str, int]]:
    """The same as CuPy does it: source text, options, and the instances' C++ names. Raises RuntimeError."""
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), path.read_text().encode(), path.name.encode(), 0, None, None)
    names = [name.encode() for name in names_of(path, architecture)]
    for name in names:
        library.nvrtcAddNameExpression(program, name)
    flags = [flag.encode() for flag in (f"--gpu-architecture={architecture}", *options, "--ptxas-options=-v")]
    failed = library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if failed:
        raise RuntimeError(log.value.decode())
    for name in names:
        lowered = ctypes.c_char_p()
        if library.nvrtcGetLoweredName(program, name, ctypes.byref(lowered)):
            raise RuntimeError(f"{path.name}: no kernel {name.decode()}")
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return parse_report(log.value.decode())
