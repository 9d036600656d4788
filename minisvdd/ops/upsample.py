"""Nearest-neighbour up-sampling by a whole factor: every pixel becomes a block of s x s copies.

y[n,c,i,j] = x[n,c, i // s, j // s]
dL/dx[n,c,u,v] = sum of G over the block of copies of x[n,c,u,v]
"""

from typing import TYPE_CHECKING

import numpy as np

from ..backends.threads import run
from ..backends.types import Blocks, DeviceArray
from ..backends.workspace import empty
from .layout import channel_blocks, from_batch_last, to_batch_last
from .operation import Operation

if TYPE_CHECKING:
    from ..backends.device import KernelBackend


@Operation
def upsample_forward(x: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """x: (N, C, H, W) -> (N, C, s H, s W)."""
    return x.repeat(scale[0], axis=2).repeat(scale[1], axis=3)


@Operation
def upsample_backward(grad_output: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """(N, C, s H, s W) -> (N, C, H, W)."""
    N, C, H, W = grad_output.shape
    return grad_output.reshape(N, C, H // scale[0], scale[0], W // scale[1], scale[1]).sum(axis=(3, 5))


# Fast readings: channels that threads share


@upsample_forward.fast
def _(x: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    images = to_batch_last(x)
    C, H, W, N = images.shape
    y = empty((C, H, scale[0], W, scale[1], N), x.dtype)

    def work(blocks: Blocks) -> None:
        for block in blocks:
            y[block] = images[block, :, None, :, None]

    run(work, *channel_blocks(y.reshape(C, -1)))
    return from_batch_last(y.reshape(C, H * scale[0], W * scale[1], N))


@upsample_backward.fast
def _(grad_output: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    grad = to_batch_last(grad_output)
    C, H, W, N = grad.shape
    blocks = grad.reshape(C, H // scale[0], scale[0], W // scale[1], scale[1], N)
    grad_input = empty((C, H // scale[0], W // scale[1], N), grad.dtype)

    def work(some_blocks: Blocks) -> None:
        for block in some_blocks:
            np.sum(blocks[block], axis=(2, 4), out=grad_input[block])

    run(work, *channel_blocks(grad.reshape(C, -1)))
    return from_batch_last(grad_input)


# Launches: a thread of the vectorised rung has 8 bytes of the smaller array


@upsample_forward.launch
def _(backend: "KernelBackend", x: DeviceArray, scale: tuple[int, int], rung: str = "vectorised") -> DeviceArray:
    N, C, H, W = x.shape
    y = backend.empty((N, C, H * scale[0], W * scale[1]), x.dtype)
    args = (backend.dense(x), y, N * C, H, W, *scale)
    threads = -(-x.nbytes // 8) if rung == "vectorised" else y.size
    backend.launch("upsample_forward", args, threads=threads, rung=rung)
    return y


@upsample_backward.launch
def _(
    backend: "KernelBackend", grad_output: DeviceArray, scale: tuple[int, int], rung: str = "vectorised"
) -> DeviceArray:
    N, C, P, Q = grad_output.shape
    H, W = P // scale[0], Q // scale[1]
    grad_input = backend.empty((N, C, H, W), grad_output.dtype)
    args = (backend.dense(grad_output), grad_input, N * C, H, W, *scale)
    threads = -(-grad_input.nbytes // 8) if rung == "vectorised" else grad_input.size
    backend.launch("upsample_backward", args, threads=threads, rung=rung)
    return grad_input
