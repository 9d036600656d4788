"""Assignments in two versions: a teacher's seed draws one; each is graded by its own rule, the other one is told."""

import numpy as np
import pytest
from helpers_cli import run
from helpers_course import right
from in_process import grade_here

from minisvdd.course import NAMES, get_assignment, skeleton
from minisvdd.course.catalog import VARIED
from minisvdd.course.handouts.handout import handout
from minisvdd.course.handouts.notebooks import notebook
from minisvdd.svdd.radius import exact_radius_squared, soft_boundary_objective

STANDARD = {name: get_assignment(name).functions for name in VARIED}


def both(name):
    """The two versions, the usual one first."""
    found = {}
    for seed in range(20):
        version = get_assignment(name, seed)
        found.setdefault(version.rule, version)
    assert len(found) == 2
    return sorted(found.values(), key=lambda version: version.functions != STANDARD[name])


def by_part(source, assignment, seed=0):
    return {part.name: part for part in grade_here(source, assignment, seed).parts}


@pytest.mark.parametrize("name", VARIED)
def test_seeds_draw_either_version_and_one_seed_one_version(name):
    rules = [get_assignment(name, seed).rule for seed in range(40)]
    assert rules == [get_assignment(name, seed).rule for seed in range(40)]
    assert 8 < rules.count(rules[0]) < 32


def test_assignments_draw_for_themselves():
    """Who knows the one does not know the others."""
    drawn = {tuple(get_assignment(name, seed).functions == STANDARD[name] for name in VARIED) for seed in range(40)}
    assert len(drawn) == 8


@pytest.mark.parametrize("name", VARIED)
def test_each_version_s_solution_has_full_points_with_every_seed(name):
    for version in both(name):
        for seed in range(15):
            parts = by_part(skeleton(version, solution=True), version, seed)
            assert {part.name: part.message for part in parts.values() if part.message} == {}
        assert version.points == 100
        assert [part.name for part in version.parts] == [part.name for part in get_assignment(name).parts]


LOST = {
    "maxpool": {"maxpool_forward: ties", "maxpool_backward: ties"},
    "leaky-relu": {"leaky_relu_backward: at x = 0"},
    "soft-boundary-radius": {"exact_radius_squared: nu n an integer"},
}


@pytest.mark.parametrize("name", VARIED)
def test_the_other_version_s_solution_loses_points_and_is_told(name):
    for version, other in (both(name), both(name)[::-1]):
        parts = by_part(skeleton(other, solution=True), version)
        lost = {part.name for part in parts.values() if not part.passed}
        assert lost >= LOST[name]
        assert len(lost) < len(parts) - 2
        for part in lost:
            assert f"looks like: this is the other variant, where {other.rule}" in parts[part].message
            assert version.rule in parts[part].message


@pytest.mark.parametrize("name", VARIED)
def test_last_year_s_file_is_told(name):
    """A student's own words for the usual version, handed in for the other one."""
    usual, other = both(name)
    assert sum(part.score for part in by_part(right(name), usual).values()) == 100
    parts = by_part(right(name), other)
    assert sum(part.score for part in parts.values()) < 100
    assert any("this is the other variant" in part.message for part in parts.values())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("maxpool", "window.max(axis=2)", "window.mean(axis=2)"),
        ("leaky-relu", "np.where(x > 0, x, slope * x)", "np.maximum(x, 0)"),
        ("soft-boundary-radius", "excess.mean() / nu", "excess.mean()"),
    ],
)
def test_a_mistake_is_not_taken_for_the_other_variant(name, old, new):
    """What is wrong by either rule keeps its own diagnosis."""
    source = right(name)
    assert old in source
    parts = by_part(source.replace(old, new), both(name)[0])
    assert sum(part.score for part in parts.values()) < 100
    assert not any("other variant" in part.message for part in parts.values())


@pytest.mark.parametrize("seed", range(10))
def test_the_larger_radius_is_a_minimiser_and_no_smaller_than_the_other(seed):
    larger = both("soft-boundary-radius")[1].functions[1].op
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    d, nu = rng.gamma(2.0, 1.0, n).round(int(rng.integers(0, 3))), float(rng.integers(1, n + 1) / n)
    u = larger(d, nu)
    assert u in d
    assert u >= exact_radius_squared(d, nu)
    best = min(soft_boundary_objective(v, d, nu) for v in d)
    assert soft_boundary_objective(u, d, nu) == pytest.approx(best)
    assert all(soft_boundary_objective(v, d, nu) > best - 1e-12 for v in d[d > u])
    assert not any(soft_boundary_objective(v, d, nu) <= best * (1 - 1e-12) for v in d)


@pytest.mark.parametrize("name", VARIED)
def test_handout_and_skeleton_say_the_rule(name):
    for version in both(name):
        for level in ("guided", "plain", "scratch"):
            for text in (handout(version, level), skeleton(version, level)):
                assert version.rule in " ".join(text.split())
        assert f"--assignment {name} --variant {version.drawn}" in handout(version)
    texts = [skeleton(version, "scratch") for version in both(name)]
    changed = set(texts[0].splitlines()) ^ set(texts[1].splitlines())
    assert len(changed) > 2  # the contract too, not only the line that names the rule
    assert "variant" not in handout(get_assignment(name)).lower()


def test_the_command_hands_out_and_grades_a_variant(tmp_path, capsys):
    seed = next(seed for seed in range(20) if get_assignment("maxpool", seed).functions != STANDARD["maxpool"])
    for folder, options in (("mine", ["--variant", seed]), ("usual", [])):
        assert run("assignment", "maxpool", "--out", tmp_path / folder, "--solution", *options) == 0
    capsys.readouterr()
    grading = ("--assignment", "maxpool", "--variant", seed)
    assert run("grade", tmp_path / "mine" / "maxpool.py", *grading) == 0
    assert "total 100 / 100" in capsys.readouterr().out
    assert run("grade", tmp_path / "usual" / "maxpool.py", *grading) == 1
    assert "this is the other variant" in capsys.readouterr().out
    assert run("grade", tmp_path / "mine", *grading) == 0  # a student's folder
    assert "total 100 / 100" in capsys.readouterr().out
    assert run("grade", "--class", tmp_path, *grading) == 0
    assert "this is the other variant" in capsys.readouterr().out


def test_what_has_no_variant_says_so(tmp_path, capsys):
    assert run("assignment", "adam", "--out", tmp_path, "--variant", 3) == 2
    assert "has no variants; those that have: maxpool, leaky-relu, soft-boundary-radius" in capsys.readouterr().err
    assert run("grade", tmp_path / "maxpool.py", "--variant", 3) == 2
    assert "--variant: needs --assignment NAME" in capsys.readouterr().err
    with pytest.raises(ValueError, match="not as notebooks"):
        notebook(get_assignment("maxpool", 3), "otter")
    assert set(VARIED) <= set(NAMES)
