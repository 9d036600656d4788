"""The public checker: `check_gradients` of a layer, `check_loss` of a loss, `check_gradient` of a function."""

from collections.abc import Callable

import numpy as np

from ..backends import NUMPY
from ..nn.optim import Adam
from .arrays import Setting, check_array, check_shift, explain_batchnorm
from .differences import DEFAULT_STEP, Slope
from .probe import Probe, check_dictionaries
from .report import ContractCheck, GradcheckReport
from .returned import gradient_form, is_number, loss_results, one_array, same_bits, value_form

LAYER_TOLERANCE = 1e-7
NETWORK_TOLERANCE = 1e-5
_SEED_SALT = 0x5DD


def check_gradients(
    layer,
    x: np.ndarray,
    *,
    training: bool | None = None,
    train_steps: int = 20,
    tolerance: float | None = None,
    step: float | None = None,
    max_entries: int = 200,
    directions: int = 4,
    rng: np.random.Generator | int | None = None,
    raise_on_failure: bool = False,
) -> GradcheckReport:
    """Compare every gradient that `layer.backward` gives with central differences of `layer.forward`.

        L = <G, layer(x)>,  G random:      dL/dx and dL/d(parameter)  against  (L(v + h) - L(v - h)) / 2h

    G is random and never all ones: the sum of a batch norm's outputs does not depend on its input at all, so that with
    ones a backward which returns zeros would pass. The work is done on float64 copies; `layer` and `x` stay untouched.

    layer: anything with `forward(x, training=)` and `backward(grad_output)`, and `params` and `grads` (dicts of arrays
        with the same names) if it has parameters. Used where present: `buffers` (restored after each evaluation),
        `kink_pattern()`, `freeze_statistics()`, `is_analytic`; `minisvdd.nn.layers.Layer` describes them.
    x: the batch to check at; its shape must suit the (already built) layer.
    training: True, False, or None for both modes. Evaluation mode is forward(training=True) after
        `freeze_statistics()`, so that batch norm's backward with fixed statistics is checked too; a layer without that
        method is checked in training mode only.
    train_steps: check again after so many steps of Adam towards random targets; 0 for the starting point only.
    tolerance: largest relative error that passes; default 1e-7, and 1e-5 for a Sequential.
    step: h = step * max(1, |v|), default eps^(1/3) = 6e-6; smaller ones are tried where a kink is in the way.
    max_entries, directions: arrays with more entries are checked at `max_entries` random ones, and along `directions`
        random directions through the whole array.
    rng: a numpy Generator or a seed, default 0.
    raise_on_failure: raise GradcheckError instead of returning a report that failed.

    The error of an entry is |a - n| over the largest entry of its array (in |a| or |n|): a tiny entry beside large ones
    carries the rounding of the large ones, which would be a false alarm if measured by itself. Where the whole gradient
    drowns in the rounding of n, that rounding is the measure. 0 = 0 passes. A direction is measured by the root mean
    square of the gradient.

    Entries on a kink (leaky ReLU at 0, ties in max-pooling), where no step stays on one linear piece, are counted, and
    pass if the gradient lies between the one-sided slopes; an array with nothing but kinks does not pass. For layers
    with kinks the derivative along a common shift of all inputs is checked on an input full of ties: a max-pool that
    sends its gradient to every tied entry counts it several times. Layers with `is_analytic = True` are also compared
    with the complex step, which is exact to rounding.

    Raises ValueError for an input that is empty or not finite, TypeError for a layer without forward and backward, or
    whose forward or backward returns no array.

    >>> from minisvdd.nn import Tanh
    >>> class Mistaken(Tanh):
    ...     def backward(self, grad_output, need_input=True, need_params=True):
    ...         return -super().backward(grad_output)
    >>> x = np.random.default_rng(1).normal(size=(4, 3))
    >>> check_gradients(Tanh(), x).passed
    True
    >>> report = check_gradients(Mistaken(), x)
    >>> report.passed, "looks like: negated" in str(report)
    (False, True)
    """
    if not (callable(getattr(layer, "forward", None)) and callable(getattr(layer, "backward", None))):
        raise TypeError(f"{type(layer).__name__} has no forward(x, training=) and backward(grad_output)")
    check_dictionaries(layer)
    x = _checked_input(x)
    rng = _generator(rng)
    if tolerance is None:
        tolerance = NETWORK_TOLERANCE if hasattr(layer, "layers") else LAYER_TOLERANCE
    name = repr(layer).replace("\n", " ") if hasattr(layer, "config") else type(layer).__name__
    report = GradcheckReport(f"{name} on x {x.shape}", step or DEFAULT_STEP, tolerance)
    modes = _modes(layer, training, report)

    probe = Probe(layer, x)
    grad_output = rng.standard_normal(probe.output.shape)
    report.contract = probe.check_contract(grad_output)
    points = [("start", layer)]
    if train_steps and probe.is_trainable(grad_output):
        points.append((f"after {train_steps} steps", _trained(layer, x, train_steps, rng)))
    for stage, point in points:
        checked = None
        for mode in modes:
            probe = Probe(point, x, frozen=mode == "evaluation")
            setting = Setting(stage, mode, report.tolerance, report.step, max_entries, directions, rng)
            if mode == "evaluation" and stage == "start":
                report.contract.append(probe.check_evaluation())
            if checked is not None and probe.equals(checked, grad_output):
                report.notes.append(f"{stage}: evaluation mode equals training mode bit for bit, so it is checked once")
                continue
            _check_setting(report, probe, grad_output, setting)
            checked = probe
    return _finish(report, raise_on_failure)


def check_loss(
    loss: Callable,
    outputs: np.ndarray,
    *args,
    tolerance: float = LAYER_TOLERANCE,
    step: float | None = None,
    max_entries: int = 200,
    directions: int = 4,
    rng: np.random.Generator | int | None = None,
    raise_on_failure: bool = False,
) -> GradcheckReport:
    """Check a loss  `value, grad, per_sample = loss(outputs, *args)`  as `check_gradients` checks a layer.

    outputs: (N, ...), copied as float64.   args: further arguments such as targets, passed on as they are.
    per_sample: (N,) values, one of each sample; a loss may do without.
    Kinks are recognised by slopes that differ on both sides however small the step. Errors: as `check_gradients`.
    """
    outputs = _checked_input(outputs)
    given = (outputs.copy(), *args)
    before = {place: a.copy() for place, a in enumerate(given) if isinstance(a, np.ndarray)}
    value, grad, *per_sample = loss_results(loss(*given))
    changed = [
        f"argument {place}" if place else "outputs" for place in before if not same_bits(given[place], before[place])
    ]
    again = value if changed else loss(outputs.copy(), *args)[0]
    grad = np.asarray(grad)
    report = GradcheckReport(
        f"{getattr(loss, '__name__', type(loss).__name__)} on outputs {outputs.shape}", step or DEFAULT_STEP, tolerance
    )
    report.contract = [
        ContractCheck("the loss leaves its arguments alone", not changed, f"it changes {' and '.join(changed)}"),
        *value_form(value, again),
        *gradient_form("outputs", grad, outputs),
        *_per_sample_form(per_sample, len(outputs)),
    ]
    setting = Setting("start", "training", tolerance, report.step, max_entries, directions, _generator(rng))
    if is_number(value):
        _check_function(report, lambda v: loss(v, *args)[0], grad, outputs, "outputs", setting)
    return _finish(report, raise_on_failure)


def check_gradient(
    function: Callable,
    gradient: np.ndarray | Callable,
    x: np.ndarray,
    *,
    tolerance: float = LAYER_TOLERANCE,
    step: float | None = None,
    max_entries: int = 200,
    directions: int = 4,
    rng: np.random.Generator | int | None = None,
    raise_on_failure: bool = False,
) -> GradcheckReport:
    """Check the gradient of a plain function: function(x) -> number, gradient(x) (or the array itself) like x.

    x: array of any shape, copied as float64.   Errors: as `check_gradients`.
    """
    x = _checked_input(x)
    value, again = (one_array(function(x.copy()), "the function") for _ in range(2))
    grad = np.asarray(one_array(gradient(x.copy()), "the gradient") if callable(gradient) else gradient)
    name = getattr(function, "__name__", type(function).__name__)
    report = GradcheckReport(f"{name} on x {x.shape}", step or DEFAULT_STEP, tolerance)
    report.contract = value_form(value, again) + gradient_form("x", grad, x)
    setting = Setting("start", "-", tolerance, report.step, max_entries, directions, _generator(rng))
    if is_number(value):
        _check_function(report, function, grad, x, "x", setting)
    return _finish(report, raise_on_failure)


def _per_sample_form(per_sample, N):
    """What a loss says of single samples is one number for each."""
    shapes = [np.shape(values) for values in per_sample if values is not None]
    return [ContractCheck("there is one value per sample", s == (N,), f"shape {s}, not {(N,)}") for s in shapes]


def _check_setting(report, probe, grad_output, setting):
    """Check every array of the probe, and what ties need."""
    complex_probe = _complex_probe(probe)
    counts = _counts(grad_output)
    input_passed = False
    for name, analytic in probe.gradients(grad_output).items():
        if analytic.shape != probe.array(name).shape:
            continue  # already reported, and nothing to compare
        slope = Slope(probe.function(name), probe.array(name), grad_output, probe.knows_kinks)
        check = check_array(slope, analytic, name, setting, complex_probe and complex_probe.function(name), counts)
        if name == "input" and not check.passed and probe.x.shape == grad_output.shape and probe.x.ndim > 1:
            check.diagnosis = explain_batchnorm(slope, analytic, setting) or check.diagnosis
        report.arrays.append(check)
        input_passed |= name == "input" and check.passed
    if input_passed and not probe.is_smooth:  # of a gradient that is wrong as it is, ties say nothing
        _check_ties(report, probe, grad_output, setting)


def _check_ties(report, probe, grad_output, setting):
    """Shift an input full of ties; and the given one, if it has kinks of its own."""
    tied = np.floor(2 * probe.x) / 2 + 0.25  # multiples of 1/2, none of them 0, where leaky ReLU has its kink
    for x in (tied, probe.x):
        slope = Slope(probe.function("input"), x, grad_output, probe.knows_kinks)
        check = check_shift(slope, probe.gradients(grad_output, x)["input"], setting)
        if check is not None:
            report.arrays.append(check)
            return
    report.notes.append(f"{setting.stage}, {setting.mode}: shifting all inputs crosses a kink; ties are not checked")


def _complex_probe(probe):
    """The same layer in complex arithmetic, for layers that say they are analytic.

    Not with functions of a reader's own: `x.var()` is right, but takes squares of magnitudes, which are not analytic.
    """
    if not (getattr(probe.layer, "is_analytic", False) and getattr(probe.backend, "runs_numpy", False)):
        return None
    if probe.backend.readings:
        return None
    return probe.complex()


def _check_function(report, function, grad, x, name, setting):
    """`check_array` for a function that returns one number."""
    if grad.shape == x.shape:
        slope = Slope(lambda v: (np.asarray(function(v)), None), x, np.ones(()), knows_kinks=False)
        report.arrays.append(check_array(slope, grad.astype(np.float64), name, setting, counts=_counts(x)))


def _counts(array):
    """Numbers that turn up as a missing 1/N."""
    if array.ndim == 0:
        return {}
    counts = {"the batch size": len(array), "the number of entries": array.size}
    if array.ndim > 2:
        counts["the number of positions H W"] = int(np.prod(array.shape[2:]))
        counts["the number of values per channel N H W"] = array.size // array.shape[1]
    return counts


def _modes(layer, training, report):
    """The modes asked for, as far as the layer has them."""
    if hasattr(layer, "freeze_statistics"):
        return {None: ["training", "evaluation"], True: ["training"], False: ["evaluation"]}[training]
    if training is False:
        raise ValueError(f"{type(layer).__name__} has no freeze_statistics(): evaluation mode cannot be checked")
    if training is None:
        report.notes.append(f"{type(layer).__name__} has no freeze_statistics(): checked in training mode only")
    return ["training"]


class _Trainable:
    """What an optimiser asks of a network, for layers that are not ours."""

    def __init__(self, layer):
        self.layer, self.backend = layer, getattr(layer, "backend", NUMPY)

    params = property(lambda self: self.layer.params)
    grads = property(lambda self: self.layer.grads)


def _trained(layer, x, steps, rng):
    """A float64 copy of the layer after some steps of Adam on the squared distance to random targets."""
    probe = Probe(layer, x)
    optimizer = Adam(_Trainable(probe.layer), learning_rate=0.01)
    targets = rng.standard_normal(probe.output.shape)
    for _ in range(steps):
        probe.train_step(targets)
        optimizer.step()
    return probe.layer


def _checked_input(x):
    x = np.array(x)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"x has dtype {x.dtype}: expected real numbers")
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"x of shape {x.shape} is empty or not finite")
    return x.astype(np.float64)


def _generator(rng):
    """A Generator; from a seed, one whose numbers differ from default_rng(seed)'s.

    A caller who drew x from default_rng(0) would otherwise get grad_output = x: almost a null vector of batch norm's
    backward, and nearly as blind as ones.
    """
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng((rng or 0, _SEED_SALT))


def _finish(report, raise_on_failure):
    return report.raise_if_failed() if raise_on_failure else report
