"""The two archives of an assignment: what students get, and the autograder for Gradescope.

Every file in them is named here: nothing is collected from a folder, so no bytecode, no cache and no solution can slip
in. The autograder installs minisvdd when Gradescope builds its image (`setup.sh`); the library is not in the archive
unless the teacher adds a wheel.
"""

import io
import zipfile
from pathlib import Path

from ...errors import DataError
from ...files.atomic import atomic_write
from ...version import __version__
from ..assignment import Assignment
from .handout import handout
from .skeleton import skeleton

_EPOCH = (2020, 1, 1, 0, 0, 0)  # one content, one archive, bit for bit

_SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv{packages}
python3 -m venv /opt/minisvdd
/opt/minisvdd/bin/pip install --no-cache-dir {requirement}
"""

_RUN = """#!/usr/bin/env bash
# Gradescope runs this for each submission; the grader writes results.json whatever the submission does.
set -uo pipefail
root=${AUTOGRADER_ROOT:-/autograder}
python=${MINISVDD_PYTHON:-/opt/minisvdd/bin/python}
chmod -R go-rwx "$root/source" "$root/results"
. "$root/source/assignment.env"
file="$root/submission/$FILE"
if [ ! -f "$file" ]; then
    file=$(find "$root/submission" -type f -name "*.${FILE##*.}" | sort | head -n 1)
fi
"$python" -m minisvdd grade "${file:-$root/submission/$FILE}" --assignment "$ASSIGNMENT" --seed "$SEED" \\
    --json "$root/results/results.json"
[ -f "$root/results/results.json" ]
"""


def student_archive(assignment: Assignment, level: str = "plain") -> bytes:
    """A zip with the skeleton and the handout."""
    name = assignment.name
    return _archive(
        {
            f"{name}/{assignment.filename}": skeleton(assignment, level),
            f"{name}/{assignment.handout_name}": handout(assignment, level),
        }
    )


def autograder_archive(assignment: Assignment, seed: int, wheel=None, requirement: str | None = None) -> bytes:
    """A zip for Gradescope: setup.sh, run_autograder, the assignment's name and the seed of its hidden parts.

    wheel: a wheel of minisvdd to put into the archive and install.   requirement: what pip installs instead, such as
    `minisvdd==0.1.0` (the default, of this version) or a git address.
    Raises DataError when the wheel cannot be read or is none of minisvdd.
    """
    files: dict[str, str | bytes] = {}
    if wheel is not None:
        path = Path(wheel)
        if not (path.name.startswith("minisvdd-") and path.suffix == ".whl"):
            raise DataError(f"{path}: expected a wheel, minisvdd-VERSION-py3-none-any.whl")
        try:
            files[path.name] = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        requirement = f'"$(dirname "$0")/{path.name}"'
    packages = " g++ binutils" if assignment.language == "cuda" else ""
    files["setup.sh"] = _SETUP.format(packages=packages, requirement=requirement or f"minisvdd=={__version__}")
    files["run_autograder"] = _RUN
    files["assignment.env"] = f"ASSIGNMENT={assignment.name}\nFILE={assignment.filename}\nSEED={seed}\n"
    return _archive(files, executable={"setup.sh", "run_autograder"})


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


def _archive(files, executable=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, so that the permissions count
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
