"""What a gradient check found: structured, and as a table to read."""

from dataclasses import dataclass, field

from .differences import Entry


class GradcheckError(AssertionError):
    """A gradient check failed; the message is the report."""


@dataclass
class ArrayCheck:
    """The gradient of one array in one setting.

    name: the parameter's name, or "input".   stage: "start" or "after N steps".   mode: "training" or "evaluation".
    error: largest |analytic - numeric| over the array's largest entry (see `check_gradients`).
    complex_error: the same against the complex-step derivative, None where that does not apply.
    worst: the entry with the largest error.   step_table: rows (h, numeric, error) at the worst entry, on failure.
    diagnosis: which known form the error has, on failure.
    """

    name: str
    stage: str
    mode: str
    shape: tuple[int, ...]
    size: int
    entries: list[Entry]
    error: float
    complex_error: float | None
    worst: Entry | None
    passed: bool
    wrong: int
    step_table: list[tuple[float, float, float]] = field(default_factory=list)
    diagnosis: str = ""

    @property
    def kinks(self) -> int:
        """How many entries sit on a kink, where only the one-sided slopes could be checked."""
        return sum(entry.is_kink for entry in self.entries)

    @property
    def retried(self) -> int:
        """How many entries needed a smaller step, mostly to stay on one side of a kink."""
        return sum(entry.retried and not entry.is_kink for entry in self.entries)

    @property
    def checked(self) -> int:
        """How many single entries were compared (directions not counted)."""
        return sum(entry.index is not None for entry in self.entries)

    @property
    def directions(self) -> int:
        """How many random directions through the whole array were compared."""
        return len(self.entries) - self.checked


@dataclass
class ContractCheck:
    """A property of forward and backward that no number shows. `required` is False where it is only a remark."""

    name: str
    passed: bool
    detail: str = ""
    required: bool = True


@dataclass
class GradcheckReport:
    """Result of a gradient check. `print(report)` shows it; `report.raise_if_failed()` turns it into an assertion."""

    title: str
    step: float
    tolerance: float
    arrays: list[ArrayCheck] = field(default_factory=list)
    contract: list[ContractCheck] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Every array and every required property holds, and something was checked."""
        return bool(self.arrays) and not self.failures

    @property
    def failures(self) -> list[ArrayCheck | ContractCheck]:
        """The arrays and required properties that failed."""
        broken = [check for check in self.contract if check.required and not check.passed]
        return [check for check in self.arrays if not check.passed] + broken

    @property
    def error(self) -> float:
        """Largest relative error of all arrays."""
        return max((check.error for check in self.arrays), default=float("inf"))

    def raise_if_failed(self) -> "GradcheckReport":
        """Raise GradcheckError with the whole report unless the check passed; returns the report."""
        if not self.passed:
            raise GradcheckError(str(self))
        return self

    def __str__(self) -> str:
        lines = [
            f"gradcheck: {self.title}",
            f"central differences in float64, h = {self.step:.1e} max(1, |v|), tolerance {self.tolerance:.0e}",
            "",
            *_table(_HEADER, [_row(check) for check in self.arrays]),
            "",
            *(_contract_line(check) for check in self.contract if not check.passed),
            *(f"note: {note}" for note in self.notes),
        ]
        for check in {check.name: check for check in reversed(self.arrays) if not check.passed}.values():
            lines += _explain(check)  # the first failure of each array; the table shows the others
        kept = sum(check.passed for check in self.contract)
        lines.append(
            f"{'passed' if self.passed else 'FAILED'}: {sum(c.passed for c in self.arrays)} of {len(self.arrays)} "
            f"gradients, {kept} of {len(self.contract)} properties; largest error {self.error:.1e}"
        )
        return "\n".join(lines)


_HEADER = (
    "array",
    "shape",
    "stage",
    "mode",
    "checked",
    "kinks",
    "error",
    "complex",
    "worst at",
    "analytic",
    "numeric",
    "",
)


def _row(check):
    checked = f"{check.checked}/{check.size}" + (f" +{check.directions} dir" if check.directions else "")
    worst = check.worst
    return (
        check.name,
        "x".join(map(str, check.shape)) or "scalar",
        check.stage,
        check.mode,
        checked,
        str(check.kinks),
        f"{check.error:.1e}",
        "-" if check.complex_error is None else f"{check.complex_error:.1e}",
        _where(worst) if worst else "-",
        f"{worst.analytic:.6g}" if worst else "-",
        f"{worst.numeric:.6g}" if worst else "-",
        "ok" if check.passed else "FAILED",
    )


def _explain(check):
    lines = [f"FAILED: {check.name}, {check.mode}, {check.stage}: {check.wrong} of {len(check.entries)} checks wrong"]
    worst = check.worst
    if worst is not None:
        lines.append(f"  worst at {_where(worst)}: analytic {worst.analytic:.12g}, numeric {worst.numeric:.12g}")
    if check.step_table:
        rows = [(f"{h:.1e}", f"{numeric:.12g}", f"{error:.1e}") for h, numeric, error in check.step_table]
        lines += ["  " + line for line in _table(("h", "numeric", "error"), rows)]
    return [*lines, f"  {check.diagnosis}"] if check.diagnosis else lines


def _contract_line(check):
    return f"{'FAILED' if check.required else 'note'}: {check.name}" + (f": {check.detail}" if check.detail else "")


def _where(entry):
    return "direction" if entry.index is None else "[" + ", ".join(map(str, entry.index)) + "]"


def _table(header, rows):
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (header, *rows)]
