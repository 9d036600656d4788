"""Saved models: bit for bit the same scores, no pickle, one-line errors for anything else, nothing half-written."""

import json
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from helpers_data import one_line_error
from helpers_processes import environment
from layer_table import classes_in, layer_classes
from sklearn.exceptions import NotFittedError
from trainer_properties import digits, small_model

from minisvdd import (
    AnoGAN,
    Autoencoder,
    CollapseWarning,
    DataError,
    DeepSVDD,
    KernelDensity,
    SoftmaxClassifier,
    load_model,
)
from minisvdd.backends import KernelError, backend_problems
from minisvdd.files.atomic import atomic_write
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import Sequential
from minisvdd.svdd.storage import _Zeros, network_from_config

EVERY_LAYER = [
    Conv2D(3, (3, 2), stride=1, padding=(1, 0), bias=True),
    BatchNorm(affine=True),
    LeakyReLU(0.2),
    MaxPool2D(2, stride=1),
    Upsample(2),
    ConvTranspose2D(2, 3, stride=2, padding=1, output_padding=1),
    ReLU(),
    Sequential([Flatten(), Linear(12, bias=True), Tanh()]),
    Reshape((3, 2, 2)),
    Sigmoid(),
    Flatten(),
    Linear(5),
]


def test_the_network_holds_every_layer():
    assert classes_in(Sequential(EVERY_LAYER)) == layer_classes()


QUICK = {"epochs": 2, "verbose": 0}
MODELS = {
    "one-class": lambda: small_model(**QUICK),
    "soft-boundary": lambda: small_model(objective="soft-boundary", pretrain_epochs=1, **QUICK),
    "own network": lambda: small_model(network=Sequential(EVERY_LAYER), center=np.arange(5.0), **QUICK),
    "features": lambda: DeepSVDD(network="mlp", pretrain_epochs=1, preprocessing="standardize", **QUICK),
    "autoencoder": lambda: Autoencoder(network="digits_lenet", preprocessing="gcn-l1", **QUICK),
    "anogan": lambda: AnoGAN(latent_dim=8, search_steps=3, preprocessing="gcn-l1", **QUICK),
}


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("kind", [*list(MODELS)[:-1], pytest.param("anogan", marks=pytest.mark.slow)])
def test_a_loaded_model_scores_bit_for_bit_alike(kind, tmp_path):
    X = digits().train
    X = X.reshape(len(X), -1).astype(np.float64) if kind == "features" else X
    model = MODELS[kind]().fit(X)
    path = tmp_path / "modèle 1.npz"
    model.save(path)
    loaded = load_model(path)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.anomaly_score(X), model.anomaly_score(X))
    np.testing.assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    assert loaded.history_ == model.history_
    if isinstance(model, DeepSVDD):
        assert loaded.radius_ == model.radius_
        assert loaded.diagnostics() == model.diagnostics()
        np.testing.assert_array_equal(loaded.center_, model.center_)
    few = X[: 1 if kind == "anogan" else 2]  # which searches anew for each patch that it covers
    for method in model._explanations():
        np.testing.assert_array_equal(loaded.explain(few, method), model.explain(few, method))
    loaded.save(path)
    np.testing.assert_array_equal(load_model(path).anomaly_score(X), model.anomaly_score(X))


def test_what_is_amiss_with_a_backend_is_no_fault_of_the_file(tmp_path, monkeypatch):
    small_model(**QUICK).fit(digits().train).save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"^backend='gpu' is not available; expected one of"):
        load_model(tmp_path / "m.npz", backend="gpu")
    if backend_problems()["cuda"]:
        with pytest.raises(KernelError, match=r"(?i)cupy|gpu|cuda"):
            load_model(tmp_path / "m.npz", backend="cuda")

    def fail(*arguments, **options):
        raise KernelError("relu.cu: cannot be built")

    monkeypatch.setattr(DeepSVDD, "_try", fail)
    with pytest.raises(KernelError, match=r"^relu\.cu: cannot be built$"):
        load_model(tmp_path / "m.npz")


# What a later fit is to do: each alone changes scores, or is refused by a check of arguments.
LATER = {
    "objective": ("soft-boundary", "nonsense"),
    "preprocessing": (None, "min-max"),
    "patch_size": (4,),
    "nu": (5,),
    "epochs": (-1,),
    "milestones": ("x",),
    "holdout": (0.9,),
    "false_alarm_rate": (7,),
    "random_state": (-1,),
    "latent_dim": (3,),
    "search_steps": (0, -1),
    "search_learning_rate": (1.0,),
    "feature_weight": (0.9, 2),
}


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("kind", ["one-class", "soft-boundary", "autoencoder", "anogan"])
def test_arguments_for_the_next_fit_change_neither_scores_nor_file(kind, tmp_path):
    X = digits().train[:40]
    model = MODELS[kind]().fit(X)
    scores, decisions, params = model.anomaly_score(X), model.predict(X), model.get_params(deep=False)
    for name, values in LATER.items():
        for value in values if name in params else ():
            model.set_params(**{name: value})
            np.testing.assert_array_equal(model.anomaly_score(X), scores)
            np.testing.assert_array_equal(model.predict(X), decisions)
            model.save(tmp_path / "m.npz")
            loaded = load_model(tmp_path / "m.npz")
            np.testing.assert_array_equal(loaded.anomaly_score(X), scores)
            assert getattr(loaded, name) == params[name], "as it was fitted"
            assert getattr(model, name) == value, "for the next fit"
            model.set_params(**{name: params[name]})
    assert model.set_params(nu=0.3).fit(X).get_params()["nu"] == 0.3
    model.save(tmp_path / "m.npz")
    assert load_model(tmp_path / "m.npz").nu == 0.3


def test_a_description_without_padding_is_of_a_pool_without():
    """As files have it that were written before max-pooling had a padding; and what has one keeps it."""
    layers = [["MaxPool2D", {"kernel_size": [2, 3], "stride": [2, 3]}]]
    (old,) = network_from_config({"layers": layers}).layers
    assert old.config() == MaxPool2D((2, 3)).config()
    pool = MaxPool2D(3, 2, padding=(1, 0), ceil_mode=True)
    described = json.loads(json.dumps(Sequential([pool]).config()))
    (same,) = network_from_config(described).layers
    assert same.config() == pool.config()


def test_loaded_arguments_can_be_fitted_again(tmp_path):
    model = small_model(epochs=2).fit(digits().train)
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(
        again.fit(digits().train).anomaly_score(digits().test), model.anomaly_score(digits().test)
    )


def test_a_loaded_model_is_fitted_again_where_it_was_brought(tmp_path):
    small_model(epochs=1).fit(digits().train).save(tmp_path / "m.npz")
    for label in ("plain", "emulator:tf32") if backend_problems()["emulator"] is None else ("plain",):
        loaded = load_model(tmp_path / "m.npz", label)
        assert loaded.backend == loaded.network_.backend.label == label


def test_what_only_training_needed_is_not_kept(tmp_path):
    train = digits().train
    autoencoder = Autoencoder(network="digits_lenet", epochs=1, preprocessing="gcn-l1", verbose=0).fit(train)
    model = small_model(autoencoder=autoencoder, random_state=np.random.default_rng(0), epochs=1).fit(train)
    model.save(tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert loaded.autoencoder is None
    assert loaded.random_state is None
    np.testing.assert_array_equal(loaded.anomaly_score(train), model.anomaly_score(train))


def test_the_autoencoder_of_the_pretraining_is_kept_unless_it_is_left_out(tmp_path):
    train, path = digits().train, tmp_path / "m.npz"
    model = small_model(pretrain_epochs=1, epochs=1).fit(train)
    model.save(path)
    with_it = path.stat().st_size
    loaded = load_model(path).autoencoder_
    np.testing.assert_array_equal(loaded.reconstruct(train), model.autoencoder_.reconstruct(train))
    assert loaded.history_ == model.autoencoder_.history_
    model.save(path, autoencoder=False)
    assert path.stat().st_size < with_it
    loaded = load_model(path)
    assert loaded.autoencoder_ is None
    np.testing.assert_array_equal(loaded.anomaly_score(train), model.anomaly_score(train))
    assert model.autoencoder_ is not None


def test_nothing_is_saved_before_fit(tmp_path):
    for keep in (True, False):
        with pytest.raises(NotFittedError, match="call fit"):
            small_model().save(tmp_path / "m.npz", autoencoder=keep)
    assert not list(tmp_path.iterdir())


def test_an_autoencoder_with_layers_of_your_own_is_left_out(tmp_path):
    class Mine(Reshape):
        pass

    train = digits().train
    encoder, decoder = [Flatten(), Linear(4)], [Linear(64), Mine((1, 8, 8))]
    model = DeepSVDD(
        network=Sequential(encoder), decoder=Sequential(decoder), pretrain_epochs=1, epochs=1, verbose=0
    ).fit(train)
    model.save(tmp_path / "m.npz")
    assert load_model(tmp_path / "m.npz").autoencoder_ is None


def test_an_autoencoder_that_does_not_belong_there_is_refused(tmp_path):
    train, path = digits().train, tmp_path / "m.npz"
    model = small_model(pretrain_epochs=1, epochs=1).fit(train)
    model.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    description = json.loads(bytes(arrays["minisvdd"]))
    description["attributes"]["autoencoder"]["class"] = "DeepSVDD"
    np.savez(path, **{**arrays, "minisvdd": np.frombuffer(json.dumps(description).encode(), np.uint8)})
    assert "expected 'Autoencoder'" in refusal(path)
    other = np.zeros((4, 1, 12, 12), np.float32) + np.arange(12, dtype=np.float32)
    model.autoencoder_ = Autoencoder(network="small_lenet", epochs=1, verbose=0, threshold="nu").fit(other)
    model.save(path)
    assert "(1, 12, 12)" in refusal(path)


@pytest.mark.parametrize("features", [False, True])
def test_the_pretraining_autoencoder_is_a_model_of_its_own(features, tmp_path):
    X = digits().train
    X, network = (X.reshape(len(X), -1), "mlp") if features else (X, "digits_lenet")
    autoencoder = small_model(network=network, pretrain_epochs=2, epochs=1).fit(X).autoencoder_
    autoencoder.save(tmp_path / "a.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "a.npz").anomaly_score(X), autoencoder.anomaly_score(X))
    small_model(network=network, autoencoder=load_model(tmp_path / "a.npz"), epochs=1).fit(X)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.npz"
    small_model(epochs=1).fit(digits().train).save(path)
    return path


def refusal(path):
    return one_line_error(lambda: load_model(path), path)


def test_missing_foreign_and_newer_files(saved, tmp_path):
    assert "no such file" in refusal(tmp_path / "none.npz")
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, X=np.ones(3))
    assert "not a minisvdd model" in refusal(foreign)
    array = tmp_path / "array.npy"
    np.save(array, np.ones(3))
    assert "not a minisvdd model" in refusal(array)
    text = tmp_path / "text.npz"
    text.write_text("hello")
    refusal(text)
    (tmp_path / "folder.npz").mkdir()
    refusal(tmp_path / "folder.npz")
    assert "upgrade" in refusal(changed(saved, tmp_path, lambda d: d.update(format_version=99)))
    assert "not a minisvdd model" in refusal(changed(saved, tmp_path, lambda d: d.update(format="other")))


def changed(saved, tmp_path, change):
    """A copy of the saved model whose description went through `change`."""
    with np.load(saved) as archive:
        arrays = dict(archive)
    description = json.loads(bytes(arrays["minisvdd"]))
    change(description)
    arrays["minisvdd"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(tmp_path / "changed.npz", **arrays)
    return tmp_path / "changed.npz"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update({"class": "Popen"}),
        lambda d: d["network"]["layers"].append(["Layer2", {}]),
        lambda d: d["network"]["layers"].append(["np", {}]),
        lambda d: d["network"]["layers"][0][1].update(kernel_size=5),
        lambda d: d["params"].update(surprise=1),
        lambda d: d["params"].pop("preprocessing"),
        lambda d: d.update(input_shape=[1, 9]),
        lambda d: d.pop("network"),
        lambda d: d.update(format_version="x"),
    ],
)
def test_inconsistent_descriptions(change, saved, tmp_path):
    refusal(changed(saved, tmp_path, change))


def test_a_model_that_chose_by_the_samples_shape_is_read(tmp_path):
    """Its file says network null and preprocessing "auto", and what they came to is in the layers and the shape."""
    for X in (digits().train, digits().train.reshape(len(digits().train), -1)):
        model = small_model(network=None, preprocessing="auto", epochs=1).fit(X)
        model.save(tmp_path / "m.npz")
        loaded = load_model(tmp_path / "m.npz")
        assert (loaded.network, loaded.preprocessing) == (None, "auto")
        np.testing.assert_array_equal(loaded.anomaly_score(X), model.anomaly_score(X))


def test_every_truncation_and_many_flipped_bytes_are_refused_or_harmless(saved, tmp_path):
    content = saved.read_bytes()
    path = tmp_path / "damaged.npz"
    rng = np.random.default_rng(0)
    for cut in range(0, len(content) - 1, len(content) // 40):
        path.write_bytes(content[:cut])
        refusal(path)
    messages = []
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            load_model(path)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not any("\n" in message for message in messages)


def test_pickles_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    np.savez(tmp_path / "bomb.npz", minisvdd=np.array([Bomb()], dtype=object))
    refusal(tmp_path / "bomb.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_network_with_foreign_layers_cannot_be_saved(tmp_path):
    class Mine(Layer):
        def forward(self, x, training=False):
            return x

        def backward(self, grad_output, need_input=True, need_params=True):
            return grad_output

    model = small_model(network=Sequential([Flatten(), Linear(3), Mine()]), epochs=1).fit(digits().train)
    with pytest.raises(ValueError, match=r"layer 2 \(Mine\)"):
        model.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_only_when_complete(saved, tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    path.write_bytes(saved.read_bytes())

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match="No space left"):
        load_model(path).save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


@pytest.mark.slow
def test_text_is_utf_8_whatever_the_system_prefers(tmp_path):
    """Python can warn where a program leaves the encoding to the system."""
    code = "import sys; from minisvdd.files.atomic import write_json; write_json(sys.argv[1], 'ν')"
    strict = [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning"]
    subprocess.run([*strict, "-c", code, tmp_path / "a.json"], env=environment(), check=True)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == "ν"


def test_atomic_write_keeps_the_old_file_when_interrupted(tmp_path):
    path = tmp_path / "new folder" / "file.txt"
    with atomic_write(path) as file:
        file.write("old")

    def interrupted():
        with atomic_write(path) as file:
            file.write("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    (tmp_path / "a file").write_text("")
    with pytest.raises(DataError, match="a file"), atomic_write(tmp_path / "a file" / "x.txt"):
        pass


def test_a_description_may_not_ask_for_more_numbers_than_the_file_has():
    """Counted over all layers, before anything is allocated for them."""
    draws = _Zeros(10)
    assert draws.uniform(size=(2, 3)).shape == (2, 3)
    assert not draws.uniform(-1, 1, (4,)).any()
    with pytest.raises(ValueError, match="more parameters than the file has numbers"):
        draws.uniform(size=(1,))
    with pytest.raises(ValueError, match="more parameters than the file has numbers"):
        _Zeros(10).uniform(size=(10**9, 10**9))


# What a class needs


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """A saved model of each class, by name."""
    folder, X = tmp_path_factory.mktemp("kinds"), digits().train[:60]
    quick = {"epochs": 1, "verbose": 0}
    models = {
        "one-class": small_model(epochs=1).fit(X),
        "soft-boundary": small_model(objective="soft-boundary", epochs=1).fit(X),
        "features": DeepSVDD(network="mlp", pretrain_epochs=0, **quick).fit(X.reshape(60, -1)),
        "autoencoder": Autoencoder(network="digits_lenet", **quick).fit(X),
        "anogan": AnoGAN(latent_dim=4, search_steps=1, **quick).fit(X),
        "classifier": SoftmaxClassifier((4,), 3, 8, augment=False, **quick).fit(X, np.arange(60) % 5),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.npz")
    return folder


def with_arrays(path, tmp_path, **changes):
    """A copy of a saved model with other arrays; None takes one away."""
    with np.load(path) as archive:
        arrays = dict(archive) | changes
    np.savez(tmp_path / "changed.npz", **{name: array for name, array in arrays.items() if array is not None})
    return tmp_path / "changed.npz"


def attribute(name, value=None):
    def change(description):
        if value is None:
            del description["attributes"][name]
        else:
            description["attributes"][name] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("one-class", attribute("offset_"), "offset_ is missing"),
        ("one-class", attribute("offset_", 1e308), "offset_"),
        ("autoencoder", attribute("offset_", True), "offset_"),
        ("anogan", attribute("offset_", "x"), "offset_"),
        ("one-class", attribute("threshold_kind_"), "threshold_kind_ is missing"),
        ("one-class", attribute("threshold_kind_", "quantile"), "expected one of nu, holdout"),
        ("soft-boundary", attribute("radius_"), "radius_ is missing"),
        ("soft-boundary", attribute("radius_", -5), "radius_"),
        ("one-class", attribute("diagnostics_"), "neither"),
        ("one-class", attribute("history_"), "neither"),
        ("one-class", attribute("diagnostics_", {}), "is missing"),
        ("one-class", lambda d: d["attributes"]["diagnostics_"].pop("contrast"), "contrast is missing"),
        ("one-class", attribute("diagnostics_", [1]), "values by name"),
        ("one-class", lambda d: d["attributes"]["diagnostics_"].update(relative_spread="x"), "relative_spread"),
        ("one-class", lambda d: d["attributes"]["diagnostics_"].update(weight_norms=3), "weight_norms"),
        ("classifier", attribute("history_", {"loss": "x"}), "loss"),
        ("features", attribute("feature_names_in_", ["a"]), "feature_names_in_"),
        ("features", attribute("feature_names_in_", [1] * 64), "feature_names_in_"),
        ("features", attribute("n_features_in_", 3), "n_features_in_"),
        ("anogan", lambda d: d.update(format_version=-1), "format_version"),
        ("anogan", lambda d: d.update(format_version=True), "format_version"),
        ("one-class", lambda d: d["network"]["layers"].insert(0, ["Layer", {}]), "Layer"),
        ("one-class", lambda d: d["params"].update(random_state=-1), "random_state"),
        ("classifier", lambda d: d["params"].update(channels=[[1], 2]), "channels[0]=[1]"),
    ],
)
def test_attributes_of_another_kind(kind, change, words, every_kind, tmp_path):
    assert words in refusal(changed(every_kind / f"{kind}.npz", tmp_path, change))


@pytest.mark.parametrize(
    ("kind", "arrays", "words"),
    [
        ("one-class", {"center": None}, "'center' is missing"),
        ("one-class", {"center": np.array(["x"] * 32)}, "center has shape"),
        ("soft-boundary", {"center": np.zeros(31)}, "center has shape"),
        ("anogan", {"start": None}, "'start' is missing"),
        ("anogan", {"start": np.zeros(4, int)}, "start has shape"),
        ("classifier", {"classes": None}, "'classes' is missing"),
        ("classifier", {"classes": np.arange(4)}, "classes has shape (4,)"),
        ("classifier", {"classes": np.zeros(5, int)}, "different labels"),
        ("autoencoder", {"constants/minimum": None}, "minimum"),
        ("autoencoder", {"constants/minimum": np.zeros((10**6, 1, 1, 1))}, "minimum"),
        ("features", {"constants/std": np.zeros(64)}, "nan"),
        ("features", {"constants/mean": np.array(["x"] * 64)}, "mean"),
        ("features", {"network/0.weight": np.ones((64, 64), int)}, "0.weight"),
    ],
)
def test_arrays_that_are_missing_or_of_another_kind(kind, arrays, words, every_kind, tmp_path):
    assert words in refusal(with_arrays(every_kind / f"{kind}.npz", tmp_path, **arrays))


def test_what_is_loaded_has_scored_a_sample(every_kind, tmp_path):
    """Weights that are finite and too large: no single check sees it."""
    with np.load(every_kind / "classifier.npz") as archive:
        names = [name for name in archive.files if name.endswith("weight")]
        huge = {name: np.full_like(archive[name], 3e38) for name in names}
    assert "overflow" in refusal(with_arrays(every_kind / "classifier.npz", tmp_path, **huge))
    huge = {"constants/minimum": -np.float64(1e300), "constants/maximum": np.float64(-1e300)}
    assert "has the score" in refusal(with_arrays(every_kind / "autoencoder.npz", tmp_path, **huge))


def test_a_model_saved_on_the_way_says_that_it_has_no_diagnostics(tmp_path):
    X = digits().train[:40]

    def save(stage, model):
        model.save(tmp_path / f"{stage}.npz")

    small_model(epochs=1, pretrain_epochs=1).fit(X, on_stage=save)
    load_model(tmp_path / "trained.npz").diagnostics()
    for stage in ("random", "pretrained"):
        loaded = load_model(tmp_path / f"{stage}.npz")
        assert np.isfinite(loaded.anomaly_score(X)).all()
        with pytest.raises(NotFittedError, match="no diagnostics"):
            loaded.diagnostics()


def test_a_ratio_of_infinity_survives_a_file_of_json(tmp_path):
    """A network without weight arrays has no smallest ratio of their norms."""
    X = digits().train[:40]
    with pytest.warns(CollapseWarning):
        model = small_model(network=Sequential([Flatten(), BatchNorm(affine=True)]), pretrain_epochs=0, epochs=1).fit(X)
    assert model.diagnostics()["weight_norm_ratio"] == np.inf
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz") as archive:
        assert b"Infinity" not in bytes(archive["minisvdd"])
    assert load_model(tmp_path / "m.npz").diagnostics() == model.diagnostics()


# What a network costs


def tiny_file(every_kind, tmp_path, shape, layers, **weights):
    """A file of a few kB with a network that was never trained."""
    with np.load(every_kind / "one-class.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if not name.startswith("network/")}
    description = json.loads(bytes(arrays["minisvdd"]))
    description.update(input_shape=shape, network={"layers": layers})
    description["params"]["preprocessing"] = "gcn-l1"
    arrays["minisvdd"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    weights = {f"network/{name}": array.astype(np.float32) for name, array in weights.items()}
    np.savez(tmp_path / "tiny.npz", **arrays, **weights)
    return tmp_path / "tiny.npz"


def pooled(side, window):
    return [1, side, side], [["MaxPool2D", {"kernel_size": window}], ["Flatten", {}], ["Linear", {"out_features": 32}]]


@pytest.mark.parametrize(
    ("shape", "layers", "words"),
    [
        (*pooled(16384, 16384), "numbers"),
        (*pooled(4096, 4096), "numbers"),
        (*pooled(1024, 1024), "windows of 1048576"),
        ([1 << 28], [["BatchNorm", {"affine": True}]], "numbers"),
        ([3 << 20], [["BatchNorm", {"affine": True}]] * 3, "parameters"),
        ([1, 8, 8], [["Upsample", {"scale": 1024}], ["Flatten", {}]], "numbers"),
        ([1, 1024, 1024], [["MaxPool2D", {"kernel_size": 200, "stride": 1}]], "products"),
        ([1, 1024, 1024], [["LeakyReLU", {}]] * 9000, "products"),
        ([1, 1 << 20, 1], [["MaxPool2D", {"kernel_size": [1, 4096], "padding": [0, 2048]}]], "numbers"),
    ],
)
def test_a_network_may_not_cost_more_than_its_file_justifies(shape, layers, words, every_kind, tmp_path):
    path = tiny_file(every_kind, tmp_path, shape, layers, **{"2.weight": np.ones((32, 1))})
    tracemalloc.start()
    assert words in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < (64 << 20) + 20 * path.stat().st_size
    tracemalloc.stop()


def test_what_load_would_refuse_is_not_saved(tmp_path, monkeypatch):
    network = Sequential([Upsample(4), MaxPool2D(32), Flatten(), Linear(2)])
    model = small_model(network=network, pretrain_epochs=0, epochs=1).fit(digits().train[:20])
    monkeypatch.setattr("minisvdd.svdd.storage._HARMLESS_SAMPLE", 32 * 32 - 1)
    with pytest.raises(ValueError, match=r"a sample of shape \(1, 32, 32\) has 1024 numbers"):
        model.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("minisvdd.svdd.storage._HARMLESS_SAMPLE", 32 * 32)
    model.save(tmp_path / "m.npz")
    load_model(tmp_path / "m.npz")


# What one fit leaves to the next


def test_a_second_fit_leaves_nothing_of_the_first(tmp_path):
    X = digits().train[:40]
    for make in (
        lambda: small_model(epochs=1),
        lambda: Autoencoder(epochs=1, verbose=0),
        lambda: SoftmaxClassifier((4,), 3, 8, augment=False, epochs=1, verbose=0, preprocessing=None),
        lambda: KernelDensity(),
    ):
        y = np.arange(40) % 2
        model = make().set_params(**({"network": None, "preprocessing": "auto"} if hasattr(make(), "network") else {}))
        if not isinstance(model, SoftmaxClassifier):
            model.fit(X.reshape(40, -1), y)
            assert model.n_features_in_ == 64
        model.left_over_ = "by a fit"
        model.fit(X, y)
        assert not hasattr(model, "n_features_in_")
        assert not hasattr(model, "left_over_")
        if hasattr(model, "save"):
            model.save(tmp_path / "m.npz")
            load_model(tmp_path / "m.npz")


def test_labels_that_are_objects_are_saved_as_text(tmp_path):
    X, y = digits().train[:40], np.array(["cat", "dog"] * 20, dtype=object)
    model = SoftmaxClassifier((4,), 3, 8, augment=False, epochs=1, verbose=0).fit(X, y)
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "m.npz").predict(X), model.predict(X))


def test_a_fit_that_is_refused_leaves_the_model_as_it_was():
    X = digits().train[:40]
    model = small_model(epochs=1).fit(X)
    scores = model.anomaly_score(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan))
    np.testing.assert_array_equal(model.anomaly_score(X), scores)


class Frame(np.ndarray):
    """Samples with named columns, as scikit-learn takes them of a data frame."""


def test_names_of_features_are_in_the_file(tmp_path, monkeypatch):
    """scikit-learn asks a data frame for its columns; pandas is not needed to hold that."""
    monkeypatch.setattr("sklearn.utils.validation._get_feature_names", lambda X: getattr(X, "columns", None))

    def frame(columns):
        X = np.random.default_rng(0).normal(size=(40, 3)).view(Frame)
        X.columns = np.array(columns, dtype=object)
        return X

    model = DeepSVDD(network="mlp", pretrain_epochs=1, epochs=1, verbose=0, false_alarm_rate=0.2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "X (does not have valid|has) feature names")
        model.fit(frame(["a", "b", "c"])).explain(frame(["a", "b", "c"]), "occlusion")
        model.explain(frame(["a", "b", "c"]), "residual")
        model.autoencoder_.reconstruct(frame(["a", "b", "c"]))
    model.save(tmp_path / "m.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_model(tmp_path / "m.npz")
        loaded.anomaly_score(frame(["a", "b", "c"]))
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
    loaded.save(tmp_path / "again.npz")
    assert load_model(tmp_path / "again.npz").feature_names_in_.tolist() == ["a", "b", "c"]
    for one in (model, loaded, model.autoencoder_, loaded.autoencoder_):
        one.anomaly_score(frame(["a", "b", "c"]))
        with pytest.raises(ValueError, match="feature names"):
            one.anomaly_score(frame(["c", "b", "a"]))
