// What a training step needs besides its arithmetic, so that the host only has to launch it again: the batch of this step
// is gathered from the data on the device, results are logged there. With
// b = steps - first_step, the number of the batch within the epoch, step b works on samples order[b * batch_size ...].
//   1 naive   one thread per number: copies, bound by memory traffic.

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

template <typename T> __global__ void copy_1_naive(const T* source, T* target, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) target[i] = source[i];
}
