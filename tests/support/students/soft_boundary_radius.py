# minisvdd assignment: soft-boundary-radius
import numpy as np


def soft_boundary_objective(radius_squared, squared_distances, nu):
    # how far each sample lies outside
    excess = np.maximum(0, squared_distances - radius_squared)
    # mean over all samples, weighed by 1/nu
    return float(radius_squared + excess.mean() / nu)


def exact_radius_squared(squared_distances, nu):
    # refuse what has no radius
    if not 0 < nu <= 1:
        raise ValueError(f"nu={nu!r}: expected a number in (0, 1]")
    # how many samples lie outside: floor(nu n), where 0.29 * 100 counts as 29, and never all of them
    n = len(squared_distances)
    outside = min(int(np.floor(nu * n * (1 + 1e-12))), n - 1)
    # the largest distance that is not among them
    return float(np.sort(squared_distances)[::-1][outside])


def soft_boundary_loss(outputs, center, radius_squared, nu):
    N = len(outputs)
    # squared distances, and who lies outside
    difference = outputs - center
    excess = (difference**2).sum(axis=1) - radius_squared
    outside = excess > 0
    # the objective (3) without weight decay
    value = radius_squared + excess[outside].sum() / (nu * N)
    # samples outside are pulled in, the others feel nothing
    grad = 2 / (nu * N) * outside[:, None] * difference
    return value, grad.astype(outputs.dtype)
