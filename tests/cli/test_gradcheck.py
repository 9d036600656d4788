"""`minisvdd gradcheck`: reports, and the exit status they lead to."""

from helpers_cli import run


def test_gradcheck_of_one_layer(capsys):
    assert run("gradcheck", "--layer", "Linear", "--layer", "BatchNorm") == 0
    out = capsys.readouterr().out
    assert "gradcheck: Linear" in out
    assert "gradcheck: BatchNorm" in out
    assert out.splitlines()[-1].endswith("gradient checks passed")


def test_gradcheck_exits_1_for_a_wrong_gradient(monkeypatch, capsys):
    from minisvdd.ops import linear

    monkeypatch.setattr(linear, "linear_backward_weight", lambda backend, grad_output, x: -(grad_output.T @ x))
    assert run("gradcheck", "--layer", "Linear") == 1
    assert "negated" in capsys.readouterr().out
