"""scikit-learn's tools take our estimators as its own: clone, Pipeline, cross_val_score, GridSearchCV."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minisvdd import AnoGAN, Autoencoder, DeepSVDD
from minisvdd.attack.classifier import SoftmaxClassifier
from minisvdd.data.datasets import load_dataset
from minisvdd.rivals.density import KernelDensity
from minisvdd.rivals.forest import IsolationForest
from minisvdd.rivals.svm import OneClassSVM

pytestmark = pytest.mark.slow

DETECTORS = {
    "DeepSVDD": DeepSVDD(network="mlp", pretrain_epochs=2, epochs=4, milestones=(), batch_size=64, verbose=0),
    "soft-boundary": DeepSVDD("soft-boundary", network="mlp", pretrain_epochs=0, epochs=4, batch_size=64, verbose=0),
    "Autoencoder": Autoencoder(network="mlp", epochs=4, batch_size=64, verbose=0),
    "OneClassSVM": OneClassSVM(None, 0.1),
    "KernelDensity": KernelDensity(),
    "IsolationForest": IsolationForest(),
}


@pytest.fixture(scope="module")
def features():
    """The digits 3 (normal, 1) and 8 (anomalous, -1) as features, shuffled."""
    dataset = load_dataset("digits")
    wanted = np.isin(dataset.train_labels, (3, 8))
    X = dataset.train_images[wanted].reshape(wanted.sum(), -1).astype(np.float64) / 16
    return X, np.where(dataset.train_labels[wanted] == 3, 1, -1)


def auc(estimator, X, y):
    """Scorer: larger `score_samples` must mean more normal."""
    return roc_auc_score(y, estimator.score_samples(X))


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("name", DETECTORS)
def test_clone_pipeline_and_cross_validation(name, features):
    X, y = features
    estimator = DETECTORS[name]
    copy = clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == estimator.get_params()
    copy.set_params(nu=0.25)
    assert (copy.nu, estimator.nu) == (0.25, DETECTORS[name].get_params()["nu"])
    assert estimator.nu != 0.25

    pipeline = make_pipeline(StandardScaler(), clone(estimator)).fit(X[y == 1])
    by_hand = clone(estimator).fit(StandardScaler().fit(X[y == 1]).transform(X[y == 1]))
    np.testing.assert_array_equal(pipeline.predict(X), by_hand.predict(StandardScaler().fit(X[y == 1]).transform(X)))
    assert set(pipeline.predict(X)) <= {-1, 1}

    scores = cross_val_score(pipeline, X, y, cv=3, scoring=auc)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, X, y, cv=3, scoring=auc))


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("DeepSVDD", {"deepsvdd__learning_rate": [1e-4, 1e-2], "deepsvdd__objective": ["one-class", "soft-boundary"]}),
        ("Autoencoder", {"autoencoder__epochs": [1, 6]}),
        ("OneClassSVM", {"oneclasssvm__nu": [0.05, 0.2]}),
        ("KernelDensity", {"kerneldensity__nu": [0.05, 0.2]}),
        ("IsolationForest", {"isolationforest__random_state": [0, 1]}),
    ],
)
def test_grid_search_over_a_pipeline(name, grid, features):
    X, y = features
    search = GridSearchCV(
        make_pipeline(StandardScaler(), DETECTORS[name]), grid, cv=2, scoring=auc, error_score="raise"
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == np.prod([len(values) for values in grid.values()])
    assert search.best_params_.keys() == grid.keys()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == y.shape


def test_images_and_anogan_in_cross_validation():
    """Where 2-D input makes no sense: images (n, C, H, W), of which scikit-learn only takes rows."""
    split = load_dataset("digits").one_class("3")
    X, y = split.test[:150], np.where(split.is_anomaly[:150], -1, 1)
    models = [
        AnoGAN(latent_dim=4, epochs=1, search_steps=2, batch_size=32, preprocessing="gcn-l1", verbose=0),
        DeepSVDD(network="digits_lenet", pretrain_epochs=0, epochs=2, batch_size=32, verbose=0),
        Autoencoder(network="digits_lenet", epochs=2, batch_size=32, verbose=0),
    ]
    for model in models:
        assert clone(model).get_params() == model.get_params()
        assert np.isfinite(cross_val_score(model, X, y, cv=2, scoring=auc, error_score="raise")).all()


def test_the_classifier_in_a_grid_search():
    dataset = load_dataset("digits")
    X, y = dataset.train_images[:200].astype(np.float32) / 16, dataset.train_labels[:200]
    names = set(SoftmaxClassifier().get_params())
    assert {"epochs", "learning_rate", "random_state"} <= names
    search = GridSearchCV(SoftmaxClassifier(verbose=0), {"epochs": [1, 2]}, cv=2, scoring=make_scorer(accuracy))
    search.fit(X, y)
    assert np.isfinite(search.best_score_)


def accuracy(y_true, y_pred):
    """Fraction of right labels."""
    return float(np.mean(np.asarray(y_true) == np.asarray(y_pred)))


def test_a_fitted_autoencoder_goes_with_its_clones():
    """scikit-learn clones in every tool, and unfits what it clones; where it cannot be helped the error says how."""
    X = load_dataset("digits").one_class(3).train
    shared = {"network": "digits_lenet", "preprocessing": "gcn-l1", "epochs": 1, "verbose": 0}
    fitted = Autoencoder(**shared).fit(X)
    model = DeepSVDD(autoencoder=fitted, **shared)
    cloned = clone(model)
    assert cloned is not model
    assert cloned.get_params(deep=False) == model.get_params(deep=False)
    np.testing.assert_array_equal(cloned.fit(X).anomaly_score(X), model.fit(X).anomaly_score(X))
    assert clone(make_pipeline(model)).fit(X).predict(X).shape == (len(X),)
    with pytest.raises(NotFittedError, match=r"^autoencoder: expected a fitted one.*FrozenEstimator.$") as error:
        DeepSVDD(autoencoder=clone(fitted), **shared).fit(X)
    assert "\n" not in str(error.value)


def test_components_are_an_array_whatever_transformers_are_told_to_give(features):
    pytest.importorskip("pandas", reason="scikit-learn's transformers give frames of pandas where one asks for them")
    with sklearn.config_context(transform_output="pandas"):
        assert type(KernelDensity().fit(features[0]).components(features[0])) is np.ndarray
