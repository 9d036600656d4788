"""`minisvdd info`: what is installed and found."""

import pytest
from helpers_cli import run

pytestmark = pytest.mark.slow


def test_info(capsys, tmp_path):
    assert run("info", "--data-dir", tmp_path) == 0
    out = capsys.readouterr().out
    for word in ("minisvdd", "numpy", "backends", "digits", "mnist", "cifar10", "gtsrb", str(tmp_path)):
        assert word in out
