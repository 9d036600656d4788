"""Imports at the top of a submission that grading has not got: they cost nothing until they are used.

`import matplotlib.pyplot as plt` is left over from work at home as often as not, and no attempt at anything. So a
statement at the top of the file that imports what is not there is put off: its name stands for a `Later`, and the
import happens, and fails, when that is first used. An import inside a function or inside `try: import torch` happens
where it stands, and raises ModuleNotFoundError, as on any machine without that package.
"""

import ast


class Later:
    """Stands for a module, or for something from it, that was imported and has not been used."""

    def __init__(self, name: str):
        self.__dict__["_name"] = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(f"{self._name}.{name}")

    def _use(self, *_, **__):
        __import__(_root(self._name))
        raise ImportError(f"{self._name} cannot be used while grading")

    __call__ = __getitem__ = __setitem__ = __setattr__ = __iter__ = __len__ = __bool__ = __array__ = _use
    __instancecheck__ = __mro_entries__ = __enter__ = __add__ = __mul__ = __radd__ = __rmul__ = __matmul__ = _use
    __str__ = __float__ = __index__ = _use


def put_off(tree: ast.Module, available) -> dict[str, Later]:
    """Take the imports of packages that are not `available` out of a file's top level; returns what their names are."""
    names: dict[str, Later] = {}
    for i, node in enumerate(tree.body):
        if isinstance(node, ast.Import):
            gone = [alias for alias in node.names if _root(alias.name) not in available]
            for alias in gone:
                names[alias.asname or _root(alias.name)] = Later(alias.name if alias.asname else _root(alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and _root(node.module) not in available:
            gone = [alias for alias in node.names if alias.name != "*"]
            names |= {alias.asname or alias.name: Later(f"{node.module}.{alias.name}") for alias in gone}
        else:
            continue
        node.names = [alias for alias in node.names if alias not in gone]
        if not node.names:
            tree.body[i] = ast.copy_location(ast.Pass(), node)
    return names


def _root(name):
    return name.partition(".")[0]
