"""Pictures that travel inside a page, as data: URIs: figures as SVG, samples and heat maps as small PNG or JPEG."""

import base64
import io

import numpy as np
from matplotlib import colormaps, rc_context, style
from matplotlib.figure import Figure
from PIL import Image

from ..experiments.heatmaps import STRONGEST, as_picture, warmth

SMALL, LARGEST = 64, 224  # pixels: to the one, sides stay as they are; above the other, they are made smaller
_INK, _SOFT = "#1f2933", "#7b8794"


@style.context("default")
def figure_uri(figure: Figure) -> str:
    """A figure as SVG, crisp at any size; the same bytes for the same figure."""
    buffer = io.BytesIO()
    # A background, a name and a date would differ from page and day; text becomes outlines, whatever fonts there are.
    with rc_context({"svg.hashsalt": "minisvdd", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _uri("svg+xml", buffer.getvalue())


def picture_uri(image: np.ndarray) -> str:
    """A sample (C, H, W) as it is."""
    return _pixels_uri(_rgb(image))


def heat_uri(image: np.ndarray, blame: np.ndarray, hottest: float) -> str:
    """The sample (C, H, W) under its heat map (H, W), whose colours end at `hottest`, as `plot_heatmap` draws it."""
    heat = warmth(blame, hottest)
    opacity = (STRONGEST * heat)[..., None]
    return _pixels_uri((1 - opacity) * _rgb(image) + opacity * colormaps["autumn_r"](heat)[..., :3])


def dressed(figure: Figure) -> Figure:
    """The figure with quiet axes: no box, thin grey lines, titles at the left."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#cbd2d9")
        axes.tick_params(colors=_SOFT, labelsize=9, length=3)
        axes.set_title(axes.get_title(), loc="center", fontsize=11, color=_INK)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(color=_SOFT, fontsize=9)
    return figure


def _rgb(image):
    """(H, W, 3) from 0 to 1."""
    picture = as_picture(image)
    return np.clip(np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture, 0, 1).astype(np.float64)


def _pixels_uri(pixels):
    image = Image.fromarray(np.uint8(np.rint(255 * pixels)))
    buffer = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(buffer, "PNG")
        return _uri("png", buffer.getvalue())
    if max(image.size) > LARGEST:
        sides = (max(1, round(side * LARGEST / max(image.size))) for side in image.size)
        image = image.resize(tuple(sides), Image.Resampling.BOX)
    image.save(buffer, "JPEG", quality=85)
    return _uri("jpeg", buffer.getvalue())


def _uri(kind, content):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
