"""Protocols are the one place of epochs and rates; table 1 is the paper's."""

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest

from minisvdd import DeepSVDD
from minisvdd.data.split import Split
from minisvdd.experiments.experiments import network_of
from minisvdd.experiments.paper import METHODS, TABLE_1
from minisvdd.experiments.protocols import (
    CHOICES,
    PROTOCOLS,
    Protocol,
    acts_on,
    adjusted,
    arguments_of,
    get_gan_protocol,
    get_protocol,
    get_shallow_protocol,
)
from minisvdd.nn import fixed_batches


def test_a_protocol_holds_arguments_of_deep_svdd():
    names = set(inspect.signature(DeepSVDD).parameters)
    assert arguments_of(Protocol()).keys() <= names
    assert {field.name for field in fields(Protocol)} - arguments_of(Protocol()).keys() == {"held_out"}


def test_the_papers_schedule():
    """Section 4.2: DCAE 250 + 100 epochs, Deep SVDD 150 + 100, 1e-4 then 1e-5; defaults of the estimator are these."""
    protocol, defaults = get_protocol("paper", "mnist"), DeepSVDD().get_params()
    settings = arguments_of(protocol)
    del settings["network"]  # the data's shape has that one
    assert settings == {name: defaults[name] for name in settings}
    assert protocol.held_out == 0
    assert (protocol.pretrain_epochs, protocol.pretrain_milestones) == (350, (250,))
    assert (protocol.epochs, protocol.milestones) == (250, (150,))
    assert (protocol.learning_rate, protocol.weight_decay, protocol.batch_size) == (1e-4, 1e-6, 200)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_stop_signs_have_the_shape_of_cifar10_but_their_own_network(protocol):
    signs, others = get_protocol(protocol, "stop-signs"), get_protocol(protocol, "cifar10")
    names = ["gtsrb_lenet", "cifar10_lenet"] if protocol != "authors-theano" else ["gtsrb_small", "cifar10_normed"]
    assert (signs.batch_size, signs.network) == (64, names[0])
    split = Split(np.zeros((4, 3, 32, 32), np.float32), None, None, "stop", None)
    assert [network_of(settings, split) for settings in (signs, others)] == names
    filters = "mixed dictionary" if protocol == "authors-theano" else get_protocol(protocol, "mnist").first_filters
    assert (signs.first_filters, others.first_filters) == (filters, filters)
    assert (signs.held_out, others.held_out) == (0, 0.2 if protocol == "authors-theano" else 0)


def test_the_authors_schedule():
    protocol = get_protocol("authors-code", "mnist")
    assert (protocol.epochs, protocol.milestones) == (150, (50,))
    assert (protocol.pretrain_epochs, protocol.pretrain_weight_decay) == (150, 1e-3)
    assert protocol.radius_update == "authors-theano"


@pytest.mark.parametrize("get", [get_protocol, get_gan_protocol])
def test_the_names_of_protocols_are_listed(get):
    with pytest.raises(ValueError, match=r"^protocol='papers': expected one of \['"):
        get("papers", "mnist")


def test_unknown_protocol():
    with pytest.raises(ValueError, match=r"protocol='slow'.*quick"):
        get_protocol("slow", "mnist")
    assert all(get_protocol(name, "mine.npz") for name in PROTOCOLS)


@pytest.mark.parametrize(
    ("data", "means"),
    [
        ("mnist", [91.29, 86.93, 92.3, 89.65, 91.27, 93.53, 94.8]),
        ("cifar10", [64.8, 64.9, 55.5, 59.4, 61.8, 63.3, 64.8]),
    ],
)
def test_column_means_of_table_1(data, means):
    columns = np.array([[row[method][0] for method in METHODS] for row in TABLE_1[data].values()])
    assert columns.shape == (10, 7)
    np.testing.assert_allclose(columns.mean(axis=0), means, atol=0.06)


@pytest.mark.parametrize("n", [2, 9, 20, 31, 60, 150, 1000, 60000])
@pytest.mark.parametrize("sample", [(5,), (1, 8, 8), (1, 28, 28), (3, 64, 64), (3, 256, 256)], ids=str)
def test_quick_counts_steps_for_data_of_ones_own(n, sample):
    """At least 500 in both trainings, with batches of at most a quarter (but 8), of fewer large images."""
    quick, table = get_protocol("quick", "mine", (n, *sample)), get_protocol("quick", "mine")
    steps = len(fixed_batches(n, quick.batch_size))
    assert 8 <= quick.batch_size <= max(8, min(200, n / 4))
    assert quick.batch_size * int(np.prod(sample[1:])) <= max(2**16, 8 * np.prod(sample[1:]))
    for epochs, milestones, usual, part in (
        (quick.epochs, quick.milestones, table.epochs, 10 / 15),
        (quick.pretrain_epochs, quick.pretrain_milestones, table.pretrain_epochs, 8 / 10),
    ):
        assert epochs * steps >= 500
        assert epochs >= usual or epochs * steps >= 2000
        assert epochs <= usual or (epochs - 1) * steps < 500
        assert milestones[0] == round(part * epochs)


def test_quick_counts_the_patches_of_large_images():
    large, patches = (get_protocol("quick", "mine", shape) for shape in ((30, 1, 500, 500), (30 * 64, 1, 64, 64)))
    assert large == patches


@pytest.mark.parametrize("data", ["digits", "mnist", "cifar10", "gtsrb", "stop-signs"])
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_data_of_the_tables_keep_their_protocols(data, protocol):
    assert get_protocol(protocol, data, (92, 1, 8, 8)) == get_protocol(protocol, data)
    assert get_protocol("paper", "mine", (92, 1, 8, 8)) == get_protocol("paper", "mine")


def test_choices_of_the_first_scripts_are_made_on_top_of_a_protocol():
    paper = get_protocol("paper", "mnist")
    assert adjusted(paper, choices=["affine", "fixed batches"]) == replace(paper, affine=True, batches="fixed")
    authors = get_protocol("authors-code", "digits")
    assert adjusted(authors, choices=CHOICES) == get_protocol("authors-theano", "digits")
    assert adjusted(paper, epochs=25, choices=["quantile"]).milestones == (15,)


def test_choices_act_on_networks_and_some_not_on_all():
    assert not any(acts_on(name, ["kde", "oc-svm", "isolation-forest", "anogan"]) for name in CHOICES)
    acting = {m: {name for name in CHOICES if acts_on(name, [m])} for m in ("dcae", "one-class", "soft-boundary")}
    assert acting["soft-boundary"] == set(CHOICES)
    assert acting["one-class"] == set(CHOICES) - {"quantile"}
    assert acting["dcae"] == set(CHOICES) - {"quantile", "statistics"}


def test_what_is_adjusted_changes_and_milestones_move_along():
    paper = get_protocol("paper", "mnist")
    assert adjusted(paper) == paper
    short = adjusted(paper, epochs=50, pretrain_epochs=35, batch_size=20, learning_rate=0.5)
    assert (short.epochs, short.milestones) == (50, (30,))
    assert (short.pretrain_epochs, short.pretrain_milestones) == (35, (25,))
    assert (short.batch_size, short.learning_rate, short.weight_decay) == (20, 0.5, paper.weight_decay)
    assert adjusted(paper, pretrain_epochs=0).pretrain_epochs == 0
    assert adjusted(adjusted(paper, pretrain_epochs=0), pretrain_epochs=10).pretrain_milestones == (0,)


def test_the_first_scripts_make_every_choice_and_each_can_be_made_alone():
    """`authors-theano` is `authors-code` with all of `CHOICES`; what else differs is pre-processing and stop signs."""
    later, first = get_protocol("authors-code", "mnist"), get_protocol("authors-theano", "mnist")
    for choice in CHOICES.values():
        assert replace(later, **choice) != later
        later = replace(later, **choice)
    assert later == first
    assert first.gain == pytest.approx(np.sqrt(2 / (1 + 0.01**2)))


def test_the_first_scripts_shallow_methods():
    """MNIST: no contrast normalisation, PCA, search; CIFAR-10: unscaled; else twenty bandwidths, AUC on nine tenths."""
    paper, mnist, cifar = (
        get_shallow_protocol(*names)
        for names in (("paper", "mnist"), ("authors-theano", "mnist"), ("authors-theano", "cifar10"))
    )
    assert (paper.svm, paper.kde, paper.forest, paper.apart) == ("auto", "auto", "auto", False)
    assert (mnist.svm, mnist.kde, mnist.forest) == ("min-max", "min-max", "auto")
    assert (paper.pca, paper.width, paper.nus) == (True, "grid", (0.01, 0.1))
    assert (mnist.pca, mnist.width, mnist.nus) == (False, "largest", (0.1,))
    assert (cifar.svm, cifar.pca, cifar.width, cifar.nus, cifar.apart) == ("auto", True, "unscaled", (0.1,), True)
    signs = get_shallow_protocol("authors-theano", "stop-signs")
    assert (signs.forest, signs.pca, signs.width) == ("min-max", True, "grid")
    assert len(signs.exponents) == 20
    assert (min(signs.exponents), max(signs.exponents)) == (-4.5, 5)
