"""The course kit: assignments that grade themselves.

`handouts/` makes what a student gets, from the library's own sources; `grade` runs what a student hands in and says
what is right, what is wrong and why; `classroom` grades a folder.

    from minisvdd.course import get_assignment, grade, skeleton
    print(skeleton(get_assignment("linear"), "guided"))
    print(grade("linear.py").score)

`assignment` says what an assignment is, `catalog` lists them, `tasks/` holds one module for each. The submission
runs in a process of its own: `grader/sandbox` is the grader's side of it, `cage/` the submission's.
"""

from .catalog import NAMES, get_assignment
from .grader.grading import Grade, PartResult, grade
from .handouts.skeleton import LEVELS, skeleton

__all__ = ["LEVELS", "NAMES", "Grade", "PartResult", "get_assignment", "grade", "skeleton"]
