"""Pictures that minisvdd has made are known as such, and no others."""

import os

import pytest
from matplotlib.figure import Figure
from PIL import Image

from minisvdd.experiments.plots import save_figure
from minisvdd.files.marks import HEAT_MAP, check_free_of_pictures, is_marked


def test_pictures_of_ours_are_known_wherever_they_lie(tmp_path):
    ours = save_figure(Figure(), tmp_path / "a.png")
    heat = save_figure(Figure(), tmp_path / "b.png", HEAT_MAP)
    assert is_marked(ours)
    assert is_marked(heat)
    assert is_marked(heat, HEAT_MAP)
    assert not is_marked(ours, HEAT_MAP)
    assert is_marked(ours.rename(tmp_path / "other name.PNG"))


def test_what_others_have_made_is_not_ours(tmp_path):
    Figure().savefig(tmp_path / "plot.png")
    Image.new("L", (9, 9)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("minisvdd picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("plot.png", "plain.png", "text.png", "empty.png", "folder.png", "pipe.png", "absent.png"):
        assert not is_marked(tmp_path / name)


def test_a_folder_of_others_pictures_is_not_free(tmp_path):
    check_free_of_pictures(tmp_path / "new", (".png", ".jpg"), "--maps")
    save_figure(Figure(), tmp_path / "ours.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    check_free_of_pictures(tmp_path, (".png", ".jpg"), "--maps")
    (tmp_path / "theirs.JPG").touch()
    with pytest.raises(ValueError, match=r"--maps .*made, such as theirs\.JPG: give a folder of its own"):
        check_free_of_pictures(tmp_path, (".png", ".jpg"), "--maps")
