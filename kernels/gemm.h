// The matrix product that linear layers and convolutions share: c(row, column) = sum over k of a(row, k) b(k, column),
// k from `first` to `last` - 1, as three rungs of their ladders. A block of 256 threads computes one tile of c.
//
// a, b read one entry each, store takes one result. They are functions, because a convolution's patches form a matrix
// that is never stored: its b(k, column) looks the number up in the image. All are called inside the matrix only.
// a_along_k, b_along_k: whether neighbouring k lie side by side in memory. Neighbouring threads then load those, and
// otherwise neighbouring rows of a, or columns of b.
#pragma once
#include "pack.h"

// Tiled: 16 x 16 results, one per thread. A number is loaded once into shared memory and used 16 times: 2 / 16 global
// loads and 2 shared loads per multiplication.
template <typename T, typename A, typename B, typename Store>
__device__ void gemm_tiled(int rows, int columns, int first, int last, bool a_along_k, bool b_along_k, A a, B b,
                           Store store) {
    constexpr int tile = 16;
    __shared__ T a_tile[tile][tile + 1], b_tile[tile][tile + 1];  // + 1: a column then spreads over all banks
    int x = threadIdx.x % tile, y = threadIdx.x / tile, first_row = blockIdx.y * tile, first_column = blockIdx.x * tile;
    T sum = 0;
    for (int base = first; base < last; base += tile) {
        // Threads beyond an edge store zeros and go on to the barriers, which need everybody.
        int r = a_along_k ? y : x, ka = a_along_k ? x : y, c = b_along_k ? y : x, kb = b_along_k ? x : y;
        a_tile[r][ka] = first_row + r < rows && base + ka < last ? a(first_row + r, base + ka) : T(0);
        b_tile[kb][c] = first_column + c < columns && base + kb < last ? b(base + kb, first_column + c) : T(0);
        __syncthreads();
        for (int k = 0; k < tile; k++) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();
    }
    if (first_row + y < rows && first_column + x < columns) store(first_row + y, first_column + x, sum);
}

// Register-blocked: 64 x 64 results, 4 x 4 per thread. Four numbers of a and four of b, kept in registers, serve 16
// multiplications: 2 / 64 global loads and, read as packs of 16 bytes, 2 / 16 shared loads per multiplication.
template <typename T, typename A, typename B, typename Store>
__device__ void gemm_register_blocked(int rows, int columns, int first, int last, bool a_along_k, bool b_along_k, A a,
                                      B b, Store store) {
    constexpr int tile = 64, depth = 8, own = 4, threads = 256, per_side = tile / own;
    static_assert(per_side * per_side == threads, "every thread owns own x own results of the tile");
    static_assert(own % Pack<T>::size == 0, "a thread's numbers must fill whole packs");
    // + 4: the loads along k then store to different banks, and a row still begins at a multiple of 16 bytes
    alignas(16) __shared__ T a_tile[depth][tile + 4], b_tile[depth][tile + 4];
    int x = threadIdx.x % per_side * own, y = threadIdx.x / per_side * own;
    int first_row = blockIdx.y * tile, first_column = blockIdx.x * tile;
    T sum[own][own] = {};
    for (int base = first; base < last; base += depth) {
        for (int i = threadIdx.x; i < tile * depth; i += threads) {
            int r = a_along_k ? i / depth : i % tile, ka = a_along_k ? i % depth : i / tile;
            int c = b_along_k ? i / depth : i % tile, kb = b_along_k ? i % depth : i / tile;
            a_tile[ka][r] = first_row + r < rows && base + ka < last ? a(first_row + r, base + ka) : T(0);
            b_tile[kb][c] = first_column + c < columns && base + kb < last ? b(base + kb, first_column + c) : T(0);
        }
        __syncthreads();
        for (int k = 0; k < depth; k++) {
            T a_own[own], b_own[own];
            for (int i = 0; i < own; i += Pack<T>::size) {
                Pack<T> from_a = load_pack<Pack<T>>(&a_tile[k][y + i]), from_b = load_pack<Pack<T>>(&b_tile[k][x + i]);
                for (int j = 0; j < Pack<T>::size; j++) {
                    a_own[i + j] = from_a.v[j];
                    b_own[i + j] = from_b.v[j];
                }
            }
            for (int i = 0; i < own; i++)
                for (int j = 0; j < own; j++) sum[i][j] += a_own[i] * b_own[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < own; i++)
        for (int j = 0; j < own; j++)
            if (first_row + y + i < rows && first_column + x + j < columns)
                store(first_row + y + i, first_column + x + j, sum[i][j]);
}

// Split: 8 x 8 results, each added up by four threads that share k out. For results so small that larger tiles would leave
// most of a GPU idle: time is then spent waiting, for memory and at barriers. So tiles are small, and for up to 256 k a
// block waits once: every thread asks for 8 numbers of a and 8 of b before it needs the first of them, and two barriers
// serve them all. 2 / 8 global loads and, as packs of 16 bytes, 2 / 4 shared loads per multiplication.
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
        for (int k = sharer * lanes; k < depth && base + k < last; k += sharers * lanes) {  // zeros fill the last pack
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
