"""Where is it? Every method of `Detector.explain` on defects of known place: pixel AUC (chance: 0.5), seconds.

    python benchmarks/explain.py --data-dir DIR     the committed result: textures, and zeros with a stroke added
    python benchmarks/explain.py --quick            small textures: does it run?

Textures (64x64, grey and RGB: a product of two waves with random phases, and noise) get a dark square, a bright
scratch, a bright blob, or a spot where the pattern is missing. For each image the pixels are ranked by the heat map:
the AUC is the chance that a pixel of the defect is above one beside it; rows hold the mean over images, and by kind of
defect. The image AUC says how well the score itself tells images with defects from new ones without. "contrast" is a
map that needs no detector, |x - mean|^2. Rows with "smoothing" have maps of other widths, in shorter sides of the
image. "files" are the bytes of the saved model with and without the autoencoder. Occlusion, which is slow, gets every
fourth image.
"""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from common import make_parser, parse, write_rows
from sklearn.metrics import roc_auc_score

from minisvdd import DeepSVDD, load_dataset
from minisvdd.data.datasets import find_dataset
from minisvdd.svdd.explain import SMOOTHING, smoothed

KINDS = ("square", "scratch", "blob", "missing")
WIDTHS = (0, 1 / 64, 1 / 32, 3 / 64, 1 / 16, 3 / 32)
COLORS = np.array([1, 0.8, 0.6])


def main():
    """Train, explain, compare; the file is written anew after each data set."""
    arguments = _arguments()
    rows = []
    for data in arguments.data:
        if data == "mnist" and find_dataset("mnist", arguments.data_dir) is None:
            print("mnist: not on this machine")
            continue
        make = digits if data == "mnist" else textures
        for seed in range(arguments.seeds):
            rows += _measure(data, seed, *make(data, np.random.default_rng(seed), arguments), arguments)
            settings = {
                name: value for name, value in vars(arguments).items() if name not in ("out", "data_dir", "data")
            }
            write_rows(arguments.out, rows, smoothing=SMOOTHING, settings=settings)


def textures(data, rng, arguments):
    """(training images, new normal ones, images with a defect, masks of the defects, their kinds)"""
    size, channels, n = arguments.size, 3 if data.endswith("rgb") else 1, arguments.images
    train, normal = (_textures(rng, count, size, channels) for count in (arguments.train, 4 * n))
    found = [(*plant(image, kind, rng), kind) for kind in KINDS for image in _textures(rng, n, size, channels)]
    images, masks, kinds = zip(*found)
    return (*(np.clip(x, 0, 255) / 255 for x in (train, normal, np.array(images))), np.array(masks), np.array(kinds))


def _textures(rng, n, size, channels):
    y, x = np.mgrid[:size, :size] / size * 20 * size / 64
    a, b = rng.uniform(0, 2 * np.pi, (2, n, 1, 1))
    grey = 128 + 50 * np.sin(x + a) * np.sin(y + b) + rng.normal(0, 8, (n, size, size))
    return grey[:, None] * COLORS[:channels, None, None]


def plant(image, kind, rng):
    """The image (C, H, W) with a defect of that kind at a random place, and where it is, (H, W) of bool."""
    image, (channels, size, _) = image.copy(), image.shape
    (row, column), angle = rng.integers(size // 6, size - size // 6, 2), rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size]
    across, along = ((y - row) * f - (x - column) * g for f, g in _rotation(angle))
    if kind == "square":
        where = np.maximum(abs(y - row), abs(x - column)) <= size // 12
        image[:, where] = rng.normal(40, 10, (channels, where.sum()))
    elif kind == "scratch":
        where = (abs(across) <= 1) & (abs(along) <= size / 5)
        image[:, where] = rng.normal(215, 8, (channels, where.sum()))
    elif kind == "blob":
        squared = ((y - row) ** 2 + (x - column) ** 2) / (size / 15) ** 2
        image, where = image + 90 * np.exp(-squared / 2), squared < 1.5**2
    else:
        where = np.hypot(y - row, x - column) <= size / 9
        image[:, where] = 128 * COLORS[:channels, None] + rng.normal(0, 8, where.sum())
    return image, where


def digits(data, rng, arguments):
    """The same of MNIST's zeros, whose defect is a stroke, ten pixels long, through black ones."""
    split = load_dataset("mnist", arguments.data_dir).one_class(0)
    zeros = split.test[~split.is_anomaly.astype(bool)]
    chosen = zeros[rng.permutation(len(zeros))[: 8 * arguments.images]]
    normal, images = np.split(chosen, 2)
    masks = np.array([_stroke(image[0], rng) for image in images])
    images[:, 0][masks] = 1
    return split.train, normal, images, masks, np.full(len(images), "stroke")


def _stroke(image, rng):
    """Where a stroke at a random place meets dark pixels of the image (28, 28), ten or more."""
    y, x = np.mgrid[:28, :28]
    while True:
        (row, column), angle = rng.uniform(8, 20, 2), rng.uniform(0, np.pi)
        across, along = ((y - row) * f - (x - column) * g for f, g in _rotation(angle))
        where = (abs(across) <= 1.2) & (abs(along) <= 5) & (image < 0.5)
        if where.sum() >= 10:
            return where


def _rotation(angle):
    return (np.cos(angle), np.sin(angle)), (np.sin(angle), -np.cos(angle))


def _measure(data, seed, train, normal, images, masks, kinds, arguments):
    few = data == "mnist"
    settings = {
        "learning_rate": 1e-3,
        "batch_size": 32,
        "pretrain_epochs": 5 if few and not arguments.quick else arguments.pretrain_epochs,
        "epochs": 5 if few and not arguments.quick else arguments.epochs,
        "milestones": (),
        "pretrain_milestones": (),
        "random_state": seed,
        "threshold": "nu",
        "verbose": 0,
    }
    autoencoder, rows = None, []
    for objective in ("one-class", "soft-boundary"):
        model = DeepSVDD(objective, autoencoder=autoencoder, **settings).fit(train)
        autoencoder = model.autoencoder_
        scores = [model.anomaly_score(x) for x in (normal, images)]
        labels = np.repeat([0, 1], [len(normal), len(images)])
        common = {
            "data": data,
            "seed": seed,
            "objective": objective,
            "image_auc": roc_auc_score(labels, np.concatenate(scores)),
            "files": [_bytes(model, kept) for kept in (True, False)],
        }
        rows += [{**common, **row} for row in _methods(model, images, masks, kinds, arguments)]
    return rows


def _methods(model, images, masks, kinds, arguments):
    """A row for each method; and for the two that `auto` chooses from, one for each width of the smoothing."""
    contrast = ((images - images.mean(axis=(2, 3), keepdims=True)) ** 2).sum(axis=1)
    yield _row("contrast", smoothed(contrast, SMOOTHING), masks, kinds)
    for method in model._explanations():
        if method == "occlusion" and model.objective != "one-class":
            continue  # slow, and once is enough
        few = slice(None, None, 4 if method == "occlusion" else 1)
        started = perf_counter()
        maps = model.explain(images[few], method)
        seconds = (perf_counter() - started) / len(maps)
        yield {**_row(method, maps, masks[few], kinds[few]), "seconds_per_image": seconds}
    for method in ("residual", "exchange") if model.objective == "one-class" else ():
        for width in WIDTHS:
            yield {**_row(method, model.explain(images, method, smoothing=width), masks, kinds), "smoothing": width}


def _row(method, maps, masks, kinds):
    auc = np.array([roc_auc_score(mask.ravel(), blame.ravel()) for blame, mask in zip(maps, masks)])
    by_kind = {str(kind): float(auc[kinds == kind].mean()) for kind in np.unique(kinds)}
    print(f"  {method:10} {auc.mean():.3f}", {kind: round(value, 3) for kind, value in by_kind.items()}, flush=True)
    return {"method": method, "pixel_auc": float(auc.mean()), "by_kind": by_kind}


def _bytes(model, autoencoder):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "m.npz", autoencoder=autoencoder)
        return (Path(folder) / "m.npz").stat().st_size


def _arguments():
    parser = make_parser(__doc__, quick="small textures, few epochs", out="benchmarks/results/explain.json")
    parser.add_argument("--data", nargs="+", default=["textures-grey", "textures-rgb", "mnist"])
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train", type=int, default=150, help="normal textures to train on")
    parser.add_argument("--images", type=int, default=16, help="images with each kind of defect")
    parser.add_argument("--pretrain-epochs", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=60)
    small = {"size": 16, "train": 12, "images": 2, "pretrain_epochs": 1, "epochs": 1, "seeds": 1}
    return parse(parser, data=["textures-rgb"], **small)


if __name__ == "__main__":
    main()
