// What the rungs of conv2d.cu share: where a tap of the filter falls, and the two rungs that work on pieces of images.
#pragma once
#include "pack.h"
#include "reduce.h"

// (H, W): input, (P, Q): output, (kh, kw): kernel, (sh, sw): stride, (ph, pw): padding.
struct Sizes {
    int N, C, H, W, K, P, Q, kh, kw, sh, sw, ph, pw;
};
struct Tap {
    int c, a, b;
};
// Taps are numbered along a row of the filter first, then over rows, then over channels: the order in memory.
__device__ inline Tap tap_of(int i, const Sizes& s) { return {i / (s.kw * s.kh), i / s.kw % s.kh, i % s.kw}; }

// Number (n, c, u, v) of images with C channels of H x W; zero outside, which is the padding.
template <typename T> __device__ T pixel(const T* x, int n, int c, int u, int v, int C, int H, int W) {
    return u >= 0 && u < H && v >= 0 && v < W ? x[((n * C + c) * H + u) * W + v] : T(0);
}

// A piece of the output: tile_n images, tile_p x tile_q positions of each, and under it a piece of the input.
struct Piece {
    int tile_n, tile_p, tile_q, first_n, first_p, first_q, patch_h, patch_w, patch, positions;
};
// Pieces are numbered along q, then p, then n; the grid may hold more blocks than pieces, never fewer.
__device__ inline Piece piece_of(int number, int P, int Q, int tile_n, int tile_p, int tile_q, const Sizes& s) {
    int across = (Q + tile_q - 1) / tile_q, down = (P + tile_p - 1) / tile_p;
    int patch_h = (tile_p - 1) * s.sh + s.kh, patch_w = (tile_q - 1) * s.sw + s.kw;
    return {tile_n, tile_p, tile_q, number / (across * down) * tile_n, number / across % down * tile_p,
            number % across * tile_q, patch_h, patch_w, tile_n * patch_h * patch_w, tile_n * tile_p * tile_q};
}
struct Position {
    int n, p, q, start;  // start: the patch's entry under the filter's first tap
    bool inside;
};
__device__ inline Position position_of(int j, const Piece& t, const Sizes& s) {
    int q = j % t.tile_q, p = j / t.tile_q % t.tile_p, n = j / (t.tile_q * t.tile_p);
    bool inside = j < t.positions && t.first_n + n < s.N && t.first_p + p < s.P && t.first_q + q < s.Q;
    int start = j < t.positions ? (n * t.patch_h + p * s.sh) * t.patch_w + q * s.sw : 0;
    return {t.first_n + n, t.first_p + p, t.first_q + q, start, inside};
}
// All threads of the block copy channels first_c ... of the piece's input into shared memory, padding as zeros.
template <typename T, typename Input>
__device__ void stage_patch(T* patch, Input input, const Piece& t, int first_c, int channels, const Sizes& s) {
    for (int i = threadIdx.x; i < channels * t.patch; i += blockDim.x) {
        int v = i % t.patch_w, u = i / t.patch_w % t.patch_h, n = t.first_n + i / (t.patch_w * t.patch_h) % t.tile_n;
        patch[i] = n < s.N ? input(n, first_c + i / t.patch, t.first_p * s.sh + u - s.ph, t.first_q * s.sw + v - s.pw)
                           : T(0);
    }
}

constexpr int halo_threads = 64;  // threads that share the positions of a piece
constexpr int halo_positions = 4, halo_filters = 8;  // results of one thread: 4 positions of 8 filters

// One tap of the filters: 4 pixels and 8 weights, kept in registers, serve 32 multiplications.
template <typename T>
__device__ void add_tap(T (&sum)[halo_positions][halo_filters], const T* pixels, const int (&start)[halo_positions],
                        const T* weights) {
    T w[halo_filters];
    for (int f = 0; f < halo_filters; f += Pack<T>::size) {
        Pack<T> pack = load_pack<Pack<T>>(weights + f);
        for (int i = 0; i < Pack<T>::size; i++) w[f + i] = pack.v[i];
    }
    for (int r = 0; r < halo_positions; r++) {
        T value = pixels[start[r]];
        for (int f = 0; f < halo_filters; f++) sum[r][f] += value * w[f];
    }
}
// A convolution of `input` with `weight`, piece by piece; sum[r][f] are the thread's results, for filter + f and its
// r-th position. `chunk` channels of the input and of the filters are in shared memory at a time.
template <typename T, typename Input, typename Weight>
__device__ void convolve_piece(T (&sum)[halo_positions][halo_filters], Input input, Weight weight, const Piece& t,
                               const Sizes& s, int chunk) {
    extern __shared__ float4 dynamic_shared[];
    int filters = blockDim.x / halo_threads * halo_filters, pitch = filters + Pack<T>::size, taps = s.kh * s.kw;
    int group = threadIdx.x / halo_threads, first_filter = blockIdx.y * filters;
    T* weights = reinterpret_cast<T*>(dynamic_shared);  // first, so that packs are aligned
    T* patch = weights + chunk * taps * pitch;
    int start[halo_positions];
    for (int r = 0; r < halo_positions; r++)
        start[r] = position_of(threadIdx.x % halo_threads + r * halo_threads, t, s).start;
    for (int first_c = 0; first_c < s.C; first_c += chunk) {
        int channels = min(chunk, s.C - first_c);
        __syncthreads();  // everybody is done with the previous channels
        stage_patch(patch, input, t, first_c, channels, s);
        for (int i = threadIdx.x; i < channels * taps * filters; i += blockDim.x) {
            int f = i / (channels * taps), tap = i % (channels * taps);
            weights[tap * pitch + f] = first_filter + f < s.K ? weight(first_filter + f, first_c * taps + tap) : T(0);
        }
        __syncthreads();
        const T* own_weights = weights + group * halo_filters;
        for (int c = 0; c < channels; c++)
            for (int a = 0; a < s.kh; a++)
                for (int b = 0; b < s.kw; b++, own_weights += pitch)
                    add_tap(sum, patch + c * t.patch + a * t.patch_w + b, start, own_weights);
    }
}
// Calls f(filter, position, result) for each of the thread's results that lies inside the output.
template <typename T, typename F>
__device__ void for_own_results(const T (&sum)[halo_positions][halo_filters], const Piece& t, const Sizes& s, F f) {
    int first = blockIdx.y * (blockDim.x / halo_threads) * halo_filters + threadIdx.x / halo_threads * halo_filters;
    for (int r = 0; r < halo_positions; r++) {
        Position at = position_of(threadIdx.x % halo_threads + r * halo_threads, t, s);
        for (int i = 0; i < halo_filters; i++)
            if (at.inside && first + i < s.K) f(first + i, at, sum[r][i]);
    }
}
// total[f] = the sum of value(r, f) over all positions of the piece, for the 8 filters of the thread's group.
template <typename T, typename F>
__device__ void filter_sums(T (&total)[halo_filters], const Piece& t, const Sizes& s, F value) {
    constexpr int warps = halo_threads / 32, most_groups = 4;
    __shared__ T partial[most_groups * warps][halo_filters];
    int warp = threadIdx.x / warpSize, first_warp = threadIdx.x / halo_threads * warps;
    __syncthreads();  // everybody is done with earlier sums
    for (int f = 0; f < halo_filters; f++) {
        T own = 0;
        for (int r = 0; r < halo_positions; r++)
            if (position_of(threadIdx.x % halo_threads + r * halo_threads, t, s).inside) own += value(r, f);
        own = warp_sum(own);
        if (threadIdx.x % warpSize == 0) partial[warp][f] = own;
    }
    __syncthreads();
    for (int f = 0; f < halo_filters; f++) {
        total[f] = 0;
        for (int w = 0; w < warps; w++) total[f] += partial[first_warp + w][f];
    }
}
