"""Lecture 8: the best radius for every nu, over the distances of real images."""

import numpy as np

from minisvdd import load_dataset, nn, svdd

from . import Living

BINS, START = 40, 10  # nu in %
WIDTH, CURVE, FLOOR, HIGH = 420, 100, 290, 170  # the axis, the foot of the curve, of the histogram and its height


def distances() -> np.ndarray:
    """Of the training half of the digits, all classes, to the centre of a network that was trained on them."""
    dataset, rng = load_dataset("digits"), np.random.default_rng(0)
    X = svdd.make_preprocessing("gcn-l1").fit_transform(dataset.train_images.astype(np.float32) / dataset.white)
    network = nn.make_encoder("digits_lenet", X.shape[1:])
    network.build(X.shape[1:], rng)
    svdd.collect_statistics(network, X, 200)
    c = svdd.move_from_zero(svdd.mean_output(network, X), 0.1)
    loss, optimizer = nn.OneClass(c.astype(np.float32)), nn.Adam(network, 1e-3, 1e-6)
    for _ in range(5):
        nn.train_epoch(network, loss, optimizer, X, nn.shuffled_batches(len(X), 50, rng))
    return np.sort(((nn.outputs(network, X) - c) ** 2).sum(axis=1))


def figure() -> Living:
    d = distances()
    d = np.round(d / d.mean(), 4)  # in units of the mean: a scale changes neither shares nor the minimum's place
    most = round(float(np.quantile(d, 0.995)), 3)
    counts, _ = np.histogram(d, BINS, (0, most))
    heights = np.round(HIGH * counts / counts.max()).astype(int)
    bars = "".join(
        f"<rect x='{WIDTH * i / BINS:.1f}' y='{FLOOR - h}' width='{WIDTH / BINS - 1:.1f}' height='{h}'/>"
        for i, h in enumerate(heights)
    )
    nu = START / 100
    radius_squared = svdd.exact_radius_squared(d, nu)
    u = np.linspace(0, most, 85)
    J = np.array([svdd.soft_boundary_objective(v, d, nu) for v in u])
    curve = " ".join(f"{WIDTH * v / most:.1f},{CURVE - 88 * (j - J.min()) / np.ptp(J):.1f}" for v, j in zip(u, J))
    place, outside = WIDTH * radius_squared / most, int((d > radius_squared).sum())
    share = 100 * outside / len(d)
    svg = (
        f"<clipPath id='inside'><rect x='0' y='0' width='{place:.1f}' height='{FLOOR}'/></clipPath>"
        f"<g class='odd'>{bars}</g><g class='normal covers' clip-path='url(#inside)'>{bars}</g>"
        f"<path class='axis' d='M0 {FLOOR}h{WIDTH}'/><polyline class='ring' points='{curve}'/>"
        f"<path class='axis dashed line' d='M{place:.1f} 4V{FLOOR}'/>"
        f"<text x='{WIDTH - 30}' y='{FLOOR + 18}'>distance</text><text x='150' y='16'>J(u)</text>"
    )
    return Living(
        svg,
        (WIDTH, FLOOR + 25),
        {"d": d.tolist(), "most": most, "width": WIDTH, "curve": CURVE, "floor": FLOOR},
        "&nu; in %",
        1,
        100,
        START,
        f"ν = {nu:.2f}, νn = {nu * len(d):.2f}: {outside} of {len(d)} samples outside, {share:.1f} %",
        "Turn ν: the green objective J(u) bends to another minimum, the dashed line, and the share of samples "
        "beyond it, red, follows. Histogram: squared distances of 901 images of digits, in units of their mean.",
    )
