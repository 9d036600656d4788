"""Plain-loop readings of the operations: slow, and obvious. They are what the fast lines are compared with."""

import numpy as np

# (N, C, H, W), filters K, kernel, stride, padding: odd sizes, one channel, batch of one, uneven everything,
# stride beyond the kernel, padding beyond the kernel, kernel as large as the padded input, rows that no window reaches.
CONV_CASES = [
    ((2, 3, 7, 6), 4, (3, 3), (1, 1), (0, 0)),
    ((3, 1, 5, 5), 2, (5, 5), (1, 1), (2, 2)),
    ((1, 1, 4, 4), 1, (1, 1), (1, 1), (0, 0)),
    ((1, 2, 7, 5), 3, (3, 2), (2, 1), (0, 2)),
    ((2, 2, 8, 9), 3, (2, 3), (3, 4), (1, 0)),
    ((2, 1, 3, 4), 2, (1, 2), (2, 2), (3, 2)),
    ((2, 2, 3, 4), 2, (5, 6), (1, 1), (1, 1)),
    ((2, 2, 6, 6), 2, (3, 3), (2, 2), (1, 1)),
    ((1, 1, 1, 1), 1, (1, 1), (15, 15), (5, 5)),
]

POOL_CASES = [
    # (N, C, H, W), kernel, stride
    ((2, 3, 6, 8), (2, 2), (2, 2)),
    ((1, 1, 7, 5), (2, 2), (2, 2)),
    ((2, 2, 7, 6), (3, 2), (2, 1)),
    ((2, 1, 8, 9), (2, 1), (3, 4)),
    ((1, 2, 3, 3), (3, 3), (1, 1)),
    ((2, 1, 3, 4), (1, 1), (1, 1)),
]


def tolerance(dtype):
    """Relative and absolute tolerance for sums of some hundred numbers of size 1."""
    return {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}


def draw(rng, shape, dtype=np.float64):
    """Standard normal numbers."""
    return rng.standard_normal(shape).astype(dtype)


def scattered(array):
    """The same numbers in an array that is contiguous in no order."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    view = wide[..., ::2]
    assert view.size < 2 or not view.flags.c_contiguous
    return view


def _pairs(x_shape, weight_shape, out_size, stride, padding):
    """All (n, k, i, j, c, a, b, u, v): output, filter tap and the input pixel (u, v) inside the image they meet at."""
    N, C, H, W = x_shape
    K, _, kh, kw = weight_shape
    for n, k, i, j, c, a, b in np.ndindex(N, K, *out_size, C, kh, kw):
        u, v = stride[0] * i + a - padding[0], stride[1] * j + b - padding[1]
        if 0 <= u < H and 0 <= v < W:
            yield n, k, i, j, c, a, b, u, v


def conv2d_output_size(size, kernel_size, stride, padding):
    """Count the places where the kernel fits, one by one."""
    return tuple(len(range(0, n + 2 * p - k + 1, s)) for n, k, s, p in zip(size, kernel_size, stride, padding))


def conv2d_forward(x, weight, stride, padding):
    """y[n,k,i,j] = sum w[k,c,a,b] x[n,c,u,v]."""
    out_size = conv2d_output_size(x.shape[2:], weight.shape[2:], stride, padding)
    y = np.zeros((len(x), len(weight), *out_size))
    for n, k, i, j, c, a, b, u, v in _pairs(x.shape, weight.shape, out_size, stride, padding):
        y[n, k, i, j] += weight[k, c, a, b] * x[n, c, u, v]
    return y


def conv2d_backward(grad_output, x, weight, stride, padding):
    """(dL/dx, dL/dw): each product w x in the forward pass sends G w to x and G x to w."""
    grad_x, grad_weight = np.zeros(x.shape), np.zeros(weight.shape)
    for n, k, i, j, c, a, b, u, v in _pairs(x.shape, weight.shape, grad_output.shape[2:], stride, padding):
        grad_x[n, c, u, v] += grad_output[n, k, i, j] * weight[k, c, a, b]
        grad_weight[k, c, a, b] += grad_output[n, k, i, j] * x[n, c, u, v]
    return grad_x, grad_weight


def conv_transpose_forward(x, weight, stride, padding, output_padding):
    """Every pixel of x stamps the filter, times its value, onto the output. weight: (C, K, kh, kw)."""
    N, C, H, W = x.shape
    _, K, kh, kw = weight.shape
    size = [s * (n - 1) + k - 2 * p + e for n, k, s, p, e in zip((H, W), (kh, kw), stride, padding, output_padding)]
    y = np.zeros((N, K, *size))
    for n, c, i, j, k, a, b in np.ndindex(N, C, H, W, K, kh, kw):
        u, v = stride[0] * i + a - padding[0], stride[1] * j + b - padding[1]
        if 0 <= u < size[0] and 0 <= v < size[1]:
            y[n, k, u, v] += x[n, c, i, j] * weight[c, k, a, b]
    return y


def maxpool(x, grad_output, kernel_size, stride):
    """(y, dL/dx): the first maximum of each window in reading order takes its gradient."""
    (kh, kw), (sh, sw) = kernel_size, stride
    N, C = x.shape[:2]
    size = conv2d_output_size(x.shape[2:], kernel_size, stride, (0, 0))
    y, grad_x = np.zeros((N, C, *size)), np.zeros(x.shape)
    for n, c, i, j in np.ndindex(N, C, *size):
        window = x[n, c, sh * i : sh * i + kh, sw * j : sw * j + kw]
        a, b = divmod(int(window.argmax()), kw)
        y[n, c, i, j] = window[a, b]
        grad_x[n, c, sh * i + a, sw * j + b] += grad_output[n, c, i, j]
    return y, grad_x


def padded_maxpool(x, grad_output, kernel_size, stride, padding, ceil_mode):
    """The same, where windows may reach over the edge: what lies outside takes part in nothing."""
    (kh, kw), (sh, sw), (ph, pw), (H, W) = kernel_size, stride, padding, x.shape[2:]
    y, grad_x = np.zeros(grad_output.shape), np.zeros(x.shape)
    for n, c, i, j in np.ndindex(grad_output.shape):
        top, left = sh * i - ph, sw * j - pw
        rows, columns = range(max(0, top), min(H, top + kh)), range(max(0, left), min(W, left + kw))
        assert ceil_mode or (top + kh <= H + ph and left + kw <= W + pw)
        values = [(x[n, c, u, v], -u, -v) for u in rows for v in columns]
        y[n, c, i, j], u, v = max(values)
        grad_x[n, c, -u, -v] += grad_output[n, c, i, j]
    return y, grad_x


def batchnorm(x, grad_output, epsilon):
    """(y, dL/dx) one channel at a time, the gradient as G times the full Jacobian dy_i/dx_j."""
    y, grad_x = np.zeros(x.shape), np.zeros(x.shape)
    for c in range(x.shape[1]):
        values, g = x[:, c].ravel(), grad_output[:, c].ravel()
        m, mean = len(values), sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / m
        r = 1 / np.sqrt(variance + epsilon)
        x_hat = (values - mean) * r
        jacobian = [[r * ((i == j) - 1 / m - x_hat[i] * x_hat[j] / m) for j in range(m)] for i in range(m)]
        y[:, c] = x_hat.reshape(x[:, c].shape)
        grad_x[:, c] = (g @ np.array(jacobian)).reshape(x[:, c].shape)
    return y, grad_x


def upsample(x, grad_output, scale):
    """(y, dL/dx), pixel by pixel."""
    N, C, H, W = x.shape
    y, grad_x = np.zeros((N, C, H * scale[0], W * scale[1])), np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*y.shape):
        y[n, c, i, j] = x[n, c, i // scale[0], j // scale[1]]
        grad_x[n, c, i // scale[0], j // scale[1]] += grad_output[n, c, i, j]
    return y, grad_x


class Adam:
    """Kingma & Ba (2015), algorithm 1, one number at a time."""

    def __init__(self, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0):
        self.learning_rate, self.beta1, self.beta2 = learning_rate, beta1, beta2
        self.epsilon, self.weight_decay, self.t, self.m, self.v = epsilon, weight_decay, 0, {}, {}

    def step(self, values, grads):
        """The new values, as a list."""
        self.t += 1
        new = []
        for i, (w, g) in enumerate(zip(values, grads)):
            g = g + self.weight_decay * w
            self.m[i] = self.beta1 * self.m.get(i, 0.0) + (1 - self.beta1) * g
            self.v[i] = self.beta2 * self.v.get(i, 0.0) + (1 - self.beta2) * g**2
            m_hat, v_hat = self.m[i] / (1 - self.beta1**self.t), self.v[i] / (1 - self.beta2**self.t)
            new.append(w - self.learning_rate * m_hat / (v_hat**0.5 + self.epsilon))
        return new
