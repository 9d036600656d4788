"""A wheel of the minisvdd that runs, written without a build system and without a network.

A wheel is a zip: the package's files as they are to be installed, beside them what pip reads (METADATA), and a list of
all of them with their hashes (RECORD). In a checkout, kernels, lectures and results lie beside the package; in a wheel
they lie in it.
"""

import ast
import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Collection
from importlib import metadata

from ...errors import DataError
from ...places import PACKAGE, SHIPPED, shipped
from ...version import __version__

_EPOCH = (2020, 1, 1, 0, 0, 0)  # one content, one archive, bit for bit
_KINDS = {".py", ".cu", ".h", ".md", ".json", ".csv", ".typed", ".css", ".js"}
_NOT_OURS = {"__pycache__", "runs"}


def build_wheel() -> tuple[str, bytes]:
    """(name, content) of a wheel of this minisvdd. Raises DataError where nothing says what it depends on."""
    return wheel_of(package_files(), __version__)


def package_files() -> dict[str, bytes]:
    """The files of this package as they are installed, by path."""
    roots = {"minisvdd": PACKAGE, **{f"minisvdd/{name}": shipped(name) for name in SHIPPED}}
    files = {}
    for target, root in roots.items():
        for path in sorted(root.rglob("*")):
            place = path.relative_to(root)
            ours = path.suffix in _KINDS or path.name == "answers"
            if ours and path.is_file() and not _NOT_OURS & set(place.parts) and not path.name.startswith("."):
                files[f"{target}/{place.as_posix()}"] = path.read_bytes()
    return files


def wheel_of(files: dict[str, bytes], version: str) -> tuple[str, bytes]:
    """(name, content) of a wheel with these files."""
    info = f"minisvdd-{version}.dist-info"
    about, license_text = _about()
    named = "\n".join(["Metadata-Version: 2.1", "Name: minisvdd", f"Version: {version}", *about, ""])
    files = {
        **dict(sorted(files.items())),
        f"{info}/METADATA": named.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: minisvdd\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\nminisvdd = minisvdd.__main__:command\n",
        f"{info}/licenses/LICENSE": license_text,
    }
    record = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return f"minisvdd-{version}-py3-none-any.whl", zipped(files)


def zipped(files: dict[str, str | bytes] | dict[str, bytes], executable: Collection[str] = ()) -> bytes:
    """A zip archive of these files; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, so that the permissions count
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _about():
    """(lines of METADATA, the licence): of the checkout, or as pip installed them."""
    project, license_file = PACKAGE.parent / "pyproject.toml", PACKAGE.parent / "LICENSE"
    if project.is_file() and license_file.is_file():
        return _of_checkout(project.read_text(encoding="utf-8")), license_file.read_bytes()
    try:
        installed = metadata.distribution("minisvdd")
        if installed.version.partition("+")[0] != __version__:
            raise metadata.PackageNotFoundError
    except metadata.PackageNotFoundError:
        raise DataError(
            f"{PACKAGE}: no wheel can be built: this is no checkout, and pip has not installed it; "
            "pass --wheel FILE, or --install SPEC with what pip is to install"
        ) from None
    kept = ("Summary", "License-Expression", "License", "Requires-Python", "Requires-Dist")
    lines = [f"{key}: {value}" for key in kept for value in installed.metadata.get_all(key) or ()]
    lines = [line for line in lines if "extra ==" not in line]
    text = next((file.read_text() for file in installed.files or () if file.name == "LICENSE"), "")
    return [line.replace("License-Expression", "License") for line in lines], text.encode()


def _of_checkout(text):
    """pyproject.toml is TOML, which Python reads from 3.11 on; these entries are written as Python writes them, too."""
    project = text[text.index("[project]") :]
    summary = re.search(r'^description = "(.*)"$', project, re.MULTILINE)[1]
    python = re.search(r'^requires-python = "(.*)"$', project, re.MULTILINE)[1]
    required = ast.literal_eval(re.search(r"^dependencies = (\[.*?^\])", project, re.MULTILINE | re.DOTALL)[1])
    lines = [f"Summary: {summary}", "License: MIT", f"Requires-Python: {python}"]
    return [*lines, *(f"Requires-Dist: {name}" for name in required)]
