"""Storage knows no class: those that can be saved register themselves, and are found when a file asks for them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers_data import one_line_error
from helpers_processes import environment
from trainer_properties import digits, small_model

from minisvdd import AnoGAN, Autoencoder, DeepSVDD, SoftmaxClassifier, load_dataset, load_model
from minisvdd.svdd.storage import storable

QUICK = {"epochs": 1, "verbose": 0}
THRESHOLD = {"offset_", "threshold_kind_", "false_alarm_rate_"}
NETWORK_AND_TEXT = {"network", "constants", "minisvdd"}


def fitted(kind):
    """A quickly fitted model of the class."""
    if kind is DeepSVDD:
        return small_model(objective="soft-boundary", epochs=1, threshold="auto").fit(digits().train)
    if kind is Autoencoder:
        return Autoencoder(network="digits_lenet", preprocessing="gcn-l1", **QUICK).fit(digits().train)
    if kind is AnoGAN:
        return AnoGAN(latent_dim=4, search_steps=1, preprocessing="gcn-l1", **QUICK).fit(digits().train)
    images = load_dataset("digits")
    return SoftmaxClassifier((4, 4), 3, 8, augment=False, **QUICK).fit(images.train_images / 16, images.train_labels)


def description(path):
    with np.load(path) as archive:
        return json.loads(bytes(archive["minisvdd"]))


def changed(path, change):
    """Rewrite the model file after `change(description, arrays)`."""
    with np.load(path) as archive:
        arrays = dict(archive)
    text = json.loads(bytes(arrays["minisvdd"]))
    change(text, arrays)
    arrays["minisvdd"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


def refusal(path):
    return one_line_error(lambda: load_model(path), path)


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize(
    ("kind", "arrays", "values"),
    [
        (DeepSVDD, {"center", "holdout_scores"}, {*THRESHOLD, "history_", "radius_", "diagnostics_"}),
        (Autoencoder, {"holdout_scores"}, {*THRESHOLD, "history_"}),
        (AnoGAN, {"start", "holdout_scores"}, {*THRESHOLD, "history_"}),
        (SoftmaxClassifier, {"classes"}, {"history_"}),
    ],
)
def test_each_class_keeps_its_own_arrays_and_values(kind, arrays, values, tmp_path):
    """The names in a file are its format: older and newer versions of the library read them."""
    model = fitted(kind)
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as archive:
        assert {name.partition("/")[0] for name in archive} == NETWORK_AND_TEXT | arrays
    assert description(tmp_path / "m.npz")["class"] == kind.__name__
    assert set(description(tmp_path / "m.npz")["attributes"]) == values
    for name in arrays:
        model.save(tmp_path / "m.npz")
        missing = changed(tmp_path / "m.npz", lambda text, found, name=name: found.pop(name))
        assert name in refusal(missing)


def test_the_class_of_a_file_is_imported_when_it_is_needed(tmp_path):
    """A process that has imported `load_model` alone knows neither AnoGAN nor the classifier."""
    for kind in (AnoGAN, SoftmaxClassifier):
        fitted(kind).save(tmp_path / f"{kind.__name__}.npz")
    code = """
import sys
from minisvdd import load_model
late = {"minisvdd.rivals.anogan": "AnoGAN", "minisvdd.attack.classifier": "SoftmaxClassifier"}
for module, name in late.items():
    assert module not in sys.modules
    assert type(load_model(f"{sys.argv[1]}/{name}.npz")).__name__ == name
    assert module in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], env=environment(), check=True)


@pytest.mark.parametrize("name", ["Popen", "Detector", "OneClassSVM", "load_dataset", "", None, 3, ["DeepSVDD"]])
def test_an_unknown_class_is_one_line(name, tmp_path):
    """Neither what is public but no model, nor what is no name at all."""
    fitted(Autoencoder).save(tmp_path / "m.npz")
    changed(tmp_path / "m.npz", lambda text, arrays: text.update({"class": name}))
    assert "class" in refusal(tmp_path / "m.npz")


def test_classes_and_network_must_agree(tmp_path):
    fitted(SoftmaxClassifier).save(tmp_path / "m.npz")
    changed(tmp_path / "m.npz", lambda text, arrays: arrays.update(classes=np.arange(9)))
    assert "(9,)" in refusal(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [("offset_", None), ("offset_", "0"), ("radius_", float("inf")), ("history_", [1]), ("diagnostics_", 2)],
)
def test_values_of_another_kind_are_refused(name, value, tmp_path):
    small_model(epochs=1).fit(digits().train).save(tmp_path / "m.npz")
    changed(tmp_path / "m.npz", lambda text, arrays: text["attributes"].update({name: value}))
    assert name in refusal(tmp_path / "m.npz")


def test_a_user_s_class_registers_itself_too(tmp_path):
    class Plain(DeepSVDD):
        """A subclass that nobody told the storage about: a file of it could not be read again."""

    model = Plain(network="digits_lenet", pretrain_epochs=0, **QUICK).fit(digits().train)
    with pytest.raises(ValueError, match="Plain cannot be saved"):
        model.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []
    storable(Plain)
    model.save(tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert type(loaded) is Plain
    np.testing.assert_array_equal(loaded.anomaly_score(digits().test), model.anomaly_score(digits().test))


def test_a_model_can_be_saved_on_the_way(tmp_path):
    """`on_stage` sees the model before it has a history."""
    scores = {}

    def keep(stage, model):
        model.save(tmp_path / f"{stage}.npz")
        scores[stage] = model.anomaly_score(digits().test)

    small_model(epochs=1, pretrain_epochs=1).fit(digits().train, on_stage=keep)
    for stage in ("random", "pretrained", "trained"):
        np.testing.assert_array_equal(load_model(tmp_path / f"{stage}.npz").anomaly_score(digits().test), scores[stage])
