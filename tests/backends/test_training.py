"""Deep SVDD on backends of kernels: the same losses and scores as NumPy from the same seed, and the commands."""

import json

import numpy as np
import pytest

from minisvdd import AnoGAN, DeepSVDD, load_dataset, load_model
from minisvdd.backends import EmulatorBackend, KernelError, backend_problems, building, get_backend
from minisvdd.cli import main

pytestmark = pytest.mark.slow

_PROBLEMS = backend_problems()
needs_emulator = pytest.mark.skipif(bool(_PROBLEMS["emulator"]), reason=str(_PROBLEMS["emulator"]))


@pytest.fixture(
    params=[
        pytest.param("emulator", marks=needs_emulator),
        pytest.param(
            "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(bool(_PROBLEMS["cuda"]), reason=str(_PROBLEMS["cuda"]))]
        ),
    ]
)
def device(request):
    return EmulatorBackend(check=False) if request.param == "emulator" else get_backend(request.param)


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_training_on_the_digits_follows_numpy(objective, device, tmp_path):
    """Pre-training and 20 epochs from one seed: loss curves to 1e-3, scores to 1e-5 of a saved model read by either."""
    split = load_dataset("digits").one_class(3)
    images, models = split.train[:36], []
    for backend in ("numpy", device):
        options = {"pretrain_epochs": 2, "epochs": 20, "batch_size": 18, "learning_rate": 1e-3, "milestones": (15,)}
        model = DeepSVDD(
            objective,
            network="digits_lenet",
            preprocessing="gcn-l1",
            backend=backend,
            threshold="nu",
            verbose=0,
            **options,
        )
        models.append(model.fit(images))
    on_host, on_device = models
    for curve in ("loss", "radius"):
        np.testing.assert_allclose(on_device.history_[curve], on_host.history_[curve], rtol=1e-3)
    np.testing.assert_allclose(
        on_device.autoencoder_.history_["loss"], on_host.autoencoder_.history_["loss"], rtol=1e-3
    )
    np.testing.assert_allclose(on_device.center_, on_host.center_, rtol=1e-3, atol=1e-4)

    on_device.save(tmp_path / "model.npz")
    scores = on_device.anomaly_score(split.test[:100])
    read = load_model(tmp_path / "model.npz")
    assert read.backend == "numpy"
    limit = 1e-5 if device.name == "emulator" else 1e-4
    np.testing.assert_allclose(scores, read.anomaly_score(split.test[:100]), rtol=limit, atol=limit)
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz", device).anomaly_score(split.test[:100]), scores)


def test_anogan_follows_numpy(device):
    """One step of both networks: transposed convolutions, affine batch norm, cross-entropy, gradients of two passes."""
    X, losses = load_dataset("digits").one_class(3).train[:8], []
    for backend in ("numpy", device):
        options = {"network": "small_dcgan", "epochs": 1, "batch_size": 8, "search_steps": 2}
        model = AnoGAN(backend=backend, threshold="nu", verbose=0, **options).fit(X)
        losses.append([model.history_["discriminator_loss"][0], model.history_["generator_loss"][0]])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@needs_emulator
def test_train_command(tmp_path, capsys):
    """As a new user calls it, but on few epochs; the result file says where it was computed."""
    few = ["--pretrain-epochs", "1", "--epochs", "2"]
    assert main(["train", "--backend", "emulator", "--out", str(tmp_path), "--quiet", *few]) == 0
    assert "test AUC" in capsys.readouterr().out
    assert json.loads((tmp_path / "result.json").read_text())["backend"] == "emulator"
    assert load_model(tmp_path / "model.npz").backend == "numpy"


@needs_emulator
def test_gradcheck_command(capsys):
    assert main(["gradcheck", "--backend", "emulator", "--layer", "Linear", "--layer", "AbsoluteError"]) == 0
    assert "4 of 4 gradient checks passed" in capsys.readouterr().out


@pytest.mark.skipif(not _PROBLEMS["cuda"], reason="this machine has a GPU")
@pytest.mark.parametrize("command", ["train", "gradcheck", "bench"])
def test_cuda_without_a_gpu_is_one_line_and_status_2(command, capsys):
    assert main([command, "--backend", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "minisvdd: error: backend 'cuda'" in error
    assert 'pip install "minisvdd[cuda12]"' in error


def test_info_lists_backends_and_what_others_lack(capsys, monkeypatch):
    monkeypatch.setattr(building, "find_compiler", lambda: None)
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "not emulator: the emulator needs a C++ compiler" in out
    assert "backends      plain, numpy" in out


def test_emulator_without_a_compiler_says_so_at_once(monkeypatch):
    monkeypatch.setattr(building, "find_compiler", lambda: None)
    with pytest.raises(KernelError, match=r"needs a C\+\+ compiler: install g\+\+"):
        get_backend("emulator")


@needs_emulator
def test_building_is_announced_once(monkeypatch, tmp_path):
    """Into an empty cache; the kernels are small ones, so that it does not take long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = building.kernel_folder()
    files = [folder / "upsample.cu", folder / "steps.cu"]
    monkeypatch.setattr(building, "_kernel_files", lambda: files)

    def announced(**options):
        messages = []
        EmulatorBackend(**options).prepare(messages.append)
        return messages == ["building kernels (once)..."] if messages else False

    assert announced(check=False)
    assert not announced(check=False)
    assert announced(check=True), "the checked libraries are others"
    assert not announced(check=True)
    assert not announced(check=False, count=True), "they count as well"
    files.append(folder / "reductions.cu")
    assert announced(check=False), "one that is missing is enough"
