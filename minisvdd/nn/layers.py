"""Layers: state only (parameters, statistics, what backward needs); the arithmetic is in `minisvdd.ops`.

G stands for `grad_output` = dL/dy in all derivations.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from .. import ops
from ..backends.types import Shape
from ..ops.conv2d import conv2d_output_size
from ..ops.pooling import Margins, pool_margins
from ..validation import check_number
from .init import glorot_uniform
from .layer import Array, Layer, Size, as_count, as_pair, has_kernels, image_shape


class Linear(Layer):
    """Fully connected layer  y = x W^T (+ b).

    x: (N, D), weight: (K, D), bias: (K,), y: (N, K).

        dL/dx = G W          each y_k depends on x_d through W_kd
        dL/dW = G^T x        summed over the batch
        dL/db = sum_n G_n

    Bias-free by default: with a bias the network could learn the constant map to the centre (paper, Proposition 2).
    """

    is_analytic = True

    def __init__(self, out_features: int, bias: bool = False) -> None:
        super().__init__()
        self.out_features, self.bias = as_count(out_features, "out_features"), bias
        self.has_bias_like = bias

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Linear expects features (D,), got {input_shape}: put a Flatten() before it")
        (D,), K = input_shape, self.out_features
        self.params["weight"] = glorot_uniform(rng, (K, D), fan_in=D, fan_out=K, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K,)

    def forward(self, x: Array, training: bool = False) -> Array:
        y = ops.linear_forward.on(self.backend)(x, self.params["weight"])
        self._keep(x, training)
        return ops.bias_forward.on(self.backend)(y, self.params["bias"]) if self.bias else y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        x = self._take()
        if need_params:
            weight_gradient = ops.linear_backward_weight.on(self.backend)
            self.grads["weight"] = weight_gradient(grad_output, x, **self._out("weight"))
            if self.bias:
                self.grads["bias"] = ops.bias_backward.on(self.backend)(grad_output, **self._out("bias"))
        if need_input:
            return ops.linear_backward_input.on(self.backend)(grad_output, self.params["weight"])
        return None


class Conv2D(Layer):
    """Two-dimensional convolution  y = x * w (+ b), any kernel size, stride and padding.

    x: (N, C, H, W), weight: (K, C, kh, kw), bias: (K,), y: (N, K, H_out, W_out).
    `padding` is an integer, a pair, or "same" (output as large as the input; odd kernels, stride 1).

        y[n,k,i,j]    = sum_{c,a,b} w[k,c,a,b] x[n,c, s i + a - p, s j + b - p]
        dL/dw[k,c,a,b] = sum_{n,i,j} G[n,k,i,j] x[n,c, s i + a - p, s j + b - p]
        dL/dx          = G (spread by the stride, padded by k-1-p and for rows left over) convolved with flipped filters
        dL/db[k]       = sum_{n,i,j} G[n,k,i,j]

    Bias-free by default (paper, section 3.3). `minisvdd.ops.conv2d` derives the three lines.
    """

    is_analytic = True

    def __init__(
        self,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | Literal["same"] = 0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels, self.bias = as_count(out_channels, "out_channels"), bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = self._same_padding() if padding == "same" else as_pair(padding, "padding", 0)
        self.has_bias_like = bias

    def _same_padding(self) -> tuple[int, int]:
        if any(k % 2 == 0 for k in self.kernel_size) or self.stride != (1, 1):
            raise ValueError(
                f"padding='same' needs odd kernels and stride 1, got {self.kernel_size} and stride {self.stride}"
            )
        kh, kw = self.kernel_size
        return kh // 2, kw // 2

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        C, H, W = image_shape(input_shape, "Conv2D")
        K, (kh, kw) = self.out_channels, self.kernel_size
        output_size = conv2d_output_size((H, W), self.kernel_size, self.stride, self.padding)
        shape = (K, C, kh, kw)
        self.params["weight"] = glorot_uniform(rng, shape, fan_in=C * kh * kw, fan_out=K * kh * kw, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K, *output_size)

    def forward(self, x: Array, training: bool = False) -> Array:
        y = ops.conv2d_forward.on(self.backend)(x, self.params["weight"], self.stride, self.padding)
        self._keep(x, training)
        return ops.bias_forward.on(self.backend)(y, self.params["bias"]) if self.bias else y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        x, where = self._take(), (self.stride, self.padding)
        if need_params:
            weight_gradient = ops.conv2d_backward_weight.on(self.backend)
            self.grads["weight"] = weight_gradient(grad_output, x, self.kernel_size, *where, **self._out("weight"))
            if self.bias:
                self.grads["bias"] = ops.bias_backward.on(self.backend)(grad_output, **self._out("bias"))
        if need_input:
            input_gradient = ops.conv2d_backward_input.on(self.backend)
            return input_gradient(grad_output, self.params["weight"], x.shape[2:], *where)
        return None


class ConvTranspose2D(Layer):
    """Transposed convolution: the adjoint of `Conv2D`, which turns small images into larger ones.

    x: (N, C, H, W), weight: (C, K, kh, kw), y: (N, K, s (H-1) + k - 2 p + output_padding, ...).

    If A is the convolution from y's shape to x's with these filters, <A y, x> = <y, A^T x>, this layer is y = A^T x:

        y     = conv2d_backward_input(x)      the input gradient of A
        dL/dx = A G                           the adjoint of A^T is A
        dL/dw = conv2d_backward_weight with the roles exchanged: G is A's input, x its output gradient
    """

    is_analytic = True

    def __init__(
        self,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels, self.bias = as_count(out_channels, "out_channels"), bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        self.output_padding = as_pair(output_padding, "output_padding", 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.stride)):
            raise ValueError(f"output_padding={self.output_padding} must be smaller than stride={self.stride}")
        self.has_bias_like = bias

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        C, H, W = image_shape(input_shape, "ConvTranspose2D")
        K, (kh, kw) = self.out_channels, self.kernel_size
        output_size = self._output_size((H, W))
        if min(output_size) < 1:
            raise ValueError(f"ConvTranspose2D: padding={self.padding} leaves nothing of an input of size {(H, W)}")
        shape = (C, K, kh, kw)
        self.params["weight"] = glorot_uniform(rng, shape, fan_in=C * kh * kw, fan_out=K * kh * kw, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K, *output_size)

    def _output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        rows, columns = (
            s * (n - 1) + k - 2 * p + extra
            for n, k, s, p, extra in zip(size, self.kernel_size, self.stride, self.padding, self.output_padding)
        )
        return rows, columns

    def forward(self, x: Array, training: bool = False) -> Array:
        size = self._output_size(x.shape[2:])
        y = ops.conv2d_backward_input.on(self.backend)(x, self.params["weight"], size, self.stride, self.padding)
        self._keep(x, training)
        return ops.bias_forward.on(self.backend)(y, self.params["bias"]) if self.bias else y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        x, where = self._take(), (self.stride, self.padding)
        if need_params:
            weight_gradient = ops.conv2d_backward_weight.on(self.backend)
            self.grads["weight"] = weight_gradient(x, grad_output, self.kernel_size, *where, **self._out("weight"))
            if self.bias:
                self.grads["bias"] = ops.bias_backward.on(self.backend)(grad_output, **self._out("bias"))
        if need_input:
            return ops.conv2d_forward.on(self.backend)(grad_output, self.params["weight"], *where)
        return None


class BatchNorm(Layer):
    """Batch normalisation per channel, for features (N, C) and images (N, C, H, W); no trainable shift by default.

        x_hat = (x - mu) r,   r = 1 / sqrt(var + epsilon),   y = x_hat          (affine=True: y = weight x_hat + bias)
        dL/dx = r (g - mean(g) - x_hat mean(g x_hat)),       g = dL/dx_hat      (training)
        dL/dx = r g                                                             (frozen statistics)

    `forward(training=True)` normalises with the batch's own mean and (biased) variance and moves the running ones:
    running <- (1 - momentum) running + momentum batch, with the unbiased variance. `forward(training=False)` uses the
    running ones. affine=False is the paper's choice: the shift is a bias, which permits collapse (Proposition 2).
    """

    is_analytic = True

    def __init__(self, affine: bool = False, epsilon: float = 1e-4, momentum: float = 0.1) -> None:
        super().__init__()
        # Python floats: a NumPy scalar would promote float32 arrays to float64.
        self.affine, self.epsilon, self.momentum = affine, float(epsilon), float(momentum)
        self.has_bias_like = affine
        self._frozen = False

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        if len(input_shape) not in (1, 3):
            raise ValueError(f"BatchNorm expects features (C,) or images (C, H, W), got {input_shape}")
        C = input_shape[0]
        if self.affine:
            self.params.update(weight=np.ones(C, dtype), bias=np.zeros(C, dtype))
        self.buffers.update(running_mean=np.zeros(C, dtype), running_var=np.ones(C, dtype))
        return input_shape

    def freeze_statistics(self, frozen: bool = True) -> None:
        self._frozen = frozen

    def uses_batch(self, training: bool) -> bool:
        """Whether forward normalises with the batch's own statistics."""
        return training and not self._frozen

    def forward(self, x: Array, training: bool = False) -> Array:
        use_batch = self.uses_batch(training)
        if use_batch:
            self.check_batch(x.shape)
            normalize = ops.batchnorm_forward_batch.on(self.backend)
            x_hat, scale, mean, variance = normalize(x, self.epsilon, **self.running())
            self.move_running(mean, variance, x.shape)
        else:
            mean, variance = self.buffers.values()
            x_hat, scale = ops.batchnorm_forward.on(self.backend)(x, mean, variance, self.epsilon)
        self._keep((x_hat, scale, use_batch), training)
        if not self.affine:
            return x_hat
        return ops.affine_forward.on(self.backend)(x_hat, self.params["weight"], self.params["bias"])

    def check_batch(self, shape: Shape) -> None:
        """ValueError when an input of that shape has but one value per channel."""
        if math.prod(shape) // shape[1] < 2:
            raise ValueError(
                f"BatchNorm cannot train on a batch of one value per channel, got input {tuple(shape)}: "
                "use a larger batch or freeze_statistics()"
            )

    def running(self) -> dict[str, Any]:
        """The argument `running` of a launch that moves the running statistics as it finishes those of the batch."""
        return {"running": (*self.buffers.values(), self.momentum)} if has_kernels(self.backend) else {}

    def move_running(self, mean: Array, variance: Array, shape: Shape) -> None:
        """Move the running statistics towards those of a batch of that shape, unless a launch has done so."""
        if has_kernels(self.backend):
            return
        count = math.prod(shape) // shape[1]
        update = ops.running_update.on(self.backend)
        update(self.buffers["running_mean"], mean, self.momentum)
        update(self.buffers["running_var"], variance, self.momentum, count / (count - 1))

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        x_hat, scale, used_batch = self._take()
        if self.affine:
            affine_gradients = ops.affine_backward.on(self.backend)(grad_output, x_hat, self.params["weight"])
            grad_output, grad_weight, grad_bias = affine_gradients
            if need_params:
                self.grads.update(weight=grad_weight, bias=grad_bias)
        if not need_input:
            return None
        if used_batch:
            return ops.batchnorm_backward.on(self.backend)(grad_output, x_hat, scale)
        return ops.batchnorm_backward_fixed.on(self.backend)(grad_output, scale)


class LeakyReLU(Layer):
    """y = x where x > 0, slope x elsewhere;  dL/dx = G where x > 0, slope G elsewhere (at 0: slope).

    Unbounded on both sides for slope > 0, so it cannot be saturated into a bias (paper, Proposition 3).
    """

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        check_number(slope, "slope", 0, 1)
        self.slope = float(slope)  # a NumPy scalar would promote float32 arrays to float64

    def forward(self, x: Array, training: bool = False) -> Array:
        if training:
            positive = ops.is_positive.on(self.backend)(x)
            self._keep(positive, training, pattern=positive)
        return ops.leaky_relu_forward.on(self.backend)(x, self.slope)

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        return ops.leaky_relu_backward.on(self.backend)(grad_output, self._take(), self.slope)


class ReLU(LeakyReLU):
    """y = max(x, 0): the leaky ReLU of slope 0. Its infimum is 0, which Proposition 3 permits."""

    output_range = (0.0, np.inf)

    def __init__(self) -> None:
        super().__init__(slope=0.0)


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x));  dL/dx = G y (1 - y), because y' = exp(-x) / (1 + exp(-x))^2.

    Bounded: saturated at 1 it is a bias (paper, Proposition 3). Made for outputs in [0, 1], such as a decoder's.
    """

    is_analytic = True
    is_bounded = True
    output_range = (0.0, 1.0)

    def forward(self, x: Array, training: bool = False) -> Array:
        y = ops.sigmoid_forward.on(self.backend)(x)
        self._keep(y, training)
        return y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        return ops.sigmoid_backward.on(self.backend)(grad_output, self._take())


class Tanh(Layer):
    """y = tanh(x);  dL/dx = G (1 - y^2). Bounded: saturated at +-1 it is a bias (paper, Proposition 3)."""

    is_analytic = True
    is_bounded = True
    output_range = (-1.0, 1.0)

    def forward(self, x: Array, training: bool = False) -> Array:
        y = ops.tanh_forward.on(self.backend)(x)
        self._keep(y, training)
        return y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        return ops.tanh_backward.on(self.backend)(grad_output, self._take())


_NO_BORDER = ((0, 0), (0, 0))


class MaxPool2D(Layer):
    """Maximum over windows of each channel; rows and columns that fill no whole window are dropped.

        y[n,c,i,j] = max_{a,b} x[n,c, s i + a - p, s j + b - p]     (over what lies inside of x)
        dL/dx      = each G goes to the entry that won its window, the first one in reading order where several tie

    `stride` defaults to the kernel size (windows side by side). `padding` p, at most half the kernel, lets windows
    reach over the edge; with `ceil_mode` a last window may do so that starts inside, and no row or column is dropped
    for want of a whole one.
    """

    output_range = "input"

    def __init__(
        self, kernel_size: Size = 2, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else as_pair(stride, "stride", 1)
        self.padding, self.ceil_mode = as_pair(padding, "padding", 0), bool(ceil_mode)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise ValueError(f"padding={padding!r}: expected at most half of kernel_size={self.kernel_size}")

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        C, *size = image_shape(input_shape, "MaxPool2D")
        padded = [n + sum(margins) for n, margins in zip(size, self._margins(input_shape))]
        return (C, *((n - k) // s + 1 for n, k, s in zip(padded, self.kernel_size, self.stride)))

    def _margins(self, shape: Shape) -> Margins:
        return pool_margins((shape[-2], shape[-1]), self.kernel_size, self.stride, self.padding, self.ceil_mode)

    def forward(self, x: Array, training: bool = False) -> Array:
        margins = self._margins(x.shape)
        if margins != _NO_BORDER:
            x = ops.pad_forward.on(self.backend)(x, margins)
        y, winner = ops.maxpool_forward.on(self.backend)(x, self.kernel_size, self.stride)
        self._keep((winner, x.shape, margins), training, pattern=winner)
        return y

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        winner, shape, margins = self._take()
        grad = ops.maxpool_backward.on(self.backend)(grad_output, winner, shape, self.kernel_size, self.stride)
        return grad if margins == _NO_BORDER else ops.pad_backward.on(self.backend)(grad, margins)


class Upsample(Layer):
    """Nearest-neighbour up-sampling: each pixel becomes a block of scale x scale copies.

    y[n,c,i,j] = x[n,c, i // s, j // s];    dL/dx = sum of G over each block of copies
    """

    is_analytic = True
    output_range = "input"

    def __init__(self, scale: Size = 2) -> None:
        super().__init__()
        self.scale = as_pair(scale, "scale", 1)

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        C, H, W = image_shape(input_shape, "Upsample")
        return (C, H * self.scale[0], W * self.scale[1])

    def forward(self, x: Array, training: bool = False) -> Array:
        self._keep(x.shape, training)
        return ops.upsample_forward.on(self.backend)(x, self.scale)

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        self._take()
        return ops.upsample_backward.on(self.backend)(grad_output, self.scale)


class Reshape(Layer):
    """Give every sample another shape: (N, *old) -> (N, *shape); backward is the way back. One entry may be -1."""

    is_analytic = True
    output_range = "input"

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = tuple(map(int, shape))

    def _build(self, input_shape: Shape, rng: np.random.Generator | None, dtype: DTypeLike) -> Shape:
        try:
            return np.broadcast_to(0, input_shape).reshape(self.shape).shape  # a view: takes no memory
        except ValueError:
            raise ValueError(f"{type(self).__name__}: cannot turn samples {input_shape} into {self.shape}") from None

    def forward(self, x: Array, training: bool = False) -> Array:
        self._keep(x.shape, training)
        return x.reshape(len(x), *self.shape)

    def backward(self, grad_output: Array, need_input: bool = True, need_params: bool = True) -> Array:
        return grad_output.reshape(self._take())


class Flatten(Reshape):
    """(N, C, H, W) -> (N, C H W): between the last convolution and the dense layer."""

    def __init__(self) -> None:
        super().__init__((-1,))
