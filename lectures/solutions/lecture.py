"""Solutions import the lectures' helper, one folder up, under the same name."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location(__name__, Path(__file__).resolve().parents[1] / "lecture.py")
_module = importlib.util.module_from_spec(_spec)
sys.modules[__name__] = _module  # what `from lecture import ...` then reads
_spec.loader.exec_module(_module)
