"""Operations of a reader's own: functions in a file that take the place of the library's (`--ops FILE.py`).

    def conv2d_forward(x, weight, stride=(1, 1), padding=(0, 0)):
        ...

`HostBackend("numpy", load_operations("my_conv2d.py"))` is a backend whose layers all use that function. A framework of
one's own grows in this way: what the file lacks is the library's, and so is a function that still raises
NotImplementedError. Any other exception inside of a function becomes a DataError that says in which line.
"""

import ast
import inspect
import runpy
import traceback
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import update_wrapper
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, one_line
from . import all_operations
from .operation import Operation

Function = Callable[..., Any]


class OwnReading:
    """A function of the reader's in the place of an operation.

    calls: how often it was called.   written: False once it has raised NotImplementedError; the formula answers then.
    """

    def __init__(self, path: str | Path, function: Function, operation: Operation[..., Any]) -> None:
        self.function, self.formula, self.path = function, operation.plain, str(path)
        self.calls, self.written = 0, True
        update_wrapper(self, function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        try:
            if self.written:
                return self.function(*arguments, **options)
        except NotImplementedError:
            self.written = False
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == self.path]
            where = f"{self.path}:{lines[-1]}" if lines else self.path
            name = self.formula.__name__
            raise DataError(f"{where}: {name}: {type(error).__name__}: {one_line(error)}") from error
        return self.formula(*arguments, **options)


def load_operations(path: str | Path) -> dict[str, Function]:
    """Run a Python file and return its functions that are called like operations, by name.

    Raises DataError, in one line that names the file, when it cannot be read or run, defines no operation, one whose
    arguments are not those of the formula, or one whose name is an operation's but for a slip.
    """
    namespace = _run(Path(path))
    known = all_operations()
    functions = {name: value for name, value in namespace.items() if callable(value)}
    own = {name for name, value in functions.items() if not isinstance(value, Operation)}  # not merely imported
    found = {name: functions[name] for name in functions if name in own and name in known}
    for name in own - found.keys():
        _check_spelling(path, name, known.keys() - found.keys())
    if not found:
        raise DataError(f"{path}: defines none of the operations: expected functions such as {', '.join(known)}")
    for name, function in found.items():
        _check_signature(path, name, function, known[name])
    return with_wholes({name: OwnReading(path, function, known[name]) for name, function in found.items()})


def with_wholes(readings: Mapping[str, Function]) -> dict[str, Function]:
    """The readings, and those operations that the library puts together from them: its layers call only the whole."""
    readings = dict(readings)

    def part(name: str) -> Function:
        return readings.get(name) or all_operations()[name].plain

    def batchnorm_forward_batch(x: np.ndarray, epsilon: float) -> tuple[np.ndarray, ...]:
        mean, variance = part("batch_statistics")(x)
        return *part("batchnorm_forward")(x, mean, variance, epsilon), mean, variance

    if readings.keys() & {"batch_statistics", "batchnorm_forward"}:
        readings.setdefault("batchnorm_forward_batch", batchnorm_forward_batch)
    return readings


def calls_of(readings: Mapping[str, Function]) -> str:
    """Which of the reader's functions were called and how often, which never, and which are still to be written."""
    own = {name: reading for name, reading in readings.items() if isinstance(reading, OwnReading)}
    called = [f"{name} {reading.calls}" for name, reading in own.items() if reading.calls and reading.written]
    lines = [f"calls of your operations: {', '.join(called) or 'none'}"]
    for words, names in (
        ("never called", [name for name, reading in own.items() if not reading.calls]),
        ("not written yet, so the library's", [name for name, reading in own.items() if not reading.written]),
    ):
        lines += [f"{words}: {', '.join(names)}"] if names else []
    return "; ".join(lines)


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


def _check_spelling(path: str | Path, name: str, missing: Iterable[str]) -> None:
    """A name that is nearly an operation's, where the file has no function of that operation, is a slip."""
    nearest = get_close_matches(name.lower(), list(missing), 1, 0.9)
    if nearest and not name.startswith("_"):
        raise DataError(f"{path}: no operation is called {name}: is it {nearest[0]}?")


def _check_signature(path: str | Path, name: str, function: Function, operation: Operation[..., Any]) -> None:
    """The function must accept the formula's arguments, in this order."""
    expected = inspect.signature(operation)
    try:
        inspect.signature(function).bind(*expected.parameters)
    except TypeError as error:
        wanted = ", ".join(expected.parameters)
        raise DataError(f"{path}: {name}{inspect.signature(function)}: expected the arguments ({wanted})") from error
