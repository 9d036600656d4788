"""The stand-ins that a graded training loop gets: they compute what the library computes, and note every call."""

import numpy as np
import pytest

from minisvdd.course.grader import recording
from minisvdd.course.grader.recording import Log, RecordedLoss, RecordedNetwork, RecordedOptimizer, as_arguments
from minisvdd.ops import one_class_loss


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def network(log, rng):
    return RecordedNetwork(log, 3, rng)


def test_a_log_is_read_by_name(log):
    log.note("forward", x=1)
    log.note("step")
    log.note("forward", x=2)
    assert log.names() == ["forward", "step", "forward"]
    assert log.of("forward") == [{"x": 1}, {"x": 2}]
    assert log.of("backward") == []


def test_a_loop_that_never_ends_is_stopped(log, monkeypatch):
    monkeypatch.setattr(recording, "_MOST_CALLS", 2)
    log.note("step")
    log.note("step")
    with pytest.raises(RuntimeError, match="too many calls"):
        log.note("step")


def test_the_loss_is_the_one_class_loss(log, rng):
    center, outputs = rng.standard_normal(4), rng.standard_normal((5, 4))
    value, grad, distances = RecordedLoss(log, center)(outputs, outputs)
    expected = one_class_loss(outputs, center)
    assert value == pytest.approx(float(expected[0]), rel=1e-12)
    np.testing.assert_allclose(grad, expected[1], rtol=1e-12)
    np.testing.assert_allclose(distances, ((outputs - center) ** 2).sum(axis=1), rtol=1e-12)
    (noted,) = log.of("loss")
    assert (noted["value"], noted["grad"] is grad) == (value, True)
    np.testing.assert_array_equal(noted["y"], outputs)
    assert len(RecordedLoss(log, center, results=2)(outputs, outputs)) == 2


def test_a_step_goes_down_the_noted_gradient(log, network, rng):
    x, loss = rng.standard_normal((6, 3)), RecordedLoss(log, np.ones(4))
    optimizer = RecordedOptimizer(log, network)
    optimizer.step()  # without gradients: noted, and no more
    before = loss(network.outputs(x), x)[0]
    for _ in range(20):
        _, grad, _ = loss(network.forward(x, training=True), x)
        assert network.backward(grad) is None
        optimizer.step()
    assert loss(network.forward(x), x)[0] < 0.9 * before
    names = log.names()
    assert names[:6] == ["step", "loss", "forward", "loss", "backward", "step"]
    assert names[-2:] == ["evaluate", "loss"]
    np.testing.assert_array_equal(log.of("evaluate")[0]["y"], network.outputs(x))
    np.testing.assert_array_equal(log.of("evaluate")[0]["x"], x)


@pytest.mark.parametrize(
    "batch",
    [np.zeros((0, 3)), np.zeros(3), np.zeros((2, 4)), np.full((2, 3), "a"), None, [[1j] * 3], np.zeros((10_001, 3))],
)
def test_what_is_no_batch_is_refused(batch, network):
    """Of the last one the grader would keep eight times what it was sent."""
    with pytest.raises(ValueError, match=r"expected \(N, 3\) with N in 1 \.\.\. 10000"):
        network.forward(batch)


def test_a_loop_fills_no_memory_but_its_own(log, network, monkeypatch):
    monkeypatch.setattr(recording, "_MOST_BYTES", 5 * 100 * (3 + 4) * 8)
    for _ in range(5):
        network.forward(np.zeros((100, 3), np.int8))
    with pytest.raises(RuntimeError, match="too many calls"):
        network.forward(np.zeros((100, 3), np.int8))


def test_lists_and_whole_numbers_are_batches(network):
    assert network.forward([[1, 2, 3]]).dtype == np.float64


def test_every_method_has_an_answer(log, network):
    arguments, table = as_arguments(network, RecordedLoss(log, np.zeros(4)), RecordedOptimizer(log, network))
    assert [argument.methods for argument in arguments] == [("forward", "backward"), ("__call__",), ("step",)]
    assert len({argument.key for argument in arguments}) == 3
    assert len(table) >= 3
