"""Fixtures for all tests, the marks `quick` and `compiler`, the order of tests, and how Hypothesis draws."""

import os
import random
from itertools import groupby

import numpy as np
import pytest
from helpers_cuda import HostArrays
from hypothesis import settings
from threadpoolctl import threadpool_limits

from minisvdd.backends import backend_problems, get_backend

# Property tests: "ci" draws the same cases every time, "nightly" new ones, and prints how to draw a failing one again.
# Chosen by $MINISVDD_HYPOTHESIS or --hypothesis-profile.
PROFILES = {"ci": {"derandomize": True}, "nightly": {"derandomize": False, "print_blob": True}}


def pytest_configure():
    """Which cases the property tests get; before Hypothesis' own option, which overrides it."""
    for name, options in PROFILES.items():
        settings.register_profile(name, deadline=None, **options)
    chosen = os.environ.get("MINISVDD_HYPOTHESIS", "ci")
    if chosen not in PROFILES:
        raise pytest.UsageError(f"MINISVDD_HYPOTHESIS={chosen!r}: expected one of {', '.join(PROFILES)}")
    settings.load_profile(chosen)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Whatever is not marked `slow` is `quick`: `pytest -m quick` ends within two minutes.

    What is marked `compiler` is skipped where there is none.
    """
    no_emulator = backend_problems()["emulator"]
    for item in items:
        if no_emulator and item.get_closest_marker("compiler"):
            item.add_marker(pytest.mark.skip(reason=no_emulator))
        if not item.get_closest_marker("slow"):
            item.add_marker("quick")
    if seed := os.environ.get("MINISVDD_SHUFFLE"):
        items[:] = shuffled(items, seed)


def shuffled(items, seed):
    """The files in the order that `seed` draws, and so the tests of each: no test may need another one before it."""
    chance = random.Random(seed)
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    chance.shuffle(files)
    for tests in files:
        chance.shuffle(tests)
    return [test for tests in files for test in tests]


def pytest_report_header():
    """How to have the same order again."""
    seed = os.environ.get("MINISVDD_SHUFFLE")
    return f"MINISVDD_SHUFFLE={seed}" if seed else None


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Matrix products this small gain nothing from threads, and on a busy machine idle threads cost minutes."""
    with threadpool_limits(1, user_api="blas"):
        yield


def _backend_params():
    for name, problem in backend_problems().items():
        marks = [pytest.mark.gpu] if name == "cuda" else []
        yield pytest.param(name, marks=[*marks, *([pytest.mark.skip(reason=problem)] if problem else [])])


@pytest.fixture(params=_backend_params())
def backend(request):
    """Every backend, as one that takes NumPy arrays; what this machine cannot run is skipped, with the reason."""
    return HostArrays() if request.param == "cuda" else get_backend(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both precisions that every operation must keep."""
    return request.param


@pytest.fixture
def rng():
    """A Generator that starts anew in each test."""
    return np.random.default_rng(7)
