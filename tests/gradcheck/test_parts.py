"""The parts of the gradient checker: steps and differences, the choice of what to report, diagnoses, the table."""

import numpy as np
import pytest

from minisvdd.gradcheck import check_gradient, check_gradients
from minisvdd.gradcheck.arrays import Setting, check_array, check_shift, explain_batchnorm
from minisvdd.gradcheck.diagnosis import diagnose
from minisvdd.gradcheck.differences import DEFAULT_STEP, Slope, complex_derivative
from minisvdd.gradcheck.probe import Probe
from minisvdd.nn.layers import BatchNorm, Linear, Tanh


def setting(**changes):
    arguments = {"tolerance": 1e-7, "step": DEFAULT_STEP, "max_entries": 200, "directions": 2}
    return Setting("start", "training", rng=np.random.default_rng(0), **{**arguments, **changes})


def slope_of(function, point, grad_output=None):
    """The slope of a smooth function."""
    grad_output = np.ones_like(function(point)) if grad_output is None else grad_output
    return Slope(lambda v: (function(v), None), point, grad_output, knows_kinks=True)


def table(array):
    """What `diagnose` asks for the numeric gradient."""
    return lambda indices: array.ravel()[indices]


def named(analytic, numeric, counts=None):
    return diagnose(analytic, table(numeric), counts or {}, np.random.default_rng(0))


# Which entry is shown


def test_the_worst_entry_is_the_one_that_is_furthest_off(rng):
    x = rng.standard_normal(6)
    gradient = 2 * x
    gradient[[1, 4, 2]] += (0.1, 3.0, 0.2)
    check = check_array(slope_of(lambda v: v * v, x), gradient, "x", setting())
    assert (check.worst.index, check.wrong) == ((4,), 3)


def test_a_wrong_entry_is_shown_rather_than_a_wrong_direction(rng):
    x = rng.standard_normal(50)
    check = check_array(slope_of(lambda v: v * v, x), -2 * x, "x", setting(max_entries=3, directions=5))
    assert check.worst.index is not None
    assert (check.checked, check.directions, check.wrong) == (3, 5, 8)


def test_the_shift_moves_all_entries_by_one_length(rng):
    """The derivative of sum(v^2) along (1, ..., 1) / sqrt(n)."""
    x = rng.standard_normal((4, 4))
    (entry,) = check_shift(slope_of(lambda v: v * v, x), 2 * x, setting()).entries
    assert entry.analytic == pytest.approx(2 * x.sum() / 4, rel=1e-12)
    assert entry.numeric == pytest.approx(2 * x.sum() / 4, rel=1e-8)
    assert entry.step == pytest.approx(DEFAULT_STEP * max(1, np.sqrt((x * x).mean())))


def test_the_table_of_steps_begins_and_ends_around_the_step_of_the_check(rng):
    x = rng.uniform(1, 2, 3)
    check = check_array(slope_of(np.exp, x), 1.1 * np.exp(x), "x", setting())
    steps, numbers, errors = zip(*check.step_table)
    assert steps == pytest.approx([DEFAULT_STEP * 10.0**k for k in range(4, -4, -1)])
    assert numbers[4] == pytest.approx(np.exp(x[check.worst.index]), rel=1e-8)
    assert errors[4] == pytest.approx(0.1 / 1.1, rel=1e-6)


# The complex step


def test_the_complex_step_sees_what_differences_cannot(rng):
    """An error of 1e-9 drowns in the truncation of differences."""

    class SlightlyOff(Tanh):
        def backward(self, grad_output):
            return (1 + 1e-9) * super().backward(grad_output)

    layer, x = SlightlyOff(), rng.standard_normal((4, 3))
    layer.build((3,), rng)
    report = check_gradients(layer, x, training=True, train_steps=0)
    check = report.arrays[0]
    assert check.error < 1e-8
    assert 0.3e-9 < check.complex_error < 1.1e-9
    assert not report.passed
    assert "too small an error for differences" in check.diagnosis


def test_the_complex_step_along_directions(rng):
    layer, x = Tanh(), rng.standard_normal((9, 30))
    layer.build((30,), rng)
    check = check_gradients(layer, x, max_entries=3, directions=4).arrays[0]
    assert (check.checked, check.directions) == (3, 4)
    assert check.complex_error < 1e-11
    direction = rng.standard_normal(x.shape)
    got = complex_derivative(lambda v: (v**3, None), x, np.ones_like(x), direction)
    assert got == pytest.approx((3 * x**2 * direction).sum(), rel=1e-12)


# The layer as a function


class Adds:
    """A layer of somebody else that adds to its gradient, which is not zero when it comes."""

    def __init__(self):
        self.params, self.grads = {"w": np.array([2.0, 3.0])}, {"w": np.array([50.0, 60.0])}

    def forward(self, x):
        self.x = x
        return x * self.params["w"]

    def backward(self, grad_output):
        self.grads["w"] += (grad_output * self.x).sum(axis=0)
        return grad_output * self.params["w"]


def test_a_layer_that_adds_starts_from_zero(rng):
    report = check_gradients(Adds(), rng.standard_normal((3, 2)), train_steps=0)
    (failed,) = [check for check in report.contract if check.required and not check.passed]
    assert failed.name == "backward writes the gradient of w"
    assert "added twice" in failed.detail


def test_a_training_step_has_the_gradient_of_the_mean_squared_distance(rng):
    layer, x, targets = Linear(2), rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    layer.build((3,), rng, dtype=np.float64)
    probe = Probe(layer, x)
    probe.train_step(targets)
    residual = x @ layer.params["weight"].T - targets
    np.testing.assert_allclose(probe.layer.grads["weight"], 2 / 5 * residual.T @ x, rtol=1e-12)


# Diagnoses


def test_a_form_fits_to_four_digits(rng):
    right = np.ones(100)
    noise = rng.standard_normal(100)
    noise -= noise.mean()
    noise *= np.linalg.norm(right) / np.linalg.norm(noise)
    assert named(-(right + 0.8e-4 * noise), right) == "looks like: negated"
    assert named(-(right + 1.3e-4 * noise), right) == "no known form fits"


def test_a_small_error_in_one_place_is_no_form():
    """Nearly right is not "flipped": the filters are 1 x 1."""
    right = np.arange(1.0, 7.0).reshape(3, 2, 1, 1)
    wrong = right.copy()
    wrong[0, 0, 0, 0] += 1e-4
    assert named(wrong, right) == "no known form fits"


def test_a_rearrangement_tells_more_than_the_right_gradient_does(rng):
    """Of what is nearly symmetric the transposed is nearly right."""
    nearly = np.add.outer(np.arange(3.0), np.arange(3.0)) + 1e-6 * rng.standard_normal((3, 3))
    assert named(nearly + 1e-5 * rng.standard_normal((3, 3)), nearly) == "no known form fits"
    assert named(nearly.T + 1e-8 * rng.standard_normal((3, 3)), nearly) == "looks like: transposed"


def test_a_single_entry_shows_no_factor_without_a_meaning():
    right = np.zeros((3, 4))
    right[1, 1] = 0.7
    assert named(1.001 * right, right) == "no known form fits"
    assert named(2 * right, right).startswith("looks like: times 2")
    right[2, 2] = 0.2
    assert named(1.01 * right, right) == "looks like: 1.01 times the right gradient"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("transposed: the two channel axes exchanged", lambda n: n.swapaxes(0, 1)),
        ("transposed in space", lambda n: n.swapaxes(2, 3)),
        ("flipped in space (both axes", lambda n: n[:, :, ::-1, ::-1]),
        ("flipped in space (rows only)", lambda n: n[:, :, ::-1]),
        ("flipped in space (columns only)", lambda n: n[:, :, :, ::-1]),
        ("permuted channels: axis 0 reversed", lambda n: n[::-1]),
        ("permuted channels: axis 1 reversed", lambda n: n[:, ::-1]),
        ("permuted channels: axis 0 in the order [1, 2, 0]", lambda n: n[[1, 2, 0]]),
        ("permuted channels: axis 1 in the order [2, 0, 1]", lambda n: n[:, [2, 0, 1]]),
    ],
)
@pytest.mark.parametrize("factor", [1, -3])
def test_rearranged_filters(name, form, factor, rng):
    right = rng.standard_normal((3, 3, 4, 4))
    found = named(factor * form(right), right, {"the batch size": 3})
    if "in the order" in name:
        assert found == (f"looks like: {name}" if factor == 1 else "no known form fits")
    else:
        assert found.startswith(f"looks like: {name}")
        assert ("negated and times the batch size = 3" in found) == (factor == -3)


def test_large_arrays_are_diagnosed_from_a_sample(rng):
    right, asked = rng.standard_normal((40, 30)), set()

    def numeric_at(indices):
        asked.update(map(int, indices))
        return right.ravel()[indices]

    assert diagnose(right[::-1], numeric_at, {}, rng) == "looks like: permuted channels: axis 0 reversed"
    assert len(asked) <= 64


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / 20, "divided by the number of positions H W = 20"),
        (20, "times the number of positions H W = 20: a missing 1/N"),
        (1 / 60, "divided by the number of values per channel N H W = 60"),
        (3, "times the batch size = 3"),
        (1 / 120, "divided by the number of entries = 120"),
        (0.5, "times 1/2"),
        (1.234567, "1.23457 times the right gradient"),
    ],
)
def test_counts_of_images_are_recognised(factor, words, rng):
    x = rng.standard_normal((3, 2, 4, 5))
    report = check_gradient(lambda v: (v**2).sum(), lambda v: factor * 2 * v, x)
    assert words in report.arrays[0].diagnosis


@pytest.mark.parametrize(("samples", "explained"), [(1000, True), (1001, False)])
def test_batch_norm_is_explained_up_to_2000_numbers(samples, explained, rng):
    layer, x, grad = BatchNorm(), rng.standard_normal((samples, 2)), rng.standard_normal((samples, 2))
    layer.build((2,), rng, dtype=np.float64)

    def forward(v):
        return (v - v.mean(axis=0)) / np.sqrt(v.var(axis=0) + layer.epsilon)

    layer.forward(x, training=True)
    wrong = layer.backward(grad) + grad.mean(axis=0) / np.sqrt(x.var(axis=0) + layer.epsilon)
    found = explain_batchnorm(slope_of(forward, x, grad), wrong, setting())
    assert (found is not None) == explained
    assert found is None or "the term mean(g) is missing" in found


# The report


def test_columns_begin_where_their_heads_do(rng):
    layer = Linear(2, bias=True)
    layer.build((3,), rng)
    lines = str(check_gradients(layer, rng.standard_normal((4, 3)))).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("array"))
    for name in ("shape", "stage", "mode", "checked", "kinks", "error", "worst at", "analytic", "numeric"):
        start = lines[head].index(name)
        for line in lines[head + 1 : head + 4]:
            assert line[start - 2 : start] == "  ", name
            assert line[start] != " ", name


def test_a_failure_shows_its_table_of_steps(rng):
    x = rng.standard_normal((3, 4))
    report = check_gradient(lambda v: np.sin(v).sum(), lambda v: 1.5 * np.cos(v), x)
    text = str(report)
    for h, numeric, error in report.arrays[0].step_table:
        assert f"  {h:.1e}  {numeric:.12g}".rstrip() in text
        assert f"{error:.1e}" in text
    assert f"{report.arrays[0].wrong} of 12 checks wrong" in text
    assert report.arrays[0].wrong == 12


@pytest.mark.parametrize("offset", [1e8, 1e12, 1e16])
def test_a_right_gradient_passes_beside_a_large_constant(offset, rng):
    """Whose last digit hides the change: a difference of exactly 0 is not free of rounding."""
    x = rng.standard_normal(5)
    assert check_gradient(lambda v: offset + (v**2).sum(), lambda v: 2 * v, x).passed


def test_a_function_may_work_in_place(rng):
    def squares(v):
        v *= v
        return v.sum()

    assert check_gradient(squares, lambda v: 2 * v, rng.standard_normal(5)).passed
