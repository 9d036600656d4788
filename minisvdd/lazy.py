"""Names of a package that load their module when somebody asks for them (PEP 562), so that a sub-package comes alone.

__getattr__, __dir__, __all__ = lazy_names(__name__, {"DeepSVDD": ".svdd.svdd", ...})
"""

import importlib
from collections.abc import Callable


def lazy_names(
    package: str, modules: dict[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """What a package needs to offer names of its modules, given as name -> module, relative to the package.

    Returns its `__getattr__`, `__dir__` and `__all__`.
    """

    def load(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name], package), name)

    def names():
        return sorted({*vars(importlib.import_module(package)), *modules})

    return load, names, sorted(modules)
