"""Fixtures for all tests."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from minisvdd.backends import available_backends, get_backend


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Matrix products this small gain nothing from threads, and on a busy machine idle threads cost minutes."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(params=available_backends())
def backend(request):
    """Every backend of this machine."""
    return get_backend(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both precisions that every operation must keep."""
    return request.param


@pytest.fixture
def rng():
    """A Generator that starts anew in each test."""
    return np.random.default_rng(7)
