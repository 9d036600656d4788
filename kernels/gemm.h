// The matrix product that linear layers and convolutions share: c(row, column) = sum over k of a(row, k) b(k, column),
// k from `first` to `last` - 1, as two rungs of their ladders. A block of 256 threads computes one tile of c.
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

// Register-blocked: tile x tile results, 4 x 4 per thread. Four numbers of a and four of b, kept in registers, serve 16
// multiplications: 2 / tile global loads and, read as packs of 16 bytes, 2 / 16 shared loads per multiplication.
// depth: k between two barriers.
template <typename T, int tile = 64, int depth = 8, typename A, typename B, typename Store>
__device__ void gemm_register_blocked(int rows, int columns, int first, int last, bool a_along_k, bool b_along_k, A a,
                                      B b, Store store) {
    constexpr int own = 4, per_side = tile / own, threads = per_side * per_side, each = tile * depth / threads;
    static_assert(own % Pack<T>::size == 0, "a thread's numbers must fill whole packs");
    // + 4: the loads along k then store to different banks (at depth 8; at 32 four of them meet in one), and a row still
    // begins at a multiple of 16 bytes
    alignas(16) __shared__ T a_tile[depth][tile + 4], b_tile[depth][tile + 4];
    int x = threadIdx.x % per_side * own, y = threadIdx.x / per_side * own;
    int first_row = blockIdx.y * tile, first_column = blockIdx.x * tile;
    auto line = [](int i, bool along_k) { return along_k ? i / depth : i % tile; };
    auto k_of = [](int i, bool along_k) { return along_k ? i % depth : i / tile; };
    T sum[own][own] = {};
    for (int base = first; base < last; base += depth) {
        T a_next[each], b_next[each];  // asked for, all of them, before the first is needed
        for (int j = 0; j < each; j++) {
            int i = threadIdx.x + j * threads;
            int r = line(i, a_along_k), ka = k_of(i, a_along_k), c = line(i, b_along_k), kb = k_of(i, b_along_k);
            a_next[j] = first_row + r < rows && base + ka < last ? a(first_row + r, base + ka) : T(0);
            b_next[j] = first_column + c < columns && base + kb < last ? b(base + kb, first_column + c) : T(0);
        }
        for (int j = 0; j < each; j++) {
            int i = threadIdx.x + j * threads;
            int r = line(i, a_along_k), ka = k_of(i, a_along_k), c = line(i, b_along_k), kb = k_of(i, b_along_k);
            a_tile[ka][r] = a_next[j];
            b_tile[kb][c] = b_next[j];
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
