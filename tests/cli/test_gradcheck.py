"""`minisvdd gradcheck`: reports, and the exit status they lead to."""

import pytest
from helpers_cli import run

pytestmark = pytest.mark.slow


def test_gradcheck_of_one_layer(capsys):
    assert run("gradcheck", "--layer", "Linear", "--layer", "BatchNorm") == 0
    out = capsys.readouterr().out
    assert "gradcheck: Linear" in out
    assert "gradcheck: BatchNorm" in out
    assert out.splitlines()[-1].endswith("gradient checks passed")


class Report:
    """A report of nothing."""

    def __init__(self, passed):
        self.passed = passed


@pytest.mark.parametrize(("passed", "status"), [((True, True), 0), ((True, False), 1), ((False, True), 1)])
def test_gradcheck_exits_1_when_any_check_fails(passed, status, monkeypatch):
    monkeypatch.setattr("minisvdd.cli.gradcheck.check_library", lambda name, backend: [Report(passed[name == "ReLU"])])
    assert run("gradcheck", "--layer", "Linear", "--layer", "ReLU") == status


def write(folder, text):
    """A reader's own file of operations."""
    path = folder / "mine.py"
    path.write_text("import numpy as np\n\n" + text)
    return path


RIGHT = """
def linear_forward(x, weight):
    return np.einsum("nd,kd->nk", x, weight)
"""
NEGATED = """
def linear_backward_weight(grad_output, x):
    return -(grad_output.T @ x)
"""
CONVOLUTION = """
def conv2d_backward_weight(grad_output, x, kernel_size, stride=(1, 1), padding=(0, 0)):
    from minisvdd.ops import conv2d_backward_weight as formula
    return formula(grad_output, x, kernel_size, stride, padding)[:, :, ::-1, ::-1].copy()
"""
BROKEN = """
def maxpool_forward(x, kernel_size, stride):
    return x[99999]
"""


def test_gradcheck_exits_1_for_a_wrong_gradient(tmp_path, capsys):
    assert run("gradcheck", "--layer", "Linear", "--ops", write(tmp_path, NEGATED)) == 1
    out = capsys.readouterr().out
    assert "linear_backward_weight: FAILED" in out
    assert "looks like: negated" in out
    assert "0 of 1 functions equal their formulas" in out


def test_functions_of_one_s_own_are_checked_where_they_are_used(tmp_path, capsys):
    assert run("gradcheck", "--ops", write(tmp_path, RIGHT), "--backend", "plain") == 0
    out = capsys.readouterr().out
    assert "linear_forward: equals its formula" in out
    assert "gradcheck: Linear" in out
    assert "gradcheck: Conv2D" not in out


def test_a_planted_error_is_diagnosed(tmp_path, capsys):
    assert run("gradcheck", "--layer", "Conv2D", "--ops", write(tmp_path, CONVOLUTION)) == 1
    out = capsys.readouterr().out
    assert "flipped in space" in out
    assert "conv2d_backward_weight: FAILED: the result at [0, 0, 0, 0]" in out


def test_an_exception_in_a_function_of_one_s_own_is_a_failure_with_its_line(tmp_path, capsys):
    assert run("gradcheck", "--ops", write(tmp_path, BROKEN)) == 1
    out = capsys.readouterr().out
    assert "mine.py:5: maxpool_forward: IndexError: index 99999 is out of bounds" in out
    assert "Traceback" not in out


def test_a_result_of_another_shape_is_a_failure(tmp_path, capsys):
    file = write(tmp_path, "def conv2d_forward(x, weight, stride, padding):\n    return x\n")
    assert run("gradcheck", "--ops", file) == 1
    out = capsys.readouterr().out
    assert "conv2d_forward: FAILED: the result has shape" in out
    assert "gradcheck: Conv2D\nFAILED: ValueError" in out
    assert out.splitlines()[-1].startswith("0 of ")


def test_files_without_operations_are_refused(tmp_path, capsys):
    for text, message in (
        ("x = 1\n", "defines none of the operations"),
        ("def linear_forward(x):\n    return x\n", r"linear_forward(x): expected the arguments (x, weight)"),
        ("def linear_forward(x, weight:\n", "line 3"),
        ("1 / 0\n", "ZeroDivisionError"),
    ):
        assert run("gradcheck", "--ops", write(tmp_path, text)) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    assert run("gradcheck", "--ops", tmp_path / "none.py") == 2
    assert run("gradcheck", "--ops", tmp_path / "mine.txt") == 2
    assert run("gradcheck", "--ops", write(tmp_path, RIGHT), "--backend", "emulator") == 2
    assert "--ops: needs --backend plain or numpy" in capsys.readouterr().err


GROWING = """
def linear_forward(x, weight):
    return x @ weight.T


def batch_statistics(x):
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    return x.mean(axis=axes), x.var(axis=axes)


def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
    raise NotImplementedError("conv2d_forward")
"""


def test_a_file_may_grow(tmp_path, capsys):
    """What is not written yet is the library's; the whole network is checked with what is there."""
    assert run("gradcheck", "--ops", write(tmp_path, GROWING)) == 0
    out = capsys.readouterr().out
    assert "conv2d_forward: not written yet: the library's formula stands in" in out
    assert "batchnorm_forward_batch: equals its formula" in out  # which the layers call, put together from the parts
    assert "gradcheck: Sequential" in out
    assert "3 of 3 functions equal their formulas" in out


def test_the_whole_network_fails_with_a_wrong_gradient(tmp_path, capsys):
    assert run("gradcheck", "--ops", write(tmp_path, NEGATED)) == 1
    network = capsys.readouterr().out.partition("gradcheck: Sequential")[2]
    assert "looks like: negated" in network


def test_a_slip_in_a_name_is_told(tmp_path, capsys):
    assert run("gradcheck", "--ops", write(tmp_path, "def conv2d_foward(x, weight):\n    return x\n")) == 2
    assert "no operation is called conv2d_foward: is it conv2d_forward?" in capsys.readouterr().err
