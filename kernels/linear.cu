// Matrix product c = a b, c: (rows, columns), inner length `inner`. a and b are read with strides, so that one kernel
// serves y = x W^T, dL/dx = G W and dL/dW = G^T x: entry (i, j) of a lies at i * a_row + j * a_column.
//   1 naive   one thread per entry of c: 2 * inner global loads per output.
//   2 tiled   a block loads 16 x 16 pieces of a and b into shared memory once: 2 * inner / 16 global loads per output.
//             Loses when c or inner is much smaller than a tile: most threads then idle at the barriers.

template <typename T>
__global__ void matmul_1_naive(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row, int a_column,
                               int b_row, int b_column) {
    int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= rows || column >= columns) return;
    T sum = 0;
    for (int k = 0; k < inner; k++) sum += a[row * a_row + k * a_column] * b[k * b_row + column * b_column];
    c[row * columns + column] = sum;
}

template <typename T>
__global__ void matmul_2_tiled(const T* a, const T* b, T* c, int rows, int columns, int inner, int a_row, int a_column,
                               int b_row, int b_column) {
    constexpr int tile = 16;  // the block must be tile x tile
    __shared__ T a_tile[tile][tile + 1], b_tile[tile][tile + 1];  // + 1: a column then spreads over all banks
    int x = threadIdx.x, y = threadIdx.y, column = blockIdx.x * tile + x, row = blockIdx.y * tile + y;
    T sum = 0;
    for (int first = 0; first < inner; first += tile) {
        // Threads beyond an edge load zeros and go on to the barriers, which need everybody.
        a_tile[y][x] = row < rows && first + x < inner ? a[row * a_row + (first + x) * a_column] : T(0);
        b_tile[y][x] = column < columns && first + y < inner ? b[(first + y) * b_row + column * b_column] : T(0);
        __syncthreads();
        for (int k = 0; k < tile; k++) sum += a_tile[y][k] * b_tile[k][x];
        __syncthreads();
    }
    if (row < rows && column < columns) c[row * columns + column] = sum;
}

// Bias, for (N, K, positions): one thread per entry; its gradient: one thread per k.
template <typename T> __global__ void bias_forward_1_naive(const T* x, const T* bias, T* y, int n, int K, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + bias[i / positions % K];
}
template <typename T>
__global__ void bias_backward_1_naive(const T* grad_output, T* grad_bias, int N, int K, int positions) {
    int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= K) return;
    T sum = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < positions; p++) sum += grad_output[(n * K + k) * positions + p];
    grad_bias[k] = sum;
}
