"""Kernel density estimation, a shallow method of table 1 (paper, section 4.1), with the paper's grid of bandwidths."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import gammaln, logsumexp
from sklearn.metrics.pairwise import euclidean_distances

from ..validation import check_choice, check_number, check_numbers
from .baseline import Baseline, chunks, largest_squared_distance

BANDWIDTHS = tuple(2.0 ** (k / 2) for k in range(1, 11))
FOLDS = 5
# Within these h^2 and d^2 / h^2 are finite, and not 0, for all samples that float32 holds.
_WIDTHS = 1e-100, 1e100


class KernelDensity(Baseline):
    """Kernel density estimate; the score is the negative logarithm of the density.

        p(x) = 1/n sum_i exp(-d_i^2 / (2 h^2)) / Z,   Z = (2 pi h^2)^(k/2),       of k principal components
        p(x) = 1/n sum_i exp(-d_i / h) / Z,           Z = 2 pi^(k/2) / Gamma(k/2) Gamma(k) h^k

    with d_i = ||x - x_i||. The second Z, of the exponential kernel, is an integral over spheres of radius r: their
    surface, 2 pi^(k/2) r^(k-1) / Gamma(k/2), times exp(-r/h), where the integral of r^(k-1) exp(-r/h) is Gamma(k) h^k.

    In a hundred dimensions trees skip nothing, so all distances are computed, once for all bandwidths.

    Parameters
    ----------
    bandwidth : float, "largest" or None, default=None
        h, in [1e-100, 1e100]; None for the one of `bandwidths` with the largest log-likelihood in 5-fold
        cross-validation. "largest" for the largest squared distance of two training samples: with the exponential
        kernel it made the paper's column on MNIST. So wide a kernel ranks by the mean distance to the training samples.
    nu : float, default=0.1
        In (0, 1]; fraction of the training samples beyond `offset_` of kind "nu".
    bandwidths : sequence of float, default=BANDWIDTHS
        What cross-validation chooses from: the paper's grid, 2^0.5, 2^1, ..., 2^5.
    preprocessing : {"gcn-l1", "min-max", "standardize"} or None, default=None
        Before the principal components.
    threshold : {"auto", "holdout", "nu"}, default="auto"
        "holdout": by normal samples held out of training, drawn by a generator of seed 0, such that new normal samples
        are beyond it at a rate of at most `false_alarm_rate`. "nu": by the training samples. "auto": "holdout" where
        there are enough samples, else "nu" with a ThresholdWarning.
    false_alarm_rate : float, default=0.05
        In (0, 1); that the threshold by held-out samples keeps.
    holdout : float, default=0.2
        In (0, 0.5]; share of the samples to hold out, about; never fewer than the rate needs (19 for 0.05).
    refit : bool, default=False
        Train once more, on all samples, after the threshold is found, which then keeps its rate only approximately.
    kernel : {"gaussian", "exponential"}, default="gaussian"
        The first or the second of the formulas.
    pca : bool, default=True
        Whether to work on the principal components with 95 % of the variance, as in the paper, or on all features.

    Attributes
    ----------
    bandwidth_ : float
        The one in use.
    kernel_ : str
        The one in use.
    log_likelihoods_ : ndarray of shape (len(bandwidths),) or None
        Of the held-out samples, one per bandwidth; None where h was given.
    samples_ : ndarray of shape (n, k)
        Principal components of the training samples.
    pca_ : sklearn.decomposition.PCA or None
        The principal components it works on.
    offset_ : float
        Threshold on `score_samples`.
    threshold_kind_ : {"holdout", "nu"}
        How it was found.
    holdout_scores_ : ndarray of shape (m,) or None
        Anomaly scores of the held-out samples, ascending.
    false_alarm_rate_ : float or None
        What the threshold keeps; None for nu's.
    decision_scores_ : ndarray of shape (n,)
        Anomaly scores of the samples of `fit`; not in files.
    preprocessing_ : Preprocessing
        With its constants.
    input_shape_ : tuple of int
        Of one sample: (C, H, W) or (D,).

    References
    ----------
    Parzen, "On Estimation of a Probability Density Function and Mode", Annals of Mathematical Statistics 1962.
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from minisvdd import KernelDensity
    >>> normal = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = KernelDensity().fit(normal)
    >>> near, far = model.anomaly_score([[0, 0, 0], [9, 9, 9]])
    >>> bool(near < far)
    True
    >>> model.log_likelihoods_.shape  # of the bandwidths to choose from
    (10,)
    """

    def __init__(
        self,
        bandwidth: float | str | None = None,
        nu: float = 0.1,
        bandwidths: Sequence[float] = BANDWIDTHS,
        preprocessing: str | None = None,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
        kernel: str = "gaussian",
        pca: bool = True,
    ) -> None:
        self.bandwidth = bandwidth
        self.nu = nu
        self.bandwidths = bandwidths
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit
        self.kernel = kernel
        self.pca = pca

    def fit_components(self, Z: np.ndarray) -> None:
        self.samples_ = Z
        self.kernel_, self.bandwidth_, self.log_likelihoods_ = self.kernel, self.bandwidth, None
        if self.bandwidth == "largest":
            self.bandwidth_ = largest_squared_distance(Z)
        if self.bandwidth is None:
            self.log_likelihoods_ = self._cross_validate(Z)
            self.bandwidth_ = self.bandwidths[int(np.argmax(self.log_likelihoods_))]

    def _cross_validate(self, Z):
        """Log-likelihood of the held-out fold, summed over contiguous folds, for each bandwidth.  Returns (B,)."""
        total, log_density = np.zeros(len(self.bandwidths)), KERNELS[self.kernel]
        bounds = np.linspace(0, len(Z), min(FOLDS, len(Z)) + 1).astype(int)
        for start, stop in pairwise(bounds):
            kept = np.concatenate([Z[:start], Z[stop:]])
            for z in chunks(Z[start:stop]):
                squared = euclidean_distances(z, kept, squared=True)
                total += [log_density(squared, h, Z.shape[1]).sum() for h in self.bandwidths]
        return total

    def score_components(self, Z: np.ndarray) -> np.ndarray:
        squared = (euclidean_distances(z, self.samples_, squared=True) for z in chunks(Z))
        return -np.concatenate([KERNELS[self.kernel_](d, self.bandwidth_, Z.shape[1]) for d in squared])

    def _check_parameters(self):
        super()._check_parameters()
        check_choice(self.kernel, "kernel", KERNELS)
        if self.bandwidth is None:
            check_numbers(self.bandwidths, "bandwidths", *_WIDTHS)
        elif self.bandwidth != "largest":
            check_number(self.bandwidth, "bandwidth", *_WIDTHS)


def _gaussian(squared_distances, h, k):
    """log p of m samples in k dimensions, from their squared distances (m, n) to the training samples.  (m,)"""
    log_Z = k / 2 * np.log(2 * np.pi * h**2)
    return logsumexp(squared_distances / (-2 * h**2), axis=1) - log_Z - np.log(squared_distances.shape[1])


def _exponential(squared_distances, h, k):
    """The same with the exponential kernel."""
    log_Z = np.log(2) + k / 2 * np.log(np.pi) - gammaln(k / 2) + gammaln(k) + k * np.log(h)
    return logsumexp(np.sqrt(squared_distances) / -h, axis=1) - log_Z - np.log(squared_distances.shape[1])


KERNELS = {"gaussian": _gaussian, "exponential": _exponential}
