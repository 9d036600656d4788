"""What memory is left, as the system and a container's control group say it."""

import os

import pytest

from minisvdd.backends import memory

GB = 1 << 30


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that writes what the system and the control groups say; without it they say nothing."""
    monkeypatch.setattr(memory, "_SYSTEM", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUPS", tuple((tmp_path / group[1], *group[1:]) for group in memory._GROUPS))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}[name], raising=False)

    def write(system=None, group=None, version=0):
        if system is not None:
            (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {system // 1024} kB\n")
        if group is not None:
            folder, limit, use, cached = memory._GROUPS[version]
            folder.mkdir()
            for name, value in zip((limit, use), group):
                (folder / name).write_text(f"{value}\n")
            (folder / "memory.stat").write_text(f"anon 5\n{cached} {group[2]}\n")

    return write


def test_this_machine_has_some():
    assert memory.available_bytes() > 1 << 20


def test_the_system_alone(told):
    told(system=3 * GB)
    assert memory.available_bytes() == 3 * GB


def test_what_is_installed_where_the_system_says_no_more(told):
    assert memory.available_bytes() == 4096000


def test_nothing_known(told, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_bytes() is None


@pytest.mark.parametrize("version", [0, 1])
def test_a_containers_limit_counts_without_its_cached_files(told, version):
    told(system=9 * GB, group=(4 * GB, 3 * GB, GB), version=version)
    assert memory.available_bytes() == 2 * GB


def test_a_group_without_limit_or_with_a_wide_one(told):
    told(system=3 * GB, group=("max", GB, 0))
    told(group=(90 * GB, GB, 0), version=1)
    assert memory.available_bytes() == 3 * GB


def test_a_group_that_is_over_its_limit_has_nothing_left(told):
    told(system=3 * GB, group=(GB, 2 * GB, 0))
    assert memory.available_bytes() == 0
