"""A trained detector, as the command leaves it."""

import pytest
from helpers_cli import run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of `minisvdd train` on the digits' sixes."""
    folder = tmp_path_factory.mktemp("run")
    assert run("train", "--quiet", "--normal-class", "6", "--out", folder) == 0
    return folder
