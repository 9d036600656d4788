// What a training step needs besides its arithmetic, so that the host only has to launch it again: the batch of this step
// is gathered from the data on the device, results are logged there. With
// b = steps - first_step, the number of the batch within the epoch, step b works on samples order[b * batch_size ...].
//   1 naive   one thread per number: copies, bound by memory traffic.
#include "reduce.h"

template <typename T>
__global__ void gather_batch_1_naive(const T* X, const int* order, const int* steps, const int* first_step, T* batch,
                                     int batch_size, int rows, int D) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * D) return;
    int n = i / D, sample = order[(*steps - *first_step) * batch_size + n];
    batch[i] = X[sample * D + i % D];
}

// log[b * batch_size + n] = values[n]
template <typename T>
__global__ void log_batch_1_naive(const T* values, const int* steps, const int* first_step, T* log, int batch_size,
                                  int rows) {
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n < rows) log[(*steps - *first_step) * batch_size + n] = values[n];
}

// any = 1 where an entry of x is not 0, else 0: one block, in which each thread stops at the first that it finds.
template <typename T> __global__ void any_nonzero_1_block(const T* x, double* any, int n) {
    __shared__ double partial[32];
    double found = 0;
    for (int i = threadIdx.x; i < n && found == 0; i += blockDim.x) found = x[i] != T(0);
    found = block_sum(found, partial);
    if (threadIdx.x == 0) *any = found > 0;
}

template <typename T> __global__ void copy_1_naive(const T* source, T* target, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) target[i] = source[i];
}
