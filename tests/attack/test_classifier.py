"""The softmax classifier and its augmentation."""

import numpy as np
import pytest

from minisvdd import load_dataset, load_model
from minisvdd.attack.augmentation import Augmentation, mirror, warp
from minisvdd.attack.classifier import SoftmaxClassifier, _partners
from minisvdd.backends import EmulatorBackend
from minisvdd.data.readers import to_float

SMALL = {"channels": (8, 16), "kernel_size": 3, "hidden": 32, "epochs": 6, "milestones": (5,), "verbose": 0}


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits")
    images = [to_float(part, data.white) for part in (data.train_images, data.test_images)]
    return images[0], data.train_labels + 10, images[1], data.test_labels + 10


@pytest.fixture(scope="module")
def fitted(digits):
    return SoftmaxClassifier(**SMALL, augment=False).fit(*digits[:2])


def test_learns_the_digits(fitted, digits):
    assert fitted.score(*digits[2:]) > 0.9
    untrained = SoftmaxClassifier(**{**SMALL, "epochs": 0}, augment=False).fit(*digits[:2])
    assert untrained.score(*digits[2:]) < 0.5
    np.testing.assert_array_equal(fitted.classes_, np.arange(10, 20))
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_probabilities_agree_with_labels(fitted, digits):
    probabilities = fitted.predict_proba(digits[2])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(digits[2]))


def test_save_and_load(fitted, digits, tmp_path):
    fitted.save(tmp_path / "c.npz")
    again = load_model(tmp_path / "c.npz")
    assert isinstance(again, SoftmaxClassifier)
    np.testing.assert_array_equal(again.decision_function(digits[2]), fitted.decision_function(digits[2]))
    np.testing.assert_array_equal(again.predict(digits[2]), fitted.predict(digits[2]))
    assert again.channels == (8, 16)


def test_same_seed_same_network(digits):
    X, y = digits[0][:100], digits[1][:100]
    first, second = (SoftmaxClassifier(**{**SMALL, "epochs": 1}).fit(X, y) for _ in range(2))
    for name, array in first.network_.params.items():
        np.testing.assert_array_equal(array, second.network_.params[name])


@pytest.mark.compiler
@pytest.mark.parametrize("augment", [False, True])
def test_training_on_a_device_follows_numpy(augment, digits):
    """Labels, and new versions of the images in every epoch, go to the device."""
    models = []
    for backend in ("numpy", EmulatorBackend(check=False)):
        settings = {**SMALL, "channels": (4,), "hidden": 8, "epochs": 3, "batch_size": 8, "backend": backend}
        models.append(SoftmaxClassifier(**settings, augment=augment).fit(digits[0][:30], digits[1][:30]))
    on_host, on_device = models
    np.testing.assert_allclose(on_device.history_["loss"], on_host.history_["loss"], rtol=1e-3)
    expected = on_host.decision_function(digits[2][:20])
    np.testing.assert_allclose(on_device.decision_function(digits[2][:20]), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "X", "y", "words"),
    [
        ({}, np.zeros((4, 1, 8, 8)), np.zeros(3), "y has shape"),
        ({}, np.zeros((4, 1, 8, 8)), np.zeros(4), "one class only"),
        ({"epochs": -1}, np.zeros((4, 1, 8, 8)), np.arange(4), "epochs=-1"),
        ({}, np.full((4, 1, 8, 8), np.nan), np.arange(4), "NaN"),
    ],
)
def test_errors(changes, X, y, words):
    with pytest.raises(ValueError, match=words):
        SoftmaxClassifier(**{**SMALL, **changes}).fit(X, y)


def test_no_change_is_no_change(rng):
    images = rng.random((3, 3, 9, 9), np.float32)
    still = Augmentation(degrees=0, stretch=0, shift=0, blur=0, brightness=0, contrast=0, tint=0, grey=0)
    np.testing.assert_allclose(still(images, rng), images, atol=1e-6)
    moved = Augmentation()(images, rng)
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved != images).any()


def test_warp_moves_turns_and_stretches(rng):
    image = rng.random((2, 7, 7), np.float32)
    none, ones = np.zeros(2), np.ones(2)
    np.testing.assert_allclose(warp(image, 0, ones, np.array([2, -1]))[:, 2:, :6], image[:, :5, 1:], atol=1e-6)
    turned = warp(image, np.pi / 2, ones, none)
    assert min(np.abs(turned - np.rot90(image, k, (1, 2))).max() for k in (1, 3)) < 1e-5
    np.testing.assert_allclose(warp(image, 0, np.array([2, 1]), none)[:, 1::2], image[:, 2:5], atol=1e-6)


def test_a_mirrored_image_counts_as_its_partner(rng):
    images, labels = rng.random((200, 1, 3, 4)), rng.integers(0, 4, 200)
    partners = np.array([1, 0, 2, -1])
    mirrored, targets = mirror(images, labels, partners, rng)
    flipped = (mirrored != images).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(mirrored[flipped], images[flipped][..., ::-1])
    assert not flipped[labels == 3].any()
    assert 0.3 < flipped[labels < 3].mean() < 0.7
    np.testing.assert_array_equal(targets, np.where(flipped, partners[labels], labels))


def test_partners_are_found_by_their_labels():
    """Classes without a mirror image have none."""
    assert _partners([(10, 12), (15, 15)], np.array([10, 11, 12, 15])).tolist() == [2, -1, 0, 3]
    assert _partners([], np.array([10, 11])).tolist() == [-1, -1]


def test_probabilities_of_any_logits_are_finite(fitted, monkeypatch):
    logits = np.array([[1000.0, 0.0], [-1000.0, -1000.0], [0.0, np.log(3)]])
    monkeypatch.setattr(SoftmaxClassifier, "decision_function", lambda self, X: logits)
    np.testing.assert_allclose(fitted.predict_proba(None), [[1, 0], [0.5, 0.5], [0.25, 0.75]])


def test_mirrors_name_labels_of_y(digits):
    with pytest.raises(ValueError, match=r"\(10, 99\) names a label"):
        SoftmaxClassifier(**{**SMALL, "epochs": 1}, mirrors=[(10, 99)]).fit(*digits[:2])


def test_grey_only_mixes_in_the_mean_of_the_channels(rng):
    images = rng.random((20, 3, 4, 4), np.float32)
    changed = Augmentation(0, 0, 0, 0, 0, 0, 0, grey=1)(images, rng)
    np.testing.assert_allclose(changed.mean(axis=1), images.mean(axis=1), atol=1e-6)
    shares = 1 - changed.std(axis=1) / images.std(axis=1)
    np.testing.assert_allclose(shares, shares[:, :1, :1].repeat(4, 1).repeat(4, 2), atol=1e-4)
    assert shares.min() < 0.3
    assert shares.max() > 0.7
