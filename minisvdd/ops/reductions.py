"""Sums of what blocks of threads have added up, by the kernels of `kernels/reductions.cu`."""

from typing import TYPE_CHECKING

from ..backends.types import DeviceArray

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


def sum_partials(
    backend: "KernelBackend", partials: DeviceArray, result: DeviceArray, factor: float, rung: str | None = None
) -> None:
    """result = factor * the sum of partials over its first axis. Without `rung`: "warps" for more than 32 of them."""
    args = (partials, result, len(partials), result.size, factor)
    rung = rung or ("warps" if len(partials) > 32 else "tiled")
    block = {"tiled": 256, "warps": 1024}[rung]
    backend.launch("sum_partials", args, grid=(-(-result.size // 32),), block=(block,), rung=rung)
