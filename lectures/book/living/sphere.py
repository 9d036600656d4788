"""Lecture 6: outputs of a network with two outputs, and the sphere, over the epochs of its training."""

import numpy as np
from sklearn.metrics import roc_auc_score

from minisvdd import load_dataset, nn, svdd

from . import Living

EPOCHS, EVERY, NU = 60, 3, 0.1
MIDDLE, HALF = 150, 140  # of the large panel, in units of the picture
SMALL = (358, 90, 50)  # centre and radius of the sphere before training, in the small one


def train() -> tuple[list, np.ndarray]:
    """(outputs of the shown test images minus c, R^2, AUC) after every third epoch, and which of them are anomalies."""
    split, rng = load_dataset("digits").one_class(6), np.random.default_rng(0)
    preprocessing = svdd.make_preprocessing("gcn-l1")
    X, X_test = preprocessing.fit_transform(split.train), preprocessing.transform(split.test)
    modules = [
        layer
        for channels in (8, 16)
        for layer in (nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm(), nn.LeakyReLU(), nn.MaxPool2D(2))
    ]
    network = nn.Sequential([*modules, nn.Flatten(), nn.Linear(2)])
    network.build(X.shape[1:], rng)
    svdd.collect_statistics(network, X, 32)
    c = svdd.move_from_zero(svdd.mean_output(network, X), 0.1)
    loss, optimizer = nn.OneClass(c.astype(np.float32)), nn.Adam(network, 1e-3, 1e-6)
    shown = np.concatenate([np.flatnonzero(~split.is_anomaly)[:80], np.flatnonzero(split.is_anomaly)[::9]])
    frames = []
    for epoch in range(EPOCHS + 1):
        if epoch % EVERY == 0:
            radius_squared = svdd.exact_radius_squared(((nn.outputs(network, X) - c) ** 2).sum(axis=1), NU)
            phi = nn.outputs(network, X_test) - c
            auc = 100 * roc_auc_score(split.is_anomaly, (phi**2).sum(axis=1))
            frames.append((phi[shown], radius_squared, auc))
        nn.train_epoch(network, loss, optimizer, X, nn.shuffled_batches(len(X), 32, rng))
    return frames, split.is_anomaly[shown]


def figure() -> Living:
    frames, is_anomaly = train()
    data = []
    for phi, radius_squared, auc in frames:
        scale = HALF / np.quantile(np.abs(phi).max(axis=1), 0.97)
        points = np.round(MIDDLE + scale * phi).astype(int).clip(-99, 399)
        data.append(
            {
                "points": points.tolist(),
                "r": round(scale * radius_squared**0.5, 1),
                "small": round(SMALL[2] * (radius_squared / frames[0][1]) ** 0.5, 1),
                "radius": round(radius_squared**0.5, 3),
                "auc": round(auc, 1),
            }
        )
    first = data[0]
    dots = "".join(
        f"<circle class='{'odd' if odd else 'normal'}' cx='{x}' cy='{y}' r='3'/>"
        for (x, y), odd in zip(first["points"], is_anomaly)
    )
    x, y, radius = SMALL
    svg = (
        f"<clipPath id='panel'><rect x='5' y='5' width='290' height='290'/></clipPath>"
        f"<rect class='panel' x='5' y='5' width='290' height='290'/><g clip-path='url(#panel)'>{dots}"
        f"<circle class='ring' cx='{MIDDLE}' cy='{MIDDLE}' r='{first['r']}'/></g>"
        f"<path class='axis' d='M146 146l8 8m0 -8l-8 8'/>"
        f"<circle class='axis dashed' cx='{x}' cy='{y}' r='{radius}'/>"
        f"<circle class='ring small' cx='{x}' cy='{y}' r='{first['small']}'/>"
        f"<text x='{x}' y='{y + 75}'>one scale</text><text x='{x}' y='{y + 91}'>for all epochs</text>"
    )
    return Living(
        svg,
        (420, 300),
        {"every": EVERY, "frames": data},
        "Epoch",
        0,
        len(data) - 1,
        0,
        f"epoch 0: R = {first['radius']:.3f}, AUC {first['auc']:.1f} %",
        "The sphere contracts. Blue: test images of sixes, red: of other digits; green: the sphere that holds nine of "
        "ten training images. The large panel grows with its cloud, the small one keeps its scale.",
    )
