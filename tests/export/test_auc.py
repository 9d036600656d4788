"""The interval of an AUC: it contains the truth as often as it says, and is no point where all pairs are in order."""

import numpy as np
import pytest

from minisvdd.export.auc import auc_interval


@pytest.mark.parametrize(("normal", "anomalous"), [(10, 10), (30, 20), (20, 60)])
@pytest.mark.parametrize("truth", [0.6, 0.9, 0.99])
def test_it_contains_the_truth_about_as_often_as_it_says(normal, anomalous, truth, rng):
    """Exponential scores, whose P(x < y) is the share that the second mean has of both."""
    x, y = rng.exponential(1, (400, normal, 1)), rng.exponential(truth / (1 - truth), (400, 1, anomalous))
    found = [auc_interval(float(auc), normal, anomalous) for auc in (x < y).mean(axis=(1, 2))]
    assert 0.91 <= np.mean([low <= truth <= high for low, high in found]) <= 0.99


def test_it_lies_around_the_auc_and_narrows_with_more_samples():
    for auc in (0.0, 0.3, 0.5, 0.999, 1.0):
        widths = []
        for n in (2, 10, 100, 10000):
            low, high = auc_interval(auc, n, n)
            assert 0 <= low <= auc <= high <= 1
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True)
        assert widths[-2] > 0.01, "a hundred samples prove no perfect detector"


def test_exchanging_both_kinds_mirrors_it():
    low, high = auc_interval(0.8, 15, 40)
    np.testing.assert_allclose(auc_interval(1 - 0.8, 15, 40), (1 - high, 1 - low), atol=0.03)
    np.testing.assert_allclose(
        auc_interval(0.5, 9, 9), tuple(1 - end for end in auc_interval(0.5, 9, 9)[::-1]), atol=1e-6
    )


def test_more_confidence_takes_more_room():
    narrow, broad = auc_interval(0.9, 20, 20, level=0.5), auc_interval(0.9, 20, 20, level=0.99)
    assert broad[0] < narrow[0] < 0.9 < narrow[1] < broad[1]
