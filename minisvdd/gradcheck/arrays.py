"""The check of one array: choose where to differentiate, compare, judge, and explain what failed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .diagnosis import diagnose, diagnose_batchnorm
from .differences import EPS, Slope, check_move, complex_derivative
from .report import ArrayCheck

# The complex step is exact to rounding: nothing but rounding may separate it from the analytic gradient.
COMPLEX_TOLERANCE = 1e-11
# One-sided slopes, all there is at a kink, are only accurate to O(h).
_KINK_TOLERANCE = 1e-4
# Largest input for which the whole numeric gradient is computed to explain a failure.
_FULL_NUMERIC = 2000
_TABLE_FACTORS = (1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2, 1e-3)


@dataclass(frozen=True)
class Setting:
    """Where and how to check: the state of the layer (for the report), tolerances, and how many entries."""

    stage: str
    mode: str
    tolerance: float
    step: float
    max_entries: int
    directions: int
    rng: np.random.Generator


def check_array(
    slope: Slope,
    analytic: np.ndarray,
    name: str,
    setting: Setting,
    complex_function: Callable | None = None,
    counts: dict[str, int] | None = None,
) -> ArrayCheck:
    """Compare `analytic`, shaped like the slope's point, with differences at single entries and along directions.

    complex_function: the same function in complex arithmetic, where it has one.
    counts: named numbers that a wrong factor is compared with.
    """
    moves = _choose_moves(slope.point, setting)
    finite = bool(np.isfinite(analytic).all())
    entries = _entries(slope, analytic, moves, setting) if finite else []
    check = _judge(name, slope.point, analytic, entries, setting)
    differences_agree = check.passed
    if entries and complex_function is not None:
        check.complex_error = _complex_error(complex_function, slope, moves, entries, analytic)
        check.passed &= check.complex_error <= COMPLEX_TOLERANCE
    if check.passed:
        return check
    if check.worst is not None:
        move = next(move for move, entry in zip(moves, entries) if entry is check.worst)
        check.step_table = _step_table(slope, move, check.worst.analytic, setting)
    if differences_agree:
        check.diagnosis = _complex_step_alone(check.complex_error, setting.tolerance)
    elif entries and check.kinks == len(entries):
        check.diagnosis = "every checked entry sits on a kink: choose another input"
    elif entries and _in_single_precision(slope, setting.rng):
        check.diagnosis = "looks like: computed in single precision (np.float32), too coarse for differences"
    else:
        check.diagnosis = diagnose(analytic, _numeric_at(slope, analytic, setting), counts or {}, setting.rng)
    return check


def _complex_step_alone(error, tolerance):
    """What to say where differences of real numbers find the gradient right, and the complex step does not."""
    if error > tolerance:
        return (
            f"the differences agree with the gradient, the complex step does not (error {error:.0e}): is something in "
            "forward like np.abs(x) or x.var(), which are not analytic? then set is_analytic = False"
        )
    return f"too small an error for differences: the complex step, which is exact to rounding, finds {error:.0e}"


def _in_single_precision(slope, rng):
    """Whether what the function gives at a point close by, as far as it is something else, are numbers of float32.

    Of numbers in double precision one in 2^29 is.
    """
    shift = 1e-2 * max(1.0, _rms(slope.point)) * rng.standard_normal(slope.point.shape)
    with np.errstate(all="ignore"):
        moved, _ = slope.function(slope.point + shift)
        values = np.ravel(moved)[np.ravel(moved != slope.output)]
        return bool(values.size and (values == values.astype(np.float32)).all())


def check_shift(slope: Slope, analytic: np.ndarray, setting: Setting) -> ArrayCheck | None:
    """Compare sum(dL/dx) with the derivative along a common shift of all entries; None when a kink is in the way.

    Entries that tie in a max-pooling window keep tying under the shift, so that this derivative exists where those of
    single entries do not.
    """
    direction = np.full(slope.point.shape, slope.point.size**-0.5)
    entries = _entries(slope, analytic, [direction], setting)
    if entries[0].is_kink:
        return None
    check = _judge("input (shifted)", slope.point, analytic, entries, setting)
    if not check.passed:
        check.step_table = _step_table(slope, direction, entries[0].analytic, setting)
        check.diagnosis = "looks like: entries that tie for a maximum each got the gradient, which counts it again"
    return check


def _choose_moves(point, setting):
    """All flat indices of a small array; else a random choice, and random unit vectors."""
    if point.size <= setting.max_entries:
        return list(range(point.size))
    indices = setting.rng.choice(point.size, setting.max_entries, replace=False)
    vectors = [setting.rng.standard_normal(point.shape) for _ in range(setting.directions)]
    return [int(i) for i in np.sort(indices)] + [vector / np.linalg.norm(vector) for vector in vectors]


def _entries(slope, analytic, moves, setting):
    derivatives = [_along(analytic, move) for move in moves]
    scale = max((abs(d) for d, move in zip(derivatives, moves) if not isinstance(move, np.ndarray)), default=0.0)
    return [
        check_move(
            slope, move, d, _step(slope.point, move, setting.step), setting.tolerance, max(scale, _rms(analytic))
        )
        for move, d in zip(moves, derivatives)
    ]


def _along(gradient, move):
    return float((gradient * move).sum()) if isinstance(move, np.ndarray) else float(gradient.flat[move])


def _step(point, move, step):
    return step * max(1.0, _rms(point) if isinstance(move, np.ndarray) else abs(float(point.flat[move])))


def _rms(array):
    return float(np.sqrt(np.mean(array * array)))


def _judge(name, point, analytic, entries, setting):
    """Errors relative to the array's largest entry, and the verdict."""
    scales = _scales(entries, analytic)
    floors = np.array([entry.noise / setting.tolerance for entry in entries])
    differences = np.array([entry.difference for entry in entries])
    errors = differences / np.maximum(np.maximum(scales, floors), np.finfo(float).tiny)
    allowed = np.array([_KINK_TOLERANCE if entry.is_kink else setting.tolerance for entry in entries])
    wrong = ~(errors <= allowed)
    counted = [e for e, entry, bad in zip(errors, entries, wrong) if bad or not entry.is_kink]
    return ArrayCheck(
        name=name,
        stage=setting.stage,
        mode=setting.mode,
        shape=point.shape,
        size=point.size,
        entries=entries,
        error=float(np.max(counted)) if counted else float("inf"),
        complex_error=None,
        worst=_worst(entries, errors / allowed),
        passed=bool(counted) and not wrong.any(),
        wrong=int(wrong.sum()),
    )


def _worst(entries, excess):
    """The entry that exceeds its tolerance most; a single entry, which has an index, rather than a direction."""
    order = np.argsort(np.nan_to_num(excess, nan=np.inf))[::-1]
    single = [i for i in order if entries[i].index is not None and not excess[i] <= 1]
    return entries[(single or list(order))[0]] if entries else None


def _scales(entries, analytic):
    """Single entries share the largest of them; a direction has its own size or the gradient's root mean square."""
    single = [max(abs(e.analytic), abs(e.numeric)) for e in entries if e.index is not None]
    shared = max(single, default=0.0)
    along = [max(abs(e.analytic), abs(e.numeric), _rms(analytic)) for e in entries]
    return np.array([shared if e.index is not None else size for e, size in zip(entries, along)])


def _complex_error(function, slope, moves, entries, analytic):
    rounding = 16 * EPS * np.linalg.norm(slope.grad_output * slope.output)
    differences = [
        abs(entry.analytic - complex_derivative(function, slope.point, slope.grad_output, move))
        for move, entry in zip(moves, entries)
    ]
    return float(np.max(differences / np.maximum(_scales(entries, analytic), rounding / COMPLEX_TOLERANCE)))


def _step_table(slope, move, analytic, setting):
    """Error against h at one entry: a valley around a right gradient, a plateau around a wrong one."""
    rows = []
    for factor in _TABLE_FACTORS:
        h = factor * setting.step
        numeric = slope.difference(move, h).numeric
        rows.append((h, numeric, abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-300)))
    return rows


def _numeric_at(slope, analytic, setting):
    """The numeric gradient as a function of flat indices, each computed once; NaN at kinks."""
    known: dict[int, float] = {}
    scale = float(np.abs(analytic).max(initial=0, where=np.isfinite(analytic)))

    def numeric_at(indices):
        for i in map(int, indices):
            if i not in known:
                a, h = float(analytic.flat[i]), _step(slope.point, i, setting.step)
                entry = check_move(slope, i, a, h, setting.tolerance, scale)
                known[i] = float("nan") if entry.is_kink else entry.numeric
        return np.array([known[int(i)] for i in indices])

    return numeric_at


def explain_batchnorm(slope: Slope, analytic: np.ndarray, setting: Setting) -> str | None:
    """`diagnose_batchnorm` for an input gradient that failed; None for large arrays and where it does not fit."""
    if analytic.size > _FULL_NUMERIC:
        return None
    numeric = _numeric_at(slope, analytic, setting)(np.arange(analytic.size)).reshape(analytic.shape)
    return diagnose_batchnorm(analytic, numeric, slope.point, slope.grad_output)
