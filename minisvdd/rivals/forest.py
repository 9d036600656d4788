"""Isolation forest, a shallow method of table 1 (paper, section 4.1)."""

import numpy as np
from sklearn.ensemble import IsolationForest as SklearnForest

from ..validation import Seed, check_generator, check_number
from .baseline import Baseline


class IsolationForest(Baseline):
    """Isolation forest: the score grows as random cuts isolate a sample sooner (Liu et al., 2008).

    Parameters
    ----------
    n_trees : int, default=100
        As in the paper.
    subsample : int, default=256
        Training samples of each tree, as in the paper; all where there are fewer.
    nu : float, default=0.1
        In (0, 1]; fraction of the training samples beyond `offset_` of kind "nu".
    preprocessing : {"gcn-l1", "min-max", "standardize"} or None, default=None
        Before the principal components.
    random_state : int, Generator or None, default=0
        A seed or a NumPy generator: of samples and cuts.
    threshold : {"auto", "holdout", "nu"}, default="auto"
        "holdout": by normal samples held out of training, drawn from `random_state`, such that new normal samples are
        beyond it at a rate of at most `false_alarm_rate`. "nu": by the training samples. "auto": "holdout" where there
        are enough samples, else "nu" with a ThresholdWarning.
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
    forest_ : sklearn.ensemble.IsolationForest
        The trees, fitted.
    pca_ : sklearn.decomposition.PCA or None
        The principal components they cut.
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
    Liu et al., "Isolation Forest", ICDM 2008.
    Ruff et al., "Deep One-Class Classification", ICML 2018: section 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from minisvdd import IsolationForest
    >>> normal = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = IsolationForest(n_trees=20).fit(normal)
    >>> near, far = model.anomaly_score([[0, 0, 0], [9, 9, 9]])
    >>> bool(near < far)
    True
    """

    def __init__(
        self,
        n_trees: int = 100,
        subsample: int = 256,
        nu: float = 0.1,
        preprocessing: str | None = None,
        random_state: Seed = 0,
        threshold: str = "auto",
        false_alarm_rate: float = 0.05,
        holdout: float = 0.2,
        refit: bool = False,
        pca: bool = True,
    ) -> None:
        self.n_trees = n_trees
        self.subsample = subsample
        self.nu = nu
        self.preprocessing = preprocessing
        self.random_state = random_state
        self.threshold = threshold
        self.false_alarm_rate = false_alarm_rate
        self.holdout = holdout
        self.refit = refit
        self.pca = pca

    def fit_components(self, Z: np.ndarray) -> None:
        seed = int(check_generator(self.random_state).integers(2**31))
        size = min(self.subsample, len(Z))
        self.forest_ = SklearnForest(n_estimators=self.n_trees, max_samples=size, random_state=seed).fit(Z)

    def score_components(self, Z: np.ndarray) -> np.ndarray:
        return -self.forest_.score_samples(Z)

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self.n_trees, "n_trees", 1, integer=True)
        check_number(self.subsample, "subsample", 2, integer=True)
        check_generator(self.random_state)
