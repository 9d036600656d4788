"""Every operation: its readings agree with its formula on drawn shapes, none changes its arguments."""

import ast
import inspect
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from references import tolerance

from minisvdd import ops
from minisvdd.backends import PLAIN, HostBackend
from minisvdd.gradcheck.drawn import IN_PLACE, drawn_arguments
from minisvdd.ops.operation import Operation


def results(function, arguments):
    """What a call returns, and its array arguments afterwards, as a list."""
    arguments = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    found = function(*arguments)
    found = found if isinstance(found, tuple) else () if found is None else (found,)
    return [np.asarray(value) for value in found], arguments


@pytest.mark.parametrize("draw", range(4))
@pytest.mark.parametrize("name", ops.all_operations())
def test_every_reading_gives_the_numbers_of_the_formula(name, draw, backend, dtype):
    """And changes none of its arguments, except those that an update is there to change."""
    operation = ops.all_operations()[name]
    arguments = drawn_arguments(name, np.random.default_rng([draw, len(name)]), dtype)
    expected, expected_arguments = results(operation.plain, arguments)
    found, found_arguments = results(operation.on(backend), arguments)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected):
        assert got.shape == wanted.shape
        assert got.dtype == wanted.dtype or got.dtype.kind in "iu" or name in ("absolute_error", "absolute_distances")
        np.testing.assert_allclose(got, wanted, **tolerance(dtype))
    for index, (before, plain, after) in enumerate(zip(arguments, expected_arguments, found_arguments)):
        if not isinstance(before, np.ndarray):
            continue
        if index in IN_PLACE.get(name, ()):
            assert not np.array_equal(plain, before)
            np.testing.assert_allclose(after, plain, **tolerance(dtype))
        else:
            np.testing.assert_array_equal(plain, before)
            np.testing.assert_array_equal(after, before)


F = np.float32
REFUSED = {
    "grey images, filters of three channels": ("conv2d_forward", (np.ones((2, 1, 6, 6), F), np.ones((4, 3, 3, 3), F))),
    "five channels": ("conv2d_forward", (np.ones((2, 5, 6, 6), F), np.ones((4, 1, 3, 3), F))),
    "no images": ("conv2d_forward", (np.ones((2, 36), F), np.ones((4, 1, 3, 3), F))),
    "another size": ("conv2d_backward_weight", (np.ones((2, 4, 3, 4), F), np.ones((2, 3, 6, 6), F), (3, 3))),
    "another batch": ("conv2d_backward_weight", (np.ones((1, 4, 4, 4), F), np.ones((2, 3, 6, 6), F), (3, 3))),
    "one filter": ("conv2d_backward_input", (np.ones((2, 1, 4, 4), F), np.ones((4, 3, 3, 3), F), (6, 6))),
    "a module's channels": (
        "encoder_module_forward",
        (np.ones((2, 1, 6, 6), F), np.ones((4, 3, 3, 3), F), (1, 1), (1, 1), 1e-4, 0.1, (2, 2)),
    ),
    "a module's window": (
        "encoder_module_forward",
        (np.ones((2, 3, 1, 8), F), np.ones((4, 3, 3, 3), F), (1, 1), (1, 1), 1e-4, 0.1, (2, 2)),
    ),
    "a window": ("maxpool_forward", (np.ones((2, 3, 1, 8), F), (2, 2), (2, 2))),
    "a window of winners": (
        "norm_act_pool_forward",
        (np.ones((2, 3, 1, 8), F), np.zeros(3, F), np.ones(3, F), 0.1, (2, 2)),
    ),
    "statistics": ("batchnorm_forward", (np.ones((2, 1, 2, 2), F), np.zeros(3, F), np.ones(3, F), 1e-4)),
    "statistics of a module": (
        "norm_act_pool_evaluate",
        (np.ones((2, 1, 2, 2), F), np.zeros(3, F), np.ones(3, F), 0.1, (2, 2)),
    ),
    "scale and shift": ("affine_forward", (np.ones((2, 1), F), np.ones(3, F), np.ones(3, F))),
    "running statistics": ("running_update", (np.zeros(3, F), np.ones(1, F), 0.1)),
    "features": ("linear_forward", (np.ones((2, 7), F), np.ones((3, 5), F))),
    "biases": ("bias_forward", (np.ones((2, 1), F), np.ones(3, F))),
    "a slope above one": ("leaky_relu_forward", (np.ones((2, 1), F), 2.0)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_reading_refuses_the_same(case, backend):
    """In words, where NumPy would broadcast, or a kernel read past the end of an array."""
    name, arguments = REFUSED[case]
    operation, messages = ops.all_operations()[name], set()
    for call in (operation, operation.on(backend)):
        with pytest.raises(ValueError, match=r"expected \S+|is larger than the input") as caught:
            call(*arguments)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_reader_s_own_function_need_not_check():
    grey, filters = REFUSED["grey images, filters of three channels"][1]
    mine = HostBackend("numpy", {"conv2d_forward": lambda x, weight, stride, padding: x})
    with pytest.raises(ValueError, match=r"x has shape \(2, 1, 6, 6\): expected \(N, 3, H, W\) for filters \(4, 3"):
        ops.conv2d_forward.on(mine)(grey, filters, (1, 1), (1, 1))


@pytest.mark.parametrize("backend", [PLAIN, HostBackend("numpy")], ids=["plain", "numpy"])
def test_no_image_and_whole_numbers(backend):
    """A batch of none has gradients of 0; whole numbers are multiplied as such."""
    for stride, size in (((1, 1), 6), ((2, 2), 3)):
        none = np.zeros((0, 4, size, size)), np.zeros((0, 3, 8, 8))
        assert not ops.conv2d_backward_weight.on(backend)(*none, (3, 3), stride).any()
    np.testing.assert_array_equal(ops.leaky_relu_forward.on(backend)(np.array([[-2, 3]]), 0.5), [[-1, 3]])


def lines_of(function):
    """Lines of a function without its docstring, comments and blank lines."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    first, *rest = definition.body
    body = rest if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) else [first, *rest]
    text = inspect.getsource(function).splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(1 for line in text if line.strip() and not line.strip().startswith("#"))


def test_formulas_are_short():
    """A formula fits into 15 lines, all of them into 500, docstrings not counted."""
    lengths = {name: lines_of(operation.plain) for name, operation in ops.all_operations().items()}
    assert max(lengths.values()) <= 15, lengths
    assert sum(lengths.values()) < 500


def test_an_operation_looks_like_its_formula():
    operation = ops.conv2d_forward
    assert list(inspect.signature(operation).parameters) == ["x", "weight", "stride", "padding"]
    assert operation.__doc__ == operation.plain.__doc__
    assert repr(operation) == "<operation conv2d_forward>"
    assert pickle.loads(pickle.dumps(operation)) is operation


def test_no_formula_has_an_argument_that_only_another_reading_needs():
    for name, operation in ops.all_operations().items():
        assert not {"backend", "out", "rung", "deferred", "workspace"} & set(inspect.signature(operation).parameters), (
            name
        )


@pytest.mark.parametrize("kind", ["fast", "launch"])
def test_every_reading_takes_the_arguments_of_the_formula(kind):
    """Under their names and with their defaults, after the backend in a launch; what comes on top may be left out."""
    for name, operation in ops.all_operations().items():
        formula = list(inspect.signature(operation).parameters.values())
        reading = operation.reading(kind)
        if reading is None:
            continue
        taken = list(inspect.signature(reading).parameters.values())
        if kind == "launch":
            assert taken.pop(0).name == "backend"
        assert [(p.name, p.default) for p in taken[: len(formula)]] == [(p.name, p.default) for p in formula], name
        assert all(p.default is not p.empty for p in taken[len(formula) :]), name


def test_readings():
    @Operation
    def double(x):
        return x + x

    assert double(2) == double.on(PLAIN)(2) == double.on(HostBackend("numpy"))(2) == 4  # no fast reading: the formula

    @double.fast
    def _(x):
        return 2 * x

    class Kernels:
        name, runs_numpy, readings = "kernels", False, {}

    assert double.on(HostBackend("numpy")) is double.reading("fast")
    assert double.on(PLAIN) is double.plain
    with pytest.raises(NotImplementedError, match="double has no kernel: backend 'kernels' cannot run it"):
        double.on(Kernels())

    @double.launch
    def _(backend, x):
        return f"{backend.name} {x}"

    assert double.on(Kernels())(3) == "kernels 3"
    mine = HostBackend("numpy", readings={"double": lambda x: "mine"})
    assert double.on(mine)(1) == "mine"
    assert double.on(PLAIN)(1) == 2


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("from minisvdd.ops import conv2d_forward", ("threads", "workspace", "kernel", "emulator", "fast", "launch")),
        ("from minisvdd import ops, backends", ("threads", "workspace", "kernel", "emulator", "conv2d")),
    ],
)
def test_a_formula_loads_nothing_but_itself(statement, unwanted):
    code = f"{statement}\nimport sys\nprint(*(m for m in sys.modules if m.startswith('minisvdd')))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = {module.rpartition(".")[2] for module in done.stdout.split()}
    assert "ops" in loaded
    assert not loaded & set(unwanted)


def test_an_unknown_operation_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'conv3d_forward'"):
        ops.conv3d_forward  # noqa: B018
