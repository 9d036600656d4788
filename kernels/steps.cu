// What a training step needs besides its arithmetic, so that the host only has to launch it again: the batch of this step
// is gathered from the data on the device. With b = done - first_step, the number of the batch within the epoch, step b
// works on samples order[b * batch_size ...].
//   1 naive   one thread per number: copies, bound by memory traffic.
// A step begins with before = done, the steps done so far. Whoever ends the step (adam.cu) reads `before`, in many blocks,
// and then increases `done`.

template <typename T>
__global__ void gather_batch_1_naive(const T* X, const int* order, const int* done, const int* first_step, int* before,
                                     T* batch, int batch_size, int rows, int D) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0) *before = *done;
    if (i >= rows * D) return;
    int n = i / D, sample = order[(*done - *first_step) * batch_size + n];
    batch[i] = X[(long long)sample * D + i % D];  // of a data set that may have more numbers than an int counts
}
// A step that brings its batch along.
__global__ void begin_step_1_naive(const int* done, int* before) {
    if (blockIdx.x + threadIdx.x == 0) *before = *done;
}

template <typename T> __global__ void copy_1_naive(const T* source, T* target, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) target[i] = source[i];
}
