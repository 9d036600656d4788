"""Properties that every correct trainer has, as functions that raise AssertionError where one is violated.

`test_svdd.py` asks them of the library; `mutants/test_trainer_mutants.py` plants an error for each and expects a
violation.
"""

import numpy as np

from minisvdd import DeepSVDD
from minisvdd.data.datasets import load_dataset
from minisvdd.experiments.experiments import area_under_roc
from minisvdd.nn.batches import outputs
from minisvdd.nn.losses import MeanSquaredError
from minisvdd.nn.networks import make_encoder
from minisvdd.nn.optim import Adam
from minisvdd.svdd.preprocessing import make_preprocessing

EPOCHS = 30


def digits(normal_class="3"):
    """The embedded digits, one class against the rest."""
    return load_dataset("digits").one_class(normal_class)


def small_model(**changes):
    """A quick Deep SVDD for the digits: the arguments that most tests share."""
    arguments = {
        "network": "digits_lenet",
        "pretrain_epochs": 0,
        "epochs": EPOCHS,
        "milestones": (),
        "learning_rate": 1e-3,
        "batch_size": 32,
        "preprocessing": "gcn-l1",
        "threshold": "nu",
        "verbose": 0,
    }
    return DeepSVDD(**{**arguments, **changes})


def training_beats_epoch_0():
    """The trained network ranks the test set better than the same network with random weights, and its loss falls."""
    split = digits()
    auc = {}
    model = small_model().fit(
        split.train, on_stage=lambda stage, fitted: auc.update({stage: area_under_roc(fitted, split)})
    )
    losses = model.history_["loss"]
    assert losses[-1] < 0.3 * losses[0], f"the loss went from {losses[0]} to {losses[-1]}"
    assert auc["trained"] > auc["random"] + 0.05, auc
    assert auc["trained"] > 0.95, auc


def centre_is_the_mean_output():
    """c = mean phi(x_train) of the network as drawn, except for coordinates that the epsilon rule moves."""
    split = digits()
    model = small_model(epochs=0, center_epsilon=0.1).fit(split.train)
    mean = outputs(model.network_, model.preprocessing_.transform(split.train)).mean(axis=0, dtype=np.float64)
    kept = np.abs(mean) >= 0.1
    assert kept.sum() > 5
    np.testing.assert_allclose(model.center_[kept], mean[kept], rtol=1e-12)
    np.testing.assert_allclose(np.abs(model.center_[~kept]), 0.1)
    assert np.all(np.sign(model.center_) == np.sign(mean))


def radius_splits_the_training_set_at_nu():
    """Proposition 4 for the fitted model: #{d > R^2} / n <= nu <= #{d >= R^2} / n, for several nu."""
    train = digits().train
    for nu in (0.05, 0.1, 0.35):
        model = small_model(objective="soft-boundary", nu=nu, epochs=6, radius_every=2).fit(train)
        d = ((outputs(model.network_, model.preprocessing_.transform(train)) - model.center_) ** 2).sum(axis=1)
        R2, slack = model.radius_**2, 1e-9 * model.radius_**2
        assert np.mean(d > R2 + slack) <= nu + 1e-12, f"nu={nu}: {np.mean(d > R2 + slack)} outside"
        assert np.mean(d >= R2 - slack) >= nu - 1e-12, f"nu={nu}: {np.mean(d >= R2 - slack)} outside or on"


def radius_in_training_is_squared_once():
    """The radius that training works with leaves about nu of the samples outside, right after each solution for R.

    With R in place of R^2 the fraction is far off wherever R is far from 1.
    """
    for scale in (0.05, 20.0):
        model = small_model(objective="soft-boundary", nu=0.2, network=scaled_network(scale), epochs=1).fit(
            digits().train
        )
        assert abs(model.history_["fraction_outside"][0] - 0.2) < 0.15, (scale, model.history_["fraction_outside"])


def scaled_network(scale):
    """A digits network whose outputs, and hence R, are `scale` times as large as usual."""
    from minisvdd.nn.layers import Flatten, Layer, Linear
    from minisvdd.nn.networks import Sequential

    class Scale(Layer):
        def forward(self, x, training=False):
            return scale * x

        def backward(self, grad_output, need_input=True, need_params=True):
            return scale * grad_output

    return Sequential([Flatten(), Linear(8), Scale()])


def weight_decay_counts_once():
    """Where the loss has no gradient, one step of Adam with decay lambda is one step on the gradient lambda W.

    With plain gradient steps that shows as W (1 - rate lambda); Adam is asked for its moment, (1 - beta1) lambda W.
    """
    network = make_encoder("digits_lenet", (1, 8, 8))
    network.build((1, 8, 8), np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).random((4, 1, 8, 8))
    y = network.forward(x, training=True)
    before = {name: value.copy() for name, value in network.params.items()}
    network.backward(MeanSquaredError()(y, y)[1], need_input=False)
    optimizer = Adam(network, learning_rate=1e-3, weight_decay=0.25)
    optimizer.step()
    for name, weight in before.items():
        np.testing.assert_allclose(optimizer.first_moment[name], 0.1 * 0.25 * weight, rtol=1e-9)


def constants_come_from_the_training_set():
    """Pre-processing constants are those of the training samples, and scoring other samples does not change them."""
    split = digits()
    model = small_model(epochs=1).fit(split.train)
    expected = make_preprocessing("gcn-l1").fit(split.train).constants
    alone = model.anomaly_score(split.test[:50])
    model.anomaly_score(np.concatenate([split.test, 1 - split.test]))
    assert model.preprocessing_.constants == expected
    np.testing.assert_array_equal(model.anomaly_score(split.test[:50]), alone)
