"""What the commands write: never data of a later command, and never in place of what others have made."""

import json

import numpy as np
import pytest
from helpers_cli import run
from PIL import Image

pytestmark = pytest.mark.slow

ONCE = ("--epochs", 1, "--pretrain-epochs", 0, "--checkpoint-every", 0, "--quiet")


def put(folder, count, seed=0):
    folder.mkdir(parents=True)
    for k, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return folder


def counts_of(folder):
    result = json.loads((folder / "result.json").read_text())
    return result["n_train"], result["n_test"]


def test_a_training_in_the_folder_of_its_data_can_be_repeated_and_reported(tmp_path, monkeypatch, capsys):
    """The default folder for results lies in the working folder, which may be that of the data."""
    classes, flat = tmp_path / "classes", put(tmp_path / "flat", 12)
    put(classes / "good", 12)
    put(classes / "crack", 3, seed=1)
    for data, words, counts in ((classes, ("--normal-class", "good"), (9, 6)), (flat, (), (12, 0))):
        monkeypatch.chdir(data)
        for _ in range(2):
            assert run("train", "--data", ".", *words, *ONCE) == 0
            (folder,) = (data / "runs").iterdir()
            assert counts_of(folder) == counts
        assert "left alone: " in capsys.readouterr().err
        assert run("report", folder) == 0
        for _ in range(2):
            capsys.readouterr()
            assert run("score", folder / "model.npz", ".", "--heatmaps", "runs/heat") == 0
            assert capsys.readouterr().out.count("\n") == 1 + (12 if data == flat else 15)


def test_results_do_not_go_where_the_data_s_pictures_lie(tmp_path, capsys):
    flat = put(tmp_path / "flat", 12)
    (flat / "11.png").rename(flat / "scores.png")
    mine = (flat / "scores.png").read_bytes()
    for command in (("train",), ("experiment", "own")):
        words = ONCE if command == ("train",) else ("--quiet",)
        assert run(*command, "--data", flat, "--out", flat, *words) == 2
        assert capsys.readouterr().err.endswith(
            f"--out {flat}: holds pictures that minisvdd has not made, such as 0.png: give a folder of its own\n"
        )
    assert (flat / "scores.png").read_bytes() == mine
    assert len(list(flat.iterdir())) == 12


def test_pictures_that_are_made_too_small_are_told_the_option(tmp_path, capsys):
    flat = put(tmp_path / "flat", 12)
    assert run("train", "--data", flat, "--out", tmp_path / "run", "--size", 3, *ONCE) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: X has images of 3x3: network 'digits_lenet' needs sides of at least 4 pixels" in error
    assert error.endswith("a larger size (--size)")


def test_heat_maps_have_a_folder_of_their_own(tmp_path, capsys):
    flat, new = put(tmp_path / "flat", 12), put(tmp_path / "new", 3, seed=1)
    assert run("train", "--data", flat, "--out", tmp_path / "run", *ONCE) == 0
    model = tmp_path / "run" / "model.npz"
    capsys.readouterr()
    for _ in range(2):
        assert run("score", model, new, "--heatmaps", new / "heat") == 0
        assert capsys.readouterr().out.count("\n") == 4
        assert len(list((new / "heat").iterdir())) == 3
    (new / "2.png").unlink()
    assert run("score", model, new, "--heatmaps", new / "heat") == 0
    assert len(list((new / "heat").iterdir())) == 2
    capsys.readouterr()
    for samples in (new, new / "0.png"):
        assert run("score", model, samples, "--heatmaps", new) == 2
        assert capsys.readouterr() == (
            "",
            f"minisvdd: error: --heatmaps {new}: holds pictures that minisvdd has not made, such as 0.png: "
            "give a folder of its own\n",
        )


def test_a_model_of_other_data_is_not_replaced(tmp_path, monkeypatch, capsys):
    """Two data sets of one name have one folder by default; the same data may be trained on again, or --out given."""
    monkeypatch.chdir(tmp_path)
    first, second = put(tmp_path / "a" / "parts", 12), put(tmp_path / "b" / "parts", 12, seed=1)
    assert run("train", "--data", "a/parts", *ONCE) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    kept = (folder / "model.npz").read_bytes()
    capsys.readouterr()
    assert run("train", "--data", "b/parts", *ONCE) == 2
    error = capsys.readouterr().err
    assert error.endswith(f": holds the model of {first}, not of {second}: give another folder by --out\n")
    assert error.count("\n") == 1
    assert (folder / "model.npz").read_bytes() == kept
    assert run("train", "--data", first, *ONCE) == 0
    assert run("train", "--data", "b/parts", "--out", folder, *ONCE) == 0
    (folder / "result.json").write_text("[]")
    assert run("train", "--data", "b/parts", *ONCE) == 0
