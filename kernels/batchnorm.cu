// Batch normalisation per channel, contiguous (N, C, positions). Loads per number of the input:
//
// Statistics: mean and variance (biased).
//   1 naive     one thread per channel walks over all its numbers, twice: 2 loads, and almost no parallelism.
//   2 shuffles  one block per channel. Each thread keeps mean and squared deviations of what it has seen (Welford), and
//               pairs of such moments merge (Chan): 1 load, and no second pass.
//   3 split     many blocks per channel, since there are far fewer channels than multiprocessors; loads of 16 bytes: 1/4
//               (float). Writes moments of its shares. Loses for a few hundred numbers: two launches instead of one.
// What follows on a few numbers per channel, in training, costs launches rather than loads:
//   apart            merge_moments, inverse_deviation, running_update for the mean and for the variance: four launches.
//   in one           finish_statistics: a block per channel merges, and its first thread does the rest.
// Means of a and of a b, for the backward pass (a = dL/dx_hat, b = x_hat): the same three rungs, without moments.
// Normalise and its backward, elementwise:
//   1 naive       a thread per number, which also loads its channel's statistics: 3 loads; backward 5.
//   2 vectorised  a thread per 16 bytes: a quarter of that (float).
#include "pack.h"
#include "reduce.h"

// f(i) for every L-th number i of channel c, from the `first`-th on, `step` apart. L must divide `positions`.
template <int L, typename F>
__device__ void for_channel(int c, int N, int C, int positions, int first, int step, F f) {
    int packs = positions / L;
    for (int j = first; j < N * packs; j += step) f((j / packs * C + c) * positions + j % packs * L);
}

// ---- Moments: count, mean and sum of squared deviations from the mean of some numbers.
template <typename T> struct Moments {
    T count = 0, mean = 0, squares = 0;
    __device__ void add(T value) {
        count += T(1);
        T delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    __device__ void merge(const Moments& other) {
        T total = count + other.count;
        if (total == T(0)) return;
        T delta = other.mean - mean, share = other.count / total;
        mean += delta * share;
        squares += other.squares + delta * delta * count * share;
        count = total;
    }
};
// The moments of the whole block, in thread 0.
template <typename T> __device__ Moments<T> block_moments(Moments<T> own) {
    __shared__ T counts[32], means[32], squares[32];
    int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
    for (int step = warpSize / 2; step > 0; step /= 2) {
        Moments<T> other;
        other.count = __shfl_down_sync(0xffffffffu, own.count, step);
        other.mean = __shfl_down_sync(0xffffffffu, own.mean, step);
        other.squares = __shfl_down_sync(0xffffffffu, own.squares, step);
        if (lane < step) own.merge(other);
    }
    if (lane == 0) {
        counts[warp] = own.count;
        means[warp] = own.mean;
        squares[warp] = own.squares;
    }
    __syncthreads();
    for (int w = 1; w < warps && threadIdx.x == 0; w++) {
        Moments<T> other;
        other.count = counts[w];
        other.mean = means[w];
        other.squares = squares[w];
        own.merge(other);
    }
    return own;
}

// All three take a block per channel (and, in the third, per share of it), so that they launch alike.
template <typename T>
__global__ void channel_statistics_1_naive(const T* x, T* mean, T* variance, int N, int C, int positions) {
    int c = blockIdx.x, m = N * positions;
    if (threadIdx.x) return;
    T sum = 0, squares = 0;
    for_channel<1>(c, N, C, positions, 0, 1, [&](int i) { sum += x[i]; });
    sum /= m;
    for_channel<1>(c, N, C, positions, 0, 1, [&](int i) { squares += (x[i] - sum) * (x[i] - sum); });
    mean[c] = sum;
    variance[c] = squares / m;
}
template <typename T>
__global__ void channel_statistics_2_shuffles(const T* x, T* mean, T* variance, int N, int C, int positions) {
    int c = blockIdx.x;
    Moments<T> own;
    for_channel<1>(c, N, C, positions, threadIdx.x, blockDim.x, [&](int i) { own.add(x[i]); });
    own = block_moments(own);
    if (threadIdx.x) return;
    mean[c] = own.mean;
    variance[c] = own.squares / own.count;
}
// means, squares: (gridDim.y, C), counts: (gridDim.y).
template <typename T>
__global__ void channel_statistics_3_split(const T* x, T* means, T* squares, int* counts, int N, int C, int positions) {
    constexpr int lanes = Pack<T>::size;
    int c = blockIdx.x, first = blockIdx.y * blockDim.x + threadIdx.x, step = gridDim.y * blockDim.x;
    Moments<T> own;
    if (positions % lanes == 0 && is_aligned(x))
        for_channel<lanes>(c, N, C, positions, first, step, [&](int i) {
            Pack<T> pack = load_pack<Pack<T>>(x + i);
            for (int k = 0; k < lanes; k++) own.add(pack.v[k]);
        });
    else
        for_channel<1>(c, N, C, positions, first, step, [&](int i) { own.add(x[i]); });
    own = block_moments(own);
    if (threadIdx.x) return;
    means[blockIdx.y * C + c] = own.mean;
    squares[blockIdx.y * C + c] = own.squares;
    if (c == 0) counts[blockIdx.y] = int(own.count);
}
// The moments of all shares of channel c, `total` numbers, in every thread of the block. To merge pair by pair would be a
// chain of divisions; two passes over the shares need but one:
//     mean = sum n_s mean_s / n,     squares = sum squares_s + n_s (mean_s - mean)^2
template <typename T>
__device__ Moments<T> merged_moments(const T* means, const T* squares, const int* counts, int shares, int C, int c,
                                     int total) {
    __shared__ T partial_mean[32], partial_squares[32];
    T sum = 0, spread = 0;
    for (int s = threadIdx.x; s < shares; s += blockDim.x) sum += counts[s] * means[s * C + c];
    Moments<T> all;
    all.count = total;
    all.mean = block_total(sum, partial_mean) / total;
    for (int s = threadIdx.x; s < shares; s += blockDim.x) {
        T delta = means[s * C + c] - all.mean;
        spread += squares[s * C + c] + counts[s] * delta * delta;
    }
    all.squares = block_total(spread, partial_squares);
    return all;
}
template <typename T>
__global__ void merge_moments_1_block(const T* means, const T* squares, const int* counts, T* mean, T* variance,
                                      int shares, int C, int total) {
    int c = blockIdx.x;
    Moments<T> all = merged_moments(means, squares, counts, shares, C, c, total);
    if (threadIdx.x) return;
    mean[c] = all.mean;
    variance[c] = all.squares / total;
}
// The same, 1 / sqrt(variance + epsilon), and the running statistics after this batch, all at once.
template <typename T>
__global__ void finish_statistics_1_block(const T* means, const T* squares, const int* counts, T* mean, T* variance,
                                          T* scale, T* running_mean, T* running_variance, int shares, int C, int total,
                                          T epsilon, T momentum) {
    int c = blockIdx.x;
    Moments<T> all = merged_moments(means, squares, counts, shares, C, c, total);
    if (threadIdx.x) return;
    mean[c] = all.mean;
    variance[c] = all.squares / total;
    scale[c] = T(1) / sqrt(all.squares / total + epsilon);
    running_mean[c] = (T(1) - momentum) * running_mean[c] + momentum * all.mean;
    running_variance[c] = (T(1) - momentum) * running_variance[c] + momentum * (all.squares / (total - 1));  // unbiased
}

// ---- means: (2, C): mean(a) and mean(a b) per channel.
template <typename T>
__global__ void channel_means_1_naive(const T* a, const T* b, T* means, int N, int C, int positions) {
    int c = blockIdx.x;
    if (threadIdx.x) return;
    T sum_a = 0, sum_ab = 0;
    for_channel<1>(c, N, C, positions, 0, 1, [&](int i) {
        sum_a += a[i];
        sum_ab += a[i] * b[i];
    });
    means[c] = sum_a / (N * positions);
    means[C + c] = sum_ab / (N * positions);
}
template <typename T>
__global__ void channel_means_2_shuffles(const T* a, const T* b, T* means, int N, int C, int positions) {
    __shared__ T partial_a[32], partial_ab[32];
    int c = blockIdx.x;
    T sum_a = 0, sum_ab = 0;
    for_channel<1>(c, N, C, positions, threadIdx.x, blockDim.x, [&](int i) {
        T value = a[i];
        sum_a += value;
        sum_ab += value * b[i];
    });
    sum_a = block_sum(sum_a, partial_a);
    sum_ab = block_sum(sum_ab, partial_ab);
    if (threadIdx.x) return;
    means[c] = sum_a / (N * positions);
    means[C + c] = sum_ab / (N * positions);
}
// partials: (gridDim.y, 2, C), sums for sum_partials.
template <typename T>
__global__ void channel_means_3_split(const T* a, const T* b, T* partials, int N, int C, int positions) {
    constexpr int lanes = Pack<T>::size;
    __shared__ T partial_a[32], partial_ab[32];
    int c = blockIdx.x, first = blockIdx.y * blockDim.x + threadIdx.x, step = gridDim.y * blockDim.x;
    T sum_a = 0, sum_ab = 0;
    if (positions % lanes == 0 && is_aligned(a) && is_aligned(b))
        for_channel<lanes>(c, N, C, positions, first, step, [&](int i) {
            Pack<T> from_a = load_pack<Pack<T>>(a + i), from_b = load_pack<Pack<T>>(b + i);
            for (int k = 0; k < lanes; k++) {
                sum_a += from_a.v[k];
                sum_ab += from_a.v[k] * from_b.v[k];
            }
        });
    else
        for_channel<1>(c, N, C, positions, first, step, [&](int i) {
            T value = a[i];
            sum_a += value;
            sum_ab += value * b[i];
        });
    sum_a = block_sum(sum_a, partial_a);
    sum_ab = block_sum(sum_ab, partial_ab);
    if (threadIdx.x) return;
    partials[blockIdx.y * 2 * C + c] = sum_a;
    partials[(blockIdx.y * 2 + 1) * C + c] = sum_ab;
}

// ---- y = (x - shift) scale, per channel.
template <typename T>
__global__ void channel_scale_1_naive(const T* x, const T* shift, const T* scale, T* y, int n, int C, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, c = i / positions % C;
    if (i < n) y[i] = (x[i] - shift[c]) * scale[c];
}
template <typename T>
__global__ void channel_scale_2_vectorised(const T* x, const T* shift, const T* scale, T* y, int n, int C,
                                           int positions) {
    bool packed = positions % Pack<T>::size == 0 && is_aligned(x) && is_aligned(y);  // a pack lies in one channel
    for_packs<T>(
        n, packed, [=](int i) { y[i] = (x[i] - shift[i / positions % C]) * scale[i / positions % C]; },
        [=](int i) {
            Pack<T> pack = load_pack<Pack<T>>(x + i);
            T s = shift[i / positions % C], r = scale[i / positions % C];
            for (int k = 0; k < Pack<T>::size; k++) pack.v[k] = (pack.v[k] - s) * r;
            store_pack(y + i, pack);
        });
}

// ---- dL/dx = r (g - mean(g) - x_hat mean(g x_hat));  means: (2, C)
template <typename T>
__global__ void batchnorm_backward_1_naive(const T* grad_output, const T* x_hat, const T* scale, const T* means,
                                           T* grad_input, int n, int C, int positions) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, c = i / positions % C;
    if (i < n) grad_input[i] = scale[c] * (grad_output[i] - means[c] - x_hat[i] * means[C + c]);
}
template <typename T>
__global__ void batchnorm_backward_2_vectorised(const T* grad_output, const T* x_hat, const T* scale, const T* means,
                                                T* grad_input, int n, int C, int positions) {
    bool packed = positions % Pack<T>::size == 0 && is_aligned(grad_output) && is_aligned(x_hat) && is_aligned(grad_input);
    for_packs<T>(
        n, packed,
        [=](int i) {
            int c = i / positions % C;
            grad_input[i] = scale[c] * (grad_output[i] - means[c] - x_hat[i] * means[C + c]);
        },
        [=](int i) {
            int c = i / positions % C;
            Pack<T> g = load_pack<Pack<T>>(grad_output + i), h = load_pack<Pack<T>>(x_hat + i);
            T r = scale[c], mean_g = means[c], mean_gx = means[C + c];
            for (int k = 0; k < Pack<T>::size; k++) g.v[k] = r * (g.v[k] - mean_g - h.v[k] * mean_gx);
            store_pack(grad_input + i, g);
        });
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
