"""More planted mistakes: (name, [(old text, new text), ...], the function that makes it, words of the diagnosis).

Nothing but parts of that function may lose points.
"""

F, W, I, S = "conv2d_forward", "conv2d_backward_weight", "conv2d_backward_input", "conv2d_output_size"  # noqa: E741
MF, MB = "maxpool_forward", "maxpool_backward"
J, R, B = "soft_boundary_objective", "exact_radius_squared", "soft_boundary_loss"
T, E = "train_deep_svdd", "train_epoch"
_FLOOR = "min(int(np.floor(nu * n * (1 + 1e-12))), n - 1)"
_SORTED = "return float(np.sort(squared_distances)[::-1][outside])"
_GRAD = "grad = 2 / (nu * N) * outside[:, None] * difference"
_OUT_SIZE = "(n + 2 * p - k) // s + 1 for"
_SHARE = '"kc,nkpq->ncpq", weight[:, :, a, b], grad_output'
_MET = '"kc,ncpq->nkpq", weight[:, :, a, b], met'
_ROUND = "losses.append(train_epoch(network, loss, optimizer, X, shuffled_batches(len(X), batch_size, rng)))"
_LAST_TAP = (
    "    for a, b in np.ndindex(kernel_size[0], kw):\n"
    "        for i, j in np.ndindex(*grad_output.shape[2:]):\n"
    "            grad_input[:, :, sh * i + a, sw * j + b] += grad_output[:, :, i, j]\n"
    "    return grad_input / (kernel_size[0] * kw)\n"
)

CONV2D = [
    ("rounded up", [(_OUT_SIZE, "-(-(n + 2 * p - k) // s) + 1 for")], S, "rounded up"),
    ("+ 1 inside the division", [(_OUT_SIZE, "(n + 2 * p - k + 1) // s for")], S, "(n + 2p - k + 1) / s"),
    ("padded by the edge", [(
        "padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))\n    # the size",
        'padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode="edge")\n    # the size')],
     F, "the border repeats the edge"),
    ("mean over channels", [("    return y\n", "    return y / x.shape[1]\n")], F, "the mean over the channels"),
    ("last tap only", [(f"y += np.einsum({_MET})", f"y = np.einsum({_MET})")], F, "only the last tap"),
    ("filters mirrored", [(_MET, _MET.replace("a, b]", "a, -1 - b]"))], F, "flipped in their columns"),
    ("weight gradient without grad_output", [(
        'np.einsum("nkpq,ncpq->kc", grad_output, met)', 'np.einsum("nkpq,ncpq->kc", np.ones_like(grad_output), met)')],
     W, "grad_output is left out"),
    ("weight gradient of the last sample", [(
        'np.einsum("nkpq,ncpq->kc", grad_output, met)', 'np.einsum("kpq,cpq->kc", grad_output[-1], met[-1])')],
     W, "only the last sample counts"),
    ("input gradient of the last filter", [(_SHARE, '"kc,nkpq->ncpq", weight[-1:, :, a, b], grad_output[:, -1:]')],
     I, "only the last filter counts"),
    ("input gradient without the rows left over", [(
        "return padded[:, :, ph : ph + H, pw : pw + W].copy()",
        "return padded[:, :, ph : sh * (P - 1) + kh - ph, pw : sw * (Q - 1) + kw - pw].copy()")],
     I, "rows and columns that the stride leaves over"),
    ("input gradient from one sample", [(_SHARE, '"kc,kpq->cpq", weight[:, :, a, b], grad_output[0]')],
     I, "every sample gets the result of the first"),
]  # fmt: skip
MAXPOOL = [
    ("winner of the image", [("window.argmax(axis=2)", (
        "window.argmax(axis=2) // kw * W + window.argmax(axis=2) % kw + sh * i * W + sw * j"))],
     MF, "winner counts in the whole image"),
    ("winner from one", [("window.argmax(axis=2)", "window.argmax(axis=2) + 1")], MF, "winner counts from 1"),
    ("winner is a row", [("window.argmax(axis=2)", "window.argmax(axis=2) // kw")], MF, "the row in the window alone"),
    ("smallest", [("window.argmax(axis=2)", "window.argmin(axis=2)"), ("window.max(axis=2)", "window.min(axis=2)")],
     MF, "the smallest entry"),
    ("largest magnitude", [("window.max(axis=2)", "np.abs(window).max(axis=2)"),
                           ("window.argmax(axis=2)", "np.abs(window).argmax(axis=2)")], MF, "without its sign"),
    ("one stride", [("(kh, kw), (sh, sw) = kernel_size, stride\n", (
        "(kh, kw), (sh, sw) = kernel_size, (stride[0], stride[0])\n"))], MF, "the stride of the rows is used"),
    ("kernel turned", [("(kh, kw), (sh, sw) = kernel_size, stride\n", (
        "(kw, kh), (sh, sw) = kernel_size, stride\n"))], MF, "rows and columns of the kernel are exchanged"),
    ("gradient without grad_output", [("+= grad_output[n, c, i, j]", "+= 1")], MB, "grad_output is left out"),
    ("gradient moves by the kernel", [("kw, (sh, sw) = kernel_size[1], stride\n", (
        "kw, (sh, sw) = kernel_size[1], kernel_size\n"))], MB, "windows move by the kernel"),
    ("gradient to the corner", [("a, b = divmod(int(winner[n, c, i, j]), kw)", "a, b = 0, 0")],
     MB, "the first entry of every window"),
    ("gradient spread", [("    return grad_input\n", (
        "    grad_input[...] = 0\n" + _LAST_TAP))], MB, "spread evenly"),
]  # fmt: skip
SOFT_BOUNDARY_RADIUS = [
    ("nearest", [(_SORTED, 'return float(np.quantile(squared_distances, 1 - nu, method="nearest"))')],
     R, "the quantile that lies nearest"),
    ("rounded", [(_FLOOR, "min(round(nu * n), n - 1)")], R, "nu n is rounded to the nearest number"),
    ("rounded up", [(_FLOOR, "min(int(np.ceil(nu * n)), n - 1)")], R, "nu n is rounded up"),
    ("unsorted", [(_SORTED, "return float(squared_distances[outside])")], R, "the distances are not sorted"),
    ("squared again", [(_SORTED, _SORTED.replace("outside])", "outside] ** 2)"))], R, "are squared already"),
    ("mean over those outside", [(_GRAD, "grad = 2 / max(1, outside.sum()) * outside[:, None] * difference")],
     B, "the mean over the samples outside"),
    ("hinge squared in the value", [("excess[outside].sum()", "(excess[outside] ** 2).sum()")],
     B, "the hinge is squared"),
    ("inside out", [("outside = excess > 0", "outside = excess < 0")], B, "those outside do not"),
    ("no centre", [("difference = outputs - center", "difference = outputs")], B, "the centre is forgotten"),
    ("hinge squared in the objective", [("excess.mean() / nu", "(excess**2).mean() / nu")], J, "the hinge is squared"),
    ("root in the objective", [("float(radius_squared + excess", "float(np.sqrt(radius_squared) + excess")],
     J, "R for the first term"),
]  # fmt: skip
DEEP_SVDD = [
    ("shuffled once", [("    losses = []\n", "    losses, same = [], shuffled_batches(len(X), batch_size, rng)\n"),
                       ("X, shuffled_batches(len(X), batch_size, rng)", "X, same")],
     T, "the same batches in every epoch"),
    ("not shuffled", [("X, shuffled_batches(len(X), batch_size, rng)", (
        "X, [np.arange(len(X))[b] for b in fixed_batches(len(X), batch_size)]"))], T, "are not shuffled"),
    ("own seed", [("batch_size, rng)))", "batch_size, np.random.default_rng(len(losses)))))")],
     T, "another generator gave the same order"),
    ("no radius for one-class", [("return center, solve_radius(), losses", (
        'return center, solve_radius() if objective == "soft-boundary" else 0.0, losses'))],
     T, "zero: R^2 is solved for"),
    ("radius of an earlier epoch", [("return center, solve_radius(), losses", (
        'return center, radius_squared if objective == "soft-boundary" else solve_radius(), losses'))],
     T, "not solved for after the last epoch"),
    ("centre of each epoch", [(_ROUND, (
        "center = move_from_zero(mean_output(network, X), center_epsilon)\n        " + _ROUND))],
     T, "the mean output of a later epoch"),
    ("nu n of the whole set", [("2 / (nu * N) * (excess > 0)", "2 / (nu * len(X)) * (excess > 0)")],
     T, "divided by nu n of the whole set"),
    ("R for R^2", [("excess = distances - radius_squared", "excess = distances - np.sqrt(radius_squared)")],
     T, "R where R^2 belongs"),
    ("hinge forgotten", [("(excess > 0)[:, None] * difference", "difference")], T, "max(0, .) is missing"),
    ("losses summed", [(_ROUND, _ROUND.replace("append(", "append(3 * "))], T, "the losses"),
    ("loss of the wrong inputs", [("loss(network.forward(x, training=True), x)", (
        "loss(network.forward(x, training=True), X)"))], E, "the inputs of this batch"),
    ("scores between 0 and 1", [(
        "return ((network.forward(X, training=False) - center) ** 2).sum(axis=1) - radius_squared",
        "d = ((network.forward(X, training=False) - center) ** 2).sum(axis=1)\n"
        "    return (d - d.min()) / max(d.max() - d.min(), 1e-12)")], "anomaly_score", "scores are rescaled"),
]  # fmt: skip
_INDEX = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n    if (i >= {}) return;"
_FIRST, _SECOND = _INDEX.format("N * K * P * Q"), _INDEX.format("K * C * kh * kw")
_FORWARD_SUM = "sum += weight[((k * C + c) * kh + a) * kw + b] * x"
CONV2D_CUDA = [
    ("no block index", [(_FIRST, _FIRST.replace("blockIdx.x * blockDim.x + ", ""))],
     F, "the block's index is forgotten"),
    ("grid for block", [(_FIRST, _FIRST.replace("blockDim", "gridDim"))], F, "data race"),
    ("barrier behind the guard", [(_FIRST, _FIRST + "\n    __syncthreads();")],
     F, "a barrier that some threads never reach"),
    ("guard off by one", [(_FIRST, _FIRST.replace(">=", ">"))], F, "one thread too many"),
    ("float inside", [(_SECOND, _SECOND + "\n    typedef float U;"), (
        "T sum = 0;\n    for (int n", "U sum = 0;\n    for (int n")], W, "single precision"),
    ("int inside", [("T sum = 0;\n    for (int n", "int sum = 0;\n    for (int n")], W, "is the sum kept in an int"),
    ("added to what was there", [("grad_weight[i] = sum;", "grad_weight[i] += sum;")], W, "+= where = belongs"),
    ("rows and columns of the result", [("int q = i % Q, p = i / Q % P", "int p = i % P, q = i / P % Q")],
     F, "is divided by P, then by Q"),
    ("rows and columns of the filter", [(
        _FORWARD_SUM, _FORWARD_SUM.replace("* kh + a) * kw + b", "* kw + a) * kh + b"))],
     F, "`weight` is read at"),
    ("entries between strides", [(" || row % sh || column % sw", "")], I, "row % stride must be 0"),
]  # fmt: skip
MISTAKES = {
    "conv2d": CONV2D,
    "maxpool": MAXPOOL,
    "soft-boundary-radius": SOFT_BOUNDARY_RADIUS,
    "deep-svdd": DEEP_SVDD,
    "conv2d-cuda": CONV2D_CUDA,
}
