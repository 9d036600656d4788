// Convolution and its two gradients, any kernel size, stride and padding; arrays are contiguous (N, C, H, W).
// minisvdd/ops/conv2d.py derives the formulas, minisvdd/ops/conv2d/launch.py chooses grids and rungs. With L terms in the
// sum of one output (C kh kw forward, K kh kw input gradient, N P Q weight gradient), global loads per output:
//   1 naive             one thread per entry of the result, neighbouring threads below each other in the image: 2 L
//                       loads, scattered. Weight gradient: a thread per weight, so only K C kh kw threads.
//   2 coalesced         neighbours along a row of the image; weight gradient: a warp per weight, its lanes along the
//                       positions: the same 2 L loads, in full transactions.
//   3 tiled             implicit matrix product (gemm.h) of filters and patches, a thread per output: 2 L / 16.
//   4 register_blocked  the same with 4 x 4 outputs per thread: 2 L / 64. Loses with few filters: its tile has 64 rows.
//   5 halo              the patches overlap: 5 x 5 taps look at the same pixel 25 times. A block copies a piece of the
//                       image with its margin into shared memory and reads all patches from there: about
//                       L / (taps * filters in the block) + L / 256 (256 positions in a block). Loses, or does not fit
//                       into shared memory, with strides of more than the kernel.
//   6 rows              float32, stride 1, and every size known to the compiler: conv2d_rows.cu.
//   7 tensor            on tensor cores, for many channels and filters: conv2d_tensor.cu.
//   8 corrected         the same in two thirds of the instructions.
// The weight gradient's sum runs over all positions and its result is small: rungs 3 to 5 give each block a part of the
// positions and write partial sums, which sum_partials adds in a fixed order. No atomics: one result, bit for bit.
#include "conv2d.h"
#include "gemm.h"

// ---- Forward: y(n, k, p, q) = sum over (c, a, b) of weight(k, c, a, b) x(n, c, sh p + a - ph, sw q + b - pw)

template <typename T>
__device__ T forward_sum(const T* x, const T* weight, int n, int k, int p, int q, const Sizes& s) {
    T sum = 0;
    for (int c = 0; c < s.C; c++)
        for (int a = 0; a < s.kh; a++)
            for (int b = 0; b < s.kw; b++)
                sum += weight[((k * s.C + c) * s.kh + a) * s.kw + b] *
                       pixel(x, n, c, s.sh * p + a - s.ph, s.sw * q + b - s.pw, s.C, s.H, s.W);
    return sum;
}
template <typename T>
__global__ void conv2d_forward_1_naive(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K, int P, int Q,
                                       int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int i = blockIdx.x * blockDim.x + threadIdx.x, p = i % P, q = i / P % Q, k = i / (P * Q) % K, n = i / (P * Q * K);
    if (i < N * K * P * Q) y[((n * K + k) * P + p) * Q + q] = forward_sum(x, weight, n, k, p, q, s);
}
template <typename T>
__global__ void conv2d_forward_2_coalesced(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K, int P,
                                           int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int i = blockIdx.x * blockDim.x + threadIdx.x, q = i % Q, p = i / Q % P, k = i / (Q * P) % K, n = i / (Q * P * K);
    if (i < N * K * P * Q) y[i] = forward_sum(x, weight, n, k, p, q, s);
}

// Entry (tap, column) of the matrix of patches; a column is a position (n, p, q).
template <typename T> __device__ T patch_entry(const T* x, int i, int column, const Sizes& s) {
    Tap t = tap_of(i, s);
    int q = column % s.Q, p = column / s.Q % s.P, n = column / (s.Q * s.P);
    return pixel(x, n, t.c, s.sh * p + t.a - s.ph, s.sw * q + t.b - s.pw, s.C, s.H, s.W);
}
// Where output (k, column) lies in memory.
__device__ inline int output_index(int k, int column, const Sizes& s) {
    int plane = s.P * s.Q;
    return (column / plane * s.K + k) * plane + column % plane;
}
template <typename T>
__global__ void conv2d_forward_3_tiled(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K, int P, int Q,
                                       int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int taps = C * kh * kw;
    gemm_tiled<T>(
        K, N * P * Q, 0, taps, true, false, [=](int k, int i) { return weight[k * taps + i]; },
        [=](int i, int column) { return patch_entry(x, i, column, s); },
        [=](int k, int column, T value) { y[output_index(k, column, s)] = value; });
}
template <typename T>
__global__ void conv2d_forward_4_register_blocked(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K,
                                                  int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int taps = C * kh * kw;
    gemm_register_blocked<T>(
        K, N * P * Q, 0, taps, true, false, [=](int k, int i) { return weight[k * taps + i]; },
        [=](int i, int column) { return patch_entry(x, i, column, s); },
        [=](int k, int column, T value) { y[output_index(k, column, s)] = value; });
}
template <typename T>
__global__ void conv2d_forward_5_halo(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K, int P, int Q,
                                      int kh, int kw, int sh, int sw, int ph, int pw, int tile_n, int tile_p, int tile_q,
                                      int chunk) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    Piece t = piece_of(blockIdx.x, P, Q, tile_n, tile_p, tile_q, s);
    T sum[halo_positions][halo_filters] = {};
    convolve_piece<T>(
        sum, [=](int n, int c, int u, int v) { return pixel(x, n, c, u, v, C, H, W); },
        [=](int k, int i) { return weight[k * C * kh * kw + i]; }, t, s, chunk);
    for_own_results(sum, t, s, [=](int k, Position at, T value) { y[((at.n * K + k) * P + at.p) * Q + at.q] = value; });
}
// Fused with the first half of batch norm's statistics: the block still has its outputs in registers when it takes their
// mean and the sum of squared deviations from it, per filter. means, squares: (pieces, K), counts: (pieces), for
// merge_moments in batchnorm.cu. Saves a pass over y.
template <typename T>
__global__ void conv2d_moments_1_halo(const T* x, const T* weight, T* y, T* means, T* squares, int* counts, int N, int C,
                                      int H, int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw,
                                      int tile_n, int tile_p, int tile_q, int chunk) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    Piece t = piece_of(blockIdx.x, P, Q, tile_n, tile_p, tile_q, s);
    T sum[halo_positions][halo_filters] = {};
    convolve_piece<T>(
        sum, [=](int n, int c, int u, int v) { return pixel(x, n, c, u, v, C, H, W); },
        [=](int k, int i) { return weight[k * C * kh * kw + i]; }, t, s, chunk);
    for_own_results(sum, t, s, [=](int k, Position at, T value) { y[((at.n * K + k) * P + at.p) * Q + at.q] = value; });

    int count = min(tile_n, N - t.first_n) * min(tile_p, P - t.first_p) * min(tile_q, Q - t.first_q);
    int group = threadIdx.x / halo_threads, first_k = (blockIdx.y * (blockDim.x / halo_threads) + group) * halo_filters;
    T mean[halo_filters], deviations[halo_filters];
    filter_sums(mean, t, s, [&](int r, int f) { return sum[r][f]; });
    for (int f = 0; f < halo_filters; f++) mean[f] /= count;
    filter_sums(deviations, t, s, [&](int r, int f) { return (sum[r][f] - mean[f]) * (sum[r][f] - mean[f]); });
    if (threadIdx.x == 0 && blockIdx.y == 0) counts[blockIdx.x] = count;
    for (int f = 0; f < halo_filters; f++)
        if (threadIdx.x % halo_threads == 0 && first_k + f < K) {
            means[blockIdx.x * K + first_k + f] = mean[f];
            squares[blockIdx.x * K + first_k + f] = deviations[f];
        }
}

// ---- Input gradient: a convolution of G = dL/dy, spread by the stride, with the filters flipped and their channel axes
// exchanged. spread_grad is that image; gradient_sizes describes the convolution: K channels in, C out, padding k - 1 - p.

__device__ inline Sizes gradient_sizes(const Sizes& s) {
    return {s.N, s.K, s.P, s.Q, s.C, s.H, s.W, s.kh, s.kw, 1, 1, s.kh - 1 - s.ph, s.kw - 1 - s.pw};
}
template <typename T> __device__ T spread_grad(const T* grad_output, int n, int k, int u, int v, const Sizes& s) {
    if (u < 0 || v < 0 || u % s.sh || v % s.sw) return T(0);  // between two outputs
    return pixel(grad_output, n, k, u / s.sh, v / s.sw, s.K, s.P, s.Q);
}
// Filter for input channel c at entry i = (k, a, b) of the flipped filters.
template <typename T> __device__ T flipped_weight(const T* weight, int c, int i, const Sizes& s) {
    Tap t = tap_of(i, s);
    return weight[((t.c * s.C + c) * s.kh + s.kh - 1 - t.a) * s.kw + s.kw - 1 - t.b];
}
template <typename T>
__device__ T input_gradient(const T* grad_output, const T* weight, int n, int c, int u, int v, const Sizes& s) {
    T sum = 0;
    for (int a = 0; a < s.kh; a++)
        for (int b = 0; b < s.kw; b++) {
            int row = u + s.ph - a, column = v + s.pw - b;  // the output that meets this pixel under (a, b), times stride
            if (row < 0 || column < 0 || row % s.sh || column % s.sw || row / s.sh >= s.P || column / s.sw >= s.Q)
                continue;
            for (int k = 0; k < s.K; k++)
                sum += weight[((k * s.C + c) * s.kh + a) * s.kw + b] *
                       grad_output[((n * s.K + k) * s.P + row / s.sh) * s.Q + column / s.sw];
        }
    return sum;
}
template <typename T>
__global__ void conv2d_backward_input_1_naive(const T* grad_output, const T* weight, T* grad_input, int N, int C, int H,
                                              int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int i = blockIdx.x * blockDim.x + threadIdx.x, u = i % H, v = i / H % W, c = i / (H * W) % C, n = i / (H * W * C);
    if (i < N * C * H * W)
        grad_input[((n * C + c) * H + u) * W + v] = input_gradient(grad_output, weight, n, c, u, v, s);
}
template <typename T>
__global__ void conv2d_backward_input_2_coalesced(const T* grad_output, const T* weight, T* grad_input, int N, int C,
                                                  int H, int W, int K, int P, int Q, int kh, int kw, int sh, int sw,
                                                  int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int i = blockIdx.x * blockDim.x + threadIdx.x, v = i % W, u = i / W % H, c = i / (W * H) % C, n = i / (W * H * C);
    if (i < N * C * H * W) grad_input[i] = input_gradient(grad_output, weight, n, c, u, v, s);
}
// Entry (tap of the flipped filters, column) of the matrix of patches of the spread G; a column is a pixel (n, u, v).
template <typename T> __device__ T grad_patch_entry(const T* grad_output, int i, int column, const Sizes& s) {
    Tap t = tap_of(i, s);
    int v = column % s.W, u = column / s.W % s.H, n = column / (s.W * s.H);
    return spread_grad(grad_output, n, t.c, u + t.a - (s.kh - 1 - s.ph), v + t.b - (s.kw - 1 - s.pw), s);
}
template <typename T>
__global__ void conv2d_backward_input_3_tiled(const T* grad_output, const T* weight, T* grad_input, int N, int C, int H,
                                              int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw}, g = gradient_sizes(s);
    gemm_tiled<T>(
        C, N * H * W, 0, K * kh * kw, true, false, [=](int c, int i) { return flipped_weight(weight, c, i, s); },
        [=](int i, int column) { return grad_patch_entry(grad_output, i, column, s); },
        [=](int c, int column, T value) { grad_input[output_index(c, column, g)] = value; });
}
template <typename T>
__global__ void conv2d_backward_input_4_register_blocked(const T* grad_output, const T* weight, T* grad_input, int N,
                                                         int C, int H, int W, int K, int P, int Q, int kh, int kw, int sh,
                                                         int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw}, g = gradient_sizes(s);
    gemm_register_blocked<T>(
        C, N * H * W, 0, K * kh * kw, true, false, [=](int c, int i) { return flipped_weight(weight, c, i, s); },
        [=](int i, int column) { return grad_patch_entry(grad_output, i, column, s); },
        [=](int c, int column, T value) { grad_input[output_index(c, column, g)] = value; });
}
template <typename T>
__global__ void conv2d_backward_input_5_halo(const T* grad_output, const T* weight, T* grad_input, int N, int C, int H,
                                             int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw,
                                             int tile_n, int tile_p, int tile_q, int chunk) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw}, g = gradient_sizes(s);
    Piece t = piece_of(blockIdx.x, H, W, tile_n, tile_p, tile_q, g);
    T sum[halo_positions][halo_filters] = {};
    convolve_piece<T>(
        sum, [=](int n, int k, int u, int v) { return spread_grad(grad_output, n, k, u, v, s); },
        [=](int c, int i) { return flipped_weight(weight, c, i, s); }, t, g, chunk);
    for_own_results(sum, t, g,
                    [=](int c, Position at, T value) { grad_input[((at.n * C + c) * H + at.p) * W + at.q] = value; });
}

// ---- Weight gradient: grad_weight(k, c, a, b) = sum over (n, p, q) of G(n, k, p, q) x(n, c, sh p + a - ph, sw q + b - pw)

// The term of weight (k, tap) at position j = (n, p, q).
template <typename T>
__device__ T weight_term(const T* grad_output, const T* x, int k, int i, int j, const Sizes& s) {
    return grad_output[output_index(k, j, s)] * patch_entry(x, i, j, s);
}
template <typename T>
__global__ void conv2d_backward_weight_1_naive(const T* grad_output, const T* x, T* grad_weight, int N, int C, int H, int W,
                                               int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int i = blockIdx.x * blockDim.x + threadIdx.x, taps = C * kh * kw;
    if (i >= K * taps) return;
    T sum = 0;
    for (int j = 0; j < N * P * Q; j++) sum += weight_term(grad_output, x, i / taps, i % taps, j, s);
    grad_weight[i] = sum;
}
template <typename T>
__global__ void conv2d_backward_weight_2_coalesced(const T* grad_output, const T* x, T* grad_weight, int N, int C, int H,
                                                   int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph,
                                                   int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int thread = blockIdx.x * blockDim.x + threadIdx.x, i = thread / warpSize, lane = thread % warpSize;
    int taps = C * kh * kw;
    if (i >= K * taps) return;  // whole warps: nobody is missing at the shuffles
    T sum = 0;
    for (int j = lane; j < N * P * Q; j += warpSize) sum += weight_term(grad_output, x, i / taps, i % taps, j, s);
    sum = warp_sum(sum);
    if (lane == 0) grad_weight[i] = sum;
}
// partials: (gridDim.z, K, C kh kw); block z takes the z-th part of the positions.
template <typename T>
__global__ void conv2d_backward_weight_3_tiled(const T* grad_output, const T* x, T* partials, int N, int C, int H, int W,
                                               int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int taps = C * kh * kw, all = N * P * Q, part = (all + gridDim.z - 1) / gridDim.z, first = part * blockIdx.z;
    T* partial = partials + blockIdx.z * K * taps;
    gemm_tiled<T>(
        K, taps, first, min(first + part, all), true, true,
        [=](int k, int j) { return grad_output[output_index(k, j, s)]; },
        [=](int j, int i) { return patch_entry(x, i, j, s); },
        [=](int k, int i, T value) { partial[k * taps + i] = value; });
}
template <typename T>
__global__ void conv2d_backward_weight_4_register_blocked(const T* grad_output, const T* x, T* partials, int N, int C,
                                                          int H, int W, int K, int P, int Q, int kh, int kw, int sh, int sw,
                                                          int ph, int pw) {
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int taps = C * kh * kw, all = N * P * Q, part = (all + gridDim.z - 1) / gridDim.z, first = part * blockIdx.z;
    T* partial = partials + blockIdx.z * K * taps;
    gemm_register_blocked<T>(
        K, taps, first, min(first + part, all), true, true,
        [=](int k, int j) { return grad_output[output_index(k, j, s)]; },
        [=](int j, int i) { return patch_entry(x, i, j, s); },
        [=](int k, int i, T value) { partial[k * taps + i] = value; });
}
// A block has one thread (or several) for each tap of `chunk` channels; a thread keeps that tap's sums for 8 filters and
// adds over the positions of the block's pieces. Where taps are few, `shares` threads per tap share the positions.
// partials: (gridDim.x shares, K, C kh kw).
template <typename T>
__global__ void conv2d_backward_weight_5_halo(const T* grad_output, const T* x, T* partials, int N, int C, int H, int W,
                                              int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw,
                                              int tile_n, int tile_p, int tile_q, int chunk, int pieces, int shares) {
    extern __shared__ float4 dynamic_shared[];
    Sizes s{N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw};
    int taps = kh * kw, first_c = blockIdx.y * chunk, channels = min(chunk, C - first_c);
    int first_k = blockIdx.z * halo_filters, own = threadIdx.x % (chunk * taps), share = threadIdx.x / (chunk * taps);
    constexpr int pitch = halo_filters + Pack<T>::size;  // fewer bank conflicts than without the extra pack
    int positions = tile_n * tile_p * tile_q;
    T* grads = reinterpret_cast<T*>(dynamic_shared);  // (positions, pitch), first, so that packs are aligned
    int* start = reinterpret_cast<int*>(grads + positions * pitch);  // the patch's entry under the first tap
    T* patch = reinterpret_cast<T*>(start + (positions + 3) / 4 * 4);
    Tap tap = tap_of(own, s);
    T sum[halo_filters] = {};
    Piece any = piece_of(0, P, Q, tile_n, tile_p, tile_q, s);
    for (int j = threadIdx.x; j < positions; j += blockDim.x) start[j] = position_of(j, any, s).start;
    for (int number = blockIdx.x; number < pieces; number += gridDim.x) {
        Piece t = piece_of(number, P, Q, tile_n, tile_p, tile_q, s);
        __syncthreads();  // everybody is done with the previous piece
        stage_patch(patch, [=](int n, int c, int u, int v) { return pixel(x, n, c, u, v, C, H, W); }, t, first_c, channels, s);
        for (int i = threadIdx.x; i < positions * halo_filters; i += blockDim.x) {
            int j = i % positions, f = i / positions;
            Position at = position_of(j, t, s);
            grads[j * pitch + f] = at.inside && first_k + f < K
                                       ? grad_output[((at.n * K + first_k + f) * P + at.p) * Q + at.q]
                                       : T(0);
        }
        __syncthreads();
        if (share >= shares || tap.c >= channels) continue;  // on to the next barrier, which needs everybody
        const T* pixels = patch + tap.c * t.patch + tap.a * t.patch_w + tap.b;
        for (int j = share; j < positions; j += shares) {
            T value = pixels[start[j]];
            for (int f = 0; f < halo_filters; f += Pack<T>::size) {
                Pack<T> pack = load_pack<Pack<T>>(&grads[j * pitch + f]);
                for (int i = 0; i < Pack<T>::size; i++) sum[f + i] += value * pack.v[i];
            }
        }
    }
    if (share >= shares || tap.c >= channels) return;
    T* partial = partials + (blockIdx.x * shares + share) * K * C * taps;
    for (int f = 0; f < halo_filters; f++)
        if (first_k + f < K) partial[((first_k + f) * C + first_c) * taps + own] = sum[f];
}
