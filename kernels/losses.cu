// Losses. Each takes two launches: the first gives one number per row (or per entry) and the gradient, the second adds those
// numbers in one block, in double, in an order that never changes: one seed, one result, bit for bit. The value stays on
// the device until somebody asks for it.
//
// First stage, rows of squared or absolute differences between outputs (N, D) and targets. A warp is launched per row:
//   1 naive   its first lane walks along the row alone: a transaction of 32 bytes for every 4 that it reads.
//   2 warp    the lanes read neighbours (full transactions), then add in registers. Loses for D << 32.
// With the gradient, in training (squared_error, soft_boundary_error, absolute_error): the warp that has added up its row
// goes over it again, in the cache, and writes dL/doutput. One launch, and soft-boundary knows by then whether the row is
// outside.
// Second stage, scaled_sum and soft_boundary_value, one block:
//   1 naive   one thread adds all numbers.
//   2 block   every thread adds each blockDim-th number, then warps add in registers, then one thread adds the warps.
// Cross-entropies: one thread per row, since rows are short.
// target_row is D for one target per row, 0 for a centre that all rows share.
#include "reduce.h"

template <typename T> __device__ T square(T x) { return x * x; }

// The sum of f(output - target) over each row.
template <typename T, typename F>
__device__ void sum_rows_naive(const T* outputs, const T* targets, T* sums, int N, int D, int target_row, F f) {
    int n = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize;
    if (n >= N || threadIdx.x % warpSize) return;
    T sum = 0;
    for (int d = 0; d < D; d++) sum += f(outputs[n * D + d] - targets[n * target_row + d]);
    sums[n] = sum;
}
template <typename T, typename F>
__device__ void sum_rows_warp(const T* outputs, const T* targets, T* sums, int N, int D, int target_row, F f) {
    int n = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize, lane = threadIdx.x % warpSize;
    if (n >= N) return;  // whole warps
    T sum = 0;
    for (int d = lane; d < D; d += warpSize) sum += f(outputs[n * D + d] - targets[n * target_row + d]);
    sum = warp_sum(sum);
    if (lane == 0) sums[n] = sum;
}
template <typename T>
__global__ void squared_distances_1_naive(const T* outputs, const T* targets, T* distances, int N, int D, int target_row) {
    sum_rows_naive(outputs, targets, distances, N, D, target_row, [](T difference) { return square(difference); });
}
template <typename T>
__global__ void squared_distances_2_warp(const T* outputs, const T* targets, T* distances, int N, int D, int target_row) {
    sum_rows_warp(outputs, targets, distances, N, D, target_row, [](T difference) { return square(difference); });
}
template <typename T>
__global__ void absolute_distances_1_naive(const T* outputs, const T* targets, T* distances, int N, int D, int target_row) {
    sum_rows_naive(outputs, targets, distances, N, D, target_row, [](T difference) { return T(fabs(difference)); });
}
template <typename T>
__global__ void absolute_distances_2_warp(const T* outputs, const T* targets, T* distances, int N, int D, int target_row) {
    sum_rows_warp(outputs, targets, distances, N, D, target_row, [](T difference) { return T(fabs(difference)); });
}

// The sum of f(output - target) over each row, and slope(output - target, sum) for each entry.
template <typename T, typename F, typename G>
__device__ void rows_with_gradient(const T* outputs, const T* targets, T* sums, T* grad, int N, int D, int target_row, F f,
                                   G slope) {
    int n = (blockIdx.x * blockDim.x + threadIdx.x) / warpSize, lane = threadIdx.x % warpSize;
    if (n >= N) return;  // whole warps
    T sum = 0;
    for (int d = lane; d < D; d += warpSize) sum += f(outputs[n * D + d] - targets[n * target_row + d]);
    sum = __shfl_sync(0xffffffffu, warp_sum(sum), 0);
    if (lane == 0) sums[n] = sum;
    for (int d = lane; d < D; d += warpSize)
        grad[n * D + d] = slope(outputs[n * D + d] - targets[n * target_row + d], sum);
}
// grad = factor (output - target)
template <typename T>
__global__ void squared_error_1_warp(const T* outputs, const T* targets, T* distances, T* grad, T factor, int N, int D,
                                     int target_row) {
    rows_with_gradient(
        outputs, targets, distances, grad, N, D, target_row, [](T difference) { return square(difference); },
        [=](T difference, T) { return factor * difference; });
}
// the same for rows outside the sphere, 0 for the others; R^2 lies on the device, for it changes between epochs
template <typename T>
__global__ void soft_boundary_error_1_warp(const T* outputs, const T* targets, const double* radius_squared, T* distances,
                                           T* grad, T factor, int N, int D, int target_row) {
    T r2 = T(*radius_squared);
    rows_with_gradient(
        outputs, targets, distances, grad, N, D, target_row, [](T difference) { return square(difference); },
        [=](T difference, T distance) { return distance > r2 ? factor * difference : T(0); });
}
// grad = factor sign(output - target), 0 where they are equal
template <typename T>
__global__ void absolute_error_1_warp(const T* outputs, const T* targets, T* distances, T* grad, T factor, int N, int D,
                                      int target_row) {
    rows_with_gradient(
        outputs, targets, distances, grad, N, D, target_row, [](T difference) { return T(fabs(difference)); },
        [=](T difference, T) { return factor * T((difference > T(0)) - (difference < T(0))); });
}

// Row n: log sum_k exp(z_k) - z_label and (softmax(z) - [k = label]) / N. A label that is no class gives NaN.
template <typename T>
__global__ void softmax_cross_entropy_1_naive(const T* logits, const int* labels, T* losses, T* grad, int N, int K) {
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= N) return;
    const T* z = logits + n * K;
    T largest = z[0], total = 0;
    for (int k = 1; k < K; k++) largest = z[k] > largest ? z[k] : largest;
    for (int k = 0; k < K; k++) total += exp(z[k] - largest);  // none overflows, one is 1
    int label = labels[n];
    losses[n] = label >= 0 && label < K ? log(total) - (z[label] - largest) : T(nan(""));
    for (int k = 0; k < K; k++) grad[n * K + k] = (exp(z[k] - largest) / total - T(k == label)) / N;
}

// Entry i: max(z, 0) - z t + log(1 + exp(-|z|)) and (sigmoid(z) - t) / n.  target_step: 1, or 0 for one common target.
template <typename T>
__global__ void binary_cross_entropy_1_naive(const T* logits, const T* targets, T* losses, T* grad, int target_step,
                                             int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T z = logits[i], t = targets[i * target_step];
    losses[i] = (z > T(0) ? z : T(0)) - z * t + log1p(exp(-fabs(z)));
    grad[i] = (T(0.5) * (T(1) + tanh(T(0.5) * z)) - t) / n;
}

// The sum of f(i) over i < n, in thread 0.
template <typename F> __device__ double total_naive(int n, F f) {
    double sum = 0;
    for (int i = 0; i < n && threadIdx.x == 0; i++) sum += f(i);
    return sum;
}
template <typename F> __device__ double total_block(int n, F f) {
    __shared__ double partial[32];
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += f(i);
    return block_sum(sum, partial);
}

// value = factor * sum of x
template <typename T> __global__ void scaled_sum_1_naive(const T* x, double* value, double factor, int n) {
    double sum = total_naive(n, [=](int i) { return x[i]; });
    if (threadIdx.x == 0) *value = factor * sum;
}
template <typename T> __global__ void scaled_sum_2_block(const T* x, double* value, double factor, int n) {
    double sum = total_block(n, [=](int i) { return x[i]; });
    if (threadIdx.x == 0) *value = factor * sum;
}

// value = R^2 + factor * sum of max(0, d - R^2)
template <typename T>
__global__ void soft_boundary_value_1_naive(const T* distances, const double* radius_squared, double* value, double factor,
                                            int n) {
    T r2 = T(*radius_squared);
    double sum = total_naive(n, [=](int i) { return distances[i] > r2 ? distances[i] - r2 : T(0); });
    if (threadIdx.x == 0) *value = *radius_squared + factor * sum;
}
template <typename T>
__global__ void soft_boundary_value_2_block(const T* distances, const double* radius_squared, double* value, double factor,
                                            int n) {
    T r2 = T(*radius_squared);
    double sum = total_block(n, [=](int i) { return distances[i] > r2 ? distances[i] - r2 : T(0); });
    if (threadIdx.x == 0) *value = *radius_squared + factor * sum;
}
