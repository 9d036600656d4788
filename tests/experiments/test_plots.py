"""Pictures: written as PNG, without a display, with what they are meant to show in them."""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from trainer_properties import digits, small_model

import minisvdd
from minisvdd.data.datasets import Split
from minisvdd.experiments.plots import plot_examples, plot_scores, plot_training, save_training_pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return small_model(epochs=3, pretrain_epochs=2).fit(digits().train)


def test_pictures_of_a_training(model, tmp_path):
    paths = save_training_pictures(model, digits(), tmp_path, auc=0.9)
    assert [path.name for path in paths] == ["examples.png", "scores.png", "training.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert len(np.unique(np.asarray(image.convert("L")))) > 2
        assert path.stat().st_size < 200_000


@pytest.mark.parametrize("channels", [1, 3])
def test_examples_stand_in_the_order_of_their_scores(channels):
    """Image i is a plain square of brightness i / 10; the scores fall with i."""
    images = np.stack([np.full((channels, 4, 4), i / 10) for i in range(10)])
    left, right = plot_examples(images, scores=-np.arange(10.0), rows=1, columns=3).axes
    for axes, expected in ((left, [0.9, 0.8, 0.7]), (right, [0.0, 0.1, 0.2])):
        shown = np.asarray(axes.images[0].get_array())
        assert shown.shape[:2] == (4, 14)
        np.testing.assert_allclose([shown[0, 5 * k].max() for k in range(3)], expected)


def test_histogram_tells_classes_apart_and_shows_the_threshold():
    scores, is_anomaly = np.r_[np.zeros(5), np.ones(7)], np.arange(12) >= 5
    axes = plot_scores(scores, is_anomaly, threshold=0.5, auc=1.0).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["normal (5)", "anomalous (7)", "threshold"]
    assert "100.0" in axes.get_title()
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.5]


def test_training_curves_hold_every_epoch(model):
    axes = plot_training(model.history_, model.autoencoder_.history_).axes
    assert [len(a.lines[0].get_xdata()) for a in axes] == [2, 3, 3, 3]
    assert plot_training({"epoch": []}).axes


def test_without_labels_or_test_samples_there_is_still_a_picture(model, tmp_path):
    train = digits().train
    unlabelled = Split(train, digits().test, None, "all", None)
    assert len(save_training_pictures(model, unlabelled, tmp_path)) == 3
    assert [p.name for p in save_training_pictures(model, Split(train, None, None, "all", None), tmp_path)] == [
        "training.png"
    ]


def test_a_users_matplotlibrc_is_meant_for_other_figures(model, tmp_path):
    """LaTeX that is not there ended a training whose model was saved already."""
    plain = [path.read_bytes() for path in save_training_pictures(model, digits(), tmp_path / "plain")]
    wild = {"text.usetex": True, "font.size": 31, "axes.facecolor": "red", "figure.dpi": 17, "savefig.bbox": "tight"}
    with matplotlib.rc_context(wild):
        paths = save_training_pictures(model, digits(), tmp_path / "wild")
    assert [path.read_bytes() for path in paths] == plain


def test_every_figure_of_the_library_is_in_the_default_style():
    package = Path(minisvdd.__file__).parent
    for path in set(package.rglob("*.py")) - {package / "lecture.py"}:  # lectures have a look of their own
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                calls = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
                if "Figure" in calls or any(name.endswith(".savefig") for name in calls):
                    styles = [ast.unparse(decorator) for decorator in node.decorator_list]
                    assert "style.context('default')" in styles, f"{path.name}: {node.name}"
