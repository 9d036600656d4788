"""Pictures: written as PNG, without a display, with what they are meant to show in them."""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from trainer_properties import digits, small_model

import minisvdd
from minisvdd.data.split import Split
from minisvdd.experiments.plots import (
    displayed,
    plot_examples,
    plot_scores,
    plot_training,
    save_figure,
    save_training_pictures,
)

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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("threshold", [-9.0, 0.0, 1.0, 7.0])
@pytest.mark.parametrize("scores", [[5.0], [0.0], [-3.0] * 4, [5.0, 5.0 + 1e-13], [1e30] * 3, [0.0] * 300 + [9.0]])
def test_scores_that_are_all_alike_or_far_off_are_drawn_without_a_warning(scores, threshold, tmp_path):
    """And each kind stays in the legend, also one whose samples lie beyond the axis."""
    is_anomaly = np.arange(len(scores)) == len(scores) - 1
    figure = plot_scores(np.array(scores), is_anomaly, threshold)
    save_figure(figure, tmp_path / "scores.png")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [f"normal ({len(scores) - 1})"] * (len(scores) > 1) + ["anomalous (1)", "threshold"]


def test_kinds_may_be_zeros_and_ones_and_nothing_else():
    scores, kinds, images = np.r_[np.zeros(5), np.ones(7)], [0] * 5 + [1] * 7, np.zeros((12, 1, 4, 4))
    axes = plot_scores(scores, kinds, threshold=0.5).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["normal (5)", "anomalous (7)"]
    left, right = plot_examples(images, scores, rows=1, columns=5, is_anomaly=kinds).axes
    assert left.patches[0].get_edgecolor() != right.patches[0].get_edgecolor()
    wrong = {r"is_anomaly\[0\] is -1: expected True or 1": [-1, 1] * 6, r"has shape \(2,\): expected \(12,\)": [0, 1]}
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            plot_scores(scores, given, threshold=0.5)
        with pytest.raises(ValueError, match=message):
            plot_examples(images, scores, is_anomaly=given)


def test_examples_of_every_layout_look_the_same():
    """A picture that is black but for a pixel of 1 / 255 is black, also of uint8."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 6), np.uint8)
    dark = np.eye(4, dtype=np.uint8)[None, None].repeat(3, axis=0)
    for images in ([pixels, pixels / 255, np.moveaxis(pixels, 1, -1)], [dark, dark / 255, dark[:, 0]]):
        shown = [plot_examples(layout, np.arange(len(layout)), 1, 3).axes[0].images[0].get_array() for layout in images]
        for other in shown[1:]:
            np.testing.assert_allclose(other, shown[0], atol=1e-6)


def test_samples_without_labels_are_not_called_normal():
    axes = plot_scores(np.arange(9.0), None, threshold=5.0).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["unlabelled (9)", "threshold"]


def test_examples_are_framed_by_their_class():
    images, is_anomaly = np.zeros((6, 1, 4, 4)), np.arange(6) >= 3
    figure = plot_examples(images, np.arange(6.0), rows=1, columns=3, is_anomaly=is_anomaly)
    frames = [[frame.get_edgecolor() for frame in axes.patches] for axes in figure.axes]
    assert [len(set(side)) for side in frames] == [1, 1]
    assert frames[0][0] != frames[1][0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["normal", "anomalous"]
    assert not plot_examples(images, np.arange(6.0)).axes[0].patches


def test_images_of_any_scale_are_shown_as_they_look():
    ramp = np.linspace(0, 1, 16).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(displayed(ramp), ramp)
    np.testing.assert_allclose(displayed(255 * ramp), ramp)
    np.testing.assert_allclose(displayed(6 * ramp - 3), ramp)
    assert not displayed(np.full((1, 1, 4, 4), -2.0)).any()


def test_training_curves_hold_every_epoch(model):
    axes = plot_training(model.history_, model.autoencoder_.history_).axes
    assert [len(a.lines[0].get_xdata()) for a in axes] == [2, 3, 3]
    assert plot_training({"epoch": []}).axes


def test_the_fraction_outside_is_shown_where_it_says_something():
    history = {"epoch": [1, 2], "loss": [2.0, 1.0], "radius": [1.0, 0.9], "fraction_outside": [0.1, 0.1]}
    assert [a.get_title() for a in plot_training(history).axes] == ["Deep SVDD: loss", "Deep SVDD: radius R"]
    assert plot_training({**history, "fraction_outside": [0.3, 0.1]}).axes[-1].get_title() == "fraction outside"


@pytest.mark.parametrize(("n", "bars"), [(12, 10), (80, 17), (896, 59), (10000, 60)])
def test_few_samples_get_few_bars(n, bars, rng):
    assert len(plot_scores(rng.random(n), None, threshold=0.5).axes[0].containers[0]) == bars


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
    for path in sorted({*package.rglob("*.py")} - {package / "lecture.py"}):  # lectures have a style of their own
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                calls = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
                if "Figure" in calls or any(name.endswith(".savefig") for name in calls):
                    styles = [ast.unparse(decorator) for decorator in node.decorator_list]
                    assert "style.context('default')" in styles, f"{path.name}: {node.name}"
