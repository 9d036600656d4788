"""What the shallow methods of table 1 share (paper, section 4.1): OC-SVM/SVDD, isolation forest, kernel density.

Each works on the principal components that keep 95 % of the training samples' variance, after the pre-processing of
the deep methods. The solvers are scikit-learn's; the paper's grids, and the choices made on them, stand with the
methods (`svm.py`, `forest.py`, `density.py`).
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances

from ..svdd.detector import Detector
from ..svdd.preprocessing import make_preprocessing, warn_of_range
from ..svdd.radius import exact_radius_squared
from ..validation import check_fitted, check_flag, check_test_samples, check_training_samples

VARIANCE_KEPT = 0.95

# Test samples compared with the training samples at a time: bounds the matrix of distances.
_CHUNK = 1000


class Baseline(Detector):
    """PCA before a shallow detector. Subclasses define `fit_components(Z)` and `score_components(Z)`.

    Z: (n, k) float64 principal components, or all features as they are where `pca` is False.   nu: the fraction of
    training samples that `offset_` leaves outside.
    These detectors cannot be saved: they keep training samples or trees, which scikit-learn only pickles.
    """

    def fit(self, X: ArrayLike, y: object = None) -> "Baseline":
        """Fit on normal samples.  X: (n, C, H, W) or (n, D); y is ignored. Raises ValueError for bad input."""
        self._check_parameters()
        for part in self._parts(check_training_samples(self, X)):
            self._fit_on(part.X)
        return self

    def _fit_on(self, X: np.ndarray) -> None:
        self.preprocessing_ = make_preprocessing(self.preprocessing)
        X = self.preprocessing_.fit_transform(X)
        warn_of_range(X, self.preprocessing_.name)
        self.pca_ = _pca_of(_flat(X)) if self.pca else None
        self.fit_components(self._components(X))

    def fit_components(self, Z: np.ndarray) -> None:
        """Fit the method alone, without pre-processing, PCA and threshold.  Z: (n, k) float64 components."""
        raise NotImplementedError

    def score_components(self, Z: np.ndarray) -> np.ndarray:
        """Anomaly scores of components Z, (n, k) float64, after `fit_components`.  Returns (n,)."""
        raise NotImplementedError

    def components(self, X: ArrayLike) -> np.ndarray:
        """Principal components of samples, what the method itself works on.  Returns (n, k) float64."""
        check_fitted(self)
        return self._components(self.preprocessing_.transform(check_test_samples(self, X)))

    def _components(self, X):
        if self.pca_ is None:
            return _flat(X)
        return self.pca_.transform(_flat(X)) if len(X) else np.empty((0, self.pca_.n_components_))

    def _scores(self, X):
        return self.score_components(self._components(X))

    def _set_threshold_by_nu(self, X):
        scores = self._scores(self.preprocessing_.transform(X))
        self.offset_ = -exact_radius_squared(self._beyond_rounding(scores), self.nu)

    def _beyond_rounding(self, scores):
        sizes = np.abs(scores)  # no less than the usual one: a score near 0 is rounded by its terms
        return scores + 1e-9 * np.maximum(sizes, np.median(sizes))

    def _check_parameters(self):
        super()._check_parameters()
        check_flag(self.pca, "pca")


def _pca_of(features):
    """The principal components with 95 % of the variance, fitted; its outputs are arrays, always."""
    pca = PCA(VARIANCE_KEPT, svd_solver="covariance_eigh").set_output(transform="default")
    # The covariance is quick to decompose also for 6000 images. Constant samples have no variance to share out.
    with np.errstate(invalid="ignore"):
        return pca.fit(features)


def _flat(X):
    return X.reshape(len(X), math.prod(X.shape[1:])).astype(np.float64)


def largest_squared_distance(Z: np.ndarray) -> float:
    """max ||z - z'||^2 over two of the samples Z, (n, k); 1 where all samples are one."""
    return max(float(euclidean_distances(z, Z, squared=True).max()) for z in chunks(Z)) or 1.0


def chunks(Z: np.ndarray) -> Iterator[np.ndarray]:
    """Z in turn, so many samples at a time that their distances to all training samples fit in memory."""
    return (Z[start : start + _CHUNK] for start in range(0, len(Z), _CHUNK))
