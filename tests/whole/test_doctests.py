"""Examples in docstrings run, and estimators say of every argument what it is and what it is without being given."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import minisvdd

# Packages that come with an extra, or with a GPU: a module that imports one as it is loaded has no examples here.
EXTRAS = {"cupy", "torch", "dask", "distributed"}
ESTIMATORS = [
    "AnoGAN", "Autoencoder", "DeepSVDD", "IsolationForest", "KernelDensity", "OneClassSVM", "SoftmaxClassifier",
]  # fmt: skip
WITH_EXAMPLES = [
    *ESTIMATORS, "check_gradients", "load_dataset", "load_model", "nn.Training", "nn.Plan", "backends.HostBackend",
    "ops.operation.Operation",
]  # fmt: skip


def modules():
    """All modules of the library that this machine can load, but for the one that is the command."""
    for found in pkgutil.walk_packages(minisvdd.__path__, "minisvdd."):
        if found.name != "minisvdd.__main__":
            try:
                yield importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name.partition(".")[0] not in EXTRAS:
                    raise


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    return {test.name: test for module in modules() for test in finder.find(module) if test.examples}


EXAMPLES = examples()


def run(example):
    """The names that an example leaves behind, and what doctest says of lines that give something else."""
    said, names = [], dict(example.globs)
    test = doctest.DocTest(example.examples, names, example.name, example.filename, example.lineno, example.docstring)
    doctest.DocTestRunner(verbose=False).run(test, clear_globs=False, out=said.append)
    return test.globs, "".join(said)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_say(name):
    _, said = run(EXAMPLES[name])
    assert not said, said


def test_a_wrong_example_is_noticed():
    _, said = run(doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0))
    assert re.search(r"Expected:\s+3\s+Got:\s+2", said)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_who_has_an_example(name):
    thing = minisvdd
    for part in name.split("."):
        thing = getattr(thing, part)
    assert f"{thing.__module__}.{thing.__qualname__}" in EXAMPLES


def sections(docstring):
    """The text of each numpydoc section by its title."""
    parts = re.split(r"^(\w+)\n-+\n", docstring, flags=re.MULTILINE)
    assert len(parts) % 2
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section):
    """(name, type) and the text below of each entry `name : type`."""
    parts = re.split(r"^(\w+) : (.+)\n", section, flags=re.MULTILINE)
    assert not parts[0].strip(), parts[0]
    return {name: (kind, text) for name, kind, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_tell_types_and_true_defaults(name):
    cls = getattr(minisvdd, name)
    found = sections(inspect.getdoc(cls))
    assert list(found) == ["Parameters", "Attributes", "References", "Examples"]
    assert ">>>" in found["Examples"]
    told, arguments = entries(found["Parameters"]), inspect.signature(cls).parameters
    assert list(told) == list(arguments)
    for argument, (kind, text) in told.items():
        kind, _, default = kind.rpartition(", default=")
        assert kind, argument
        assert re.fullmatch(r"(    \S.*\n?)+\n?", text), argument
        assert eval(default, vars(importlib.import_module(cls.__module__))) == arguments[argument].default, argument


@pytest.mark.parametrize("name", ESTIMATORS)
def test_attributes_that_estimators_tell_of_are_there(name):
    """Each of them after the example; and of those that end in an underscore, none that is not told of."""
    names, _ = run(EXAMPLES[f"{getattr(minisvdd, name).__module__}.{name}"])
    model = names["model"]
    told = entries(sections(inspect.getdoc(type(model)))["Attributes"])
    fitted = {attribute for attribute in vars(model) if attribute.endswith("_")}
    assert set(told) == fitted - {"n_features_in_"}
