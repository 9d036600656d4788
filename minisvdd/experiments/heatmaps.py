"""Heat maps as pictures: every image with what `Detector.explain` says of it laid over it."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from ..files.marks import HEAT_MAP, is_marked
from ..validation import as_images
from .plots import save_figure

STRONGEST = 0.75  # opacity of the hottest pixel
_LONGEST_NAME = 80


def save_heatmaps(
    folder, images: np.ndarray, maps: np.ndarray, scores: np.ndarray, names: Sequence[str] | None = None
) -> list[Path]:
    """One PNG per image: the picture, and beside it the same under its heat map, the score above.

    images: (n, C, H, W), or another layout that training takes.   maps: (n, H, W).   scores: (n,).
    names: of the files that the images came from, or None.
    One colour means the same in all pictures of a call: an image on which all is well stays cool. Files are named by
    the image's number and the letters, digits, "-" and "_" of its name; each is written whole or not at all. Heat maps
    of an earlier call go, so that all in the folder belong together; other files stay.
    """
    _remove_earlier(Path(folder))
    images = images if images.ndim == 4 and images.shape[2:] == maps.shape[1:] else as_images(images)
    hottest = hottest_of(maps.max(axis=(1, 2)) if len(maps) else ())
    digits, paths = len(str(max(len(images) - 1, 0))), []
    for index, (image, blame, score) in enumerate(zip(images, maps, scores)):
        name = f"{index:0{digits}}" if names is None else f"{index:0{digits}}-{_plain(names[index])}"
        title = f"score {score:.4g}" if names is None else f"{Path(names[index]).name[-40:]}: score {score:.4g}"
        figure = plot_heatmap(image, blame, hottest, title)
        paths.append(save_figure(figure, Path(folder) / f"{name}.png", HEAT_MAP))
    return paths


def _remove_earlier(folder):
    for path in folder.glob("*.png"):
        if is_marked(path, HEAT_MAP) and not path.is_symlink():
            path.unlink()


def hottest_of(peaks: Sequence[float]) -> float:
    """Where the colours of heat maps end, by the largest entry of each: the hottest pixel of most images, not of the
    worst alone, beside which all others would look cool."""
    return (float(np.quantile(peaks, 0.9)) if len(peaks) else 1.0) or 1.0


def warmth(blame: np.ndarray, hottest: float) -> np.ndarray:
    """From 0 to 1 by the square root, so that what has a tenth of the blame is seen, too."""
    return np.sqrt(np.clip(blame / hottest, 0, 1))


@style.context("default")
def plot_heatmap(image: np.ndarray, blame: np.ndarray, hottest: float, title: str = "") -> Figure:
    """The image (C, H, W), alone and under its heat map (H, W), whose colours end at `hottest`."""
    picture = as_picture(image)
    heat = warmth(blame, hottest)
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    alone, under = figure.subplots(1, 2)
    for axes in (alone, under):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
    under.imshow(heat, cmap="autumn_r", vmin=0, vmax=1, alpha=STRONGEST * heat, interpolation="nearest")
    figure.suptitle(title.replace("$", r"\$"), fontsize=9)
    return figure


def as_picture(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) in [0, 1]: as it is, where it lies there, else stretched. Channels are averaged unless 3.

    uint8 is divided by 255, its white.
    """
    image = image / 255 if image.dtype == np.uint8 else image
    picture = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)
    low, high = float(picture.min()), float(picture.max())
    return picture if low >= 0 and high <= 1 else (picture - low) / ((high - low) or 1.0)


def _plain(name):
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(name))[-_LONGEST_NAME:]
