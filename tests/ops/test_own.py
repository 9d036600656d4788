"""Files with operations of a reader's own: which of their names count, and what is said of those that do not fit."""

import inspect

import numpy as np
import pytest
from helpers_data import one_line_error

from minisvdd.backends import HostBackend
from minisvdd.errors import DataError
from minisvdd.nn.layers import Linear
from minisvdd.ops.own import calls_of, load_operations

LINEAR = "def linear_forward(x, weight):\n    return x @ weight.T\n"


@pytest.fixture
def load(tmp_path):
    """The operations in a file of this text; a message of one line, which names the file, where it is refused."""

    def load(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return load_operations(tmp_path / name)

    return load


def refusal(load, text, name="mine.py"):
    return one_line_error(lambda: load(text, name)).partition(f"{name}: ")[2]


def test_functions_that_are_called_like_operations_count(load):
    text = LINEAR + "def helper(x):\n    return x\n\nmaxpool_forward = 3\n\nfrom minisvdd.ops import conv2d_forward\n"
    assert list(load(text)) == ["linear_forward"]


def test_they_take_the_place_of_the_library_s(load, rng):
    own = load("def linear_forward(x, weight):\n    '''Mine.'''\n    return 7 * (x @ weight.T)\n")
    assert own["linear_forward"].__doc__ == "Mine."
    assert list(inspect.signature(own["linear_forward"]).parameters) == ["x", "weight"]
    layer, x = Linear(2), rng.standard_normal((4, 3))
    layer.build((3,), rng, np.float64, HostBackend("numpy", own))
    np.testing.assert_allclose(layer.forward(x), 7 * x @ layer.params["weight"].T, rtol=1e-12)


@pytest.mark.parametrize(
    "signature", ["x, weight, extra=None", "x, w", "*arguments", "x, weight, *, power=2", "x, weight=None"]
)
def test_more_than_the_formula_s_arguments_may_be_accepted(signature, load):
    assert "linear_forward" in load(f"def linear_forward({signature}):\n    return 0\n")


@pytest.mark.parametrize("signature", ["x", "", "x, weight, extra", "x, *, weight", "x, weight, *, power"])
def test_fewer_are_refused(signature, load):
    message = refusal(load, f"def linear_forward({signature}):\n    return 0\n")
    assert message == f"linear_forward({signature}): expected the arguments (x, weight)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines none of the operations: expected functions such as "),
        ("conv2d_forward = 3\n", "defines none of the operations"),
        ("from minisvdd.ops import conv2d_forward\n", "defines none of the operations"),
        ("x = 1\ndef (:\n", "line 2: "),
        ("raise KeyError('no\\nsuch')\n", "KeyError while it was run: "),
        ("import no_such_module\n", "ModuleNotFoundError while it was run: No module named 'no_such_module'"),
    ],
)
def test_files_that_define_nothing(text, message, load):
    assert refusal(load, text).startswith(message)


def test_what_is_no_python_file(load, tmp_path):
    assert refusal(load, LINEAR, "mine.txt") == "expected a Python file, FILE.py"
    with pytest.raises(DataError, match=r"none\.py: cannot be read"):
        load_operations(tmp_path / "none.py")


def test_an_exception_says_where_it_was_raised(load):
    own = load("def part(x):\n    return x[5]\n\ndef linear_forward(x, weight):\n    return part(x)\n")
    with pytest.raises(DataError, match=r"mine\.py:2: linear_forward: IndexError: ") as caught:
        own["linear_forward"](np.zeros(3), np.zeros(3))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"mine\.py: linear_forward: TypeError: "):
        own["linear_forward"]()


def test_calls_are_counted_and_what_is_not_written_is_the_formula_s(load, rng):
    own = load(
        LINEAR
        + "def linear_backward_input(grad_output, weight):\n    raise NotImplementedError\n"
        + "def leaky_relu_forward(x, slope):\n    return x\n"
    )
    layer, x = Linear(2), rng.standard_normal((4, 3))
    layer.build((3,), rng, np.float64, HostBackend("plain", own))
    for _ in range(3):
        layer.forward(x, training=True)
        np.testing.assert_array_equal(layer.backward(np.ones((4, 2))), np.ones((4, 2)) @ layer.params["weight"])
    assert calls_of(own) == (
        "calls of your operations: linear_forward 3; never called: leaky_relu_forward; "
        "not written yet, so the library's: linear_backward_input"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch_statistics(x):\n    return x[0], 2 * x[1]", [[[0.0], [1.0]], [0.5], [0.0], [4.0]]),
        (
            "batchnorm_forward(x, mean, variance, epsilon):\n    return 7 * x, mean",
            [[[7.0], [7.0]], [1.0], [1.0], [0.0]],
        ),
    ],
)
def test_the_whole_is_put_together_from_the_parts(text, expected, load):
    """The layer asks for statistics and normalisation at once."""
    own = load(f"def {text}\n")
    given = np.array([[0.0], [2.0]] if "statistics" in text else [[1.0], [1.0]])
    for got, right in zip(own["batchnorm_forward_batch"](given, 0.0), expected):
        np.testing.assert_allclose(got, right)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("conv2d_foward", "conv2d_forward"), ("Linear_Forward", "linear_forward"), ("adam_updates", "adam_update")],
)
def test_a_slip_in_a_name_is_told(name, meant, load):
    assert refusal(load, f"def {name}(x):\n    return x\n") == f"no operation is called {name}: is it {meant}?"


@pytest.mark.parametrize("name", ["linear_forward_2", "_linear_forwards", "relu", "conv2d_output_size"])
def test_helpers_may_be_called_as_one_likes(name, load):
    assert list(load(f"{LINEAR}def {name}(x):\n    return x\n")) == ["linear_forward"]
