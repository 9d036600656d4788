"""Golden files: what torch computes on the paper's networks, kept so that the comparison lives where torch is missing.

    PYTHONPATH=.:tests python -m golden.make      (needs torch; on one machine a second run gives identical files)

One file for each network and kind. Weights and images are not stored: `uniform` gives them by a formula in integer
arithmetic, which is the same on every machine and needs no random generator. A `fingerprint` stands for a large array.

    torch_version           of the torch that wrote the file
    image, center           checksum of the first batch, and of the one-class centre
    weight/NAME             checksum
    output, gradient/NAME   fingerprint after one pass in training mode on the first batch; gradient/input is dL/dx
    statistics/NAME         fingerprint of the running statistics after that pass
    losses                  the loss of each of STEPS steps of Adam, another batch in each
    trained/output          fingerprint: evaluation mode, after these steps, on the first batch
    trained/statistics/NAME fingerprint of the running statistics after these steps

The loss is the one-class loss for an encoder and the reconstruction error for an autoencoder, all in float64.
"""

import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

FOLDER = Path(__file__).parent
BATCH_SIZES = {"mnist_lenet": 8, "cifar10_lenet": 3, "gtsrb_lenet": 4}
INPUT_SHAPES = {"mnist_lenet": (1, 28, 28), "cifar10_lenet": (3, 32, 32), "gtsrb_lenet": (3, 32, 32)}
FEATURES = {"mnist_lenet": 32, "cifar10_lenet": 128, "gtsrb_lenet": 32}
CASES = [(name, kind) for name in INPUT_SHAPES for kind in ("encoder", "autoencoder")]
STEPS, LEARNING_RATE, WEIGHT_DECAY = 10, 1e-3, 1e-6
SAMPLE = 200


def uniform(label: str, shape) -> np.ndarray:
    """Float64 numbers in [-1, 1) that look random and depend on label and position alone.

    The counter (checksum of the label, position) goes through the bit mixer of SplitMix64; the upper 53 bits are the
    number. Sines would be shorter, but their last bits differ between machines.
    """
    z = np.arange(np.prod(shape), dtype=np.uint64) + (np.uint64(zlib.crc32(label.encode())) << np.uint64(32))
    z *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) * 2.0**-52 - 1).reshape(shape)


def weight(label: str, shape) -> np.ndarray:
    """A weight on the scale of Glorot's: filters (K, C, kh, kw) or matrices (K, D)."""
    fan_in_and_out = (shape[0] + shape[1]) * int(np.prod(shape[2:]))
    return np.sqrt(6 / fan_in_and_out) * uniform(label, shape)


def images(name: str, step: int) -> np.ndarray:
    """The batch of a step of training, in [0, 1)."""
    return (1 + uniform(f"images {step}", (BATCH_SIZES[name], *INPUT_SHAPES[name]))) / 2


def center(name: str) -> np.ndarray:
    """The centre c of the one-class loss."""
    return uniform("center", (FEATURES[name],))


def checksum(array) -> np.ndarray:
    """Root of the mean square, and a projection on a fixed direction: a change of any entry changes them."""
    flat = np.asarray(array, np.float64).ravel()
    scale = np.sqrt(flat.size)
    return np.array([np.sqrt(flat @ flat), flat @ uniform("direction", flat.shape)]) / scale


def fingerprint(array) -> np.ndarray:
    """All entries of a small array, evenly strided ones of a large array; then its checksum, on the same scale."""
    flat = np.asarray(array, np.float64).ravel()
    stride = -(-flat.size // SAMPLE)
    return np.concatenate([flat[::stride], checksum(flat)])


def describe(name: str, side) -> dict[str, np.ndarray]:
    """The content of a golden file, computed by `side`: torch here, minisvdd in test_golden.py.

    side: an object with `weights`, `gradients` and `statistics`, which return dicts by name, `train_pass(x)`, which
    returns (loss, output) and leaves the gradients, `step()` and `evaluate(x)`.
    """
    x = images(name, 0)
    content = {"image": checksum(x), "center": checksum(center(name))}
    content.update({f"weight/{n}": checksum(array) for n, array in side.weights().items()})

    loss, output = side.train_pass(x)
    content["output"] = fingerprint(output)
    content.update({f"gradient/{n}": fingerprint(array) for n, array in side.gradients().items()})
    content.update({f"statistics/{n}": fingerprint(array) for n, array in side.statistics().items()})

    losses = [loss]
    for step in range(1, STEPS):
        side.step()
        losses.append(side.train_pass(images(name, step))[0])
    side.step()
    content["losses"] = np.array(losses)
    content["trained/output"] = fingerprint(side.evaluate(x))
    content.update({f"trained/statistics/{n}": fingerprint(array) for n, array in side.statistics().items()})
    return content


def torch_side(name: str, kind: str):
    """The paper's network, its loss and optimiser in torch."""
    import oracle
    import torch

    module = oracle.paper_network(name, kind)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for n, parameter in parameters.items():
            parameter.copy_(torch.tensor(weight(n, parameter.shape)))
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    c = torch.tensor(center(name))
    last = {}

    def train_pass(x):
        def objective(y):
            if kind == "encoder":
                return (y - c).square().sum(dim=1).mean()
            return (y - torch.tensor(x)).square().sum() / len(x)

        last["pass"] = oracle.torch_pass(module, x, objective)
        return last["pass"].value, last["pass"].output

    def evaluate(x):
        with torch.no_grad():
            return module.eval()(torch.tensor(x)).numpy()

    return SimpleNamespace(
        weights=lambda: {n: parameter.detach().numpy() for n, parameter in parameters.items()},
        train_pass=train_pass,
        gradients=lambda: last["pass"].gradients,
        statistics=lambda: oracle.statistics(module),
        step=optimizer.step,
        evaluate=evaluate,
    )


def main():
    import torch

    torch.set_num_threads(1)  # the order of summation, and so the last bits, depend on the number of threads
    for name, kind in CASES:
        content = describe(name, torch_side(name, kind))
        path = FOLDER / f"{name}_{kind}.npz"
        np.savez_compressed(path, torch_version=np.array(torch.__version__), **content)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
