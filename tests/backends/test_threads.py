"""Threads: the same results for any number of them, and settings that come from where they should and go back."""

import multiprocessing
import os
import threading
import time

import joblib
import numpy as np
import pytest

from minisvdd.backends import NUMPY, threads
from minisvdd.backends.threads import one_blas_thread, run, thread_count, use_threads
from minisvdd.nn.losses import MeanSquaredError, OneClass
from minisvdd.nn.networks import make_autoencoder, make_encoder
from minisvdd.nn.optim import Adam
from minisvdd.ops import conv2d


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("MINISVDD_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def trained(network, x, loss):
    """Everything that three training steps and an evaluation compute."""
    optimizer = Adam(network, 1e-3)
    for _ in range(3):
        _, grad_output, _ = loss(network.forward(x, training=True))
        network.backward(grad_output, need_input=False)
        optimizer.step()
    return [*network.params.values(), *network.grads.values(), *network.buffers.values(), network.forward(x)]


@pytest.mark.parametrize("name", ["mnist_lenet", "gtsrb_lenet"])
@pytest.mark.parametrize("count", [2, 3])
def test_results_do_not_depend_on_the_number_of_threads(name, count, rng):
    shape = {"mnist_lenet": (1, 28, 28), "gtsrb_lenet": (3, 32, 32)}[name]
    x = rng.standard_normal((20, *shape)).astype(np.float32)
    results = []
    for n in (1, count):
        network = make_encoder(name, shape)
        network.build(shape, np.random.default_rng(0))
        with use_threads(n):
            results.append(trained(network, x, OneClass(np.full(network.output_shape, 0.1, np.float32))))
    for one, several in zip(*results):
        np.testing.assert_array_equal(one, several)


def test_autoencoder_does_not_depend_on_them_either(rng):
    x = rng.random((20, 1, 28, 28)).astype(np.float32)
    results = []
    for n in (1, 2):
        network = make_autoencoder("mnist_lenet", (1, 28, 28))
        shape, draws = (1, 28, 28), np.random.default_rng(0)
        for part in network.layers:
            shape = part.build(shape, draws)
        with use_threads(n):
            results.append(trained(network, x, lambda y: MeanSquaredError()(y, x)))
    for one, several in zip(*results):
        np.testing.assert_array_equal(one, several)


def test_every_block_is_done_once_and_all_threads_help():
    done, names, barrier = [], set(), threading.Barrier(3, timeout=30)

    def work(blocks):
        names.add(threading.current_thread().name)
        barrier.wait()
        done.extend(blocks)

    with use_threads(3):
        run(work, range(100))
    assert sorted(done) == list(range(100))
    assert len(names) == 3


def test_no_more_threads_than_wished():
    names = set()

    def work(blocks):
        for _ in blocks:
            names.add(threading.current_thread().name)
            time.sleep(0.001)

    with use_threads(4):
        run(work, range(20), most=1)
        assert names == {threading.current_thread().name}
        run(work, range(20), most=2)
    assert len(names) == 2


def test_nested_calls_stay_in_their_thread():
    inner = []

    def name():
        return threading.current_thread().name

    def work(blocks):
        for outer in (name() for _ in blocks):
            run(lambda some, outer=outer: inner.extend((outer, name()) for _ in some), range(3))

    with use_threads(2):
        run(work, range(4))
    assert len(inner) == 12
    # a helper runs nested blocks itself; only the thread that asked first may be helped
    assert all(outer == here for outer, here in inner if outer.startswith("minisvdd"))


def test_error_in_a_thread_arrives_and_nothing_is_left_behind():
    def work(blocks):
        for block in blocks:
            if block == 5:
                raise RuntimeError("block 5")

    with use_threads(2), pytest.raises(RuntimeError, match="block 5"):
        run(work, range(8))
    assert threads._blas.users == 0


def test_setting_is_restored():
    before = thread_count()
    with use_threads(3):
        assert thread_count() == 3
        with use_threads(1):
            assert thread_count() == 1
        assert thread_count() == 3
    with pytest.raises(KeyError), use_threads(5):
        raise KeyError
    assert thread_count() == before == threads.usable_cores()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_has_threads_of_its_own():
    x, weight = np.ones((20, 2, 16, 16)), np.ones((3, 2, 5, 5))
    with use_threads(2):
        expected = conv2d.conv2d_forward.on(NUMPY)(x, weight)  # the pool is running when the fork comes
        with multiprocessing.get_context("fork").Pool(1) as pool:
            got = pool.apply_async(conv2d.conv2d_forward.on(NUMPY), (x, weight)).get(timeout=60)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_joblib_workers_share_the_cores():
    counts = joblib.Parallel(n_jobs=2)(joblib.delayed(thread_count)() for _ in range(2))
    assert counts == [max(1, joblib.cpu_count() // 2)] * 2


def test_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what joblib sets in its workers
    assert thread_count() == 1
    monkeypatch.setenv("MINISVDD_NUM_THREADS", "7")
    assert thread_count() == 7
    with use_threads(2):
        assert thread_count() == 2


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "257"])
def test_bad_variable_is_named(text, monkeypatch):
    monkeypatch.setenv("MINISVDD_NUM_THREADS", text)
    for use in (thread_count, lambda: run(list, [1, 2])):  # where there is something to share
        with pytest.raises(ValueError, match="MINISVDD_NUM_THREADS") as error:
            use()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True, 257])
def test_bad_number_is_refused(n):
    with pytest.raises(ValueError, match="n="), use_threads(n):
        pass


def test_blas_is_kept_to_one_thread_and_restored():
    class Library:
        num_threads = 4

        def set_num_threads(self, n):
            self.num_threads = n

    library = Library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_blas_libraries", lambda: [library])
        with one_blas_thread():
            with one_blas_thread():
                assert library.num_threads == 1
            assert library.num_threads == 1
        assert library.num_threads == 4


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000", 1.5), ("max 100000", np.inf), ("nonsense", np.inf)])
def test_container_limit(limit, cores, tmp_path):
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "cpu.max").write_text(limit)
    (tmp_path / "membership").write_text("1:cpu:/old\n0::/box\n")
    assert threads._cgroup_cores(str(tmp_path), str(tmp_path / "membership")) == cores
    assert threads._cgroup_cores(str(tmp_path), str(tmp_path / "none")) == np.inf


@pytest.mark.parametrize(
    ("text", "most"), [("512", 256), ("0", 256), ("-2", 256), ("auto", 256), ("3,2", 3), (" 1 ", 1)]
)
def test_a_foreign_variable_limits_or_says_nothing(text, most, monkeypatch):
    """$OMP_NUM_THREADS belongs to all programs, which write into it what they like."""
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert thread_count() == min(threads.usable_cores(), most)


def test_threads_are_shared_by_all_who_ask():
    """Two to twelve at a time: eleven helpers in the end, not the 66 of eleven pools."""
    for count in range(2, 13):
        with use_threads(count):
            run(list, range(20))
    with use_threads(3):
        run(list, range(20))
    helpers = [thread.name for thread in threading.enumerate() if thread.name.startswith("minisvdd_")]
    assert len(set(helpers)) == len(helpers) <= max(11, threads._helpers.count)
    assert threads._helpers.count >= 11
