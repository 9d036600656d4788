"""Arguments for every operation on drawn shapes, with which its readings are compared with its formula."""

import numpy as np

from .. import ops

_PAIR = (2, 3)
# Arguments, by their place, that an update is there to change.
IN_PLACE: dict[str, tuple[int, ...]] = {"adam_update": (0, 2, 3), "sgd_update": (0, 2), "running_update": (0,)}


def drawn_arguments(name: str, rng: np.random.Generator, dtype: type = np.float64) -> tuple:
    """Arguments for the operation of that name, on shapes that differ from draw to draw."""
    N, C, K, p = (int(n) for n in rng.integers(1, 6, size=4))
    H, W = (int(n) for n in rng.integers(4, 9, size=2))
    kernel, stride, padding = (tuple(map(int, rng.integers(low, 4, size=2))) for low in (1, 1, 0))

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, weight = draw(N, C, H, W), draw(K, C, *kernel)
    where = stride, padding
    convolved = ops.conv2d_forward(x, weight, *where)
    features, matrix, center = draw(N, p), draw(K, p), draw(p)
    logits, labels = draw(N, K), rng.integers(K, size=N)
    mean, variance = draw(C), draw(C) ** 2
    scale = 1 / np.sqrt(variance + dtype(1e-4))
    pooled, winner = ops.maxpool_forward(x, _PAIR, (3, 2))
    two = (2, 2)
    module = ops.encoder_module_forward(x + 3, draw(K, C, 3, 3), (1, 1), (1, 1), 1e-4, 0.1, two)
    moments = [draw(K, p), draw(K, p), np.abs(draw(K, p))]
    return {
        "leaky_relu_forward": (x, 0.1),
        "is_positive": (x,),
        "leaky_relu_backward": (draw(N, C, H, W), x > 0, 0.1),
        "sigmoid_forward": (x,),
        "sigmoid_backward": (draw(N, C, H, W), ops.sigmoid_forward(x)),
        "tanh_forward": (x,),
        "tanh_backward": (draw(N, C, H, W), np.tanh(x)),
        "adam_update": (matrix, *moments, 3, 0.01, 0.9, 0.999, 1e-8, 0.1),
        "sgd_update": (matrix, *moments[:2], 0.01, 0.9, 0.1),
        "batch_statistics": (x,),
        "inverse_deviation": (variance, 1e-4),
        "batchnorm_forward": (x, mean, variance, 1e-4),
        "batchnorm_forward_batch": (x, 1e-4),
        "batchnorm_backward": (draw(N, C, H, W), ops.batchnorm_forward_batch(x, 1e-4)[0], scale),
        "batchnorm_backward_fixed": (x, scale),
        "affine_forward": (x, mean, variance),
        "affine_backward": (draw(N, C, H, W), x, mean),
        "running_update": (mean, variance, 0.1, 1.5),
        "contrast_normalize": (x,),
        "contrast_normalize_backward": (draw(N, C, H, W), x),
        "conv2d_forward": (x, weight, *where),
        "conv2d_backward_weight": (draw(*convolved.shape), x, kernel, *where),
        "conv2d_backward_input": (draw(*convolved.shape), weight, (H, W), *where),
        "linear_forward": (features, matrix),
        "linear_backward_input": (logits, matrix),
        "linear_backward_weight": (logits, features),
        "bias_forward": (x, mean),
        "bias_backward": (x,),
        "squared_distances": (features, center),
        "one_class_loss": (features, center),
        "soft_boundary_loss": (features, center, float(p), 0.3),
        "mean_squared_error": (x, draw(N, C, H, W)),
        "absolute_distances": (x, draw(N, C, H, W)),
        "absolute_error": (x, draw(N, C, H, W)),
        "softmax_cross_entropy": (logits, labels),
        "binary_cross_entropy": (logits, np.abs(np.tanh(draw(N, K)))),
        "encoder_module_forward": (x + 3, draw(K, C, 3, 3), (1, 1), (1, 1), 1e-4, 0.1, two),
        "norm_act_pool_evaluate": (x, mean, scale, 0.1, two),
        "norm_act_pool_forward": (x, mean, scale, 0.1, two),
        "norm_act_pool_backward": (
            draw(*module[1].shape), *module[:4], module[5], 0.1, two, bool(rng.integers(2)),
        ),
        "maxpool_forward": (x, _PAIR, (3, 2)),
        "maxpool_backward": (draw(*pooled.shape), winner, x.shape, _PAIR, (3, 2)),
        "pad_forward": (x, ((1, p), (0, 2)), -np.inf),
        "pad_backward": (draw(N, C, H + 1 + p, W + 2), ((1, p), (0, 2))),
        "upsample_forward": (x, _PAIR),
        "upsample_backward": (draw(N, C, 2 * H, 3 * W), _PAIR),
    }[name]  # fmt: skip
