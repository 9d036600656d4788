"""Arguments as grids of parameters hold them, NumPy's numbers and ranges; and no samples at all."""

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, KernelDensity, SoftmaxClassifier, load_model

X = digits().train[:30]
FEW = {"epochs": 2, "batch_size": 10, "verbose": 0, "threshold": "nu"}
pytestmark = pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning", "ignore::minisvdd.TrainingWarning")


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("gain", 1.5), ("nu", 0.3), ("learning_rate", 1e-3), ("weight_decay", 1e-4), ("pretrain_weight_decay", 1e-4)]
    + [("slope", 0.05), ("center_epsilon", 0.2)],
)
def test_a_number_of_numpy_s_is_the_number(name, value, objective):
    """In products with float32 it would make float64."""
    models = [
        DeepSVDD(objective, pretrain_epochs=1, **{**FEW, name: kind(value)}).fit(X) for kind in (float, np.float64)
    ]
    np.testing.assert_array_equal(*(model.anomaly_score(X) for model in models))
    assert {array.dtype for array in models[1].network_.params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "arguments",
    [
        {"milestones": range(1, 2)},
        {"milestones": [np.int64(1)]},
        {"pretrain_epochs": 1, "pretrain_milestones": [np.int64(1)]},
        {"center": [np.float32(1.0)] * 32},
        {"affine": np.True_},
        {"learning_rate": np.float32(1e-3)},
    ],
    ids=str,
)
def test_whatever_can_be_fitted_can_be_saved(arguments, tmp_path):
    model = DeepSVDD(**{"pretrain_epochs": 0, **FEW, **arguments}).fit(X)
    model.save(tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.anomaly_score(X), model.anomaly_score(X))
    again.save(tmp_path / "again.npz")


def test_there_may_be_no_samples():
    model = DeepSVDD(pretrain_epochs=1, **FEW).fit(X)
    assert model.transform(X[:0]).shape == (0, 32)
    assert (
        model.autoencoder_.reconstruct(X[:0]).shape == Autoencoder(**FEW).fit(X).reconstruct(X[:0]).shape == X[:0].shape
    )
    for pca in (True, False):
        kde = KernelDensity(pca=pca, threshold="nu").fit(X)
        assert kde.components(X[:0]).shape == (0, kde.components(X[:2]).shape[1])
    gan = AnoGAN(network="small_dcgan", latent_dim=3, search_steps=1, **{**FEW, "epochs": 1}).fit(X)
    none, one = gan.search(X[:0]), gan.search(X[:1])
    for name in ("z", "losses", "steps", "converged"):
        got, expected = getattr(none, name), getattr(one, name)
        assert (got.shape, got.dtype) == ((0, *expected.shape[1:]), expected.dtype)


def test_versions_are_drawn_of_images_in_0_to_1():
    classifier = SoftmaxClassifier((4, 4), 3, 8, epochs=1, batch_size=8, verbose=0)
    with pytest.raises(ValueError, match=r"augment=True expects images in \[0, 1\], got values from 0 to 255"):
        classifier.fit(255 * X, np.arange(len(X)) % 2)
