"""What an assignment is: functions to write, parts that earn points, and the text that goes with them."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..validation import check_number
from .handouts.reading import Reading, docstring_of

PUBLIC_SEED = 0


def check_seed(seed: int, name: str = "seed") -> None:
    """Raise ValueError unless it is an integer from which inputs can be drawn."""
    check_number(seed, name, 0, integer=True)


@dataclass(frozen=True)
class Source:
    """One function to write: its head and docstring are those of a plain reading of the library, as is its solution.

    op: the library's operation or function.   instead: what its lines say otherwise for a student (`Reading`).
    contract: the text of `handouts.contracts` for it, where it is not the one under its name.
    """

    op: Callable
    instead: tuple[tuple[str, str], ...] = ()
    contract: str = ""

    @property
    def name(self) -> str:
        """The name that the student's function must have."""
        return self.op.__name__

    @cached_property  # it parses a file of the library
    def reading(self) -> Reading:
        """The text that skeletons are cut from."""
        return Reading(self.op, self.instead)


@dataclass(frozen=True)
class Part:
    """Something that earns points.

    name: "function: what is asked".   points: all or nothing, except for errors that follow from an earlier one.
    check: (student, rng) -> None, or raises `checks.Wrong`.   hidden: inputs are drawn from the teacher's seed.
    form: asks for nothing but the form of an answer (dtype, a refusal, ...): worth points only where another part of
    the same function earned some.
    """

    name: str
    points: int
    check: Callable
    hidden: bool = False
    form: bool = False

    @property
    def function(self) -> str:
        """The function that the part is about."""
        return self.name.partition(":")[0]

    def generator(self, seed: int) -> np.random.Generator:
        """Where this part's inputs come from: public ones are the same for every seed. ValueError for one below 0."""
        check_seed(seed)
        return np.random.default_rng([seed if self.hidden else PUBLIC_SEED, zlib.crc32(self.name.encode())])


@dataclass(frozen=True)
class Assignment:
    """An assignment: what to write, how it is graded, and where the paper or the library explains it.

    derivation: the object whose docstring opens the skeleton, and how the paragraph that ends it begins (None: all).
    helpers: functions of the library that are given, above those to write.   handout: a few paragraphs for the student.
    goals: what one can do afterwards, as in "you can ...".   hours: how long it takes, such as "2 to 3".
    lectures: what to read, such as "04_layers" or, with a section, "04_layers#Batch norm".
    without_forward: what to do when a function is missing that others lean on.
    rule: of an assignment in two versions, what holds in this one.   drawn: the seed that drew it (`variants`).
    """

    name: str
    title: str
    reading: str
    handout: str
    functions: tuple[Source, ...]
    parts: tuple[Part, ...]
    helpers: tuple[Callable, ...] = ()
    derivation: object = None
    derivation_until: str | None = None
    language: str = "python"
    kernels: tuple[str, ...] = field(default=())
    goals: tuple[str, ...] = ()
    hours: str = ""
    lectures: tuple[str, ...] = ()
    without_forward: str = ""
    rule: str = ""
    drawn: int | None = None

    @property
    def filename(self) -> str:
        """The name of the file to hand in."""
        return f"{self.name.replace('-', '_')}.{'cu' if self.language == 'cuda' else 'py'}"

    @property
    def handout_name(self) -> str:
        """The name of the handout beside it."""
        return f"{self.name}.md"

    def tag(self, comment: str) -> str:
        """The first line of its skeleton, from which `grade` knows the assignment."""
        return f"{comment} minisvdd assignment: {self.name}"

    def formulas(self) -> str:
        """What the library says about the formulas: a docstring, up to where the assignment stops it."""
        text = docstring_of(self.derivation)
        if self.derivation_until is None:
            return text
        before, found, _ = text.partition("\n\n" + self.derivation_until)
        if not found:
            raise ValueError(f"{self.name}: no paragraph of {self.derivation} begins with {self.derivation_until!r}")
        return before

    @property
    def points(self) -> int:
        """The points of all parts together."""
        return sum(part.points for part in self.parts)


def scaled(points: list[int], total: int) -> list[int]:
    """Points in nearly the same proportions, whole again, that add up to `total`: the largest rests round up."""
    exact = [total * each / sum(points) for each in points]
    whole = [int(each) for each in exact]
    for i in sorted(range(len(points)), key=lambda i: whole[i] - exact[i])[: total - sum(whole)]:
        whole[i] += 1
    return whole
