// Matrix product c = a b, c: (rows, columns), inner length `inner`. a and b are read with strides, so that one kernel
// serves y = x W^T, dL/dx = G W and dL/dW = G^T x: entry (i, j) of a lies at i * a_row + j * a_column.
//   1 naive             one thread per entry of c, neighbouring threads below each other: their loads and stores lie far
//                       apart, a transaction each. 2 inner global loads per output.
//   2 coalesced         neighbouring threads along a row of c: the same loads, but b and c in full transactions.
//   3 tiled             a block loads 16 x 16 pieces of a and b into shared memory: 2 inner / 16 loads per output.
//   4 register_blocked  pieces of 64 x 64, 4 x 4 results per thread: 2 inner / 64 loads per output, and 8 times fewer
//                       loads from shared memory. Loses when c has few pieces: most of the GPU then idles.
//   5 split             for small c: pieces of 8 x 8, four threads per result, up to 256 k between two barriers instead of
//                       16. More loads than rung 3, 2 inner / 8 per output, but far less waiting.
//   6 quarters          between the two: rung 4 with pieces of 32 x 32, 64 threads, and 128 bytes of k between two barriers.
#include "gemm.h"
#include "gemm_split.h"
#include "reduce.h"

template <typename T>
__device__ T dot_product(const T* a, const T* b, int row, int column, int inner, int a_row, int a_column, int b_row,
                         int b_column) {
    T sum = 0;
    for (int k = 0; k < inner; k++) sum += a[row * a_row + k * a_column] * b[k * b_row + column * b_column];
    return sum;
}
template <typename T>
__global__ void matmul_1_naive(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row, int a_column,
                               int b_row, int b_column) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, row = i % rows, column = i / rows;
    if (i >= rows * columns) return;
    c[row * columns + column] = dot_product(a, b, row, column, inner, a_row, a_column, b_row, b_column);
}
template <typename T>
__global__ void matmul_2_coalesced(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row,
                                   int a_column, int b_row, int b_column) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, row = i / columns, column = i % columns;
    if (i >= rows * columns) return;
    c[row * columns + column] = dot_product(a, b, row, column, inner, a_row, a_column, b_row, b_column);
}
template <typename T>
__global__ void matmul_3_tiled(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row, int a_column,
                               int b_row, int b_column) {
    gemm_tiled<T>(
        rows, columns, 0, inner, a_column == 1, b_row == 1,
        [=](int row, int k) { return a[row * a_row + k * a_column]; },
        [=](int k, int column) { return b[k * b_row + column * b_column]; },
        [=](int row, int column, T value) { c[row * columns + column] = value; });
}
template <typename T>
__global__ void matmul_4_register_blocked(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row,
                                          int a_column, int b_row, int b_column) {
    gemm_register_blocked<T>(
        rows, columns, 0, inner, a_column == 1, b_row == 1,
        [=](int row, int k) { return a[row * a_row + k * a_column]; },
        [=](int k, int column) { return b[k * b_row + column * b_column]; },
        [=](int row, int column, T value) { c[row * columns + column] = value; });
}
template <typename T>
__global__ void __launch_bounds__(256, 4) matmul_5_split(const T* a, const T* b, T* c, int rows, int columns, int inner,
                                                         int a_row, int a_column, int b_row, int b_column) {
    gemm_split<T>(
        rows, columns, 0, inner, a_column == 1, b_row == 1,
        [=](int row, int k) { return a[row * a_row + k * a_column]; },
        [=](int k, int column) { return b[k * b_row + column * b_column]; },
        [=](int row, int column, T value) { c[row * columns + column] = value; });
}

template <typename T>
__global__ void __launch_bounds__(64, 8) matmul_6_quarters(const T* a, const T* b, T* c, int rows, int columns, int inner,
                                                           int a_row, int a_column, int b_row, int b_column) {
    gemm_register_blocked<T, 32, 128 / sizeof(T)>(
        rows, columns, 0, inner, a_column == 1, b_row == 1,
        [=](int row, int k) { return a[row * a_row + k * a_column]; },
        [=](int k, int column) { return b[k * b_row + column * b_column]; },
        [=](int row, int column, T value) { c[row * columns + column] = value; });
}

// Bias, for (N, K, positions): one thread per entry.
template <typename T> __global__ void bias_forward_1_naive(const T* x, const T* bias, T* y, int n, int K, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + bias[i / positions % K];
}

// Its gradient, a sum per k, with one block per k in both rungs.
//   1 naive     one thread of the block adds all: N positions loads in a row.
//   2 shuffles  all threads of the block add, in full transactions, and then one another.
template <typename T>
__global__ void bias_backward_1_naive(const T* grad_output, T* grad_bias, int N, int K, int positions) {
    int k = blockIdx.x;
    if (threadIdx.x) return;
    T sum = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < positions; p++) sum += grad_output[(n * K + k) * positions + p];
    grad_bias[k] = sum;
}
template <typename T>
__global__ void bias_backward_2_shuffles(const T* grad_output, T* grad_bias, int N, int K, int positions) {
    __shared__ T partial[32];
    int k = blockIdx.x;
    T sum = 0;
    for (int j = threadIdx.x; j < N * positions; j += blockDim.x)
        sum += grad_output[(j / positions * K + k) * positions + j % positions];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) grad_bias[k] = sum;
}
