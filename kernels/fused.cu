// Batch norm, leaky ReLU and max-pool in one pass: what stands between two convolutions of an encoder. Windows lie side
// by side (stride = kernel). minisvdd/ops/norm_act_pool/ derives the backward; its unfused form is the three operations' own.
// Forward:
//   1 windows  one thread per result loads its window. x is read once, and nothing is written but y and the winner (one
//              byte): no x_hat, no mask, no activation.
//   2 pairs    2x2 windows, 16 bytes of two rows at a time. Elsewhere it works like rung 1.
// Backward: pooled_sums adds up g and g x_hat over the pooled arrays alone, a quarter of the numbers, in many blocks per
// channel. A block of what follows works on one channel, and adds these partial sums up before anything else: all blocks
// in the same order, and no launch between the two.
//   1 windows  one thread per window, which loads what the window shares once and writes all its entries.
//   2 pairs    2x2 windows and even W: two entries of a row with one load and one store.
//   3 packs    2x2 windows, 16 bytes of two rows at a time: a thread has neighbouring windows, and has asked for all of
//              their numbers when the block meets for the sums.
// With batch norm's scale and shift, the same by the highest rungs: affine_pool_forward; winner_sums, which must look up
// the x that won; affine_pool_backward, which writes the sums, too: they are the gradients of scale and shift.
#include "pack.h"
#include "reduce.h"

template <typename T> __device__ T leaky(T z, T slope) { return z > T(0) ? z : slope * z; }
// of_channel(c) gives the function f of a number of channel c whose largest value in each window is wanted.
template <typename T, typename Channels>
__device__ void pool_window(const T* x, T* y, unsigned char* winner, Channels of_channel, int i, int C, int H, int W, int P,
                            int Q, int kh, int kw) {
    int q = i % Q, p = i / Q % P, plane = i / (Q * P), best = 0;
    auto f = of_channel(plane % C);
    const T* window = x + (plane * H + kh * p) * W + kw * q;
    T value = f(window[0]);
    for (int k = 1; k < kh * kw; k++) {
        T candidate = f(window[k / kw * W + k % kw]);
        if (candidate > value) {  // the first of equals wins
            value = candidate;
            best = k;
        }
    }
    y[i] = value;
    winner[i] = best;
}
template <typename T, typename Channels>
__device__ void pool_pairs(const T* x, T* y, unsigned char* winner, Channels of_channel, int planes, int C, int H, int W,
                           int P, int Q, int kh, int kw) {
    constexpr int results = Pack<T>::size / 2;
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    if (kh != 2 || kw != 2 || W % Pack<T>::size || !is_aligned(x)) {
        for (int i = thread; i < planes * P * Q; i += threads)
            pool_window(x, y, winner, of_channel, i, C, H, W, P, Q, kh, kw);
        return;
    }
    for (int j = thread; j < planes * P * Q / results; j += threads) {
        int i = j * results, q = i % Q, p = i / Q % P, plane = i / (Q * P);
        auto f = of_channel(plane % C);
        const T* corner = x + (plane * H + 2 * p) * W + 2 * q;
        Pack<T> above = load_pack<Pack<T>>(corner), below = load_pack<Pack<T>>(corner + W);
        for (int k = 0; k < results; k++) {
            T entries[4] = {above.v[2 * k], above.v[2 * k + 1], below.v[2 * k], below.v[2 * k + 1]};
            T value = f(entries[0]);
            int best = 0;
            for (int e = 1; e < 4; e++) {
                T candidate = f(entries[e]);
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
// f(x) = leaky(x_hat)
template <typename T> __device__ auto normalized(const T* mean, const T* scale, T slope) {
    return [=](int c) {
        T shift = mean[c], r = scale[c];
        return [=](T x) { return leaky((x - shift) * r, slope); };
    };
}
// f(x) = leaky(w x_hat + b)
template <typename T>
__device__ auto normalized_affine(const T* mean, const T* scale, const T* weight, const T* bias, T slope) {
    return [=](int c) {
        T shift = mean[c], r = scale[c], w = weight[c], b = bias[c];
        return [=](T x) { return leaky((x - shift) * r * w + b, slope); };
    };
}
template <typename T>
__global__ void normalize_pool_forward_1_windows(const T* x, const T* mean, const T* scale, T* y, unsigned char* winner,
                                                 T slope, int planes, int C, int H, int W, int P, int Q, int kh, int kw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < planes * P * Q)
        pool_window(x, y, winner, normalized(mean, scale, slope), i, C, H, W, P, Q, kh, kw);
}
template <typename T>
__global__ void normalize_pool_forward_2_pairs(const T* x, const T* mean, const T* scale, T* y, unsigned char* winner,
                                               T slope, int planes, int C, int H, int W, int P, int Q, int kh, int kw) {
    pool_pairs(x, y, winner, normalized(mean, scale, slope), planes, C, H, W, P, Q, kh, kw);
}
template <typename T>
__global__ void affine_pool_forward_1_pairs(const T* x, const T* mean, const T* scale, const T* weight, const T* bias, T* y,
                                            unsigned char* winner, T slope, int planes, int C, int H, int W, int P, int Q,
                                            int kh, int kw) {
    pool_pairs(x, y, winner, normalized_affine(mean, scale, weight, bias, slope), planes, C, H, W, P, Q, kh, kw);
}

// Sums of g = G f and of g x_hat = G y over the windows of a channel, f = 1 or slope; all other g are 0.
// partials: (gridDim.y, 2, C).
template <typename T>
__global__ void pooled_sums_1_split(const T* grad_output, const T* y, T* partials, T slope, int N, int C, int positions) {
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

// The same sums where y does not tell x_hat: x is looked up at the winner of each window.
template <typename T>
__global__ void winner_sums_1_split(const T* grad_output, const T* x, const T* y, const unsigned char* winner,
                                    const T* mean, const T* scale, T* partials, T slope, int N, int C, int H, int W, int P,
                                    int Q, int kh, int kw) {
    __shared__ T partial_g[32], partial_gx[32];
    int c = blockIdx.x, positions = P * Q;
    T shift = mean[c], r = scale[c], sum_g = 0, sum_gx = 0;
    for (int j = blockIdx.y * blockDim.x + threadIdx.x; j < N * positions; j += gridDim.y * blockDim.x) {
        int plane = j / positions * C + c, place = j % positions, i = plane * positions + place, won = winner[i];
        int row = place / Q * kh + won / kw, column = place % Q * kw + won % kw;
        T g = y[i] > T(0) ? grad_output[i] : slope * grad_output[i];
        sum_g += g;
        sum_gx += g * ((x[(plane * H + row) * W + column] - shift) * r);
    }
    sum_g = block_sum(sum_g, partial_g);
    sum_gx = block_sum(sum_gx, partial_gx);
    if (threadIdx.x) return;
    partials[blockIdx.y * 2 * C + c] = sum_g;
    partials[(blockIdx.y * 2 + 1) * C + c] = sum_gx;
}

// dL/dx = r (g - mean(g) - x_hat mean(g x_hat)), g = G f at the winner of each window and 0 elsewhere. One thread per
// window, and per part of one at the edges, where rows and columns fill none; blocks (x, c) share the windows of channel c.
// partials: (shares, 2, C); a mean is factor times their sum. gain: what stands before the bracket, r or w r.
template <typename T> struct WindowGradient {
    T grad, shift, scale, gain, mean_g, mean_gx;
    int plane, p, q, won;
    __device__ T at(T x, int entry) const {
        T g = won == entry ? grad : T(0);
        return gain * (g - mean_g - (x - shift) * scale * mean_gx);
    }
};
// Window i of channel c; its plane is -1 where there is none. What its gradient needs of the channel's means is not there yet.
template <typename T>
__device__ WindowGradient<T> window_at(int i, int c, const T* grad_output, const T* y, const unsigned char* winner,
                                       const T* mean, const T* scale, T slope, int N, int C, int down, int across, int P,
                                       int Q) {
    int q = i % across, p = i / across % down, n = i / (across * down);
    WindowGradient<T> window{};
    window.plane = window.won = -1;
    T r = scale[c];
    if (n < N) window = {T(0), mean[c], r, r, T(0), T(0), n * C + c, p, q, -1};
    if (n < N && p < P && q < Q) {
        int o = (window.plane * P + p) * Q + q;
        window.grad = y[o] > T(0) ? grad_output[o] : slope * grad_output[o];
        window.won = winner[o];
    }
    return window;
}
// The sums of channel c over all shares. All threads of the block must call it, after they have asked for their numbers:
// these are under way while the block meets.
template <typename T> struct Sums {
    T g, gx;
};
template <typename T> __device__ Sums<T> sums_of_channel(const T* partials, int shares, int c, int C) {
    __shared__ T partial_g[32], partial_gx[32];
    T sum_g = 0, sum_gx = 0;
    for (int s = threadIdx.x; s < shares; s += blockDim.x) {
        sum_g += partials[s * 2 * C + c];
        sum_gx += partials[(s * 2 + 1) * C + c];
    }
    sum_g = block_total(sum_g, partial_g);
    return {sum_g, block_total(sum_gx, partial_gx)};
}
// The window of this thread.
template <typename T>
__device__ WindowGradient<T> window_gradient(const T* grad_output, const T* y, const unsigned char* winner, const T* mean,
                                             const T* scale, const T* partials, T factor, T slope, int shares, int N,
                                             int C, int down, int across, int P, int Q) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, c = blockIdx.y;
    auto window = window_at(i, c, grad_output, y, winner, mean, scale, slope, N, C, down, across, P, Q);
    Sums<T> sums = sums_of_channel(partials, shares, c, C);
    window.mean_g = factor * sums.g, window.mean_gx = factor * sums.gx;
    return window;
}
template <typename T>
__device__ void write_window(const WindowGradient<T>& window, const T* x, T* grad_input, int H, int W, int kh, int kw) {
    for (int a = 0; a < kh && kh * window.p + a < H; a++)
        for (int b = 0; b < kw && kw * window.q + b < W; b++) {
            int at = (window.plane * H + kh * window.p + a) * W + kw * window.q + b;
            grad_input[at] = window.at(x[at], a * kw + b);
        }
}
template <typename T>
__global__ void normalize_pool_backward_1_windows(const T* grad_output, const T* x, const T* y,
                                                  const unsigned char* winner, const T* mean, const T* scale,
                                                  const T* partials, T* grad_input, T factor, T slope, int shares, int N,
                                                  int C, int H, int W, int P, int Q, int kh, int kw) {
    int down = (H + kh - 1) / kh, across = (W + kw - 1) / kw;
    auto window = window_gradient(grad_output, y, winner, mean, scale, partials, factor, slope, shares, N, C, down,
                                  across, P, Q);
    if (window.plane >= 0) write_window(window, x, grad_input, H, W, kh, kw);
}
template <typename T>
__global__ void normalize_pool_backward_2_pairs(const T* grad_output, const T* x, const T* y, const unsigned char* winner,
                                                const T* mean, const T* scale, const T* partials, T* grad_input, T factor,
                                                T slope, int shares, int N, int C, int H, int W, int P, int Q, int kh,
                                                int kw) {
    using Pair = Pack<T, 2>;
    int down = (H + kh - 1) / kh, across = (W + kw - 1) / kw;
    auto window = window_gradient(grad_output, y, winner, mean, scale, partials, factor, slope, shares, N, C, down,
                                  across, P, Q);
    if (window.plane < 0) return;
    if (kh != 2 || kw != 2 || W % 2 || !is_aligned(x, sizeof(Pair)) || !is_aligned(grad_input, sizeof(Pair))) {
        write_window(window, x, grad_input, H, W, kh, kw);
        return;
    }
    for (int a = 0; a < 2 && 2 * window.p + a < H; a++) {
        int at = (window.plane * H + 2 * window.p + a) * W + 2 * window.q;
        Pair pair = load_pack<Pair>(x + at);
        for (int b = 0; b < 2; b++) pair.v[b] = window.at(pair.v[b], 2 * a + b);
        store_pack(grad_input + at, pair);
    }
}
// Several windows of a thread, side by side. w: of the channel, or 1. Returns the sums of the channel.
template <typename T>
__device__ Sums<T> write_packs(const T* grad_output, const T* x, const T* y, const unsigned char* winner, const T* mean,
                               const T* scale, T w, const T* partials, T* grad_input, T factor, T slope, int shares, int N,
                               int C, int H, int W, int P, int Q, int kh, int kw) {
    constexpr int size = Pack<T>::size, count = size / 2;  // windows of a thread
    int down = (H + kh - 1) / kh, across = (W + kw - 1) / kw, c = blockIdx.y;
    int first = (blockIdx.x * blockDim.x + threadIdx.x) * count;
    bool packed = kh == 2 && kw == 2 && W % size == 0 && H % 2 == 0 && is_aligned(x) && is_aligned(grad_input);
    WindowGradient<T> windows[count];
    for (int k = 0; k < count; k++)
        windows[k] = window_at(first + k, c, grad_output, y, winner, mean, scale, slope, N, C, down, across, P, Q);
    int corner = (windows[0].plane * H + 2 * windows[0].p) * W + 2 * windows[0].q;
    Pack<T> rows[2] = {};
    if (packed && windows[0].plane >= 0)
        for (int a = 0; a < 2; a++) rows[a] = load_pack<Pack<T>>(x + corner + a * W);
    Sums<T> sums = sums_of_channel(partials, shares, c, C);
    for (int k = 0; k < count; k++)
        windows[k].gain *= w, windows[k].mean_g = factor * sums.g, windows[k].mean_gx = factor * sums.gx;
    if (!packed)
        for (int k = 0; k < count; k++)
            if (windows[k].plane >= 0) write_window(windows[k], x, grad_input, H, W, kh, kw);
    if (!packed || windows[0].plane < 0) return sums;
    for (int a = 0; a < 2; a++) {
        for (int b = 0; b < size; b++) rows[a].v[b] = windows[b / 2].at(rows[a].v[b], 2 * a + b % 2);
        store_pack(grad_input + corner + a * W, rows[a]);
    }
    return sums;
}
template <typename T>
__global__ void normalize_pool_backward_3_packs(const T* grad_output, const T* x, const T* y, const unsigned char* winner,
                                                const T* mean, const T* scale, const T* partials, T* grad_input, T factor,
                                                T slope, int shares, int N, int C, int H, int W, int P, int Q, int kh,
                                                int kw) {
    write_packs(grad_output, x, y, winner, mean, scale, T(1), partials, grad_input, factor, slope, shares, N, C, H, W, P, Q,
                kh, kw);
}
// The first block of a channel writes dL/dw and dL/db.
template <typename T>
__global__ void affine_pool_backward_1_packs(const T* grad_output, const T* x, const T* y, const unsigned char* winner,
                                             const T* mean, const T* scale, const T* weight, const T* partials,
                                             T* grad_input, T* grad_weight, T* grad_bias, T factor, T slope, int shares,
                                             int N, int C, int H, int W, int P, int Q, int kh, int kw) {
    int c = blockIdx.y;
    Sums<T> sums = write_packs(grad_output, x, y, winner, mean, scale, weight[c], partials, grad_input, factor, slope,
                               shares, N, C, H, W, P, Q, kh, kw);
    if (blockIdx.x || threadIdx.x) return;
    grad_weight[c] = sums.gx;
    grad_bias[c] = sums.g;
}
