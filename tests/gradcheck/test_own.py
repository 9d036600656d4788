"""Functions of a reader's own against their formulas: what counts as equal, and what is said of the rest."""

import numpy as np
import pytest

from minisvdd import ops
from minisvdd.gradcheck.own import cases_using, check_readings


def check(function, name="linear_forward"):
    (found,) = check_readings({name: function})
    assert found.name == name
    return found


@pytest.mark.parametrize(("relative", "passed"), [(0.5e-9, True), (3e-9, False)])
def test_rounding_is_measured_against_the_largest_number(relative, passed):
    """The smallest number of a product of matrices is changed by a share of the largest."""

    def linear_forward(x, weight):
        y = ops.linear_forward(x, weight)
        smallest = np.abs(y) == np.abs(y).min()
        return y + relative * np.abs(y).max() * smallest

    assert check(linear_forward).passed == passed


def test_what_is_said():
    assert str(check(ops.linear_forward)) == "linear_forward: equals its formula"
    assert "looks like: negated" in check(lambda x, weight: -ops.linear_forward(x, weight)).detail
    assert check(lambda x, weight: ops.linear_forward(x, weight)[1:]).detail.startswith("the result has shape")
    winner = check(lambda *a: (ops.maxpool_forward(*a)[0], 1 - ops.maxpool_forward(*a)[1]), "maxpool_forward").detail
    assert winner.endswith("entries)"), "indices are not diagnosed as gradients are"
    assert "has dtype complex128" in check(lambda x, weight: ops.linear_forward(x, weight) + 0j).detail
    assert check(lambda x, weight: (1, 2)).detail == "returns 2 values, expected 1"
    assert check(lambda x, weight: None).detail == "returns 0 values, expected 1"


def test_one_of_several_results_is_named():
    def second_wrong(*arguments):
        y, winner = ops.maxpool_forward(*arguments)
        return y, winner + 1

    assert check(ops.maxpool_forward, "maxpool_forward").passed
    assert check(second_wrong, "maxpool_forward").detail.startswith("result 1 at [0, 0, 0, 0]: expected")


def test_what_is_updated_in_place_counts():
    assert check(ops.adam_update, "adam_update").passed
    assert not check(lambda *arguments: None, "adam_update").passed


def test_what_is_not_to_be_updated_must_be_left_alone():
    def leaky_relu_forward(x, slope):
        x[x < 0] *= slope
        return x

    def norm_act_pool_evaluate(*arguments):
        result = ops.norm_act_pool_evaluate(*arguments)
        if arguments[5] is not None:
            arguments[5].weight[...] = 1
        return result

    def adam_update(param, grad, *others):
        ops.adam_update(param, grad, *others)
        grad *= 2

    assert check(leaky_relu_forward, "leaky_relu_forward").detail == "changed its argument x"
    assert check(norm_act_pool_evaluate, "norm_act_pool_evaluate").detail == "changed its argument affine"
    assert check(adam_update, "adam_update").detail == "changed its argument grad"


def test_beside_infinite_entries_the_others_count():
    def pad_forward(x, margins, fill):
        return ops.pad_forward(x + 1, margins, fill)

    assert "expected -inf" not in check(pad_forward, "pad_forward").detail
    assert not check(pad_forward, "pad_forward").passed


@pytest.mark.parametrize("name", ops.all_operations())
def test_every_formula_leaves_its_arguments_alone(name):
    assert check(ops.all_operations()[name], name).passed


def test_an_exception_is_a_failure():
    def breaks(x, weight):
        raise ValueError("no\nsuch")

    found = check(breaks)
    assert not found.passed
    assert "\n" not in found.detail


def test_every_operation_has_layers_that_use_it_or_none():
    """Adam has no gradient, and what is fused belongs to no layer of its own."""
    without = [name for name in ops.all_operations() if not cases_using([name])]
    assert {"adam_update"} <= set(without)
    assert cases_using(["conv2d_forward", "conv2d_backward_weight", "linear_forward"]) == [
        "Conv2D",
        "ConvTranspose2D",
        "Linear",
    ]
