// The second step of sums that many blocks share: the blocks write partial sums, and these are added in a fixed order.
//   1 tiled   32 neighbouring sums per block, 8 threads for each: loads in full transactions, results in one order.
//   2 warps   32 threads for each, so that a sum of many parts waits a quarter as often. Their results then change places in
//             shared memory: a warp adds up those of one sum.
#include "reduce.h"

// result[i] = factor * sum over s of partials[s * n + i].  Blocks of 256 threads.
template <typename T> __global__ void sum_partials_1_tiled(const T* partials, T* result, int count, int n, T factor) {
    __shared__ T rows[8][32];
    int x = threadIdx.x % 32, y = threadIdx.x / 32, i = blockIdx.x * 32 + x;
    T sum = 0;
    for (int s = y; s < count && i < n; s += 8) sum += partials[s * n + i];
    rows[y][x] = sum;
    __syncthreads();
    if (y || i >= n) return;
    for (int r = 1; r < 8; r++) sum += rows[r][x];
    result[i] = factor * sum;
}
// The same, in blocks of 1024 threads.
template <typename T> __global__ void sum_partials_2_warps(const T* partials, T* result, int count, int n, T factor) {
    __shared__ T rows[32][33];  // + 1: a column then spreads over all banks
    int x = threadIdx.x % 32, y = threadIdx.x / 32, first = blockIdx.x * 32;
    T sum = 0;
    for (int s = y; s < count && first + x < n; s += 32) sum += partials[s * n + first + x];
    rows[y][x] = sum;
    __syncthreads();
    sum = warp_sum(rows[x][y]);
    if (x == 0 && first + y < n) result[first + y] = factor * sum;
}
