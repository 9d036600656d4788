"""Planted errors in the trainer: each must violate the property that is meant to catch it."""

from types import SimpleNamespace

import numpy as np
import pytest
import trainer_properties as properties

from minisvdd.backends import NUMPY
from minisvdd.nn.networks import Sequential
from minisvdd.ops import adam
from minisvdd.svdd import center, preprocessing, radius, svdd


def remove_backward(monkeypatch):
    """The gradients are never computed: what one popular detector shipped for two years."""

    def backward(self, grad_output, need_input=True, need_params=True):
        for layer in self.layers:
            for name, value in layer.params.items():
                layer.grads[name] = np.zeros_like(value)

    monkeypatch.setattr(Sequential, "backward", backward)


def centre_at_zero(monkeypatch):
    monkeypatch.setattr(center, "mean_output", lambda network, X: np.zeros(network.output_shape))


def radius_for_its_square(monkeypatch):
    """The loss gets R where it expects R^2."""
    monkeypatch.setitem(svdd.RADIUS_RULES, "exact", lambda d, nu: np.sqrt(radius.exact_radius_squared(d, nu)))


def radius_of_the_last_batch(monkeypatch):
    def rule(self, X, last_batch):
        d = self._squared_distances(X) if last_batch is None else last_batch
        return radius.quantile_radius_squared(d, self.nu)

    monkeypatch.setattr(svdd.DeepSVDD, "_solve_radius", rule)


def decay_twice(monkeypatch):
    correct = adam.adam_update.on(NUMPY)

    def update(param, grad, *rest):
        correct(param, grad + rest[-1] * param, *rest)

    monkeypatch.setattr("minisvdd.ops.adam_update", SimpleNamespace(on=lambda backend: update))


def constants_of_the_test_set(monkeypatch):
    correct = preprocessing.ContrastNormalization.transform
    monkeypatch.setattr(preprocessing.ContrastNormalization, "transform", lambda self, X: correct(self.fit(X), X))


MUTANTS = [
    (remove_backward, properties.training_beats_epoch_0),
    (centre_at_zero, properties.centre_is_the_mean_output),
    (radius_for_its_square, properties.radius_in_training_is_squared_once),
    (radius_for_its_square, properties.radius_splits_the_training_set_at_nu),
    (radius_of_the_last_batch, properties.radius_splits_the_training_set_at_nu),
    (decay_twice, properties.weight_decay_counts_once),
    (constants_of_the_test_set, properties.constants_come_from_the_training_set),
]


@pytest.mark.parametrize(("plant", "violated"), MUTANTS, ids=lambda f: f.__name__)
def test_mutant_is_killed(plant, violated, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        violated()
