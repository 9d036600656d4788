"""Layers with a planted error: each must fail the gradient check, which names the error where it has a known form."""

import numpy as np
import pytest

from minisvdd import ops
from minisvdd.gradcheck import check_gradients
from minisvdd.nn.layers import BatchNorm, Conv2D, ConvTranspose2D, LeakyReLU, Linear, MaxPool2D, Sigmoid, Upsample
from minisvdd.ops.layout import from_batch_last, to_batch_last
from minisvdd.ops.pooling import _windows


def channel_mean(values):
    return values.mean(axis=tuple(a for a in range(values.ndim) if a != 1), keepdims=True)


class LinearNegated(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        return -super().backward(grad_output)


class LinearWeightTransposed(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"].T.copy()
        return grad_input


class LinearTimesBatch(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] * len(grad_output)
        return grad_input


class LinearBiasMean(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        self.grads["bias"] = grad_output.mean(axis=0)
        return grad_input


class LinearAccumulates(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        old = self.grads.get("weight", 0)
        grad_input = super().backward(grad_output)
        self.grads["weight"] = self.grads["weight"] + old
        return grad_input


class LinearWeightForgotten(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        self.grads["weight"] = np.zeros_like(self.params["weight"])
        return grad_input


class LinearPermuted(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        self.grads["weight"] = np.roll(self.grads["weight"], 1, axis=0)
        return grad_input


class ConvWeightWrong(Conv2D):
    """`wrong(layer, grad_output, x)` in the place of the gradient of the weight, or of the bias."""

    name = "weight"

    def backward(self, grad_output, need_input=True, need_params=True):
        x = self._saved[0]
        grad_input = super().backward(grad_output, need_input, need_params)
        self.grads[self.name] = np.ascontiguousarray(self.wrong(grad_output, x))
        return grad_input


class ConvChannelsReversed(ConvWeightWrong):
    def wrong(self, grad_output, x):
        return self.grads["weight"][::-1]


class ConvKernelFlipped(ConvWeightWrong):
    def wrong(self, grad_output, x):
        return self.grads["weight"][:, :, ::-1, ::-1]


class ConvTransposedInSpace(ConvWeightWrong):
    def wrong(self, grad_output, x):
        return self.grads["weight"].swapaxes(2, 3)


class ConvGradOutputTransposed(ConvWeightWrong):
    def wrong(self, grad_output, x):
        return ops.conv2d_backward_weight(grad_output.swapaxes(2, 3), x, self.kernel_size, self.stride, self.padding)


class ConvPaddingForgotten(ConvWeightWrong):
    def wrong(self, grad_output, x):
        crop = [slice(p, n - p) for n, p in zip(grad_output.shape[2:], self.padding)]
        return ops.conv2d_backward_weight(grad_output[:, :, crop[0], crop[1]], x, self.kernel_size, self.stride)


class ConvBiasMean(ConvWeightWrong):
    name = "bias"

    def wrong(self, grad_output, x):
        return grad_output.mean(axis=(0, 2, 3))


class ConvInputWithoutFlip(Conv2D):
    def backward(self, grad_output, need_input=True, need_params=True):
        input_size = self._saved[0].shape[2:]
        super().backward(grad_output, need_input, need_params)
        unflipped = self.params["weight"][:, :, ::-1, ::-1]
        return ops.conv2d_backward_input(grad_output, unflipped, input_size, self.stride, self.padding)


class ConvTransposeTwice(ConvTranspose2D):
    def backward(self, grad_output, need_input=True, need_params=True):
        return 2 * super().backward(grad_output)


class BatchNormZeros(BatchNorm):
    def backward(self, grad_output, need_input=True, need_params=True):
        return np.zeros_like(super().backward(grad_output))


class BatchNormTerms(BatchNorm):
    """dL/dx = r (g - a mean(g) - b x_hat mean(g x_hat)) with a, b to choose; 1, 1 is right."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b

    def backward(self, grad_output, need_input=True, need_params=True):
        x_hat, scale, used_batch = self._take()
        if not used_batch:
            return ops.batchnorm_backward_fixed(grad_output, scale)
        terms = self.a * channel_mean(grad_output) + self.b * x_hat * channel_mean(grad_output * x_hat)
        return (grad_output - terms) * scale.reshape(-1, *[1] * (x_hat.ndim - 2))


class BatchNormFrozenWrong(BatchNorm):
    """Right in training; with fixed statistics it still subtracts the means."""

    def backward(self, grad_output, need_input=True, need_params=True):
        x_hat, scale, _ = self._take()
        return ops.batchnorm_backward(grad_output, x_hat, scale)


class BatchNormBiasedRunningOutput(BatchNorm):
    """Its evaluation output is not the function whose gradient backward gives."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        return y if training else 1.01 * y


class LeakySidesExchanged(LeakyReLU):
    def backward(self, grad_output, need_input=True, need_params=True):
        return np.where(self._take(), self.slope * grad_output, grad_output)


class LeakySlopeForgotten(LeakyReLU):
    def backward(self, grad_output, need_input=True, need_params=True):
        return grad_output * self._take()


class SigmoidSquared(Sigmoid):
    def backward(self, grad_output, need_input=True, need_params=True):
        y = self._take()
        return grad_output * y * (1 - y * y)


class MaxPoolEveryTie(MaxPool2D):
    """Sends the gradient of a window to every entry that equals its maximum."""

    def forward(self, x, training=False):
        y = super().forward(x, training)
        self.x, self.y = x, y
        return y

    def backward(self, grad_output, need_input=True, need_params=True):
        self._take()
        x, y, grad = (to_batch_last(array) for array in (self.x, self.y, grad_output))
        grad_input = np.zeros_like(x)
        windows = _windows(x, self.kernel_size, self.stride)
        for candidate, target in zip(windows, _windows(grad_input, self.kernel_size, self.stride)):
            target += grad * (candidate == y)
        return from_batch_last(grad_input)


class UpsampleMean(Upsample):
    def backward(self, grad_output, need_input=True, need_params=True):
        return super().backward(grad_output) / (self.scale[0] * self.scale[1])


class ChangesInput(Linear):
    def forward(self, x, training=False):
        y = super().forward(x, training)
        x *= 2
        return y


class ChangesGradOutput(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        grad_input = super().backward(grad_output)
        grad_output *= 2
        return grad_input


class StaleBackward(Linear):
    def _take(self):
        return self._saved[0]


class SinglePrecision(Linear):
    def backward(self, grad_output, need_input=True, need_params=True):
        return super().backward(grad_output).astype(np.float32)


FEATURES, IMAGE = (5,), (2, 6, 5)
MUTANTS = [
    # layer, shape of a sample, words of the report
    (LinearNegated(3), FEATURES, ["input", "negated"]),
    (LinearWeightTransposed(5), FEATURES, ["weight", "transposed"]),
    (LinearTimesBatch(3), FEATURES, ["weight", "times the batch size = 7", "missing 1/N"]),
    (LinearBiasMean(3, bias=True), FEATURES, ["bias", "divided by the batch size = 7", "mean where a sum belongs"]),
    (LinearAccumulates(3), FEATURES, ["backward writes the gradient of weight", "accumulated"]),
    (LinearWeightForgotten(3), FEATURES, ["weight", "looks like: zero"]),
    (LinearPermuted(3), FEATURES, ["weight", "permuted channels: axis 0 in the order [2, 0, 1]"]),
    (ConvChannelsReversed(3, 3), IMAGE, ["weight", "permuted channels: axis 0 reversed"]),
    (ConvKernelFlipped(3, 3), IMAGE, ["weight", "flipped in space"]),
    (ConvTransposedInSpace(3, 3), IMAGE, ["weight", "transposed in space"]),
    (ConvGradOutputTransposed(3, 3), (2, 6, 6), ["FAILED: weight, training", "no known form fits"]),
    (ConvInputWithoutFlip(3, 3, padding=1), IMAGE, ["FAILED: input, training", "no known form fits"]),
    (ConvPaddingForgotten(3, 3, padding=1), IMAGE, ["FAILED: weight, training", "no known form fits"]),
    (ConvBiasMean(3, 3, bias=True), IMAGE, ["bias", "divided by the number of values per channel N H W = 84"]),
    (ConvTransposeTwice(3, 3), IMAGE, ["input", "times 2"]),
    (BatchNormZeros(), FEATURES, ["input", "looks like: zero"]),
    (BatchNormTerms(0, 1), FEATURES, ["the term mean(g) is missing"]),
    (BatchNormTerms(1, 0), (3, 4, 3), ["the term x_hat mean(g x_hat) is missing"]),
    (BatchNormTerms(7, 7), FEATURES, ["mean(g) is 7 times too large: a missing 1/N", "x_hat mean(g x_hat) is 7 times"]),
    (BatchNormTerms(1, -1), FEATURES, ["the term x_hat mean(g x_hat) has the wrong sign"]),
    (BatchNormFrozenWrong(), FEATURES, ["input", "evaluation"]),
    (BatchNormBiasedRunningOutput(), FEATURES, ["forward(training=False) equals the output with frozen statistics"]),
    (LeakySidesExchanged(), FEATURES, ["FAILED: input, training", "no known form fits"]),
    (LeakySlopeForgotten(), FEATURES, ["FAILED: input, training", "no known form fits"]),
    (SigmoidSquared(), FEATURES, ["FAILED: input, training", "no known form fits"]),
    (MaxPoolEveryTie(2), IMAGE, ["input (shifted)", "entries that tie"]),
    (UpsampleMean((2, 3)), IMAGE, ["input", "0.166667 times the right gradient"]),
    (ChangesInput(3), FEATURES, ["forward leaves x alone"]),
    (ChangesGradOutput(3), FEATURES, ["backward leaves grad_output alone"]),
    (StaleBackward(3), FEATURES, ["a second backward without forward raises RuntimeError"]),
    (SinglePrecision(3), FEATURES, ["the gradient of input keeps the dtype"]),
]


@pytest.mark.parametrize(("layer", "sample", "words"), MUTANTS, ids=lambda value: type(value).__name__)
def test_mutant_is_killed(layer, sample, words):
    rng = np.random.default_rng(3)
    layer.build(sample, rng)
    report = check_gradients(layer, rng.standard_normal((7, *sample)))
    text = str(report)
    failures = text[text.index("FAILED") :]
    assert not report.passed
    for word in words:
        assert word in failures, text


def test_ones_are_blind_where_random_grad_output_sees():
    """With G = 1, <G, y> of a batch norm is 0 for every x: a backward of zeros then equals the numeric gradient."""
    rng = np.random.default_rng(0)
    layer, x, h = BatchNormZeros(), rng.standard_normal((8, 3)), 1e-5
    layer.build((3,), rng, dtype=np.float64)
    ones = np.ones_like(x)
    layer.forward(x, training=True)
    analytic = layer.backward(ones)
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[index] = h
        numeric[index] = (layer.forward(x + moved, True).sum() - layer.forward(x - moved, True).sum()) / (2 * h)
    np.testing.assert_allclose(analytic, numeric, atol=1e-9)  # the naive check passes
    assert not check_gradients(layer, x).passed


def test_default_grad_output_is_not_the_callers_random_input():
    """x and G from one seed would be equal, and x is a null vector of batch norm's backward: nearly as blind."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3))
    layer = BatchNorm()
    layer.build((3,), rng)
    check = check_gradients(layer, x).arrays[0]
    assert max(abs(entry.analytic) for entry in check.entries) > 0.1
