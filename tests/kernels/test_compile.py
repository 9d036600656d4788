"""Every kernel becomes machine code for three generations of GPUs, and the default rungs keep all in registers.

No GPU is needed, only a compiler: `nvcc`, or NVRTC as CuPy uses it (pip install nvidia-cuda-nvrtc). The report:

    python tests/kernels/test_compile.py benchmarks/results/registers.json
"""

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "support"))

import compilers
import pytest

from minisvdd.backends.cuda import COMPILE_OPTIONS
from minisvdd.backends.kernel import kernel_folder, read_kernels
from minisvdd.files.atomic import write_json

pytestmark = pytest.mark.slow

FILES = sorted(kernel_folder().glob("*.cu"))
_JOBS = 2


def report(scratch: Path, architectures=compilers.ARCHITECTURES) -> dict:
    """{(file, architecture): {(kernel, scalar): figures}}, by nvcc."""
    jobs = [(path, architecture) for path in FILES for architecture in architectures]
    with ThreadPoolExecutor(_JOBS) as pool:
        figures = pool.map(lambda job: compilers.compile_with_nvcc(*job, scratch), jobs)
        return {(path.name, architecture): found for (path, architecture), found in zip(jobs, figures)}


@pytest.fixture(scope="module")
def nvcc_report(tmp_path_factory):
    if compilers.nvcc() is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    return report(tmp_path_factory.mktemp("nvcc"))


def test_every_instance_becomes_machine_code(nvcc_report):
    for (name, architecture), found in nvcc_report.items():
        assert found.keys() == compilers.expected_entries(kernel_folder() / name, architecture)


def test_no_kernel_spills(nvcc_report):
    """A spilled number goes to memory and back: the default rungs, and all the others, have registers for all."""
    for (_, architecture), kernels in nvcc_report.items():
        for (kernel, scalar), figures in kernels.items():
            where = f"{kernel}<{scalar}> on {architecture}: {figures}"
            assert figures["spill_stores"] == figures["spill_loads"] == figures["stack"] == 0, where
            assert 0 < figures["registers"] <= 255, where
            assert figures["shared"] <= 48 * 1024, where


def test_highest_rungs_leave_room_for_several_blocks(nvcc_report):
    """float32: at most 128 registers, so that two blocks of 256 threads fit into the 65,536 of a multiprocessor.

    Of kernels that are not specialised by sizes: those bring the number of their threads along.
    """
    names = (kernel.name for path in FILES for kernel in read_kernels(path).values() if kernel.template != "S")
    highest = {re.match(r"(\w+?)_\d+_", name)[1]: name for name in sorted(names)}
    for kernels in nvcc_report.values():
        for (kernel, scalar), figures in kernels.items():
            if scalar == "float" and kernel in highest.values():
                assert figures["registers"] <= 128, (kernel, figures)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nvrtc_compiles_as_cupy_asks_it_to(path):
    """No host headers, name expressions, the options of the CUDA backend."""
    library = compilers.nvrtc()
    if library is None:
        pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc")
    found = compilers.compile_with_nvrtc(library, path, "sm_90", COMPILE_OPTIONS)
    assert found.keys() == compilers.expected_entries(path)
    assert all(figures["spill_stores"] == 0 for figures in found.values())


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80"])
def test_nvrtc_compiles_tensor_cores_where_there_are_any(architecture):
    """Turing has none that multiply TF32, and still loads the file: its filters' layout, and the sum of parts."""
    library, path = compilers.nvrtc(), kernel_folder() / "conv2d_tensor.cu"
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
    found = compilers.compile_with_nvcc(path, "sm_90", tmp_path)
    assert found["spilling", ""]["spill_stores"] > 0


def test_errors_are_the_compilers(tmp_path):
    if compilers.nvcc() is None:
        pytest.skip("needs nvcc, the compiler of the CUDA toolkit")
    with pytest.raises(RuntimeError, match="undeclared_name"):
        compilers.compile_with_nvcc(Path(__file__).parent / "uncompilable.cu", "sm_75", tmp_path)


def main(out):
    """Write registers, shared memory and spills of every kernel as JSON."""
    version = subprocess.run([compilers.nvcc(), "--version"], capture_output=True, text=True).stdout.splitlines()[-2]
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            {"file": file, "architecture": architecture, "kernel": kernel, "scalar": scalar, **figures}
            for (file, architecture), kernels in report(Path(scratch)).items()
            for (kernel, scalar), figures in sorted(kernels.items())
        ]
    write_json(out, {"compiler": version, "rows": rows})
    worst = max(row["registers"] for row in rows)
    print(f"{len(rows)} kernels, at most {worst} registers, {sum(row['spill_stores'] > 0 for row in rows)} spill")


if __name__ == "__main__":
    main(sys.argv[1])
