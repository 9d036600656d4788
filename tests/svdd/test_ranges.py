"""Values that do not fit to what computes with them are noticed: a decoder that ends below them, float32."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, IsolationForest, KernelDensity, OneClassSVM, RangeWarning
from minisvdd.svdd.preprocessing import make_preprocessing

QUICK = {"epochs": 1, "batch_size": 8, "verbose": 0}
GAN = {"latent_dim": 3, "search_steps": 1, **QUICK}
DETECTORS = {
    "Autoencoder": lambda **options: Autoencoder(**QUICK, **options),
    "pre-trained": lambda **options: DeepSVDD(pretrain_epochs=1, **QUICK, **options),
    "DeepSVDD": lambda **options: DeepSVDD(pretrain_epochs=0, **QUICK, **options),
    "AnoGAN": lambda **options: AnoGAN(**GAN, **options),
    "OneClassSVM": OneClassSVM,
    "KernelDensity": KernelDensity,
    "IsolationForest": lambda **options: IsolationForest(n_trees=5, **options),
}
WITH_DECODER = ("Autoencoder", "pre-trained", "AnoGAN")


def warned(call):
    """The messages of all RangeWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in caught if warning.category is RangeWarning]


@pytest.fixture
def images(rng):
    return rng.random((12, 1, 8, 8))


@pytest.mark.parametrize("name", DETECTORS)
def test_unscaled_images_without_preprocessing_are_noticed_once(name, images):
    (message,) = warned(lambda: DETECTORS[name](preprocessing=None).fit(16 * images))
    assert "preprocessing=None" in message
    assert "expected images in [0, 1], or preprocessing='gcn-l1'" in message
    assert ("from 0 to 1" in message) == (name in WITH_DECODER)


@pytest.mark.parametrize("name", DETECTORS)
def test_images_that_fit_and_uint8_are_not(name, images):
    for X in (images, 1.02 * images, (255 * images).astype(np.uint8)):
        assert warned(lambda X=X: DETECTORS[name](preprocessing=None).fit(X)) == []
    assert warned(lambda: DETECTORS[name](preprocessing="gcn-l1").fit(255 * images)) == []


@pytest.mark.parametrize("name", WITH_DECODER)
def test_standardised_images_are_noticed_where_a_decoder_is_to_reproduce_them(name, images):
    (message,) = warned(lambda: DETECTORS[name](preprocessing="standardize").fit(images))
    assert "after preprocessing='standardize' reaches from -" in message


def test_features_of_a_perceptron_may_be_anything(rng):
    assert warned(lambda: Autoencoder(preprocessing=None, **QUICK).fit(100 * rng.normal(size=(20, 3)))) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: KernelDensity(**options),
        lambda **options: OneClassSVM(**options),
        lambda **options: DeepSVDD(pretrain_epochs=0, epochs=3, verbose=0, **options),
    ],
)
def test_an_offset_costs_nothing_when_features_are_standardised_and_is_noticed_when_not(make, rng):
    X, T = rng.normal(size=(200, 2)), np.r_[rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 5]
    auc = {}
    for offset in (0, 1.7e9):
        model = make(preprocessing="standardize")
        assert warned(lambda m=model, o=offset: m.fit(X + o)) == []
        auc[offset] = roc_auc_score(np.repeat([0, 1], 100), model.anomaly_score(T + offset))
    assert auc[1.7e9] == pytest.approx(auc[0], abs=1e-3)
    assert auc[0] > 0.95
    (message,) = warned(lambda: make(preprocessing=None).fit(X * [1, 1] + [0, 1.7e9]))
    assert "feature 1 varies by" in message
    assert warned(lambda: make(preprocessing=None).fit(X + [0, 1000])) == []


def test_what_an_offset_costs_goes_by_the_spread_behind_it(rng):
    """Near 1e8 float32 counts in steps of about 10: too coarse for a deviation of 100, not for one of 10000."""
    fit = make_preprocessing(None).fit
    X = rng.normal(size=(200, 1))
    assert len(warned(lambda: fit(100 * X + 1e8))) == 1
    assert warned(lambda: fit(1e4 * X + 1e8)) == []


@pytest.mark.parametrize("constant", [1.7e9, 0.1, 1 / 3])
def test_a_constant_feature_is_no_loss(rng, constant):
    X = np.column_stack([rng.normal(size=20), np.full(20, constant)])
    assert warned(lambda: DeepSVDD(preprocessing=None, pretrain_epochs=0, **QUICK).fit(X)) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_no_images_have_no_scores(name, images):
    model = DETECTORS[name](preprocessing="gcn-l1").fit(images)
    for empty in (np.empty((0, 1, 8, 8)), np.empty((0, 8, 8)), np.empty((0, 8, 8, 1))):
        assert model.anomaly_score(empty).shape == model.predict(empty).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_layouts_give_the_same_scores(name, images):
    model = DETECTORS[name](preprocessing="gcn-l1").fit(images)
    other = DETECTORS[name](preprocessing="gcn-l1").fit(images[:, 0])
    expected = model.anomaly_score(images)
    for X in (images, images[:, 0], np.moveaxis(images, 1, -1)):
        np.testing.assert_array_equal(model.anomaly_score(X), expected)
        np.testing.assert_array_equal(other.anomaly_score(X), expected)
