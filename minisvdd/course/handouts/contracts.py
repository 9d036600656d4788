"""What a function must do: all that a student needs to begin, and no formula to be derived.

A contract stands in the skeleton instead of the library's docstring, at the level "scratch" and, where the formula
would be the line of code, at "plain". G = grad_output is dL/dy of the layer's output y, for a loss L that nobody needs
to know. A function that is not listed keeps its docstring.
"""

from .contracts_method import OF_THE_METHOD

_G = "G = grad_output is dL/dy"

CONTRACTS = {
    "linear_forward": """
The linear layer: feature k of sample n is the sum over d of weight[k,d] x[n,d].

x: (N, D), one sample a row.   weight: (K, D), one row for each output.   Returns y (N, K).
""",
    "linear_backward_input": f"""
The gradient dL/dx of the linear layer, where {_G}.

grad_output: (N, K).   weight: (K, D).   Returns (N, D).
""",
    "linear_backward_weight": f"""
The gradient dL/dweight of the linear layer, where {_G}.

grad_output: (N, K).   x: (N, D).   Returns (K, D).
""",
    "bias_forward": """
Adds bias[k] to feature k of every sample, or to every pixel of channel k of every image.

y: (N, K) or (N, K, H, W).   bias: (K,).   Returns a new array shaped like y.
""",
    "bias_backward": """
The gradient dL/dbias, where G = grad_output is the gradient with respect to what `bias_forward` returned.

grad_output: (N, K) or (N, K, H, W).   Returns (K,).
""",
    "conv2d_output_size": """
How many places a window has, (rows, columns), each way for itself.

The image has `size` = (H, W) pixels and gets a border of `padding` = (ph, pw) zeros on each side. The window of
`kernel_size` = (kh, kw) begins in the upper left corner and moves by `stride` = (sh, sw); places where it would not
lie wholly inside do not count. Raises ValueError when it fits nowhere.
""",
    "conv2d_forward": """
Cross-correlation: y[n,k,i,j] = the sum over c, a, b of weight[k,c,a,b] x_pad[n,c, sh i + a, sw j + b].

The filters are not flipped. x_pad is x with ph rows and pw columns of zeros on each side.

x: (N, C, H, W).   weight: (K, C, kh, kw).   stride: (sh, sw).   padding: (ph, pw).
Returns y (N, K, P, Q), where (P, Q) is what `conv2d_output_size` says.
""",
    "conv2d_backward_weight": f"""
The gradient dL/dweight of `conv2d_forward`, where {_G}.

grad_output: (N, K, P, Q).   x: (N, C, H, W), not padded.   kernel_size: (kh, kw).   Returns (K, C, kh, kw).
""",
    "conv2d_backward_input": f"""
The gradient dL/dx of `conv2d_forward`, where {_G}.

grad_output: (N, K, P, Q).   weight: (K, C, kh, kw).   input_size: (H, W) of x, without padding: several sizes may
lead to the same (P, Q).   Returns (N, C, H, W).
""",
    "maxpool_forward": """
The largest entry of each window of each channel, and which one it was.

Window (i, j) has kernel_size = (kh, kw) entries and begins at row sh i, column sw j, where stride = (sh, sw). Only
windows that lie wholly inside the image count; they may overlap, and leave a rest. There is no padding.
Entry (a, b) of a window has the index a kw + b. Where several entries tie, the one with the smallest index wins.

x: (N, C, H, W).   Returns y (N, C, P, Q) and winner (N, C, P, Q): the index of the winning entry, as integers.
""",
    "maxpool_backward": f"""
The gradient dL/dx of `maxpool_forward`, where {_G}.

grad_output: (N, C, P, Q).   winner: what the forward pass returned.   input_shape: (N, C, H, W) of x.
kernel_size, stride: as in the forward pass.   Returns an array of `input_shape`.
""",
    "leaky_relu_forward": """
y = x where x > 0, and slope times x elsewhere, entry by entry.

x: an array of any shape.   slope: a number from 0 to 1.   Returns a new array shaped like x.
""",
    "leaky_relu_backward": f"""
The gradient dL/dx of `leaky_relu_forward`, where {_G}.

At x = 0, where there is a kink, take the derivative of the negative side.

grad_output: of any shape.   positive: booleans of that shape, where x > 0.   Returns an array of that shape.
""",
    "batch_statistics": """
Mean and variance of each channel, over the batch and, for images, over all positions.

The variance is the mean squared deviation: divided by the number of values, not by one less.

x: (N, C) or (N, C, H, W).   Returns two arrays (C,).
""",
    "batchnorm_forward": """
x_hat = (x - mean) r with r = 1 / sqrt(variance + epsilon), channel by channel.

x: (N, C) or (N, C, H, W).   mean, variance: (C,).   Returns x_hat, shaped like x, and the scale r (C,).
""",
    "batchnorm_backward": """
The gradient dL/dx when mean and variance were those of this very x, so that they change with it.

grad_output: dL/dx_hat, shaped like x_hat.   x_hat, scale: what `batchnorm_forward` returned.
Returns an array shaped like x_hat.
""",
    "batchnorm_backward_fixed": """
The gradient dL/dx when mean and variance were given numbers that do not depend on x.

grad_output: dL/dx_hat.   scale: (C,), from `batchnorm_forward`.   Returns an array shaped like grad_output.
""",
    "affine_forward": """
y = weight x_hat + bias, channel by channel.

x_hat: (N, C) or (N, C, H, W).   weight, bias: (C,).   Returns an array shaped like x_hat.
""",
    "affine_backward": f"""
The three gradients of `affine_forward`, where {_G}.

grad_output, x_hat: (N, C) or (N, C, H, W).   weight: (C,).
Returns dL/dx_hat, shaped like x_hat, dL/dweight (C,) and dL/dbias (C,), in this order.
""",
    "adam_update": """
One step of Adam (Kingma & Ba 2015, algorithm 1), in place.

The objective is L + weight_decay/2 ||param||^2, and `grad` is dL/dparam without the second term: add that term's
gradient first, so that both moments see the sum. epsilon stands beside the square root, not under it.

param, first_moment, second_moment: arrays of one shape, which are changed.   grad: of that shape, only read.
step: the number of this step, 1 for the first, before which both moments are 0.   learning_rate, beta1, beta2,
epsilon: as in the algorithm, where the first is called alpha.   Returns nothing.
""",
    "squared_distances": """
The squared Euclidean distance of every output from the centre, eq. (5).

outputs: (N, p), one row a sample.   center: (p,).   Returns d (N,).
""",
    "one_class_loss": """
J = the mean over the samples of their squared distances from the centre: eq. (4) without weight decay.

outputs: (N, p).   center: (p,), a constant.
Returns J (a number), its gradient dJ/doutputs (N, p) and the squared distances (N,), in this order.
""",
    "soft_boundary_objective": """
J(u) = u + 1/(nu n) times the sum over i of max(0, d_i - u), at u = radius_squared: eq. (3) for fixed weights.

squared_distances: the n numbers d_i.   nu: 0 < nu <= 1.   Returns a number.
""",
    "exact_radius_squared": """
R^2: the u at which J(u) of `soft_boundary_objective` is smallest, exactly. No search, no interpolation.

Where several u are best, the smallest of the distances d_i among them. It is always one of the d_i.
A product nu n that is an integer up to rounding (0.29 * 100 = 28.999999999999996) counts as that integer.

squared_distances: (n,), in any order, with ties or without; it stays as it is.   Returns a number.
Raises ValueError for nu outside (0, 1].
""",
    "soft_boundary_loss": """
J = R^2 + 1/(nu N) times the sum over i of max(0, d_i - R^2): eq. (3) without weight decay.

d_i = ||outputs_i - center||^2. R^2 is a constant here. For a sample exactly on the sphere, where J has a kink, take
the derivative of the inside.

outputs: (N, p).   center: (p,).   radius_squared: the number R^2.
Returns J (a number), its gradient dJ/doutputs (N, p) and the squared distances d (N,), in this order.
""",
    **OF_THE_METHOD,
}

KERNELS = {
    "conv2d_tiled": """
Cross-correlation without border, stride 1: y[n,k,p,q] = the sum over c, a, b of weight[k,c,a,b] x[n,c,p+a,q+b].

The grid has (ceil(Q / 16), ceil(P / 16), N K) blocks of 16 x 16 threads. Block (bx, by, n K + k) computes y[n,k,p,q]
for 16 by <= p < 16 by + 16, 16 bx <= q < 16 bx + 16, as far as there is such an output.
x: (N, C, H, W).   weight: (K, C, kh, kw), kh and kw from 1 to 7.   y: (N, K, P, Q) with P = H - kh + 1,
Q = W - kw + 1, every entry is to be written.
""",
    "conv2d_forward": """
Cross-correlation: y[n,k,p,q] = the sum over c, a, b of weight[k,c,a,b] x_pad[n,c, sh p + a, sw q + b].

The filters are not flipped. x_pad is x with ph rows and pw columns of zeros on each side; nobody has padded it.
x: (N, C, H, W).   weight: (K, C, kh, kw).   y: (N, K, P, Q), every entry is to be written.
""",
    "conv2d_backward_weight": """
The gradient of a loss with respect to weight, where grad_output is its gradient with respect to y.

grad_output: (N, K, P, Q).   x: (N, C, H, W).   grad_weight: (K, C, kh, kw), every entry is to be written.
""",
    "conv2d_backward_input": """
The gradient of a loss with respect to x, where grad_output is its gradient with respect to y.

grad_output: (N, K, P, Q).   weight: (K, C, kh, kw).   grad_input: (N, C, H, W), every entry is to be written.
""",
}

# Functions whose formula would be their line of code: the level "plain" has their contracts, too.
SHORT = {
    *("linear_forward", "linear_backward_input", "linear_backward_weight", "bias_forward", "bias_backward"),
    *("leaky_relu_backward", "affine_forward", "affine_backward", "batchnorm_backward_fixed", "one_class_loss"),
}


def contract(name: str, level: str, own: str = "") -> list[str] | None:
    """The lines that a level has instead of a function's docstring; None where it keeps that.  own: another text."""
    if name not in CONTRACTS or not (level == "scratch" or (level == "plain" and name in SHORT)):
        return None
    first, *rest = (own or CONTRACTS[name]).strip().splitlines()
    lines = [f'    """{first}', *(f"    {line}".rstrip() for line in rest), '    """']
    return lines if rest else [f'    """{first}"""']
