"""Large images in patches: every pixel is in one, an image's score is its worst patch's, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_model
from minisvdd.svdd import patches


@settings(max_examples=100)
@given(st.integers(1, 300), st.integers(1, 300))
def test_patches_cover_a_side_and_stay_inside(side, size):
    size = min(side, size)
    starts = patches.starts(side, size)
    assert len(starts) == -(-side // size)
    assert {row for start in starts for row in range(start, start + size)} == set(range(side))
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 5, 3), (2, 10, 7), (2, 3, 7)])
def test_cut_and_put_together_again(shape, rng):
    X = rng.random((3, 2, 10, 7))
    pieces = patches.cut(X, shape).reshape(3, -1, *shape)
    assert pieces.shape[1] == patches.count(X.shape[1:], shape)
    np.testing.assert_array_equal(patches.together(pieces.reshape(-1, *shape), X.shape), X)


def test_an_image_has_the_score_of_its_worst_patch(rng, monkeypatch):
    X = rng.random((5, 1, 9, 10))
    for numbers in (1 << 24, 200, 1):  # all at once, two at a time, one by one
        monkeypatch.setattr(patches, "_NUMBERS", numbers)
        scores = patches.scores_of_images(lambda x: x.max(axis=(1, 2, 3)), X, (1, 4, 4))
        np.testing.assert_array_equal(scores, X.max(axis=(1, 2, 3)))


def test_which_images_are_cut():
    shapes = [(1, 256, 256), (3, 257, 64), (3, 40, 1000), (7,)]
    assert [patches.patch_shape(shape, "auto") for shape in shapes] == [
        (1, 256, 256), (3, 64, 64), (3, 40, 64), (7,),
    ]  # fmt: skip
    assert [patches.patch_shape(shape, None) for shape in shapes] == shapes
    assert [patches.patch_shape(shape, 100) for shape in shapes] == [(1, 100, 100), (3, 100, 64), (3, 40, 100), (7,)]


# The estimator

QUICK = {"pretrain_epochs": 1, "epochs": 1, "batch_size": 16, "verbose": 0}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((40, 1, 21, 17), np.float32)


@pytest.fixture(scope="module", params=["one-class", "soft-boundary"])
def model(request, images):
    return DeepSVDD(request.param, patch_size=8, **QUICK).fit(images)


def test_a_model_of_patches_scores_images(model, images):
    """By the worst of the patches' scores, each as a model without patches scores it."""
    assert model.network_.input_shape == (1, 8, 8)
    assert model.input_shape_ == (1, 21, 17)
    pieces = patches.cut(model.preprocessing_.transform(images), (1, 8, 8))
    np.testing.assert_allclose(
        model.anomaly_score(images), model._scores(pieces).reshape(40, -1).max(axis=1), rtol=1e-6, atol=1e-9
    )
    distances = ((model.transform(images) - model.center_) ** 2).sum(axis=1)
    inside = model.radius_**2 if model.objective == "soft-boundary" else 0
    np.testing.assert_allclose(distances - inside, model.anomaly_score(images), rtol=1e-5, atol=1e-6)
    assert model.autoencoder_.anomaly_score(images).shape == (40,)
    assert model.autoencoder_.reconstruct(images).shape == images.shape


def test_heat_maps_are_of_whole_images(model, images):
    """Patch by patch: residuals are those of the reconstruction, gradients those of each patch's own score."""
    for method in ("residual", "gradient", "exchange"):
        maps = model.explain(images[:3], method)
        assert maps.shape == (3, 21, 17)
        assert np.isfinite(maps).all()
        assert (maps >= 0).all()
    Z = model.preprocessing_.transform(images[:3])
    np.testing.assert_allclose(
        model.autoencoder_._residuals(images[:3]), (Z - model.autoencoder_.reconstruct(images[:3])) ** 2, atol=1e-6
    )
    corner = (..., slice(8), slice(8))
    for part in (model, model.autoencoder_):
        gradient = part._score_gradient(Z)
        assert gradient.shape == Z.shape
        np.testing.assert_allclose(gradient[corner], part._score_gradient(Z[corner]), rtol=1e-4, atol=1e-4)


def test_what_is_held_out_are_images(model, images):
    assert model.threshold_kind_ == "holdout"
    assert len(model.holdout_scores_) == 19
    scores = model.anomaly_score(images)
    assert all(np.isclose(scores, held, rtol=1e-4, atol=1e-5).any() for held in model.holdout_scores_)
    assert len(model.decision_scores_) == 40


def test_a_saved_model_of_patches_scores_the_same(model, images, tmp_path):
    for detector in (model, model.autoencoder_):
        detector.save(tmp_path / "model.npz")
        loaded = load_model(tmp_path / "model.npz")
        np.testing.assert_array_equal(loaded.anomaly_score(images), detector.anomaly_score(images))
        assert (loaded.network_.input_shape, loaded.input_shape_) == ((1, 8, 8), (1, 21, 17))
    assert load_model(tmp_path / "model.npz").offset_ == model.autoencoder_.offset_


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_nu_counts_images(images, objective):
    model = DeepSVDD(objective, patch_size=8, threshold="nu", nu=0.25, **QUICK).fit(images)
    assert (model.predict(images) == -1).sum() == 10
    assert (model.autoencoder_.predict(images) == -1).sum() == 10


@pytest.mark.slow
def test_large_images_are_cut_without_being_asked():
    X = np.random.default_rng(0).random((4, 1, 260, 30), np.float32)
    options = {**QUICK, "pretrain_epochs": 0, "threshold": "nu"}
    assert DeepSVDD(**options).fit(X).network_.input_shape == (1, 64, 30)
    assert DeepSVDD(patch_size=None, **options).fit(X[:2]).network_.input_shape == (1, 260, 30)
    assert DeepSVDD(**options).fit(X[:, :, :256]).network_.input_shape == (1, 256, 30)


def test_one_patch_of_an_image_of_its_size_changes_nothing(images):
    plain, cut = (DeepSVDD(patch_size=size, **QUICK).fit(images) for size in (None, 21))
    np.testing.assert_array_equal(plain.anomaly_score(images), cut.anomaly_score(images))
    assert plain.offset_ == cut.offset_


@pytest.mark.slow
def test_a_small_defect_is_found_where_it_is_all_of_a_patch(rng):
    """And the patches see it better than the whole."""
    X = 0.5 + 0.1 * rng.standard_normal((60, 1, 64, 64))
    T, is_anomaly = 0.5 + 0.1 * rng.standard_normal((40, 1, 64, 64)), np.arange(40) % 2 == 1
    T[is_anomaly, :, 40:46, 9:15] += 0.15
    auc = {}
    for size in (None, 16):
        model = DeepSVDD(patch_size=size, pretrain_epochs=0, epochs=4, learning_rate=1e-3, batch_size=32, verbose=0)
        auc[size] = roc_auc_score(is_anomaly, model.fit(X).anomaly_score(T))
    assert auc[16] > auc[None] + 0.05
    assert auc[16] > 0.8


@pytest.mark.parametrize("wrong", [0, 7, 3.5, "all", True])
def test_a_patch_size_that_is_none(wrong, images):
    with pytest.raises(ValueError, match=r"^patch_size="):
        DeepSVDD(patch_size=wrong, **QUICK).fit(images)


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 9, 8), (8,), (1, 8)])
def test_samples_that_cannot_be_cut_so(shape):
    patches.check((1, 8, 8), (1, 8, 8))
    patches.check((1, 4, 8), (1, 8, 8))
    with pytest.raises(ValueError, match=r"expected .*, or patches of it"):
        patches.check(shape, (1, 8, 8))
