// Max-pooling with argmax, contiguous (N, C, H, W) to (N, C, P, Q). Loads per output, for windows of kh x kw:
//   1 naive      one thread per result, which loads the best entry so far again for every comparison: 2 kh kw - 1.
//   2 registers  the best entry stays in a register: kh kw.
//   3 pairs      windows of 2 x 2 side by side: a thread loads 16 bytes of two rows and makes 2 results (double: 1):
//                1 load per result (double: 2). Elsewhere it works like rung 2.
// Backward, loads per entry of dL/dx:
//   1 naive      one thread per entry gathers over the windows that cover it; they may overlap, and a gather needs no
//                atomics and gives the same sum in every run. 2x2 side by side: 1 winner, and G where it won.
//   2 windows    windows that do not overlap: one thread per window loads G and winner once and writes all the entries
//                up to the next window: 2 / (sh sw). Neighbours write every second entry: twice the transactions.
//   3 pairs      2x2 windows and even W: two entries of a row with one store, in full transactions.
// With a border (padding), forward and backward: one rung, one thread per entry of the result, which loads one number.
#include "pack.h"

template <typename T> __device__ int larger_entry(const T* window, int best, int k, int W, int kw) {
    return window[k / kw * W + k % kw] > window[best / kw * W + best % kw] ? k : best;  // the first of equals wins
}
template <typename T>
__global__ void maxpool_forward_1_naive(const T* x, T* y, int* winner, int planes, int H, int W, int P, int Q, int kh,
                                        int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * P * Q) return;
    int q = i % Q, p = i / Q % P, plane = i / (Q * P), best = 0;
    const T* window = x + (plane * H + sh * p) * W + sw * q;
    for (int k = 1; k < kh * kw; k++) best = larger_entry(window, best, k, W, kw);
    y[i] = window[best / kw * W + best % kw];
    winner[i] = best;
}

// Result i, with the best entry in registers.
template <typename T>
__device__ void pool_window(const T* x, T* y, int* winner, int i, int H, int W, int P, int Q, int kh, int kw, int sh,
                            int sw) {
    int q = i % Q, p = i / Q % P, plane = i / (Q * P), best = 0;
    const T* window = x + (plane * H + sh * p) * W + sw * q;
    T value = window[0];
    for (int k = 1; k < kh * kw; k++) {
        T candidate = window[k / kw * W + k % kw];
        if (candidate > value) {
            value = candidate;
            best = k;
        }
    }
    y[i] = value;
    winner[i] = best;
}
template <typename T>
__global__ void maxpool_forward_2_registers(const T* x, T* y, int* winner, int planes, int H, int W, int P, int Q, int kh,
                                            int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < planes * P * Q) pool_window(x, y, winner, i, H, W, P, Q, kh, kw, sh, sw);
}
template <typename T>
__global__ void maxpool_forward_3_pairs(const T* x, T* y, int* winner, int planes, int H, int W, int P, int Q, int kh,
                                        int kw, int sh, int sw) {
    constexpr int results = Pack<T>::size / 2;
    static_assert(results >= 1, "a pack must hold a window's row of two");
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    if (kh != 2 || kw != 2 || sh != 2 || sw != 2 || W % Pack<T>::size || !is_aligned(x)) {
        for (int i = thread; i < planes * P * Q; i += threads) pool_window(x, y, winner, i, H, W, P, Q, kh, kw, sh, sw);
        return;
    }
    for (int j = thread; j < planes * P * Q / results; j += threads) {
        int i = j * results, q = i % Q, p = i / Q % P, plane = i / (Q * P);
        const T* corner = x + (plane * H + 2 * p) * W + 2 * q;
        Pack<T> above = load_pack<Pack<T>>(corner), below = load_pack<Pack<T>>(corner + W);
        for (int k = 0; k < results; k++) {
            T entries[4] = {above.v[2 * k], above.v[2 * k + 1], below.v[2 * k], below.v[2 * k + 1]};
            T value = entries[0];
            int best = 0;
            for (int e = 1; e < 4; e++)
                if (entries[e] > value) {
                    value = entries[e];
                    best = e;
                }
            y[i + k] = value;
            winner[i + k] = best;
        }
    }
}

// The sum of G over the windows that entry (u, v) of a plane has won.
template <typename T>
__device__ T gather_windows(const T* grad_output, const int* winner, int plane, int u, int v, int P, int Q, int kh, int kw,
                            int sh, int sw) {
    T sum = 0;
    for (int p = max(0, (u - kh) / sh); p < P && sh * p <= u; p++)
        for (int q = max(0, (v - kw) / sw); q < Q && sw * q <= v; q++) {
            int a = u - sh * p, b = v - sw * q, o = (plane * P + p) * Q + q;
            if (a < kh && b < kw && winner[o] == a * kw + b) sum += grad_output[o];
        }
    return sum;
}
template <typename T>
__global__ void maxpool_backward_1_naive(const T* grad_output, const int* winner, T* grad_input, int planes, int H, int W,
                                         int P, int Q, int kh, int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, v = i % W, u = i / W % H, plane = i / (W * H);
    if (i < planes * H * W) grad_input[i] = gather_windows(grad_output, winner, plane, u, v, P, Q, kh, kw, sh, sw);
}
// Cell i of sh x sw entries: one for each window, and beyond the last windows more of them to the edge.
template <typename T>
__device__ void scatter_window(const T* grad_output, const int* winner, T* grad_input, int i, int H, int W, int P, int Q,
                               int kh, int kw, int sh, int sw) {
    int down = (H + sh - 1) / sh, across = (W + sw - 1) / sw;
    int q = i % across, p = i / across % down, plane = i / (across * down), o = (plane * P + p) * Q + q, won = -1;
    T grad = 0;
    if (p < P && q < Q) {
        grad = grad_output[o];
        won = winner[o];
    }
    for (int a = 0; a < sh && sh * p + a < H; a++)
        for (int b = 0; b < sw && sw * q + b < W; b++)
            grad_input[(plane * H + sh * p + a) * W + sw * q + b] = a < kh && b < kw && won == a * kw + b ? grad : T(0);
}
// Both rungs need sh >= kh and sw >= kw.
template <typename T>
__global__ void maxpool_backward_2_windows(const T* grad_output, const int* winner, T* grad_input, int planes, int H,
                                           int W, int P, int Q, int kh, int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, cells = planes * ((H + sh - 1) / sh) * ((W + sw - 1) / sw);
    if (i < cells) scatter_window(grad_output, winner, grad_input, i, H, W, P, Q, kh, kw, sh, sw);
}
template <typename T>
__global__ void maxpool_backward_3_pairs(const T* grad_output, const int* winner, T* grad_input, int planes, int H, int W,
                                         int P, int Q, int kh, int kw, int sh, int sw) {
    using Pair = Pack<T, 2>;
    int i = blockIdx.x * blockDim.x + threadIdx.x, down = (H + sh - 1) / sh, across = (W + sw - 1) / sw;
    if (i >= planes * down * across) return;
    if (kh != 2 || kw != 2 || sh != 2 || sw != 2 || W % 2 || !is_aligned(grad_input, sizeof(Pair))) {
        scatter_window(grad_output, winner, grad_input, i, H, W, P, Q, kh, kw, sh, sw);
        return;
    }
    int q = i % Q, p = i / Q % down, plane = i / (Q * down), o = (plane * P + p) * Q + q, won = -1;
    T grad = 0;
    if (p < P) {
        grad = grad_output[o];
        won = winner[o];
    }
    for (int a = 0; a < 2 && 2 * p + a < H; a++)
        store_pack(grad_input + (plane * H + 2 * p + a) * W + 2 * q,
                   Pair{won == 2 * a ? grad : T(0), won == 2 * a + 1 ? grad : T(0)});
}

// y (planes, P, Q) is x (planes, H, W) from row `top` and column `left` on, and `value` elsewhere.
template <typename T>
__global__ void pad_forward_1_naive(const T* x, T* y, T value, int planes, int H, int W, int P, int Q, int top, int left) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, v = i % Q - left, u = i / Q % P - top, plane = i / (Q * P);
    if (i >= planes * P * Q) return;
    y[i] = u >= 0 && u < H && v >= 0 && v < W ? x[(plane * H + u) * W + v] : value;
}
template <typename T>
__global__ void pad_backward_1_naive(const T* grad_output, T* grad_input, int planes, int H, int W, int P, int Q, int top,
                                     int left) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, v = i % W, u = i / W % H, plane = i / (W * H);
    if (i < planes * H * W) grad_input[i] = grad_output[(plane * P + u + top) * Q + v + left];
}
