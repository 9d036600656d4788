"""Every kernel becomes machine code for three generations of GPUs, and the default rungs keep all in registers.

No GPU is needed, only a compiler: `nvcc`, or NVRTC as CuPy uses it (pip install nvidia-cuda-nvrtc). The record of all:

    python tests/kernels/test_compile.py benchmarks/results/registers.json

It says what it was made from. The tests judge all of it; of files and with the compiler that it was made from, they
compile every third instance again and expect the same figures, and of others every instance.
"""

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))

import compilers
import pytest
from specialisations import SPECIALISED

from minisvdd.backends.cuda import COMPILE_OPTIONS
from minisvdd.backends.kernel import kernel_folder, read_kernels
from minisvdd.files.atomic import write_json

pytestmark = pytest.mark.slow

FILES = sorted(kernel_folder().glob("*.cu"))
RECORD = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "registers.json").read_text())
_JOBS = 2


def is_recorded(path: Path) -> bool:
    """Is the record of this file as it stands?"""
    return RECORD["made_from"].get(path.name) == compilers.made_from(path)


def recorded_files() -> list[Path]:
    """Those whose record is of the compiler at hand, too: a third of their instances is enough."""
    return [path for path in FILES if is_recorded(path)] if compilers.version() == RECORD["compiler"] else []


def instances(path: Path, in_part: bool) -> dict[tuple[str, ...], list[str]]:
    """{names: architectures that have those}: what one run of the compiler can do together."""
    found = {}
    for architecture in compilers.ARCHITECTURES:
        names = compilers.names_of(path, architecture)
        found.setdefault(tuple(compilers.a_third(names) if in_part else names), []).append(architecture)
    return found


def report(scratch: Path, in_part: Sequence[Path] = ()) -> dict:
    """{(file, architecture): {(kernel, scalar): figures}}, by nvcc.  in_part: files of which a third is compiled."""
    jobs = [(path, archs, names) for path in FILES for names, archs in instances(path, path in in_part).items()]
    with ThreadPoolExecutor(_JOBS) as pool:
        reports = pool.map(lambda job: compilers.compile_with_nvcc(*job, scratch), jobs)
        return {(path.name, a): found for (path, *_), by in zip(jobs, reports) for a, found in by.items()}


def recorded() -> dict:
    """The record as a `report`."""
    found = {}
    for row in RECORD["rows"]:
        figures = {name: value for name, value in row.items() if isinstance(value, int)}
        found.setdefault((row["file"], row["architecture"]), {})[row["kernel"], row["scalar"]] = figures
    return found


@pytest.fixture(scope="module")
def nvcc_report(tmp_path_factory):
    if compilers.nvcc() is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    return report(tmp_path_factory.mktemp("nvcc"), recorded_files())


@pytest.fixture(params=["recorded", "compiled now"])
def figures(request):
    return recorded() if request.param == "recorded" else request.getfixturevalue("nvcc_report")


def test_the_record_holds_every_instance_of_todays_kernels():
    """Where this fails, make it anew: the command is at the top of this file."""
    assert [path.name for path in FILES if not is_recorded(path)] == []
    assert RECORD["made_from"].keys() == {path.name for path in FILES}
    record = recorded()
    for path in FILES:
        for architecture in compilers.ARCHITECTURES:
            assert record[path.name, architecture].keys() == compilers.expected_entries(path, architecture)


def test_every_instance_becomes_machine_code(nvcc_report):
    """Those of a file that was recorded: a third of them, and their figures are the recorded ones."""
    record, in_part = recorded(), recorded_files()
    for path in FILES:
        for architecture in compilers.ARCHITECTURES:
            found, everything = nvcc_report[path.name, architecture], compilers.expected_entries(path, architecture)
            if path in in_part:
                assert len(found) >= len(everything) / 3
                assert found.items() <= record[path.name, architecture].items(), (path.name, architecture)
            else:
                assert found.keys() == everything


def test_no_kernel_spills(figures):
    """A spilled number goes to memory and back: the default rungs, and all the others, have registers for all."""
    for (_, architecture), kernels in figures.items():
        for (kernel, scalar), found in kernels.items():
            where = f"{kernel}<{scalar}> on {architecture}: {found}"
            assert found["spill_stores"] == found["spill_loads"] == found["stack"] == 0, where
            assert 0 < found["registers"] <= 255, where
            assert found["shared"] <= 48 * 1024, where


def test_highest_rungs_leave_room_for_several_blocks(figures):
    """float32: at most 128 registers, so that two blocks of 256 threads fit into the 65,536 of a multiprocessor.

    Of kernels that are not specialised by sizes: those bring the number of their threads along.
    """
    names = (kernel.name for path in FILES for kernel in read_kernels(path).values() if kernel.template != "S")
    highest = {re.match(r"(\w+?)_\d+_", name)[1]: name for name in sorted(names)}
    for kernels in figures.values():
        for (kernel, scalar), found in kernels.items():
            if scalar == "float" and kernel in highest.values():
                assert found["registers"] <= 128, (kernel, found)


def test_all_architectures_get_the_same_source():
    """They share the compiler's front end, which must then have nothing to decide."""
    for path in FILES:
        for source in compilers.sources_of(path):
            assert "__CUDA_ARCH" not in source.read_text(encoding="utf-8"), source.name


_NVRTC = [(path, "sm_90") for path in FILES]
_NVRTC += [(kernel_folder() / name, older) for name in SPECIALISED for older in compilers.ARCHITECTURES[:-1]]


@pytest.mark.parametrize(("path", "architecture"), _NVRTC, ids=lambda value: getattr(value, "name", value))
def test_nvrtc_compiles_as_cupy_asks_it_to(path, architecture):
    """No host headers, name expressions, the options of the CUDA backend; what sizes specialise, for every generation.

    Turing's tensor cores do not multiply TF32: it still loads that file, for its filters' layout and the sum of parts.
    """
    library = compilers.nvrtc()
    if library is None:
        pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc")
    found = compilers.compile_with_nvrtc(library, path, architecture, COMPILE_OPTIONS)
    assert found.keys() == compilers.expected_entries(path, architecture)
    assert all(figures["spill_stores"] == 0 for figures in found.values())


def test_a_kernel_that_spills_is_recognised(tmp_path):
    """64 numbers per thread, all needed at once, and room for few: the report must say so."""
    if compilers.nvcc() is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    path = tmp_path / "spilling.cu"
    path.write_text(
        "__global__ void __launch_bounds__(1024) spilling(float* y) {\n"
        "    float a[96];\n"
        "    for (int i = 0; i < 96; i++) a[i] = y[i * 7 + threadIdx.x];\n"
        "    __syncthreads();\n"
        "    for (int j = 0; j < 8; j++)\n"
        "        for (int i = 0; i < 96; i++) a[i] = a[i] * a[(i + 1) % 96] + a[(i + 7) % 96];\n"
        "    for (int i = 0; i < 96; i++) y[i * 7 + threadIdx.x] = a[i];\n"
        "}\n"
    )
    found = compilers.compile_with_nvcc(path, ["sm_90"], ["spilling"], tmp_path)
    assert found["sm_90"]["spilling", ""]["spill_stores"] > 0


def test_errors_are_the_compilers(tmp_path):
    if compilers.nvcc() is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    with pytest.raises(RuntimeError, match="undeclared_name"):
        compilers.compile_with_nvcc(Path(__file__).parent / "uncompilable.cu", ["sm_75"], [], tmp_path)


def main(out):
    """Write registers, shared memory and spills of every kernel as JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            {"file": file, "architecture": architecture, "kernel": kernel, "scalar": scalar, **figures}
            for (file, architecture), kernels in report(Path(scratch)).items()
            for (kernel, scalar), figures in sorted(kernels.items())
        ]
    made_from = {path.name: compilers.made_from(path) for path in FILES}
    write_json(out, {"compiler": compilers.version(), "made_from": made_from, "rows": rows})
    worst = max(row["registers"] for row in rows)
    print(f"{len(rows)} kernels, at most {worst} registers, {sum(row['spill_stores'] > 0 for row in rows)} spill")


if __name__ == "__main__":
    main(sys.argv[1])
