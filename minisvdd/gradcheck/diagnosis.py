"""Which known mistake a wrong gradient looks like.

The analytic gradient a is compared with transforms T of the numeric one n: a = c T(n), with T a rearrangement of the
entries (transposed, flipped, channels reversed or permuted) and c a factor (-1, N, 1/N, 2, ...). The mistakes special
to batch norm are sums of terms and are found by a least-squares fit instead.
"""

import numpy as np

# A form fits when it explains the gradient this well: far above the numeric error, far below chance.
_FITS = 1e-4
# Nearly right is no form: one must be twenty times nearer to what was given than what is right.
_NEARER = 0.05
# Larger arrays are compared on a random sample of this many entries (their images under each transform included).
_FULL_SIZE = 256
_SAMPLE = 32


def diagnose(analytic: np.ndarray, numeric_at, counts: dict[str, int], rng) -> str:
    """A sentence that names the form, or says that none fits.

    analytic: the gradient in question.   numeric_at: flat indices -> numeric derivatives there, NaN at kinks.
    counts: numbers that may be a missing factor, by name, e.g. {"the batch size N": 4}.
    """
    flat = analytic.ravel()
    if not np.isfinite(flat).all():
        return "the analytic gradient is not finite"
    if not flat.any():
        return "looks like: zero (the gradient was never written, or its terms cancel)"
    full = flat.size <= _FULL_SIZE
    sample = np.arange(flat.size) if full else rng.choice(flat.size, _SAMPLE, replace=False)
    ours, numeric = flat[sample], numeric_at(sample)
    factor = _fit(ours, numeric)
    if factor is not None and _only_scaled(ours, numeric, factor):
        meaning = _meaning(factor, counts)
        if meaning or _shows_a_factor(numeric):
            return f"looks like: {meaning or f'{factor:.6g} times the right gradient'}"
    for name, order in _rearrangements(analytic.shape):
        turned = numeric_at(order[sample])
        factor = _fit(ours, turned)
        meaning = None if factor is None else _meaning(factor, counts)
        if meaning is not None and all(_nearer(factor * turned, c * numeric, ours) for c in (1, factor)):
            return f"looks like: {name}" + (f", and {meaning}" if meaning else "")
    permuted = _permutation(analytic, numeric.reshape(analytic.shape)) if full else None
    return permuted or "no known form fits"


def _rearrangements(shape):
    """(name, order) with T(n).ravel() = n.ravel()[order]."""
    index = np.arange(int(np.prod(shape))).reshape(shape)
    if len(shape) == 2 and shape[0] == shape[1]:
        yield "transposed", index.T.ravel()
    if len(shape) == 4:
        if max(shape[2:]) > 1:
            yield "flipped in space (both axes reversed, as between convolution and correlation)", _flip(index, (2, 3))
        for axis, axis_name in ((2, "rows"), (3, "columns")):
            if shape[axis] > 1:
                yield f"flipped in space ({axis_name} only)", _flip(index, axis)
        if shape[2] == shape[3] > 1:
            yield "transposed in space (rows and columns exchanged)", index.swapaxes(2, 3).ravel()
        if shape[0] == shape[1] > 1:
            yield "transposed: the two channel axes exchanged", index.swapaxes(0, 1).ravel()
    for axis in range(min(len(shape), 2)):
        if shape[axis] > 1:
            yield f"permuted channels: axis {axis} reversed", _flip(index, axis)


def _flip(index, axes):
    return np.flip(index, axes).ravel()


def _fit(analytic, numeric):
    """The factor c of analytic = c numeric, or None when they are not proportional. Kinks (NaN) are left out."""
    known = np.isfinite(numeric)
    analytic, numeric = analytic[known], numeric[known]
    norm = np.linalg.norm(analytic)
    if norm == 0 or not numeric.any():
        return None
    factor = analytic @ numeric / (numeric @ numeric)
    return factor if np.linalg.norm(analytic - factor * numeric) <= _FITS * norm else None


def _only_scaled(analytic, numeric, factor):
    """Whether the factor explains the error itself, not just a gradient that is mostly right."""
    known = np.isfinite(numeric)
    unexplained = np.linalg.norm((analytic - factor * numeric)[known])
    return unexplained <= 1e-3 * np.linalg.norm((analytic - numeric)[known])


def _shows_a_factor(numeric):
    """Whether there is more than one entry that counts: any single number is some number times another."""
    size = np.abs(numeric[np.isfinite(numeric)])
    return np.count_nonzero(size > _FITS * size.max(initial=0)) > 1


def _nearer(form, other, analytic):
    """Whether a form is far nearer to the gradient in question than something else is."""
    known = np.isfinite(form) & np.isfinite(other)
    return np.linalg.norm((analytic - form)[known]) < _NEARER * np.linalg.norm((analytic - other)[known])


def _meaning(factor, counts):
    """Words for a factor: "" for 1, None for a number without a meaning."""
    size = abs(factor)
    sign = "negated" if factor < 0 else ""
    if np.isclose(size, 1, rtol=1e-3):
        return sign
    large = [f"times {name} = {n}: a missing 1/N" for name, n in counts.items() if n > 1 and np.isclose(size, n, 1e-3)]
    small = [
        f"divided by {name} = {n}: a mean where a sum belongs"
        for name, n in counts.items()
        if n > 1 and np.isclose(size * n, 1, rtol=1e-3)
    ]
    if np.isclose(size, 2, rtol=1e-3):
        large.append("times 2: added twice, or a missing 1/2")
    if np.isclose(size, 0.5, rtol=1e-3):
        small.append("times 1/2: a factor 2 is missing, for instance from a square")
    words = "; or ".join(large + small)
    return f"{sign} and {words}" if sign and words else words or None


def _permutation(analytic, numeric):
    """Match slices along the first two axes: a = n with its slices in another order."""
    if not np.isfinite(numeric).all():
        return None
    tolerance = _FITS * np.abs(numeric).max()
    for axis in range(min(analytic.ndim, 2)):
        ours, theirs = np.moveaxis(analytic, axis, 0), np.moveaxis(numeric, axis, 0)
        matches = [[j for j, other in enumerate(theirs) if np.abs(piece - other).max() <= tolerance] for piece in ours]
        order = [found[0] for found in matches if found]
        identity = list(range(len(ours)))
        in_order = np.moveaxis(theirs[order], 0, axis)
        if sorted(order) == identity != order and _nearer(in_order, numeric, analytic):
            return f"looks like: permuted channels: axis {axis} in the order {order}"
    return None


def diagnose_batchnorm(analytic: np.ndarray, numeric: np.ndarray, x: np.ndarray, grad_output: np.ndarray) -> str | None:
    """Which term of  dL/dx = r (g - mean(g) - x_hat mean(g x_hat))  is wrong, or None if that is not the error.

    Per channel, the analytic and the numeric gradient are both written as p g + q 1 + s x_hat; what differs in q and s
    is what went wrong: a ratio of 0 means that the term was dropped, a ratio m (values per channel) a missing 1/N.
    All arrays: (N, C) or (N, C, H, W).
    """
    ours, right, inputs, g = (np.moveaxis(v, 1, 0).reshape(v.shape[1], -1) for v in (analytic, numeric, x, grad_output))
    m = inputs.shape[1]
    if m < 4 or not np.isfinite(right).all():
        return None
    ratios = []
    for c in range(len(inputs)):
        x_hat = (inputs[c] - inputs[c].mean()) / inputs[c].std()
        basis = np.stack([g[c], np.ones(m), x_hat], axis=1)
        coefficients = [np.linalg.lstsq(basis, gradient, rcond=None)[0] for gradient in (ours[c], right[c])]
        for coefficient, gradient in zip(coefficients, (ours[c], right[c])):
            if np.linalg.norm(basis @ coefficient - gradient) > _FITS * np.linalg.norm(gradient):
                return None
        ratios.append(coefficients[0] / coefficients[1])
    direct, *terms = np.array(ratios).T
    if not np.allclose(direct, 1, rtol=1e-3):
        return None
    found = []
    for name, ratio in zip(("mean(g)", "x_hat mean(g x_hat)"), terms):
        if np.allclose(ratio, 0, atol=1e-2):
            found.append(f"the term {name} is missing")
        elif np.allclose(ratio, m, rtol=1e-2):
            found.append(f"the term {name} is {m} times too large: a missing 1/N")
        elif np.allclose(ratio, -1, rtol=1e-2):
            found.append(f"the term {name} has the wrong sign")
        elif not np.allclose(ratio, 1, rtol=1e-2):
            return None
    return f"looks like batch norm's formula, N = {m}, where " + " and ".join(found) if found else None
