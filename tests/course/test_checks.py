"""What a check of the course says of a result: right up to rounding, or wrong in words that teach."""

import numpy as np
import pytest

from minisvdd.course.grader import checks
from minisvdd.course.grader.checks import (
    Case,
    Wrong,
    as_numbers,
    check_refused,
    check_word,
    close,
    compare,
    difference,
    keeps_dtype,
    number_of,
    results_of,
    values,
)
from minisvdd.course.grader.sandbox import SubmissionError
from minisvdd.course.grader.wire import Odd

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
        given, self.after = super().call(name, *arguments)
        return given


def test_an_argument_that_was_changed_is_named_before_what_is_wrong():
    """Otherwise the reader looks for the error in the formula."""

    def subtracts(outputs):
        outputs -= 1
        return outputs * outputs + outputs

    def check_of(op, function, check=values):
        def one_class(outputs):
            return op(outputs)

        student = Student(function) if check is values else Submission(function)
        with pytest.raises(Wrong) as found:
            check(one_class, lambda rng: [Case((RIGHT.copy(),))])(student, None)
        return str(found.value).splitlines()

    changed = "outputs was changed by the call: work on a copy, the caller still needs it"
    first, second, *rest = check_of(lambda x: (x - 1) ** 2 + 2 * x, subtracts)
    assert (first, second[:16]) == (changed, "the result[0, 0]")
    assert "no known form of error fits" not in rest
    assert check_of(lambda x: x - 1, subtracts, keeps_dtype)[0] == changed
    first, *_, last = check_of(lambda x: (x - 1) ** 2 + 2 * x, lambda x: subtracts(x.copy()))
    assert first.startswith("the result[0, 0]")
    assert last == "no known form of error fits"


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
        (RIGHT + 0j, "y is of type array of dtype complex128: expected an array of real numbers, of shape (2, 3)"),
        (Odd("array of dtype object"), "y is of type array of dtype object: expected an array of real numbers, of sh"),
        (RIGHT.T, "y has shape (3, 2): expected (2, 3)"),
        (RIGHT + np.eye(2, 3), "y[0, 0]: expected 1, got 2 (2 of 6 entries differ)"),
        (RIGHT * [[1], [np.nan]], "y[1, 0]: expected 8, got nan (3 of 6 entries differ)"),
    ],
)
def test_differences_in_words(given, words):
    assert difference(given, RIGHT, "y").startswith(words)


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


def gradient_case(own, *known):
    """The gradient of <grad, y>, y = x^2, whose forward pass the student has written as `own`."""
    x, grad = RIGHT / 7, np.ones((2, 3)) + np.eye(2, 3)
    return Case((grad, x), lambda student: own, np.square, x, grad, known)


def cube(v):
    return v**3


def test_a_right_gradient_of_a_forward_pass_with_a_known_mistake_costs_half():
    case = gradient_case(cube, cube)
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


def fraction(case, given, right, public=None):
    with pytest.raises(Wrong) as caught:
        compare(given, right, "grad", case, both, Student(None), public=public)
    return caught.value.fraction


def test_any_function_with_its_gradient_is_not_worth_half():
    """Nobody gets points for differentiating 3 x, unless the forward pass is right somewhere or nearly so."""
    for own, slope in ((lambda v: 3 * v, lambda x: 3 + 0 * x), (cube, lambda x: 3 * x**2)):
        case = gradient_case(own)
        grad, x = case.arguments
        assert fraction(case, slope(x) * grad, 2 * x * grad) == 0
    case = gradient_case(lambda v: 2 * v**2)  # a factor 2 is a mistake that any array may have
    grad, x = case.arguments
    assert fraction(case, 4 * x * grad, 2 * x * grad) == 0.5


def test_a_forward_pass_that_is_right_in_public_cases_is_worth_half_in_hidden_ones():
    def bends(v):
        return np.where(v > 1, v**3, v**2)

    hidden, small = gradient_case(bends), np.full((2, 3), 0.5)
    public = Case((small, small), lambda student: bends, np.square, small, small)
    grad, x = hidden.arguments
    given, right = np.where(x > 1, 3 * x**2, 2 * x) * grad, 2 * x * grad
    assert fraction(hidden, given, right) == 0
    assert fraction(hidden, given, right, lambda: [public]) == 0.5
    assert fraction(hidden, given, right, lambda: [hidden]) == 0


def test_at_a_kink_either_slope_of_the_own_forward_pass_is_right():
    x, grad = np.array([[0.0, 1.0, -2.0]]), np.array([[1.0, 2.0, 3.0]])
    case = Case((grad, x), own_forward=lambda student: lambda v: 2 * abs(v), reference=abs, point=x, grad_output=grad)
    sign = np.where(x >= 0, 1, -1)
    with pytest.raises(Wrong, match="it is the right gradient of your forward pass"):
        compare(2 * sign * grad, sign * grad, "grad", case, both, Student(None))


def test_values_that_are_right_to_single_precision_get_half_and_are_not_given_another_name():
    forms = [("the same by another way", lambda x, factor: x * factor * (1 + 1e-12)), ("negated", lambda x, f: -f * x)]
    with pytest.raises(Wrong, match=r"right to [78] digits: something is computed in single precision") as caught:
        compare((0.1 * RIGHT).astype(np.float32), 0.1 * RIGHT, "y", Case((RIGHT, 0.1)), twice, forms=forms)
    first = str(caught.value).partition("(")[0]
    expected, got = (first.split(word)[1].split()[0].strip(",") for word in ("expected ", "got "))
    assert expected != got, "the difference must be seen"
    assert caught.value.fraction == 0.5
    with pytest.raises(Wrong, match="looks like: negated") as caught:
        compare((-0.1 * RIGHT).astype(np.float32), 0.1 * RIGHT, "y", Case((RIGHT, 0.1)), twice, forms=forms)
    assert caught.value.fraction == 0


def test_half_the_points_of_one_case_do_not_hide_what_is_wrong_in_another():
    def run(function):
        check = values(twice, lambda rng: [Case((RIGHT / 7, 0.3)), Case((RIGHT[:1] / 7, 0.1))])
        with pytest.raises(Wrong) as caught:
            check(Student(function), np.random.default_rng(0))
        return caught.value

    assert run(lambda x, f: (f * x).astype(np.float32)).fraction == 0.5
    mixed = run(lambda x, f: (f * x).astype(np.float32) if len(x) == 2 else -f * x)
    assert mixed.fraction == 0
    assert "negated" in str(mixed)


def test_results_in_another_order_are_called_so():
    def run(function):
        check = values(both, lambda rng: [Case((RIGHT,))], ("the sum", "the square"))
        check(Student(function), np.random.default_rng(0))

    with pytest.raises(Wrong, match=r"returned \(the square, the sum\): expected \(the sum, the square\)"):
        run(lambda x: (x * x, x + 1))


def test_what_an_earlier_call_left_behind_is_recognised():
    seen = []

    def forward(v):
        seen.append(v)
        return v**2

    case = gradient_case(forward)

    def square(grad_output, x):
        """What is asked for."""
        return 2 * x * grad_output

    for first in ([], [np.ones((5, 1))], [np.ones((2, 3))]):
        seen[:] = first
        check = values(square, lambda rng: [case])
        student = Student(lambda g, x: _failing(lambda: 2 * seen[-1] * g))
        with pytest.raises(Wrong, match="it uses what an earlier call left behind"):
            check(student, np.random.default_rng(0))


def _failing(function):
    try:
        return function()
    except Exception as error:
        raise SubmissionError("exception", str(error)) from None


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
        (lambda x: x[0], "the result has shape (3,): expected (2, 3)"),
        (lambda x: [1.0], "the result is of type list: a list has no dtype"),
        (lambda x: 0 * x, "the result is wrong, in float32 as in float64"),
        (lambda x: x, "the result is wrong"),
        (lambda x: 3 * x, "the result is wrong"),
        (lambda x: np.multiply(x, 2, out=x), "x was changed by the call: work on a copy"),
    ],
    ids=["float64", "shape", "list", "zeros", "argument", "another factor", "in place"],
)
def test_dtype_and_inputs(function, words):
    with pytest.raises(Wrong) as caught:
        run_dtype(function)
    assert str(caught.value).startswith(words)


def test_dtype_of_a_right_function():
    run_dtype(twice)
    check = keeps_dtype(twice, lambda rng: [Case((RIGHT, 3.0))])
    check(Submission(twice), np.random.default_rng(0))
    check(Submission(lambda x, factor: x + x * np.float32(1.9999)), np.random.default_rng(0))
    outputs = {"outputs": ("the sum", "the square")}
    run_dtype(lambda x: (x + 1, x.astype(np.float64) ** 2), both, **outputs)
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


def test_a_refusal_is_a_value_error_and_says_so():
    def raising(kind, message):
        def call():
            raise SubmissionError(kind, message)

        return call

    check_refused(raising("exception", "f raised ValueError: no"), "nu=0")
    with pytest.raises(Wrong, match=r"^nu=0: expected ValueError\nf raised IndexError: no$"):
        check_refused(raising("exception", "f raised IndexError: no"), "nu=0")
    with pytest.raises(Wrong, match=r"^nu=0: expected ValueError, got 3$"):
        check_refused(lambda: 3, "nu=0")
    with pytest.raises(SubmissionError, match="not there"):
        check_refused(raising("missing", "not there"), "nu=0")


def test_a_verdict_counts_only_where_it_is_a_word():
    check_word("line", "line", "the run")
    for given, said in (
        ("point", "got 'point'"),
        (np.array(["line"]), "got array of dtype"),
        (None, "got NoneType"),
        (["line"], "list"),
    ):
        with pytest.raises(Wrong, match=rf"the run: expected 'line'.*{said}.* \(3 samples\)"):
            check_word(given, "line", "the run", " (3 samples)")


def test_results_are_counted_before_they_are_looked_at():
    names = ("a", "b", "c")
    assert results_of([1, 2, 3], names) == [1, 2, 3]
    assert results_of((1, 2), names, optional=1) == (1, 2)
    for given, said in (
        ((1, 2), "tuple of 2"),
        ([1, 2, 3, 4], "list of 4"),
        (np.ones(3), "ndarray"),
        (None, "NoneType"),
    ):
        with pytest.raises(Wrong, match=rf"returned {said}: expected the tuple \(a, b, c\)"):
            results_of(given, names)


@pytest.mark.parametrize("given", [3, 3.0, np.float32(3), np.array(3.0), True])
def test_numbers_are_numbers_whatever_their_type(given):
    assert number_of(given, "the cost") == float(given)


@pytest.mark.parametrize("given", [None, "3", [3], np.ones(1), (1, 2)])
def test_what_is_no_number_is_said(given):
    with pytest.raises(Wrong, match=r"the cost is of type \w+: expected a number"):
        number_of(given, "the cost")
