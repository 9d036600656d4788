"""Saved models: bit for bit the same scores, no pickle, one-line errors for anything else, nothing half-written."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers_data import one_line_error
from helpers_processes import environment
from layer_table import classes_in, layer_classes
from sklearn.exceptions import NotFittedError
from trainer_properties import digits, small_model

from minisvdd import AnoGAN, Autoencoder, DataError, DeepSVDD, load_model
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


def models():
    train = digits().train
    features = train.reshape(len(train), -1).astype(np.float64)
    quick = {"epochs": 2, "verbose": 0}
    return {
        "one-class": (small_model(**quick).fit(train), train),
        "soft-boundary": (small_model(objective="soft-boundary", pretrain_epochs=1, **quick).fit(train), train),
        "own network": (small_model(network=Sequential(EVERY_LAYER), center=np.arange(5.0), **quick).fit(train), train),
        "features": (
            DeepSVDD(network="mlp", pretrain_epochs=1, preprocessing="standardize", **quick).fit(features),
            features,
        ),
        "autoencoder": (Autoencoder(network="digits_lenet", preprocessing="gcn-l1", **quick).fit(train), train),
        "anogan": (AnoGAN(latent_dim=8, search_steps=3, preprocessing="gcn-l1", **quick).fit(train), train),
    }


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("kind", ["one-class", "soft-boundary", "own network", "features", "autoencoder", "anogan"])
def test_a_loaded_model_scores_bit_for_bit_alike(kind, tmp_path):
    model, X = models()[kind]
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
    for method in model._explanations():
        np.testing.assert_array_equal(loaded.explain(X[:2], method), model.explain(X[:2], method))
    loaded.save(path)
    np.testing.assert_array_equal(load_model(path).anomaly_score(X), model.anomaly_score(X))


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


def test_files_with_the_old_name_of_the_diagnostics(saved, tmp_path):
    old = changed(saved, tmp_path, lambda d: d["attributes"].update(figures_=d["attributes"].pop("diagnostics_")))
    assert load_model(old).diagnostics() == load_model(saved).diagnostics()


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
