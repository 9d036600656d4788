// Convolution of stride 1 and its gradients, float32, with all sizes known to the compiler: rung 6 of conv2d.cu's ladder.
//
//   6 rows   The halo rung spends more instructions on indices and loads than on multiplications. Here C, K, H, W and the
//            filters' side are constants: loops over taps are unrolled, addresses are a register plus a constant, and what
//            a thread has loaded stays in registers. A thread that computes 8 neighbouring positions of 8 filters loads a
//            row of 12 pixels once, for all 5 taps of a row: 4 + 10 loads of 16 bytes serve 320 multiplications (halo: 6
//            loads for 32). Where there are few filters, a thread takes fewer, and several threads share the channels.
//
// Every pixel of the image comes into shared memory once for all filters of the block, as in rung 5. Each kernel takes a
// struct of sizes (conv2d_rows.h), which minisvdd/ops/conv2d/launch_rows.py chooses, and blocks of S::threads threads.
// Sums are added in one order, whatever the card: the struct and the grid depend on the sizes of the arrays alone.
#include "conv2d_rows.h"

template <typename S>
__device__ void forward_rows(Sums<S>& sum, float* shared, const float4* x, const float* weight, float4* y, const Worker& w) {
    convolve_rows<S>(
        sum, shared, reinterpret_cast<const float*>(x),
        [=](int k, int c, int tap) { return weight[(k * S::C + c) * S::taps + tap]; }, w);
    add_shares<S>(sum, shared, w);
    store_rows<S>(reinterpret_cast<float*>(y), sum, w);
}
// Blocks: (parts of N images * S::tiles, parts of the filters).
template <typename S>
__global__ void __launch_bounds__(S::threads) conv2d_forward_6_rows(const float4* x, const float* weight, float4* y, int N) {
    __shared__ float4 memory[S::packs];
    float* shared = reinterpret_cast<float*>(memory);
    Sums<S> sum = {};
    Worker w = worker<S>(N);
    forward_rows<S>(sum, shared, x, weight, y, w);
}

// The convolution of G with the filters flipped and their channel axes exchanged: here C counts G's channels, K the
// input's, and the padding is side - 1 less the forward's.
template <typename S>
__global__ void __launch_bounds__(S::threads)
    conv2d_backward_input_6_rows(const float4* grad_output, const float* weight, float4* grad_input, int N) {
    __shared__ float4 memory[S::packs];
    float* shared = reinterpret_cast<float*>(memory);
    Sums<S> sum = {};
    Worker w = worker<S>(N);
    convolve_rows<S>(
        sum, shared, reinterpret_cast<const float*>(grad_output),
        [=](int k, int c, int tap) { return weight[(c * S::K + k) * S::taps + S::taps - 1 - tap]; }, w);
    add_shares<S>(sum, shared, w);
    store_rows<S>(reinterpret_cast<float*>(grad_input), sum, w);
}

// The forward, fused with the first half of batch norm's statistics as conv2d_moments_1_halo is: from the results in
// registers each block takes mean and sum of squared deviations per filter. means, squares: (gridDim.x, K), counts:
// (gridDim.x), for merge_moments in batchnorm.cu.
template <typename S>
__global__ void __launch_bounds__(S::threads)
    conv2d_moments_2_rows(const float4* x, const float* weight, float4* y, float* means, float* squares, int* counts,
                          int N) {
    __shared__ float4 memory[S::packs];
    float* shared = reinterpret_cast<float*>(memory);
    Sums<S> sum = {};
    Worker w = worker<S>(N);
    forward_rows<S>(sum, shared, x, weight, y, w);

    int count = min(S::images, N - w.first_n) * min(S::tile, S::P - w.first_p) * S::Q;
    float mean[S::filters], deviations[S::filters];
    filter_sums<S>(mean, shared, w, [&](int f, int i, int r) { return sum[f][i][r]; });
    for (int f = 0; f < S::filters; f++) mean[f] /= count;
    filter_sums<S>(deviations, shared, w,
                   [&](int f, int i, int r) { return (sum[f][i][r] - mean[f]) * (sum[f][i][r] - mean[f]); });
    if (threadIdx.x == 0 && blockIdx.y == 0) counts[blockIdx.x] = count;
    if (w.share == 0 && w.owner == 0)
        for (int f = 0, k = w.first_k + w.group * S::filters; f < S::filters && k < S::K; f++, k++) {
            means[blockIdx.x * S::K + k] = mean[f];
            squares[blockIdx.x * S::K + k] = deviations[f];
        }
}

// Blocks: (splits, chunks of channels, parts of the filters); a block takes every splits-th of all tiles.
// partials: (splits, K, C, side, side), for sum_partials.
template <typename S>
__global__ void __launch_bounds__(S::threads, 1)
    conv2d_backward_weight_6_rows(const float4* grad_output, const float4* x, float* partials, int N) {
    __shared__ float4 memory[S::packs];
    float *pixels = reinterpret_cast<float*>(memory), *grads = pixels + S::Piece::floats, sum[S::filters][S::side] = {};
    int owner = threadIdx.x % S::owners, share = threadIdx.x / S::owners;
    int tap_row = owner % (S::chunk * S::side), group = owner / (S::chunk * S::side), c = tap_row / S::side;
    int first_c = blockIdx.y * S::chunk, first_k = blockIdx.z * S::block_filters, present = min(S::chunk, S::C - first_c);
    for (int tile = blockIdx.x; tile < parts_of(N, S::images) * S::tiles; tile += gridDim.x) {
        int first_n = tile / S::tiles * S::images, first_p = tile % S::tiles * S::tile;
        __syncthreads();  // everybody is done with the previous tile
        stage_patch<typename S::Piece, S::threads>(pixels, reinterpret_cast<const float*>(x), N, first_n, first_c,
                                                   first_p - S::padding);
        stage_gradient<S>(grads, reinterpret_cast<const float*>(grad_output), N, first_n, first_k, first_p);
        __syncthreads();
#pragma unroll 1
        for (int row = share; row < S::images * S::tile; row += S::shares) {
            int under = row / S::tile * S::Piece::rows + row % S::tile + tap_row % S::side;  // this row of taps
            add_row<S>(sum, pixels + c * S::Piece::channel + under * S::Piece::pitch,
                       grads + group * S::filters * S::plane + row * S::width);
        }
    }
    // The shares' sums meet in shared memory, where they lie as the weights do: filters, channels, taps.
    __syncthreads();
    if (share < S::shares)
        for (int f = 0; f < S::filters; f++)
            for (int b = 0; b < S::side; b++)
                pixels[((share * S::block_filters + group * S::filters + f) * S::chunk * S::side + tap_row) * S::side + b] =
                    sum[f][b];
    __syncthreads();
    for (int i = threadIdx.x; i < S::results; i += S::threads) {
        int k = first_k + i / (S::chunk * S::taps), tap = i % (S::chunk * S::taps);  // of `present` channels
        float total = 0;
        for (int s = 0; s < S::shares; s++) total += pixels[s * S::results + i];
        if (k < S::K && tap < present * S::taps)
            partials[((blockIdx.x * S::K + k) * S::C + first_c) * S::taps + tap] = total;
    }
}
