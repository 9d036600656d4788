// Batch norm, leaky ReLU and max-pool in one pass: what stands between two convolutions of an encoder. Windows lie side
// by side (stride = kernel). minisvdd/ops/fused.py derives the backward; its unfused form is the three operations' own.
// Forward, loads and stores per number of x; unfused (each operation's best rung, float, 2x2) 0.94 loads, 2.5 stores:
//   1 windows  one thread per result loads its window: x once, no x_hat, no mask, no activation written.
//              1.5 loads (mean and scale once per window), 1/2 stores (y and the winner, which takes one byte).
//   2 pairs    2x2 windows, 16 bytes of two rows at a time: 1/2 load. Elsewhere it works like rung 1.
// Backward: pooled_means takes mean(g) and mean(g x_hat) from the pooled arrays alone, a quarter of the numbers; then
//   1 windows  one thread per window: 1 load of x, 7/4 of what the window shares (float, 2x2).
#include "pack.h"
#include "reduce.h"

template <typename T> __device__ T normalize_leaky(T x, T mean, T scale, T slope) {
    T x_hat = (x - mean) * scale;
    return x_hat > T(0) ? x_hat : slope * x_hat;
}
template <typename T>
__device__ void normalize_pool_window(const T* x, const T* mean, const T* scale, T* y, unsigned char* winner, T slope,
                                      int i, int C, int H, int W, int P, int Q, int kh, int kw) {
    int q = i % Q, p = i / Q % P, plane = i / (Q * P), best = 0;
    T shift = mean[plane % C], r = scale[plane % C];
    const T* window = x + (plane * H + kh * p) * W + kw * q;
    T value = normalize_leaky(window[0], shift, r, slope);
    for (int k = 1; k < kh * kw; k++) {
        T candidate = normalize_leaky(window[k / kw * W + k % kw], shift, r, slope);
        if (candidate > value) {  // the first of equals wins
            value = candidate;
            best = k;
        }
    }
    y[i] = value;
    winner[i] = best;
}
template <typename T>
__global__ void normalize_pool_forward_1_windows(const T* x, const T* mean, const T* scale, T* y, unsigned char* winner,
                                                 T slope, int planes, int C, int H, int W, int P, int Q, int kh, int kw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < planes * P * Q) normalize_pool_window(x, mean, scale, y, winner, slope, i, C, H, W, P, Q, kh, kw);
}
template <typename T>
__global__ void normalize_pool_forward_2_pairs(const T* x, const T* mean, const T* scale, T* y, unsigned char* winner,
                                               T slope, int planes, int C, int H, int W, int P, int Q, int kh, int kw) {
    constexpr int results = Pack<T>::size / 2;
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    if (kh != 2 || kw != 2 || W % Pack<T>::size || !is_aligned(x)) {
        for (int i = thread; i < planes * P * Q; i += threads)
            normalize_pool_window(x, mean, scale, y, winner, slope, i, C, H, W, P, Q, kh, kw);
        return;
    }
    for (int j = thread; j < planes * P * Q / results; j += threads) {
        int i = j * results, q = i % Q, p = i / Q % P, plane = i / (Q * P);
        T shift = mean[plane % C], r = scale[plane % C];
        const T* corner = x + (plane * H + 2 * p) * W + 2 * q;
        Pack<T> above = load_pack<Pack<T>>(corner), below = load_pack<Pack<T>>(corner + W);
        for (int k = 0; k < results; k++) {
            T entries[4] = {above.v[2 * k], above.v[2 * k + 1], below.v[2 * k], below.v[2 * k + 1]};
            T value = normalize_leaky(entries[0], shift, r, slope);
            int best = 0;
            for (int e = 1; e < 4; e++) {
                T candidate = normalize_leaky(entries[e], shift, r, slope);
                if (candidate > value) {
                    value = candidate;
                    best = e;
                }
            }
            y[i + k] = value;
            winner[i + k] = best;
        }
    }
}

// Sums of g = G f and of g x_hat = G y over the windows of a channel, f = 1 or slope; all other g are 0.
// partials: (gridDim.y, 2, C), for sum_partials.
template <typename T>
__global__ void pooled_means_1_split(const T* grad_output, const T* y, T* partials, T slope, int N, int C, int positions) {
    __shared__ T partial_g[32], partial_gx[32];
    int c = blockIdx.x;
    T sum_g = 0, sum_gx = 0;
    for (int j = blockIdx.y * blockDim.x + threadIdx.x; j < N * positions; j += gridDim.y * blockDim.x) {
        int i = (j / positions * C + c) * positions + j % positions;
        T grad = grad_output[i], value = y[i];
        sum_g += value > T(0) ? grad : slope * grad;
        sum_gx += grad * value;
    }
    sum_g = block_sum(sum_g, partial_g);
    sum_gx = block_sum(sum_gx, partial_gx);
    if (threadIdx.x) return;
    partials[blockIdx.y * 2 * C + c] = sum_g;
    partials[(blockIdx.y * 2 + 1) * C + c] = sum_gx;
}

// dL/dx = r (g - mean(g) - x_hat mean(g x_hat)), g = G f at the winner of each window and 0 elsewhere. One thread per
// window, and per part of one at the edges, where rows and columns fill none.  means: (2, C)
template <typename T>
__global__ void normalize_pool_backward_1_windows(const T* grad_output, const T* x, const T* y,
                                                  const unsigned char* winner, const T* mean, const T* scale,
                                                  const T* means, T* grad_input, T slope, int planes, int C, int H, int W,
                                                  int P, int Q, int kh, int kw) {
    int down = (H + kh - 1) / kh, across = (W + kw - 1) / kw, i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * down * across) return;
    int q = i % across, p = i / across % down, plane = i / (across * down), o = (plane * P + p) * Q + q, won = -1;
    int c = plane % C;
    T grad = 0, shift = mean[c], r = scale[c], mean_g = means[c], mean_gx = means[C + c];
    if (p < P && q < Q) {
        grad = y[o] > T(0) ? grad_output[o] : slope * grad_output[o];
        won = winner[o];
    }
    for (int a = 0; a < kh && kh * p + a < H; a++)
        for (int b = 0; b < kw && kw * q + b < W; b++) {
            int at = (plane * H + kh * p + a) * W + kw * q + b;
            T g = won == a * kw + b ? grad : T(0);
            grad_input[at] = r * (g - mean_g - (x[at] - shift) * r * mean_gx);
        }
}
