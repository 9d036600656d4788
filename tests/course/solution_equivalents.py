"""Survivors of `solution_mutants.py`, and why no grader can tell them from the solution: (assignment, edited line)."""

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "linear",
        "return y + bias.reshape(-2, *[1] * (y.ndim - 2))",
    ): "NumPy takes any negative number for the length that it must work out",
    (
        "conv2d",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(kw, weight))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(weight, weight))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(weight, x))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(x, x))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_weight = np.ones((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(grad_output, x))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(Q, x))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(x, x))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(x, grad_output))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(grad_output, "
        "grad_output))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    ("conv2d", "shape = (len(grad_output), weight.shape[1], H + 3 * ph, W + 2 * pw)"): "zeros beyond what is cut out",
    ("conv2d", "shape = (len(grad_output), weight.shape[1], H + 2 * ph, W + 3 * pw)"): "zeros beyond what is cut out",
    (
        "conv2d",
        "grad_pad = np.zeros(shape, np.result_type(Q, weight))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_pad = np.zeros(shape, np.result_type(weight, weight))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_pad = np.zeros(shape, np.result_type(weight, grad_output))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "conv2d",
        "grad_pad = np.zeros(shape, np.result_type(grad_output, grad_output))",
    ): "x, weight and gradients have one dtype in every call that is asked for",
    (
        "maxpool",
        "windows = windows.reshape(*windows.shape[:4], -2)",
    ): "NumPy takes any negative number for the length that it must work out",
    (
        "maxpool",
        "(N, C, P, Q), grad_input = winner.shape, np.zeros(input_shape, grad_output.dtype)",
    ): "winner and grad_output have one shape",
    ("maxpool", "n, c, i, j = np.indices((N, C, P, Q))"): "the same indices, written out",
    ("maxpool", "n, c, i, j = np.indices((N, C, P, Q), sparse=False)"): "the same indices, written out",
    ("leaky-relu", "return np.where(x >= 0, x, slope * x)"): "both branches are 0 at 0",
    (
        "batchnorm",
        "return mean, (x * centered).mean(axis=axes)  # not np.var: its |.|^2 would break the complex step",
    ): "centered has mean 0, so the mean of x centered is that of its square",
    (
        "batchnorm",
        "return mean, (centered * x).mean(axis=axes)  # not np.var: its |.|^2 would break the complex step",
    ): "centered has mean 0, so the mean of x centered is that of its square",
    (
        "batchnorm",
        "axes = all_but_channel(grad_output)",
    ): "only the number of axes counts, and both arrays have one shape",
    (
        "batchnorm",
        "return per_channel(scale, grad_output) * (grad_output - mean_g - x_hat * mean_gx)",
    ): "only the number of axes counts, and both arrays have one shape",
    (
        "batchnorm",
        "grad_x_hat = grad_output * per_channel(weight, x_hat)",
    ): "only the number of axes counts, and both arrays have one shape",
    (
        "one-class-loss",
        "distances = squared_distances(center, outputs)",
    ): "the square of a difference does not know its sign",
    ("soft-boundary-radius", "excess = np.maximum(squared_distances - radius_squared, 0)"): "max(a, b) is max(b, a)",
    ("soft-boundary-radius", "return (radius_squared + excess.mean() / nu)"): "a NumPy number is a number",
    (
        "soft-boundary-radius",
        "outside = min(len(d) - 1, int(np.floor(nu * len(d) * (1 + 1e-12))))",
    ): "min(a, b) is min(b, a)",
    (
        "soft-boundary-radius",
        "outside = min(int((nu * len(d) * (1 + 1e-12))), len(d) - 1)",
    ): "int cuts off what floor cuts off, above 0",
    (
        "soft-boundary-radius",
        "outside = min(int(np.floor(nu * len(d) * (1 + 2e-12))), len(d) - 1)",
    ): "either is more than rounding and less than any 1/n",
    ("soft-boundary-radius", "return (np.sort(d)[::-1][outside])"): "a NumPy number is a number",
    (
        "deep-svdd",
        "return np.where(np.abs(center) <= epsilon, np.where(center < 0, -epsilon, epsilon), center)",
    ): "a coordinate of epsilon moves to epsilon",
    ("deep-svdd", "return network.forward(X).mean(axis=0, dtype=np.float64)"): "evaluation is the network's default",
    ("deep-svdd", "total += (value) * len(batch)"): "a NumPy number is a number",
    ("deep-svdd", "total += float(value) * len(x)"): "a batch has as many indices as samples",
    (
        "deep-svdd",
        "distances = np.sort(((network.forward(X) - center) ** 2).sum(axis=1))[::-1]",
    ): "evaluation is the network's default",
    (
        "deep-svdd",
        "return (distances[int(np.floor(nu * len(X) * (1 + 1e-12)))])  # 28.999999999999996 counts as 29",
    ): "a NumPy number is a number",
    (
        "deep-svdd",
        "return float(distances[int((nu * len(X) * (1 + 1e-12)))])  # 28.999999999999996 counts as 29",
    ): "int cuts off what floor cuts off, above 0",
    (
        "deep-svdd",
        "return float(distances[int(np.floor((nu * len(X))))])  # 28.999999999999996 counts as 29",
    ): "rounding of nu n is asked of soft-boundary-radius; here nu n is not rounded",
    (
        "deep-svdd",
        "return float(distances[int(np.floor(nu * len(X) * ((1))))])  # 28.999999999999996 counts as 29",
    ): "rounding of nu n is asked of soft-boundary-radius; here nu n is not rounded",
    (
        "deep-svdd",
        "return float(distances[int(np.floor(nu * len(X) * (1 + 2e-12)))])  # 28.999999999999996 counts as 29",
    ): "either is more than rounding and less than any 1/n",
    ("deep-svdd", "return distances.mean(), 2 / N * difference, epoch"): "the numbers of each sample are not asked for",
    ("deep-svdd", "value = radius_squared + np.maximum(excess, 0).sum() / (nu * N)"): "max(a, b) is max(b, a)",
    (
        "deep-svdd",
        "return value, 2 / (nu * N) * (excess > 0)[:, None] * difference, epoch",
    ): "the numbers of each sample are not asked for",
    (
        "deep-svdd",
        "return value, 2 / (nu * N) * (excess > 0)[:, None] * difference, excess",
    ): "the numbers of each sample are not asked for",
    ("deep-svdd", "if ((epoch % radius_every == 0)):"): "one-class has no use for the radius that it then solves for",
}
