"""Pictures of heat maps: one for each image, under names that stay in their folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minisvdd.experiments.heatmaps import as_picture, plot_heatmap, save_heatmaps


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_picture_for_each_image(channels, tmp_path, rng):
    images = rng.normal(size=(3, channels, 8, 9)) if channels == 2 else rng.random((3, channels, 8, 9))
    names = ["../../etc/a b.png", "bad$name\n.jpg", "x" * 300]
    paths = save_heatmaps(tmp_path / "new", images, rng.random((3, 8, 9)), np.arange(3.0), names)
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    assert [path.name[:2] for path in paths] == ["0-", "1-", "2-"]
    for path in paths:
        assert path.parent == tmp_path / "new"
        assert len(path.name) < 100
        assert Image.open(path).size[0] > 200
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_every_layout_of_images_makes_the_same_pictures(tmp_path, rng):
    """Of uint8 and of floating-point numbers; white is white, also where the whole image is."""
    pixels, maps, scores = rng.integers(0, 256, (3, 3, 8, 9), np.uint8), rng.random((3, 8, 9)), np.arange(3.0)
    pixels[0] = 255
    grey = pixels[:, 0]
    for images in ([pixels, pixels / 255, np.moveaxis(pixels, 1, -1)], [grey[:, None], grey, grey / 255]):
        made = [save_heatmaps(tmp_path / str(k), layout, maps, scores) for k, layout in enumerate(images)]
        for paths in made[1:]:
            for path, first in zip(paths, made[0]):
                np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(first)))
    assert as_picture(pixels[0]).min() == 1
    deep = rng.random((2, 5, 8, 3))  # channels that are no colours, and a width that could be taken for them
    assert len(save_heatmaps(tmp_path / "deep", deep, rng.random((2, 8, 3)), scores[:2])) == 2


def test_without_names_numbers_sort_like_the_images(tmp_path):
    paths = save_heatmaps(tmp_path, np.zeros((11, 1, 2, 2)), np.zeros((11, 2, 2)), np.zeros(11))
    assert [path.name for path in paths] == [f"{i:02}.png" for i in range(11)]
    assert save_heatmaps(tmp_path, np.zeros((0, 1, 2, 2)), np.zeros((0, 2, 2)), np.zeros(0)) == []


def test_heat_maps_of_an_earlier_call_go_and_nothing_else(tmp_path):
    images, maps = np.zeros((3, 1, 2, 2)), np.zeros((3, 2, 2))
    old = save_heatmaps(tmp_path, images, maps, np.zeros(3), ["a.png", "b.png", "c.png"])
    Image.new("L", (4, 4)).save(tmp_path / "3-mine.png")
    others = {"notes.txt", "3-mine.png"}
    (tmp_path / "notes.txt").touch()
    new = save_heatmaps(tmp_path, images[:1], maps[:1], np.zeros(1), ["b.png"])
    assert not set(old) & set(new)
    assert {path.name for path in tmp_path.iterdir()} == {*others, new[0].name}


def test_one_colour_means_the_same_in_all_pictures_of_a_call(tmp_path):
    """The image on which nothing is wrong is not coloured."""
    maps = np.zeros((2, 8, 8))
    maps[0, 2:5, 2:5], maps[1] = 10, 0.01
    images = np.full((2, 1, 8, 8), 0.5)
    damaged, whole = save_heatmaps(tmp_path, images, maps, np.array([5.0, 1.0]))
    colourful = [
        np.ptp(np.asarray(Image.open(path).convert("RGB")).astype(int), axis=2).max() for path in (damaged, whole)
    ]
    assert colourful[0] > 100 > 20 > colourful[1]


def test_the_heat_lies_over_the_picture():
    blame = np.zeros((4, 6))
    blame[1, 2] = 3
    figure = plot_heatmap(np.full((3, 4, 6), 0.2), blame, 2.0, "score 1")
    alone, under = figure.axes
    assert len(alone.images) == 1
    assert under.images[1].get_array()[1, 2] == 1
    assert under.images[1].get_alpha()[0, 0] == 0
    assert Path(figure._suptitle.get_text()).name == "score 1"
