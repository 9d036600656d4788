// What AnoGAN needs between the passes of its networks (minisvdd/rivals/latent.py, game.py): weighted sums of two arrays,
// an epoch's images in their order, and the best point that a search has seen.
//   1 naive   one thread per number: bound by memory traffic.
//   1 rows    one block per row, since all its threads ask the same two numbers before one of them is overwritten.

// sum = a x + b y; sum may be x or y.
template <typename T>
__global__ void weighted_sum_1_naive(const T* x, const T* y, T* sum, double a, double b, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) sum[i] = T(a) * x[i] + T(b) * y[i];
}

// taken[i] = X[order[i]], for rows of D numbers.
template <typename T> __global__ void take_rows_1_naive(const T* X, const int* order, T* taken, int rows, int D) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * D) taken[i] = X[(long long)order[i / D] * D + i % D];
}

// Row n of the best points becomes that of the points where its loss is smaller, and the loss with it.
template <typename T>
__global__ void keep_better_1_rows(const T* losses, const T* points, T* best_losses, T* best_points, int D) {
    int n = blockIdx.x;
    bool better = losses[n] < best_losses[n];
    __syncthreads();  // everybody has read
    if (!better) return;
    for (int d = threadIdx.x; d < D; d += blockDim.x) best_points[n * D + d] = points[n * D + d];
    if (threadIdx.x == 0) best_losses[n] = losses[n];
}
