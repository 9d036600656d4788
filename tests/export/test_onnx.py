"""ONNX files: onnxruntime gives the scores, embeddings and decisions of the model that was exported."""

import subprocess
import sys

import numpy as np
import pytest
from helpers_processes import environment
from layer_table import classes_in, layer_classes
from sklearn.exceptions import NotFittedError

from minisvdd import Autoencoder, DeepSVDD, IsolationForest
from minisvdd.export import export_onnx
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import ARCHITECTURES, NETWORKS, Sequential

SHORT = {"epochs": 1, "batch_size": 10, "verbose": 0, "random_state": 0, "threshold": "nu"}
EVERY_LAYER = [
    Conv2D(3, (3, 2), stride=(1, 2), padding=(1, 0), bias=True),
    BatchNorm(affine=True),
    LeakyReLU(0.2),
    MaxPool2D((3, 2), stride=2, padding=(1, 0), ceil_mode=True),
    Upsample((2, 3)),
    ConvTranspose2D(2, (3, 4), stride=(2, 1), padding=(1, 2), output_padding=(1, 0), bias=True),
    ReLU(),
    Sequential([Flatten(), Linear(12, bias=True), Tanh()]),
    Reshape((3, 2, -1)),
    Sigmoid(),
    Flatten(),
    BatchNorm(),
    Linear(5),
]


def samples(shape, n=40):
    """Uneven in brightness and contrast; one of one colour."""
    rng = np.random.default_rng(0)
    X = rng.random((n, *shape)) * rng.uniform(0.2, 1, (n, *[1] * len(shape))) + rng.random((n, *[1] * len(shape)))
    X[3] = 0.7
    return X.astype(np.float32)


def shape_for(name):
    """Of small samples that the network takes: its own shape, else an oblong one, halved by every module."""
    if name == "mlp":
        return (7,)
    side = 2 << len(ARCHITECTURES[name].channels)
    return ARCHITECTURES[name].input_shape or (2, side, side + side // 2)


def run(model, X, folder):
    """What onnxruntime makes of X, by name, and the file's metadata."""
    runtime = pytest.importorskip("onnxruntime")
    export_onnx(model, folder / "model.onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    X = X.astype(np.float32 if X.ndim > 2 else np.float64)
    return dict(zip(names, session.run(None, {"X": X}))), session.get_modelmeta().custom_metadata_map


def assert_the_same(model, X, folder):
    found, metadata = run(model, X, folder)
    scores = model.anomaly_score(X)
    subtracted = model.radius_**2 if getattr(model, "objective", "") == "soft-boundary" else 0
    np.testing.assert_allclose(found["anomaly_score"] + subtracted, scores + subtracted, rtol=1e-5)
    np.testing.assert_array_equal(found["is_anomaly"], model.predict(X) == -1)
    assert float(metadata["threshold"]) == -model.offset_
    return found, metadata


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name, objective, tmp_path):
    shape = shape_for(name)
    X = samples(shape)
    model = DeepSVDD(objective, network=name, pretrain_epochs=0, **SHORT).fit(X[:30])
    found, metadata = assert_the_same(model, X, tmp_path)
    assert found["embedding"].shape == (len(X), len(model.center_))
    assert found["embedding"].dtype == np.float32
    distances = ((found["embedding"] - model.center_) ** 2).sum(axis=1)
    subtracted = model.radius_**2 if objective == "soft-boundary" else 0
    np.testing.assert_allclose(distances - subtracted, found["anomaly_score"], rtol=1e-6)
    assert metadata["class"] == "DeepSVDD"
    assert metadata["objective"] == objective
    assert float(metadata["radius_squared"]) == model.radius_**2


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_autoencoder(name, tmp_path):
    shape = shape_for(name)
    X = samples(shape)
    model = Autoencoder(name, **SHORT).fit(X[:30])
    found, _ = assert_the_same(model, X, tmp_path)
    np.testing.assert_allclose(found["reconstruction"], model.reconstruct(X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("preprocessing", [None, "gcn-l1", "min-max", "standardize"])
def test_every_layer_and_preprocessing(preprocessing, tmp_path):
    network = Sequential(EVERY_LAYER)
    assert classes_in(network) == layer_classes()
    X = samples((2, 6, 7))
    model = DeepSVDD(network=network, pretrain_epochs=0, center=np.arange(5.0), preprocessing=preprocessing, **SHORT)
    _, metadata = assert_the_same(model.fit(X), X, tmp_path)
    assert metadata.get("preprocessing") == preprocessing


def test_any_number_of_samples_and_one_at_a_time(tmp_path):
    X = samples((5,))
    model = DeepSVDD(pretrain_epochs=0, **SHORT).fit(X)
    together, _ = run(model, X, tmp_path)
    alone, _ = run(model, X[7:8], tmp_path)
    np.testing.assert_allclose(alone["anomaly_score"], together["anomaly_score"][7:8], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::minisvdd.CollapseWarning")
@pytest.mark.parametrize("preprocessing", [None, "min-max", "standardize"])
def test_features_keep_the_digits_behind_an_offset(preprocessing, tmp_path):
    """Time stamps of one day, in seconds: float32 knows them to two minutes."""
    offset = 0 if preprocessing is None else 1.7e9
    X = offset + 86400 * np.random.default_rng(0).random((60, 3))
    model = DeepSVDD(pretrain_epochs=0, preprocessing=preprocessing, **SHORT).fit(X)
    assert_the_same(model, X, tmp_path)


@pytest.mark.parametrize("names", [None, ["length, mm", "height"]])
def test_names_of_features_are_in_the_metadata(names, tmp_path):
    X = samples((2,))
    model = DeepSVDD(pretrain_epochs=0, **SHORT).fit(X)
    if names:
        model.feature_names_in_ = np.array(names, object)  # as of a data frame
    _, metadata = run(model, X, tmp_path)
    assert metadata.get("feature_names") == ('["length, mm", "height"]' if names else None)


def test_a_layer_of_one_s_own_has_no_form(tmp_path):
    pytest.importorskip("onnx")

    class Mine(LeakyReLU):
        """Not what its parent is."""

    model = DeepSVDD(network=Sequential([Linear(4), Mine(), Linear(2)]), pretrain_epochs=0, **SHORT).fit(samples((5,)))
    with pytest.raises(ValueError, match=r"^Mine has no form in ONNX: expected Linear, Conv2D, .* or a Sequential"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_other_models_are_refused(tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(
        ValueError, match=r"^IsolationForest cannot be exported: expected a DeepSVDD or an Autoencoder$"
    ):
        export_onnx(IsolationForest().fit(samples((5,))), tmp_path / "model.onnx")
    with pytest.raises(NotFittedError):
        export_onnx(DeepSVDD(), tmp_path / "model.onnx")


def test_a_model_whose_network_sees_parts_of_a_sample_is_refused(tmp_path):
    pytest.importorskip("onnx")
    model = DeepSVDD(pretrain_epochs=0, **SHORT).fit(samples((5,)))
    model.input_shape_ = (10,)
    with pytest.raises(ValueError, match=r"^samples \(10,\) are cut into \(5,\) for the network"):
        export_onnx(model, tmp_path / "model.onnx")


def test_without_the_package_one_line_says_what_to_install():
    code = "import sys; sys.modules['onnx'] = None\nfrom minisvdd.export import export_onnx\nexport_onnx(None, 'x')"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith('need the package onnx: pip install "minisvdd[onnx]"')
