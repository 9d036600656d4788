"""Long and large, in small: bounded memory for memory-mapped arrays, and nothing left behind by many fits."""

import gc
import tracemalloc

import numpy as np
import pytest
from trainer_properties import small_model

from minisvdd import Autoencoder, DeepSVDD
from minisvdd.backends.threads import use_threads
from minisvdd.svdd import detector as detectors

pytestmark = pytest.mark.slow

N, SHAPE = 40_000, (1, 8, 8)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Images in files of 10 MB (float32) and 2.5 MB (uint8), mapped into memory for reading."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    np.save(folder / "float.npy", rng.random((N, *SHAPE), np.float32))
    np.save(folder / "bytes.npy", rng.integers(0, 256, (N, *SHAPE), np.uint8))
    return {kind: np.load(folder / f"{kind}.npy", mmap_mode="r") for kind in ("float", "bytes")}


def peak_mb(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["float", "bytes"])
@pytest.mark.parametrize("preprocessing", ["gcn-l1", None])
def test_scoring_a_memory_mapped_array_takes_bounded_memory(mapped, kind, preprocessing):
    X = mapped[kind]
    model = small_model(epochs=1, preprocessing=preprocessing, batch_size=200).fit(X[:400])
    with use_threads(1):  # how much of their work several have at the same moment is left to chance
        small, large = peak_mb(lambda: model.anomaly_score(X[:8000])), peak_mb(lambda: model.anomaly_score(X))
    assert large < small + 2 * 8 * N / 2**20  # beyond a block, only the scores themselves, once joined
    assert large < 12


def test_training_from_a_memory_mapped_array_takes_bounded_memory(mapped):
    X = mapped["float"]

    def peak(n):
        model = small_model(epochs=1, preprocessing=None, batch_size=200)
        return peak_mb(lambda: model.fit(X[:n]))

    few, many = peak(2000), peak(16_000)
    assert many - few < 4.5  # outputs and distances: far below the 4 MB * 2 that a copy and its check would take


@pytest.mark.parametrize("features", [False, True])
def test_blocks_give_the_same_scores_bit_for_bit(mapped, features, monkeypatch):
    X = np.array(mapped["float"][:900])
    X = X.reshape(len(X), -1) if features else X
    network, preprocessing = ("mlp", "standardize") if features else ("digits_lenet", "gcn-l1")
    for model in (
        DeepSVDD(network=network, pretrain_epochs=0, epochs=1, verbose=0, preprocessing=preprocessing).fit(X),
        Autoencoder(network=network, epochs=1, verbose=0, preprocessing=preprocessing).fit(X),
    ):
        whole = model.anomaly_score(X)
        monkeypatch.setattr(detectors, "BLOCK", 500)  # a multiple of the evaluation batch, as BLOCK is
        np.testing.assert_array_equal(model.anomaly_score(X), whole)
        monkeypatch.undo()


def test_a_bad_value_far_into_a_large_array_is_named_by_its_place(mapped):
    X = np.array(mapped["float"][:12_000])
    model = small_model(epochs=1).fit(X[:400])
    X[9001, 0, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"\(9001, 0, 2, 3\)"):
        model.anomaly_score(X)
    with pytest.raises(ValueError, match=r"\(9001, 0, 2, 3\)"):
        model.fit(X)


def test_many_fits_leave_nothing_behind():
    X = np.random.default_rng(0).random((40, *SHAPE), np.float32)
    kilobytes = []
    tracemalloc.start()
    try:
        for _ in range(5):
            for _ in range(20):
                small_model(epochs=1).fit(X).anomaly_score(X)
            gc.collect()
            kilobytes.append(tracemalloc.get_traced_memory()[0] / 1024)
    finally:
        tracemalloc.stop()
    assert kilobytes[-1] - kilobytes[0] < 100  # 80 fits leave less than one network (35 kB) with its optimiser (70 kB)
