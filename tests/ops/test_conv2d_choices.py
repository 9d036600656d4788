"""Which rung is the default: the fastest where it was measured, else the highest that fits; and the work of `rows`."""

import json
from itertools import product

import numpy as np
import pytest
from helpers_benchmarks import load_benchmark
from hypothesis import given, settings
from hypothesis import strategies as st

from minisvdd.backends import KernelBackend
from minisvdd.ops.conv2d import choices, launch, launch_rows

OPERATIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
LADDER = ("naive", "coalesced", "tiled", "register_blocked", "halo", "rows")


def sizes_of(N, C, H, W, K, kernel=(5, 5), stride=(1, 1), padding=(2, 2)):
    """As the kernels take them."""
    size = launch.conv2d_output_size((H, W), kernel, stride, padding)
    return N, C, H, W, K, *size, *kernel, *stride, *padding


def measured():
    """The table's rows."""
    return [row for part in json.loads(choices.TABLE.read_text())["measurements"] for row in part["rows"]]


def test_the_fastest_of_those_that_fit():
    """By the table's own times; what was measured several times counts as it was measured last."""
    times = {}
    for row in measured():
        key = row["operation"], row["C"], row["H"], row["W"], row["K"]
        times.setdefault(key, {}).update(row["microseconds"])
    assert len(times) == 15
    for (operation, *shape), rungs in times.items():
        for fitting in (LADDER, LADDER[:-1], LADDER[:2]):
            chosen = choices.fastest(operation, sizes_of(7, *shape), fitting)
            assert rungs[chosen] == min(rungs[rung] for rung in fitting)


def test_a_higher_rung_is_not_always_faster():
    """The input gradient of MNIST's first layer without the rung `rows`."""
    assert choices.fastest("conv2d_backward_input", sizes_of(200, 1, 28, 28, 8), LADDER[:-1]) == "naive"


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "sizes",
    [
        sizes_of(2, 1, 28, 28, 9),
        sizes_of(2, 1, 28, 28, 8, kernel=(3, 3), padding=(1, 1)),
        sizes_of(2, 1, 28, 28, 8, stride=(2, 2)),
        sizes_of(2, 1, 28, 28, 8, kernel=(5, 3)),
        sizes_of(2, 1, 28, 28, 8, padding=(2, 1)),
    ],
    ids=["filters", "side", "stride", "oblong", "padding"],
)
def test_what_was_not_measured_takes_the_highest_that_fits(operation, sizes):
    assert choices.fastest(operation, sizes, LADDER) == "rows"
    assert choices.fastest(operation, sizes, LADDER[:-2]) == "register_blocked"


@pytest.mark.parametrize(
    ("sizes", "dtype", "default"),
    [
        (sizes_of(200, 1, 28, 28, 8), np.float32, "rows"),
        (sizes_of(200, 3, 32, 32, 32), np.float32, "rows"),
        (sizes_of(200, 3, 20, 22, 7), np.float32, "rows"),
        (sizes_of(200, 3, 20, 22, 7), np.float64, "halo"),
        (sizes_of(200, 3, 20, 21, 7), np.float32, "halo"),
        (sizes_of(200, 3, 20, 22, 7, stride=(2, 2)), np.float32, "halo"),
        (sizes_of(200, 3, 20, 22, 7, kernel=(3, 3)), np.float32, "halo"),
    ],
)
def test_the_default_is_rows_for_5_x_5_in_float32(sizes, dtype, default):
    assert defaults(KernelBackend(), sizes, dtype) == {default}


def defaults(backend, sizes, dtype):
    return {launch._default(backend, operation, sizes, dtype, halo_fits=True) for operation in OPERATIONS}


@pytest.mark.parametrize(
    ("sizes", "in_float64"),
    [
        (sizes_of(200, 32, 16, 16, 64), {"halo", "register_blocked"}),  # of the weight gradient, by its time
        (sizes_of(9, 96, 4, 24, 32), {"halo"}),
    ],
)
def test_where_channels_are_many_the_default_is_a_rung_on_tensor_cores(sizes, in_float64):
    """Measured or not; plain TF32 only for those who ask, and only in float32 on GPUs that have it."""
    assert defaults(KernelBackend(), sizes, np.float32) == {"corrected"}
    assert defaults(KernelBackend("tf32"), sizes, np.float32) == {"tf32"}
    assert defaults(KernelBackend("tf32"), sizes, np.float64) == in_float64
    older = KernelBackend("tf32")
    older.has_tf32 = False
    assert defaults(older, sizes, np.float32) == {"rows"}


def header_of_rows(s):
    """Shared memory of a block in numbers, as `kernels/conv2d_rows.h` has it."""
    layer, across = s.layer, -(-s.layer.Q // s.columns)
    span = (4 - layer.padding + layer.side - 1 + s.columns + 3) // 4 * 4
    owners, filters = s.images * (s.tile // s.rows) * across, s.groups * s.filters
    pitch = filters if s.filters % 4 else filters | 4
    pixels = patch(layer, s.chunk, s.images, s.tile, (across - 1) * s.columns + span)
    sums = (s.shares - 1) * owners * s.groups * s.filters * s.rows * s.columns
    return max(pixels + s.chunk * layer.side**2 * pitch, sums, filters * (owners + 1))


def header_of_weights(s):
    """The same for the weight gradient."""
    layer, width, filters = s.layer, -(-s.layer.Q // 4) * 4, s.groups * s.filters
    window = (4 - layer.padding + layer.side + 3 + 3) // 4 * 4
    pixels = patch(layer, s.chunk, s.images, s.tile, width - 4 + window)
    sums = s.shares * filters * s.chunk * layer.side**2
    return max(pixels + filters * (s.images * s.tile * width + 4), sums)


def patch(layer, chunk, images, tile, reach):
    packs = -(-(4 + layer.W) // 4) | 1
    least = images * (tile + layer.side - 1) * packs + max(0, -(-(reach - 4 * packs) // 4))
    return chunk * 4 * (least + (layer.side * packs - least) % 8)


def assert_compiles(sizes):
    """What both structs assert: a layer that fits is one whose kernels the compiler takes."""
    forward, backward_input, weights = (launch_rows.layer_of(operation, sizes) for operation in OPERATIONS)
    for s in map(launch_rows.rows, (forward, backward_input)):
        assert header_of_rows(s) <= 12 * 1024, (sizes, s)
        assert s.threads <= 1024, (sizes, s)
        assert s.tile % s.rows == s.columns % 4 == 0, (sizes, s)
    s = launch_rows.rows_of_weights(weights)
    assert header_of_weights(s) <= 12 * 1024, (sizes, s)
    assert s.threads <= 1024, (sizes, s)


def test_every_small_layer_that_fits_compiles():
    """Few positions and many filters: then threads share the sums, which meet in shared memory."""
    images = [(n, n) for n in (4, 5, 6, 8, 10, 12, 14, 16, 20, 28)] + [(16, 1), (16, 2), (4, 24), (30, 6)]
    filters = *range(1, 18), *range(32, 66, 3), 128
    counts = [(C, K) for C in (1, 2, 3, 4, 8, 16, 64) for K in filters]
    seen = 0
    for (H, W), (C, K), side in product(images, counts, (3, 5, 7)):
        for padding in {max(0, side - 5), side // 2}:
            if min(H, W) + 2 * padding < side:
                continue
            sizes = sizes_of(32, C, H, W, K, (side, side), (1, 1), (padding, padding))
            assert launch_rows.fits(sizes, np.float32)
            assert_compiles(sizes)
            seen += 1
    assert seen > 10000


@settings(max_examples=100, deadline=None)
@given(
    C=st.integers(1, 200), K=st.integers(1, 200), H=st.integers(1, 70), W=st.integers(1, 300),
    side=st.integers(1, 7), padding=st.integers(0, 4), N=st.integers(1, 300),
)  # fmt: skip
def test_a_block_of_rows_is_one_that_a_gpu_has(C, K, H, W, side, padding, N):
    if min(H, W) + 2 * padding < side:
        return
    sizes = sizes_of(N, C, H, W, K, (side, side), (1, 1), (padding, padding))
    if not launch_rows.fits(sizes, np.float32):
        assert W > 150 or side - 1 - padding not in range(5), "what the paper's sizes are far from"
        return
    assert_compiles(sizes)
    for operation in OPERATIONS[:2]:
        layer = launch_rows.layer_of(operation, sizes)
        s = launch_rows.rows(layer)
        assert s.threads >= 32
        assert s.shares <= s.chunk <= layer.C
        assert s.grid(N)[0] * s.images * s.tile >= N * layer.P
        assert s.grid(N)[1] * s.groups * s.filters >= layer.K
    layer = launch_rows.layer_of("conv2d_backward_weight", sizes)
    s = launch_rows.rows_of_weights(layer)
    splits, chunks, parts = s.grid(N)
    assert chunks * s.chunk >= layer.C
    assert parts * s.groups * s.filters >= layer.K
    assert 1 <= splits <= max(1, N * -(-layer.P // s.tile))


@pytest.mark.parametrize(
    ("layer", "forward", "backward_input", "backward_weight", "splits"),
    [
        ((1, 28, 28, 8), (1, 7, 1, 4, 4, 2, 1, 1), (1, 14, 7, 4, 1, 1, 8, 8), (1, 28, 2, 4, 14, 1), 200),
        ((8, 14, 14, 4), (1, 14, 1, 4, 4, 1, 4, 8), (1, 14, 1, 4, 4, 2, 1, 4), (1, 14, 2, 2, 7, 8), 100),
        ((3, 32, 32, 32), (1, 4, 1, 4, 8, 4, 1, 3), (1, 16, 1, 8, 3, 1, 1, 8), (1, 4, 4, 8, 2, 3), 264),
        ((32, 16, 16, 64), (1, 16, 1, 8, 8, 2, 1, 4), (1, 16, 1, 8, 8, 2, 1, 4), (1, 8, 8, 4, 1, 8), 33),
        ((64, 8, 8, 128), (2, 8, 1, 8, 8, 4, 1, 4), (2, 8, 1, 8, 8, 4, 1, 4), (2, 8, 8, 4, 1, 8), 8),
        ((64, 4, 4, 128), (2, 4, 1, 4, 4, 2, 16, 16), (2, 4, 1, 4, 4, 2, 16, 16), (4, 4, 8, 4, 1, 8), 8),
    ],
)
def test_blocks_share_the_work_as_they_did_when_it_was_timed(layer, forward, backward_input, backward_weight, splits):
    """Of the paper's layers: another division has other times, and `choices.json` must be measured anew."""
    sizes = sizes_of(200, *layer)
    layers = [launch_rows.layer_of(operation, sizes) for operation in OPERATIONS]
    assert [launch_rows.rows(each)[1:] for each in layers[:2]] == [forward, backward_input]
    weights = launch_rows.rows_of_weights(layers[2])
    assert (weights[1:], weights.grid(200)[0]) == (backward_weight, splits)


def test_the_table_is_written_from_measured_times(tmp_path, monkeypatch):
    """Twice the first layer, with other times: the fastest is another rung, and nothing else is known."""
    script = load_benchmark("default_rungs")
    result = {
        "device": "a card",
        "date": "2026-01-01",
        "ladder": [
            {"layer": "mnist 1", "operation": "forward", "ms": {"naive": 0.02, "halo": 0.01, "rows": 0.03}},
            {"layer": "mnist 2", "operation": "backward weight", "ms": {"tf32": None}},
            {"layer": "mnist dense", "operation": "matmul", "ms": {"naive": 1.0}},
        ],
    }
    (tmp_path / "gpu.json").write_text(json.dumps(result))
    out = tmp_path / "choices.json"
    monkeypatch.setattr("sys.argv", ["default_rungs.py", str(tmp_path / "gpu.json"), "--out", str(out)])
    script.main()
    assert json.loads(out.read_text())["measurements"][0]["card"] == "a card"
    monkeypatch.setattr(choices, "TABLE", out)
    choices._times.cache_clear()
    try:
        assert choices.fastest("conv2d_forward", sizes_of(9, 1, 28, 28, 8), LADDER) == "halo"
        assert choices.fastest("conv2d_backward_weight", sizes_of(9, 8, 14, 14, 4), LADDER) == "rows"
        assert len(choices._times()) == 1
    finally:
        choices._times.cache_clear()
