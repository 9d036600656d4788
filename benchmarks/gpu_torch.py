"""PyTorch's side of `gpu.py`: training steps in three ways, and cuDNN's convolutions. Nothing here needs CuPy."""

import importlib.util
import statistics

from minisvdd.experiments.torch_twin import twin_of

COMPILE_SECONDS = 60  # what torch.compile(mode="max-autotune") may take before its first step


def version():
    """PyTorch's version, or None where there is none that sees a GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch.__version__ if torch.cuda.is_available() else None


def step_contenders(network, kind, X, batch_size):
    """Functions that make an epoch over X, by name; no entry without PyTorch.  network: ours, built on NumPy."""
    if version() is None:
        return {}
    contenders = {}
    for way in (_eager_epoch, _graph_epoch, _compiled_epoch):
        for tf32 in (False, True):
            name = f"torch {way.__name__.strip('_').removesuffix('_epoch')}{', TF32' if tf32 else ''}"
            contenders[name] = lambda way=way, tf32=tf32: way(*_prepared(network, kind, X, batch_size, tf32))
    return contenders


def _prepared(network, kind, X, batch_size, tf32):
    """The module and its data on the device, the precision set, and the batches as views of the data."""
    import torch

    _set_precision(tf32)
    module, data = twin_of(network).cuda().train(), torch.from_numpy(X).cuda()
    return module, kind, data, torch.arange(len(X), device="cuda").split(batch_size)


def _set_precision(tf32):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def _loss(module, kind, x):
    target = 0.1 if kind == "encoder" else x
    return ((module(x) - target) ** 2).sum().div(len(x))


def _optimizer(module, **options):
    import torch

    return torch.optim.Adam(module.parameters(), 1e-4, weight_decay=1e-6, fused=True, **options)


def _eager_epoch(module, kind, data, batches):
    import torch

    optimizer = _optimizer(module)

    def epoch():
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            _loss(module, kind, data.index_select(0, batch)).backward()
            optimizer.step()
        torch.cuda.synchronize()

    return epoch


def _compiled_epoch(module, kind, data, batches):
    import torch

    return _eager_epoch(torch.compile(module, mode="max-autotune"), kind, data, batches)


def _graph_epoch(module, kind, data, batches):
    """Forward, backward and Adam as one captured graph on a fixed batch, into which every batch is gathered."""
    import torch

    optimizer, x = _optimizer(module, capturable=True), data.index_select(0, batches[0])

    def step():
        optimizer.zero_grad(set_to_none=True)
        _loss(module, kind, x).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        _loss(module, kind, x).backward()
        optimizer.step()

    def epoch():
        for batch in batches:
            torch.index_select(data, 0, batch, out=x)
            graph.replay()
        torch.cuda.synchronize()

    return epoch


def convolution_seconds(sizes, kernel_size, padding):
    """Seconds of cuDNN's three operations, by operation and precision, measured as `gpu.kernel_seconds` does."""
    if version() is None:
        return {}
    import torch

    N, C, side, K = sizes
    x, weight = torch.randn(N, C, side, side, device="cuda"), torch.randn(K, C, *kernel_size, device="cuda")
    grad = torch.randn(N, K, side, side, device="cuda")

    def backward(mask):
        options = (None, (1, 1), padding, (1, 1), False, (0, 0), 1, mask)
        return lambda: torch.ops.aten.convolution_backward(grad, x, weight, *options)

    calls = {
        "forward": lambda: torch.nn.functional.conv2d(x, weight, padding=padding),
        "backward input": backward((True, False, False)),
        "backward weight": backward((False, True, False)),
    }
    seconds = {operation: {} for operation in calls}
    for tf32, name in ((False, "cudnn"), (True, "cudnn, TF32")):
        _set_precision(tf32)
        for operation, call in calls.items():
            seconds[operation][name] = _cold_seconds(call)
    return seconds


def _cold_seconds(call, repeats=20):
    import torch

    buffer = torch.empty(2 * torch.cuda.get_device_properties(0).L2_cache_size, dtype=torch.uint8, device="cuda")
    both, flushes = (_captured(steps, repeats) for steps in ((buffer.zero_, call), (buffer.zero_,)))
    return statistics.median((_graph_seconds(both) - _graph_seconds(flushes)) / repeats for _ in range(5))


def _captured(steps, repeats):
    import torch

    for step in steps:  # cuDNN chooses its algorithm now
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            for step in steps:
                step()
    graph.replay()
    torch.cuda.synchronize()
    return graph


def _graph_seconds(graph):
    import torch

    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    graph.replay()
    events[1].record()
    events[1].synchronize()
    return events[0].elapsed_time(events[1]) / 1000
