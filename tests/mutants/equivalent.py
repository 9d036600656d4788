"""Survivors of `python_mutants.py` that no test can kill, and why: (file, the edited line).

A dropped statement stands as "the statement -> pass".
"""

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "validation.py",
        "block = max(1, _BLOCK // max(1, X[:2].size))",
    ): "how many samples are looked at in one go",
    (
        "validation.py",
        "block = min(1, _BLOCK // max(1, X[:1].size))",
    ): "how many samples are looked at in one go",
    (
        "experiments/running/budget.py",
        "self.end = None if seconds is None else time.time() + seconds - min(seconds / 10, _FOR_THE_REPORT)",
    ): "min(a, b) is min(b, a)",
    (
        "export/auc.py",
        "high = brentq(excess, max(_EDGE, auc), 1.0) if excess(1.0) > 0 else 1.0",
    ): "max(a, b) is max(b, a)",
    (
        "files/atomic.py",
        "with suppress(OSError, ImportError):",
    ): "the exceptions that are suppressed are a set",
    (
        "svdd/explain.py",
        'variance = np.einsum("ncij,nce,neij->nij", g, covariance, g, optimize=False)',
    ): "the order in which a product of three is summed: the same numbers, later",
    (
        "ops/conv2d/strips.py",
        "run(work, _blocks(count, N, (height * C * width + out_h / K * outputs) * y.itemsize))",
    ): "an estimate of bytes, which decides in how many blocks the same numbers are computed",
    (
        "ops/conv2d/launch.py",
        "shares = max(min(128 // (chunk * taps), positions), 1)",
    ): "max(a, b) is max(b, a)",
    (
        "ops/conv2d/winograd.py",
        "np.matmul(g, weight.transpose(3, 0, 2, 1).reshape(kw, -2), out=filters.reshape(n, -1))",
    ): "NumPy takes any negative number for the length that it must work out",
    (
        "attack/boundary_attack.py",
        "tries = most - 1 if starts is None else min(len(starts), most - 1)",
    ): "min(a, b) is min(b, a)",
    (
        "attack/boundary_attack.py",
        "step = 1",
    ): "which of the steps are the first to try the sphere, and to be drawn, is arbitrary",
    (
        "attack/adversarial.py",
        'write_arrays(path, {"settings": np.array([text]), **arrays}, compressed=False)',
    ): "the same arrays in a larger file",
    (
        "gradcheck/differences.py",
        "COMPLEX_STEP = 2e-30",
    ): "any step this small gives the same derivative, up to rounding",
    (
        "gradcheck/differences.py",
        "return max(self.low - self.analytic, 0.0, self.analytic - self.high)",
    ): "max(a, b, c) is max(a, c, b)",
    (
        "ops/activations.py",
        "return np.where(x >= 0, x, slope * x)",
    ): "at 0 both branches are 0",
    (
        "ops/batchnorm/launch.py",
        "shares = shares_of_channel(C, N, positions)",
    ): "in how many shares the numbers of a channel are added up: the same sum",
    (
        "ops/losses.py",
        "zero = backend.zeros(logits.shape[:], logits.dtype)"
        "  # no loss is negative: its distance from 0 is the loss itself",
    ): "more zeros than are needed, one row for each sample",
    (
        "ops/own.py",
        "ast.parse(path.read_bytes(), str(path)) -> pass",
    ): "running a file that is no Python raises the same SyntaxError",
    (
        "attack/augmentation.py",
        "chosen = (partners[labels] >= 0) & (rng.random(len(labels)) <= 0.5)",
    ): "a random number is 1/2 once in 2^53 draws",
    (
        "backends/emulator.py",
        "if path.parent != kernel_folder():  # the first of our own kernels: build all of them, side by side",
    ): "which libraries are built ahead of time, side by side: the same ones in the end",
    (
        "ops/conv2d/__init__.py",
        "grad_weight = np.ones((grad_output.shape[1], x.shape[1], *kernel_size), np.result_type(grad_output, x))",
    ): "every tap is written",
    (
        "lazy.py",
        "setattr(sys.modules[package], name, value)  # the next time Python finds it by itself -> pass",
    ): "the next time the same value is looked up again",
    (
        "backends/host.py",
        "array[...] = values -> pass",
    ): "every backend has a `write` of its own",
    (
        "nn/divergence.py",
        "def backward(self, grad_output: Array, need_input: bool = False, need_params: bool = True) -> Array:",
    ): "the stand-in that looks for a divergence computes both in any case",
    (
        "experiments/protocols.py",
        "_QUICK = Protocol(10, (8,), 1e-6, (10,), 15, 1e-3)",
    ): "how long a quick look takes",
    (
        "attack/classifier.py",
        "milestones: Sequence[int] = (20, 28),",
    ): "when a default schedule lowers its rate",
    (
        "cli/score.py",
        "outlier = -scores - model.offset_ <= 0",
    ): "a score on the threshold to the last bit",
    (
        "nn/steps.py",
        "self._has_samples = True",
    ): "what the first step says",
    (
        "cli/data.py",
        'self._progress, self._total = Progress("download, MB", max((total or 0) >> 20, 1)), total',
    ): "max(a, b) is max(b, a)",
    (
        "svdd/explain.py",
        "seed = int(check_generator(random_state).integers(2*32))  # the same draws for every block: a map depends on its",  # noqa: E501
    ): "which seed the blocks share is nobody's matter",
    (
        "svdd/explain.py",
        "centered = X - X.mean(axis=(2, 3), keepdims=True)",
    ): "the same mean of float32 pixels, to rounding",
    (
        "rivals/svm.py",
        "Z = Z[:: (-len(Z) // _COMPARED)]",
    ): "as evenly spread, from the other end",
    (
        "rivals/forest.py",
        "size = min(len(Z), self.subsample)",
    ): "min(a, b) is min(b, a)",
    (
        "ops/reductions.py",
        'rung = rung or ("warps" if not (len(partials) > 32) else "tiled")',
    ): "which rung adds up: a matter of time, and of rounding",
    (
        "ops/reductions.py",
        'backend.launch("sum_partials", args, grid=(-(-result.size * 32),), block=(block,), rung=rung)',
    ): "more blocks, which find nothing to do",
    (
        "rivals/latent.py",
        "grad_y = sum_of(s, features.backward(t), 1 - a, a)",
    ): "gradients of parameters that nobody asks for",
    (
        "nn/fusion.py",
        "def forward(self, x: Array, training: bool = True) -> Array:",
    ): "a network tells every step which it is",
}
