"""The two archives of an assignment: what students get, and the autograder for Gradescope.

Every file in them is named here: nothing is collected from a folder, so no bytecode, no cache and no solution can slip
in. The autograder brings the library along as a wheel, the one that packs, and installs it when Gradescope builds its
image (`setup.sh`); the teacher may name another wheel, or what pip is to install instead.
"""

from pathlib import Path

from ...errors import DataError
from ...files.atomic import atomic_write
from ..assignment import Assignment, check_seed
from .handout import handout
from .skeleton import skeleton
from .wheel import build_wheel, zipped

_SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv{packages}
venv=${{MINISVDD_VENV:-/opt/minisvdd}}
python3 -m venv "$venv"
"$venv/bin/pip" install --no-cache-dir {requirement}
"""

_RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission. The grader finds the file to grade among all that was handed in, and writes
# results.json whatever the submission does; where the grader itself cannot, the last lines do.
set -uo pipefail
root=${AUTOGRADER_ROOT:-/autograder}
python=${MINISVDD_PYTHON:-/opt/minisvdd/bin/python}
chmod -R go-rwx "$root/source" "$root/results"
. "$root/source/assignment.env"
rm -f "$root/results/results.json"
"$python" -m minisvdd grade "$root/submission" --assignment "$ASSIGNMENT" --seed "$SEED" \\
    ${VARIANT:+--variant "$VARIANT"} --json "$root/results/results.json"
status=$?
if [ ! -s "$root/results/results.json" ]; then
    message="The grader itself failed (exit status $status): no fault of your submission. Please tell your teacher."
    printf '{"score": 0, "output": "%s", "stdout_visibility": "hidden"}\\n' "$message" > "$root/results/results.json"
fi
exit 0
"""


def student_archive(assignment: Assignment, level: str = "plain") -> bytes:
    """A zip with the skeleton and the handout."""
    name = assignment.name
    return zipped(
        {
            f"{name}/{assignment.filename}": skeleton(assignment, level),
            f"{name}/{assignment.handout_name}": handout(assignment, level),
        }
    )


def autograder_archive(assignment: Assignment, seed: int, wheel=None, requirement: str | None = None) -> bytes:
    """A zip for Gradescope: setup.sh, run_autograder, the assignment's name and the seed of its hidden parts.

    wheel: a wheel of minisvdd to put into the archive and install (None: of the minisvdd that runs).   requirement:
    what pip installs instead, such as a git address.
    Raises DataError when the wheel cannot be read or is none of minisvdd, ValueError for a seed below 0.
    """
    check_seed(seed)
    files: dict[str, str | bytes] = {}
    if wheel is None and requirement is None:
        name, files_of_wheel = build_wheel()
        files[name] = files_of_wheel
        requirement = f'"$(dirname "$0")/{name}"'
    elif wheel is not None:
        path = Path(wheel)
        if not (path.name.startswith("minisvdd-") and path.suffix == ".whl"):
            raise DataError(f"{path}: expected a wheel, minisvdd-VERSION-py3-none-any.whl")
        try:
            files[path.name] = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        requirement = f'"$(dirname "$0")/{path.name}"'
    packages = " g++ binutils" if assignment.language == "cuda" else ""
    files["setup.sh"] = _SETUP.format(packages=packages, requirement=requirement)
    files["run_autograder"] = _RUN
    files["assignment.env"] = f"ASSIGNMENT={assignment.name}\nFILE={assignment.filename}\nSEED={seed}\n"
    if assignment.drawn is not None:
        files["assignment.env"] += f"VARIANT={assignment.drawn}\n"
    return zipped(files, executable={"setup.sh", "run_autograder"})


def write_archives(assignment: Assignment, folder, level: str, seed: int, wheel=None, requirement=None) -> list[Path]:
    """Write NAME-student.zip and NAME-autograder.zip into `folder`; returns their paths."""
    contents = {
        f"{assignment.name}-student.zip": student_archive(assignment, level),
        f"{assignment.name}-autograder.zip": autograder_archive(assignment, seed, wheel, requirement),
    }
    paths = []
    for name, data in contents.items():
        paths.append(Path(folder) / name)
        with atomic_write(paths[-1], "wb") as file:
            file.write(data)
    return paths
