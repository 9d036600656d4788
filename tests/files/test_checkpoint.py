"""Interrupted trainings: they go on bit for bit, files are whole or absent, and a full disk is one clear line."""

import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from helpers_data import one_line_error
from helpers_processes import MAIN, environment, python, wait_until
from trainer_properties import digits, small_model

from minisvdd import AnoGAN, Autoencoder, Checkpoint, DataError, DeepSVDD, cli, load_dataset, load_model
from minisvdd.attack.classifier import SoftmaxClassifier
from minisvdd.backends import EmulatorBackend, HostBackend
from minisvdd.data.readers import to_float
from minisvdd.files import atomic, checkpoint
from minisvdd.files.atomic import check_writable
from minisvdd.files.checkpoint import LoopCheckpoint
from minisvdd.ops.own import load_operations

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Stands for the end of the process: nothing in the library may catch it."""


def fit_killed_after(model, X, epochs, checkpoint):
    """Fit until so many epochs have been started, in whichever training they are; then as if the process were gone."""
    for training in model.trainings(X, checkpoint=checkpoint):
        while not training.is_done:
            training.start_epoch()
            epochs -= 1
            if not epochs:
                return
            training.finish_epoch()


def everything(model):
    """All that a training leaves behind, except for the seconds it took."""
    history = {name: values for name, values in model.history_.items() if name != "seconds"}
    arrays = model.network_.arrays
    kept = {name: getattr(model, name, None) for name in ("radius_", "offset_", "diagnostics_")}
    return (
        {name: a.tobytes() for name, a in arrays.items()},
        history,
        kept,
        getattr(model, "center_", np.zeros(0)).tobytes(),
    )


def both(**changes):
    """A model with pre-training (4 epochs) and training (6), both crossing a milestone."""
    arguments = {"pretrain_epochs": 4, "epochs": 6, "milestones": (3,), "pretrain_milestones": (2,), "radius_every": 2}
    return small_model(**{**arguments, **changes})


@pytest.fixture(scope="module", params=["one-class", "soft-boundary"])
def objective_and_whole(request):
    return request.param, both(objective=request.param).fit(digits().train)


@pytest.mark.parametrize("killed_after", [1, 3, 4, 5, 8, 10])
@pytest.mark.parametrize("every", [1, 2])
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(objective_and_whole, killed_after, every, tmp_path):
    X, stages = digits().train, []
    objective, whole = objective_and_whole
    fit_killed_after(both(objective=objective), X, killed_after, Checkpoint(tmp_path, every))
    model = both(objective=objective)
    model.fit(X, on_stage=lambda stage, _: stages.append(stage), checkpoint=Checkpoint(tmp_path, every, resume=True))
    assert everything(model) == everything(whole)
    assert everything(model.autoencoder_) == everything(whole.autoencoder_)
    assert stages == ["random", "pretrained", "trained"]
    np.testing.assert_array_equal(model.anomaly_score(X), whole.anomaly_score(X))


def test_the_rule_of_the_last_batch_is_resumed_too(tmp_path):
    X, arguments = digits().train, {"objective": "soft-boundary", "radius_update": "last-batch", "pretrain_epochs": 0}
    fit_killed_after(both(**arguments), X, 5, Checkpoint(tmp_path, 2))
    resumed = both(**arguments).fit(X, checkpoint=Checkpoint(tmp_path, 2, resume=True))
    assert everything(resumed) == everything(both(**arguments).fit(X))


def test_epochs_that_a_checkpoint_holds_are_not_trained_again(tmp_path):
    def epochs_trained(checkpoint):
        """In pre-training and in training."""
        counts = []
        for training in both().trainings(X, checkpoint=checkpoint):
            counts.append(training.plan.epochs - training.epoch)
            training.run()
        return counts

    X = digits().train
    fit_killed_after(both(), X, 9, Checkpoint(tmp_path, 2))
    assert epochs_trained(Checkpoint(tmp_path, 2, resume=True)) == [0, 2]
    assert epochs_trained(Checkpoint(tmp_path, 2)) == [4, 6]


def test_autoencoder_alone(tmp_path):
    X = digits().train

    def autoencoder(epochs):
        return Autoencoder(network="digits_lenet", epochs=epochs, batch_size=32, verbose=0, preprocessing="gcn-l1")

    whole = autoencoder(4).fit(X)
    autoencoder(4).fit(X, checkpoint=Checkpoint(tmp_path, 1))
    again = autoencoder(4).fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True))
    assert everything(again) == everything(whole)
    one_line_error(lambda: autoencoder(5).fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True)), "epochs was 4, is 5")


def classifier(**changes):
    arguments = {"channels": (4,), "kernel_size": 3, "hidden": 8, "epochs": 5, "milestones": (3,), "verbose": 0}
    return SoftmaxClassifier(**{**arguments, **changes})


def gan(**changes):
    return AnoGAN(**{"latent_dim": 8, "epochs": 5, "batch_size": 32, "search_steps": 2, "verbose": 0, **changes})


def labelled(n=120):
    data = load_dataset("digits")
    return to_float(data.train_images[:n], data.white), data.train_labels[:n]


def killed_after_saving(fit, times, monkeypatch):
    """Call `fit`; right after so many checkpoints have been written it is as if the process were gone."""
    save, count = LoopCheckpoint.save, iter(range(1, times + 1))

    def save_and_die(self, *arguments):
        save(self, *arguments)
        if next(count) == times:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LoopCheckpoint, "save", save_and_die)
        with pytest.raises(Killed):
            fit()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("make", "name"),
    [(classifier, "classifier"), (lambda: classifier(augment=False, mirrors=[(2, 5)]), "classifier"), (gan, "anogan")],
    ids=["classifier", "classifier-plain", "anogan"],
)
def test_classifier_and_anogan_are_resumed_bit_for_bit(make, name, times, tmp_path, monkeypatch):
    data = labelled() if name == "classifier" else (digits().train[:96],)
    whole = make().fit(*data)
    killed_after_saving(lambda: make().fit(*data, checkpoint=Checkpoint(tmp_path, 2)), times, monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npz"]
    resumed = make().fit(*data, checkpoint=Checkpoint(tmp_path, 2, resume=True))
    assert everything(resumed) == everything(whole)
    with monkeypatch.context() as patched:
        patched.setattr("minisvdd.nn.steps.train_step", None)  # complete: nothing is left to train
        patched.setattr("minisvdd.rivals.game.Game.play", None)
        again = make().fit(*data, checkpoint=Checkpoint(tmp_path, 2, resume=True))
    assert everything(again) == everything(whole)


@pytest.mark.parametrize("make", [classifier, gan])
def test_states_are_saved_after_every_so_many_epochs_and_the_last(make, tmp_path, monkeypatch):
    saved, save = [], LoopCheckpoint.save

    def record(self, values, arrays):
        saved.append(values["epoch"])
        save(self, values, arrays)

    monkeypatch.setattr(LoopCheckpoint, "save", record)
    data = labelled(40) if make is classifier else (digits().train[:40],)
    make(epochs=5).fit(*data, checkpoint=Checkpoint(tmp_path, 2))
    assert saved == [2, 4, 5]


def test_a_classifier_is_not_resumed_on_other_labels(tmp_path):
    X, y = labelled()
    classifier(epochs=1).fit(X, y, checkpoint=Checkpoint(tmp_path))
    resume = Checkpoint(tmp_path, resume=True)
    one_line_error(lambda: classifier(epochs=1).fit(X, y[::-1], checkpoint=resume), "classifier.npz", "y was")
    one_line_error(lambda: classifier(epochs=2).fit(X, y, checkpoint=resume), "classifier.npz", "epochs was 1, is 2")


def test_checkpoints_of_another_training_are_refused(tmp_path):
    X = digits().train
    both().fit(X, checkpoint=Checkpoint(tmp_path))
    resume = Checkpoint(tmp_path, resume=True)
    for change in ({"learning_rate": 1e-4}, {"random_state": 1}, {"center": np.ones(32)}, {"network": "small_lenet"}):
        one_line_error(lambda change=change: both(**change).fit(X, checkpoint=resume), "autoencoder.npz", *change)
    one_line_error(lambda: both().fit(X[:-1], checkpoint=resume), "autoencoder.npz", "X was")
    both(verbose=1).fit(X, checkpoint=resume)
    with pytest.raises(ValueError, match="random_state=None"):
        both(random_state=None).fit(X, checkpoint=resume)
    with pytest.raises(ValueError, match="every=0"):
        Checkpoint(tmp_path, 0)


def on_a_device(radius_update):
    return both(
        objective="soft-boundary", nu=0.3, radius_update=radius_update, batch_size=4, pretrain_epochs=2,
        pretrain_milestones=(1,), epochs=3, milestones=(2,), backend=EmulatorBackend(check=False),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole_on_a_device():
    """By the rule of the radius."""
    return {rule: on_a_device(rule).fit(digits().train[:9]) for rule in ("exact", "last-batch")}


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("radius_update", "killed_after"),
    [("exact", 2), ("exact", 3), ("exact", 5), ("last-batch", 3), ("last-batch", 5)],
)
def test_a_training_on_a_device_is_resumed_bit_for_bit(radius_update, killed_after, whole_on_a_device, tmp_path):
    """Weights, statistics, moments, step count and radius lie on the device: they go to the file and come back."""
    X, whole = digits().train[:9], whole_on_a_device[radius_update]
    fit_killed_after(on_a_device(radius_update), X, killed_after, Checkpoint(tmp_path, 1))
    resumed = on_a_device(radius_update).fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True))
    assert everything(resumed) == everything(whole)
    assert everything(resumed.autoencoder_) == everything(whole.autoencoder_)
    np.testing.assert_array_equal(resumed.anomaly_score(X), whole.anomaly_score(X))


@pytest.mark.compiler
@pytest.mark.parametrize("make", [classifier, gan])
def test_classifier_and_anogan_are_resumed_on_a_device(make, tmp_path, monkeypatch):
    def model():
        others = {} if make is classifier else {"threshold": "nu"}
        return make(backend=EmulatorBackend(check=False), epochs=3, batch_size=8, **others)

    data = labelled(20) if make is classifier else (digits().train[:16],)
    whole = model().fit(*data)
    killed_after_saving(lambda: model().fit(*data, checkpoint=Checkpoint(tmp_path, 1)), 2, monkeypatch)
    resumed = model().fit(*data, checkpoint=Checkpoint(tmp_path, 1, resume=True))
    assert everything(resumed) == everything(whole)


@pytest.mark.compiler
def test_the_command_resumes_on_the_emulator(tmp_path, monkeypatch):
    split = digits()
    labels = {"y_train": np.zeros(20), "y_test": split.is_anomaly[:10].astype(int)}
    np.savez(tmp_path / "few.npz", x_train=split.train[:20], x_test=split.test[:10], **labels)

    def train(folder, *options):
        few = ["--data", str(tmp_path / "few.npz"), "--pretrain-epochs", "1", "--epochs", "2"]
        every = ["--backend", "emulator", "--quiet", "--checkpoint-every", "1", *few]
        assert cli.main(["train", *every, "--out", str(tmp_path / folder), *options]) == 0

    train("whole")
    killed_after_saving(lambda: train("stopped"), 2, monkeypatch)
    assert sorted(path.name for path in (tmp_path / "stopped/checkpoint").iterdir()) == ["autoencoder.npz", "svdd.npz"]
    train("stopped", "--resume")
    whole, resumed = (load_model(tmp_path / folder / "model.npz") for folder in ("whole", "stopped"))
    assert everything(resumed) == everything(whole)


@pytest.mark.compiler
def test_a_checkpoint_of_another_backend_is_refused(tmp_path):
    X = digits().train[:8]
    both(epochs=1, pretrain_epochs=0).fit(X, checkpoint=Checkpoint(tmp_path))
    elsewhere = both(epochs=1, pretrain_epochs=0, backend="emulator")
    words = ("svdd.npz", "backend was 'numpy', is 'emulator'")
    one_line_error(lambda: elsewhere.fit(X, checkpoint=Checkpoint(tmp_path, resume=True)), *words)


def test_a_checkpoint_of_another_precision_is_refused(tmp_path):
    """Without a compiler: what is asked for is compared before anything is launched."""
    X, arguments = np.zeros((4, 3), np.float32), {"verbose": 0, "random_state": 0}

    def loop(backend):
        return Checkpoint(tmp_path, resume=True).loop("svdd", DeepSVDD(backend=backend, **arguments), X)

    loop(EmulatorBackend()).save({}, {})
    loop("emulator").restore(lambda values, arrays: None)
    words = ("svdd.npz", "backend was 'emulator', is 'emulator:tf32'")
    for other in (EmulatorBackend(precision="tf32"), "emulator:tf32"):
        one_line_error(lambda other=other: loop(other).restore(lambda values, arrays: None), *words)


def test_a_checkpoint_of_other_operations_is_refused(tmp_path):
    """The library's own go on with those of old checkpoints, which name the backend alone; a file counts by content."""
    X = digits().train[:20]

    def fit(backend):
        return small_model(epochs=1, backend=backend).fit(X, checkpoint=Checkpoint(tmp_path / "run", resume=True))

    def own(name, line):
        (tmp_path / name).write_text(f"import numpy as np\n\n\ndef leaky_relu_forward(x, slope):\n    {line}\n")
        return HostBackend("numpy", load_operations(tmp_path / name))

    text = "return np.maximum(x, slope * x)"
    fit("numpy")
    fit(HostBackend("numpy"))
    words = ("svdd.npz", "of another training: backend was 'numpy'", "leaky_relu_forward")
    one_line_error(lambda: fit(own("a.py", text)), *words)
    Checkpoint(tmp_path / "run").remove()
    fit(own("a.py", text))
    fit(own("b.py", text))
    one_line_error(
        lambda: fit(own("a.py", "return np.maximum(slope * x, x)")), "svdd.npz", "backend was", "leaky_relu_forward"
    )
    one_line_error(lambda: fit("numpy"), "svdd.npz", "is 'numpy'")
    mine = HostBackend("numpy", {"leaky_relu_forward": lambda x, slope: np.maximum(x, slope * x)})
    one_line_error(lambda: fit(mine), "svdd.npz", "leaky_relu_forward")


def test_damaged_checkpoints_are_named(tmp_path, rng):
    X = digits().train[:20]
    model = small_model(epochs=1)
    model.fit(X, checkpoint=Checkpoint(tmp_path))
    path = tmp_path / "svdd.npz"
    content, messages = path.read_bytes(), []
    for k in range(40):
        damaged = bytearray(content)
        if k % 2:
            damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        else:
            del damaged[int(rng.integers(len(content))) :]
        path.write_bytes(damaged)
        try:
            small_model(epochs=1).fit(X, checkpoint=Checkpoint(tmp_path, resume=True))
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_remove_leaves_foreign_files_alone(tmp_path):
    folder = tmp_path / "checkpoint"
    both().fit(digits().train[:20], checkpoint=Checkpoint(folder))
    gone = python("")
    gone.wait()
    living = folder / f".svdd.npz.{atomic._writer()}.abc.minisvdd-tmp"
    for writer in (gone.pid, "not a number"):
        living.with_name(f".svdd.npz.{atomic._machine()}-{writer}.abc.minisvdd-tmp").write_text("half")
    living.write_text("being written")
    (folder / "notes.txt").write_text("mine")
    Checkpoint(folder).remove()
    kept = [living.name, f".svdd.npz.{atomic._machine()}-not a number.abc.minisvdd-tmp", "notes.txt"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)
    for name in kept:
        (folder / name).unlink()
    Checkpoint(folder).remove()
    assert not folder.exists()
    Checkpoint(folder).remove()


# One process saves checkpoints, or begins with them, while another one has finished the same cell and removes them.
BESIDE = """
import sys, time
import numpy as np
from minisvdd import Checkpoint, DeepSVDD
checkpoint, end = Checkpoint(sys.argv[2], resume=True), time.monotonic() + 2
loop = checkpoint.loop("svdd", DeepSVDD(random_state=0), np.zeros(1))
while time.monotonic() < end:
    if sys.argv[1] == "save":
        loop.save({"epoch": 1}, {"a": np.zeros(1000, np.float32)})
        loop.restore(lambda values, arrays: None)
    else:
        checkpoint.remove()
"""


def test_who_saves_and_who_removes_do_not_disturb_each_other(tmp_path):
    processes = [python(BESIDE, what, tmp_path / "checkpoint") for what in ("save", "save", "remove")]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    Checkpoint(tmp_path / "checkpoint").remove()
    assert not (tmp_path / "checkpoint").exists()


def test_remove_leaves_models_and_data_beside_the_checkpoints(tmp_path):
    """One folder for all, and even a model under a checkpoint's name; a damaged checkpoint goes."""
    X = digits().train[:40]
    model = both(refit=True, threshold="holdout", false_alarm_rate=0.2).fit(X, checkpoint=Checkpoint(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "autoencoder.npz", "svdd.npz", "refit-autoencoder.npz", "refit-svdd.npz",
    }  # fmt: skip
    model.save(tmp_path / "model.npz")
    model.autoencoder_.save(tmp_path / "autoencoder.npz")
    np.savez(tmp_path / "mine.npz", X=X)
    (tmp_path / ".model.npz.half").write_text("of another process")
    (tmp_path / "classifier.npz").write_bytes((tmp_path / "svdd.npz").read_bytes()[:1000])
    Checkpoint(tmp_path).remove()
    kept = [".model.npz.half", "autoencoder.npz", "mine.npz", "model.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz").anomaly_score(X), model.anomaly_score(X))


def test_every_training_of_the_library_is_removed(tmp_path):
    X, y = labelled(40)
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    classifier(epochs=1).fit(X, y, checkpoint=checkpoint)
    gan(epochs=1, refit=True, false_alarm_rate=0.2).fit(X, checkpoint=checkpoint)
    assert len(list(checkpoint.folder.iterdir())) == 3
    checkpoint.remove()
    assert not checkpoint.folder.exists()


def test_a_fresh_training_is_not_stopped_by_checkpoints_of_the_one_before(tmp_path):
    """Killed in its second training; another one killed in its first: that one can be resumed."""
    X = digits().train
    fit_killed_after(both(weight_decay=1e-3), X, 7, Checkpoint(tmp_path, 1))
    assert (tmp_path / "svdd.npz").exists()
    fit_killed_after(both(), X, 3, Checkpoint(tmp_path, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["autoencoder.npz"]
    resumed = both().fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True))
    assert everything(resumed) == everything(both().fit(X))


def test_who_forgot_to_resume_loses_nothing_before_the_first_checkpoint(tmp_path):
    X = digits().train
    fit_killed_after(both(), X, 7, Checkpoint(tmp_path, 1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fit_killed_after(both(), X, 1, Checkpoint(tmp_path, 10))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    resumed = both().fit(X, checkpoint=Checkpoint(tmp_path, 10, resume=True))
    assert everything(resumed) == everything(both().fit(X))


def test_a_second_training_leaves_the_checkpoint_of_the_first(tmp_path):
    """What a fresh fit has written itself stays, with refit as well, and so does what is no checkpoint."""
    X = digits().train[:60]
    np.savez(tmp_path / "svdd.npz", X=X[:2])
    fit_killed_after(both(), X, 2, Checkpoint(tmp_path, 1))
    assert {path.name for path in tmp_path.iterdir()} == {"autoencoder.npz", "svdd.npz"}
    (tmp_path / "svdd.npz").unlink()
    again = {"refit": True, "threshold": "holdout", "false_alarm_rate": 0.2}
    fit_killed_after(both(**again), X, 16, Checkpoint(tmp_path, 1))
    resumed = both(**again).fit(X, checkpoint=Checkpoint(tmp_path, 1, resume=True))
    assert everything(resumed) == everything(both(**again).fit(X))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_checkpoint_that_cannot_be_removed_is_named(tmp_path):
    both(epochs=1, pretrain_epochs=0).fit(digits().train[:20], checkpoint=Checkpoint(tmp_path))
    tmp_path.chmod(0o500)
    one_line_error(Checkpoint(tmp_path).remove, "svdd.npz", "cannot be removed")
    tmp_path.chmod(0o700)


# Whole processes, killed at any moment

ARGUMENTS = ["train", "--data", "digits", "--quiet", "--checkpoint-every", "1", "--out"]


def command(*arguments, limit=None, **options):
    """`minisvdd` as a process; limit: bytes that it may write into one file, like a disk that is full."""
    code = MAIN
    if limit is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {code}"
    return python(code, *arguments, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What the same command leaves that nobody kills; in this process, as is the last one below."""
    out = tmp_path_factory.mktemp("whole")
    assert cli.main([*ARGUMENTS, str(out)]) == 0
    assert not (out / "checkpoint").exists()
    return out


def test_killed_at_random_moments_and_resumed(uninterrupted, tmp_path, rng, capsys):
    """By kill -9 in pre-training, by Ctrl-C in training: then the third command ends as the uninterrupted one."""
    old = (uninterrupted / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(old)
    goes_on = "minisvdd: error: interrupted: --resume goes on from the last checkpoint\n"
    for signals, after, status, words, options in (
        (signal.SIGKILL, "autoencoder.npz", -signal.SIGKILL, "", []),
        (signal.SIGINT, "svdd.npz", 130, goes_on, ["--resume"]),
    ):
        process = command(*ARGUMENTS, tmp_path, *options)
        wait_until((tmp_path / "checkpoint" / after).exists, 120)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signals)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (status, words)
        assert (tmp_path / "model.npz").read_bytes() == old
    assert cli.main([*ARGUMENTS, str(tmp_path), "--resume"]) == 0
    assert capsys.readouterr().err == ""
    resumed, whole = load_model(tmp_path / "model.npz"), load_model(uninterrupted / "model.npz")
    assert everything(resumed) == everything(whole)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files with RLIMIT_FSIZE")
def test_a_full_disk_is_one_line_and_leaves_the_old_model(uninterrupted, tmp_path):
    old = (uninterrupted / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(old)
    process = command(*ARGUMENTS, tmp_path, limit=20_000)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "autoencoder.npz: cannot be written: File too large" in error
    assert (tmp_path / "model.npz").read_bytes() == old
    assert list((tmp_path / "checkpoint").iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_one_line(uninterrupted, tmp_path):
    np.save(tmp_path / "x.npy", digits().test)
    with open("/dev/full", "w") as full:
        arguments = ["score", uninterrupted / "model.npz", tmp_path / "x.npy"]
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *map(str, arguments)],
            env=environment(), stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    started = time.perf_counter()
    assert cli.main(["train", "--data", "digits", "--out", str(tmp_path / "file" / "out")]) == 2
    assert time.perf_counter() - started < 20
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "file" in error
    assert "cannot be written" in error


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    one_line_error(lambda: check_writable(tmp_path), tmp_path, "cannot be written")
    one_line_error(lambda: both().fit(digits().train, checkpoint=Checkpoint(tmp_path)), "autoencoder.npz")


def test_resume_needs_checkpoints(capsys, tmp_path):
    assert cli.main(["train", "--resume", "--checkpoint-every", "0", "--out", str(tmp_path)]) == 2
    assert "--checkpoint-every" in capsys.readouterr().err


def test_going_on_with_another_numpy_or_processor_is_said_in_one_line(tmp_path, monkeypatch):
    """The same training, with other last digits: allowed, but not in silence."""
    X = digits().train
    resume = Checkpoint(tmp_path, 1, resume=True)
    small_model(epochs=2).fit(X, checkpoint=resume)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_model(epochs=2).fit(X, checkpoint=resume)
    monkeypatch.setattr(checkpoint, "_rounding", lambda: "NumPy 9.0, openblas for Z80")
    words = r"svdd\.npz: goes on with NumPy 9\.0, openblas for Z80, was written with NumPy"
    with pytest.warns(UserWarning, match=words) as seen:
        small_model(epochs=2).fit(X, checkpoint=resume)
    assert all("\n" not in str(warning.message) for warning in seen)
