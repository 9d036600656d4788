"""OC-SVM, a shallow method of table 1 (paper, section 4.1), with the paper's grid of gammas and two ways to choose."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.svm import OneClassSVM as SklearnSVM

from ..validation import check_kinds, check_number, check_numbers, forget_fit
from .baseline import Baseline, chunks, largest_squared_distance

GAMMAS = tuple(2.0**k for k in range(-10, 0))
# Training samples of which the median distance is taken, at most.
_COMPARED = 1000


class OneClassSVM(Baseline):
    """OC-SVM with Gaussian kernel k(x, z) = exp(-gamma ||x - z||^2); its ranking of samples is that of SVDD.

        score(x) = -sum_i a_i k(x_i, x)

    SVDD's squared distance to its centre is k(x, x) - 2 sum_i a_i k(x_i, x) + constant, and k(x, x) = 1. So both duals
    minimise a' K a over the same a (0 <= a_i <= 1/(nu n), sum a_i = 1), and both rank by the same sum. (The solver's
    a_i, of which scores are made, are nu n times as large.)

    For nu = 1 all a_i <= 1/n have the sum 1 only if all are 1/n: nothing is left to solve, and the score ranks by the
    mean kernel, as a kernel density does.

    Parameters
    ----------
    gamma : float, "largest" or None, default=None
        None for the choice without labels: 1 / (median squared distance of two training samples), the median heuristic.
        "largest" for 1 / (largest such distance), which made the paper's column on MNIST.
        `fit_on_hold_out` chooses from `gammas` as the paper says, with labels.
    nu : float, default=0.1
        In (0, 1]; upper bound on the fraction of training samples outside: the solver's, and that of `offset_` of kind
        "nu".
    gammas : sequence of float, default=GAMMAS
        What `fit_on_hold_out` chooses from: the paper's grid, 2^-10, ..., 2^-1.
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
    pca : bool, default=True
        Whether to work on the principal components with 95 % of the variance, as in the paper, or on all features.

    Attributes
    ----------
    gamma_ : float
        The one in use.
    svm_ : sklearn.svm.OneClassSVM or None
        The solver, fitted; None for nu = 1.
    samples_ : ndarray of shape (n, k) or None
        For nu = 1 the principal components of the training samples, each of them a support vector.
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
    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", Neural Computation 2001.
    Ruff et al., "Deep One-Class Classification", ICML 2018: sections 2.1 and 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from minisvdd import OneClassSVM
    >>> normal = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = OneClassSVM().fit(normal)
    >>> near, far = model.anomaly_score([[0, 0, 0], [9, 9, 9]])
    >>> bool(near < far)
    True
    """

    def __init__(
        self,
        gamma: float | str | None = None,
        nu: float = 0.1,
        gammas: Sequence[float] = GAMMAS,
        preprocessing: str | None = None,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
        pca: bool = True,
    ) -> None:
        self.gamma = gamma
        self.nu = nu
        self.gammas = gammas
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit
        self.pca = pca

    def fit_on_hold_out(self, X: ArrayLike, X_hold_out: ArrayLike, is_anomaly: ArrayLike) -> "OneClassSVM":
        """The paper's *supervised* choice: the gamma of the best AUC on labelled samples, there a part of the test set.

        X: normal samples to train on.   X_hold_out: (m, ...) labelled samples, is_anomaly: (m,) bool, or 0 and 1, both
        kinds. They choose gamma; the threshold is that of `fit`.
        The method thereby knows something of the anomalies that the other methods do not.
        """
        check_numbers(self.gammas, "gammas", 0, low_open=True)
        is_anomaly = check_kinds(is_anomaly, len(X_hold_out))
        candidates = [OneClassSVM(**{**self.get_params(), "gamma": gamma}).fit(X) for gamma in self.gammas]
        scores = [model.anomaly_score(X_hold_out) for model in candidates]
        best = candidates[best_on_hold_out(scores, is_anomaly)]
        fitted = {name: value for name, value in vars(best).items() if name.endswith("_")}
        forget_fit(self)
        vars(self).update(fitted)
        return self

    def fit_components(self, Z: np.ndarray) -> None:
        choices = {None: median_gamma, "largest": lambda Z: 1 / largest_squared_distance(Z)}
        self.gamma_ = choices[self.gamma](Z) if self.gamma in choices else self.gamma
        self.svm_ = self.samples_ = None
        if self.nu * len(Z) >= len(Z):
            self.samples_ = Z
        else:
            self.svm_ = SklearnSVM(kernel="rbf", gamma=self.gamma_, nu=self.nu, cache_size=1000).fit(Z)

    def score_components(self, Z: np.ndarray) -> np.ndarray:
        # The sum over support vectors as matrix products: many times faster than the solver's own loop over them.
        if self.svm_ is None:
            vectors, weights = self.samples_, np.ones(len(self.samples_))
        else:
            vectors, weights = self.svm_.support_vectors_, self.svm_.dual_coef_[0]
        return -np.concatenate([rbf_kernel(z, vectors, gamma=self.gamma_) @ weights for z in chunks(Z)])

    def _check_parameters(self):
        super()._check_parameters()
        if self.gamma not in (None, "largest"):
            check_number(self.gamma, "gamma", 0, low_open=True)


def median_gamma(Z: np.ndarray) -> float:
    """1 / (median squared distance of two of the samples Z, (n, k)), from at most 1000 of them, evenly spread."""
    Z = Z[:: -(-len(Z) // _COMPARED)]
    median = np.median(euclidean_distances(Z, squared=True)[np.triu_indices(len(Z), 1)])
    return 1.0 / float(median) if median > 0 else 1.0


def best_on_hold_out(scores: Sequence[np.ndarray], is_anomaly: ArrayLike) -> int:
    """Index of the candidate whose scores have the largest AUC; of equals, the first.

    scores: list of (m,) anomaly scores, one per candidate.   is_anomaly: (m,) bool, or 0 and 1. ValueError for anything
    else, and if all are of one kind.
    """
    is_anomaly = check_kinds(is_anomaly, len(scores[0]))
    if len(np.unique(is_anomaly)) < 2:
        raise ValueError("is_anomaly: expected normal and anomalous samples in the hold-out")
    return int(np.argmax([roc_auc_score(is_anomaly, s) for s in scores]))
