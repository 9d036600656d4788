"""Which terms of a formula an error is made of.

The error e = given - right is written as a sum of multiples of named terms t_i by least squares,

    e = c_1 t_1 (+ c_2 t_2),

first with one term, then with two. That is a finding only where next to nothing is left over and where the
coefficients are numbers that a slip of the pen makes: small whole numbers, their halves, a count or one over a count.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

_LEFT_OVER = 1e-8
_SIMPLE = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def terms_of_error(
    error: np.ndarray, terms: Sequence[tuple[str, np.ndarray | None]], counts: Iterable[int]
) -> str | None:
    """ "the error is -1 times the term NAME", or None.

    terms: pairs (name, array that broadcasts to the error; None where the term has no value here).   counts: numbers
    such as the batch size, which are simple factors, too.
    """
    usable = [(name, np.broadcast_to(term, error.shape).ravel()) for name, term in terms if _fits(term, error)]
    simple = {*_SIMPLE, *(float(n) for n in counts), *(1 / n for n in counts if n)}
    for size in (1, 2):
        if error.size < 3 * size:
            break
        for chosen in itertools.combinations(usable, size):
            factors = _factors(error.ravel(), [term for _, term in chosen], simple)
            if factors is not None:
                words = (f"{factor:.4g} times the term {name}" for factor, (name, _) in zip(factors, chosen))
                return "the error is " + " and ".join(words)
    return None


def _fits(term, error):
    """Whether the term is a number for every entry of the error."""
    if term is None or term.dtype.kind not in "biuf" or not np.isfinite(term).all() or not term.any():
        return False
    try:
        return np.broadcast_shapes(term.shape, error.shape) == error.shape
    except ValueError:
        return False


def _factors(error, terms, simple):
    """The simple factors with which the terms add up to the error; None where they do not."""
    basis = np.stack(terms, axis=1).astype(np.float64)
    factors, _, rank, _ = np.linalg.lstsq(basis, error, rcond=1e-9)
    if rank < len(terms) or np.linalg.norm(basis @ factors - error) > _LEFT_OVER * np.linalg.norm(error):
        return None
    if not all(any(abs(abs(factor) - number) <= 1e-6 * number for number in simple) for factor in factors):
        return None
    return factors
