"""Random changes of training images that leave their class alone: rotation, size, place, sharpness, light.

They are drawn anew in every epoch, so that a classifier sees each training image in many versions, and learns from few
originals what does not matter.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform, uniform_filter


@dataclass(frozen=True)
class Augmentation:
    """Largest changes; each is drawn uniformly for every image.

    degrees: rotation, either way.   stretch: factors of height and of width in [1 - stretch, 1 + stretch].
    shift: pixels along rows and columns, fractions of a pixel included.   blur: share of a 3x3 mean in the image.
    brightness: added to all pixels.   contrast, tint: factors, of the image and of each channel, like stretch's.
    grey: share of the channels' mean in the image; at 1 all colour may go, as few signs need it to be told apart.
    """

    degrees: float = 15.0
    stretch: float = 0.2
    shift: float = 4.0
    blur: float = 0.7
    brightness: float = 0.2
    contrast: float = 0.4
    tint: float = 0.15
    grey: float = 1.0

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Changed copies of images (n, C, H, W) in [0, 1], float32, clipped to [0, 1]."""
        n, channels = images.shape[:2]
        angles = np.deg2rad(rng.uniform(-self.degrees, self.degrees, n))
        factors = rng.uniform(1 - self.stretch, 1 + self.stretch, (n, 2))
        shifts = rng.uniform(-self.shift, self.shift, (n, 2))
        warped = np.stack([warp(*arguments) for arguments in zip(images, angles, factors, shifts)])
        share = rng.uniform(0, self.blur, (n, 1, 1, 1)).astype(np.float32)
        warped += share * (uniform_filter(warped, (1, 1, 3, 3), mode="nearest") - warped)
        share = rng.uniform(0, self.grey, (n, 1, 1, 1)).astype(np.float32)
        warped += share * (warped.mean(axis=1, keepdims=True) - warped)
        contrast = rng.uniform(1 - self.contrast, 1 + self.contrast, (n, 1, 1, 1))
        tint = rng.uniform(1 - self.tint, 1 + self.tint, (n, channels, 1, 1))
        brightness = rng.uniform(-self.brightness, self.brightness, (n, 1, 1, 1))
        lit = (warped - np.float32(0.5)) * (contrast * tint).astype(np.float32) + (0.5 + brightness).astype(np.float32)
        return np.clip(lit, 0, 1)


def mirror(images: np.ndarray, labels: np.ndarray, partners: np.ndarray, rng: np.random.Generator):
    """Left and right exchanged in a random half of those images whose mirror image is an image of a known class.

    labels: (n,) class indices.   partners: (K,) the class of a mirrored image of each class, -1 for none.
    Returns changed copies of images and labels.
    """
    chosen = (partners[labels] >= 0) & (rng.random(len(labels)) < 0.5)
    images, labels = images.copy(), labels.copy()
    images[chosen] = images[chosen][..., ::-1]
    labels[chosen] = partners[labels[chosen]]
    return images, labels


def warp(image: np.ndarray, angle: float, factors: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Stretch an image (C, H, W) by `factors` (rows, columns) about its middle m, rotate it by `angle`, `shift` it.

    The pixel p of the result is the pixel at  M (p - shift - m) + m  of the image, bilinearly interpolated, where M is
    the inverse of rotation times stretching. Pixels beyond the border repeat the border.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)  # the channel stays what it is
    matrix[1:, 1:] = np.array([[cos, sin], [-sin, cos]]) / factors[:, None]
    middle = np.array([0, (image.shape[1] - 1) / 2, (image.shape[2] - 1) / 2])
    offset = middle - matrix @ (middle + [0, *shift])
    return affine_transform(image, matrix, offset, order=1, mode="nearest", output=np.float32)
