"""The Boundary Attack: exact where the answer is known, honest where it fails, sparing with queries."""

import numpy as np
import pytest

from minisvdd.attack.boundary_attack import boundary_attack, orthogonal_step

D = 60


class Hyperplane:
    """Class 1 beyond the plane <x, normal> = threshold; counts its queries."""

    def __init__(self):
        normal = np.random.default_rng(5).normal(size=D)
        self.normal = normal / np.linalg.norm(normal)
        self.threshold = 0.5 * self.normal.sum() + 0.4
        self.asked = []

    def __call__(self, x):
        self.asked.append(len(x))
        return (x.reshape(len(x), -1) @ self.normal > self.threshold).astype(int)

    def distance(self, x):
        """Distance of points to the plane, on the side of class 0."""
        return self.threshold - x.reshape(len(x), -1) @ self.normal


def near_the_middle(n=4):
    return np.random.default_rng(6).uniform(0.45, 0.55, (n, D))


@pytest.fixture(scope="module")
def attacked():
    plane, x = Hyperplane(), near_the_middle()
    return plane, x, boundary_attack(plane, x, np.zeros(4, int), queries=2000, rng=np.random.default_rng(0))


def test_comes_within_5_percent_of_the_distance_to_a_hyperplane(attacked):
    plane, x, result = attacked
    assert result.success.all()
    ratio = result.distances / plane.distance(x)
    assert (ratio >= 1 - 1e-9).all(), "no point beyond the plane is closer than the plane"
    assert (ratio < 1.05).all()
    assert result.adversarials.min() > 0, "the box must not bind for this distance to be the answer"
    assert result.adversarials.max() < 1


def test_result_is_what_it_says(attacked):
    plane, x, result = attacked
    np.testing.assert_array_equal(plane(result.adversarials), result.predicted)
    assert (result.predicted == 1).all()
    np.testing.assert_allclose(np.linalg.norm(result.adversarials - x, axis=1), result.distances)
    assert (np.diff(result.curve_distances, axis=0) <= 0).all()
    np.testing.assert_array_equal(result.curve_distances[0], result.start_distances)
    np.testing.assert_array_equal(result.curve_distances[-1], result.distances)
    assert 50 < len(result.curve_queries) < 130, "a point for each equal step of the logarithm"


def test_every_query_is_counted_and_the_budget_kept():
    plane, x = Hyperplane(), near_the_middle()
    result = boundary_attack(plane, x, np.zeros(4, int), queries=150, rng=np.random.default_rng(0))
    assert sum(plane.asked) == result.queries.sum()
    assert (result.queries <= 150).all()


def test_same_seed_same_images():
    def attack(seed):
        rng = np.random.default_rng(seed)
        return boundary_attack(Hyperplane(), near_the_middle(), np.zeros(4, int), queries=100, rng=rng).adversarials

    np.testing.assert_array_equal(attack(1), attack(1))
    assert (attack(1) != attack(2)).any()


def test_an_image_does_not_depend_on_those_attacked_beside_it():
    x = near_the_middle()
    many = boundary_attack(Hyperplane(), x, np.zeros(4, int), queries=100, rng=np.random.default_rng(3))
    one = boundary_attack(Hyperplane(), x[:1], np.zeros(1, int), queries=100, rng=np.random.default_rng(3))
    np.testing.assert_allclose(one.adversarials[0], many.adversarials[0])


def brightest_channel(x):
    """Three classes of images (n, 3, 2, 2)."""
    return x.mean(axis=(2, 3)).argmax(axis=1)


def test_a_targeted_attack_reaches_its_target():
    rng = np.random.default_rng(1)
    x = rng.uniform(0.4, 0.6, (6, 3, 2, 2)).astype(np.float32)
    labels = brightest_channel(x)
    targets = (labels + 1 + np.arange(6) % 2) % 3
    result = boundary_attack(brightest_channel, x, labels, targets=targets, queries=800, rng=rng)
    assert result.success.all()
    np.testing.assert_array_equal(brightest_channel(result.adversarials), targets)
    assert result.adversarials.dtype == np.float32
    # Two channels that differ by g in their means become equal by moving each by g / 2 in all four pixels.
    means = x.mean(axis=(2, 3))
    gap = means.max(axis=1) - means[np.arange(6), targets]
    assert (result.distances >= np.sqrt(2) * gap - 1e-6).all()
    assert np.median(result.distances) < 0.2 * np.median(result.start_distances)


def test_images_stay_in_the_box():
    """The nearest adversarial image is a corner's neighbour: only clipping keeps the walk inside."""
    x = np.full((3, 20), 0.02)

    def bright(images):
        assert images.min() >= 0
        assert images.max() <= 1
        return (images.sum(axis=1) > 5).astype(int)

    result = boundary_attack(bright, x, np.zeros(3, int), queries=500, rng=np.random.default_rng(0))
    assert result.success.all()


def test_says_so_when_nothing_is_adversarial():
    x = near_the_middle(2)
    result = boundary_attack(
        lambda z: np.zeros(len(z), int), x, np.zeros(2, int), start_queries=30, rng=np.random.default_rng(0)
    )
    assert not result.success.any()
    assert np.isinf(result.distances).all()
    np.testing.assert_array_equal(result.adversarials, x)
    np.testing.assert_array_equal(result.queries, [30, 30])


def test_what_is_misclassified_already_needs_no_attack():
    x = near_the_middle(2)
    result = boundary_attack(Hyperplane(), x, np.array([1, 0]), queries=50, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(result.adversarials[0], x[0])
    assert result.distances[0] == 0
    assert result.queries[0] == 1
    assert result.queries[1] > 1


def test_starts_are_taken_from_the_given_images():
    plane = Hyperplane()
    start = np.clip(0.5 + 0.9 * plane.normal, 0, 1)[None]
    x = near_the_middle(2)
    result = boundary_attack(plane, x, np.zeros(2, int), starts=start, queries=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(result.adversarials, np.repeat(start, 2, axis=0))


def test_an_orthogonal_step_stays_on_its_sphere():
    rng = np.random.default_rng(2)
    x, y, delta = rng.random((5, 3, 4)), rng.random((5, 3, 4)), np.array([1e-3, 0.01, 0.1, 0.5, 1.0])
    moved = orthogonal_step(x, y, delta, [rng] * 5)
    radius = np.linalg.norm((y - x).reshape(5, -1), axis=1)
    np.testing.assert_allclose(np.linalg.norm((moved - x).reshape(5, -1), axis=1), radius)
    cosine = ((moved - x) * (y - x)).sum(axis=(1, 2)) / radius**2
    np.testing.assert_allclose(cosine, 1 / np.sqrt(1 + delta**2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.full((2, D), 1.5)}, "images: expected values in"),
        ({"images": np.zeros((2, D), int)}, "images: expected floats"),
        ({"labels": np.zeros(3, int)}, "labels have shape"),
        ({"targets": np.array([1, 0])}, "image 1 has its own label"),
        ({"starts": np.zeros((4, 3))}, "starts have shape"),
        ({"queries": 0}, "^queries=0"),
        ({"queries": 2.5}, "^queries=2.5: expected an integer >= 1"),
        ({"start_queries": 0}, "^start_queries=0"),
        ({"predict": lambda x: np.zeros(1, int)}, "predict returned shape"),
    ],
)
def test_errors_name_the_argument(changes, words):
    arguments = {"predict": Hyperplane(), "images": near_the_middle(2), "labels": np.zeros(2, int), "queries": 20}
    with pytest.raises(ValueError, match=words):
        boundary_attack(**{**arguments, **changes}, rng=np.random.default_rng(0))


def test_a_seed_is_no_generator():
    with pytest.raises(TypeError, match="rng=0"):
        boundary_attack(Hyperplane(), near_the_middle(2), np.zeros(2, int), rng=0)


def test_a_classifier_may_work_in_place():
    """Many normalise what they are given: the attack and the caller's images are the same as with a pure one."""

    def pure(x):
        return ((x - np.float32(0.5)).mean(axis=1) > 0).astype(int)

    def in_place(x):
        x -= np.float32(0.5)
        return (x.mean(axis=1) > 0).astype(int)

    x, starts = np.float32(0.4) * np.random.default_rng(0).random((3, 16), np.float32), np.ones((1, 16), np.float32)
    before = x.copy()
    results = [
        boundary_attack(predict, x, pure(before), starts=starts, queries=200, rng=np.random.default_rng(0))
        for predict in (pure, in_place)
    ]
    np.testing.assert_array_equal(x, before)
    assert (starts == 1).all()
    np.testing.assert_array_equal(results[1].adversarials, results[0].adversarials)
    np.testing.assert_array_equal(results[1].distances, results[0].distances)
