// Losses that compare outputs (N, D) with targets: the squared distance of each row, and its gradient.
//   1 naive   distances: one thread per row walks over its entries. gradient: one thread per entry.
// Sums over the batch are taken on the host in float64, from one number per row.
// target_row is D for one target per row, 0 for a centre that all rows share.

template <typename T>
__global__ void squared_distances_1_naive(const T* outputs, const T* targets, T* distances, int N, int D, int target_row) {
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= N) return;
    T sum = 0;
    for (int d = 0; d < D; d++) {
        T difference = outputs[n * D + d] - targets[n * target_row + d];
        sum += difference * difference;
    }
    distances[n] = sum;
}

// factor (output - target) for rows with distance > threshold, 0 for the others.
template <typename T>
__global__ void distance_gradient_1_naive(const T* outputs, const T* targets, const T* distances, T* grad, T factor,
                                          T threshold, int N, int D, int target_row) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= N * D) return;
    int n = i / D, d = i % D;
    grad[i] = distances[n] > threshold ? factor * (outputs[i] - targets[n * target_row + d]) : T(0);
}
