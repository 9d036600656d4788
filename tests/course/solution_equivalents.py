"""Survivors of `solution_mutants.py`, and why no grader can tell them from the solution: a reason, edited lines."""

_LINES: dict[str, list[str]] = {
    "NumPy takes any negative number for the length that it must work out": [
        "return y + bias.reshape(-2, *[1] * (y.ndim - 2))",
        "windows = windows.reshape(*windows.shape[:4], -2)",
    ],
    "x, weight and gradients have one dtype in every call that is asked for": [
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(kw, weight))",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(weight, weight))",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(weight, x))",
        "y = np.zeros((len(x), len(weight), P, Q), np.result_type(x, x))",
        "grad_weight = np.ones((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(grad_output, x))",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(Q, x))",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(x, x))",
        "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(x, grad_output))",
        (
            "grad_weight = np.zeros((grad_output.shape[1], x.shape[1], *kernel_size), "
            "np.result_type(grad_output, grad_output))"
        ),
        "grad_pad = np.zeros(shape, np.result_type(Q, weight))",
        "grad_pad = np.zeros(shape, np.result_type(weight, weight))",
        "grad_pad = np.zeros(shape, np.result_type(weight, grad_output))",
        "grad_pad = np.zeros(shape, np.result_type(grad_output, grad_output))",
    ],
    "zeros beyond what is cut out": [
        "shape = (len(grad_output), weight.shape[1], H + 3 * ph, W + 2 * pw)",
        "shape = (len(grad_output), weight.shape[1], H + 2 * ph, W + 3 * pw)",
    ],
    "winner and grad_output have one shape": [
        "(N, C, P, Q), grad_input = winner.shape, np.zeros(input_shape, grad_output.dtype)",
    ],
    "the same indices, written out": [
        "n, c, i, j = np.indices((N, C, P, Q))",
        "n, c, i, j = np.indices((N, C, P, Q), sparse=False)",
    ],
    "both branches are 0 at 0": [
        "return np.where(x >= 0, x, slope * x)",
    ],
    "centered has mean 0, so the mean of x centered is that of its square": [
        "return mean, (x * centered).mean(axis=axes)  # not np.var: its |.|^2 would break the complex step",
        "return mean, (centered * x).mean(axis=axes)  # not np.var: its |.|^2 would break the complex step",
    ],
    "only the number of axes counts, and both arrays have one shape": [
        "axes = all_but_channel(grad_output)",
        "return per_channel(scale, grad_output) * (grad_output - mean_g - x_hat * mean_gx)",
        "grad_x_hat = grad_output * per_channel(weight, x_hat)",
    ],
    "the square of a difference does not know its sign": [
        "distances = squared_distances(center, outputs)",
    ],
    "max(a, b) is max(b, a)": [
        "least = np.maximum((-X).min(axis=0), X.min(axis=0))",
        "largest = max(np.abs(above).max(), largest, np.abs(below).max())",
        "largest = max(largest, np.abs(below).max(), np.abs(above).max())",
        "scale = max(np.abs(numeric).max(), np.abs(analytic).max())",
        "excess = np.maximum(squared_distances - radius_squared, 0)",
        "value = radius_squared + np.maximum(excess, 0).sum() / (nu * N)",
    ],
    "a NumPy number is a number": [
        "return (s[k - 1]) if k <= len(s) else np.inf",
        "return ((1 + at_least) / (len(held) + 1))",
        "return (d[min(outside, len(d) - 1)])",
        "best = (cost.argmin())",
        "return (candidates[best]), float(cost[best])",
        "return float(candidates[best]), (cost[best])",
        "k = (least.argmax())",
        "return (2 * ((outputs - center) * outputs).sum(axis=1).mean())",
        "return ((3 * epsilon * abs(value) / abs(third)) ** (1 / 3))",
        "return (np.abs(analytic - numeric).max() / scale) if scale > 0 else 0.0",
        "return error, ((~smooth).sum())",
        "return (radius_squared + excess.mean() / nu)",
        "return (np.sort(d)[::-1][outside])",
        "total += (value) * len(batch)",
        "return (distances[int(np.floor(nu * len(X) * (1 + 1e-12)))])  # 28.999999999999996 counts as 29",
    ],
    "min(a, b) is min(b, a)": [
        "return float(d[min(len(d) - 1, outside)])",
        "outside = min(len(d) - 1, int(np.floor(nu * len(d) * (1 + 1e-12))))",
    ],
    "int cuts off what floor cuts off, above 0": [
        "outside = int((nu * len(d) * (1 + 1e-12)))",
        "outside = min(int((nu * len(d) * (1 + 1e-12))), len(d) - 1)",
        "return float(distances[int((nu * len(X) * (1 + 1e-12)))])  # 28.999999999999996 counts as 29",
    ],
    "either is more than rounding and less than any 1/n": [
        "outside = int(np.floor(nu * len(d) * (1 + 2e-12)))",
        "outside = min(int(np.floor(nu * len(d) * (1 + 2e-12))), len(d) - 1)",
        "return float(distances[int(np.floor(nu * len(X) * (1 + 2e-12)))])  # 28.999999999999996 counts as 29",
    ],
    "a coordinate of epsilon moves to epsilon": [
        "return np.where(np.abs(center) <= epsilon, np.where(center < 0, -epsilon, epsilon), center)",
    ],
    "evaluation is the network's default": [
        "return network.forward(X).mean(axis=0, dtype=np.float64)",
        "distances = np.sort(((network.forward(X) - center) ** 2).sum(axis=1))[::-1]",
    ],
    "a batch has as many indices as samples": [
        "total += float(value) * len(x)",
    ],
    "rounding of nu n is asked of soft-boundary-radius; here nu n is not rounded": [
        "return float(distances[int(np.floor((nu * len(X))))])  # 28.999999999999996 counts as 29",
        "return float(distances[int(np.floor(nu * len(X) * ((1))))])  # 28.999999999999996 counts as 29",
    ],
    "the numbers of each sample are not asked for": [
        "return distances.mean(), 2 / N * difference, epoch",
        "return value, 2 / (nu * N) * (excess > 0)[:, None] * difference, epoch",
        "return value, 2 / (nu * N) * (excess > 0)[:, None] * difference, excess",
    ],
    "one-class has no use for the radius that it then solves for": [
        "if ((epoch % radius_every == 0)):",
    ],
    "one more column of the halo costs a few sectors, fewer than are allowed": [
        "for (int v = j; v <= 15 + kw; v += 16)",
        "for (int v = j; v < 16 + kw; v += 16)",
    ],
    "a sum over both axes, whichever comes first": [
        "return (1 - a) * np.abs(y - x).sum(axis=(2, 1)) + a * np.abs(mismatch).sum(axis=1)",
    ],
    "there are as many points as images": [
        "found, best = z.copy(), np.full(len(x), np.inf)",
        "taken, searching = np.zeros(len(x), int), np.ones(len(z), bool)",
        "taken, searching = np.zeros(len(z), int), np.ones(len(x), bool)",
    ],
    "what stands there is replaced before it is looked at": [
        "taken, searching = np.ones(len(z), int), np.ones(len(z), bool)",
        "before = found",
        "before = taken",
    ],
    "windows are longer than one step": [
        "if t > 1:",
    ],
    "the best loss of an image that has stopped falls no more": [
        "searching = before - best >= tolerance * before",
    ],
    "a step behind the last point that is looked at": [
        "if t <= steps:",
    ],
    "two points with exactly the same loss are not drawn": [
        "searching &= before - best > tolerance * before",
        "better = searching & (losses <= best)",
    ],
    "any start above the answer will do: what is too many is left out one by one": [
        "return next(j for j in range(int(m * (m + 1)) + 1, -1, -1) if j / (m + 1) <= alpha)",
        "return next(j for j in range(int(alpha * ((m))) + 1, -1, -1) if j / (m + 1) <= alpha)",
        "return next(j for j in range(int(alpha * (m + 0)) + 1, -1, -1) if j / (m + 1) <= alpha)",
        "return next(j for j in range(int(alpha * (m + 2)) + 1, -1, -1) if j / (m + 1) <= alpha)",
        "return next(j for j in range(int(alpha * (m + 1)) + 2, -1, -1) if j / (m + 1) <= alpha)",
        "return next(j for j in range(int(alpha * (m + 1)) + 1, -2, -1) if j / (m + 1) <= alpha)",
    ],
    "any start below the answer will do: what is too few is left out one by one": [
        "m = max(1, int(allowed / alpha) - 2)",
        "m = max(int(alpha / alpha) - 2, 1)",
        "m = max(int((allowed)) - 2, 1)",
        "m = max(int(allowed * alpha) - 2, 1)",
        "m = max(int(allowed / allowed) - 2, 1)",
        "m = max(int(allowed / alpha) - 1, 1)",
        "m = max(int(allowed / alpha) - 3, 1)",
        "m = max(int(allowed / alpha) - 2, 0)",
    ],
    "left is NumPy's default": [
        "at_least = len(held) - np.searchsorted(held, np.asarray(scores, np.float64))",
    ],
    "the cost falls at scores of normal samples alone": [
        "candidates = np.concatenate([[-np.inf], normal, normal])",
    ],
    "a feature whose smallest value is exactly 0 is not asked for": [
        "if least[k] < 0:",
    ],
    "tanh is 1, up to less than is asked for": [
        "W1[:, k] = 19 / least[k]",
        "W1[:, k] = 21 / least[k]",
    ],
    "all samples have the sign of the feature": [
        "v = np.full(hidden, np.sign(X[1, k]))",
    ],
    "the mean leaves the number of samples": [
        "return np.linalg.svd(centred / np.sqrt(len(centred)), compute_uv=False)",
    ],
    "a number exactly on the border is not asked for": [
        "if np.sqrt((narrow**2).sum()) <= 0.03 * np.sqrt((wide**2).sum()):",
        "if len(wide) > 1 and narrow[1] <= 0.01 * narrow[0] and wide[1] >= 0.01 * wide[0]:",
        "if len(wide) > 1 and narrow[1] < 0.01 * narrow[0] and wide[1] > 0.01 * wide[0]:",
        "if np.abs(center).max() <= 1e-6:",
        "if np.abs(outputs - center).max() >= 0.1 * np.abs(center).max():",
        'return "bounded activation" if np.abs(without - center).max() <= 0.5 * np.abs(center).max() else "bias"',
        "return bend >= tolerance * largest",
        "if error >= 1e-5:",
    ],
    "before and after have one number of coordinates": [
        "if len(narrow) > 1 and narrow[1] < 0.01 * narrow[0] and wide[1] >= 0.01 * wide[0]:",
    ],
    "either lies between what training leaves and what is asked about": [
        "if len(wide) > 1 and narrow[1] < 0.01 * narrow[0] and wide[1] >= 0.02 * wide[0]:",
        "if np.abs(center).max() < 2e-06:",
        "if np.abs(outputs - center).max() > 0.2 * np.abs(center).max():",
        "if error > 2e-05:",
    ],
    "c stays as it was, or runs to 0": [
        "if np.abs(center_before).max() < 1e-6:",
        "if np.abs(center - center_before).max() > 1e-3 * np.abs(center).max():",
        "if np.abs(center - center_before).max() > 0.002 * np.abs(center_before).max():",
        "if np.abs(center - center_before).max() > 1e-3 * np.abs(center_before).min():",
    ],
    "the activation between its bounds does not matter where outputs are constant": [
        's = {"leaky relu": np.where(a >= 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh(a / 2)}',
        's = {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh((a))}',
        's = {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh(a * 2)}',
        's = {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh(a / 1)}',
        's = {"leaky relu": np.where(a > 0, a, 0.1 * a), "tanh": np.tanh(a), "sigmoid": 0.5 + 0.5 * np.tanh(a / 3)}',
    ],
    "past the first question c is what it was before": [
        "if np.abs(outputs - center_before).max() > 0.1 * np.abs(center).max():",
        "if np.abs(outputs - center).max() > 0.1 * np.abs(center_before).max():",
        'return "bounded activation" if np.abs(without - center_before).max() < 0.5 * np.abs(center).max() else "bias"',
        'return "bounded activation" if np.abs(without - center).max() < 0.5 * np.abs(center_before).max() else "bias"',
    ],
    "every entry is written": [
        "x, numeric = np.array(x, dtype=np.float64), np.ones(np.shape(x))",
        "middle, largest, bend = function(x), 0.0, np.ones(x.shape)",
    ],
    "only the absolute difference of both slopes counts": [
        "above, below = ((middle - function(x - step)) / h, (function(x + step) - middle) / h)",
    ],
    "beside a kink both slopes have one size, so that one of them has the largest, too": [
        "largest = max(largest, (above).max(), np.abs(below).max())",
        "largest = max(largest, np.abs(below).max(), np.abs(below).max())",
        "largest = max(largest, np.abs(step).max(), np.abs(below).max())",
        "largest = max(largest, np.abs(above).min(), np.abs(below).max())",
        "largest = max(largest, np.abs(above).max(), (below).max())",
        "largest = max(largest, np.abs(above).max(), np.abs(above).max())",
        "largest = max(largest, np.abs(above).max(), np.abs(below).min())",
    ],
    "how many entries of a gradient of another shape are left out is not asked for": [
        "return np.inf, 1",
    ],
    "the error of two gradients does not know which is which": [
        "error = relative_error(numeric[smooth], analytic[smooth]) if smooth.any() else np.inf",
    ],
}
EQUIVALENT = {line: reason for reason, lines in _LINES.items() for line in lines}
