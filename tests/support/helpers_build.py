"""The source tree copied, so that nothing lands in it, and built."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "docs", "kernels", "lectures", "minisvdd", "tests")
FILES = (
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml",
    "setup.py",
)  # fmt: skip
_NOT_OURS = shutil.ignore_patterns("__pycache__", "runs", "*.egg-info")


def copied_sources(target: Path) -> Path:
    """All that belongs into an sdist, in the new folder `target`."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, target / name, ignore=_NOT_OURS)
    for name in FILES:
        shutil.copy(ROOT / name, target)
    return target


def build(source: Path, out: Path, kind: str, environment=None) -> Path:
    """The archive that `python -m build` makes.  kind: "sdist" or "wheel"."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, source]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


def unpacked(archive: Path, target: Path) -> Path:
    """The folder that a wheel or an sdist becomes."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
        return target
    with tarfile.open(archive) as sdist:
        sdist.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = target.iterdir()
    return folder
