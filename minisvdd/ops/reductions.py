"""Sums of what blocks of threads have added up, by the kernels of `kernels/reductions.cu`."""

from typing import TYPE_CHECKING

from ..backends.types import DeviceArray

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


def sum_partials(backend: "KernelBackend", partials: DeviceArray, result: DeviceArray, factor: float) -> None:
    """result = factor * the sum of partials over its first axis."""
    args = (partials, result, len(partials), result.size, factor)
    backend.launch("sum_partials", args, grid=(-(-result.size // 32),))
