"""The choices of the authors' first scripts, each as an argument of its own: weights, batches, radius, statistics."""

from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.decomposition import MiniBatchDictionaryLearning

from minisvdd import Autoencoder, DeepSVDD, load_dataset, load_model
from minisvdd.errors import CollapseWarning
from minisvdd.nn import BatchNorm, Conv2D, LeakyReLU, Plan, Training, init
from minisvdd.nn.batches import batch_members
from minisvdd.nn.init import dictionary_filters, leaky_gain
from minisvdd.nn.losses import MeanSquaredError
from minisvdd.nn.networks import make_autoencoder, make_encoder, start_weights
from minisvdd.svdd.detector import FIRST_FILTERS
from minisvdd.svdd.radius import quantile_radius_squared

QUICK = {"network": "digits_lenet", "epochs": 2, "batch_size": 32, "threshold": "nu", "verbose": 0}


@pytest.fixture(scope="module")
def images():
    return load_dataset("digits").one_class("3").train


def first_filters(**options):
    images = load_dataset("digits").one_class("3").train
    model = DeepSVDD(**{**QUICK, "pretrain_epochs": 0, "epochs": 0, **options}).fit(images)
    return model.network_.layers[0].params["weight"], model


# First filters from a dictionary


def patches_by_hand(images, some_images, steps, rng):
    """Patches of 3 x 3, standardised, as many as the steps take, and the seed of the steps."""
    some = images[rng.permutation(len(images))[:some_images]]
    places = [(i, j) for i in range(images.shape[2] - 2) for j in range(images.shape[3] - 2)]
    patches = np.array([x[:, i : i + 3, j : j + 3].ravel() for x in some for i, j in places], float)
    drawn = rng.integers(len(patches), size=10 * steps)
    deviation = patches.std(axis=0)
    Z = (patches[drawn] - patches.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return Z, int(rng.integers(1 << 31))


def by_hand(n_filters, seed):
    options = {"alpha": 1, "batch_size": 10, "max_iter": 1, "max_no_improvement": None, "tol": 0}
    return MiniBatchDictionaryLearning(n_filters, **options, random_state=seed)


def test_atoms_are_scikit_learns(images, monkeypatch):
    """The same patches, given to MiniBatchDictionaryLearning by hand; few steps of few images."""
    monkeypatch.setattr(init, "_STEPS", 20)
    monkeypatch.setattr(init, "_IMAGES", 30)
    images = np.concatenate([images[:40], images[40:80]], axis=1)
    filters = dictionary_filters(images, 4, (3, 3), np.random.default_rng(5))
    Z, seed = patches_by_hand(images, 30, 20, np.random.default_rng(5))
    learning = by_hand(4, seed).fit(Z)
    assert learning.n_steps_ == 20
    np.testing.assert_allclose(filters.reshape(4, 18), learning.components_, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(filters.reshape(4, 18), axis=1), 1, rtol=1e-5)
    assert filters.flags.c_contiguous


def test_1000_steps_on_patches_of_500_images(rng, monkeypatch):
    """What scikit-learn is given, of which it learns here a fiftieth: what it makes of all is above."""
    given = []

    class Fiftieth(MiniBatchDictionaryLearning):
        def fit(self, Z):
            given.append((Z, self.get_params()))
            return super().fit(Z[:200])

    monkeypatch.setattr("sklearn.decomposition.MiniBatchDictionaryLearning", Fiftieth)
    images = rng.random((510, 1, 4, 5))
    dictionary_filters(images, 4, (3, 3), np.random.default_rng(5))
    Z, seed = patches_by_hand(images, 500, 1000, np.random.default_rng(5))
    ((patches, arguments),) = given
    np.testing.assert_allclose(patches, Z, rtol=1e-12)
    assert arguments == by_hand(4, seed).get_params()


@pytest.fixture
def few_steps(monkeypatch):
    """A dictionary in a moment, where it does not matter how good it is."""
    monkeypatch.setattr(init, "_STEPS", 20)


def test_mixed_atoms_are_those_of_images_read_as_pixels_of_channels(images, few_steps, monkeypatch):
    """By hand, as the scripts do it: reshaped where axes should change places. Of one channel nothing changes."""
    monkeypatch.setattr(init, "_IMAGES", 30)
    colour = np.concatenate([images[:40], images[40:80]], axis=1)
    filters = dictionary_filters(colour, 4, (3, 3), np.random.default_rng(5), mixed=True)
    pixels = colour.reshape(len(colour), *colour.shape[2:], 2).transpose(0, 3, 1, 2)
    Z, seed = patches_by_hand(pixels, 30, 20, np.random.default_rng(5))
    of_pixels = Z.reshape(-1, 2, 9).transpose(0, 2, 1).reshape(-1, 18)
    atoms = by_hand(4, seed).fit(of_pixels).components_.reshape(4, 2, 3, 3)
    np.testing.assert_allclose(filters, atoms, atol=1e-3)  # entries in another order, an iterative solver
    grey = [dictionary_filters(images, 4, (3, 3), np.random.default_rng(5), mixed) for mixed in (False, True)]
    np.testing.assert_array_equal(*grey)
    start = {"random_state": 3, "first_filters": "mixed dictionary"}
    first = Autoencoder(**{**QUICK, "epochs": 0, **start}).fit(colour).network_.layers[0].layers[0]
    plain = Autoencoder(**{**QUICK, "epochs": 0, **start, "first_filters": "dictionary"}).fit(colour)
    assert not np.allclose(first.params["weight"], plain.network_.layers[0].layers[0].params["weight"])


def test_a_dictionary_is_where_training_starts_and_nothing_else_differs(few_steps):
    drawn, plain = first_filters()
    atoms, model = first_filters(first_filters="dictionary")
    assert np.array_equal(atoms, first_filters(first_filters="dictionary")[0])
    assert not np.array_equal(atoms, first_filters(first_filters="dictionary", random_state=1)[0])
    assert atoms.shape == drawn.shape
    assert not np.allclose(atoms, drawn)
    for name, weights in plain.network_.params.items():
        assert np.array_equal(model.network_.params[name], weights) == (name != "0.weight")


def test_a_dictionary_leaves_decoder_and_batches_as_they_were(images, few_steps):
    models = [Autoencoder(**{**QUICK, "epochs": 0}, first_filters=start).fit(images) for start in FIRST_FILTERS]
    decoders = [model.network_.layers[1].params for model in models]
    assert all(np.array_equal(decoders[0][name], other[name]) for other in decoders for name in other)


@pytest.mark.parametrize("n_filters", [4, 8])
def test_a_dictionarys_filters_lie_row_by_row(n_filters, rng, few_steps):
    """A kernel indexes plain memory: other weights would be copied in every step, which an emulated capture refuses."""
    images = rng.random((20, 1, 12, 12), dtype=np.float32)
    for size in ((3, 3), (5, 5)):
        assert dictionary_filters(images, n_filters, size, rng).flags.c_contiguous


def test_only_a_convolution_can_start_from_a_dictionary(rng):
    with pytest.raises(ValueError, match="first_filters='dictionary' needs a network that begins with Conv2D"):
        DeepSVDD(epochs=0, pretrain_epochs=0, first_filters="dictionary", verbose=0).fit(rng.normal(size=(60, 4)))
    with pytest.raises(ValueError, match="first_filters='words'"):
        DeepSVDD(first_filters="words").fit(rng.normal(size=(60, 4)))


# Gain, scale and shift


def test_the_gain_keeps_the_second_moment_behind_a_leaky_relu(rng):
    x = rng.normal(size=(4, 3, 50, 50))
    for slope in (0.0, 0.01, 0.5, 1.0):
        y = leaky_gain(slope) * LeakyReLU(slope).forward(x)
        assert np.mean(y**2) == pytest.approx(np.mean(x**2), rel=0.02)


def test_the_gain_is_a_factor_on_convolutions_alone():
    network = make_autoencoder("digits_lenet", (1, 8, 8))
    network.build((1, 8, 8), np.random.default_rng(0))
    before = {name: array.copy() for name, array in network.params.items()}
    convolutions = [i for i, layer in enumerate(network.flat_layers()) if isinstance(layer, Conv2D)]
    start_weights(network, None, np.random.default_rng(0), gain=1.5)
    factors = [float(np.mean(network.params[name] / before[name])) for name in before]
    assert sorted({round(factor, 4) for factor in factors}) == [1.0, 1.5]
    assert factors.count(pytest.approx(1.5, rel=1e-6)) == len(convolutions)


def test_affine_gives_every_batch_norm_scale_and_shift():
    for affine in (False, True):
        layers = make_autoencoder("mnist_lenet", (1, 28, 28), affine=affine).flat_layers()
        assert {layer.affine for layer in layers if isinstance(layer, BatchNorm)} == {affine}
    assert [type(a) for a in make_encoder("mlp", (5,), affine=True).layers] == [
        type(a) for a in make_encoder("mlp", (5,)).layers
    ]


def test_a_trainable_shift_is_called_a_bias(images):
    with pytest.warns(CollapseWarning, match="a bias \\(or batch norm's shift\\) permits the constant output c"):
        DeepSVDD(**{**QUICK, "pretrain_epochs": 0, "affine": True}).fit(images)


# Batches that keep their members


@pytest.mark.parametrize(("n", "size", "batches"), [(10, 3, 3), (9, 3, 3), (2, 3, 1), (11, 1, 11)])
def test_a_fixed_partition_has_whole_batches(n, size, batches, rng):
    members = batch_members(n, size, rng)
    assert len(members) == batches
    assert {len(batch) for batch in members} == {min(n, size)}
    assert len(np.unique(np.concatenate(members))) == sum(map(len, members)) <= n


def seen_batches(kind, epochs=4):
    """Which samples a training puts together, epoch by epoch: each sample is its own number."""
    X = np.arange(1, 24, dtype=np.float32)[:, None]
    network = make_encoder("mlp", (1,))
    network.build((1,), np.random.default_rng(0))
    seen = []

    class WatchedError(MeanSquaredError):
        def __call__(self, outputs, targets):
            seen.append(frozenset(int(x) for x in targets[:, 0]))
            return super().__call__(outputs, np.broadcast_to(targets, outputs.shape).copy())

    plan = Plan(epochs=epochs, batch_size=5, batches=kind)
    Training(network, WatchedError(), X, plan, np.random.default_rng(1), targets=X).run()
    per_epoch = len(seen) // epochs
    return [seen[i : i + per_epoch] for i in range(0, len(seen), per_epoch)]


def test_fixed_batches_keep_their_members_and_change_their_order():
    epochs = seen_batches("fixed")
    assert len(epochs[0]) == 4
    assert len({frozenset(epoch) for epoch in epochs}) == 1
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert len({frozenset(epoch) for epoch in seen_batches("shuffled")}) > 1


def test_unknown_batches():
    with pytest.raises(ValueError, match=r"batches='sorted': expected one of \['shuffled', 'fixed'\]"):
        DeepSVDD(batches="sorted").fit(np.zeros((60, 4)))


# The radius before the tenth epoch; statistics as they ran


def test_the_radius_follows_the_quantile_in_the_first_epochs(images):
    model = DeepSVDD("soft-boundary", **{**QUICK, "pretrain_epochs": 0, "epochs": 4, "quantile_epochs": 3})
    expected, radii = [], []
    for training in model.trainings(images):
        move = training.before_epoch

        def watched(training, move=move):
            d = model._squared_distances(training.X)
            move(training)
            expected.append(quantile_radius_squared(d, model.nu))
            radii.append(training.loss.radius_squared)

        training.before_epoch = watched
        training.run()
    assert radii[:3] == expected[:3]
    assert radii[3] == radii[2]  # the next search comes in epoch 5


def test_statistics_may_be_taken_over_from_the_autoencoder(images):
    models = {}
    for statistics in ("collected", "running"):
        centers = {}
        model = DeepSVDD(**QUICK, pretrain_epochs=2, statistics=statistics)
        model.fit(images, on_stage=lambda stage, fitted, seen=centers: seen.setdefault(stage, fitted.center_.copy()))
        models[statistics] = centers
    assert np.array_equal(models["collected"]["random"], models["running"]["random"])
    assert not np.allclose(models["collected"]["pretrained"], models["running"]["pretrained"])


# Both estimators, saved and gone on with


def test_all_choices_together_are_saved_and_score_the_same(images, tmp_path, few_steps):
    choices = {"affine": True, "gain": 1.4, "first_filters": "dictionary", "batches": "fixed"}
    for model in (
        Autoencoder(**QUICK, **choices),
        DeepSVDD(**QUICK, pretrain_epochs=1, quantile_epochs=1, statistics="running", **choices),
    ):
        with pytest.warns(CollapseWarning) if isinstance(model, DeepSVDD) else nullcontext():
            model.fit(images)
        model.save(tmp_path / "model.npz")
        loaded = load_model(tmp_path / "model.npz")
        assert loaded.get_params()["first_filters"] == "dictionary"
        assert np.array_equal(loaded.anomaly_score(images[:9]), model.anomaly_score(images[:9]))


def test_an_encoder_pre_trained_alone_starts_as_inside_deep_svdd(images, few_steps):
    choices = {"gain": 1.4, "first_filters": "dictionary", "batches": "fixed"}
    alone = Autoencoder(**{**QUICK, "epochs": 1}, **choices).fit(images)
    inside = DeepSVDD(**{**QUICK, "epochs": 0}, pretrain_epochs=1, **choices).fit(images)
    for name, weights in alone.network_.layers[0].params.items():
        np.testing.assert_array_equal(inside.network_.params[name], weights)
