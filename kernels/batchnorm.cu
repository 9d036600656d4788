// Batch normalisation per channel, contiguous (N, C, positions). channel_mean reduces two arrays at once: with b = a it
// serves mean and mean square of a centred array, with b = x_hat the two means of the backward pass.
//   1 naive    reductions: one thread per channel walks over all its entries. Simple, and almost no parallelism.
//   2 shuffles one block per channel: threads stride over the entries (full transactions), then a warp adds in registers.
// The elementwise steps have one rung: a load or two and a store per entry.

template <typename T>
__global__ void channel_means_1_naive(const T* a, const T* b, T* mean_a, T* mean_ab, int N, int C, int positions) {
    int c = blockIdx.x;  // a block per channel in every rung, so that all rungs launch alike; here one thread works
    if (threadIdx.x) return;
    T sum_a = 0, sum_ab = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < positions; p++) {
            int i = (n * C + c) * positions + p;
            sum_a += a[i];
            sum_ab += a[i] * b[i];
        }
    mean_a[c] = sum_a / (N * positions);
    mean_ab[c] = sum_ab / (N * positions);
}

template <typename T>
__global__ void channel_means_2_shuffles(const T* a, const T* b, T* mean_a, T* mean_ab, int N, int C, int positions) {
    __shared__ T partial_a[32], partial_ab[32];
    int c = blockIdx.x, lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
    T sum_a = 0, sum_ab = 0;
    for (int j = threadIdx.x; j < N * positions; j += blockDim.x) {
        int i = (j / positions * C + c) * positions + j % positions;
        sum_a += a[i];
        sum_ab += a[i] * b[i];
    }
    for (int step = warpSize / 2; step > 0; step /= 2) {
        sum_a += __shfl_down_sync(0xffffffffu, sum_a, step);
        sum_ab += __shfl_down_sync(0xffffffffu, sum_ab, step);
    }
    if (lane == 0) {
        partial_a[warp] = sum_a;
        partial_ab[warp] = sum_ab;
    }
    __syncthreads();
    if (threadIdx.x) return;
    sum_a = sum_ab = 0;
    for (int w = 0; w < warps; w++) {
        sum_a += partial_a[w];
        sum_ab += partial_ab[w];
    }
    mean_a[c] = sum_a / (N * positions);
    mean_ab[c] = sum_ab / (N * positions);
}

// y = (x - shift) scale, per channel.
template <typename T>
__global__ void channel_scale_1_naive(const T* x, const T* shift, const T* scale, T* y, int n, int C, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, c = i / positions % C;
    if (i < n) y[i] = (x[i] - shift[c]) * scale[c];
}

// dL/dx = r (g - mean(g) - x_hat mean(g x_hat))
template <typename T>
__global__ void batchnorm_backward_1_naive(const T* grad_output, const T* x_hat, const T* scale, const T* mean_g,
                                           const T* mean_gx, T* grad_input, int n, int C, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, c = i / positions % C;
    if (i < n) grad_input[i] = scale[c] * (grad_output[i] - mean_g[c] - x_hat[i] * mean_gx[c]);
}

// ---- Per channel: scale = 1 / sqrt(variance + epsilon).
template <typename T> __global__ void inverse_deviation_1_naive(const T* variance, T* scale, T epsilon, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < C) scale[c] = T(1) / sqrt(variance[c] + epsilon);
}
// running <- (1 - momentum) running + momentum factor batch, in place; factor makes a variance unbiased.
template <typename T>
__global__ void running_update_1_naive(T* running, const T* batch, T momentum, T factor, int C) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c < C) running[c] = (T(1) - momentum) * running[c] + momentum * factor * batch[c];
}
