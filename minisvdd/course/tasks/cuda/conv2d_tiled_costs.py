"""A convolution without border and stride, by blocks of 16 x 16 threads, and what it costs.

    y[n,k,p,q] = sum over c, a, b of weight[k,c,a,b] x[n,c,p+a,q+b],      P = H - kh + 1,   Q = W - kw + 1

Block (bx, by, n K + k) computes y[n,k,p,q] for 16 by <= p < 16 by + 16 and 16 bx <= q < 16 bx + 16. For that it
needs, of each channel, (15 + kh) x (15 + kw) entries of x: its tile with a halo. Every one of them is wanted by up
to kh kw threads. Loaded by each thread for itself it is loaded up to kh kw times; put into shared memory first,
once.

Traffic. A warp is 32 threads: two rows of the block, thread (j, i) = (threadIdx.x, threadIdx.y) being number 16 i +
j. The GPU fetches global memory in sectors of 8 floats. One load of a warp costs as many sectors as its lanes
touch.

Banks. Shared memory has 32 banks, and word w lies in bank w mod 32. Where lanes of a warp want different words of
one bank, they wait for each other. With rows of length L, thread (j, i) wants word L (i + a) + j + b of it: the two
rows of a warp are L words apart, each 16 long. For which L do they meet in no bank?

Windows have at most 7 x 7 taps, and an image is never smaller than its window.
"""

import numpy as np

SIDE, WARP, SECTOR = 16, 32, 8  # threads of a block's side, lanes of a warp, floats of a sector


class Sizes:
    """Sizes of one launch."""

    def __init__(self, x: np.ndarray, weight: np.ndarray):
        (self.N, self.C, self.H, self.W), (self.K, _, self.kh, self.kw) = x.shape, weight.shape
        self.P, self.Q = self.H - self.kh + 1, self.W - self.kw + 1
        self.grid = (-(-self.Q // SIDE), -(-self.P // SIDE), self.N * self.K)
        self.outputs = self.N * self.K * self.P * self.Q

    def threads(self):
        """n, k, top, left, i, j of every thread, each (blocks, 256), in the order of a block's numbers."""
        bz, by, bx = (index.reshape(-1, 1) for index in np.indices(self.grid[::-1]))
        i, j = np.divmod(np.arange(SIDE * SIDE)[None], SIDE)
        return bz // self.K, bz % self.K, SIDE * by, SIDE * bx, i, j


def tiled(s: Sizes) -> dict[str, int]:
    """What the model solution costs: {"loads": by threads, "stores": by threads, "sectors"}."""
    n, k, top, left, i, j = s.threads()
    tile, taps = [], []  # in each channel
    for c in range(s.C):
        here = []
        for u in (i, i + SIDE):
            for v in (j, j + SIDE):
                inside = (u < SIDE - 1 + s.kh) & (v < SIDE - 1 + s.kw) & (top + u < s.H) & (left + v < s.W)
                here.append(np.where(inside, ((n * s.C + c) * s.H + top + u) * s.W + left + v, -1))
        tile += [_in_turn(np.array(here))]
        tap = SIDE * i + j
        taps.append(np.where(tap < s.kh * s.kw, (k * s.C + c) * s.kh * s.kw + tap, -1))
    loads = (np.concatenate(tile), np.array(taps))
    return _cost(s, loads)


def untiled(s: Sizes) -> dict[str, int]:
    """The same for a kernel without a tile: each thread reads its window and its filter from global memory."""
    n, k, top, left, i, j = s.threads()
    idle = (top + i >= s.P) | (left + j >= s.Q)
    x, weight = [], []
    for c in range(s.C):
        for a, b in np.ndindex(s.kh, s.kw):
            x.append(np.where(idle, -1, ((n * s.C + c) * s.H + top + i + a) * s.W + left + j + b))
            weight.append(np.where(idle, -1, ((k * s.C + c) * s.kh + a) * s.kw + b))
    return _cost(s, (np.array(x), np.array(weight)))


def _cost(s, loads):
    n, k, top, left, i, j = s.threads()
    y = np.where((top + i < s.P) & (left + j < s.Q), ((n * s.K + k) * s.P + top + i) * s.Q + left + j, -1)
    sectors = sum(_sectors(array) for array in (*loads, y[None]))
    return {"loads": sum(int((a >= 0).sum()) for a in loads), "stores": s.outputs, "sectors": sectors}


def _in_turn(addresses):
    """(visits, blocks, 256): the m-th access of each lane is made together with the m-th of the others."""
    order = np.argsort(addresses < 0, axis=0, kind="stable")
    return np.take_along_axis(addresses, order, axis=0)


def _sectors(addresses):
    """Sectors that all requests together need; -1 stands for a lane that asks for nothing."""
    by_warp = np.sort(addresses.reshape(-1, WARP) // SECTOR, axis=1)
    first = np.diff(by_warp, axis=1, prepend=-1) != 0
    return int((first & (by_warp >= 0)).sum())
