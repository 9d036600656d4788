// Sizes of the convolutions by tensor cores, and a piece of the images in shared memory.
// Filters are 5 x 5, the stride is 1, the padding 2, and W is a multiple of 8.
#pragma once
#include "tensor_core.h"

constexpr int taps = 5, padding = 2;  // of a row of the filter; zeros beside the image
constexpr int depth = 8;              // channels at a time

// The least pitch for at least n numbers with which the lanes (g, t) of a warp meet in no bank, neither with packs at
// t * pitch + 4 g nor with pairs at g * pitch + 2 t: 8 or 24 modulo 32.
__host__ __device__ constexpr int free_of_conflicts(int n) { return (n + 7) / 16 * 16 + 8; }

// 8 channels of `images` images, `rows` rows of each with the margin above and below, in packs of 4 pixels. Before each
// row stand 4 zeros, of which two are the margin to its left; the right one is that of the row behind it.
template <int C, int H, int W, int images, int rows> struct Patch {
    static constexpr int pitch = 4 + W, image = (rows + taps - 1) * pitch;
    static constexpr int channel = free_of_conflicts(images * image + 4), packs = depth * channel / 4;

    // The place of a pixel's left margin but two: tap b of the pixel is 2 + b further, tap row a `a * pitch`.
    // Positions are numbered along q, then p, then n.
    static __device__ int place(int position) {
        return position / (rows * W) * image + position / W % rows * pitch + position % W;
    }
    // All threads start copying channels first_c ..., rows first_p ... of images first_n ...: the whole patch, where
    // there is no image as zeros.
    template <int threads>
    static __device__ void start_copy(float4* patch, const float4* x, int first_n, int first_p, int first_c, int N) {
        constexpr int across = pitch / 4, down = rows + taps - 1, of_channel = channel / 4;
#pragma unroll
        for (int i = threadIdx.x; i < packs; i += threads) {
            int j = i % of_channel, c = first_c + i / of_channel;
            int v = j % across - 1, u = first_p - padding + j / across % down, n = j / (across * down);
            bool inside = v >= 0 && u >= 0 && u < H && n < images && first_n + n < N;
            const float4* from = x + (((first_n + n) * C + c) * H + u) * (W / 4) + v;
            copy_async<16>(patch + i, inside ? from : x, inside);
        }
    }
};

// Convolution from C to K channels. A block makes `filters` = 32 filters of `images` images x `rows` rows, a warp all of
// these filters for 32 positions. fresh: see `add` in tensor_core.h; beside TF32's other error it would not show.
template <int C_, int K_, int H_, int W_, int images_, int rows_, Precision precision_,
          bool fresh_ = precision_ != TF32>
struct Tensor {
    static constexpr int C = C_, K = K_, H = H_, W = W_, images = images_, rows = rows_, filters = 32;
    static constexpr Precision precision = precision_;
    static constexpr bool fresh = fresh_;
    using Patch = ::Patch<C, H, W, images, rows>;
    static constexpr int positions = images * rows * W, warps = positions / 32, threads = 32 * warps;
    static constexpr int blocks = 512 / threads;  // on a multiprocessor at a time, at least
    static constexpr int parts = precision == TF32 ? 1 : 2;  // that stand for a number of a filter
    static constexpr int steps = C / depth * taps, step_packs = depth * taps * filters * parts / 4;
    static_assert(C % depth == 0 && K % filters == 0 && W % 8 == 0, "channels and rows do not fit the instruction");
    static_assert(H % rows == 0 && (images == 1 || rows == H), "a block's rows must be whole parts of an image, or all");
    static_assert(positions % 32 == 0 && threads <= 512, "a block must have whole warps, 16 at most");
    static_assert(2 * 16 * (Patch::packs + step_packs) + 4 * warps * filters <= 48 * 1024, "too much shared memory");
};

// Weight gradient. A block: 8 channels, 16 `groups` filters, all taps, summed over `rows` rows of an image at a time; a
// warp: 16 filters under one row of taps.
template <int C_, int K_, int H_, int W_, int groups_, int rows_, Precision precision_,
          bool fresh_ = precision_ != TF32>
struct TensorWeight {
    static constexpr int C = C_, K = K_, H = H_, W = W_, groups = groups_, rows = rows_, filters = 16 * groups;
    static constexpr Precision precision = precision_;
    static constexpr bool fresh = fresh_;
    using Patch = ::Patch<C, H, W, 1, rows>;
    static constexpr int threads = 32 * taps * groups, positions = rows * W;
    static constexpr int blocks = 4 / groups;  // on a multiprocessor at a time: they use up its registers
    static constexpr int pitch = free_of_conflicts(positions), grad_packs = filters * pitch / 4;
    static_assert(C % depth == 0 && K % filters == 0 && W % 8 == 0, "channels and rows do not fit the instruction");
    static_assert(H % rows == 0 && threads <= 1024, "rows must be a whole part of an image");
    static_assert(2 * 16 * (Patch::packs + grad_packs) <= 48 * 1024, "too much shared memory");
};
