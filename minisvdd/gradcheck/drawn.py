"""Arguments for every operation on drawn shapes, with which its readings are compared with its formula."""

from types import SimpleNamespace

import numpy as np

from .. import ops

_PAIR, _WINDOW = (2, 3), (2, 2)
# Arguments, by their place, that an update is there to change.
IN_PLACE: dict[str, tuple[int, ...]] = {"adam_update": (0, 2, 3), "sgd_update": (0, 2), "running_update": (0,)}


def drawn_arguments(name: str, rng: np.random.Generator, dtype: type = np.float64) -> tuple:
    """Arguments for the operation of that name, on shapes that differ from draw to draw."""
    d = _drawn(rng, dtype)
    return {**_activations_and_updates(d), **_normalisation(d), **_products(d), **_losses(d), **_modules(d)}[name]


def _drawn(rng, dtype):
    """Sizes and arrays from which the tables below take."""
    N, C, K, p = (int(n) for n in rng.integers(1, 6, size=4))
    H, W = (int(n) for n in rng.integers(4, 9, size=2))
    kernel, stride, padding = (tuple(map(int, rng.integers(low, 4, size=2))) for low in (1, 1, 0))

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, weight, where = draw(N, C, H, W), draw(K, C, *kernel), (stride, padding)
    features, matrix, center = draw(N, p), draw(K, p), draw(p)
    logits, labels = draw(N, K), rng.integers(K, size=N)
    mean, variance = draw(C), draw(C) ** 2
    pooled, winner = ops.maxpool_forward(x, _PAIR, (3, 2))
    module = ops.encoder_module_forward(x + 3, draw(K, C, 3, 3), (1, 1), (1, 1), 1e-4, 0.1, _WINDOW)
    affine = ops.Affine(draw(C), draw(C))
    moments = [draw(K, p), draw(K, p), np.abs(draw(K, p))]
    convolved, scale = ops.conv2d_forward(x, weight, *where), 1 / np.sqrt(variance + dtype(1e-4))
    return SimpleNamespace(**locals())


def _activations_and_updates(d):
    """Elementwise operations, and the optimisers'."""
    return {
        "leaky_relu_forward": (d.x, 0.1),
        "is_positive": (d.x,),
        "leaky_relu_backward": (d.draw(d.N, d.C, d.H, d.W), d.x > 0, 0.1),
        "sigmoid_forward": (d.x,),
        "sigmoid_backward": (d.draw(d.N, d.C, d.H, d.W), ops.sigmoid_forward(d.x)),
        "tanh_forward": (d.x,),
        "tanh_backward": (d.draw(d.N, d.C, d.H, d.W), np.tanh(d.x)),
        "adam_update": (d.matrix, *d.moments, 3, 0.01, 0.9, 0.999, 1e-8, 0.1),
        "sgd_update": (d.matrix, *d.moments[:2], 0.01, 0.9, 0.1),
    }  # fmt: skip


def _normalisation(d):
    """Batch norm's, and contrast normalisation."""
    return {
        "batch_statistics": (d.x,),
        "inverse_deviation": (d.variance, 1e-4),
        "batchnorm_forward": (d.x, d.mean, d.variance, 1e-4),
        "batchnorm_forward_batch": (d.x, 1e-4),
        "batchnorm_backward": (d.draw(d.N, d.C, d.H, d.W), ops.batchnorm_forward_batch(d.x, 1e-4)[0], d.scale),
        "batchnorm_backward_fixed": (d.x, d.scale),
        "affine_forward": (d.x, d.mean, d.variance),
        "affine_backward": (d.draw(d.N, d.C, d.H, d.W), d.x, d.mean),
        "running_update": (d.mean, d.variance, 0.1, 1.5),
        "contrast_normalize": (d.x,),
        "contrast_normalize_backward": (d.draw(d.N, d.C, d.H, d.W), d.x),
    }  # fmt: skip


def _products(d):
    """Convolution, linear layer, bias."""
    return {
        "conv2d_forward": (d.x, d.weight, *d.where),
        "conv2d_backward_weight": (d.draw(*d.convolved.shape), d.x, d.kernel, *d.where),
        "conv2d_backward_input": (d.draw(*d.convolved.shape), d.weight, (d.H, d.W), *d.where),
        "linear_forward": (d.features, d.matrix),
        "linear_backward_input": (d.logits, d.matrix),
        "linear_backward_weight": (d.logits, d.features),
        "bias_forward": (d.x, d.mean),
        "bias_backward": (d.x,),
    }  # fmt: skip


def _losses(d):
    """Distances and losses."""
    return {
        "squared_distances": (d.features, d.center),
        "one_class_loss": (d.features, d.center),
        "soft_boundary_loss": (d.features, d.center, float(d.p), 0.3),
        "mean_squared_error": (d.x, d.draw(d.N, d.C, d.H, d.W)),
        "absolute_distances": (d.x, d.draw(d.N, d.C, d.H, d.W)),
        "absolute_error": (d.x, d.draw(d.N, d.C, d.H, d.W)),
        "softmax_cross_entropy": (d.logits, d.labels),
        "binary_cross_entropy": (d.logits, np.abs(np.tanh(d.draw(d.N, d.K)))),
    }  # fmt: skip


def _modules(d):
    """What lies between two convolutions, pooling and up-sampling."""
    return {
        "encoder_module_forward": (d.x + 3, d.draw(d.K, d.C, 3, 3), (1, 1), (1, 1), 1e-4, 0.1, _WINDOW),
        "norm_act_pool_evaluate": (d.x, d.mean, d.scale, 0.1, _WINDOW, d.affine),
        "norm_act_pool_forward": (d.x, d.mean, d.scale, 0.1, _WINDOW, None if d.rng.integers(2) else d.affine),
        "norm_act_pool_backward": (
            d.draw(*d.module[1].shape), *d.module[:4], d.module[5], 0.1, _WINDOW, bool(d.rng.integers(2)),
        ),
        "affine_act_pool_backward": (
            d.draw(*d.module[1].shape), *d.module[:4], d.module[5], d.draw(d.K), 0.1, _WINDOW, bool(d.rng.integers(2)),
        ),
        "maxpool_forward": (d.x, _PAIR, (3, 2)),
        "maxpool_backward": (d.draw(*d.pooled.shape), d.winner, d.x.shape, _PAIR, (3, 2)),
        "pad_forward": (d.x, ((1, d.p), (0, 2)), -np.inf),
        "pad_backward": (d.draw(d.N, d.C, d.H + 1 + d.p, d.W + 2), ((1, d.p), (0, 2))),
        "upsample_forward": (d.x, _PAIR),
        "upsample_backward": (d.draw(d.N, d.C, 2 * d.H, 3 * d.W), _PAIR),
    }  # fmt: skip
