"""Figures 2 and 3: the right images, from kept scores, for any method; errors in one line."""

import numpy as np
import pytest
from helpers_grid import tiny_grid
from matplotlib.image import imread

from minisvdd import cli, load_dataset
from minisvdd.errors import DataError
from minisvdd.experiments.figures import plot_grid_examples, save_grid_examples
from minisvdd.experiments.grid import cells_of
from minisvdd.experiments.plots import mosaic
from minisvdd.experiments.running.run import run_grid
from minisvdd.files.atomic import atomic_write

pytestmark = pytest.mark.slow

METHODS = ["isolation-forest", "oc-svm", "anogan"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    run_grid(tiny_grid(methods=METHODS, seeds=1), out, verbose=0)
    return out


def pictures(figure):
    """The arrays that a figure shows, row by row: [most normal, most anomalous]."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_it_shows_the_extremes_of_the_class_in_order(finished):
    grid = tiny_grid(methods=METHODS, seeds=1)
    cell = next(c for c in cells_of(grid, ["isolation-forest"]) if c.normal_class == "8")
    split = load_dataset("digits").one_class("8")
    scores = np.random.default_rng(0).uniform(size=len(split.test))
    original = cell.scores_path(finished).read_bytes()
    with atomic_write(cell.scores_path(finished), "wb") as file:
        np.save(file, scores)
    figure = plot_grid_examples(finished, cell.method, ["8"], columns=5)
    cell.scores_path(finished).write_bytes(original)
    own = np.flatnonzero(~split.is_anomaly)
    ranked = own[np.argsort(scores[own])]
    normal, anomalous = pictures(figure)
    np.testing.assert_array_equal(normal, mosaic(split.test[ranked[:5]], 5))
    np.testing.assert_array_equal(anomalous, mosaic(split.test[ranked[::-1][:5]], 5))


def test_one_small_picture_per_method(finished):
    paths = save_grid_examples(finished)
    assert sorted(path.name for path in paths) == sorted(f"examples-{method}.png" for method in METHODS)
    for path in paths:
        assert path.stat().st_size < 200_000
        assert imread(path).std() > 0.05
    assert len(plot_grid_examples(finished, "anogan").axes) == 2 * 2


def test_every_class_has_a_row_of_its_own_and_grey_is_grey(finished):
    one, two = (plot_grid_examples(finished, "oc-svm", classes) for classes in (["3"], ["3", "8"]))
    assert two.get_size_inches()[1] > 1.3 * one.get_size_inches()[1]
    for axes in two.axes:
        assert axes.images[0].get_cmap().name == "gray"
        assert axes.images[0].get_clim() == (0, 1)


def test_command_line(finished, capsys):
    assert cli.main(["experiment", "figures", str(finished), "--methods", "oc-svm", "--classes", "3"]) == 0
    assert "examples-oc-svm.png" in capsys.readouterr().out
    for arguments, words in (
        (["--methods", "kde"], ["--methods kde", "oc-svm"]),
        (["--classes", "5"], ["--classes 5", "3, 8"]),
        (["--methods", "anogan", "--seed", "7"], ["--seed 7"]),
        (["--columns", "0"], ["--columns 0"]),
    ):
        assert cli.main(["experiment", "figures", str(finished), *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert all(word in error for word in words), error


def test_scores_of_other_samples_are_refused(finished, tmp_path):
    run_grid(tiny_grid(methods=["kde"], classes=["3"], seeds=1), tmp_path, verbose=0)
    (cell,) = cells_of(tiny_grid(methods=["kde"], classes=["3"], seeds=1))
    np.save(cell.scores_path(tmp_path), np.zeros(5))
    with pytest.raises(DataError, match="5 scores for 896"):
        plot_grid_examples(tmp_path, "kde")
    cell.path(tmp_path).unlink()
    with pytest.raises(DataError, match="not finished"):
        plot_grid_examples(tmp_path, "kde")
    text = (tmp_path / "grid.json").read_text()
    (tmp_path / "grid.json").write_text(text.replace('"data_hash": "', '"data_hash": "0'))
    with pytest.raises(DataError, match="not the data"):
        plot_grid_examples(tmp_path, "kde")
