"""Operations of a reader's own: functions in a file that take the place of the library's (`--ops FILE.py`).

    def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
        ...

`HostBackend("numpy", load_operations("my_conv2d.py"))` is a backend whose layers all use that function. An exception
inside of it becomes a DataError that says in which line.
"""

import ast
import inspect
import runpy
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ..errors import DataError, one_line
from . import all_operations
from .operation import Operation


def load_operations(path: str | Path) -> dict[str, Callable[..., Any]]:
    """Run a Python file and return its functions that are called like operations, by name.

    Raises DataError, in one line that names the file, when it cannot be read or run, defines no operation, or one whose
    arguments are not those of the formula.
    """
    namespace = _run(Path(path))
    known = all_operations()
    found = {
        name: value
        for name, value in namespace.items()
        if name in known and callable(value) and not isinstance(value, Operation)  # one that it merely imports
    }
    if not found:
        raise DataError(f"{path}: defines none of the operations: expected functions such as {', '.join(known)}")
    for name, function in found.items():
        _check_signature(path, name, function, known[name])
    return {name: _guarded(path, name, function) for name, function in found.items()}


def _run(path: Path) -> dict[str, Any]:
    if path.suffix != ".py":
        raise DataError(f"{path}: expected a Python file, FILE.py")
    try:
        ast.parse(path.read_bytes(), str(path))
        return runpy.run_path(str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {one_line(error)}") from error
    except SyntaxError as error:
        raise DataError(f"{path}: line {error.lineno}: {error.msg}") from error
    except Exception as error:
        raise DataError(f"{path}: {type(error).__name__} while it was run: {one_line(error)}") from error


def _check_signature(path: str | Path, name: str, function: Callable[..., Any], operation: Operation[..., Any]) -> None:
    """The function must accept the formula's arguments, in this order."""
    expected = inspect.signature(operation)
    try:
        inspect.signature(function).bind(*expected.parameters)
    except TypeError as error:
        wanted = ", ".join(expected.parameters)
        raise DataError(f"{path}: {name}{inspect.signature(function)}: expected the arguments ({wanted})") from error


def _guarded(path: str | Path, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def guarded(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
            where = f"{path}:{lines[-1]}" if lines else str(path)
            raise DataError(f"{where}: {name}: {type(error).__name__}: {one_line(error)}") from error

    return guarded
