"""A report one can send: what a detector says of samples, on one page of HTML that needs neither network nor script.

from minisvdd.export import Findings, write_report
write_report("report.html", Findings(model, X, "parts", is_anomaly=labels, names=files))

Curves, the errors that the threshold makes, the most normal and the most anomalous samples with what is to blame in
each, and how the detector was made. Of each kind so many samples are shown, so that the file stays small however many
there are; the same findings make the same bytes.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..experiments.experiments import versions
from ..experiments.heatmaps import hottest_of
from ..files.atomic import atomic_write
from ..validation import fitted_params
from . import charts
from .findings import Findings
from .images import SMALL, figure_uri, heat_uri, picture_uri
from .page import chart, page, paragraph, section, table, text, tile

SHOWN = 12
_BLAMED = 3  # features that are named of a sample
_MOST_KINDS = 30
_SETTINGS = (
    "objective", "nu", "network", "patch_size", "pretrain_epochs", "epochs", "learning_rate", "milestones",
    "weight_decay", "batch_size", "preprocessing", "backend", "threshold", "false_alarm_rate", "holdout", "refit",
    "random_state",
)  # fmt: skip
_FROM_RESULT = {"protocol": "protocol", "n_train": "training samples", "seconds": "seconds of training"}


def write_report(path, findings: Findings, shown: int = SHOWN) -> Path:
    """Write the report atomically; returns its path.  shown: samples of each kind at most."""
    content = render(findings, shown)
    with atomic_write(path) as file:
        file.write(content)
    return Path(path)


def render(findings: Findings, shown: int = SHOWN) -> str:
    """The report as HTML."""
    samples = _Samples(findings, _all_shown(findings, shown))
    parts = (_head, _warnings, _tiles, _scores, _kinds)
    body = [line for part in parts for line in part(findings)]
    body += [*_errors(findings, samples, shown), *_extremes(findings, samples, shown)]
    body += [*_training(findings), *_made(findings), *_reading(findings), _foot()]
    return page(f"{findings.data}: anomaly report", body)


def _foot():
    return f"<footer>{text('minisvdd ' + versions()['minisvdd'])}: Deep one-class classification (ICML 2018)</footer>"


# --- What is seen first -----------------------------------------------------------------------------------------------


def _head(f: Findings) -> Iterator[str]:
    normal, anomalous = f.counts()
    kind = "training" if f.trained_on else "test"
    words = [f"{len(f.samples)} {kind} samples"]
    if f.is_anomaly is not None:
        words.append(f"{normal} normal and {anomalous} anomalous")
    if f.normal_class is not None:
        words.insert(0, f"normal class {f.normal_class}")
    yield '<p class="eyebrow">Anomaly report</p>'
    yield f"<h1>{text(f.data)}</h1>"
    yield paragraph(" · ".join(words), "lead")


def _warnings(f: Findings) -> Iterator[str]:
    signs = getattr(f.model, "diagnostics", dict)().get("signs_of_collapse", [])
    for sign in signs:
        yield paragraph(f"Sign of collapse: {sign}.", "warning")
    for sign in f.result.get("signs_of_harm") or ():
        yield paragraph(f"Sign of harm: {sign}.", "warning")
    if f.trained_on:
        yield paragraph(
            "There are no test samples. What follows is about the samples of the training: it shows whether something "
            "is among them that does not belong there, not how well new anomalies are found.",
            "note",
        )
    elif f.is_anomaly is None:
        yield paragraph(
            "The samples are unlabelled. How many anomalies are found or missed cannot be said, only what the detector "
            "takes for anomalous.",
            "note",
        )
    elif f.auc() is None:
        kind = "normal" if f.counts()[0] else "anomalous"
        yield paragraph(f"All samples are {kind}: there is no AUC, which compares both kinds.", "note")


def _tiles(f: Findings) -> Iterator[str]:
    tiles = []
    if (found := f.auc()) is not None:
        auc, low, high = found
        tiles.append(tile("AUC", _percent(auc), f"95 % interval: {_percent(low)} to {_percent(high)}"))
    if f.counts()[1]:
        beyond = int((f.outlier & f.is_anomaly).sum())
        tiles.append(
            tile(
                "anomalies found", _percent(beyond / f.counts()[1]), f"{beyond} of {f.counts()[1]} beyond the threshold"
            )
        )
    if tiles or f.counts()[0]:
        tiles.append(_false_alarm_tile(f))
    else:
        beyond = int(f.outlier.sum())
        below = f"of {len(f.samples)} samples, {_percent(beyond / len(f.samples))}"
        tiles.append(tile("beyond the threshold", str(beyond), below))
        tiles.append(_false_alarm_tile(f))
    yield f'<div class="tiles">{"".join(tiles)}</div>'


def _false_alarm_tile(f: Findings) -> str:
    rates = f.false_alarms()
    words = "nothing is promised: the threshold is nu's, of the training samples"
    if "asked" in rates:
        low, high = rates["expected"]
        held = len(f.model.holdout_scores_)
        words = (
            f"{_percent(rates['asked'])} asked; by {held} held-out samples {_percent(low)} to {_percent(high)} expected"
        )
    return tile("false alarms", _percent(rates["measured"]) if "measured" in rates else "not measured", words)


# --- Scores -----------------------------------------------------------------------------------------------------------


def _scores(f: Findings) -> Iterator[str]:
    figures = [
        chart(figure_uri(charts.scores(f)), "histogram of the anomaly scores, with the threshold", _scores_caption(f))
    ]
    if f.auc() is not None:
        figures += [
            chart(
                figure_uri(charts.roc(f)),
                "ROC curve: anomalies found against false alarms",
                "Every threshold is a point: how many anomalies it finds, at how many false alarms. The dot is this "
                "detector's.",
            ),
            chart(
                figure_uri(charts.precision_recall(f)),
                "precision against recall",
                f"Of what is reported, how much is anomalous; it depends on how many anomalies there are (here "
                f"{_percent(np.mean(f.is_anomaly))}, the dotted line).",
            ),
        ]
    yield section("Scores", f'<div class="charts">{"".join(figures)}</div>')


def _scores_caption(f: Findings) -> str:
    return f"The larger, the more anomalous. Beyond the threshold, {-f.model.offset_:.4g}, a sample is reported."


def _kinds(f: Findings) -> Iterator[str]:
    """Each class: how many of it are found."""
    if f.labels is None or f.is_anomaly is None:
        return
    kinds = sorted(set(f.labels.tolist()), key=lambda kind: (bool(f.is_anomaly[f.labels == kind].any()), kind))
    rows = []
    for kind in kinds[:_MOST_KINDS]:
        chosen = f.labels == kind
        beyond, n = int(f.outlier[chosen].sum()), int(chosen.sum())
        meant = "anomalous" if f.is_anomaly[chosen].any() else "normal"
        rows.append((kind, meant, n, beyond, _percent(beyond / n), f"{np.median(f.scores[chosen]):.4g}"))
    more = [paragraph(f"and {len(kinds) - _MOST_KINDS} more classes")] if len(kinds) > _MOST_KINDS else []
    headings = ("class", "is", "samples", "beyond", "share", "median score")
    yield section(
        "By class", paragraph("How many are beyond the threshold."), table(headings, rows, numbers=(2, 3, 4, 5)), *more
    )


# --- Samples ----------------------------------------------------------------------------------------------------------


def _all_shown(f: Findings, shown: int) -> np.ndarray:
    """Indices of all samples that any section shows."""
    chosen = [f.most_normal(shown), f.most_anomalous(shown)]
    if f.is_anomaly is not None:
        chosen += [f.missed()[:shown], f.alarms()[:shown]]
    return np.unique(np.concatenate(chosen))


class _Samples:
    """The samples that are shown, each explained once: one colour means the same in all pictures of a page."""

    def __init__(self, f: Findings, chosen: np.ndarray):
        self.f = f
        with warnings.catch_warnings():  # the names of a table's columns were checked with its scores
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            self.shares = dict(zip(chosen.tolist(), f.model.explain(f.samples[chosen])))
        self.hottest = hottest_of([float(share.max()) for share in self.shares.values()])

    def html(self, indices: np.ndarray) -> str:
        """These samples: pictures beside their heat maps, or rows with the features to blame."""
        if self.f.are_pictures:
            return f'<div class="samples">{"".join(map(self._figure, indices.tolist()))}</div>'
        headings = ["sample", *([] if self.f.labels is None else ["class"]), "score"]
        headings += [] if self._p_values() is None else ["p-value"]
        rows = [[*self._words(k).values(), self._blamed(k)] for k in indices.tolist()]
        numbers = range(1 + (self.f.labels is not None), len(headings))
        return table([*headings, "what is to blame"], rows, numbers, wide=len(headings))

    def _p_values(self):
        """None also for training samples, of which p-values say nothing."""
        return None if self.f.trained_on else self.f.p_values

    def _words(self, k):
        words = {"name": self.f.name(k)}
        if self.f.labels is not None:
            words["class"] = str(self.f.labels[k])
        words["score"] = f"{self.f.scores[k]:.4g}"
        if (p := self._p_values()) is not None:
            words["p"] = f"{p[k]:.3g}"
        return words

    def _figure(self, k):
        image, name = self.f.samples[k], text(self.f.name(k))
        kind = ' class="small"' if max(image.shape[1:]) <= SMALL else ""
        pair = (
            (picture_uri(image), name),
            (heat_uri(image, self.shares[k], self.hottest), f"{name}, heat map"),
        )
        pictures = "".join(f'<img{kind} src="{uri}" alt="{words}">' for uri, words in pair)
        below = f"<figcaption><strong>{name}</strong>{self._caption(k)}</figcaption>"
        return f'<figure><div class="pair">{pictures}</div>{below}</figure>'

    def _caption(self, k):
        words = self._words(k)
        numbers = [(label, words[key]) for key, label in (("score", "score"), ("p", "p =")) if key in words]
        says = [f'<span class="whole">{label} {text(value)}</span>' for label, value in numbers]
        if "class" in words:
            known = self.f.is_anomaly is not None
            kind = ("anomalous" if self.f.is_anomaly[k] else "normal") if known else ""
            says.insert(0, f'<span class="kind {kind}">{text(words["class"])}</span>')
        return " · ".join(says)

    def _blamed(self, k):
        shares, values = self.shares[k], self.f.samples[k]
        total = float(shares.sum()) or 1.0
        names = self.f.feature_names or [f"feature {j}" for j in range(len(shares))]
        worst = np.argsort(-shares, kind="stable")[:_BLAMED]
        return ", ".join(f"{names[j]} = {values[j]:.4g} ({_percent(shares[j] / total, 0)})" for j in worst)


def _errors(f: Findings, samples: _Samples, shown: int) -> Iterator[str]:
    """What the threshold gets wrong."""
    if f.is_anomaly is None:
        return
    normal, anomalous = f.counts()
    if anomalous:
        missed = f.missed()
        words = f"Anomalous, but within the threshold: {len(missed)} of {anomalous}. First those that look most normal."
        yield _gallery("Missed anomalies", missed, shown, words, "None: every anomalous sample is beyond it.", samples)
    if normal:
        alarms = f.alarms()
        words = f"Normal, but beyond the threshold: {len(alarms)} of {normal}. First those that look most anomalous."
        yield _gallery(
            "False alarms", alarms, shown, words, "None: every normal sample is within the threshold.", samples
        )


def _gallery(title, indices, shown, words, none, samples):
    if not len(indices):
        return section(title, paragraph(none), count=0)
    return section(
        title, paragraph(words + _shown_of(indices, shown)), samples.html(indices[:shown]), count=len(indices)
    )


def _shown_of(indices, shown):
    return f" {shown} of them are shown." if len(indices) > shown else ""


def _extremes(f: Findings, samples: _Samples, shown: int) -> Iterator[str]:
    yield section("Most anomalous", paragraph("The largest scores."), samples.html(f.most_anomalous(shown)))
    yield section("Most normal", paragraph("The smallest scores."), samples.html(f.most_normal(shown)))


# --- How it was made --------------------------------------------------------------------------------------------------


def _training(f: Findings) -> Iterator[str]:
    figures = [chart(figure_uri(figure), f"{title}, over the epochs") for title, figure in charts.training(f.model)]
    if figures:
        yield section("Training", f'<div class="charts">{"".join(figures)}</div>')


def _made(f: Findings) -> Iterator[str]:
    params = fitted_params(f.model)
    settings = [("method", type(f.model).__name__)]
    settings += [(label, f.result[key]) for key, label in _FROM_RESULT.items() if key in f.result]
    settings += [(name.replace("_", " "), _plain(params[name])) for name in _SETTINGS if name in params]
    settings += [("sample", "x".join(map(str, f.model.input_shape_)))]
    made = f.result.get("versions") or versions()
    tables = [f"<div>{table((), settings)}</div>", f"<div>{table((), list(made.items()))}{_stages(f)}</div>"]
    notes = [paragraph(note, "note") for note in f.notes]
    yield section("How it was made", *notes, f'<div class="columns">{"".join(tables)}</div>')


def _stages(f: Findings) -> str:
    """The AUC before training, without which that after it says little; of the test samples of the training."""
    found = f.result.get("auc")
    if not found:
        return ""
    names = {
        "random": "random weights",
        "pretrained": "pre-trained weights",
        "autoencoder": "autoencoder",
        "trained": "trained",
    }
    rows = [(names[key], _percent(found[key])) for key in names if key in found]
    return table(("test AUC in the training", ""), rows)


def _plain(value):
    return value if isinstance(value, str | int | float | tuple | None) else type(value).__name__


def _reading(f: Findings) -> Iterator[str]:
    where = "colours of a heat map show" if f.are_pictures else "percentages in a row show"
    method = f.model._explanations()[0]
    lines = [
        "AUC: how often an anomalous sample has a larger score than a normal one; 50 % is chance. Its interval holds "
        "what infinitely many samples of the same kinds would show, at a confidence of 95 %.",
        f"What is to blame: the {where} what share a part of the sample has in its score, by the method {method!r}.",
    ]
    if f.p_values is not None:
        lines.insert(1, (
            "p-value: what share of new normal samples is at least as anomalous, by the normal samples that were held "
            "out of training. A sample is reported where it is not above the rate of false alarms that was asked for."
        ))  # fmt: skip
    yield section("How to read it", *map(paragraph, lines))


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"
