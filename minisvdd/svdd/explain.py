"""Where is it? What every pixel has to do with the anomaly score s(x), as a heat map, larger = more to blame.

    gradient    h_i = ||g_i||                                  g = ds/dx; g_i: the channels of pixel i
    smoothgrad  h_i = ||mean over draws of g_i(x + noise)||
    exchange    h_i = E max(0, g_i . (x_i - r))                r: what another pixel of this image might hold
    occlusion   h_i = mean of max(0, s(x) - s(x'))             x': with a window around i from elsewhere in the image
    residual    h_i = ||z_i - dec(enc(z))_i||^2                z: the pre-processed image; needs an autoencoder

**The gradient** is the hand-written backward pass, once more: ds/dphi = 2 (phi - c) for Deep SVDD (R^2 is a constant),
from there to z by the layers' `backward` with the statistics of evaluation, from z to x by the pre-processing's
(`ops.contrast_normalize_backward`). It says how fast s grows with a pixel. That is not the pixel's blame: in the middle
of a dark spot the score may not answer to small changes at all.

**Exchange.** The question is how much lower the score were, had the pixel held something normal. To first order,
replacing x_i by r changes it by -g_i . (x_i - r), and as r is not known, it is drawn: from a Gaussian with the mean m
and the covariance C of the image's own pixels (for features: mean and variance of the training samples). So
d = g_i . (x_i - r) is a Gaussian number with mean mu = g_i . (x_i - m) and variance sigma^2 = g_i' C g_i. Only
exchanges that make things better count; with the standard normal's density p and distribution function P,

    E max(0, d) = integral over t > -mu/sigma of (mu + sigma t) p(t) dt = mu P(mu / sigma) + sigma p(mu / sigma).

A pixel without contrast of its own, mu = 0, still counts by sigma: what is missing is seen, too.

**Occlusion** is the same question with large steps in place of a derivative: a window is replaced by another window of
the same image, so that the replacement looks like the rest, and what the score falls by is spread over the window. It
needs nothing but scores, and many of them.

**The residual** asks the autoencoder of the pre-training, which has learnt what normal images look like, what it would
have expected there. `auto` takes it where there is one, else `exchange`; where nothing has a gradient, `occlusion`.
`benchmarks/explain.py` measures all of them on defects of known place.

Of a large image that is cut into patches (`minisvdd.svdd.patches`) every patch is asked for its own score's share, and
the answers are put together.

Heat maps of images are smoothed by a Gaussian of a 16th of the shorter side: single pixels of a gradient through
max-pooling are noise, those around a defect are not.
"""

from __future__ import annotations  # so that a type loads no file

from collections.abc import Callable
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from ..validation import Seed, check_choice, check_fitted, check_generator, check_number, check_test_samples
from .preprocessing import Preprocessing

METHODS = ("auto", "residual", "exchange", "occlusion", "smoothgrad", "gradient")
SMOOTHING = 1 / 16  # standard deviation of the Gaussian, in shorter sides of the image
DRAWS, NOISE = 16, 0.1  # of smoothgrad; the noise in standard deviations of the image, or of each feature
SHIFTS = 4  # other windows that occlusion tries in the place of one
_BLOCK = 200  # samples explained at a time: bounds what gradients and copies take

ByArray = Callable[[np.ndarray], np.ndarray]


class Explainable(Protocol):
    """What `explain` asks of a fitted detector."""

    input_shape_: tuple[int, ...]
    preprocessing_: Preprocessing

    def _all_scores(self, X: np.ndarray) -> np.ndarray: ...  # anomaly scores of samples that have been checked
    def _explanations(self) -> tuple[str, ...]: ...  # the methods that it has, the best first
    def _score_gradient(self, Z: np.ndarray) -> np.ndarray: ...  # ds/dz at pre-processed samples, float64
    def _residuals(self, X: np.ndarray) -> np.ndarray: ...  # what the residual is of every entry of X


def explain(
    model: Explainable, X: ArrayLike, method: str = "auto", random_state: Seed = 0, smoothing: float = SMOOTHING
) -> np.ndarray:
    """Heat maps (n, H, W) of images (n, C, H, W), or the shares (n, D) of features (n, D): `Detector.explain`."""
    check_fitted(model)
    check_number(smoothing, "smoothing", 0)
    X = check_test_samples(model, X)
    method = _chosen(model, method)
    seed = int(check_generator(random_state).integers(2**32))  # the same draws for every block: a map depends on its
    maps = np.empty((len(X), *X.shape[2:]) if X.ndim > 2 else X.shape)  # image alone
    for start in range(0, len(X), _BLOCK):
        x = X[start : start + _BLOCK]
        shares = _shares(model, x, method, np.random.default_rng(seed))
        maps[start : start + _BLOCK] = smoothed(shares, smoothing) if x.ndim > 2 else shares
    if not np.isfinite(maps).all():
        worst = int(np.argmin(np.isfinite(maps).reshape(len(maps), -1).all(axis=1)))
        raise ValueError(f"X: the explanation of sample {worst} is not finite: its values overflow")
    return maps


def score_gradient(model: Explainable, X: np.ndarray) -> np.ndarray:
    """g = ds/dx by backpropagation through network and pre-processing.  Returns float64, shaped like X."""
    return model.preprocessing_.backward(model._score_gradient(model.preprocessing_.transform(X)), X)


def mean_gradient(gradient: ByArray, X: np.ndarray, std: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1/K sum_k g(x + noise_k), noise_k ~ N(0, (NOISE std)^2): the gradient of s averaged over a neighbourhood.

    SmoothGrad (Smilkov et al., 2017). std: the deviation of every sample or feature. Every sample meets the same draws.
    """
    mean = np.zeros(X.shape)
    for _ in range(DRAWS):
        mean += gradient((X + NOISE * std * rng.standard_normal(X.shape[1:])).astype(X.dtype)) / DRAWS
    return mean


def exchange(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """E max(0, d) for d ~ N(mu, sigma^2), entry by entry: what exchanging a pixel saves (derived above)."""
    t = np.divide(mu, sigma, out=np.zeros_like(mu), where=sigma > 0)
    expected = mu * ndtr(t) + sigma * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    return np.maximum(np.where(sigma > 0, expected, mu), 0.0)


def first_order(g: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mu and sigma of d_i = g_i . (x_i - r) with r from the image's own pixels.  g, X: (n, C, H, W); both (n, H, W)."""
    centered = X - X.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    covariance = np.einsum("ncij,neij->nce", centered, centered) / np.prod(X.shape[2:])
    variance = np.einsum("ncij,nce,neij->nij", g, covariance, g, optimize=True)
    return (g * centered).sum(axis=1), np.sqrt(np.maximum(variance, 0))


def occlusion(score: ByArray, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean of max(0, s(x) - s(x')) over the windows that hold a pixel and over what replaces them.  Returns (n, H, W).

    Windows of about a tenth of the shorter side, half a window apart; x' has there what lies elsewhere in the image: at
    `SHIFTS` random distances of a window or more, beyond the border on the other side. All windows of a row are scored
    at once, SHIFTS scores for each.
    """
    H, W = X.shape[2:]
    size = max(2, min(H, W) // 10)
    tops, lefts = ([slice(start, start + size) for start in _starts(length, size)] for length in (H, W))
    shifts = [tuple(rng.integers(size, max(size + 1, n - size)) for n in (H, W)) for _ in range(SHIFTS)]
    saved, seen = np.zeros((len(X), H, W)), np.zeros((H, W))
    for rows, columns in product(tops, lefts):
        seen[rows, columns] += SHIFTS
    for x, s, saved_of_x in zip(X, score(X), saved):
        others = np.stack([np.roll(x, shift, (1, 2)) for shift in shifts])
        for rows in tops:
            falls = np.maximum(0, s - score(_exchanged(x, others, rows, lefts)))
            for columns, of_a_window in zip(lefts, falls.reshape(-1, SHIFTS)):
                saved_of_x[rows, columns] += of_a_window.sum()
    return saved / seen


def _exchanged(x: np.ndarray, others: np.ndarray, rows: slice, lefts: list[slice]) -> np.ndarray:
    """x (C, H, W) with each window of a row in turn taken from each of the others: (windows * others, C, H, W)."""
    images = np.tile(x, (len(lefts), len(others), 1, 1, 1))
    for of_a_window, columns in zip(images, lefts):
        of_a_window[..., rows, columns] = others[..., rows, columns]
    return images.reshape(-1, *x.shape)


def occlusion_of_features(score: ByArray, X: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """max(0, s(x) - s(x')), x' with one feature at its mean.  X: (n, D), mean: (D,) or (n, 1); returns (n, D)."""
    s, saved = score(X), np.empty(X.shape)
    for j in range(X.shape[1]):
        exchanged = X.copy()
        exchanged[:, j] = np.broadcast_to(mean, X.shape)[:, j]
        saved[:, j] = np.maximum(0, s - score(exchanged))
    return saved


def smoothed(maps: np.ndarray, smoothing: float) -> np.ndarray:
    """Each map (n, H, W) convolved with a Gaussian of so many shorter sides; entries stay >= 0."""
    sigma = smoothing * min(maps.shape[1:])
    return np.asarray(gaussian_filter(maps, (0, sigma, sigma), mode="reflect"))


def _shares(model: Explainable, X: np.ndarray, method: str, rng: np.random.Generator) -> np.ndarray:
    """Every pixel's or feature's share by one method, before smoothing."""
    if method == "residual":
        return _over_channels(model._residuals(X), np.sum)
    if method == "occlusion":
        if X.ndim > 2:
            return occlusion(model._all_scores, X, rng)
        return occlusion_of_features(model._all_scores, X, _moments_of_features(model, X)[0])
    if method == "smoothgrad":
        std = X.std(axis=(1, 2, 3), keepdims=True) if X.ndim > 2 else _moments_of_features(model, X)[1]
        return _over_channels(mean_gradient(lambda x: score_gradient(model, x), X, std, rng), np.linalg.norm)
    g = score_gradient(model, X)
    if method == "gradient":
        return _over_channels(g, np.linalg.norm)
    if X.ndim > 2:
        return exchange(*first_order(g, X))
    mean, std = _moments_of_features(model, X)
    return exchange(g * (X - mean), np.abs(g) * std)


def _over_channels(values: np.ndarray, function: Callable[..., np.ndarray]) -> np.ndarray:
    return function(values, axis=1) if values.ndim > 2 else np.abs(values)


def _moments_of_features(model: Explainable, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a normal feature: of training where the pre-processing has kept them, else the sample's."""
    constants = model.preprocessing_.constants
    if "mean" in constants:
        return np.asarray(constants["mean"]), np.asarray(constants["std"])
    return X.mean(axis=1, keepdims=True, dtype=np.float64), X.std(axis=1, keepdims=True, dtype=np.float64)


def _starts(length: int, size: int) -> list[int]:
    """Where windows begin: half a window apart, the last one at the border."""
    last = max(0, length - size)
    return sorted({*range(0, last, max(1, size // 2)), last})


def _chosen(model: Explainable, method: str) -> str:
    available = model._explanations()
    if method == "auto":
        return available[0]
    check_choice(method, "method", METHODS)
    if method not in available:
        raise ValueError(f"method={method!r}: this {type(model).__name__} can be explained by {list(available)}")
    return method
