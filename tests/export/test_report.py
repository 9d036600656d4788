"""The report: every section for every kind of samples; a page that needs nothing else; what comes from data is text."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import Browser, find_chromium
from PIL import Image

from minisvdd import Autoencoder, DataError, DeepSVDD
from minisvdd.export import Findings, write_report
from minisvdd.export.images import LARGEST, heat_uri, picture_uri
from minisvdd.export.page import page, table, text
from minisvdd.export.report import render
from minisvdd.svdd.conformal import false_alarm_interval

NASTY = '<script>alert("x")</script>&amp;\'"\n\x00\u202e größe \udcff.png'
OPEN_TAGS = {"meta", "img", "br", "!doctype"}


class Checked(HTMLParser):
    """Fails for tags that do not match; collects pictures, headings, and the page's text."""

    def __init__(self, content):
        super().__init__()
        self.open, self.images, self.headings, self.words, self.tags = [], [], [], [], set()
        self.feed(content)
        assert self.open == []
        self.text = " ".join(self.words)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes)
        assert not {"src", "href"} & attributes.keys() or attributes["src"].startswith("data:image/")
        if tag not in OPEN_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip())
        if "style" not in self.open:
            self.words.append(data.strip())


def fitted(kind, n=60, **arguments):
    """A detector of a few epochs, and samples of which the last quarter is anomalous."""
    rng = np.random.default_rng(0)
    shape = {"grey": (1, 8, 8), "rgb": (3, 8, 8), "large": (3, 72, 80), "features": (4,)}[kind]
    train, test = rng.random((n, *shape)).astype(np.float32), rng.random((40, *shape)).astype(np.float32)
    test[30:] *= 0.2
    settings = {"epochs": 2, "pretrain_epochs": 2, "batch_size": 16, "verbose": 0, "false_alarm_rate": 0.1}
    if kind == "large":
        settings |= {"epochs": 0, "pretrain_epochs": 0, "threshold": "nu"}
    return DeepSVDD(**{**settings, **arguments}).fit(train), test, np.arange(40) >= 30


def checked(findings, **options):
    return Checked(render(findings, **options))


LABELLED = ["Scores", "Missed anomalies", "False alarms", "Most anomalous", "Most normal", "Training"]


@pytest.mark.parametrize("kind", ["grey", "rgb"])
def test_pictures_with_labels(kind):
    model, samples, is_anomaly = fitted(kind)
    names = [f"test/{k}.png" for k in range(40)]
    found = Findings(model, samples, "parts", "good", names, np.where(is_anomaly, "crack", "good"), is_anomaly)
    seen = checked(found, shown=3)
    headings = [heading for heading in seen.headings if heading in LABELLED]
    assert headings == LABELLED
    assert "By class" in seen.headings
    auc, low, high = found.auc()
    assert f"{100 * auc:.1f} %" in seen.text
    assert f"95 % interval: {100 * low:.1f} % to {100 * high:.1f} %" in seen.text
    rates = found.false_alarms()
    assert rates["asked"] == 0.1
    assert rates["measured"] == found.outlier[:30].mean()
    assert rates["expected"] == false_alarm_interval(len(model.holdout_scores_), 0.1, 30)
    assert f"by {len(model.holdout_scores_)} held-out samples" in seen.text
    pairs = [image for image in seen.images if image.get("class") == "small"]
    expected = 2 * (3 + 3 + min(3, len(found.missed())) + min(3, len(found.alarms())))
    assert len(pairs) == expected
    assert all(image["alt"] for image in seen.images)
    worst = int(np.argmax(found.scores))
    assert f"test/{worst}.png" in seen.text
    assert f"score {found.scores[worst]:.4g} · p = {found.p_values[worst]:.3g}" in seen.text


def test_features_with_labels_name_what_is_to_blame():
    model, samples, is_anomaly = fitted("features", random_state=1)
    samples[35] = samples[0]
    samples[35, 2] = 50.0
    found = Findings(model, samples, "pumps", is_anomaly=is_anomaly, feature_names=("a", "b", "<c>", "d"))
    seen = checked(found)
    assert found.most_anomalous(1).tolist() == [35]
    shares = model.explain(samples[35:36])[0]
    assert f"<c> = 50 ({100 * shares[2] / shares.sum():.0f} %)" in seen.text
    assert "sample 35" in seen.text
    assert "feature 0 = " in checked(Findings(model, samples, "pumps")).text


def test_without_labels_it_says_so_and_shows_what_there_is():
    model, samples, _ = fitted("grey")
    seen = checked(Findings(model, samples, "new"))
    assert "The samples are unlabelled" in seen.text
    assert {"Scores", "Most anomalous", "Most normal", "Training"} <= set(seen.headings)
    assert not {"Missed anomalies", "False alarms", "By class"} & set(seen.headings)
    assert "AUC" not in seen.text.partition("How to read it")[0]


def test_of_training_samples_it_says_so_and_gives_no_p_values():
    model, samples, _ = fitted("grey")
    seen = checked(Findings(model, samples, "new", trained_on=True))
    assert "There are no test samples" in seen.text
    assert "p = " not in seen.text


@pytest.mark.parametrize("value", [False, True])
def test_one_kind_alone_has_no_auc_but_its_errors(value):
    model, samples, _ = fitted("grey")
    found = Findings(model, samples, "new", is_anomaly=np.full(40, value))
    seen = checked(found)
    assert found.auc() is None
    assert f"All samples are {'anomalous' if value else 'normal'}" in seen.text
    assert ("Missed anomalies" in seen.headings) == value
    assert ("False alarms" in seen.headings) != value


def test_the_threshold_of_nu_promises_nothing():
    model, samples, is_anomaly = fitted("grey", threshold="nu")
    seen = checked(Findings(model, samples, "new", is_anomaly=is_anomaly))
    assert "nothing is promised" in seen.text
    assert "p = " not in seen.text
    assert "p-value" not in seen.text


def test_errors_are_those_of_the_threshold_in_the_order_of_their_scores():
    model, samples, is_anomaly = fitted("features")
    found = Findings(model, samples, "new", is_anomaly=is_anomaly)
    predicted = model.predict(samples)
    assert set(found.missed()) == set(np.flatnonzero(is_anomaly & (predicted == 1)))
    assert set(found.alarms()) == set(np.flatnonzero(~is_anomaly & (predicted == -1)))
    assert (np.diff(found.scores[found.missed()]) >= 0).all()
    assert (np.diff(found.scores[found.alarms()]) <= 0).all()
    np.testing.assert_array_equal(found.p_values, model.p_value(samples))


def test_what_comes_from_data_is_only_ever_text():
    model, samples, is_anomaly = fitted("grey")
    labels = np.where(is_anomaly, NASTY, "good")
    result = {"protocol": NASTY, "signs_of_harm": [NASTY], "versions": {NASTY: NASTY}, "seconds": [NASTY]}
    found = Findings(model, samples, NASTY, NASTY, [NASTY] * 40, labels, is_anomaly, result=result, notes=[NASTY])
    content = render(found)
    content.encode("utf-8")
    seen = Checked(content)
    assert "script" not in seen.tags
    assert '<script>alert("x")</script>' in seen.text
    assert "\u202e" not in content
    assert "größe" in content


def test_names_of_features_are_text_too():
    model, samples, _ = fitted("features")
    assert "script" not in checked(Findings(model, samples, "new", feature_names=[NASTY] * 4)).tags


def test_the_same_findings_make_the_same_bytes(tmp_path):
    model, samples, is_anomaly = fitted("rgb")
    paths = [
        write_report(tmp_path / name, Findings(model, samples, "new", is_anomaly=is_anomaly))
        for name in ("a.html", "b.html")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths
    assert str(tmp_path) not in paths[0].read_text(encoding="utf-8")


def test_the_file_stays_small_however_many_and_large_the_samples():
    model, samples, is_anomaly = fitted("large", n=20)
    many = np.concatenate([samples] * 5)
    content = render(Findings(model, many, "new", is_anomaly=np.tile(is_anomaly, 5)))
    assert len(content) < 2_000_000
    assert len(Checked(content).images) <= 2 * 4 * 12 + 8


def test_pictures_are_what_they_show():
    image = np.zeros((3, 8, 10), np.float32)
    image[0, 2, 3] = 1
    shown = decoded(picture_uri(image))
    assert shown.shape == (8, 10, 3)
    assert shown[2, 3].tolist() == [255, 0, 0]
    blame = np.zeros((8, 10))
    blame[5, 5] = 4
    heat = decoded(heat_uri(image, blame, 2.0)).astype(int)
    assert heat[5, 5].sum() > 100
    assert (heat[:5] == shown[:5]).all()
    assert max(decoded(picture_uri(np.zeros((1, 500, 1000)))).shape) == LARGEST
    assert decoded(picture_uri(np.full((2, 4, 4), 7.0))).shape == (4, 4, 3), "channels that are no colours"


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_other_detectors_and_histories_that_make_no_sense():
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = Autoencoder(epochs=2, verbose=0).fit(X)
    assert "Autoencoder: loss" in str(checked(Findings(model, X, "new")).images)
    for history in ({}, {"epoch": [1, 2], "loss": ["a", None]}, {"epoch": [1], "loss": [np.inf]}, {"loss": [1.0]}):
        model.history_ = history
        assert "Training" not in checked(Findings(model, X, "new")).headings


@pytest.mark.parametrize("kind", [int, float, np.uint8, list, tuple])
def test_labels_may_be_zeros_and_ones(kind):
    model, samples, is_anomaly = fitted("features")
    expected = Findings(model, samples, "new", is_anomaly=is_anomaly)
    given = kind(is_anomaly.astype(int).tolist()) if kind in (list, tuple) else is_anomaly.astype(kind)
    found = Findings(model, samples, "new", is_anomaly=given)
    assert found.counts() == (30, 10)
    assert found.false_alarms() == expected.false_alarms()
    assert found.is_anomaly.dtype == bool
    np.testing.assert_array_equal(found.is_anomaly, expected.is_anomaly)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"is_anomaly": [1, -1] * 20}, r"is_anomaly\[1\] is -1: expected True or 1 for an anomaly"),
        ({"is_anomaly": [0, 0.5] * 20}, r"is_anomaly\[1\] is 0.5"),
        ({"is_anomaly": ["good"] * 40}, r"is_anomaly\[0\] is 'good'"),
        ({"is_anomaly": [None] * 40}, r"is_anomaly\[0\] is None"),
        ({"is_anomaly": [True] * 39}, r"is_anomaly has shape \(39,\): expected \(40,\)"),
        ({"is_anomaly": [[True]] * 40}, r"is_anomaly has shape \(40, 1\): expected \(40,\)"),
        ({"is_anomaly": [[True], [True, False]] * 20}, r"is_anomaly: expected shape \(40,\)"),
        ({"names": ["a.png"] * 41}, r"names has shape \(41,\): expected \(40,\)"),
        ({"labels": ["good"] * 3}, r"labels has shape \(3,\): expected \(40,\)"),
        ({"feature_names": ["a", "b"]}, r"feature_names has shape \(2,\): expected \(4,\)"),
    ],
)
def test_what_does_not_fit_the_samples_is_named(given, message):
    model, samples, _ = fitted("features")
    with pytest.raises(ValueError, match=message) as caught:
        Findings(model, samples, "new", **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["grey", "rgb"])
def test_pictures_in_every_layout_that_a_model_takes_are_the_same_findings(kind):
    """Of uint8 and of floating-point numbers, channels first, last or left out."""
    model, samples, is_anomaly = fitted(kind)
    pixels = np.uint8(np.rint(255 * samples))
    pixels[0] = 255  # white all over
    layouts = [pixels, np.moveaxis(pixels, 1, -1)] + ([pixels[:, 0]] if kind == "grey" else [])
    findings = [
        Findings(model, given, "new", is_anomaly=is_anomaly) for layout in layouts for given in (layout, layout / 255)
    ]
    for found in findings:
        assert found.are_pictures
        np.testing.assert_array_equal(found.samples, findings[0].samples)
        np.testing.assert_array_equal(found.scores, findings[0].scores)
    assert render(findings[-1]) == render(findings[0])
    assert decoded(picture_uri(found.samples[0])).min() == 255


def test_rows_of_a_table_name_its_columns():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(rng.normal(size=(60, 4)), columns=["heat", "flow", "<noise>", "d"])
    model = DeepSVDD(epochs=1, pretrain_epochs=0, verbose=0, threshold="nu").fit(table)
    is_anomaly = pandas.Series(rng.random(60) < 0.5, index=rng.permutation(60))
    seen = checked(Findings(model, table, "pumps", is_anomaly=is_anomaly))
    assert "<noise> = " in seen.text
    assert f"{(~is_anomaly).sum()} normal and {is_anomaly.sum()} anomalous" in seen.text


def test_samples_and_labels_may_be_lists():
    model, samples, is_anomaly = fitted("features")
    labels = np.where(is_anomaly, "bent", "fine")
    expected = checked(Findings(model, samples.tolist(), "new", labels=labels, is_anomaly=is_anomaly))
    found = checked(Findings(model, samples.tolist(), "new", labels=labels.tolist(), is_anomaly=is_anomaly.tolist()))
    assert found.text == expected.text
    assert "By class" in found.headings


def test_no_samples_are_refused_and_a_file_that_cannot_be_written(tmp_path):
    model, samples, _ = fitted("features")
    with pytest.raises(ValueError, match="at least one sample"):
        Findings(model, samples[:0], "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        write_report(tmp_path / "file" / "report.html", Findings(model, samples, "new"))


def test_parts_of_a_page():
    assert text(NASTY).count("\ufffd") == 4
    assert 'class="number"' in table(("a", "b"), [("<", 1)], numbers=[1])
    content = page("<title>", ["<p>x</p>"])
    assert "<title>&lt;title&gt;</title>" in content
    assert "default-src 'none'" in content
    assert not re.search("https?://", content)


BROKEN = """Promise.all([...document.images].map(i => i.decode().then(() => "", () => i.src.slice(0, 60))))
  .then(list => list.filter(Boolean))"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(find_chromium(), tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")
@pytest.mark.parametrize("kind", ["grey", "large", "features"])
def test_in_a_browser(kind, browser, tmp_path):
    model, samples, is_anomaly = fitted(kind, n=20 if kind == "large" else 60)
    names = None if kind == "features" else [f"a_very_long_name_{'x' * 150}_{k}<b>.png" for k in range(40)]
    labels = np.where(is_anomaly, f"class_{'y' * 90}", "good")
    found = Findings(model, samples, "z" * 120, "good", names, labels, is_anomaly, notes=["w" * 200])
    path = write_report(tmp_path / "report.html", found)
    for width in (1280, 390):
        browser.set_width(width)
        browser.open(path.as_uri())
        assert browser.evaluate(BROKEN) == []
        assert browser.evaluate("document.images.length") > 3
        assert browser.evaluate("[...document.images].filter(i => !i.alt.trim()).length") == 0
        assert browser.evaluate(TOO_WIDE) <= 0, f"wider than a window of {width} pixels"
        assert browser.problems() == []
