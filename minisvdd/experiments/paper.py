"""Numbers printed in the paper, to stand beside ours: tables 1 and 2 (AUC in %, mean and deviation of 10 seeds).

`distance_from` says how far a column of ours is from the paper's, and how far it would be by chance.

Columns: OC-SVM/SVDD, KDE, isolation forest, DCAE, AnoGAN, soft-boundary and One-Class Deep SVDD.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

SEEDS = 10  # of the paper's means
METHODS = ("oc-svm", "kde", "isolation-forest", "dcae", "anogan", "soft-boundary", "one-class")

_MNIST = """
0 98.6 0.0 97.1 0.0 98.0 0.3 97.6 0.7 96.6 1.3 97.8 0.7 98.0 0.7
1 99.5 0.0 98.9 0.0 97.3 0.4 98.3 0.6 99.2 0.6 99.6 0.1 99.7 0.1
2 82.5 0.1 79.0 0.0 88.6 0.5 85.4 2.4 85.0 2.9 89.5 1.2 91.7 0.8
3 88.1 0.0 86.2 0.0 89.9 0.4 86.7 0.9 88.7 2.1 90.3 2.1 91.9 1.5
4 94.9 0.0 87.9 0.0 92.7 0.6 86.5 2.0 89.4 1.3 93.8 1.5 94.9 0.8
5 77.1 0.0 73.8 0.0 85.5 0.8 78.2 2.7 88.3 2.9 85.8 2.5 88.5 0.9
6 96.5 0.0 87.6 0.0 95.6 0.3 94.6 0.5 94.7 2.7 98.0 0.4 98.3 0.5
7 93.7 0.0 91.4 0.0 92.0 0.4 92.3 1.0 93.5 1.8 92.7 1.4 94.6 0.9
8 88.9 0.0 79.2 0.0 89.9 0.4 86.5 1.6 84.9 2.1 92.9 1.4 93.9 1.6
9 93.1 0.0 88.2 0.0 93.5 0.3 90.4 1.8 92.4 1.1 94.9 0.6 96.5 0.3
"""
_CIFAR10 = """
airplane   61.6 0.9 61.2 0.0 60.1 0.7 59.1 5.1 67.1 2.5 61.7 4.2 61.7 4.1
automobile 63.8 0.6 64.0 0.0 50.8 0.6 57.4 2.9 54.7 3.4 64.8 1.4 65.9 2.1
bird       50.0 0.5 50.1 0.0 49.2 0.4 48.9 2.4 52.9 3.0 49.5 1.4 50.8 0.8
cat        55.9 1.3 56.4 0.0 55.1 0.4 58.4 1.2 54.5 1.9 56.0 1.1 59.1 1.4
deer       66.0 0.7 66.2 0.0 49.8 0.4 54.0 1.3 65.1 3.2 59.1 1.1 60.9 1.1
dog        62.4 0.8 62.4 0.0 58.5 0.4 62.2 1.8 60.3 2.6 62.1 2.4 65.7 2.5
frog       74.7 0.3 74.9 0.0 42.9 0.6 51.2 5.2 58.5 1.4 67.8 2.4 67.7 2.6
horse      62.6 0.6 62.6 0.0 55.1 0.7 58.6 2.9 62.5 0.8 65.2 1.0 67.3 0.9
ship       74.9 0.4 75.1 0.0 74.2 0.6 76.8 1.4 75.8 4.1 75.6 1.7 75.9 1.2
truck      75.9 0.3 76.0 0.0 58.9 0.7 67.3 3.0 66.5 2.8 71.0 1.1 73.1 1.2
"""


def _parse(text):
    rows = (line.split() for line in text.strip().splitlines())
    return {
        name: {method: (float(values[2 * i]), float(values[2 * i + 1])) for i, method in enumerate(METHODS)}
        for name, *values in rows
    }


# TABLE_1["mnist"]["3"]["one-class"] == (91.9, 1.5)
TABLE_1 = {"mnist": _parse(_MNIST), "cifar10": _parse(_CIFAR10)}

# Stop signs under the Boundary Attack. AnoGAN did not converge there, for too little data.
TABLE_2 = {
    "stop": {
        "oc-svm": (67.5, 1.2),
        "kde": (60.5, 1.7),
        "isolation-forest": (73.8, 0.9),
        "dcae": (79.1, 3.0),
        "soft-boundary": (77.8, 4.9),
        "one-class": (80.3, 2.8),
    }
}
# By the name of the data, for files that without their ending.
TABLES = {**TABLE_1, "stop-signs": TABLE_2}


@dataclass(frozen=True)
class Distance:
    """A column of ours beside the paper's, in points of AUC, over the classes that both have.

    difference: of the means over classes, ours less the paper's, with its standard_error.   rms: root of the mean over
    classes of the squared difference.   expected: what that would be if seeds were all that differed.   correlation:
    Spearman's, of the classes' order; nan for fewer than three.
    """

    difference: float
    standard_error: float
    rms: float
    expected: float
    correlation: float


def distance_from(ours: dict[str, tuple[float, float, int]], paper: dict[str, tuple[float, float]]) -> Distance:
    """How far ours is from the paper's.  ours: by class, mean, standard deviation (n - 1 in the denominator) and n.

    If both are means of independent draws of the same thing, of n with deviation s and of 10 with deviation t, their
    difference D has mean 0 and E[D^2] = s^2 / n + t^2 / 10 in each class. A single seed has no deviation of its own: it
    is given the paper's, so that E[D^2] = 1.1 t^2. ValueError when no class is in both.

    >>> round(distance_from({"3": (91.0, 1.5, 10)}, {"3": (91.9, 1.5)}).expected, 2)
    0.67
    """
    classes = [name for name in ours if name in paper]
    if not classes:
        raise ValueError("ours: expected a class that the paper has, too")
    means, deviations, counts = (np.array([ours[name][i] for name in classes], float) for i in range(3))
    printed, spread = (np.array([paper[name][i] for name in classes]) for i in range(2))
    own = np.where(np.isfinite(deviations), deviations, spread)
    difference, variance = means - printed, own**2 / counts + spread**2 / SEEDS
    order = spearmanr(means, printed).statistic if len(classes) > 2 else np.nan
    return Distance(
        difference=float(difference.mean()),
        standard_error=float(np.sqrt(variance.sum()) / len(classes)),
        rms=float(np.sqrt(np.mean(difference**2))),
        expected=float(np.sqrt(variance.mean())),
        correlation=float(order),
    )
