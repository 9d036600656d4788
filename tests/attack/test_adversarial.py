"""From a classifier to an adversarial test set, its table and pictures."""

import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from minisvdd import cli, load_dataset, load_model
from minisvdd.attack import adversarial
from minisvdd.attack.adversarial import (
    Adversaries,
    adversaries_of,
    attack_class,
    kept_attack,
    trained_classifier,
    write_stop_signs,
)
from minisvdd.attack.boundary_attack import AttackResult
from minisvdd.data.datasets import GTSRB_CLASSES
from minisvdd.experiments.grid import make_grid
from minisvdd.experiments.paper import TABLE_2, TABLES
from minisvdd.experiments.protocols import get_protocol
from minisvdd.experiments.report import collect
from minisvdd.experiments.running.run import run_grid

pytestmark = pytest.mark.slow

TINY = {"channels": (8,), "kernel_size": 3, "hidden": 16, "epochs": 3, "milestones": (), "augment": False}


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(adversarial.SETTINGS, "digits", (TINY, "3", 5, 300))
        yield folder, cli.main(["attack", "--data", "digits", "--out", str(folder), "--quiet"])


def test_command_makes_adversarial_digits(attack, capsys):
    folder, status = attack
    assert status == 0
    figures = json.loads((folder / "attack.json").read_text())
    assert figures["misclassified"] == figures["images"] == 5
    assert figures["median_l2"] < figures["median_l2_start"] / 2
    for name in ("adversaries.png", "distances.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.compiler
def test_an_attack_on_kernels_is_the_same_attack(attack, monkeypatch, tmp_path):
    """The classifier trains and answers on the backend; a kept one is taken whatever it was made on."""
    folder, _ = attack
    monkeypatch.setitem(adversarial.SETTINGS, "digits", (TINY, "3", 2, 40))
    (tmp_path / "classifier.npz").write_bytes((folder / "classifier.npz").read_bytes())
    command = ["attack", "--data", "digits", "--backend", "emulator", "--out", str(tmp_path), "--quiet"]
    assert cli.main(command) == 0
    on_kernels = json.loads((tmp_path / "attack.json").read_text())
    (tmp_path / "adversarial.npz").unlink()
    assert cli.main([*command[:3], *command[5:]]) == 0
    assert json.loads((tmp_path / "attack.json").read_text())["l2"] == on_kernels["l2"]


def test_finished_work_is_kept_and_the_file_is_honest(attack):
    folder, _ = attack
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    classifier, found, _ = adversaries_of(load_dataset("digits"), folder, verbose=0)
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert (classifier.predict(found.originals) == 3).all()
    np.testing.assert_array_equal(classifier.predict(found.adversarials), found.predicted)
    assert (found.predicted != 3).all()


def test_other_training_data_are_another_classifier(tmp_path):
    """Of a file that does not say what it was trained on nothing is known: as of other settings."""
    data, path = load_dataset("digits"), tmp_path / "classifier.npz"
    few = {"channels": (4,), "hidden": 8, "epochs": 1, "milestones": (), "verbose": 0}
    first = trained_classifier(data, path, **few)
    written = path.stat().st_mtime_ns
    trained_classifier(data, path, **few)
    assert path.stat().st_mtime_ns == written
    exchanged = np.array([0, 1, 2, 8, 4, 5, 6, 7, 3, 9])[data.train_labels]
    images = data.train_images[::-1]
    for other in (replace(data, train_labels=exchanged), replace(data, train_images=images)):
        model = trained_classifier(other, path, **few)
        assert any((model.network_.params[name] != array).any() for name, array in first.network_.params.items())
    again = trained_classifier(data, path, **few)
    del again.data_hash_
    again.save(path)
    assert not hasattr(load_model(path), "data_hash_")
    trained_classifier(data, path, **few)
    assert load_model(path).data_hash_ == first.data_hash_


def test_other_test_images_or_names_are_another_attack(tmp_path, monkeypatch):
    monkeypatch.setitem(adversarial.SETTINGS, "digits", (TINY, "3", 2, 20))
    data, path = load_dataset("digits"), tmp_path / "adversarial.npz"
    figures = adversaries_of(data, tmp_path, verbose=0)[2]
    trained = (tmp_path / "classifier.npz").stat().st_mtime_ns
    turned = replace(data, test_images=data.test_images[::-1], test_labels=data.test_labels[::-1])
    renamed = replace(data, class_names=tuple("0128456739"))
    for other in (turned, renamed):
        attacked = path.stat().st_mtime_ns
        _, found, told = adversaries_of(other, tmp_path, verbose=0)
        assert path.stat().st_mtime_ns != attacked
        assert told["test_sha256"] != figures["test_sha256"]
        np.testing.assert_array_equal(found.originals[:, 0], other.test_images[found.indices, 0] / other.white)
    assert (tmp_path / "classifier.npz").stat().st_mtime_ns == trained
    assert (other.test_labels[found.indices] == 8).all()


def test_a_damaged_attack_is_named_and_made_again(tmp_path, capsys):
    """Whatever is wrong with the file: nothing of it is used, and the work is not lost for it."""
    images, many, curve = np.zeros((2, 1, 3, 3), np.float32), np.arange(2), np.ones((3, 2))
    result = AttackResult(images, many > 0, curve[0], curve[0], many, many, curve.astype(int), curve)
    made = Adversaries(**vars(result), originals=images, indices=many)
    path = tmp_path / "adversarial.npz"
    kept_attack(path, {"seed": 0}, lambda: made)
    whole = path.read_bytes()
    with np.load(path) as archive:
        arrays = dict(archive)
    kept = kept_attack(path, {"seed": 0}, lambda: None)
    np.testing.assert_array_equal(kept.curve_distances, curve)
    changes = [{name: None} for name in arrays] + [
        {"success": many}, {"distances": np.ones(3)}, {"distances": np.array(["x", "y"])}, {"indices": curve[0]},
        {"originals": np.full_like(images, np.nan)}, {"adversarials": images[:1]}, {"curve_queries": many},
    ]  # fmt: skip
    for change in changes:
        np.savez(path, **{name: array for name, array in (arrays | change).items() if array is not None})
        assert kept_attack(path, {"seed": 0}, lambda: made) is made
        (told,) = capsys.readouterr().err.splitlines()
        assert str(path) in told
        assert told.endswith("made again")
    path.write_bytes(whole[:-50])
    assert kept_attack(path, {"seed": 0}, lambda: made) is made
    assert kept_attack(path, {"seed": 1}, lambda: made) is made
    assert capsys.readouterr().err.count("made again") == 1, "other settings are no damage"


def test_figures_of_an_attack_that_fails_are_json(tmp_path, capsys):
    def refuse(token):
        raise AssertionError(token)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(adversarial.SETTINGS, "digits", (TINY, "3", 3, 1))
        assert cli.main(["attack", "--data", "digits", "--out", str(tmp_path), "--quiet"]) == 1
    figures = json.loads((tmp_path / "attack.json").read_text(), parse_constant=refuse)
    assert figures["misclassified"] < figures["images"]
    assert None in figures["l2"]


def test_a_table_with_adversarial_images(attack, tmp_path):
    """What table 2 does, on digits: the file, a grid on it, the paper's numbers beside it, figure 4."""
    folder, _ = attack
    data = load_dataset("digits")
    _, found, _ = adversaries_of(data, folder, verbose=0)
    path = write_stop_signs(data, found, folder / "stop-signs.npz", "3")
    split = load_dataset(str(path)).one_class("3")
    assert split.is_anomaly.sum() == 5
    np.testing.assert_array_equal(split.train, data.one_class("3").train)
    settings = get_protocol("quick", "digits").__class__(2, (), 1e-6, 2, (), 1e-3, batch_size=32)
    grid = make_grid(str(path), methods=["kde", "one-class"], seeds=1, settings=settings)
    run_grid(grid, folder, verbose=0)
    assert grid.classes == ("3",)
    assert {name for _, name in collect(folder)[1]} >= {"kde", "one-class"}
    assert adversarial.figure_4(folder) is not None
    assert cli.main(["experiment", "report", str(folder)]) == 0
    assert (folder / "figure4.png").stat().st_size > 1000
    run_grid(make_grid(str(path), methods=["soft-boundary"], seeds=1, settings=settings), tmp_path, verbose=0)
    assert adversarial.figure_4(tmp_path) is None, "the figure shows One-Class"


def test_attacks_from_noise(attack):
    digits = load_dataset("digits")
    classifier, *_ = adversaries_of(digits, attack[0], verbose=0)
    found = attack_class(digits, classifier, "3", count=5, queries=200, start="noise", verbose=0)
    others = attack_class(digits, classifier, "3", count=5, queries=200, verbose=0)
    assert found.success.all()
    assert (found.indices == others.indices).all()
    assert (found.start_distances != others.start_distances).all()
    with pytest.raises(ValueError, match="start='zeros': expected 'images' or 'noise'"):
        attack_class(digits, classifier, "3", start="zeros")


def test_figures_are_those_of_the_attack(attack, tmp_path):
    started = time.perf_counter()
    _, found, figures = adversaries_of(load_dataset("digits"), tmp_path, count=2, queries=20, verbose=0)
    assert 0 < figures["seconds_classifier"] + figures["seconds_attack"] <= time.perf_counter() - started + 0.001
    assert figures["total_queries"] == found.queries.sum() > figures["median_queries"]
    assert figures["ratio"] == figures["median_l2_start"] / figures["median_l2"] > 1


def test_another_seed_is_another_classifier(attack, tmp_path):
    digits = load_dataset("digits")
    first, second = (
        adversaries_of(digits, tmp_path / str(seed), count=1, queries=2, seed=seed, verbose=0)[0] for seed in (0, 1)
    )
    x = digits.one_class("3").test[:20]
    assert (first.decision_function(x) != second.decision_function(x)).any()


def test_mirrored_signs_are_each_other_s_mirror_image():
    names = GTSRB_CLASSES
    pairs = adversarial.SETTINGS["gtsrb"][0]["mirrors"]
    swap = {"left": "right", "right": "left"}
    mirrored = {name: "-".join(swap.get(word, word) for word in name.split("-")) for name in names}
    assert all(names[b] == mirrored[names[a]] for a, b in pairs if a != b)
    signs = [sign for pair in pairs for sign in set(pair)]
    assert len(signs) == len(set(signs))
    # Whatever has a sign of the other side is in a pair.
    sided = {name for name in names if mirrored[name] != name and mirrored[name] in names}
    assert sided == {names[sign] for pair in pairs if len(set(pair)) == 2 for sign in pair}


def test_failed_attacks_are_refused(attack):
    folder, _ = attack
    data = load_dataset("digits")
    _, found, _ = adversaries_of(data, folder, verbose=0)
    found.success[0] = False
    with pytest.raises(ValueError, match="1 attacks failed"):
        write_stop_signs(data, found, folder / "refused.npz", "3")
    assert not (folder / "refused.npz").exists()


def test_table_2_is_the_papers():
    assert TABLES["stop-signs"] is TABLE_2
    assert TABLE_2["stop"]["one-class"] == (80.3, 2.8)
    assert get_protocol("paper", "stop-signs") == get_protocol("paper", "gtsrb")


@pytest.mark.data
@pytest.mark.skipif("MINISVDD_DATA" not in os.environ, reason="needs GTSRB: set MINISVDD_DATA")
def test_protocol_of_table_2():
    try:
        data = load_dataset("gtsrb", classes=["stop"])
    except adversarial.DataError as error:
        pytest.skip(str(error))
    split = data.one_class("stop")
    assert split.train.shape == (780, 3, 32, 32)
    assert len(split.test) == 270


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--queries", "-1"], ["--target-class", "eleven"]])
def test_mistakes_are_one_line_and_status_2(arguments, capsys, tmp_path):
    """Before any training: the folder stays empty."""
    settings = ["--data", "digits", "--quiet", "--out", str(tmp_path)]
    assert cli.main(["attack", *settings, *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_table_without_queries_is_refused(capsys, tmp_path):
    assert cli.main(["experiment", "table2-gtsrb", "--queries", "0", "--out", str(tmp_path)]) == 2
    assert "--queries 0: expected an integer >= 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
