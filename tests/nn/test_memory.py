"""The memory of a training step is known before it: against the memory that one takes, and when it is not there."""

import numpy as np
import pytest

from minisvdd import Autoencoder, DeepSVDD, nn
from minisvdd.nn import batches
from minisvdd.nn.optim import Adam
from minisvdd.nn.steps import HostSteps


def built(make, shape):
    network = make(nn.network_for(shape), shape)
    network.build(shape, np.random.default_rng(0))
    return network


def test_activations_are_the_numbers_that_layers_put_out():
    network = nn.Sequential([nn.Conv2D(3, 3), nn.Sequential([nn.MaxPool2D(2), nn.Flatten()]), nn.Linear(5)])
    assert network.activations == 0
    network.build((1, 8, 8), np.random.default_rng(0))
    assert network.activations == 3 * 6 * 6 + 2 * 3 * 3 * 3 + 5


@pytest.mark.parametrize(
    ("make", "shape", "size"),
    [
        (nn.make_autoencoder, (1, 28, 28), 200),
        (nn.make_autoencoder, (3, 32, 32), 60),
        (nn.make_autoencoder, (1, 64, 64), 16),
        (nn.make_autoencoder, (3, 100, 101), 8),
        (nn.make_encoder, (1, 96, 97), 8),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_estimate_is_near_what_a_step_takes(make, shape, size):
    """The workspace of a step, in which all of its large arrays lie; scratch of the threads comes on top."""
    network = built(make, shape)
    X = np.random.default_rng(0).random((size, *shape), np.float32)
    targets = np.zeros((size, *network.output_shape), np.float32)
    steps = HostSteps(network, nn.MeanSquaredError(), Adam(network, 1e-3, 0), X, targets)
    steps.start([np.arange(size)])
    taken, estimate = steps._workspace.nbytes, batches.step_bytes(network, size) - batches._SCRATCH
    assert 0.6 * estimate < taken < 1.1 * estimate


def test_a_training_that_does_not_fit_is_refused_with_a_batch_that_would(monkeypatch):
    X = np.random.default_rng(0).random((64, 1, 16, 16), np.float32)
    network = built(nn.make_autoencoder, X.shape[1:])
    for least in (40, 16):
        monkeypatch.setattr(batches, "available_bytes", lambda n=least: batches.step_bytes(network, n))
        for model in (DeepSVDD(pretrain_epochs=1, batch_size=64), Autoencoder(epochs=1, batch_size=500)):
            with pytest.raises(ValueError, match=rf"takes about .* GB are free: use batch_size={least}$") as caught:
                model.set_params(verbose=0, threshold="nu").fit(X)
            assert str(caught.value).startswith("batch_size=64: a training step on so many samples (1, 16, 16)")
    Autoencoder(epochs=1, batch_size=16, threshold="nu", verbose=0).fit(X)
    monkeypatch.setattr(batches, "available_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="make the samples smaller"):
        Autoencoder(epochs=1, verbose=0).fit(X)
    monkeypatch.setattr(batches, "available_bytes", lambda: None)
    Autoencoder(epochs=1, verbose=0).fit(X)


def test_a_large_step_is_announced(monkeypatch, capsys):
    X = np.random.default_rng(0).random((8, 1, 16, 16), np.float32)
    monkeypatch.setattr("minisvdd.nn.training._MUCH", 1e6)
    Autoencoder(epochs=1, verbose=0).fit(X)
    assert capsys.readouterr().err == ""
    DeepSVDD(pretrain_epochs=1, epochs=1, milestones=(), threshold="nu", verbose=1).fit(X)
    assert "autoencoder: a step takes about 0.0 GB of memory\n" in capsys.readouterr().err
