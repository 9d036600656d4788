"""Numbers at the edge: divergence is located, extreme samples handled or refused, precision and threads measured."""

import numpy as np
import pytest
from helpers_data import one_line_error
from trainer_properties import digits, small_model

from minisvdd import Autoencoder, CollapseWarning, DeepSVDD
from minisvdd.backends.threads import use_threads
from minisvdd.nn.layers import BatchNorm, Flatten, Layer, LeakyReLU, Linear
from minisvdd.nn.losses import MeanSquaredError
from minisvdd.nn.networks import Sequential, make_autoencoder
from minisvdd.nn.training import Plan, Training


class Fault(Layer):
    """The identity, which breaks in its `step`-th training step: forward, backward or the gradient of its parameter."""

    def __init__(self, where, step):
        super().__init__()
        self.where, self.step, self.count = where, step, 0

    def _build(self, input_shape, rng, dtype):
        self.params["weight"] = np.zeros(1, dtype)
        return input_shape

    def forward(self, x, training=False):
        self.count += training
        return self._broken(x, "forward")

    def backward(self, grad_output, need_input=True, need_params=True):
        self.grads["weight"] = self._broken(np.zeros(1, np.float32), "parameter")
        return self._broken(grad_output, "backward")

    def _broken(self, array, where):
        # Steps are numbered from where the diagnosis starts again, too.
        if where == self.where and (self.count - 1) % 7 + 1 == self.step:
            array = array.copy()
            array.flat[0] = np.inf
        return array


def diverging(where, step=5, epochs=2):
    """Train on 7 batches an epoch; returns the message of the error."""
    rng = np.random.default_rng(0)
    X = rng.random((28, 4), np.float32)
    inner = Sequential([Linear(3), Fault(where, step), BatchNorm()])
    network = Sequential([inner, Linear(4)])
    network.build((4,), rng)
    training = Training(network, MeanSquaredError(), X, Plan(epochs, 1e-3, batch_size=4), rng)
    with pytest.raises(FloatingPointError) as caught, np.errstate(all="ignore"):
        training.run()
    return str(caught.value)


@pytest.mark.parametrize(
    ("where", "array"),
    [
        ("forward", "the output of layer 0.1 (Fault) has 1 of 12 values"),
        ("backward", "the gradient layer 0.1 (Fault) passes has 1 of 12 values"),
        ("parameter", "layer 0.1 (Fault): the gradient of 'weight' has 1 of 1 values"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 7])
def test_the_first_array_that_is_not_finite_is_named(where, array, step):
    message = diverging(where, step)
    assert f"epoch 1, batch {step} of 7: {array}" in message
    assert "\n" not in message


def test_a_loss_whose_gradient_is_not_finite_is_named():
    """Its value says nothing: the next step would spoil the weights."""

    def loss(outputs, targets):
        return 1.0, np.full_like(outputs, np.inf), None

    rng = np.random.default_rng(0)
    network = Sequential([Linear(4)])
    network.build((4,), rng)
    training = Training(network, loss, rng.random((8, 4), np.float32), Plan(1, 1e-3, batch_size=4), rng)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="batch 1 of 2: the gradient of the loss"):
        training.run()


def test_a_step_too_large_shows_in_the_next_loss():
    with (
        pytest.raises(FloatingPointError, match="epoch 1, batch 2 of 3: the loss, of outputs up to") as caught,
        np.errstate(all="ignore"),
    ):
        small_model(network=Sequential([Flatten(), Linear(4)]), learning_rate=1e30, epochs=5).fit(digits().train)
    assert "learning_rate=1e+30" in str(caught.value)


def test_weights_that_overflow_in_a_step_are_named():
    rng = np.random.default_rng(0)
    network = Sequential([Linear(3), Linear(4)])
    network.build((4,), rng)
    training = Training(network, MeanSquaredError(), rng.random((7, 4), np.float32), Plan(1, 1e39, batch_size=7), rng)
    words = "epoch 1, batch 1 of 1: layer 0 .Linear., after the step: 'weight'"
    with pytest.raises(FloatingPointError, match=words), np.errstate(all="ignore"):
        training.run()


def test_a_healthy_training_is_not_changed_by_the_watch():
    """`EpochStart` only copies: the same weights come out as from the plain steps."""
    from minisvdd.nn.batches import shuffled_batches
    from minisvdd.nn.optim import Adam
    from minisvdd.nn.training import train_epoch

    X, results = np.random.default_rng(0).random((30, 4), np.float32), []
    for watched in (True, False):
        rng = np.random.default_rng(1)
        network = Sequential([Linear(3), LeakyReLU(0.1), Linear(4)])
        network.build((4,), rng)
        if watched:
            Training(network, MeanSquaredError(), X, Plan(3, 1e-2, batch_size=8), rng).run()
        else:
            optimizer = Adam(network, 1e-2)
            for _ in range(3):
                train_epoch(network, MeanSquaredError(), optimizer, X, shuffled_batches(30, 8, rng))
        results.append(network.params)
    for name, array in results[0].items():
        np.testing.assert_array_equal(array, results[1][name])


# Extreme samples


def quick(cls, preprocessing, **changes):
    network = "mlp" if preprocessing == "standardize" else "digits_lenet"
    extra = {"pretrain_epochs": 1} if cls is DeepSVDD else {}
    return cls(network=network, epochs=2, batch_size=50, preprocessing=preprocessing, verbose=0, **extra, **changes)


def shaped(X, preprocessing):
    return X.reshape(len(X), -1) if preprocessing == "standardize" else X


@pytest.mark.parametrize("cls", [DeepSVDD, Autoencoder])
@pytest.mark.parametrize("preprocessing", ["gcn-l1", "standardize"])
@pytest.mark.parametrize("scale", [1e30, 3e38, 1e-36, 1e-42])
def test_scale_is_no_matter_with_preprocessing(cls, preprocessing, scale):
    """From the largest float32 to denormals (1e-42 has 10 bits left): scores are those of the plain images."""
    X = shaped(digits().train, preprocessing)
    plain = quick(cls, preprocessing).fit(X).anomaly_score(X)
    scaled = (X * np.float32(scale)).astype(np.float32)
    extreme = quick(cls, preprocessing).fit(scaled).anomaly_score(scaled)
    np.testing.assert_allclose(extreme, plain, rtol=0.1 if scale < 1e-40 else 1e-3)


@pytest.mark.parametrize("cls", [DeepSVDD, Autoencoder])
def test_values_that_overflow_without_preprocessing_are_located(cls):
    with np.errstate(all="ignore"):
        for scale in (1e30, 3e38):
            with pytest.raises(FloatingPointError) as caught:
                quick(cls, None).fit(digits().train * np.float32(scale))
            assert "epoch 1, batch 1 of 2" in str(caught.value)
            assert "NaN or infinite" in str(caught.value)
            assert "scale the data" in str(caught.value)


@pytest.mark.parametrize("preprocessing", ["gcn-l1", None])
def test_a_sample_that_overflows_is_refused_and_named(preprocessing):
    train = digits().train
    model = small_model(epochs=1, preprocessing=preprocessing).fit(train)
    X = train[:4].copy()
    X[2] = np.where(X[2] > 0, np.float32(3.3e38), np.float32(-3.3e38))
    with np.errstate(all="ignore"):
        one_line_error(lambda: model.anomaly_score(X), "sample 2", "3.3e+38", error=ValueError)


@pytest.mark.parametrize("preprocessing", ["gcn-l1", "standardize", None])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_images_are_handled_and_said_to_collapse(preprocessing, value):
    X = shaped(np.full((40, 1, 8, 8), value, np.float32), preprocessing)
    with pytest.warns(CollapseWarning):
        model = quick(DeepSVDD, preprocessing).fit(X)
    scores = model.anomaly_score(X)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, scores[0], rtol=1e-4)
    assert (scores <= (1 + 1e-4) * model.threshold_).all()  # so near c, a place in the batch shows in the fifth digit


def test_a_constant_image_among_others(rng):
    model = small_model(epochs=3).fit(np.concatenate([digits().train, np.zeros((2, 1, 8, 8), np.float32)]))
    scores = model.anomaly_score(np.concatenate([digits().train[:5], np.full((1, 1, 8, 8), 7, np.float32)]))
    assert np.isfinite(scores).all()


# Whole trainings: threads and precision


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_a_whole_training_does_not_depend_on_the_number_of_threads(objective):
    """Pre-training, centre, radius, training and scores, on images large enough to be cut into blocks."""
    X = np.random.default_rng(0).random((60, 1, 28, 28), np.float32)
    results = []
    for n in (1, 2, 3):
        with use_threads(n):
            model = DeepSVDD(
                objective=objective, pretrain_epochs=1, epochs=2, radius_every=1, batch_size=30, verbose=0,
                preprocessing="gcn-l1",
            ).fit(X)  # fmt: skip
            results.append([model.anomaly_score(X), model.center_, *model.network_.params.values()])
    for several in results[1:]:
        for one, other in zip(results[0], several):
            np.testing.assert_array_equal(one, other)


def drift(epochs):
    """Relative difference of the weights, and of the loss, between training in float32 and in float64."""
    X = digits().train
    ends = []
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        network = make_autoencoder("digits_lenet", X.shape[1:])
        network.build(X.shape[1:], rng, dtype=dtype)
        plan = Plan(epochs, learning_rate=1e-3, weight_decay=1e-6, batch_size=32)
        losses = Training(network, MeanSquaredError(), X.astype(dtype), plan, rng).run().history["loss"]
        ends.append((np.concatenate([p.ravel() for p in network.params.values()]).astype(np.float64), losses[-1]))
    (single, loss), (double, exact) = ends
    return float(np.linalg.norm(single - double) / np.linalg.norm(double)), abs(loss - exact) / exact


def test_float32_stays_close_to_float64_over_a_whole_training():
    weights, loss = drift(epochs=30)
    assert 0 < weights < 1e-3
    assert loss < 1e-4
