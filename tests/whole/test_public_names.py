"""The names that `minisvdd` offers: all there, and none of them loaded before somebody asks."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_processes import environment

import minisvdd

PUBLIC = [
    "AnoGAN",
    "Autoencoder",
    "Checkpoint",
    "CollapseWarning",
    "DataError",
    "DeepSVDD",
    "IsolationForest",
    "KernelDensity",
    "KernelError",
    "OneClassSVM",
    "RangeWarning",
    "SoftmaxClassifier",
    "ThresholdWarning",
    "TrainingWarning",
    "check_gradients",
    "load_dataset",
    "load_images",
    "load_model",
]


def test_public_names():
    assert minisvdd.__all__ == PUBLIC
    assert {*PUBLIC, "__version__"} <= set(dir(minisvdd))
    names = {}
    exec("from minisvdd import *", names)
    assert set(PUBLIC) <= set(names)
    for name in PUBLIC:
        assert names[name].__name__ == name
        assert names[name].__doc__
    with pytest.raises(AttributeError, match="'minisvdd' has no attribute 'DeepSVD'"):
        minisvdd.DeepSVD  # noqa: B018
    with pytest.raises(ImportError):
        exec("from minisvdd import DeepSVD")


def test_gradcheck_is_a_package():
    import minisvdd.gradcheck as package

    assert minisvdd.gradcheck is package
    assert package.check_gradients is minisvdd.check_gradients
    assert package.check_loss.__name__ == "check_loss"


@pytest.mark.parametrize("package", [f"minisvdd{part}" for part in ("", ".export", ".gradcheck", ".nn", ".svdd")])
def test_type_checkers_are_told_the_same(package):
    module = importlib.import_module(package)
    (told,) = [node for node in ast.parse(Path(module.__file__).read_text("utf-8")).body if isinstance(node, ast.If)]
    assert ast.unparse(told.test) == "TYPE_CHECKING"
    names = [alias.asname for node in told.body for alias in node.names]
    assert sorted(names) == module.__all__
    for node in told.body:
        source = importlib.import_module("." * node.level + node.module, package)
        for alias in node.names:
            assert getattr(source, alias.name) is getattr(module, alias.asname)


@pytest.mark.parametrize("name", ["minisvdd", "minisvdd.version", "minisvdd.gradcheck"])
def test_a_name_that_nobody_asked_for_is_not_loaded(name):
    code = f"import sys, {name}; print(*[m for m in sys.modules if m.startswith('minisvdd') or m == 'numpy'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"minisvdd", "minisvdd.lazy", "minisvdd.version", name}


def loaded_by(statement):
    """The modules of ours that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*(m for m in sys.modules if m.partition('.')[0] == 'minisvdd'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    return set(done.stdout.split())


def test_the_estimator_loads_the_method_and_little_else():
    """No reader of data sets, no trainer, no layer, no kernel before they are needed."""
    loaded = loaded_by("from minisvdd.svdd import DeepSVDD")
    assert len(loaded) <= 28, sorted(loaded)
    assert not {"minisvdd.data.readers", "minisvdd.backends.kernel", "minisvdd.nn.layers"} & loaded
    assert loaded_by("import minisvdd.svdd") < loaded
