"""The gradient checker as others use it: foreign layers, kinks, reports, errors, and what it leaves alone."""

import numpy as np
import pytest

from minisvdd.gradcheck import (
    GradcheckError,
    check_gradient,
    check_gradients,
    check_library,
    check_loss,
    library_cases,
)
from minisvdd.nn.layer import Layer
from minisvdd.nn.layers import (
    BatchNorm,
    Conv2D,
    ConvTranspose2D,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2D,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample,
)
from minisvdd.nn.networks import Sequential


class ForeignDense:
    """Somebody else's layer: other attribute names, gradients written in place, no base class, no kink pattern."""

    def __init__(self, rng, factor=1.0):
        self.W = rng.standard_normal((4, 3)).astype(np.float32)
        self.dW = np.full_like(self.W, 99)
        self.params, self.grads, self.factor = {"W": self.W}, {"W": self.dW}, factor

    def forward(self, x):
        self.x = x
        self.mask = x @ self.W > 0
        return np.where(self.mask, x @ self.W, 0)

    def backward(self, grad_output):
        g = grad_output * self.mask
        self.dW[...] = self.factor * self.x.T @ g
        return g @ self.W.T


class ForeignCube:
    """No parameters at all."""

    def forward(self, x, training=False):
        self.x = x
        return x**3

    def backward(self, grad_output):
        return 3 * self.x**2 * grad_output


def built(layer, sample, rng, dtype=np.float32):
    layer.build(sample, rng, dtype)
    return layer


def test_foreign_layers_pass(rng):
    for layer, x in ((ForeignDense(rng), rng.standard_normal((5, 4))), (ForeignCube(), rng.standard_normal((5, 4)))):
        report = check_gradients(layer, x)
        assert report.passed, str(report)
        assert any("training mode only" in note for note in report.notes)


def test_foreign_layer_with_an_error_fails_and_is_recognised(rng):
    report = check_gradients(ForeignDense(rng, factor=-2.0), rng.standard_normal((5, 4)))
    (failed, *_) = report.failures
    assert failed.name == "W"
    assert "negated and times 2" in failed.diagnosis
    assert "stale" in str(report)  # a remark, not a failure: its second backward does not raise


def test_foreign_layer_has_no_evaluation_mode():
    with pytest.raises(ValueError, match="freeze_statistics"):
        check_gradients(ForeignCube(), np.ones((2, 2)), training=False)


def test_layer_and_input_stay_untouched(rng):
    layer = built(Sequential([Linear(4), BatchNorm(affine=True), LeakyReLU(), Linear(2)]), (3,), rng)
    x = rng.standard_normal((6, 3)).astype(np.float32)
    arrays = layer.params | layer.buffers
    before, x_before = {name: array.copy() for name, array in arrays.items()}, x.copy()
    check_gradients(layer, x, raise_on_failure=True)
    assert not layer.grads
    np.testing.assert_array_equal(x, x_before)
    for name, array in (layer.params | layer.buffers).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, before[name])


def test_both_modes_and_both_stages_are_checked(rng):
    layer = built(BatchNorm(affine=True), (3,), rng)
    report = check_gradients(layer, rng.standard_normal((8, 3)))
    settings = {(check.name, check.stage, check.mode) for check in report.arrays}
    names, stages, modes = ("input", "weight", "bias"), ("start", "after 20 steps"), ("training", "evaluation")
    assert settings == {(n, s, m) for n in names for s in stages for m in modes}
    assert len(check_gradients(layer, rng.standard_normal((8, 3)), training=True, train_steps=0).arrays) == 3


def test_analytic_layers_are_checked_by_the_complex_step_too(rng):
    x = rng.standard_normal((6, 3))
    analytic = check_gradients(built(Sequential([Linear(4), BatchNorm(), Tanh()]), (3,), rng), x)
    assert all(check.complex_error < 1e-11 for check in analytic.arrays)
    piecewise = check_gradients(built(Sequential([Linear(4), LeakyReLU()]), (3,), rng), x)
    assert all(check.complex_error is None for check in piecewise.arrays)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(3),
        lambda: Conv2D(2, 3),
        lambda: ConvTranspose2D(2, 3),
        BatchNorm,
        Sigmoid,
        Tanh,
        Upsample,
        lambda: Reshape((5, 4, 2)),
        Flatten,
    ],
)
def test_every_smooth_layer_of_the_library_takes_the_complex_step(make, rng):
    layer = make()
    sample = (40,) if isinstance(layer, Linear) else (2, 4, 5)
    report = check_gradients(built(layer, sample, rng), rng.standard_normal((3, *sample)), train_steps=0)
    assert report.passed, str(report)
    assert all(check.complex_error < 1e-11 for check in report.arrays)


class OwnBatchNorm(Layer):
    """Right, and not analytic: `x.var()` takes squares of magnitudes."""

    def forward(self, x, training=False):
        self.r = 1 / np.sqrt(x.var(axis=0) + 1e-3)
        self.x_hat = (x - x.mean(axis=0)) * self.r
        return self.x_hat

    def backward(self, grad_output, need_input=True, need_params=True):
        g = grad_output - grad_output.mean(axis=0) - self.x_hat * (grad_output * self.x_hat).mean(axis=0)
        return self.r * g


def test_a_layer_of_ones_own_takes_the_complex_step_only_if_it_says_so(rng):
    x = rng.standard_normal((8, 3))
    (check,) = [c for c in check_gradients(OwnBatchNorm(), x).arrays if c.name == "input"]
    assert (check.passed, check.complex_error) == (True, None)

    class SaysSo(OwnBatchNorm):
        is_analytic = True

    report = check_gradients(SaysSo(), x)
    (check,) = [c for c in report.arrays if c.name == "input"]
    assert not check.passed
    assert "the differences agree with the gradient, the complex step does not" in check.diagnosis
    assert "is_analytic = False" in str(report)


def test_gradient_that_is_zero_passes(rng):
    """A bias before batch norm has gradient 0: rounding beside rounding is no error."""
    network = built(Sequential([Linear(4, bias=True), BatchNorm(), Linear(2)]), (3,), rng)
    report = check_gradients(network, rng.standard_normal((6, 3)))
    assert report.passed, str(report)


def test_small_error_in_one_entry_of_a_large_array_is_found(rng):
    class OneWrong(Linear):
        def backward(self, grad_output):
            grad_input = super().backward(grad_output)
            self.grads["weight"][7, 11] *= 1.5
            return grad_input

    layer = built(OneWrong(40), (30,), rng)
    report = check_gradients(layer, rng.standard_normal((5, 30)), max_entries=10)
    weight = next(check for check in report.arrays if check.name == "weight")
    assert (weight.checked, weight.directions, weight.size) == (10, 4, 1200)
    assert not weight.passed


class Scale:
    """One scalar parameter, whose gradient is a sum: a NumPy number, and no array."""

    def __init__(self):
        self.params, self.grads = {"a": np.array(0.25)}, {}

    def forward(self, x, training=False):
        self.x = x
        return self.params["a"] * x

    def backward(self, grad_output):
        self.grads["a"] = (grad_output * self.x).sum()
        return self.params["a"] * grad_output


@pytest.mark.parametrize("before", [{}, {"a": 0.0}, {"a": np.float64(3)}, {"a": None}])
def test_the_gradient_of_a_scalar_parameter_may_be_a_number(before, rng):
    layer, x = Scale(), rng.standard_normal((5, 4))
    layer.grads.update(before)
    report = check_gradients(layer, x)
    assert report.passed, str(report)
    assert {(check.name, check.stage) for check in report.arrays} >= {("a", "start"), ("a", "after 20 steps")}

    class Forgets(Scale):
        def backward(self, grad_output):
            return self.params["a"] * grad_output

    layer = Forgets()
    layer.grads["a"] = np.float64(3)
    (check,) = [check for check in check_gradients(layer, x, train_steps=0).arrays if check.name == "a"]
    assert "looks like: zero" in check.diagnosis


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": [np.ones(3)]}, "Scale.params is a list: expected a dict of arrays"),
        ({"params": {"a": 0.25}}, r"params\['a'\] is a float: expected an array"),
        ({"params": {"a": np.float64(0.25)}}, r"params\['a'\] is a float64: expected an array"),
        ({"forward": lambda x, training=False: None}, "forward returned None: is a return missing?"),
        ({"forward": lambda x, training=False: (x, x)}, "forward returned a tuple of 2: expected one array"),
        ({"backward": lambda grad_output: None}, "backward returned None: is a return missing?"),
        ({"backward": lambda grad_output: (grad_output, None)}, "backward returned a tuple of 2: expected one array"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_words(change, message):
    layer = Scale()
    vars(layer).update(change)
    with pytest.raises(TypeError, match=message.replace("?", r"\?")):
        check_gradients(layer, np.ones((2, 3)))


def test_functions_that_return_nothing_are_refused_in_words():
    x = np.ones((2, 3))
    with pytest.raises(TypeError, match="the function returned None"):
        check_gradient(lambda v: None, np.cos, x)
    with pytest.raises(TypeError, match="the function returned a tuple of 2"):
        check_gradient(lambda v: (v.sum(), v), np.cos, x)
    with pytest.raises(TypeError, match="the gradient returned None"):
        check_gradient(np.sum, lambda v: None, x)
    with pytest.raises(TypeError, match="the loss returned None"):
        check_loss(lambda v: None, x)
    with pytest.raises(TypeError, match=r"the loss returned a float64: expected value, grad\[, per_sample\]"):
        check_loss(lambda v: v.sum(), x)
    with pytest.raises(TypeError, match="as its gradient, returned None"):
        check_loss(lambda v: (v.sum(), None), x)


def test_ties_are_blamed_only_where_the_gradient_is_right_without_them(rng):
    """Any wrong gradient is wrong under a shift, too."""

    class Negated(ForeignCube):
        def backward(self, grad_output):
            return -super().backward(grad_output)

    class EveryTiedEntry:
        """A maximum over columns, whose gradient goes to all entries that reach it."""

        def forward(self, x, training=False):
            self.winners = x == x.max(axis=1, keepdims=True)
            return x.max(axis=1)

        def backward(self, grad_output):
            return self.winners * grad_output[:, None]

    x = rng.standard_normal((5, 4))
    text = str(check_gradients(Negated(), x))
    assert "looks like: negated" in text
    assert "entries that tie" not in text
    assert "entries that tie for a maximum each got the gradient" in str(check_gradients(EveryTiedEntry(), x))


class TestKinks:
    def test_input_with_ties_and_zeros(self, rng):
        """Kinks are counted, the rest is checked as ever, and one-sided slopes bound the gradient."""
        x = rng.standard_normal((3, 2, 4, 4))
        x[:, :, 0, 0] = x[:, :, 0, 1] = 3.0
        report = check_gradients(built(MaxPool2D(2), (2, 4, 4), rng), x)
        assert report.passed, str(report)
        assert report.arrays[0].kinks == 12
        x = rng.standard_normal((4, 5))
        x[0] = 0
        report = check_gradients(built(LeakyReLU(), (5,), rng), x)
        assert report.passed
        assert report.arrays[0].kinks == 5

    def test_nothing_but_kinks_does_not_pass(self, rng):
        report = check_gradients(built(LeakyReLU(), (5,), rng), np.zeros((4, 5)))
        assert not report.passed
        assert "choose another input" in str(report)

    def test_gradient_outside_the_one_sided_slopes_fails(self, rng):
        class TooSteepAtZero(LeakyReLU):
            def forward(self, x, training=False):
                self.x = x
                return super().forward(x, training)

            def backward(self, grad_output):
                return super().backward(grad_output) * np.where(self.x == 0, 20, 1)

        x = rng.standard_normal((4, 5))
        x[0, 0] = 0
        report = check_gradients(built(TooSteepAtZero(), (5,), rng), x)
        assert not report.passed
        assert report.arrays[0].worst.index == (0, 0)

    def test_kink_close_by_is_avoided_with_a_smaller_step(self, rng):
        x = rng.standard_normal((4, 5))
        x[1, 2] = 1e-6
        report = check_gradients(built(LeakyReLU(), (5,), rng), x)
        assert report.passed
        assert (report.arrays[0].retried, report.arrays[0].kinks) == (1, 0)

    def test_foreign_kinks_are_recognised_by_their_bend(self):
        class ForeignAbs:
            def forward(self, x, training=False):
                self.x = x
                return np.abs(x)

            def backward(self, grad_output):
                return np.sign(self.x) * grad_output

        report = check_gradients(ForeignAbs(), np.array([[0.0, 1.0, -2.0, 1e-6]]))
        assert report.passed, str(report)
        assert (report.arrays[0].kinks, report.arrays[0].retried) == (1, 1)


def failed_properties(report):
    return {check.name for check in report.failures}


class TestPlainFunctions:
    def test_right_and_wrong(self, rng):
        x = rng.standard_normal((3, 4))
        assert check_gradient(lambda v: np.sin(v).sum(), np.cos, x).passed
        report = check_gradient(lambda v: np.sin(v).sum(), lambda v: -np.cos(v), x)
        assert report.arrays[0].diagnosis == "looks like: negated"

    def test_loss_without_its_mean(self, rng):
        def loss(outputs, targets):
            return ((outputs - targets) ** 2).mean(), 2 * (outputs - targets)

        report = check_loss(loss, rng.standard_normal((5, 3)), rng.standard_normal((5, 3)))
        assert "times the number of entries = 15: a missing 1/N" in report.arrays[0].diagnosis

    def test_loss_that_changes_its_arguments(self, rng):
        def loss(outputs):
            value = (outputs**2).sum()
            outputs *= 2
            return value, outputs

        report = check_loss(loss, rng.standard_normal((5, 3)))
        assert not report.passed
        assert "leaves its arguments alone: it changes outputs" in str(report)
        assert report.arrays[0].passed, "the gradient is that at the outputs as they came"

    def test_only_arrays_among_the_arguments_of_a_loss_are_looked_at_and_bit_for_bit(self, rng):
        def loss(outputs, *anything):
            return (outputs**2).sum(), 2 * outputs

        outputs = rng.standard_normal((5, 3))
        report = check_loss(loss, outputs, np.array([np.nan, 1.0]), [[1], [1, 2]], "mean", {"a": np.ones(2)}, None)
        assert report.passed, str(report)

        def writes(outputs, targets):
            targets[0] = 2
            return loss(outputs)

        assert "it changes argument 1" in str(check_loss(writes, outputs, np.array([np.nan, 1.0])))

    @pytest.mark.parametrize("function", [lambda v: np.exp(v), lambda v: v.sum(keepdims=True), lambda v: v.sum() + 0j])
    def test_a_value_that_is_not_one_real_number_fails(self, function, rng):
        """The sum over all outputs of a softmax is constant: zeros would be its gradient."""
        x = rng.standard_normal((5, 4))
        report = check_gradient(function, np.zeros_like, x)
        assert "the value is one number" in failed_properties(report)
        assert ("is not real" if np.ndim(function(x)) == 0 else "shape (") in str(report)
        report = check_loss(lambda v: (function(v), np.zeros_like(v)), x)
        assert "the value is one number" in failed_properties(report)

    def test_a_random_function_is_called_random(self, rng):
        def noisy(v):
            return np.sin(v).sum() + noise.normal()

        noise, x = np.random.default_rng(0), rng.standard_normal(3)
        assert "is it random?" in str(check_gradient(noisy, np.cos, x))
        assert "is it random?" in str(check_loss(lambda v: (noisy(v), np.cos(v)), x))

    @pytest.mark.parametrize("convert", [np.float32, lambda value: float(np.float32(value))])
    def test_single_precision_is_recognised(self, convert, rng):
        """By the dtype of the value; where it was converted, by the values."""
        x = rng.standard_normal((5, 4))
        for report in (
            check_gradient(lambda v: convert(np.sin(v).sum()), np.cos, x),
            check_loss(lambda v: (convert(np.sin(v).sum()), np.cos(v)), x),
        ):
            assert not report.passed
            assert "computed in single precision" in report.arrays[0].diagnosis
            assert ("the value is in float64" in failed_properties(report)) == (convert is np.float32)
        wrong = check_gradient(lambda v: np.sin(v).sum(), lambda v: np.cos(v) ** 2, x.astype(np.float32))
        assert "single" not in str(wrong)

    def test_gradient_of_the_wrong_shape(self, rng):
        report = check_gradient(lambda v: (v**2).sum(), lambda v: 2 * v.T, rng.standard_normal((3, 4)))
        assert "(4, 3), not (3, 4)" in str(report)
        assert not report.passed


def test_missing_gradient_and_wrong_shape_are_reported(rng):
    class Forgetful(Linear):
        def backward(self, grad_output):
            grad_input = super().backward(grad_output)
            self.grads.pop("weight")
            return grad_input

    class Misshapen(Linear):
        def backward(self, grad_output):
            grad_input = super().backward(grad_output)
            self.grads["weight"] = self.grads["weight"].T
            return grad_input

    x = rng.standard_normal((5, 4))
    assert "every parameter has a gradient: none for weight" in str(check_gradients(built(Forgetful(3), (4,), rng), x))
    assert "(4, 3), not (3, 4)" in str(check_gradients(built(Misshapen(3), (4,), rng), x))


def test_not_a_number_fails(rng):
    class Broken(Linear):
        def backward(self, grad_output):
            return super().backward(grad_output) * np.nan

    report = check_gradients(built(Broken(3), (4,), rng), rng.standard_normal((5, 4)))
    assert not report.passed
    assert "not finite" in str(report)


def test_random_layer_is_called_random(rng):
    class Dropout(LeakyReLU):
        def forward(self, x, training=False):
            return super().forward(x, training) * noise.integers(2, size=x.shape)

    noise = np.random.default_rng(0)
    assert "is it random?" in str(check_gradients(built(Dropout(), (4,), rng), rng.standard_normal((5, 4))))


def test_report_reads_as_a_table(rng):
    layer = built(Conv2D(2, 3), (1, 5, 5), rng)
    text = str(check_gradients(layer, rng.standard_normal((2, 1, 5, 5))))
    assert "h = 6.1e-06 max(1, |v|), tolerance 1e-07" in text
    assert "weight  2x1x3x3" in text
    assert text.splitlines()[-1].startswith("passed: 4 of 4 gradients")


def test_failure_shows_both_numbers_and_error_against_h(rng):
    class Off(Linear):
        def backward(self, grad_output):
            return 1.001 * super().backward(grad_output)

    layer, x = built(Off(3), (4,), rng), rng.standard_normal((5, 4))
    report = check_gradients(layer, x)
    worst = report.arrays[0].worst
    assert worst.analytic == pytest.approx(1.001 * worst.numeric, rel=1e-6)
    assert f"worst at [{worst.index[0]}, {worst.index[1]}]: analytic {worst.analytic:.12g}" in str(report)
    assert len(report.arrays[0].step_table) == 8
    with pytest.raises(GradcheckError, match=r"1\.001 times the right gradient"):
        check_gradients(layer, x, raise_on_failure=True)


def test_errors(rng):
    layer = built(Linear(3), (4,), rng)
    for x in (np.zeros((0, 4)), np.full((2, 4), np.nan), np.array([["a"]])):
        with pytest.raises(ValueError, match="x "):
            check_gradients(layer, x)
    with pytest.raises(TypeError, match="forward"):
        check_gradients(object(), np.ones((2, 4)))


def test_same_seed_same_report(rng):
    layer, x = built(Sequential([Linear(9), Flatten()]), (30,), rng), rng.standard_normal((5, 30))
    assert str(check_gradients(layer, x, rng=3)) == str(check_gradients(layer, x, rng=3))
    assert str(check_gradients(layer, x, rng=3)) != str(check_gradients(layer, x, rng=4))


def test_library_covers_layers_losses_and_networks():
    names = set(library_cases())
    assert {"Conv2D", "ConvTranspose2D", "BatchNorm", "MaxPool2D", "OneClass", "SoftBoundary", "mnist_lenet"} <= names
    (report,) = check_library("Tanh")
    assert report.passed
    with pytest.raises(ValueError, match="'Conv3D'; expected one of Linear, Conv2D"):
        check_library(["Linear", "Conv3D"])
    with pytest.raises(ValueError, match="backend='abacus'"):
        check_library("Linear", backend="abacus")
