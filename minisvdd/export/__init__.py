"""Fitted detectors in forms that other programs read, and what they find in a form that people read.

from minisvdd.export import export_onnx, write_report, Findings
export_onnx(model, "detector.onnx")
write_report("report.html", Findings(model, X, "parts"))
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .findings import Findings as Findings
    from .onnx import export_onnx as export_onnx
    from .report import write_report as write_report

__getattr__, __dir__, __all__ = lazy_names(
    __name__, {".findings": "Findings", ".onnx": "export_onnx", ".report": "write_report"}
)
