"""The trainer: plans, epochs that start and finish, history, hooks, other samples on the way, on every backend."""

import numpy as np
import pytest

from minisvdd import Autoencoder, DeepSVDD
from minisvdd.backends import EmulatorBackend, backend_problems, get_backend
from minisvdd.nn.layers import LeakyReLU, Linear
from minisvdd.nn.losses import MeanSquaredError, OneClass, SoftmaxCrossEntropy
from minisvdd.nn.networks import Sequential
from minisvdd.nn.training import Plan, Training

_PROBLEM = backend_problems()["emulator"]
X = np.random.default_rng(0).standard_normal((22, 4), np.float32)
PLAN = Plan(epochs=3, learning_rate=1e-2, milestones=(2,), batch_size=8)


@pytest.fixture(
    params=["numpy", pytest.param("emulator", marks=pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM)))]
)
def place(request):
    return EmulatorBackend(check=False) if request.param == "emulator" else get_backend(request.param)


def network(place, outputs=4):
    built = Sequential([Linear(5), LeakyReLU(0.1), Linear(outputs)])
    built.build((4,), np.random.default_rng(0), backend=place)
    return built


def training(place, loss=None, plan=PLAN, **options):
    return Training(network(place), loss or MeanSquaredError(place), X, plan, np.random.default_rng(1), **options)


def weights(each):
    return [each.network.backend.to_numpy(array).copy() for array in each.network.params.values()]


def test_an_epoch_is_started_and_finished(place):
    each, whole = training(place), training(place).run()
    each.finish_epoch()  # nothing was started
    assert each.epoch == 0
    for epoch in range(3):
        assert not each.is_done
        each.start_epoch()
        with pytest.raises(RuntimeError, match=f"epoch {epoch + 1} has been started already"):
            each.start_epoch()
        each.finish_epoch()
        assert each.epoch == epoch + 1
    assert each.is_done
    each.start_epoch()  # none is left
    each.finish_epoch()
    assert each.history["loss"] == whole.history["loss"]
    for one, other in zip(weights(each), weights(whole)):
        np.testing.assert_array_equal(one, other)


def test_history_notes_every_epoch_once(place, capsys):
    columns = {"largest": lambda training: float(max(map(np.max, training.per_sample)))}
    each = training(place, columns=columns, label="mine", verbose=1)
    assert list(each.history.values()) == [[]] * 5
    history = each.run().history
    assert list(history) == ["epoch", "loss", "largest", "learning_rate", "seconds"]
    assert history["epoch"] == [1, 2, 3]
    np.testing.assert_allclose(history["learning_rate"], [1e-2, 1e-2, 1e-3])
    assert all(s > 0 for s in history["seconds"])
    assert all(largest > loss for largest, loss in zip(history["largest"], history["loss"]))
    assert "mine, epoch 3/3  loss" in capsys.readouterr().err


def test_the_samples_shares_are_those_of_the_loss(place):
    """With a learning rate near 0 they are the distances of the network as drawn, in the batches' order."""
    center = np.full(4, 0.5, np.float32)
    each = training(place, OneClass(place.asarray(center), place), Plan(1, 1e-12, batch_size=8)).run()
    drawn = place.to_numpy(network(place).forward(place.asarray(X)))
    expected = ((drawn - center) ** 2).sum(axis=1)
    assert [(len(shares), shares.dtype) for shares in each.per_sample] == [(8, float), (8, float), (6, float)]
    assert each.last_batch is each.per_sample[-1]
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_allclose(np.concatenate(each.per_sample), expected[order], rtol=1e-5)


def test_before_epoch_may_bring_other_samples(place):
    """What is trained on is what was loaded: here what the other training has from the beginning."""

    def load(each):
        seen.append(each.epoch)
        each.load(X)

    seen = []
    other = Training(
        network(place), MeanSquaredError(place), np.zeros_like(X), PLAN, np.random.default_rng(1), before_epoch=load
    ).run()
    assert seen == [0, 1, 2]
    for one, two in zip(weights(other), weights(training(place).run())):
        np.testing.assert_array_equal(one, two)


def test_targets_follow_their_samples(place):
    """Labels go with the samples of their batch: a classifier learns them, and no others."""
    labels = (X[:, 0] > 0).astype(int)
    built = network(place, outputs=2)
    plan = Plan(60, 1e-2, batch_size=8)
    Training(built, SoftmaxCrossEntropy(place), X, plan, np.random.default_rng(1), targets=labels).run()
    found = place.to_numpy(built.forward(place.asarray(X))).argmax(axis=1)
    assert (found == labels).all()
    swapped = Training(network(place, 2), SoftmaxCrossEntropy(place), X, PLAN, np.random.default_rng(1), targets=labels)
    swapped.before_epoch = lambda t: t.load(X, 1 - labels)
    alone = Training(
        network(place, 2), SoftmaxCrossEntropy(place), X, PLAN, np.random.default_rng(1), targets=1 - labels
    )
    assert swapped.run().history["loss"] == alone.run().history["loss"]


@pytest.mark.skipif(bool(_PROBLEM), reason=str(_PROBLEM))
def test_targets_that_are_no_labels_reach_a_device():
    losses = []
    for place in (get_backend("numpy"), EmulatorBackend(check=False)):
        rng, targets = np.random.default_rng(1), np.tanh(X).astype(np.float64)
        each = Training(network(place), MeanSquaredError(place), X, PLAN, rng, targets=targets)
        losses.append(each.run().history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert not np.allclose(losses[0], training(get_backend("numpy")).run().history["loss"], rtol=0.01)


# Plans


def test_the_rate_falls_at_the_milestones():
    plan = Plan(epochs=5, learning_rate=1.0, milestones=(2, 4))
    np.testing.assert_allclose([plan.rate(epoch) for epoch in range(5)], [1, 1, 0.1, 0.1, 0.01])


def test_a_plan_comes_from_an_estimators_arguments():
    model = DeepSVDD(
        epochs=7, pretrain_epochs=3, learning_rate=1e-3, milestones=(5,), pretrain_milestones=(2,), weight_decay=0.1,
        pretrain_weight_decay=0.2, batch_size=9,
    )  # fmt: skip
    assert Plan.of(model) == Plan(7, 1e-3, (5,), 0.1, 9)
    assert Plan.of(model, "pretrain_") == Plan(3, 1e-3, (2,), 0.2, 9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": -1}, "epochs=-1: expected an integer >= 0"),
        ({"epochs": 1.5}, "epochs=1.5: expected an integer >= 0"),
        ({"learning_rate": 0}, "learning_rate=0: expected a number > 0"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1: expected a number >= 0"),
        ({"batch_size": 0}, "batch_size=0: expected an integer >= 1"),
        ({"milestones": 5}, "milestones=5: expected a sequence of epochs >= 0"),
        ({"milestones": (5, -1)}, r"milestones=\(5, -1\): expected a sequence of epochs >= 0"),
    ],
)
def test_values_that_mean_no_training_are_refused(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Plan(**{"epochs": 1, **arguments})
    with pytest.raises(ValueError, match=f"^{words}"):
        Autoencoder(**arguments).fit(X)
    name, value = next(iter(arguments.items()))
    if name in ("epochs", "weight_decay", "milestones"):
        with pytest.raises(ValueError, match=f"^pretrain_{words}"):
            DeepSVDD(**{f"pretrain_{name}": value}).fit(X)
