"""Layers: state only (parameters, statistics, what backward needs); the arithmetic is in `minisvdd.ops`.

The contract of every layer:

* `build(input_shape, rng)` infers shapes and draws the parameters; `input_shape` is one sample's: (C, H, W) or (D,);
* `forward(x, training=False)` returns y and leaves x alone; it keeps what backward needs only when `training`;
* `backward(grad_output)` takes dL/dy of the last forward(training=True), writes `grads` (never adds), returns dL/dx;
* `params`, `grads`, `buffers` are dicts of arrays under the same names that PyTorch uses.

G stands for `grad_output` = dL/dy in all derivations.
"""

import inspect

import numpy as np

from ..backends import NUMPY, get_backend
from ..ops import activations, batchnorm, conv2d, linear, pooling, upsample
from ..ops.layout import as_count, as_pair
from .init import glorot_uniform


class Layer:
    """Base class. A layer of your own overrides `_build`, `forward` and `backward`.

    Attributes
    ----------
    params, grads, buffers: dicts of arrays: trained, dL/d(params), and saved but not trained.
    has_bias_like: the layer can put a trainable constant into its output (paper, Proposition 2).
    is_bounded: its output has a finite, non-zero supremum or infimum (Proposition 3).
    is_analytic: it extends to complex numbers, so that the complex-step derivative applies.
    """

    has_bias_like = False
    is_bounded = False
    is_analytic = True

    def __init__(self):
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self.grad_slots: dict[str, np.ndarray] = {}  # where kernels write gradients; none: into new arrays
        self.buffers: dict[str, np.ndarray] = {}
        self.backend = NUMPY
        self.is_built = False
        self._saved = None
        self._pattern = None

    def build(self, input_shape, rng=None, dtype=np.float32, backend=NUMPY) -> tuple[int, ...]:
        """Draw the parameters for samples of `input_shape`; returns the shape of one output sample.

        rng: numpy.random.Generator. Raises ValueError when the layer cannot work on this shape.
        """
        self.backend = get_backend(backend)
        output_shape = self._build(tuple(input_shape), rng, dtype)
        for arrays in (self.params, self.buffers):
            arrays.update({name: self.backend.asarray(array) for name, array in arrays.items()})
        self.is_built = True
        return output_shape

    def _build(self, input_shape, rng, dtype):
        return input_shape

    def forward(self, x, training=False):
        """Return y = f(x); with `training`, keep what `backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, grad_output):
        """Write dL/d(params) into `grads`, return dL/dx. RuntimeError without a fresh forward(training=True)."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def backward_params(self, grad_output) -> None:
        """`backward` for the first layer of a network, whose dL/dx nobody asks for."""
        self.backward(grad_output)

    def backward_input(self, grad_output):
        """dL/dx like `backward`, for a network that is not to be trained: layers that save work thereby override it."""
        return self.backward(grad_output)

    def backward_deferred(self, grad_output, deferred, is_first=False):
        """`backward` (of the first layer: `backward_params`) whose `grads` may be incomplete until `deferred` ends."""
        return self.backward_params(grad_output) if is_first else self.backward(grad_output)

    def astype(self, dtype) -> "Layer":
        """Cast parameters and buffers (float64 for gradient checks); returns the layer itself."""
        for arrays in (self.params, self.buffers):
            for name, array in arrays.items():
                arrays[name] = array.astype(dtype)
        self.grads.clear()
        self.grad_slots.clear()
        return self

    def freeze_statistics(self, frozen=True) -> None:
        """Use running statistics as constants, in forward(training=True) too (batch norm); no effect elsewhere."""

    def kink_pattern(self):
        """Which linear piece every entry took in the last forward(training=True), or None for smooth layers."""
        return self._pattern

    def config(self) -> dict:
        """Constructor arguments, as plain JSON values: what a saved model needs to build the layer again."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"

    def _out(self, name):
        """The argument `out` of an operation that computes this gradient, where the gradient has a fixed place."""
        return {"out": self.grad_slots[name]} if name in self.grad_slots else {}

    def _keep(self, value, training):
        self._saved = (value,) if training else None

    def _take(self):
        """What forward kept; handed out once, so that backward never works on a stale pass."""
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}: backward before forward(training=True)")
        (value,), self._saved = self._saved, None
        return value


class Linear(Layer):
    """Fully connected layer  y = x W^T (+ b).

    x: (N, D), weight: (K, D), bias: (K,), y: (N, K).

        dL/dx = G W          each y_k depends on x_d through W_kd
        dL/dW = G^T x        summed over the batch
        dL/db = sum_n G_n

    Bias-free by default: with a bias the network could learn the constant map to the centre (paper, Proposition 2).
    """

    def __init__(self, out_features: int, bias: bool = False):
        super().__init__()
        self.out_features, self.bias = as_count(out_features, "out_features"), bias
        self.has_bias_like = bias

    def _build(self, input_shape, rng, dtype):
        if len(input_shape) != 1:
            raise ValueError(f"Linear expects features (D,), got {input_shape}: put a Flatten() before it")
        (D,), K = input_shape, self.out_features
        self.params["weight"] = glorot_uniform(rng, (K, D), fan_in=D, fan_out=K, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K,)

    def forward(self, x, training=False):
        self._keep(x, training)
        y = linear.linear_forward(self.backend, x, self.params["weight"])
        return linear.bias_forward(self.backend, y, self.params["bias"]) if self.bias else y

    def backward_params(self, grad_output):
        self.grads["weight"] = linear.linear_backward_weight(
            self.backend, grad_output, self._take(), **self._out("weight")
        )
        if self.bias:
            self.grads["bias"] = linear.bias_backward(self.backend, grad_output, **self._out("bias"))

    def backward(self, grad_output):
        self.backward_params(grad_output)
        return self._grad_input(grad_output)

    def backward_input(self, grad_output):
        self._take()
        return self._grad_input(grad_output)

    def _grad_input(self, grad_output):
        return linear.linear_backward_input(self.backend, grad_output, self.params["weight"])


class Conv2D(Layer):
    """Two-dimensional convolution  y = x * w (+ b), any kernel size, stride and padding.

    x: (N, C, H, W), weight: (K, C, kh, kw), bias: (K,), y: (N, K, H_out, W_out).
    `padding` is an integer, a pair, or "same" (output as large as the input; odd kernels, stride 1).

        y[n,k,i,j]    = sum_{c,a,b} w[k,c,a,b] x[n,c, s i + a - p, s j + b - p]
        dL/dw[k,c,a,b] = sum_{n,i,j} G[n,k,i,j] x[n,c, s i + a - p, s j + b - p]
        dL/dx          = G (spread by the stride, padded by k-1-p) convolved with the flipped filters
        dL/db[k]       = sum_{n,i,j} G[n,k,i,j]

    Bias-free by default (paper, section 3.3). `minisvdd.ops.conv2d` derives the three lines.
    """

    def __init__(self, out_channels: int, kernel_size, stride=1, padding=0, bias: bool = False):
        super().__init__()
        self.out_channels, self.bias = as_count(out_channels, "out_channels"), bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = self._same_padding() if padding == "same" else as_pair(padding, "padding", 0)
        self.has_bias_like = bias

    def _same_padding(self):
        if any(k % 2 == 0 for k in self.kernel_size) or self.stride != (1, 1):
            raise ValueError(
                f"padding='same' needs odd kernels and stride 1, got {self.kernel_size} and stride {self.stride}"
            )
        return tuple(k // 2 for k in self.kernel_size)

    def _build(self, input_shape, rng, dtype):
        C, *size = _image_shape(input_shape, "Conv2D")
        K, (kh, kw) = self.out_channels, self.kernel_size
        output_size = conv2d.conv2d_output_size(size, self.kernel_size, self.stride, self.padding)
        shape = (K, C, kh, kw)
        self.params["weight"] = glorot_uniform(rng, shape, fan_in=C * kh * kw, fan_out=K * kh * kw, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K, *output_size)

    def forward(self, x, training=False):
        self._keep(x, training)
        y = conv2d.conv2d_forward(self.backend, x, self.params["weight"], self.stride, self.padding)
        return linear.bias_forward(self.backend, y, self.params["bias"]) if self.bias else y

    def backward_params(self, grad_output):
        self.write_grads(grad_output, self._take())

    def backward(self, grad_output):
        x = self._take()
        self.write_grads(grad_output, x)
        return self.grad_input(grad_output, x.shape[2:])

    def backward_input(self, grad_output):
        return self.grad_input(grad_output, self._take().shape[2:])

    def grad_input(self, grad_output, input_size):
        """dL/dx of images of `input_size`, for `backward` and for a fused module."""
        return conv2d.conv2d_backward_input(
            self.backend, grad_output, self.params["weight"], input_size, self.stride, self.padding
        )

    def backward_deferred(self, grad_output, deferred, is_first=False):
        if type(self) is not Conv2D:  # a layer derived from this one may want its gradients at once
            return super().backward_deferred(grad_output, deferred, is_first)
        x = self._take()
        self.write_grads(grad_output, x, deferred)
        return None if is_first else self.grad_input(grad_output, x.shape[2:])

    def write_grads(self, grad_output, x, deferred=None):
        """Write dL/d(params) for the input x."""
        where = self.kernel_size, self.stride, self.padding
        self.grads["weight"] = conv2d.conv2d_backward_weight(
            self.backend, grad_output, x, *where, **self._out("weight"), deferred=deferred
        )
        if self.bias:
            self.grads["bias"] = linear.bias_backward(self.backend, grad_output, **self._out("bias"))


class ConvTranspose2D(Layer):
    """Transposed convolution: the adjoint of `Conv2D`, which turns small images into larger ones.

    x: (N, C, H, W), weight: (C, K, kh, kw), y: (N, K, s (H-1) + k - 2 p + output_padding, ...).

    If A is the convolution from y's shape to x's with these filters, <A y, x> = <y, A^T x>, this layer is y = A^T x:

        y     = conv2d_backward_input(x)      the input gradient of A
        dL/dx = A G                           the adjoint of A^T is A
        dL/dw = conv2d_backward_weight with the roles exchanged: G is A's input, x its output gradient
    """

    def __init__(self, out_channels: int, kernel_size, stride=1, padding=0, output_padding=0, bias: bool = False):
        super().__init__()
        self.out_channels, self.bias = as_count(out_channels, "out_channels"), bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        self.output_padding = as_pair(output_padding, "output_padding", 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.stride)):
            raise ValueError(f"output_padding={self.output_padding} must be smaller than stride={self.stride}")
        self.has_bias_like = bias

    def _build(self, input_shape, rng, dtype):
        C, *size = _image_shape(input_shape, "ConvTranspose2D")
        K, (kh, kw) = self.out_channels, self.kernel_size
        output_size = self._output_size(size)
        if min(output_size) < 1:
            raise ValueError(
                f"ConvTranspose2D: padding={self.padding} leaves nothing of an input of size {tuple(size)}"
            )
        shape = (C, K, kh, kw)
        self.params["weight"] = glorot_uniform(rng, shape, fan_in=C * kh * kw, fan_out=K * kh * kw, dtype=dtype)
        if self.bias:
            self.params["bias"] = np.zeros(K, dtype)
        return (K, *output_size)

    def _output_size(self, size):
        return tuple(
            s * (n - 1) + k - 2 * p + extra
            for n, k, s, p, extra in zip(size, self.kernel_size, self.stride, self.padding, self.output_padding)
        )

    def forward(self, x, training=False):
        self._keep(x, training)
        y = conv2d.conv2d_backward_input(
            self.backend, x, self.params["weight"], self._output_size(x.shape[2:]), self.stride, self.padding
        )
        return linear.bias_forward(self.backend, y, self.params["bias"]) if self.bias else y

    def backward(self, grad_output):
        self.grads["weight"] = conv2d.conv2d_backward_weight(
            self.backend, self._take(), grad_output, self.kernel_size, self.stride, self.padding, **self._out("weight")
        )
        if self.bias:
            self.grads["bias"] = linear.bias_backward(self.backend, grad_output, **self._out("bias"))
        return self._grad_input(grad_output)

    def backward_input(self, grad_output):
        self._take()
        return self._grad_input(grad_output)

    def _grad_input(self, grad_output):
        return conv2d.conv2d_forward(self.backend, grad_output, self.params["weight"], self.stride, self.padding)


class BatchNorm(Layer):
    """Batch normalisation per channel, for features (N, C) and images (N, C, H, W); no trainable shift by default.

        x_hat = (x - mu) r,   r = 1 / sqrt(var + epsilon),   y = x_hat          (affine=True: y = weight x_hat + bias)
        dL/dx = r (g - mean(g) - x_hat mean(g x_hat)),       g = dL/dx_hat      (training)
        dL/dx = r g                                                             (frozen statistics)

    `forward(training=True)` normalises with the batch's own mean and (biased) variance and moves the running ones:
    running <- (1 - momentum) running + momentum batch, with the unbiased variance. `forward(training=False)` uses the
    running ones. affine=False is the paper's choice: the shift is a bias, which permits collapse (Proposition 2).
    """

    def __init__(self, affine: bool = False, epsilon: float = 1e-4, momentum: float = 0.1):
        super().__init__()
        # Python floats: a NumPy scalar would promote float32 arrays to float64.
        self.affine, self.epsilon, self.momentum = affine, float(epsilon), float(momentum)
        self.has_bias_like = affine
        self._frozen = False

    def _build(self, input_shape, rng, dtype):
        if len(input_shape) not in (1, 3):
            raise ValueError(f"BatchNorm expects features (C,) or images (C, H, W), got {input_shape}")
        C = input_shape[0]
        if self.affine:
            self.params.update(weight=np.ones(C, dtype), bias=np.zeros(C, dtype))
        self.buffers.update(running_mean=np.zeros(C, dtype), running_var=np.ones(C, dtype))
        return input_shape

    def freeze_statistics(self, frozen=True):
        self._frozen = frozen

    def uses_batch(self, training) -> bool:
        """Whether forward normalises with the batch's own statistics."""
        return training and not self._frozen

    def forward(self, x, training=False):
        use_batch = self.uses_batch(training)
        if use_batch:
            self.check_batch(x)
            x_hat, scale, mean, variance = batchnorm.batchnorm_forward_batch(self.backend, x, self.epsilon)
            self.move_running(mean, variance, x.shape)
        else:
            x_hat, scale = batchnorm.batchnorm_forward(self.backend, x, *self.buffers.values(), self.epsilon)
        self._keep((x_hat, scale, use_batch), training)
        if not self.affine:
            return x_hat
        return batchnorm.affine_forward(self.backend, x_hat, self.params["weight"], self.params["bias"])

    def check_batch(self, x) -> None:
        """ValueError when there is but one value per channel."""
        if x.size // x.shape[1] < 2:
            raise ValueError(
                f"BatchNorm cannot train on a batch of one value per channel, got input {tuple(x.shape)}: "
                "use a larger batch or freeze_statistics()"
            )

    def move_running(self, mean, variance, shape) -> None:
        """Move the running statistics towards those of a batch of that shape."""
        count = int(np.prod(shape)) // shape[1]
        for name, value, factor in (("running_mean", mean, 1.0), ("running_var", variance, count / (count - 1))):
            self.buffers[name] = batchnorm.running_update(
                self.backend, self.buffers[name], value, self.momentum, factor
            )

    def backward(self, grad_output):
        x_hat, scale, used_batch = self._take()
        if self.affine:
            grad_output, self.grads["weight"], self.grads["bias"] = batchnorm.affine_backward(
                self.backend, grad_output, x_hat, self.params["weight"]
            )
        if used_batch:
            return batchnorm.batchnorm_backward(self.backend, grad_output, x_hat, scale)
        return batchnorm.batchnorm_backward_fixed(self.backend, grad_output, scale)


class LeakyReLU(Layer):
    """y = x where x > 0, slope x elsewhere;  dL/dx = G where x > 0, slope G elsewhere (at 0: slope).

    Unbounded on both sides for slope > 0, so it cannot be saturated into a bias (paper, Proposition 3).
    """

    is_analytic = False

    def __init__(self, slope: float = 0.1):
        super().__init__()
        if not 0 <= slope <= 1:
            raise ValueError(f"slope={slope!r}: expected a number in [0, 1]")
        self.slope = float(slope)  # a NumPy scalar would promote float32 arrays to float64

    def forward(self, x, training=False):
        positive = activations.is_positive(self.backend, x) if training else None
        self._keep(positive, training)
        self._pattern = positive
        return activations.leaky_relu_forward(self.backend, x, self.slope)

    def backward(self, grad_output):
        return activations.leaky_relu_backward(self.backend, grad_output, self._take(), self.slope)


class ReLU(LeakyReLU):
    """y = max(x, 0): the leaky ReLU of slope 0. Its infimum is 0, which Proposition 3 permits."""

    def __init__(self):
        super().__init__(slope=0.0)


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x));  dL/dx = G y (1 - y), because y' = exp(-x) / (1 + exp(-x))^2.

    Bounded: saturated at 1 it is a bias (paper, Proposition 3). Made for outputs in [0, 1], such as a decoder's.
    """

    is_bounded = True

    def forward(self, x, training=False):
        y = activations.sigmoid_forward(self.backend, x)
        self._keep(y, training)
        return y

    def backward(self, grad_output):
        return activations.sigmoid_backward(self.backend, grad_output, self._take())


class Tanh(Layer):
    """y = tanh(x);  dL/dx = G (1 - y^2). Bounded: saturated at +-1 it is a bias (paper, Proposition 3)."""

    is_bounded = True

    def forward(self, x, training=False):
        y = activations.tanh_forward(self.backend, x)
        self._keep(y, training)
        return y

    def backward(self, grad_output):
        return activations.tanh_backward(self.backend, grad_output, self._take())


class MaxPool2D(Layer):
    """Maximum over windows of each channel; rows and columns that fill no whole window are dropped.

        y[n,c,i,j] = max_{a,b} x[n,c, s i + a, s j + b]
        dL/dx      = each G goes to the entry that won its window, the first one in reading order where several tie

    `stride` defaults to the kernel size (windows side by side).
    """

    is_analytic = False

    def __init__(self, kernel_size=2, stride=None):
        super().__init__()
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else as_pair(stride, "stride", 1)

    def _build(self, input_shape, rng, dtype):
        C, *size = _image_shape(input_shape, "MaxPool2D")
        return (C, *conv2d.conv2d_output_size(size, self.kernel_size, self.stride, (0, 0)))

    def forward(self, x, training=False):
        if not training:
            self._saved = self._pattern = None
            return pooling.maxpool_evaluate(self.backend, x, self.kernel_size, self.stride)
        y, winner = pooling.maxpool_forward(self.backend, x, self.kernel_size, self.stride)
        self._keep((winner, x.shape), training)
        self._pattern = winner
        return y

    def backward(self, grad_output):
        winner, input_shape = self._take()
        return pooling.maxpool_backward(self.backend, grad_output, winner, input_shape, self.kernel_size, self.stride)


class Upsample(Layer):
    """Nearest-neighbour up-sampling: each pixel becomes a block of scale x scale copies.

    y[n,c,i,j] = x[n,c, i // s, j // s];    dL/dx = sum of G over each block of copies
    """

    def __init__(self, scale=2):
        super().__init__()
        self.scale = as_pair(scale, "scale", 1)

    def _build(self, input_shape, rng, dtype):
        C, H, W = _image_shape(input_shape, "Upsample")
        return (C, H * self.scale[0], W * self.scale[1])

    def forward(self, x, training=False):
        self._keep(x.shape, training)
        return upsample.upsample_forward(self.backend, x, self.scale)

    def backward(self, grad_output):
        self._take()
        return upsample.upsample_backward(self.backend, grad_output, self.scale)


class Reshape(Layer):
    """Give every sample another shape: (N, *old) -> (N, *shape); backward is the way back. One entry may be -1."""

    def __init__(self, shape):
        super().__init__()
        self.shape = tuple(map(int, shape))

    def _build(self, input_shape, rng, dtype):
        try:
            return np.broadcast_to(0, input_shape).reshape(self.shape).shape  # a view: takes no memory
        except ValueError:
            raise ValueError(f"{type(self).__name__}: cannot turn samples {input_shape} into {self.shape}") from None

    def forward(self, x, training=False):
        self._keep(x.shape, training)
        return x.reshape(len(x), *self.shape)

    def backward(self, grad_output):
        return grad_output.reshape(self._take())


class Flatten(Reshape):
    """(N, C, H, W) -> (N, C H W): between the last convolution and the dense layer."""

    def __init__(self):
        super().__init__((-1,))


def _image_shape(input_shape, name):
    if len(input_shape) != 3:
        raise ValueError(f"{name} expects images (C, H, W), got samples of shape {input_shape}")
    return input_shape
