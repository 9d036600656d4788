// Convolution by tensor cores: the next rungs of conv2d.cu's ladder, for 5 x 5 filters, stride 1, padding 2 and float32.
//   7 tensor      as a matrix product, 16 filters x 8 positions x 8 channels under one tap in one instruction of a warp.
//                 Every number is split into two that the tensor core can take (TF32x3 in tensor_core.h).
//   8 corrected   the same with CORRECTED products: two instructions' time instead of three.
//   tf32          the same with TF32 products: one instruction, and an error of 3e-4. For those who ask for it.
// Sizes are template constants (conv2d_tensor.h). While a block works on what lies in shared memory, the next numbers
// are copied to a second place beside it.
#include "conv2d_tensor.h"

// ---- Forward, and the input gradient, which is the same with other filters.
//
// Which positions are the columns of the matrix is free. Lane g stands for the 4 neighbours 4 g ... 4 g + 3, one in each
// of 4 instructions: under the 5 taps of a row it then meets 8 pixels of a channel, read and split once for 20 products.

// The filters in the order in which lanes take them, each already split: (32 filters, 8 channels, tap, 16 of the filters,
// part, lane, 4 registers), where part 0 is big and part 1 the rest, which TF32 products do without. A block then copies
// its own as they lie, and a lane reads 4 registers at once. The convolution is from C to K channels; flipped: of the
// input gradient, whose filters are those of the layer with flipped taps and exchanged axes. One thread per number: C K
// is a multiple of 256, as many as a block has.
template <typename S> __global__ void conv2d_filters_1_by_lane(const float* weight, float* filters, bool flipped) {
    constexpr int all_taps = taps * taps, C = S::C, K = S::K;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int r = i % 4, lane = i / 4 % 32, group = i / 128 % 2, tap = i / 256 % all_taps, rest = i / (256 * all_taps);
    int k = rest / (C / 8) * 32 + group * 16 + lane / 4 + r % 2 * 8, c = rest % (C / 8) * 8 + lane % 4 + r / 2 * 4;
    Split s = split<S::precision, LEFT>(flipped ? weight[(c * K + k) * all_taps + all_taps - 1 - tap]
                                                : weight[(k * C + c) * all_taps + tap]);
    float* to = filters + i / 128 * 128 * S::parts + i % 128;
    to[0] = __uint_as_float(s.big);
    if (S::parts == 2) to[128] = __uint_as_float(s.rest);
}
// A lane's part of 16 filters under one tap, from its first register on.
template <typename S> __device__ __forceinline__ Left load_left(const float4* filters) {
    float4 big = filters[0], rest = S::parts == 2 ? filters[32] : make_float4(0, 0, 0, 0);
    return {{__float_as_uint(big.x), __float_as_uint(big.y), __float_as_uint(big.z), __float_as_uint(big.w)},
            {__float_as_uint(rest.x), __float_as_uint(rest.y), __float_as_uint(rest.z), __float_as_uint(rest.w)}};
}

// What a block and, in it, a warp and a lane work on.
template <typename S> struct Task {
    int first_n, first_p, filters, piece;  // filters: number of the block's group of 32
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;

    __device__ Task() {
        constexpr int groups = S::K / S::filters, down = S::H / S::rows;
        filters = blockIdx.x % groups, piece = blockIdx.x / groups;
        first_n = piece / down * S::images, first_p = piece % down * S::rows;
    }
    // The first of the 8 neighbours that the lane stores: it has results 2 t and 2 t + 1 of 8 times 4 columns.
    __device__ int position() const { return warp * 32 + t * 8; }
};

// One row of taps of 8 channels: sum[m][j][r] += for filter 16 m + 8 (r / 2) + g and the warp's position
// 4 (2 t + r % 2) + j.
// pixels: of the lane's first position and channel; filters: the lane's own of the first tap.
template <typename S>
__device__ __forceinline__ void add_tap_row(float (&sum)[2][4][4], const float* pixels, const float4* filters) {
    Split b[2][8];  // channels t and t + 4
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float4* packs = reinterpret_cast<const float4*>(pixels + 4 * h * S::Patch::channel);
        float4 left = packs[0], middle = packs[1], right = packs[2];
        float v[8] = {left.z, left.w, middle.x, middle.y, middle.z, middle.w, right.x, right.y};
#pragma unroll
        for (int i = 0; i < 8; i++) b[h][i] = split<S::precision, RIGHT>(v[i]);
    }
    float fresh[2][4][4] = {};
#pragma unroll
    for (int tap = 0; tap < taps; tap++)
#pragma unroll
        for (int m = 0; m < 2; m++) {
            Left a = load_left<S>(filters + (tap * 2 + m) * S::parts * 32);
#pragma unroll
            for (int j = 0; j < 4; j++)
                multiply_add<S::precision>(S::fresh ? fresh[m][j] : sum[m][j], a, b[0][tap + j], b[1][tap + j]);
        }
    if (S::fresh) add(sum, fresh);
}
template <typename S>
__device__ __forceinline__ void convolve(float (&sum)[2][4][4], const float4* x, const float4* filters,
                                         const Task<S>& own, int N) {
    using Patch = typename S::Patch;
    __shared__ float4 patch[2][Patch::packs], weights[2][S::step_packs];
    // A step: 8 channels under one row of taps. The patch stays for the 5 rows.
    auto start_copies = [&](int step) {
        if (step % taps == 0)
            Patch::template start_copy<S::threads>(patch[step / taps % 2], x, own.first_n, own.first_p,
                                                   step / taps * depth, N);
        const float4* from = filters + (own.filters * S::steps + step) * S::step_packs;
        for (int i = threadIdx.x; i < S::step_packs; i += S::threads) copy_async<16>(&weights[step % 2][i], from + i);
        copies_commit();
    };
    int first_pixel = own.t * Patch::channel + Patch::place(own.warp * 32 + own.g * 4);
    start_copies(0);
#pragma unroll 1
    for (int step = 0; step < S::steps; step++) {
        copies_wait();
        __syncthreads();  // this step's numbers are there, and nobody works on those of the step before any more
        if (step + 1 < S::steps) start_copies(step + 1);
        const float* pixels = reinterpret_cast<const float*>(patch[step / taps % 2]) + first_pixel;
        add_tap_row<S>(sum, pixels + step % taps * Patch::pitch, weights[step % 2] + threadIdx.x % 32);
    }
}
// A lane's results are 8 neighbouring positions of 4 filters. Calls f(m, half, filter) for each of these.
template <typename S, typename F> __device__ __forceinline__ void for_own_filters(const Task<S>& own, F f) {
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) f(m, half, own.filters * S::filters + 16 * m + 8 * half + own.g);
}
// The image of the lane's positions; N or more where there is none.
template <typename S> __device__ __forceinline__ int image_of(const Task<S>& own) {
    return own.first_n + own.position() / (S::rows * S::W);
}
template <typename S>
__device__ __forceinline__ void store(float4* y, const float (&sum)[2][4][4], const Task<S>& own, int N) {
    int n = image_of(own), p = own.first_p + own.position() / S::W % S::rows, q = own.position() % S::W;
    if (n >= N) return;
    for_own_filters(own, [&](int m, int half, int k) {
        float4* to = y + (((n * S::K + k) * S::H + p) * S::W + q) / 4;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int r = 2 * half + i;
            to[i] = make_float4(sum[m][0][r], sum[m][1][r], sum[m][2][r], sum[m][3][r]);
        }
    });
}
template <typename S>
__global__ void __launch_bounds__(S::threads, S::blocks)
    conv2d_forward_7_tensor(const float4* x, const float4* filters, float4* y, int N) {
    Task<S> own;
    float sum[2][4][4] = {};
    convolve(sum, x, filters, own, N);
    store(y, sum, own, N);
}

// total[m][half] = the sum over the block's positions of value(m, j, r), for the lane's filter 16 m + 8 half + g.
// partial: shared memory, of each warp the sums of all filters.
template <typename S, typename F>
__device__ __forceinline__ void filter_sums(float (&total)[2][2], float (&partial)[S::warps][S::filters],
                                            const Task<S>& own, int N, F value) {
    bool inside = image_of(own) < N;
    __syncthreads();  // everybody is done with earlier sums
    for_own_filters(own, [&](int m, int half, int k) {
        float part = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) part += inside ? value(m, j, 2 * half) + value(m, j, 2 * half + 1) : 0;
        part += __shfl_xor_sync(0xffffffffu, part, 1);
        part += __shfl_xor_sync(0xffffffffu, part, 2);
        if (own.t == 0) partial[own.warp][k % S::filters] = part;
    });
    __syncthreads();
    for_own_filters(own, [&](int m, int half, int k) {
        total[m][half] = 0;
        for (int w = 0; w < S::warps; w++) total[m][half] += partial[w][k % S::filters];
    });
}
// Fused with the first half of batch norm's statistics, as conv2d_moments_1_halo: means, squares: (pieces, K), counts:
// (pieces), for merge_moments.
template <typename S>
__global__ void __launch_bounds__(S::threads, S::blocks)
    conv2d_moments_7_tensor(const float4* x, const float4* filters, float4* y, float* means, float* squares, int* counts,
                            int N) {
    Task<S> own;
    float sum[2][4][4] = {};
    convolve(sum, x, filters, own, N);
    store(y, sum, own, N);

    __shared__ float partial[S::warps][S::filters];
    int count = min(S::images, N - own.first_n) * S::rows * S::W;
    float mean[2][2], deviations[2][2];
    filter_sums(mean, partial, own, N, [&](int m, int j, int r) { return sum[m][j][r]; });
    for_own_filters(own, [&](int m, int half, int) { mean[m][half] /= count; });
    filter_sums(deviations, partial, own, N, [&](int m, int j, int r) {
        float deviation = sum[m][j][r] - mean[m][r / 2];
        return deviation * deviation;
    });
    if (threadIdx.x == 0 && own.filters == 0) counts[own.piece] = count;
    if (own.warp > 0 || own.t > 0) return;
    for_own_filters(own, [&](int m, int half, int k) {
        means[own.piece * S::K + k] = mean[m][half];
        squares[own.piece * S::K + k] = deviations[m][half];
    });
}

// ---- Weight gradient: rows of the matrix are filters, columns channels, and the sum goes over positions.
//
// In which order the positions of a product come is free as well. Lane t takes the neighbours 2 t and 2 t + 1: under the
// 5 taps of a row it then meets 6 pixels, read and split once for 5 products.

// The block's positions under one row of taps: sum[0][tap][r] += for filter g + 8 (r / 2), channel 2 t + r % 2.
// pixels, grads: the lane's own at the first position.
template <typename S>
__device__ __forceinline__ void add_positions(float (&sum)[1][taps][4], const float* pixels, const float* grads) {
    float fresh[1][taps][4] = {};
#pragma unroll 1  // two at a time need more registers than 640 threads have
    for (int i = 0; i < S::positions; i += 8) {
        const float2* pairs = reinterpret_cast<const float2*>(pixels + S::Patch::place(i));
        Split b[taps + 1];
#pragma unroll
        for (int pair = 0; pair < 3; pair++) {
            float2 v = pairs[pair];
            b[2 * pair] = split<S::precision, RIGHT>(v.x), b[2 * pair + 1] = split<S::precision, RIGHT>(v.y);
        }
        float2 upper = *reinterpret_cast<const float2*>(grads + i);
        float2 lower = *reinterpret_cast<const float2*>(grads + i + 8 * S::pitch);
        Left a = split_left<S::precision>(upper.x, lower.x, upper.y, lower.y);
#pragma unroll
        for (int tap = 0; tap < taps; tap++)
            multiply_add<S::precision>(S::fresh ? fresh[0][tap] : sum[0][tap], a, b[tap], b[tap + 1]);
    }
    if (S::fresh) add(sum, fresh);
}
// partials: (gridDim.y, 25, K, C). Block (x, y): the x-th 8 channels and filters; the y-th part of the batch, of which
// there must be at least one piece for each.
template <typename S>
__global__ void __launch_bounds__(S::threads, S::blocks)
    conv2d_backward_weight_7_tensor(const float4* grad_output, const float4* x, float* partials, int N) {
    using Patch = typename S::Patch;
    __shared__ float4 patch[2][Patch::packs], grads[2][S::grad_packs];
    int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, tap_row = warp % taps;
    int first_c = blockIdx.x % (S::C / depth) * depth, first_k = blockIdx.x / (S::C / depth) * S::filters;
    int own_k = warp / taps * 16 + g;

    auto start_copies = [&](int piece) {
        int n = piece / (S::H / S::rows), first_p = piece % (S::H / S::rows) * S::rows;
        Patch::template start_copy<S::threads>(patch[piece % 2], x, n, first_p, first_c, N);
        constexpr int packs = S::positions / 4;
#pragma unroll 1  // no registers to spare here either
        for (int i = threadIdx.x; i < S::filters * packs; i += S::threads) {
            int v = i % packs, f = i / packs;
            const float4* from = grad_output + ((n * S::K + first_k + f) * S::H + first_p) * (S::W / 4) + v;
            copy_async<16>(&grads[piece % 2][f * (S::pitch / 4) + v], from);
        }
        copies_commit();
    };
    int pieces = N * (S::H / S::rows), splits = gridDim.y, split = blockIdx.y;
    int first = pieces * split / splits, last = pieces * (split + 1) / splits;
    float sum[1][taps][4] = {};
    start_copies(first);
#pragma unroll 1
    for (int piece = first; piece < last; piece++) {
        copies_wait();
        __syncthreads();  // as in the forward
        if (piece + 1 < last) start_copies(piece + 1);
        const float* first_pixel = reinterpret_cast<const float*>(patch[piece % 2]) + g * Patch::channel;
        const float* own_grads = reinterpret_cast<const float*>(grads[piece % 2]) + own_k * S::pitch;
        add_positions<S>(sum, first_pixel + tap_row * Patch::pitch + padding + 2 * t, own_grads + 2 * t);
    }
#pragma unroll
    for (int tap = 0; tap < taps; tap++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int k = first_k + own_k + 8 * half, i = (split * taps + tap_row) * taps + tap;
            float2* to = reinterpret_cast<float2*>(partials + (i * S::K + k) * S::C + first_c + 2 * t);
            *to = make_float2(sum[0][tap][2 * half], sum[0][tap][2 * half + 1]);
        }
}
// Adds the parts in their order, and puts the taps where they belong: (splits, 25, filters) -> (filters, 25), a filter
// here being 5 x 5 numbers. One thread per number of the result, as above.
__global__ void conv2d_sum_taps_1_in_order(const float* partials, float* grad_weight, int filters, int splits) {
    constexpr int all_taps = taps * taps;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    for (int s = 0; s < splits; s++) sum += partials[s * all_taps * filters + i];
    grad_weight[i % filters * all_taps + i / filters] = sum;
}
