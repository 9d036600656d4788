"""The usual parts of a function: values, other shapes, edge cases, dtype."""

from collections.abc import Callable

from .assignment import Part
from .grader.checks import keeps_dtype, values


def parts_of(
    op: Callable,
    points: dict[str, int],
    cases: dict[str, Callable],
    *,
    outputs: tuple[str, ...] = ("the result",),
    floats: tuple[int, ...] = (0,),
    forms=(),
    optional: int = 0,
    terms=(),
    pick: dict[str, int] | None = None,
) -> tuple[Part, ...]:
    """One part for each entry of `points`, whose inputs `cases` draws under the same name.

    "values" is public: its inputs do not depend on the seed. "dtype, inputs untouched" uses those of "values".
    pick: for some entries, the index of the only output that counts there.
    """
    parts = []
    for name, worth in points.items():
        if name == DTYPE:
            check = keeps_dtype(op, cases["values"], outputs, floats, optional)
        else:
            public = public_cases(op, cases["values"])
            check = values(op, cases[name], outputs, (pick or {}).get(name), forms, optional, terms, public)
        parts.append(Part(f"{op.__name__}: {name}", worth, check, hidden=name != "values", form=name == DTYPE))
    return tuple(parts)


def public_cases(op: Callable, cases: Callable, name: str = "values") -> Callable:
    """() -> the cases of the public part of that name, as everybody gets them."""
    part = Part(f"{op.__name__}: {name}", 0, cases)
    return lambda: cases(part.generator(0))


DTYPE = "dtype, inputs untouched"
