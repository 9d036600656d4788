"""Survivors of `python_mutants.py` that no test can kill, and why: (file, the edited line)."""

EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "ops/batchnorm.py",
        'result = backend.empty((shares, 3, C), a.dtype) if rung == "split" else means',
    ): "the kernels lay 2 C numbers per share one after the other; what lies behind them is not used",
    (
        "ops/conv2d.py",
        "rows_of_grad = grad.reshape(K, -2)",
    ): "NumPy takes any negative number for the length that it must work out",
    (
        "ops/conv2d.py",
        "first = max(0, -(offset // stride)) if offset <= 0 else 0",
    ): "for offset 0 both branches give 0",
    (
        "ops/strips.py",
        "run(work, _blocks(count, N, (height * C * width + out_h / K * outputs) * y.itemsize))",
    ): "an estimate of bytes, which decides in how many blocks the same numbers are computed",
    (
        "ops/conv2d_launch.py",
        "shares = max(min(128 // (chunk * taps), positions), 1)",
    ): "max(a, b) is max(b, a)",
    (
        "training.py",
        "captured: bool = False,",
    ): "steps that are replayed as graphs give the same numbers, bit for bit",
    (
        "svdd.py",
        'warnings.warn(f"hypersphere collapse: {sign}", CollapseWarning)',
    ): "says which line of svdd.py the warning is attributed to",
    (
        "optim.py",
        "self.corrections, self.learning_rate = backend.zeros(2, np.float64), backend.zeros(2, np.float64)",
    ): "the kernel reads the first of the two numbers; both are written",
}
