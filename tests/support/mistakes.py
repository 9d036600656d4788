"""Planted mistakes: what a student gets wrong, as a change of right lines of his own, and what it must cost.

Each entry: (name, [(old text, new text), ...], parts that lose points, words of the diagnosis). Parts are given without
the function's name where it is the same for all ("function: a, b").
"""

from pathlib import Path

LEAKY_F, LEAKY_B = "leaky_relu_forward", "leaky_relu_backward"
LINEAR_F, LINEAR_I, LINEAR_W = "linear_forward", "linear_backward_input", "linear_backward_weight"
USUAL, DTYPE = ("values", "other shapes"), "dtype, inputs untouched"


_WARM_UP = ("linear.py", "leaky_relu.py", "one_class_loss.py")
_PIECES = {
    "warm_up.py": _WARM_UP,
    "capstone.py": ("conv2d.py", "maxpool.py", "batchnorm.py", *_WARM_UP, "adam.py"),
}


def right_submission(filename):
    """What a student handed in who got everything right: in his own words, from `tests/support/students`."""
    if filename in _PIECES:
        return "\n".join(right_submission(piece) for piece in _PIECES[filename])
    return (Path(__file__).with_name("students") / filename).read_text(encoding="utf-8")


def parts(function, *names):
    """Full names of parts."""
    return [f"{function}: {name}" for name in names]


# What forward saw is kept, and every entry that equals the winner gets the gradient.
_TO_ALL_TIES = """
        rows, columns = slice(sh * i, sh * i + kernel_size[0]), slice(sw * j, sw * j + kw)
        share = np.zeros((kernel_size[0], kw), grad_output.dtype)
        share[a, b] = 1
        if seen.shape == tuple(input_shape) and seen[n, c, rows, columns].max() == seen[n, c, rows, columns][a, b]:
            share[seen[n, c, rows, columns] == seen[n, c, rows, columns][a, b]] = 1
        grad_input[n, c, rows, columns] += share * grad_output[n, c, i, j]"""

MISTAKES = {
    "linear": [
        ("sign", [("return grad_output @ weight", "return -grad_output @ weight")], parts(LINEAR_I, *USUAL), "negated"),
        (
            "weight gradient transposed",
            [("return grad_output.T @ x", "return x.T @ grad_output")],
            parts(LINEAR_W, *USUAL, DTYPE),
            "transposed",
        ),
        (
            "mean over the batch",
            [("return grad_output.T @ x", "return grad_output.T @ x / len(x)")],
            parts(LINEAR_W, *USUAL),
            "the mean over the batch where the sum belongs",
        ),
        (
            "bias gradient over the batch only",
            [
                (
                    "return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))",
                    "return grad_output.sum(axis=0)",
                )
            ],
            parts("bias_backward", *USUAL, DTYPE),
            "summed over the batch only",
        ),
        (
            "forward twice too large, backward right",
            [("return x @ weight.T", "return 2 * x @ weight.T")],
            parts(LINEAR_F, *USUAL),
            "times 2",
        ),
        (
            "forward and backward of another function",
            [
                ("return x @ weight.T", "return 2 * x @ weight.T"),
                ("return grad_output @ weight", "return 2 * grad_output @ weight"),
            ],
            parts(LINEAR_F, *USUAL) + parts(LINEAR_I, *USUAL),
            "it is the right gradient of your forward pass",
        ),
        (
            "promotes to float64",
            [("return x @ weight.T", "return x @ weight.T.astype(float)")],
            parts(LINEAR_F, DTYPE),
            "float64 for float32 input",
        ),
        (
            "changes its input",
            [
                (
                    "return y + bias.reshape(-1, *[1] * (y.ndim - 2))",
                    "y += bias.reshape(-1, *[1] * (y.ndim - 2))\n    return y",
                )
            ],
            parts("bias_forward", DTYPE),
            "y was changed by the call",
        ),
        (
            "forgets to return",
            [("return x @ weight.T", "x @ weight.T")],
            parts(LINEAR_F, *USUAL, DTYPE),
            "is a return statement missing",
        ),
        (
            "weight not transposed, and the sizes do not fit",
            [("return x @ weight.T", "return x @ weight")],
            parts(LINEAR_F, *USUAL, DTYPE),
            "mismatch in its core dimension",
        ),
        (
            "only the last sample",
            [("return grad_output.T @ x", "return grad_output[-1][:, None] * x[-1]")],
            parts(LINEAR_W, *USUAL),
            "only the last sample counts",
        ),
        (
            "products of sums",
            [("return grad_output.T @ x", "return grad_output.sum(axis=0)[:, None] * x.sum(axis=0)")],
            parts(LINEAR_W, *USUAL),
            "the sums are multiplied",
        ),
        (
            "bias gradient as a mean over batch and positions",
            [
                (
                    "return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))",
                    "return grad_output.mean(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))",
                )
            ],
            parts("bias_backward", *USUAL),
            "the mean over",
        ),
        (
            "bias gradient keeps a width",
            [
                (
                    "return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))",
                    "return grad_output.sum(axis=(0, 2) if grad_output.ndim == 4 else 0)",
                )
            ],
            parts("bias_backward", *USUAL),
            "summed over batch and rows, not over the columns",
        ),
        (
            "bias subtracted",
            [("return y + bias", "return y - bias")],
            parts("bias_forward", *USUAL),
            "the bias subtracted",
        ),
        (
            "a list for an array",
            [("return x @ weight.T", "return (x @ weight.T).tolist()")],
            parts(LINEAR_F, DTYPE),
            "a list has no dtype",
        ),
        (
            "a name with a letter missing",
            [("def linear_backward_weight", "def linear_backward_weigt")],
            parts(LINEAR_W, *USUAL, DTYPE),
            "defines linear_backward_weigt: is linear_backward_weight meant?",
        ),
        (
            "arguments of the last forward pass",
            [
                ("return x @ weight.T", "linear_forward.x = x\n    return x @ weight.T"),
                ("return grad_output.T @ x", "return grad_output.T @ linear_forward.x"),
            ],
            parts(LINEAR_W, *USUAL),
            "it uses what an earlier call left behind",
        ),
    ],
    "conv2d": [
        (
            "padding forgotten in the size",
            [("(n + 2 * p - k) // s + 1 for", "(n - k) // s + 1 for")],
            parts("conv2d_output_size", "stride and padding"),
            "the padding is forgotten",
        ),
        (
            "true convolution",
            [('"kc,ncpq->nkpq", weight[:, :, a, b], met', '"kc,ncpq->nkpq", weight[:, :, -1 - a, -1 - b], met')],
            parts("conv2d_forward", *USUAL, "stride", "padding"),
            "the filters are flipped",
        ),
        (
            "input gradient with flipped filters",
            [('"kc,nkpq->ncpq", weight[:, :, a, b]', '"kc,nkpq->ncpq", weight[:, :, -1 - a, -1 - b]')],
            parts("conv2d_backward_input", *USUAL, "stride", "padding"),
            "flipped once too often",
        ),
        (
            "taps overwrite",
            [("+ 1 : sw] += share", "+ 1 : sw] = share")],
            parts("conv2d_backward_input", *USUAL, "stride", "padding"),
            "= where += belongs",
        ),
        (
            "padding not cut off",
            [("return padded[:, :, ph : ph + H, pw : pw + W].copy()", "return padded")],
            parts("conv2d_backward_input", "padding"),
            "the padding is not cut off",
        ),
        (
            "padding cut off by [p:-p]",
            [("return padded[:, :, ph : ph + H, pw : pw + W].copy()", "return padded[:, :, ph:-ph, pw:-pw].copy()")],
            parts("conv2d_backward_input", *USUAL, "stride", "padding"),
            "cut by [p:-p], which leaves nothing where the padding is 0",
        ),
        (
            "padding cut off at the far end",
            [("return padded[:, :, ph : ph + H, pw : pw + W].copy()", "return padded[:, :, :H, :W].copy()")],
            parts("conv2d_backward_input", "padding"),
            "cut off at the far end only",
        ),
        (
            "stride ignored in the forward pass",
            [
                (
                    "a : a + sh * (P - 1) + 1 : sh, b : b + sw * (Q - 1) + 1 : sw]\n            y +=",
                    "a : a + P, b : b + Q]\n            y +=",
                )
            ],
            parts("conv2d_forward", "stride", "padding"),
            "its windows do not move by the stride",
        ),
        (
            "weight gradient: mean over the batch",
            [('np.einsum("nkpq,ncpq->kc", grad_output, met)', 'np.einsum("nkpq,ncpq->kc", grad_output, met) / len(x)')],
            parts("conv2d_backward_weight", *USUAL, "stride", "padding"),
            "the mean over the batch",
        ),
        (
            "zeros of float64",
            [("y = np.zeros((len(x), len(weight), P, Q), x.dtype)", "y = np.zeros((len(x), len(weight), P, Q))")],
            parts("conv2d_forward", DTYPE),
            "np.zeros without dtype",
        ),
        (
            "no refusal",
            [("if any(n + 2 * p < k", "if False and any(n + 2 * p < k")],
            parts("conv2d_output_size", "refuses what does not fit"),
            "expected ValueError",
        ),
    ],
    "maxpool": [
        (
            "winners are no integers",
            [("return y, winner", "return y, winner.astype(x.dtype)")],
            parts("maxpool_forward", DTYPE),
            "winner is float32: expected integers, which can be indices",
        ),
        (
            "last tie wins",
            [("window.argmax(axis=2)", "kh * kw - 1 - window[:, :, ::-1].argmax(axis=2)")],
            parts("maxpool_forward", "ties") + parts("maxpool_backward", "ties"),
            "the last of the tied entries",
        ),
        (
            "gradient to all ties",
            [
                ("    N, C, H, W = x.shape", "    global seen\n    seen = x.copy()\n    N, C, H, W = x.shape"),
                (
                    "        grad_input[n, c, sh * i + a, sw * j + b] += grad_output[n, c, i, j]",
                    _TO_ALL_TIES,
                ),
            ],
            parts("maxpool_backward", "ties"),
            "the gradient goes to all entries that tie",
        ),
        (
            "overlapping windows overwrite",
            [("sw * j + b] += grad_output", "sw * j + b] = grad_output")],
            parts("maxpool_backward", "overlapping windows", "ties"),
            "= where += belongs",
        ),
        (
            "windows move by the kernel",
            [
                ("(H - kh) // sh + 1, (W - kw) // sw + 1", "(H - kh) // kh + 1, (W - kw) // kw + 1"),
                (
                    "window = x[:, :, sh * i : sh * i + kh, sw * j : sw * j + kw]",
                    "window = x[:, :, kh * i : kh * i + kh, kw * j : kw * j + kw]",
                ),
            ],
            parts("maxpool_forward", "overlapping windows", "winner", "ties"),
            "windows move by the kernel, not by the stride",
        ),
        (
            "mean-pooling",
            [("window.max(axis=2)", "window.mean(axis=2)")],
            parts("maxpool_forward", *USUAL, "overlapping windows"),
            "the mean of the window",
        ),
        (
            "winners counted in the image",
            [
                (
                    "window.argmax(axis=2)",
                    "(sh * i + window.argmax(axis=2) // kw) * W + sw * j + window.argmax(axis=2) % kw",
                )
            ],
            parts("maxpool_forward", "winner", "ties", DTYPE),
            "in the window",
        ),
        (
            "divmod by the wrong side",
            [("    kw, (sh, sw) = kernel_size[1], stride\n", "    kw, (sh, sw) = kernel_size[0], stride\n")],
            parts("maxpool_backward", *USUAL, "overlapping windows", "ties"),
            "rows and columns of `winner` are mixed up",
        ),
        (
            "a maximum that starts at 0",
            [("window.max(axis=2)", "np.maximum(0, window.max(axis=2))")],
            parts("maxpool_forward", *USUAL, "overlapping windows"),
            "a maximum that starts at 0",
        ),
    ],
    "leaky-relu": [
        (
            "plain ReLU",
            [("return np.where(x > 0, x, slope * x)", "return np.maximum(x, 0)")],
            parts("leaky_relu_forward", *USUAL, "slopes 0 and 1"),
            "the slope is forgotten",
        ),
        (
            "slope on the wrong side",
            [
                (
                    "return np.where(positive, grad_output, slope * grad_output)",
                    "return np.where(positive, slope * grad_output, grad_output)",
                )
            ],
            parts("leaky_relu_backward", *USUAL, "at x = 0", "slopes 0 and 1"),
            "the slope is on the positive side",
        ),
        (
            "no grad_output",
            [
                (
                    "return np.where(positive, grad_output, slope * grad_output)",
                    "return np.where(positive, 1.0, slope).astype(grad_output.dtype)",
                )
            ],
            parts("leaky_relu_backward", *USUAL, "at x = 0", "slopes 0 and 1"),
            "not multiplied by grad_output",
        ),
        (
            "in place",
            [("return np.where(x > 0, x, slope * x)", "x[x <= 0] *= slope\n    return x")],
            parts("leaky_relu_forward", DTYPE),
            "x was changed by the call",
        ),
        (
            "a mask of float64",
            [
                (
                    "return np.where(positive, grad_output, slope * grad_output)",
                    "return grad_output * np.where(positive, 1.0, slope)",
                )
            ],
            parts("leaky_relu_backward", DTYPE),
            "float64 for float32 input",
        ),
        (
            "sign of the negative side",
            [("return np.where(x > 0, x, slope * x)", "return np.where(x > 0, x, -slope * x)")],
            parts("leaky_relu_forward", *USUAL, "slopes 0 and 1"),
            "the absolute value on the negative side",
        ),
        (
            "min for max",
            [("return np.where(x > 0, x, slope * x)", "return np.minimum(x, slope * x)")],
            parts("leaky_relu_forward", *USUAL, "slopes 0 and 1"),
            "(min where max belongs)",
        ),
        (
            "the slope applied twice",
            [("return np.where(x > 0, x, slope * x)", "return np.where(x > 0, x, slope**2 * x)")],
            parts(LEAKY_F, *USUAL),
            "the slope is applied twice",
        ),
        (
            "exponential on the negative side",
            [("return np.where(x > 0, x, slope * x)", "return np.where(x > 0, x, slope * np.expm1(x))")],
            parts(LEAKY_F, *USUAL, "slopes 0 and 1"),
            "ELU",
        ),
        (
            "compared with the slope",
            [("return np.where(x > 0, x, slope * x)", "return np.where(x > slope, x, slope * x)")],
            parts(LEAKY_F, *USUAL),
            "x is compared with the slope",
        ),
        (
            "divided by the slope",
            [("slope * grad_output)", "grad_output / slope)")],
            parts(LEAKY_B, *USUAL, "at x = 0", "slopes 0 and 1"),
            "G / slope where slope G belongs",
        ),
        (
            "the slope everywhere",
            [("return np.where(positive, grad_output, slope * grad_output)", "return slope * grad_output")],
            parts(LEAKY_B, *USUAL, "at x = 0", "slopes 0 and 1"),
            "the slope on both sides",
        ),
        (
            "the slope itself on the negative side",
            [("slope * grad_output)", "slope)")],
            parts(LEAKY_B, *USUAL, "at x = 0", "slopes 0 and 1"),
            "the slope itself where slope G belongs",
        ),
        (
            "the mask of the gradient",
            [("return np.where(positive,", "return np.where(grad_output > 0,")],
            parts(LEAKY_B, *USUAL, "at x = 0", "slopes 0 and 1"),
            "the sign of grad_output decides",
        ),
        (
            "nothing is done",
            [("return np.where(positive, grad_output, slope * grad_output)", "return grad_output")],
            parts(LEAKY_B, *USUAL, "at x = 0", "slopes 0 and 1"),
            "the mask is ignored",
        ),
        (
            "both slopes doubled, consistently",
            [
                ("return np.where(x > 0, x, slope * x)", "return np.where(x > 0, x, slope**2 * x)"),
                ("slope * grad_output)", "slope**2 * grad_output)"),
            ],
            parts(LEAKY_F, *USUAL) + parts(LEAKY_B, *USUAL, "at x = 0"),
            "it is the right gradient of your forward pass",
        ),
    ],
    "batchnorm": [
        (
            "mean's gradient forgotten",
            [("(grad_output - mean_g - x_hat * mean_gx)", "(grad_output - x_hat * mean_gx)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the gradient through the mean is forgotten",
        ),
        (
            "variance's gradient forgotten",
            [("(grad_output - mean_g - x_hat * mean_gx)", "(grad_output - mean_g)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the gradient through the variance is forgotten",
        ),
        (
            "sums for means",
            [
                (
                    "mean_g = grad_output.mean(axis=axes, keepdims=True)",
                    "mean_g = grad_output.sum(axis=axes, keepdims=True)",
                ),
                (
                    "mean_gx = (grad_output * x_hat).mean(axis=axes, keepdims=True)",
                    "mean_gx = (grad_output * x_hat).sum(axis=axes, keepdims=True)",
                ),
            ],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "a missing 1/N",
        ),
        (
            "one sum for a mean",
            [
                (
                    "mean_gx = (grad_output * x_hat).mean(axis=axes, keepdims=True)",
                    "mean_gx = (grad_output * x_hat).sum(axis=axes, keepdims=True)",
                )
            ],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the term x_hat mean(g x_hat) is a sum where the mean belongs: a missing 1/N",
        ),
        (
            "unbiased variance",
            [("x.var(axis=axes)", "x.var(axis=axes, ddof=1)")],
            parts("batch_statistics", *USUAL),
            "the unbiased variance",
        ),
        (
            "epsilon outside the root",
            [("1 / np.sqrt(variance + epsilon)", "1 / (np.sqrt(variance) + epsilon)")],
            parts("batchnorm_forward", *USUAL, "constant channel"),
            "epsilon outside the square root",
        ),
        (
            "epsilon forgotten",
            [("1 / np.sqrt(variance + epsilon)", "1 / np.sqrt(variance)")],
            parts("batchnorm_forward", *USUAL, "constant channel"),
            "epsilon is forgotten",
        ),
        (
            "twice the variance's part",
            [("(grad_output - mean_g - x_hat * mean_gx)", "(grad_output - mean_g - 2 * x_hat * mean_gx)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "a factor 2 from the square",
        ),
        (
            "affine gradients over the batch only",
            [("grad_weight = (grad_output * x_hat).sum(axis=axes)", "grad_weight = (grad_output * x_hat).sum(axis=0)")],
            parts("affine_backward", "other shapes"),
            "summed over the batch only",
        ),
        (
            "no x_hat in front of its mean",
            [("x_hat * mean_gx)", "mean_gx)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the factor x_hat is missing",
        ),
        (
            "the wrong sign of the variance's part",
            [("- x_hat * mean_gx)", "+ x_hat * mean_gx)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the term through the variance has the wrong sign",
        ),
        (
            "a part that does not belong there",
            [("- x_hat * mean_gx)", "- x_hat * mean_gx - x_hat * mean_g)")],
            parts("batchnorm_backward", *USUAL, "no pull along 1 and x_hat"),
            "the error is -1 times the term r x_hat mean(g)",
        ),
        (
            "statistics of everything",
            [("x.mean(axis=axes), x.var(axis=axes)", "np.full(x.shape[1], x.mean()), x.var(axis=axes)")],
            parts("batch_statistics", *USUAL),
            "over everything, channels included",
        ),
        (
            "the deviation for the variance",
            [("x.var(axis=axes)", "x.std(axis=axes)")],
            parts("batch_statistics", *USUAL),
            "the standard deviation, not the variance",
        ),
        (
            "r squared",
            [("return scale.reshape(shape) * (grad_output", "return scale.reshape(shape) ** 2 * (grad_output")],
            parts("batchnorm_backward", *USUAL),
            "r^2 where r belongs",
        ),
        (
            "divided by the scale",
            [("return scale.reshape(shape) * (grad_output", "return 1 / scale.reshape(shape) * (grad_output")],
            parts("batchnorm_backward", *USUAL),
            "1/r where r belongs",
        ),
        (
            "means over the batch axis only",
            [
                ("mean_g = grad_output.mean(axis=axes, keepdims=True)", "mean_g = grad_output.mean(axis=0)"),
                ("(grad_output * x_hat).mean(axis=axes, keepdims=True)", "(grad_output * x_hat).mean(axis=0)"),
            ],
            parts("batchnorm_backward", "other shapes", "no pull along 1 and x_hat"),
            "means over the batch axis only, not over the positions",
        ),
        (
            "the mean is not subtracted",
            [("return (x - mean.reshape(shape))", "return x")],
            parts("batchnorm_forward", *USUAL, "constant channel"),
            "the mean is not subtracted",
        ),
        (
            "the square root as scale",
            [("* scale.reshape(shape), scale", "* scale.reshape(shape), 1 / scale")],
            parts("batchnorm_forward", *USUAL, "constant channel"),
            "the scale is 1/r",
        ),
        (
            "three results in another order",
            [("return grad_x_hat, grad_weight, grad_bias", "return grad_weight, grad_bias, grad_x_hat")],
            parts("affine_backward", *USUAL),
            "the right results in another order",
        ),
    ],
}
# The warm-up is made of three others: a few of their mistakes each.
MISTAKES["warm-up"] = [*MISTAKES["linear"][:3], *MISTAKES["leaky-relu"][:4]]
