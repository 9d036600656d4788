"""A folder of submissions: who handed in what, the grade of each, what most got wrong, and who wrote alike."""

from .grading import grade_class
from .likeness import alike
from .results import GrowingResults, write_results
from .roster import read_roster
from .statistics import as_text, statistics
from .submissions import Submission, find_submissions

__all__ = [
    "GrowingResults",
    "Submission",
    "alike",
    "as_text",
    "find_submissions",
    "grade_class",
    "read_roster",
    "statistics",
    "write_results",
]
