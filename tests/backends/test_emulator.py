"""The emulator: every detector finds its planted mistake, correct kernels pass and count, bad launches are refused."""

import ctypes
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_cuda import cache_without_kernels

from minisvdd.backends import building
from minisvdd.backends.counting import counted
from minisvdd.backends.emulator import EmulatorBackend
from minisvdd.backends.kernel import KernelError, find_kernel, read_kernels

KERNELS = Path(__file__).parents[1] / "kernels"
pytestmark = pytest.mark.compiler


def floats(n):
    return np.ones(n, np.float32)


def run(name, args, grid=1, block=64, shared=0, file="correct.cu", **options):
    backend = EmulatorBackend(**options)
    backend.run(read_kernels(KERNELS / file)[name], args, (grid,), (block,), shared)
    return backend.last_counts


BROKEN = [
    # kernel, what the report calls it, arguments, grid, block, dynamic shared bytes
    ("unguarded", "out of bounds", (floats(100), floats(100)), 2, 64, 0),
    ("shared_overflow", "out of bounds", (floats(32),), 1, 32, 0),
    ("dynamic_overflow", "out of bounds", (floats(64),), 1, 64, 128),
    ("early_return", "barrier divergence", (floats(64), floats(64), 50), 1, 64, 0),
    ("two_barriers", "barrier divergence", (floats(64),), 1, 64, 0),
    ("never_written", "uninitialised", (floats(64),), 1, 64, 0),
    ("missing_barrier", "data race", (floats(64), floats(64)), 1, 64, 0),
    ("missing_second_barrier", "data race", (floats(256), floats(64), 4), 1, 64, 0),
    ("missing_syncwarp", "data race", (floats(32),), 1, 32, 0),
    ("syncwarp_alone", "data race", (floats(32),), 1, 32, 0),
    ("syncwarp_in_halves", "data race", (floats(32),), 1, 32, 0),
    ("too_long_an_array", "too much shared memory", (floats(64),), 1, 64, 0),
    ("too_many_arrays", "too much shared memory", (floats(64),), 1, 64, 0),
    ("too_much_on_top", "too much shared memory", (floats(64),), 1, 64, 9156),
    ("one_block_hurries", "data race", (floats(64), floats(256), 0), 4, 64, 0),
    ("one_block_hurries", "data race", (floats(64), floats(256), 1), 4, 64, 0),
    ("one_block_hurries", "data race", (floats(64), floats(256), 3), 4, 64, 0),
    ("blocks_race", "data race", (floats(1),), 4, 32, 0),
    ("half_warp", "incomplete mask", (floats(32),), 1, 32, 0),
    ("outside_mask", "incomplete mask", (floats(32),), 1, 32, 0),
    ("unseen_memory", "not emulated", (floats(64), floats(64)), 1, 64, 0),
    ("misaligned_load", "misaligned", (floats(64), floats(64)), 1, 32, 0),
    ("misaligned_store", "misaligned", (floats(64),), 1, 1, 0),
    ("misaligned_shared", "misaligned", (floats(64),), 1, 64, 0),
    ("misaligned_copy", "misaligned", (floats(64), floats(64)), 1, 64, 0),
    ("copy_past_the_end", "out of bounds", (floats(80), floats(64)), 1, 64, 0),
    ("copy_to_global", "out of bounds", (floats(32), floats(32)), 1, 32, 0),
    ("copy_over_what_is_read", "data race", (floats(64), floats(32)), 1, 32, 0),
    ("half_a_product", "incomplete mask", (floats(32),), 1, 32, 0),
    ("early_return_in_a_header", "barrier divergence", (floats(64),), 1, 64, 0),
]


def place_of_mistake(name):
    """(file, line): the mistakes are marked."""
    for file in ("broken.cu", "in_a_header.h"):
        for line, text in enumerate((KERNELS / file).read_text().splitlines(), 1):
            if text.endswith(f"MISTAKE {name}"):
                return re.escape(file), line
    raise AssertionError(f"no line is marked as the mistake of {name}")


@pytest.mark.parametrize(("name", "kind", "args", "grid", "block", "shared"), BROKEN, ids=[case[0] for case in BROKEN])
def test_planted_mistake_is_reported_where_it_is(name, kind, args, grid, block, shared):
    file, line = place_of_mistake(name)
    place = rf"^{name} \({file}:{line}\): {kind}: block \(\d+,0,0\) thread \(\d+,0,0\)"
    with pytest.raises(KernelError, match=place):
        run(name, args, grid, block, shared, "broken.cu")


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("name", "kind", "args", "grid", "block", "shared"), BROKEN, ids=[case[0] for case in BROKEN])
def test_planted_mistake_is_found_in_every_order(name, kind, args, grid, block, shared, seed):
    with pytest.raises(KernelError, match=f"{kind}|data race|uninitialised"):  # one mistake can show in two ways
        run(name, args, grid, block, shared, "broken.cu", seed=seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffles_shared_memory_and_atomics(seed, dtype, rng):
    x, total = rng.standard_normal(1000).astype(dtype), np.zeros(1, dtype)
    run("total_1_shuffles", (x, total, 1000), 4, 256, seed=seed)
    np.testing.assert_allclose(total[0], x.sum(), rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_correct_kernels_pass(seed, rng):
    x, y = rng.standard_normal(64).astype(np.float32), np.empty(64, np.float32)
    run("reverse", (x, y), shared=256, seed=seed)
    np.testing.assert_array_equal(y, x[::-1])
    run("neighbour_in_warp", (y[:32],), block=32, seed=seed)
    np.testing.assert_array_equal(y[:32], np.arange(32) ^ 1)
    run("neighbour_in_warp", (y[:8],), block=8, seed=seed)
    np.testing.assert_array_equal(y[:8], np.arange(8) ^ 1)
    run("reverse_in_warp", (y[:32],), block=32, seed=seed)
    np.testing.assert_array_equal(y[:32], np.arange(32)[::-1])
    mask = np.empty(50, bool)
    run("positive", (x[:50], mask, 50), seed=seed)
    np.testing.assert_array_equal(mask, x[:50] > 0)
    votes, answers = np.arange(32, dtype=np.int32), np.empty(32, np.int32)
    run("vote", (votes, answers), block=32, seed=seed)
    np.testing.assert_array_equal(answers, 1116)


def test_a_block_has_48_kib_of_shared_memory(dtype):
    """All of its own kernel's arrays and what the launch asks for; those of the file's other kernels do not count."""
    y = np.zeros(64, dtype)
    run("all_there_is", (y, 64), shared=9152)
    np.testing.assert_array_equal(y, 2)
    words = (
        r"too_much_on_top \(broken\.cu:\d+\): too much shared memory: block \(0,0,0\) thread \(0,0,0\) writes to "
        "arrays of 40000 bytes in all, and the launch asks for 9156 more; a block has 49152"
    )
    with pytest.raises(KernelError, match=words):
        run("too_much_on_top", (floats(64),), shared=9156, file="broken.cu")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("name", "depth"), [("product_tf32", 8), ("product_bfloat16", 16)])
def test_a_tensor_core_multiplies_matrices(name, depth, check, rng):
    """Whole numbers that all these types hold exactly, so that every entry must be right to the last bit."""
    a, b, c = (rng.integers(-40, 40, shape).astype(np.float32) for shape in ((16, depth), (depth, 8), (16, 8)))
    wanted = c + a @ b
    run(name, (a, b, c), block=32, check=check)
    np.testing.assert_array_equal(c, wanted)


def product_of(a, b, c, name="product_tf32", depth=8):
    """One entry of a product whose other numbers are 0: c + a b, summed over the depth."""
    A, B, C = np.zeros((16, depth), np.float32), np.zeros((depth, 8), np.float32), np.zeros((16, 8), np.float32)
    A[3, : len(a)], B[: len(b), 5], C[3, 5] = a, b, c
    run(name, (A, B, C), block=32)
    return float(C[3, 5])


def test_tensor_cores_ignore_the_low_bits_of_tf32():
    assert product_of([1 + 2**-10], [1], 0) == 1 + 2**-10
    assert product_of([1 + 2**-10 + 2**-11], [1], 0) == 1 + 2**-10
    assert product_of([1], [3 + 2**-8 + 2**-12], 0) == 3 + 2**-8


def test_tensor_cores_cut_their_sums_off():
    last = 2.0**-23  # of 1 in float32
    assert product_of([1, 1], [0.75 * last, 0.1 * last], 1) == 1  # to the nearest would be 1 + last
    assert product_of([1, 1], [0.75 * last, 0.3 * last], 1) == 1 + last  # nothing is lost on the way
    assert product_of([-1], [0.75 * last], -1) == -1
    assert product_of([1], [0.75 * last], 1, "product_bfloat16", 16) == 1


def test_rounding_to_short_numbers():
    x = np.array([1 + 2**-11, 1 + 2**-11 - 2**-20, -1 - 2**-11, 3, np.inf, -np.inf, np.nan, 0], np.float32)
    y = np.empty_like(x)
    run("rounded_to_tf32", (x, y), block=8)  # 11 significant bits, half away from zero
    np.testing.assert_array_equal(y, np.array([1 + 2**-10, 1, -1 - 2**-10, 3, np.inf, -np.inf, np.nan, 0], np.float32))
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3, np.inf, np.nan], np.float32)
    run("rounded_to_bfloat16", (x, y[:6]), block=6)  # 8 bits, half to the even one
    np.testing.assert_array_equal(y[:6], np.array([1, 1 + 2**-6, 1 + 2**-7, -3, np.inf, np.nan], np.float32))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_copies_arrive_while_the_thread_works(seed, rng):
    x, y = rng.standard_normal((5, 64)).astype(np.float32), np.empty((5, 64), np.float32)
    run("reverse_rows", (x, y, 5), seed=seed)
    np.testing.assert_array_equal(y, x[:, ::-1])
    run("padded", (x[0], y.reshape(-1)[:128], 64), block=32, seed=seed)
    np.testing.assert_array_equal(y.reshape(-1)[:128], np.concatenate([x[0], np.zeros(64)]))


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("what", "missing"), [(0, False), (1, True), (2, True), (3, True)])
def test_a_copy_that_nobody_waited_for_shows(what, missing, check):
    y = np.zeros(64, np.float32)
    run("impatient", (floats(64), y, what), check=check)
    assert np.isnan(y).all() == missing
    assert (y == 1).all() != missing


def test_a_barrier_before_the_wait_orders_nothing():
    with pytest.raises(KernelError, match="data race"):
        run("barrier_before_the_wait", (floats(64), floats(64)), file="broken.cu")


def test_the_place_is_found_in_any_folder(tmp_path):
    folder = tmp_path / "cuda_on_cpu of mine (2)"
    folder.mkdir()
    file = shutil.copy(KERNELS / "broken.cu", folder / "my kernels.cu")
    shutil.copy(KERNELS / "in_a_header.h", folder)
    with pytest.raises(KernelError, match=r"^unguarded \(my kernels\.cu:\d+\): "):
        run("unguarded", (floats(64), floats(10)), file=file)


def test_after_a_report_the_next_launch_is_sound():
    with pytest.raises(KernelError):
        run("early_return", (floats(64), floats(64), 50), file="broken.cu")
    x = np.arange(64, dtype=np.float32)
    with pytest.raises(KernelError):
        run("unguarded", (x, floats(10)), file="broken.cu")
    y = np.empty_like(x)
    run("unguarded", (x, y), file="broken.cu")  # with arrays that are long enough
    np.testing.assert_array_equal(y, x)


def test_counters():
    counts = run("reverse", (floats(64), floats(64)), shared=256, count=True)
    assert (counts.global_loads, counts.global_stores, counts.shared_loads, counts.shared_stores) == (64,) * 4
    assert counts.barriers == 64
    assert counts.worst_bank_conflict == 1
    assert run("strided_shared", (floats(1024), 1), block=32, count=True).transactions in (4, 5)  # 5 when unaligned
    strided = run("strided_shared", (floats(1024), 32), block=32, count=True)
    assert strided.worst_bank_conflict == 32
    assert strided.transactions == 32


def test_lanes_are_in_step_again_behind_a_barrier():
    kernel = read_kernels(KERNELS / "correct.cu")["uneven"]
    (y,), counts = counted(kernel, [floats(36)], (1,), (32,))
    np.testing.assert_array_equal(y, 1)
    assert counts["requests"] == 4
    assert counts["transactions"] == 2 * (4 + 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((floats(64),), r"reverse takes 2 arguments \(x, y\), got 1"),
        ((floats(64), np.ones(64)), "reverse: y must be float32, got float64"),
        ((floats(128)[::2], floats(64)), "reverse: x must be contiguous"),
        (([1.0], floats(64)), r"reverse: x must be a numpy\.ndarray, got list"),
    ],
)
def test_wrong_arrays_are_named(args, message):
    with pytest.raises(TypeError, match=message):
        run("reverse", args, shared=256)


@pytest.mark.parametrize("n", [2.5, 2**31, "3"])
def test_wrong_scalars_are_named(n):
    with pytest.raises(TypeError, match="positive: n must be"):
        run("positive", (floats(4), np.empty(4, bool), n))


@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [(0, 64, 0, "empty grid"), (1, 2048, 0, "larger than a GPU allows"), (1, 64, 1 << 20, "shared memory")],
)
def test_impossible_launches_are_refused(grid, block, shared, message):
    with pytest.raises(ValueError, match=f"reverse: .*{message}"):
        run("reverse", (floats(64), floats(64)), grid, block, shared)


def test_compile_error_shows_file_and_line():
    with pytest.raises(
        KernelError, match=r"uncompilable\.cu does not compile: uncompilable\.cu:2:\d+: error: .*undeclared"
    ):
        run("misspelt", (floats(64),), file="uncompilable.cu")


@pytest.mark.slow
def test_library_is_built_once(monkeypatch, tmp_path):
    cache_without_kernels(tmp_path, monkeypatch)
    first = building.build(KERNELS / "correct.cu")
    monkeypatch.setattr(building, "_compile", lambda *_: pytest.fail("built again"))
    assert building.build(KERNELS / "correct.cu") == first


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(building, "find_compiler", lambda: None)
    with pytest.raises(KernelError, match=r"needs a C\+\+ compiler: install g\+\+"):
        building.build(KERNELS / "correct.cu")


def test_rungs_by_name():
    assert find_kernel("total", folder=KERNELS).name == "total_1_shuffles"
    assert find_kernel("total", "shuffles", KERNELS).is_template
    with pytest.raises(KernelError, match=r"no rung 'tiled'; expected one of \['shuffles'\]"):
        find_kernel("total", "tiled", KERNELS)
    with pytest.raises(KernelError, match="operation fold has no kernel yet"):
        find_kernel("fold", folder=KERNELS)


def row_sums(sizes, rows, columns, matrices=2, offset=0, **options):
    """Run the specialised kernel, and compare it with NumPy."""
    kernel = read_kernels(KERNELS / "correct.cu")["row_sums_1_specialised"].specialised(sizes)
    x = np.random.default_rng(0).random(matrices * rows * columns + offset, dtype=np.float32)[offset:]
    sums = np.full((matrices, rows), np.nan, np.float32)
    EmulatorBackend(**options).run(kernel, (x, sums), (matrices,), (rows,))
    np.testing.assert_allclose(sums, x.reshape(matrices, rows, columns).sum(2), rtol=1e-5)


@pytest.mark.parametrize("check", [True, False], ids=["checked", "fast"])
def test_a_kernel_is_specialised_by_sizes(check):
    """Two structs are two kernels, whichever was there first; the file's other kernels are not built again."""
    row_sums("Sums<3, 8>", 3, 8, check=check)
    row_sums("Sums<5, 12>", 5, 12, check=check)
    row_sums("Sums<3, 8>", 3, 8, matrices=4, check=check)


def test_specialised_kernels_are_kept_one_by_one(monkeypatch):
    path, instance = KERNELS / "correct.cu", "row_sums_1_specialised<Sums<3, 8>>"
    first = building.build(path, True, instance)
    assert first != building.build(path)
    monkeypatch.setattr(building, "_compile", lambda *_: pytest.fail("built again"))
    assert building.build(path, True, instance) == first


def test_mistakes_with_sizes_are_errors_of_one_line():
    kernels = read_kernels(KERNELS / "correct.cu")
    kernel, plain = kernels["row_sums_1_specialised"], kernels["reverse"]
    arguments = floats(24), floats(3)
    with pytest.raises(TypeError, match=r"^row_sums_1_specialised is specialised by sizes: expected some, such as"):
        EmulatorBackend().run(kernel, arguments, (1,), (3,))
    with pytest.raises(TypeError, match=r"^reverse is not specialised by sizes, got 'Sums<3, 8>'$"):
        plain.specialised("Sums<3, 8>")
    for sizes in ("", "Sums", "Sums<>", "Sums<3, 8>> x; Sums<3, 8>", "3"):
        with pytest.raises(TypeError, match=r"^row_sums_1_specialised: sizes must read like 'Rows<1, 8, 28>', got "):
            kernel.specialised(sizes)
    with pytest.raises(KernelError, match=r"^correct\.cu does not compile: correct\.cu:\d+:.*more than 64 threads$"):
        EmulatorBackend().run(kernel.specialised("Sums<16, 8>"), arguments, (1,), (16,))


def test_an_array_of_packs_begins_where_a_gpu_can_read_one():
    row_sums("Sums<3, 8>", 3, 8, offset=4)
    with pytest.raises(TypeError, match=r"^row_sums_1_specialised: x must begin at a multiple of 16 bytes"):
        row_sums("Sums<3, 8>", 3, 8, offset=1)


def test_a_pack_is_no_number(tmp_path):
    path = tmp_path / "packs.cu"
    path.write_text("__global__ void packs(float4 x) { }\n")
    with pytest.raises(KernelError, match=r"^packs: x must be an array, since it is of type float4$"):
        read_kernels(path)


def damage(library, how):
    """What a crash of the machine leaves of a file that had not reached the disk."""
    content = library.read_bytes()
    library.write_bytes({"empty": b"", "half": content[: len(content) // 2], "zeros": bytes(len(content))}[how])


@pytest.mark.slow
def test_a_damaged_library_is_built_again(monkeypatch, tmp_path):
    """Half a library would be a bus error at its first call, in this run and in every other."""
    cache_without_kernels(tmp_path / "cache", monkeypatch)
    path = tmp_path / "one.cu"
    path.write_text("__global__ void one(float* y) { y[threadIdx.x] = 1; }\n")
    first = building.build(path, False)
    for how in ("empty", "half", "zeros"):
        damage(first, how)
        built = building.build(path, False)
        assert built.parent == first.parent
        assert not first.exists() or first == built
        first = built
    assert ctypes.CDLL(str(first)).emulator_launch  # only now: one that is cut short under a process is its end
    assert len(list(first.parent.glob("one-*.so"))) == 1


def test_scratch_folders_of_killed_builds_go_after_an_hour(tmp_path):
    for name, age in ((".build-old", 2 * 3600), (".build-new", 60), ("mine", 2 * 3600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernels.o").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    building._remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".build-new", "mine"]


@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        ("#!/bin/sh\n", "uncompilable.cu: the compiler .*mine reported no error, but wrote no kernels.o"),
        ("#!/nowhere/sh\n", "uncompilable.cu: the compiler .*mine cannot be run: No such file"),
        ("#!/bin/sh\nexit 3\n", "uncompilable.cu does not compile: exit status 3"),
        (
            "#!/bin/sh\nyes no | head -c 9000 >&2\nexit 1\n",
            "uncompilable.cu does not compile: no no",
        ),
    ],
)
def test_a_compiler_that_does_not_work_is_named_in_one_line(compiler, words, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text(compiler)
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KernelError, match=words) as error:
        building.build(KERNELS / "uncompilable.cu")
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)
    assert list((tmp_path / "minisvdd" / "emulator").iterdir()) == []
