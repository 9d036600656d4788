"""Where is it: the gradient of the score through everything, planted defects found, the model left alone."""

from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from functools import cache

import numpy as np
import pytest
from helpers_data import one_line_error
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from trainer_properties import digits, small_model

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, KernelDensity
from minisvdd.backends import backend_problems
from minisvdd.svdd import explain as explaining

GRADIENTS = ("exchange", "smoothgrad", "gradient")


class InDouble(DeepSVDD):
    _dtype = np.float64


def in_double(model, x):
    """The score of one sample x in float64 throughout, by plain lines."""
    constants = model.preprocessing_.constants
    if "mean" in constants:
        z = (x - constants["mean"]) / constants["std"]
    else:
        centered = x - x.mean()
        z = (centered / np.abs(centered).mean() - constants["minimum"]) / (constants["maximum"] - constants["minimum"])
    y = model.network_.forward(z[None])[0]
    if isinstance(model, Autoencoder):
        return ((z - y) ** 2).sum()
    return ((y - model.center_) ** 2).sum() - (model.radius_**2 if model.objective == "soft-boundary" else 0)


@cache
def fitted(kind):
    """(model, samples) of each kind, trained a little."""
    train = digits().train
    features = np.ascontiguousarray(train.reshape(len(train), -1)[:, 8:56])
    arguments = {"network": "digits_lenet", "pretrain_epochs": 1, "epochs": 2, "learning_rate": 1e-3, "batch_size": 32}
    arguments |= {"milestones": (), "pretrain_milestones": (), "verbose": 0}
    if kind == "autoencoder":
        return Autoencoder("digits_lenet", epochs=2, learning_rate=1e-3, batch_size=32, verbose=0).fit(train), train
    if kind == "features":
        return InDouble(**{**arguments, "network": "mlp", "pretrain_epochs": 0}).fit(features), features
    return InDouble(kind, **arguments, autoencoder=None).fit(train), train


KINDS = ("one-class", "soft-boundary", "features", "autoencoder")


def pixel_auc(maps, masks):
    return np.mean([roc_auc_score(mask.ravel(), blame.ravel()) for blame, mask in zip(maps, masks)])


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_what_central_differences_say(kind, rng):
    """At images with noise: many equal pixels are ties of max-pooling, which are kinks."""
    model, X = fitted(kind)
    if kind == "autoencoder":  # trained in float32
        model = copy(model)
        model.network_ = deepcopy(model.network_).astype(np.float64)
    X = (X[:2] + 0.1 * rng.random(X[:2].shape)).astype(np.float32)
    gradient = explaining.score_gradient(model, X)
    assert gradient.dtype == np.float64
    for x, g in zip(X.astype(np.float64), gradient):
        scale = np.abs(g).max()
        for index in map(tuple, rng.permutation(list(np.ndindex(x.shape)))[:12]):
            h = np.zeros(x.shape)
            h[index] = 1e-6
            numeric = (in_double(model, x + h) - in_double(model, x - h)) / 2e-6
            assert numeric == pytest.approx(g[index], rel=1e-4, abs=2e-4 * scale)


def state(model):
    arrays = {**model.network_.arrays, **model.network_.grads}
    return {name: array.tobytes() for name, array in arrays.items()}, model.network_.flat_layers()[0]._saved is None


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_explaining_is_repeatable_and_changes_nothing(kind):
    model, X = fitted(kind)
    untouched, before, scores = X.copy(), state(model), model.anomaly_score(X)
    for method in model._explanations():
        maps = model.explain(X[:3], method)
        assert maps.dtype == np.float64
        assert maps.shape == (3, *(X.shape[1:] if kind == "features" else X.shape[2:]))
        assert np.isfinite(maps).all()
        assert (maps >= 0).all()
        assert maps.max() > 0
        np.testing.assert_array_equal(model.explain(X[:3], method), maps)
    assert state(model) == before
    np.testing.assert_array_equal(X, untouched)
    np.testing.assert_array_equal(model.anomaly_score(X), scores)


@pytest.mark.parametrize("method", ["auto", *GRADIENTS, "occlusion"])
def test_a_map_depends_on_its_image_alone(method, monkeypatch):
    """Not on its neighbours, nor on how many samples are taken at a time."""
    model, X = fitted("one-class")
    maps = model.explain(X[:5], method)
    np.testing.assert_allclose(model.explain(X[3:4], method)[0], maps[3], rtol=1e-4, atol=1e-6 * maps.max())
    monkeypatch.setattr(explaining, "_BLOCK", 2)
    np.testing.assert_allclose(model.explain(X[:5], method), maps, rtol=1e-4, atol=1e-6 * maps.max())


def test_several_threads_may_ask_and_score_at_once():
    model, X = fitted("one-class")
    asked = [("residual", 0), ("exchange", 10), ("smoothgrad", 20), ("exchange", 30), ("gradient", 40)] * 4
    alone, scores = [model.explain(X[i : i + 8], method) for method, i in asked], model.anomaly_score(X)
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda ask: model.explain(X[ask[1] : ask[1] + 8], ask[0]), asked)
        scored = pool.map(lambda _: model.anomaly_score(X), range(8))
        for got, expected in zip(together, alone):
            np.testing.assert_array_equal(got, expected)
        for got in scored:
            np.testing.assert_array_equal(got, scores)


def test_what_an_exchange_saves_is_an_expectation(rng):
    mu, sigma = np.array([-2.0, -0.3, 0, 0.4, 3, 1, -1]), np.array([1, 2, 0.5, 1, 0.2, 0, 0])
    drawn = np.maximum(0, mu + sigma * rng.standard_normal((200_000, 7))).mean(axis=0)
    np.testing.assert_allclose(explaining.exchange(mu, sigma), drawn, atol=0.01)
    assert explaining.exchange(mu, sigma)[-2:].tolist() == [1, 0]
    assert explaining.exchange(np.array([-100.0]), np.array([1.0])) >= 0
    assert explaining.exchange(np.array([0.0]), np.array([1.0]))[0] == pytest.approx(norm.pdf(0))


def test_mean_and_variance_of_an_exchange_are_those_of_the_images_pixels(rng):
    """r runs over all pixels of the image, with all its channels at once."""
    g, X = rng.standard_normal((2, 2, 3, 4, 5))
    mu, sigma = explaining.first_order(g, X)
    for n, i, j in np.ndindex(2, 4, 5):
        d = [g[n, :, i, j] @ (X[n, :, i, j] - X[n, :, k, m]) for k, m in np.ndindex(4, 5)]
        assert mu[n, i, j] == pytest.approx(np.mean(d))
        assert sigma[n, i, j] == pytest.approx(np.std(d))


def test_the_average_of_many_gradients_of_a_line_is_its_slope(rng):
    slope, X = rng.standard_normal((2, 1, 4, 5)), rng.standard_normal((2, 1, 4, 5))
    std = np.array([3.0, 0.5]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(explaining.mean_gradient(lambda x: slope, X, std, rng), slope)
    seen = []
    explaining.mean_gradient(lambda x: seen.append(x - X) or slope, X, std, rng)
    assert len(seen) == explaining.DRAWS
    assert np.std(seen, axis=(0, 2, 3, 4)) == pytest.approx(explaining.NOISE * std.ravel(), rel=0.3)


def test_occlusion_finds_the_only_pixels_that_count(rng):
    """The score is what 3 x 3 pixels hold; all others may be exchanged for nothing."""
    X = 0.1 * rng.random((3, 2, 30, 25))
    X[:, :, 10:13, 5:8] += 5
    maps = explaining.occlusion(lambda x: x[:, :, 10:13, 5:8].sum(axis=(1, 2, 3)), X, rng)
    mask = np.zeros((3, 30, 25), bool)
    mask[:, 9:14, 4:9] = True  # windows of 2
    assert maps[~mask].max() < 1e-12
    assert maps[:, 10:13, 5:8].min() > 0


def test_occlusion_of_features(rng):
    X, weights = rng.standard_normal((4, 6)), np.arange(6.0)
    saved = explaining.occlusion_of_features(lambda x: x @ weights, X, np.full(6, 0.5))
    np.testing.assert_allclose(saved, np.maximum(0, weights * (X - 0.5)), atol=1e-12)


def test_smoothing_keeps_the_sum_and_can_be_left_out():
    model, X = fitted("one-class")
    rough = model.explain(X[:4], "gradient", smoothing=0)
    for smoothing in (1 / 16, 0.5):
        smooth = model.explain(X[:4], "gradient", smoothing=smoothing)
        np.testing.assert_allclose(smooth.sum(axis=(1, 2)), rough.sum(axis=(1, 2)))
        assert (smooth.std(axis=(1, 2)) < rough.std(axis=(1, 2))).all()


def test_the_residual_is_the_autoencoders_score_pixel_by_pixel():
    model, X = fitted("one-class")
    maps = model.explain(X, "residual", smoothing=0)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), model.autoencoder_.anomaly_score(X), rtol=1e-6)
    np.testing.assert_array_equal(model.explain(X, smoothing=0), maps)  # auto


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("method", ["exchange", "occlusion"])
def test_the_feature_that_is_wrong_is_to_blame(method):
    model, X = fitted("features")
    wrong = X.copy()
    column = int(np.argmax(X.std(axis=0)))
    wrong[:, column] += 12 * X[:, column].std()
    worst = model.explain(wrong, method).argmax(axis=1)
    assert (worst == column).mean() > 0.9


@pytest.mark.parametrize("method", ["exchange", "smoothgrad", "gradient", "occlusion"])
def test_an_offset_of_all_features_changes_no_explanation(method, rng):
    """Time stamps: float32 would make all of them one number."""
    X, offset = rng.normal(size=(60, 4)), 2.0**31
    X += offset
    X -= offset  # what is left of the digits behind it
    near, far = (DeepSVDD(pretrain_epochs=0, epochs=3, verbose=0).fit(samples) for samples in (X, X + offset))
    shares = near.explain(X, method=method)
    assert shares.max() > 0
    np.testing.assert_allclose(far.explain(X + offset, method=method), shares, rtol=1e-2, atol=1e-3 * shares.max())


@pytest.mark.parametrize("method", ["exchange", "smoothgrad", "gradient", "occlusion"])
def test_a_feature_in_other_units_takes_no_other_share(method, rng):
    """Metres or micrometres: a share per unit is smaller, noise and exchanges are in the feature's own units."""
    X, unit = rng.normal(size=(60, 4)), np.array([1.0, 1.0, 2.0**20, 1.0])
    one, other = (DeepSVDD(pretrain_epochs=0, epochs=3, verbose=0).fit(samples) for samples in (X, X * unit))
    shares, others = one.explain(X, method=method), other.explain(X * unit, method=method)
    per_unit = unit if method in ("smoothgrad", "gradient") else 1
    np.testing.assert_allclose(others * per_unit, shares, rtol=1e-2, atol=1e-3 * shares.max())


def test_detectors_without_a_gradient_have_occlusion(rng):
    train = digits().train
    model = KernelDensity().fit(train)
    damaged = train[:6].copy()
    damaged[:, :, 2:4, 0:2] = 1
    mask = np.zeros((6, 8, 8), bool)
    mask[:, 2:4, 0:2] = True
    assert pixel_auc(model.explain(damaged), mask) > 0.9
    one_line_error(lambda: model.explain(train[:1], "exchange"), "KernelDensity", "occlusion", error=ValueError)


def test_anogan_shows_where_the_nearest_generated_image_differs():
    train = digits().train
    model = AnoGAN(latent_dim=4, epochs=1, search_steps=3, verbose=0).fit(train)
    nearest = model.generate(model.search(train[:3]).z)
    np.testing.assert_allclose(
        model.explain(train[:3], smoothing=0), np.abs(train[:3] - nearest).sum(axis=1), rtol=1e-6
    )


def test_what_cannot_be_explained_is_refused_in_one_line():
    model, X = fitted("one-class")
    for call, words in (
        (lambda: model.explain(X, "lime"), ("method='lime'", "occlusion")),
        (lambda: model.explain(X[:, :, :5]), ("shape", "(1, 8, 8)")),
        (lambda: model.explain(X, smoothing=-1), ("smoothing=-1",)),
        (lambda: model.explain(X, random_state="x"), ("random_state='x'",)),
        (lambda: small_model(epochs=1).fit(X).explain(X, "residual"), ("residual", "exchange")),
    ):
        one_line_error(call, *words, error=ValueError)
    with pytest.raises(NotFittedError):
        DeepSVDD().explain(X)
    assert model.explain(X[:0]).shape == (0, 8, 8)


@pytest.mark.skipif(bool(backend_problems()["emulator"]), reason="no compiler for the emulator")
@pytest.mark.slow
def test_the_same_on_kernels():
    X = digits().train[:40]
    host = small_model(epochs=1, pretrain_epochs=1).fit(X)
    kernels = small_model(epochs=1, pretrain_epochs=1, backend="emulator").fit(X)
    for method in ("residual", *GRADIENTS):
        expected = host.explain(X[:3], method)
        np.testing.assert_allclose(kernels.explain(X[:3], method), expected, rtol=0.05, atol=0.02 * expected.max())


def waves(rng, n, size=24):
    """Textures (n, 3, size, size) in [0, 1]."""
    y, x = np.mgrid[:size, :size] / size * 8
    a, b = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    grey = 0.5 + 0.2 * np.sin(x + a) * np.sin(y + b) + rng.normal(0, 0.03, (n, size, size))
    return (grey[:, None] * np.array([1, 0.8, 0.6])[:, None, None]).astype(np.float32)


@pytest.mark.slow
def test_defects_of_known_place_are_found():
    """A dark square, and a spot where the pattern is missing; a little of a training is enough for both methods."""
    rng = np.random.default_rng(0)
    arguments = {"learning_rate": 1e-3, "batch_size": 16, "milestones": (), "pretrain_milestones": (), "verbose": 0}
    model = DeepSVDD(pretrain_epochs=10, epochs=10, **arguments).fit(waves(rng, 96))
    images, masks = waves(rng, 24), np.zeros((24, 24, 24), bool)
    for n, (row, column) in enumerate(rng.integers(2, 17, (24, 2))):
        masks[n, row : row + 5, column : column + 5] = True
        images[n][:, masks[n]] = 0.15 if n % 2 else np.array([[0.5], [0.4], [0.3]])
    squares = slice(1, None, 2)
    assert pixel_auc(model.explain(images), masks) > 0.95
    assert pixel_auc(model.explain(images, "exchange"), masks) > 0.65
    assert pixel_auc(model.explain(images[squares], "exchange"), masks[squares]) > 0.9
    assert pixel_auc(model.explain(images[1::4], "occlusion"), masks[1::4]) > 0.9
