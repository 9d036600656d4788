"""The public gradient checker: central differences for anybody's layer, with a diagnosis when they disagree.

    report = check_gradients(Conv2D(3, kernel_size=3), x)     # built layer, input batch
    print(report)
    report.raise_if_failed()

`differences` holds the numerics, `arrays` the check of one array, `probe` the view of a layer as a function of each of
its arrays, `diagnosis` the known mistakes, `report` the results, `library` the cases for everything in minisvdd.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .check import check_gradient as check_gradient
    from .check import check_gradients as check_gradients
    from .check import check_loss as check_loss
    from .library import Case as Case
    from .library import check_library as check_library
    from .library import library_cases as library_cases
    from .report import ArrayCheck as ArrayCheck
    from .report import ContractCheck as ContractCheck
    from .report import GradcheckError as GradcheckError
    from .report import GradcheckReport as GradcheckReport

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        ".check": "check_gradient check_gradients check_loss",
        ".library": "Case check_library library_cases",
        ".report": "ArrayCheck ContractCheck GradcheckError GradcheckReport",
    },
)
