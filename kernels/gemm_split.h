// The matrix product of gemm.h for small results, with the same arguments: most of a GPU would be idle if a block computed
// 16 x 16 of them or more. Time is then spent waiting, for memory and at barriers, so
// - tiles are small, 8 x 8 results, each added up by four threads that share k out: many blocks, short sums;
// - a block waits once for up to 256 k: every thread asks for 8 numbers of a and 8 of b before it needs the first of them,
//   and two barriers serve them all.
// 2 / 8 global loads and, as packs of 16 bytes, 2 / 4 shared loads per multiplication.
#pragma once
#include "pack.h"

constexpr int split_tile = 8, split_depth = 256, split_threads = 256;

// Which numbers of a tile [line][k] a thread brings: the j-th lies at line + j line_step, k + j k_step. Either its own k of
// all lines, or every 32nd k of its own line, so that neighbouring threads bring neighbours in memory.
struct SplitShare {
    int line, k, line_step, k_step;
    __device__ explicit SplitShare(bool along_k)
        : line(along_k ? 0 : threadIdx.x % split_tile),
          k(along_k ? threadIdx.x : threadIdx.x / split_tile),
          line_step(along_k),
          k_step(along_k ? 0 : split_threads / split_tile) {}
};
template <typename T, typename A, typename B, typename Store>
__device__ void gemm_split(int rows, int columns, int first, int last, bool a_along_k, bool b_along_k, A a, B b,
                           Store store) {
    constexpr int tile = split_tile, depth = split_depth, each = tile * depth / split_threads, lanes = Pack<T>::size;
    constexpr int results = tile * tile, sharers = split_threads / results;
    static_assert(depth == split_threads, "along k, every thread has one");
    // + 4: lines begin at different banks, and still at a multiple of 16 bytes
    alignas(16) __shared__ T a_tile[tile][depth + 4], b_tile[tile][depth + 4];
    __shared__ T sums[sharers][results];
    int own = threadIdx.x % results, sharer = threadIdx.x / results, x = own % tile, y = own / tile;
    int first_row = blockIdx.y * tile, first_column = blockIdx.x * tile;
    SplitShare of_a(a_along_k), of_b(b_along_k);
    T sum = 0;
    for (int base = first; base < last; base += depth) {
        T a_own[each], b_own[each];
        for (int j = 0; j < each; j++) {
            int row = first_row + of_a.line + j * of_a.line_step, ka = base + of_a.k + j * of_a.k_step;
            int column = first_column + of_b.line + j * of_b.line_step, kb = base + of_b.k + j * of_b.k_step;
            a_own[j] = row < rows && ka < last ? a(row, ka) : T(0);
            b_own[j] = column < columns && kb < last ? b(kb, column) : T(0);
        }
        for (int j = 0; j < each; j++) {
            a_tile[of_a.line + j * of_a.line_step][of_a.k + j * of_a.k_step] = a_own[j];
            b_tile[of_b.line + j * of_b.line_step][of_b.k + j * of_b.k_step] = b_own[j];
        }
        __syncthreads();
        // whole packs: behind the last k there are zeros
        for (int k = sharer * lanes; k < depth && base + k < last; k += sharers * lanes) {
            Pack<T> from_a = load_pack<Pack<T>>(&a_tile[y][k]), from_b = load_pack<Pack<T>>(&b_tile[x][k]);
            for (int j = 0; j < lanes; j++) sum += from_a.v[j] * from_b.v[j];
        }
        __syncthreads();
    }
    sums[sharer][own] = sum;
    __syncthreads();
    if (sharer || first_row + y >= rows || first_column + x >= columns) return;
    for (int s = 1; s < sharers; s++) sum += sums[s][own];
    store(first_row + y, first_column + x, sum);
}
