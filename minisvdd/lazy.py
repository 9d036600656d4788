"""Names of a package that load their module when somebody asks for them (PEP 562), so that a sub-package comes alone.

__getattr__, __dir__, __all__ = lazy_names(__name__, {".svdd.svdd": "DeepSVDD", ".errors": "DataError RangeWarning"})
"""

import importlib
import sys
from collections.abc import Callable


def lazy_names(
    package: str, homes: dict[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """What a package needs to offer names of its modules: of each module, relative to the package, the names in it.

    Returns the package's `__getattr__`, `__dir__` and `__all__`.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def load(name):
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home_of[name], package), name)
        setattr(sys.modules[package], name, value)  # the next time Python finds it by itself
        return value

    def names():
        return sorted({*vars(importlib.import_module(package)), *home_of})

    return load, names, sorted(home_of)
