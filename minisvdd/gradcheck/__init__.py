"""The public gradient checker: central differences for anybody's layer, with a diagnosis when they disagree.

    report = gradcheck(Conv2D(3, kernel_size=3), x)     # built layer, input batch
    print(report)
    report.raise_if_failed()

`differences` holds the numerics, `arrays` the check of one array, `probe` the view of a layer as a function of each of
its arrays, `diagnosis` the known mistakes, `report` the results, `library` the cases for everything in minisvdd.
"""

from .check import check_gradient, check_loss, gradcheck
from .library import Case, check_library, library_cases
from .report import ArrayCheck, ContractCheck, GradcheckError, GradcheckReport

__all__ = [
    "ArrayCheck",
    "Case",
    "ContractCheck",
    "GradcheckError",
    "GradcheckReport",
    "check_gradient",
    "check_library",
    "check_loss",
    "gradcheck",
    "library_cases",
]
