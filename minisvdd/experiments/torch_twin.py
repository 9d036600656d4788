"""PyTorch twins of our networks, for the oracle tests and the benchmarks (extra `oracle`).

torch is imported inside the functions: without it, everything else of the library works.
"""

from ..nn import layers, networks


def twin_of(network):
    """The torch module which computes what a built `Sequential` computes, with the same arrays.

    It carries the names of our arrays ("0.3.weight"), because `Sequential` and `torch.nn.Sequential` count alike.
    """
    module, _ = _translate(network, len(network.input_shape))
    return copy_arrays(network, module)


def copy_arrays(network, module):
    """Give `module` the parameters, statistics and scalar type of `network`, name by name; returns the module.

    Raises ValueError when an array on either side has no counterpart.
    """
    import torch

    tensors = {name: torch.tensor(array) for name, array in network.arrays.items()}
    missing, unexpected = module.load_state_dict(tensors, strict=False, assign=True)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"arrays without a counterpart: {missing} of the torch module, {unexpected} of the network")
    return module


def _translate(layer, rank):
    """Returns (torch module, rank of one output sample): torch has a batch norm for each rank, 1 or 3."""
    from torch import nn

    if isinstance(layer, networks.Sequential):
        modules = []
        for inner in layer.layers:
            module, rank = _translate(inner, rank)
            modules.append(module)
        return nn.Sequential(*modules), rank
    if isinstance(layer, layers.Flatten):
        return nn.Flatten(), 1
    if isinstance(layer, layers.Reshape):
        return nn.Sequential(nn.Flatten(), nn.Unflatten(1, layer.shape)), len(layer.shape)
    return _TRANSLATIONS[type(layer).__name__](nn, layer, rank), rank


def _conv2d(nn, layer, rank):
    K, C, *_ = layer.params["weight"].shape
    return nn.Conv2d(C, K, layer.kernel_size, layer.stride, layer.padding, bias=layer.bias)


def _conv_transpose2d(nn, layer, rank):
    C, K, *_ = layer.params["weight"].shape
    return nn.ConvTranspose2d(
        C, K, layer.kernel_size, layer.stride, layer.padding, layer.output_padding, bias=layer.bias
    )


def _linear(nn, layer, rank):
    K, D = layer.params["weight"].shape
    return nn.Linear(D, K, bias=layer.bias)


def _batch_norm(nn, layer, rank):
    C = len(layer.buffers["running_mean"])
    kind = nn.BatchNorm1d if rank == 1 else nn.BatchNorm2d
    return kind(C, eps=layer.epsilon, momentum=layer.momentum, affine=layer.affine)


_TRANSLATIONS = {
    "Conv2D": _conv2d,
    "ConvTranspose2D": _conv_transpose2d,
    "Linear": _linear,
    "BatchNorm": _batch_norm,
    "LeakyReLU": lambda nn, layer, rank: nn.LeakyReLU(layer.slope),
    "ReLU": lambda nn, layer, rank: nn.ReLU(),
    "Sigmoid": lambda nn, layer, rank: nn.Sigmoid(),
    "Tanh": lambda nn, layer, rank: nn.Tanh(),
    "MaxPool2D": lambda nn, layer, rank: nn.MaxPool2d(
        layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode
    ),
    "Upsample": lambda nn, layer, rank: nn.Upsample(scale_factor=tuple(map(float, layer.scale)), mode="nearest"),
}
