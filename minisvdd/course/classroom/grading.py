"""Grading side by side: one student's trouble, of whatever kind, costs that student only."""

from collections.abc import Callable, Iterable
from pathlib import Path

from joblib import Parallel, delayed

from ...errors import DataError
from ..assignment import Assignment, check_seed
from ..catalog import NAMES, get_assignment, resolved
from ..grader.grading import Grade, check_machine, failed, grade, grade_source
from ..grader.output import clean_name
from .choosing import choose, tags
from .roster import matched
from .submissions import Submission, files_of, find_submissions


def grade_class(
    folder,
    assignment: Assignment | str | None = None,
    seed: int = 0,
    jobs: int = 2,
    roster: dict[str, tuple[str, ...]] | None = None,
    done: Callable[[str, Grade], None] = lambda student, grade: None,
    besides: Iterable[str | Path] = (),
) -> dict[str, Grade]:
    """A Grade for each student, by name. All must be of one assignment: the one given, or the first that a file names.

    roster: names of the students (`read_roster`); who is missing has 0 points.   done: is called with each grade when
    it is there, in the order in which they come.   besides: as in `find_submissions`.
    Raises DataError and ValueError as `find_submissions` and `grade` do; a file that cannot be read gets 0 points.
    """
    check_seed(seed)
    submissions = find_submissions(folder, besides)
    task = resolved(assignment) or _assignment_of_all(folder, submissions.values())
    check_machine(task)
    students = matched(submissions, roster or {})
    # Threads are enough: the work is done by the submissions' own processes.
    tasks = (delayed(_named)(one, task, seed) for one in students.values())
    grades = dict.fromkeys(students)
    for student, result in Parallel(n_jobs=jobs, prefer="threads", return_as="generator_unordered")(tasks):
        grades[student] = result
        done(student, result)
    return grades


def grade_path(path, assignment: Assignment | str | None = None, seed: int = 0) -> Grade:
    """`grade` for a file, a notebook, or the folder of one student."""
    check_seed(seed)
    path = Path(path)
    if not path.is_dir() and path.suffix.lower() != ".ipynb":
        return grade(path, assignment, seed)
    submission = files_of(path)
    task = resolved(assignment) or _assignment_of_all(path, [submission])
    check_machine(task)
    return grade_submission(submission, task, seed)


def grade_submission(submission: Submission, assignment: Assignment, seed: int = 0) -> Grade:
    """The Grade of what one student handed in; whatever is wrong with it is said in the Grade."""
    try:
        chosen = choose(submission, assignment)
    except DataError as error:
        return failed(assignment, _shown_file(submission), str(error), seed, tuple(submission.notes))
    result = grade_source(chosen.source, chosen.filename, assignment, seed)
    result.notes = chosen.notes
    return result


def _named(submission, assignment, seed):
    try:
        return submission.name, grade_submission(submission, assignment, seed)
    except Exception as error:  # nobody else must pay for it
        said = f"the grader itself failed, which is no fault of the submission: {type(error).__name__}: {error}"
        return submission.name, failed(assignment, _shown_file(submission), said, seed, ("grade this one again",))


def _shown_file(submission):
    return clean_name(submission.files[0].name) if len(submission.files) == 1 else ""


def _assignment_of_all(folder, submissions):
    for submission in submissions:
        names = [*tags(submission), *(path.stem.lower().replace("_", "-") for path in submission.files)]
        for name in names:
            if name in NAMES:
                return get_assignment(name)
    raise ValueError(f"{folder}: cannot tell which assignment this is; name it with --assignment")
