"""Planted mistakes in the optimiser, the losses, the training loop and the kernels: see `mistakes`."""

from mistakes import DTYPE, USUAL, parts

A, S, L, R, B = "adam_update", "squared_distances", "one_class_loss", "exact_radius_squared", "soft_boundary_loss"
T, E = "train_deep_svdd", "train_epoch"
STEPS = ("the first step", "a later step", "weight decay in the step", "other betas and epsilon")
VALUES = (*STEPS, "ten steps in a row")
MOMENTS = ("first moment", "second moment", "weight decay in the moments")
DECAY = ("weight decay in the moments", "weight decay in the step")
EDGES = "batch of one, sample at the centre"
FORM = ("in place, grad untouched", "dtype")
GRAD = "grad = 2 / len(outputs) * (outputs - center)"

MISTAKES = {
    "adam": [
        (
            "no bias correction",
            [
                ("first_moment / (1 - beta1**step)", "first_moment"),
                ("second_moment / (1 - beta2**step)", "second_moment"),
            ],
            parts(A, *VALUES, "dtype"),
            "the bias correction is forgotten",
        ),
        (
            "no root",
            [("np.sqrt(v_hat) + epsilon", "v_hat + epsilon")],
            parts(A, *VALUES, "dtype"),
            "the square root of v_hat is forgotten",
        ),
        (
            "epsilon inside",
            [("np.sqrt(v_hat) + epsilon", "np.sqrt(v_hat + epsilon)")],
            parts(A, "other betas and epsilon"),
            "epsilon inside the square root",
        ),
        (
            "AdamW",
            [
                ("g = grad + weight_decay * param", "g = grad"),
                ("param -= ", "param -= learning_rate * weight_decay * param\n    param -= "),
            ],
            parts(A, *DECAY, "ten steps in a row"),
            "decoupled weight decay",
        ),
        (
            "no decay",
            [("g = grad + weight_decay * param", "g = grad")],
            parts(A, *DECAY, "ten steps in a row"),
            "the weight decay is forgotten",
        ),
        ("uphill", [("param -= ", "param += ")], parts(A, *VALUES, "dtype"), "a step uphill"),
        (
            "betas exchanged",
            [
                ("beta1 * first_moment + (1 - beta1) * g", "beta2 * first_moment + (1 - beta2) * g"),
                ("beta2 * second_moment + (1 - beta2) * g * g", "beta1 * second_moment + (1 - beta1) * g * g"),
            ],
            parts(A, *VALUES, *MOMENTS, "dtype"),
            "beta1 and beta2 are exchanged",
        ),
        (
            "not in place",
            [("param -= ", "param = param - ")],
            parts(A, *VALUES, *FORM),
            "param is as before: change the array in place",
        ),
        (
            "changes grad",
            [("g = grad + weight_decay * param", "grad += weight_decay * param\n    g = grad")],
            parts(A, "in place, grad untouched"),
            "grad was changed by the call",
        ),
        (
            "moments rebound",
            [("first_moment[...] =", "first_moment ="), ("second_moment[...] =", "second_moment =")],
            parts(A, *MOMENTS, "ten steps in a row", "in place, grad untouched"),
            "first_moment is as before: change the array in place",
        ),
        (
            "corrected moments stored",
            [("m_hat = first_moment", "m_hat = first_moment[...] = first_moment")],
            parts(A, "first moment", "weight decay in the moments", "ten steps in a row"),
            "the bias-corrected moments are stored",
        ),
        (
            "beta t for beta^t",
            [("1 - beta1**step", "1 - beta1 * step"), ("1 - beta2**step", "1 - beta2 * step")],
            parts(A, *STEPS[1:], "ten steps in a row", "dtype"),
            "the root of a negative number",
        ),
        (
            "sign of the weight decay",
            [("grad + weight_decay * param", "grad - weight_decay * param")],
            parts(A, *DECAY, "ten steps in a row"),
            "the weight decay has the wrong sign",
        ),
        (
            "decay not in the second moment",
            [("(1 - beta2) * g * g", "(1 - beta2) * grad * grad")],
            parts(A, *DECAY, "ten steps in a row"),
            "the second moment sees the gradient without the weight decay",
        ),
        (
            "momentum without 1 - beta1",
            [("+ (1 - beta1) * g", "+ g")],
            parts(A, *VALUES, "first moment", "weight decay in the moments", "dtype"),
            "the factor 1 - beta1 is forgotten",
        ),
        (
            "not squared",
            [("(1 - beta2) * g * g", "(1 - beta2) * abs(g)")],
            parts(A, *VALUES, "second moment", "weight decay in the moments"),
            "|g| where g^2 belongs",
        ),
        (
            "old moment in the step",
            [
                ("    # the gradient of", "    m_old = 1 * first_moment\n    #"),
                ("m_hat = first_moment", "m_hat = m_old"),
            ],
            parts(A, *VALUES, "dtype"),
            "the old first moment is used for the step",
        ),
        (
            "Nesterov",
            [("m_hat = first_moment /", "m_hat = (beta1 * first_moment + (1 - beta1) * g) /")],
            parts(A, *VALUES, "dtype"),
            "Nesterov's variant",
        ),
        (
            "no running mean of the gradient",
            [("learning_rate * m_hat", "learning_rate * g")],
            parts(A, *STEPS[1:], "ten steps in a row", "dtype"),
            "(RMSprop)",
        ),
        (
            "no learning rate (what is returned does not matter)",
            [("learning_rate * m_hat", "m_hat"), ("+ epsilon)", "+ epsilon)\n    return param")],
            parts(A, *VALUES, "dtype"),
            "the learning rate is forgotten",
        ),
    ],
    "one-class-loss": [
        (
            "sum for mean",
            [("center).mean()", "center).sum()")],
            parts(L, "value", "other shapes, value", "batch of one, sample at the centre"),
            "the 1/N is missing",
        ),
        (
            "gradient without 1/N",
            [(GRAD, "grad = 2 * (outputs - center)")],
            parts(L, "gradient", "other shapes, gradient", "batch of one, sample at the centre"),
            "the 1/N is missing",
        ),
        (
            "factor 2",
            [(GRAD, "grad = (outputs - center) / len(outputs)")],
            parts(L, "gradient", "other shapes, gradient", "batch of one, sample at the centre"),
            "the factor 2",
        ),
        (
            "sign",
            [(GRAD, "grad = 2 / len(outputs) * (center - outputs)")],
            parts(L, "gradient", "other shapes, gradient", "batch of one, sample at the centre"),
            "the wrong sign",
        ),
        (
            "not squared",
            [("((outputs - center) ** 2).sum(axis=1)", "np.sqrt(((outputs - center) ** 2).sum(axis=1))")],
            parts(S, *USUAL, "batch of one")
            + parts(L, "value", "other shapes, value", "batch of one, sample at the centre"),
            "the distance is not squared",
        ),
        (
            "wrong axis",
            [("** 2).sum(axis=1)", "** 2).sum(axis=0)")],
            parts(S, *USUAL, "batch of one", DTYPE)
            + parts(L, "value", "other shapes, value", "batch of one, sample at the centre"),
            "summed over the batch, not over the coordinates",
        ),
        (
            "no tuple",
            [("return value, grad", "return grad")],
            parts(
                L,
                "value",
                "gradient",
                "other shapes, value",
                "other shapes, gradient",
                "batch of one, sample at the centre",
                DTYPE,
            ),
            "expected the tuple (value, grad, distances)",
        ),
        (
            "four results",
            [("return value, grad", "return value, grad, squared_distances(outputs, center), center")],
            parts(
                L,
                "value",
                "gradient",
                "other shapes, value",
                "other shapes, gradient",
                "batch of one, sample at the centre",
                DTYPE,
            ),
            "returned tuple of 4",
        ),
        (
            "other distances",
            [("return value, grad", "return value, grad, np.sqrt(squared_distances(outputs, center))")],
            parts(L, "value", "other shapes, value", "batch of one, sample at the centre"),
            "the distance is not squared",
        ),
        (
            "divided by p",
            [(GRAD, "grad = 2 / outputs.shape[1] * (outputs - center)")],
            parts(L, "gradient", "other shapes, gradient", EDGES),
            "the gradient is divided by p, where N belongs",
        ),
        (
            "a sign lost in the expansion",
            [
                (
                    "((outputs - center) ** 2).sum(axis=1)",
                    "(outputs**2).sum(axis=1) + 2 * outputs @ center + center @ center",
                )
            ],
            parts(S, *USUAL, "batch of one") + parts(L, "value", "other shapes, value", EDGES),
            "the centre is added, not subtracted",
        ),
        (
            "the centre's square forgotten",
            [("((outputs - center) ** 2).sum(axis=1)", "(outputs**2).sum(axis=1) - 2 * outputs @ center")],
            parts(S, *USUAL, "batch of one") + parts(L, "value", "other shapes, value", EDGES),
            "the error is -1 times the term ||c||^2",
        ),
        (
            "distances of shape (N, 1)",
            [("** 2).sum(axis=1)", "** 2).sum(axis=1, keepdims=True)")],
            parts(S, *USUAL, "batch of one", DTYPE),
            "the right numbers, in the shape (4, 1) where (4,) belongs",
        ),
        (
            "mean over the coordinates",
            [("** 2).sum(axis=1)", "** 2).mean(axis=1)")],
            parts(S, *USUAL, "batch of one") + parts(L, "value", "other shapes, value", EDGES),
            "the mean over the coordinates where the sum belongs",
        ),
        (
            "distance of the mean",
            [
                (
                    "value = squared_distances(outputs, center).mean()",
                    "value = ((outputs - center).mean(axis=0) ** 2).sum()",
                )
            ],
            parts(L, "value", "other shapes, value", EDGES),
            "the distance of the mean output",
        ),
        (
            "a root too many",
            [("squared_distances(outputs, center).mean()", "squared_distances(outputs, center).mean() ** 0.5")],
            parts(L, "value", "other shapes, value", EDGES),
            "a root too many",
        ),
        (
            "the gradient for the centre",
            [(GRAD, "grad = -2 / len(outputs) * (outputs - center).sum(axis=0)")],
            parts(L, "gradient", "other shapes, gradient", EDGES),
            "the gradient for the centre",
        ),
        (
            "results exchanged",
            [("return value, grad", "return grad, value")],
            parts(L, "value", "gradient", "other shapes, value", "other shapes, gradient", EDGES),
            "the right results in another order",
        ),
        (
            "divided by N twice",
            [(GRAD, "grad = 2 / len(outputs) ** 2 * (outputs - center)")],
            parts(L, "gradient", "other shapes, gradient", EDGES),
            "divided by N twice",
        ),
    ],
    "soft-boundary-radius": [
        (
            "interpolated quantile",
            [
                (
                    "return float(np.sort(squared_distances)[::-1][outside])",
                    "return float(np.quantile(squared_distances, 1 - nu))",
                )
            ],
            parts(R, "values", "other sizes", "nu n an integer", "one of the distances, which stay as they are"),
            "a quantile that interpolates",
        ),
        (
            "R for R^2",
            [
                (
                    "return float(np.sort(squared_distances)[::-1][outside])",
                    "return float(np.sqrt(np.sort(squared_distances)[::-1][outside]))",
                )
            ],
            parts(
                R,
                "values",
                "other sizes",
                "nu n an integer",
                "nu = 1, one sample",
                "ties",
                "refuses nu outside (0, 1]",
                "one of the distances, which stay as they are",
            ),
            "R, where R^2 is asked for",
        ),
        (
            "rounding of nu n",
            [("np.floor(nu * n * (1 + 1e-12))", "np.floor(nu * n)")],
            parts(R, "nu n an integer"),
            "0.29 * 100 must count as 29",
        ),
        (
            "all outside for nu = 1",
            [("min(int(np.floor(nu * n * (1 + 1e-12))), n - 1)", "int(np.floor(nu * n * (1 + 1e-12)))")],
            parts(R, "nu = 1, one sample"),
            "IndexError",
        ),
        (
            "sorts the caller's array",
            [("n = len(squared_distances)", "squared_distances.sort()\n    n = len(squared_distances)")],
            parts(R, "one of the distances, which stay as they are"),
            "squared_distances was changed by the call",
        ),
        (
            "nu forgotten",
            [("excess.mean() / nu", "excess.mean()")],
            parts("soft_boundary_objective", "values", "other sizes"),
            "nu is forgotten",
        ),
        (
            "kink counts",
            [("outside = excess > 0", "outside = excess >= 0")],
            parts(B, "on the kink"),
            "exactly on the sphere counts as outside",
        ),
        (
            "gradient without nu",
            [("2 / (nu * N) * outside", "2 / N * outside")],
            parts(B, "gradient", "other sizes", "on the kink"),
            "nu is forgotten",
        ),
        (
            "inside counts too",
            [("outside = excess > 0", "outside = excess > -np.inf")],
            parts(B, "value", "gradient", "other sizes", "on the kink"),
            "samples inside the sphere count too",
        ),
        (
            "excess for distances",
            [("return value, grad.astype(outputs.dtype)", "return value, grad.astype(outputs.dtype), excess")],
            parts(B, "value", "other sizes"),
            "distances[0]: expected",
        ),
    ],
    "deep-svdd": [
        (
            "zero stays zero",
            [("np.where(center < 0, -1.0, 1.0)", "np.sign(center)")],
            parts("move_from_zero", "zero itself"),
            "coordinates of exactly 0 stay at 0",
        ),
        (
            "sign lost",
            [
                (
                    "np.where(np.abs(center) < epsilon, sign * epsilon, center)",
                    "np.where(np.abs(center) < epsilon, epsilon, center)",
                )
            ],
            parts("move_from_zero", "signs"),
            "negative coordinates lose their sign",
        ),
        (
            "centre changed in place",
            [
                (
                    "    return np.where(np.abs(center) < epsilon, sign * epsilon, center)",
                    "    center[:] = np.where(np.abs(center) < epsilon, sign * epsilon, center)\n    return center",
                )
            ],
            parts("move_from_zero", "center stays as it is"),
            "center was changed by the call",
        ),
        (
            "28.999999999999996 counts as 28",
            [("np.floor(nu * len(X) * (1 + 1e-12))", "np.floor(nu * len(X))")],
            parts(T, "radius, nu n whole up to rounding"),
            "nu n is 28.999999999999996 here, and counts as 29",
        ),
        (
            "training mode",
            [("return network.forward(X, training=False).mean(", "return network.forward(X, training=True).mean(")],
            parts("mean_output", "values"),
            "used in training mode",
        ),
        (
            "no backward",
            [("        network.backward(grad_output)\n", "")],
            parts(E, "forward, loss, backward, step", "each batch, and its gradient as it is"),
            "backward is never called",
        ),
        (
            "mean over batches",
            [
                ("total += float(value) * len(batch)", "total += float(value)"),
                ("return total / sum(len(batch) for batch in batches)", "return total / len(batches)"),
            ],
            parts(E, "mean loss"),
            "the mean over batches, not over samples",
        ),
        (
            "last batch dropped",
            [
                (
                    "starts = list(range(0, n, batch_size))",
                    "starts = list(range(0, n - n % batch_size, batch_size)) or [0]",
                ),
                ("[*starts[1:], n]", "[*starts[1:], starts[-1] + batch_size]"),
            ],
            parts("fixed_batches", "values") + parts("shuffled_batches", "every sample once", "sizes"),
            "Is the incomplete batch dropped?",
        ),
        (
            "single sample alone",
            [("    if n % batch_size == 1 and len(starts) > 1:\n        starts.pop()\n", "")],
            parts("fixed_batches", "values") + parts("shuffled_batches", "sizes"),
            "joins the batch before it",
        ),
        (
            "own seed",
            [("order = rng.permutation(n)", "order = np.random.default_rng(0).permutation(n)")],
            parts("shuffled_batches", "shuffled by rng"),
            "another generator gave the same order",
        ),
        (
            "gradient sign",
            [("return distances.mean(), 2 / N * difference", "return distances.mean(), -2 / N * difference")],
            parts(T, "epochs, the loss falls", "gradient of eq. (4)", "better than before training"),
            "outputs are pushed away from the centre",
        ),
        (
            "moving centre",
            [
                (
                    "difference, N = outputs - center, len(outputs)",
                    "difference, N = outputs - outputs.mean(axis=0), len(outputs)",
                )
            ],
            parts(
                T,
                "epochs, the loss falls",
                "gradient of eq. (4)",
                "better than before training",
                "alternation, eq. (3)",
            ),
            "the centre moves: each batch has its own mean",
        ),
        (
            "interpolated radius",
            [
                (
                    "        return float(distances[min(int(np.floor(nu * len(X) * (1 + 1e-12))), len(X) - 1)])",
                    "        return float(np.quantile(distances, 1 - nu))",
                )
            ],
            parts(T, "radius", "radius, nu n whole up to rounding", "alternation, eq. (3)"),
            "an interpolated quantile",
        ),
        (
            "radius never renewed",
            [("epoch % radius_every == 0", "epoch == 0")],
            parts(T, "alternation, eq. (3)"),
            "R^2 was not solved for over the whole of X, in evaluation mode, at the start of epoch 3",
        ),
        (
            "score not squared",
            [
                (
                    "return ((network.forward(X, training=False) - center) ** 2).sum(axis=1) - radius_squared",
                    "return np.sqrt(((network.forward(X, training=False) - center) ** 2).sum(axis=1)) - radius_squared",
                )
            ],
            parts("anomaly_score", "values"),
            "the distance is not squared",
        ),
    ],
}

_MEETS = """int u = sh * p + a - ph, v = sw * q + b - pw;
                // in the border there are zeros: leave those taps out; else add weight times x
                if (u >= 0 && u < H && v >= 0 && v < W)
                    sum += weight"""  # of the forward kernel
F, W, I = "conv2d_forward", "conv2d_backward_weight", "conv2d_backward_input"  # noqa: E741
KERNEL = ("values", "other shapes", "stride", "padding", "more threads than entries", "float32")

MISTAKES["conv2d-cuda"] = [
    (
        "no guard",
        [("    if (i >= N * K * P * Q) return;\n", "")],
        parts(F, "more threads than entries"),
        "one thread too many: > where >= belongs in the guard, or no guard",
    ),
    (
        "no check of the edge",
        [
            (
                "                if (u >= 0 && u < H && v >= 0 && v < W)\n                    sum += weight",
                "                    sum += weight",
            )
        ],
        parts(F, "padding"),
        "out of bounds",
    ),
    (
        "flipped",
        [
            (
                "sum += weight[((k * C + c) * kh + a) * kw + b] * x",
                "sum += weight[((k * C + c) * kh + kh - 1 - a) * kw + kw - 1 - b] * x",
            )
        ],
        parts(F, *KERNEL),
        "the filters are flipped",
    ),
    (
        "padding forgotten",
        [
            (
                _MEETS,
                _MEETS.replace(" - ph", "").replace(" - pw", ""),
            )
        ],
        parts(F, "padding"),
        "the padding is forgotten, but for the size",
    ),
    (
        "stride forgotten",
        [
            (
                _MEETS,
                _MEETS.replace("sh * ", "").replace("sw * ", ""),
            )
        ],
        parts(F, "stride", "padding"),
        "its windows do not move by the stride",
    ),
    (
        "all threads write one entry",
        [("    grad_weight[i] = sum;", "    grad_weight[0] = sum;")],
        parts(W, *KERNEL),
        "data race",
    ),
    (
        "mean over the batch",
        [("    grad_weight[i] = sum;", "    grad_weight[i] = sum / N;")],
        parts(W, "values", "other shapes", "stride", "padding", "more threads than entries", "float32"),
        "the mean over the batch",
    ),
    (
        "batch left out",
        [
            (
                "int v = i % W, u = i / W % H, c = i / (W * H) % C, n = i / (W * H * C);",
                "int v = i % W, u = i / W % H, c = i / (W * H) % C, n = 0;",
            )
        ],
        parts(I, "values", "other shapes", "stride", "padding", "more threads than entries", "float32"),
        "every sample gets the result of the first",
    ),
    (
        "does not compile",
        [("    T sum = 0;\n    for (int n", "    T sum = 0\n    for (int n")],
        parts(W, *KERNEL),
        "does not compile: conv2d_cuda.cu:",
    ),
    (
        "includes a header",
        [("// Convolution as", '#include "kernels/conv2d.cu"\n// Convolution as')],
        parts(F, *KERNEL) + parts(W, *KERNEL) + parts(I, *KERNEL),
        "#include (line 2) is not allowed",
    ),
]
