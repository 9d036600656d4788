"""What a check of the course says of a result: right up to rounding, or wrong in words that teach."""

import numpy as np
import pytest

from minisvdd.course.grader import checks
from minisvdd.course.grader.checks import Case, Wrong, as_numbers, close, compare, difference, keeps_dtype, values

RIGHT = np.array([[1.0, -2.0, 4.0], [8.0, 16.0, -32.0]])


class Submission:
    """Stands for a student and his sandbox: the function is called here, on copies, which come back."""

    def __init__(self, function):
        self.function, self.sandbox = function, self

    def call(self, name, *arguments):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        return self.function(*copies), copies


class Student(Submission):
    """The same as the checks of values see it."""

    def call(self, name, *arguments):
        return super().call(name, *arguments)[0]


def twice(x, factor=2.0):
    """What is asked for."""
    return factor * x


def both(x):
    """Two results."""
    return x + 1, x * x


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "y is None: is a return statement missing?"),
        ("text", "y is of type str: expected an array of shape (2, 3)"),
        ([[1, 2], [3]], "y is of type list: expected an array of shape (2, 3)"),
        (RIGHT.T, "y has shape (3, 2): expected (2, 3)"),
        (RIGHT + np.eye(2, 3), "y[0, 0]: expected 1, got 2 (2 of 6 entries differ)"),
        (RIGHT * [[1], [np.nan]], "y[1, 0]: expected 8, got nan (3 of 6 entries differ)"),
    ],
)
def test_differences_in_words(given, words):
    assert difference(given, RIGHT, "y") == words


def test_single_numbers_have_no_index():
    assert difference(2.0, np.asarray(3.0), "the loss") == "the loss: expected 3, got 2"
    assert difference("3", np.asarray(3.0), "the loss") == "the loss is of type str: expected a number"
    assert difference(3.0, np.asarray(3.0), "the loss") is None


def test_rounding_is_measured_against_the_largest_number():
    assert difference(RIGHT + 32 * 0.9e-8, RIGHT, "y") is None
    assert difference(RIGHT + 32 * 1.1e-8, RIGHT, "y") is not None
    single = RIGHT.astype(np.float32)
    assert difference(single + np.float32(32 * 0.9e-4), single, "y") is None
    assert difference(single + np.float32(32 * 1.2e-4), single, "y") is not None


def test_infinities_and_counts_must_be_equal():
    right = np.array([np.inf, 1.0])
    assert close(np.array([np.inf, 1.0]), right).tolist() == [True, True]
    assert close(np.array([-np.inf, 1.1]), right).tolist() == [False, False]
    assert close(np.array([1, 2]), np.array([1, 3])).tolist() == [True, False]
    assert close(np.zeros(2), np.zeros(2)).all()
    assert close(np.full(2, 0.9e-14), np.zeros(2)).all()
    assert not close(np.full(2, 1.1e-14), np.zeros(2)).any()


def test_what_counts_as_numbers():
    assert as_numbers([1, 2.5]).tolist() == [1, 2.5]
    assert as_numbers((True, False)).dtype == bool
    assert as_numbers(np.float32(2)).shape == ()
    for odd in (None, "3", {1: 2}, ["a"], [[1], [1, 2]], np.array(["a"]), 1j):
        assert as_numbers(odd) is None


def test_values_compares_every_case_and_every_result():
    def cases(rng):
        return [Case((rng.standard_normal((2, 3)),)) for _ in range(3)]

    def run(function, pick=None):
        check = values(both, cases, ("the sum", "the square"), pick=pick)
        return check(Student(function), np.random.default_rng(0))

    run(both)
    run(lambda x: [x + 1, x * x])
    run(lambda x: (None, x * x), pick=1)
    with pytest.raises(Wrong, match=r"the square\[0, 0\]: (.|\n)*looks like: negated"):
        run(lambda x: (x + 1, -x * x))
    for odd, words in ((1.0, "float"), ((1.0,), "tuple of 1"), (None, "NoneType")):
        with pytest.raises(Wrong, match=rf"returned {words}: expected the tuple \(the sum, the square\)"):
            run(lambda x, odd=odd: odd)


def test_feedback_has_the_arguments_and_a_diagnosis_and_no_points():
    case = Case((RIGHT, 2.0))
    with pytest.raises(Wrong) as caught:
        compare(-2 * RIGHT, 2 * RIGHT, "y", case, twice)
    assert str(caught.value).splitlines() == [
        "y[0, 0]: expected 2, got -2 (6 of 6 entries differ)",
        "(x (2, 3), factor=2.0)",
        "looks like: negated",
    ]
    assert caught.value.fraction == 0
    with pytest.raises(Wrong, match="no known form of error fits"):
        compare(np.random.default_rng(3).standard_normal((2, 3)), RIGHT, "y", case, twice)
    with pytest.raises(Wrong, match="y is None") as caught:
        compare(None, RIGHT, "y", case, twice)
    assert "form of error" not in str(caught.value)


def gradient_case(own):
    """The gradient of <grad, y>, y = x^2, whose forward pass the student has written as `own`."""
    x, grad = RIGHT / 7, np.ones((2, 3)) + np.eye(2, 3)
    return Case((grad, x), own_forward=lambda student: own, reference=np.square, point=x, grad_output=grad)


def test_a_right_gradient_of_a_wrong_forward_pass_costs_half():
    case = gradient_case(lambda v: v**3)
    grad, x = case.arguments
    right = 2 * x * grad
    student = Student(None)
    with pytest.raises(Wrong, match="it is the right gradient of your forward pass") as caught:
        compare(3 * x**2 * grad, right, "grad", case, both, student)
    assert caught.value.fraction == 0.5
    for given in (grad, 0 * grad, 5 * x * grad, 3 * x**2 * grad * np.nan):
        with pytest.raises(Wrong) as caught:
            compare(given, right, "grad", case, both, student)
        assert caught.value.fraction == 0, given


def test_at_a_kink_either_slope_of_the_own_forward_pass_is_right():
    x, grad = np.array([[0.0, 1.0, -2.0]]), np.array([[1.0, 2.0, 3.0]])
    case = Case((grad, x), own_forward=lambda student: lambda v: 2 * abs(v), reference=abs, point=x, grad_output=grad)
    sign = np.where(x >= 0, 1, -1)
    with pytest.raises(Wrong, match="it is the right gradient of your forward pass"):
        compare(2 * sign * grad, sign * grad, "grad", case, both, Student(None))


def test_a_wrong_gradient_of_a_right_forward_pass_is_compared_with_finite_differences():
    case = gradient_case(np.square)
    grad, x = case.arguments
    with pytest.raises(Wrong, match=r"finite differences of your own forward pass give 0\.571429 there") as caught:
        compare(3 * x * grad, 2 * x * grad, "grad", case, both, Student(None))
    assert caught.value.fraction == 0


@pytest.mark.parametrize("own", [lambda v: v[0], lambda v: "text", lambda v: 1 / 0], ids=["shape", "text", "raises"])
def test_a_forward_pass_that_does_not_work_is_no_witness(own):
    case = gradient_case(own)
    grad, x = case.arguments
    with pytest.raises(Wrong) as caught:
        compare(3 * x * grad, 2 * x * grad, "grad", case, both, Student(None))
    assert "forward pass" not in str(caught.value)


def run_dtype(function, op=twice, **options):
    x = np.random.default_rng(0).standard_normal((2, 3))
    return keeps_dtype(op, lambda rng: [Case((x,))], **options)(Submission(function), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: 2 * x.astype(np.float64), "the result is float64 for float32 input"),
        (lambda x: [1.0], "the result is of type list: expected an array of shape (2, 3)"),
        (lambda x: x[0], "the result has shape (3,): expected (2, 3)"),
        (lambda x: 0 * x, "the result is all zeros"),
        (lambda x: x, "the result is one of the arguments, as it came"),
        (lambda x: np.multiply(x, 2, out=x), "x was changed by the call: work on a copy"),
    ],
    ids=["float64", "list", "shape", "zeros", "argument", "in place"],
)
def test_dtype_and_inputs(function, words):
    with pytest.raises(Wrong) as caught:
        run_dtype(function)
    assert str(caught.value).startswith(words)


def test_dtype_of_a_right_function():
    run_dtype(twice)
    run_dtype(lambda x: 3 * x)  # values are for another part
    check = keeps_dtype(twice, lambda rng: [Case((RIGHT, 3.0))])
    check(Submission(twice), np.random.default_rng(0))
    with pytest.raises(Wrong, match="one of the arguments, as it came"):
        check(Submission(lambda x, factor: x), np.random.default_rng(0))
    outputs = {"outputs": ("the sum", "the square")}
    run_dtype(lambda x: (x + 1, x.astype(np.float64)), both, **outputs)
    with pytest.raises(Wrong, match="the square is float64"):
        run_dtype(lambda x: (x + 1, x.astype(np.float64) ** 2), both, floats=(0, 1), **outputs)
    with pytest.raises(Wrong, match="expected the tuple"):
        run_dtype(lambda x: x + 1, both, **outputs)


def test_what_may_change_is_named():
    before, after = (RIGHT, RIGHT), [RIGHT + 1, RIGHT]
    with pytest.raises(Wrong, match="x was changed"):
        checks.check_untouched(twice, before, after)
    checks.check_untouched(twice, before, after, but_for=("x",))
    checks.check_untouched(twice, before, list(before))
    with pytest.raises(Wrong, match="x was changed"):
        checks.check_untouched(twice, before, [RIGHT.astype(np.float32), RIGHT])
