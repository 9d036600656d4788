"""500 random networks of all layers, on each backend: none is further from PyTorch than rounding allows."""

import numpy as np
import pytest
import random_networks

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

NETWORKS, BLOCK = 500, 100
BACKENDS = [
    ("plain", "float64"),
    ("numpy", "float64"),
    pytest.param("emulator", "float32", marks=pytest.mark.compiler),
]


@pytest.mark.parametrize("first", range(0, NETWORKS, BLOCK))
@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
def test_nothing_is_further_from_torch_than_rounding_allows(backend, dtype, first):
    """Outputs, gradients and statistics; in training, with frozen statistics and in evaluation."""
    verdicts = {seed: random_networks.compare(seed, backend, dtype) for seed in range(first, first + BLOCK)}
    assert {seed: verdict.wrong for seed, verdict in verdicts.items() if verdict.wrong} == {}
    passes = 3 * BLOCK
    refused = sum(verdict.refused for verdict in verdicts.values())
    assert sum(verdict.compared for verdict in verdicts.values()) >= 0.99 * (passes - refused)
    assert refused < 0.05 * passes


@pytest.mark.parametrize(("backend", "dtype"), BACKENDS)
def test_an_error_far_above_rounding_is_wrong(backend, dtype, monkeypatch):
    """One entry of one array is off by a thousandth in float32, by 1e-7 in float64."""
    ours, share = random_networks.our_pass, {"float32": 1e-3, "float64": 1e-7}[dtype]

    def with_an_error(*arguments):
        found = ours(*arguments)
        name = sorted(found)[len(arguments[1]) % len(found)]
        found[name] = found[name].copy()
        found[name].flat[np.abs(found[name]).argmax()] *= 1 + share
        return found

    monkeypatch.setattr(random_networks, "our_pass", with_an_error)
    verdicts = [random_networks.compare(seed, backend, dtype) for seed in range(40)]
    assert sum(bool(verdict.wrong) for verdict in verdicts) >= 36


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_drawn_has_every_layer_and_every_order_of_memory(dtype):
    rng = np.random.default_rng(0)
    shapes, networks = zip(*(random_networks.draw_network(rng) for _ in range(200)))
    layers = [layer for network in networks for layer in network.flat_layers()]
    assert {type(layer).__name__ for layer in layers} == {
        *("BatchNorm", "Conv2D", "ConvTranspose2D", "Flatten", "LeakyReLU", "Linear", "MaxPool2D"),
        *("ReLU", "Reshape", "Sigmoid", "Tanh", "Upsample"),
    }
    pools = [layer for layer in layers if type(layer).__name__ == "MaxPool2D"]
    assert any(pool.padding != (0, 0) and pool.ceil_mode for pool in pools)
    assert any(pool.stride < pool.kernel_size for pool in pools)
    assert any(layer.output_padding != (0, 0) for layer in layers if type(layer).__name__ == "ConvTranspose2D")
    assert {(1, 1, 1), (4, 1, 1)} <= set(shapes)
    orders = [random_networks.draw_images(rng, (3, 2, 4, 5), dtype).flags for _ in range(50)]
    assert {(flags.c_contiguous, flags.f_contiguous) for flags in orders} == {
        (True, False),
        (False, True),
        (False, False),
    }
