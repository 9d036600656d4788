"""OC-SVM and KDE in the grid: how each protocol chooses their widths, and what their AUC is computed on."""

from dataclasses import replace

import numpy as np
import pytest
from helpers_grid import run_grid, tiny_grid
from sklearn.metrics import roc_auc_score

from minisvdd import load_dataset
from minisvdd.experiments.grid import cells_of, read_cell, read_grid, read_scores
from minisvdd.experiments.protocols import get_shallow_protocol
from minisvdd.experiments.report import write_report
from minisvdd.rivals.density import KernelDensity
from minisvdd.rivals.svm import OneClassSVM

pytestmark = pytest.mark.slow


def test_oc_svm_chooses_gamma_on_a_tenth_of_the_test_set(tmp_path):
    """As the paper did, for every draw of that tenth."""
    run_grid(tiny_grid(methods=["oc-svm"], classes=["0"], seeds=1), tmp_path, verbose=0)
    split = load_dataset("digits").one_class("0")
    cell = next(c for c in cells_of(read_grid(tmp_path)) if c.nu == 0.1)
    chosen = read_cell(cell, tmp_path)["gamma"]
    assert len(set(chosen)) > 1
    for draw in range(4):
        held = np.random.default_rng(draw).permutation(len(split.test))[: round(len(split.test) / 10)]
        model = OneClassSVM(nu=0.1, preprocessing="gcn-l1", threshold="nu")
        model.fit_on_hold_out(split.train, split.test[held], split.is_anomaly[held])
        assert chosen[draw] == model.gamma_


def shallow_of_the_first_scripts(data, out):
    """OC-SVM and KDE as the scripts have them on that data, of the digits' zeros: their cells and the split."""
    grid = tiny_grid(methods=["oc-svm", "kde"], classes=["0"], seeds=1)
    run_grid(replace(grid, shallow_protocol=get_shallow_protocol("authors-theano", data)), out, verbose=0)
    return *cells_of(read_grid(out)), load_dataset("digits").one_class("0")


def test_widths_by_the_largest_distance_need_neither_labels_nor_search(tmp_path):
    """As the first scripts had it on MNIST: one gamma, whatever the hold-out; all pixels; one nu."""
    svm, kde, split = shallow_of_the_first_scripts("mnist", tmp_path)
    alike = {"preprocessing": "min-max", "threshold": "nu", "pca": False}
    model = OneClassSVM("largest", nu=0.1, **alike).fit(split.train)
    assert (svm.nu, set(read_cell(svm, tmp_path)["gamma"])) == (0.1, {model.gamma_})
    auc = roc_auc_score(split.is_anomaly, model.anomaly_score(split.test))
    assert read_cell(svm, tmp_path)["auc"]["trained"] == [auc] * 10
    report, _ = write_report(tmp_path)
    assert "(oc-svm: one run; kde: one run)" in report
    assert "widths are given: 'largest'" in report
    assert not any(words in report for words in ("better nu", "labels", "hold-outs"))
    model = KernelDensity("largest", kernel="exponential", **alike).fit(split.train)
    assert read_cell(kde, tmp_path)["bandwidth"] == model.bandwidth_
    np.testing.assert_array_equal(read_scores(kde, tmp_path), model.anomaly_score(split.test))


def test_so_small_a_gamma_that_the_solver_stops_where_it_starts(tmp_path):
    """Then the first nu n training samples in a random order carry the weight, and the mean of all of them KDE's."""
    svm, kde, split = shallow_of_the_first_scripts("cifar10", tmp_path)
    model = KernelDensity(preprocessing="gcn-l1", threshold="nu").fit(split.train)
    train, test = model.components(split.train), model.components(split.test)
    n = len(train)

    def distances(some):
        """To their mean, squared, up to a constant."""
        return ((test[:, None] - some) ** 2).sum(axis=2).mean(axis=1)

    for draw, auc in enumerate(read_cell(svm, tmp_path)["auc"]["trained"]):
        first = np.random.default_rng(draw).permutation(n)[: round(0.1 * n)]
        counted = np.random.default_rng(draw).permutation(len(test))[round(len(test) / 10) :]
        expected = roc_auc_score(split.is_anomaly[counted], distances(train[first])[counted])
        assert auc == pytest.approx(expected, abs=0.01)
    assert np.std(read_cell(svm, tmp_path)["auc"]["trained"]) > 0
    assert "oc-svm: ten orders of the training samples" in write_report(tmp_path)[0]
    assert read_cell(kde, tmp_path)["auc"]["trained"] == pytest.approx(
        roc_auc_score(split.is_anomaly, distances(train)), abs=1e-3
    )
