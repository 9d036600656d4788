"""Pictures of a texture, whole or with a square of another one in it, in the layout of MVTec's data sets."""

import numpy as np
from PIL import Image


def texture(rng, n, size, defect=False):
    """Images (n, size, size, 3) uint8: two waves across each other under noise; a defect is a dark square."""
    y, x = np.mgrid[0:size, 0:size] * 20 / size
    images = []
    for _ in range(n):
        a, b = rng.uniform(0, 2 * np.pi, 2)
        grey = 128 + 50 * np.sin(x + a) * np.sin(y + b) + rng.normal(0, 8, (size, size))
        image = np.stack([grey, 0.8 * grey, 0.6 * grey], axis=-1)
        if defect:
            side = max(size // 6, 1)
            top, left = rng.integers(0, size - side, 2)
            image[top : top + side, left : left + side] = rng.normal(40, 10, (side, side, 3))
        images.append(np.uint8(np.clip(image, 0, 255)))
    return np.array(images)


def put_tiles(folder, train=12, good=4, bad=4, size=16, seed=0):
    """A folder with train/good, test/good and test/crack; returns it."""
    rng = np.random.default_rng(seed)
    for part, n, defect in (("train/good", train, False), ("test/good", good, False), ("test/crack", bad, True)):
        (folder / part).mkdir(parents=True)
        for number, image in enumerate(texture(rng, n, size, defect)):
            Image.fromarray(image).save(folder / part / f"{number}.png")
    return folder
