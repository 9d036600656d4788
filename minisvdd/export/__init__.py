"""Fitted detectors in forms that other programs read.

from minisvdd.export import export_onnx
export_onnx(model, "detector.onnx")
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .onnx import export_onnx as export_onnx

__getattr__, __dir__, __all__ = lazy_names(__name__, {"export_onnx": ".onnx"})
