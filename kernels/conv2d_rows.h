// What the kernels of conv2d_rows.cu share: pieces of images in shared memory, and the work of one thread.
#pragma once
#include "pack.h"
#include "reduce.h"

__host__ __device__ constexpr int parts_of(int n, int part) { return (n + part - 1) / part; }
__host__ __device__ constexpr int round_up(int n, int multiple) { return parts_of(n, multiple) * multiple; }
// The largest pack of float32 that rows of n numbers consist of.
__host__ __device__ constexpr int pack_of(int n) { return n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1; }

template <int n> __device__ void load_numbers(float (&to)[n], const float* from) {
    using Numbers = Pack<float, pack_of(n)>;
#pragma unroll
    for (int i = 0; i < n; i += Numbers::size) {
        Numbers pack = load_pack<Numbers>(from + i);
#pragma unroll
        for (int k = 0; k < Numbers::size; k++) to[i + k] = pack.v[k];
    }
}

// Rows of `channels` channels of several images (N, C, H, W) in shared memory, below each other, whole rows with zeros
// beside them. Column q of an image lies at left + q: packs of the image are then packs here. The zeros left of a row are
// also those right of the row above. A thread reads `reach` numbers from the beginning of a row, and behind the last row
// there are zeros for that. Shared memory serves 8 threads with a pack each at once if their packs differ modulo 8. A row
// is an odd number of packs, so those of 8 rows do; and a channel begins where row `side` of the one before it would,
// modulo 8.
template <int C_, int H_, int W_, int channels_, int images_, int rows_, int reach, int side> struct Patch {
    static constexpr int C = C_, H = H_, W = W_, channels = channels_, images = images_, rows = rows_, left = 4;
    static constexpr int packs = parts_of(left + W, 4) | 1, pitch = 4 * packs;
    static constexpr int least = images * rows * packs + (reach > pitch ? parts_of(reach - pitch, 4) : 0);
    static constexpr int channel = 4 * (least + ((side * packs - least) % 8 + 8) % 8), floats = channels * channel;
};
// All threads of the block copy the patch that begins with image first_n, channel first_c, row first_u.
template <typename Patch, int threads>
__device__ void stage_patch(float* patch, const float* x, int N, int first_n, int first_c, int first_u) {
    using Pixels = Pack<float, pack_of(Patch::W)>;
    constexpr int per_row = Patch::pitch / Pixels::size, per_channel = Patch::channel / Pixels::size;
#pragma unroll 4
    for (int i = threadIdx.x; i < Patch::channels * per_channel; i += threads) {
        int row = i % per_channel / per_row, v = i % per_channel % per_row * Pixels::size - Patch::left;
        int n = first_n + row / Patch::rows, c = first_c + i / per_channel, u = first_u + row % Patch::rows;
        bool exists = row < Patch::images * Patch::rows && n < N && c < Patch::C;
        bool inside = exists && u >= 0 && u < Patch::H && v >= 0 && v < Patch::W;
        Pixels zeros{};
        store_pack(patch + i * Pixels::size,
                   inside ? load_pack<Pixels>(x + ((n * Patch::C + c) * Patch::H + u) * Patch::W + v) : zeros);
    }
}

// ---- Forward and input gradient: a convolution of stride 1 from C to K channels with square filters.

// A block computes `tile` rows of each of some images for groups * filters filters, with `chunk` channels in shared memory
// at a time. A thread computes rows x columns neighbouring positions of `filters` filters, from every shares-th channel.
template <int C_, int K_, int H_, int W_, int side_, int padding_, int images_, int tile_, int rows_, int columns_,
          int filters_, int groups_, int shares_, int chunk_>
struct Rows {
    static constexpr int C = C_, K = K_, H = H_, W = W_, side = side_, padding = padding_, taps = side * side;
    static constexpr int P = H + 2 * padding - side + 1, Q = W + 2 * padding - side + 1;
    static constexpr int images = images_, tile = tile_, tiles = parts_of(P, tile), chunk = chunk_, shares = shares_;
    static constexpr int rows = rows_, columns = columns_, filters = filters_, groups = groups_;
    static constexpr int block_filters = groups * filters, across = parts_of(Q, columns), down = tile / rows;
    static constexpr int owners = down * images * across;
    static constexpr int threads = round_up(owners * groups * shares, 32);
    // From the beginning of a row: the pixel under the first tap of the thread's first position, and all under its taps.
    static constexpr int skip = 4 - padding, span = round_up(skip + side - 1 + columns, 4);
    using Piece = Patch<C, H, W, chunk, images, tile + side - 1, (across - 1) * columns + span, side>;
    static constexpr int pitch = filters % 4 ? block_filters : block_filters | 4;  // from one tap's weights to the next's
    static constexpr int results = filters * rows * columns;
    static constexpr int staged = Piece::floats + chunk * taps * pitch, summed = (shares - 1) * owners * groups * results;
    static constexpr int moments = block_filters * (owners + 1), most = staged > summed ? staged : summed;
    static constexpr int packs = parts_of(most > moments ? most : moments, 4);  // of shared memory
    static_assert(0 <= padding && padding <= 4, "the margin is a pack wide");
    static_assert(tile % rows == 0 && columns % 4 == 0, "threads share rows evenly, and each begins at a pack");
    static_assert(packs <= 3072 && threads <= 1024, "more than a block may have");
};
// The block's tile begins with image first_n, row first_p, filter first_k. A thread has its share of the channels, its
// group of filters, and in the tile its image, first row and first column.
struct Worker {
    int N, first_n, first_p, first_k, share, group, owner, image, row, q;
};
template <typename S> __device__ Worker worker(int N) {
    int tile = blockIdx.x, thread = threadIdx.x, owner = thread % S::owners;
    return {N,
            tile / S::tiles * S::images,
            tile % S::tiles * S::tile,
            int(blockIdx.y) * S::block_filters,
            thread / (S::owners * S::groups),
            thread / S::owners % S::groups,
            owner,
            owner / S::down % S::images,
            owner % S::down * S::rows,
            owner / (S::down * S::images) * S::columns};
}
// Is position (i, r) of the thread one of the output?
template <typename S> __device__ bool is_inside(const Worker& w, int i, int r) {
    return w.first_n + w.image < w.N && w.first_p + w.row + i < S::P && w.q + r < S::Q;
}
template <typename S> using Sums = float[S::filters][S::rows][S::columns];

// One channel: a row of pixels, once in registers, serves the taps of all rows of the filters that meet it.
// Where a row of taps is hundreds of multiplications, five of them unrolled would not fit into the cache of instructions.
template <typename S> __device__ void add_channel(Sums<S>& sum, const float* pixels, const float* weights) {
    constexpr int rows = S::rows + S::side - 1, together = S::rows == 1 && S::results >= 64 ? 1 : rows;
#pragma unroll together
    for (int u = 0; u < rows; u++) {
        float pixel[S::span];
        load_numbers(pixel, pixels + u * S::Piece::pitch);
#pragma unroll
        for (int i = 0; i < S::rows; i++) {
            int a = u - i;  // the row of taps that looks at row u from the thread's i-th row of positions
            if (a < 0 || a >= S::side) continue;
#pragma unroll
            for (int b = 0; b < S::side; b++) {
                float weight[S::filters];
                load_numbers(weight, weights + (a * S::side + b) * S::pitch);
#pragma unroll
                for (int f = 0; f < S::filters; f++)
#pragma unroll
                    for (int r = 0; r < S::columns; r++) sum[f][i][r] += weight[f] * pixel[S::skip + b + r];
            }
        }
    }
}
// The thread's results; weight(k, c, tap) is entry `tap` of the filter from channel c to k. Threads that are left over,
// share >= shares, work along with their warp; nobody asks for their sums.
template <typename S, typename Weight>
__device__ void convolve_rows(Sums<S>& sum, float* shared, const float* x, Weight weight, const Worker& w) {
    float* weights = shared + S::Piece::floats;
    const float* pixels = shared + (w.image * S::Piece::rows + w.row) * S::Piece::pitch + w.q;
    for (int first_c = 0; first_c < S::C; first_c += S::chunk) {
        int present = min(S::chunk, S::C - first_c);
        __syncthreads();  // everybody is done with the previous channels
        stage_patch<typename S::Piece, S::threads>(shared, x, w.N, w.first_n, first_c, w.first_p - S::padding);
#pragma unroll 4
        for (int i = threadIdx.x; i < S::chunk * S::taps * S::block_filters; i += S::threads) {
            int tap = i % S::taps, c = i / S::taps % S::chunk, f = i / (S::taps * S::chunk);
            weights[(c * S::taps + tap) * S::pitch + f] =
                c < present && w.first_k + f < S::K ? weight(w.first_k + f, first_c + c, tap) : 0.0f;
        }
        __syncthreads();
#pragma unroll 1
        for (int c = w.share; c < present; c += S::shares)
            add_channel<S>(sum, pixels + c * S::Piece::channel, weights + c * S::taps * S::pitch + w.group * S::filters);
    }
}
// Calls f(filter, row, column, number of the result) for each of a thread's results.
template <typename S, typename F> __device__ void for_results(F f) {
#pragma unroll
    for (int v = 0; v < S::results; v++) f(v / (S::rows * S::columns), v / S::columns % S::rows, v % S::columns, v);
}
// The shares' sums meet in shared memory; threads of share 0 add them, in order, and have the results.
template <typename S> __device__ void add_shares(Sums<S>& sum, float* shared, const Worker& w) {
    if constexpr (S::shares == 1) return;
    constexpr int workers = S::owners * S::groups;
    float* own = shared + w.group * S::owners + w.owner;
    __syncthreads();  // everybody is done with the pixels
    if (0 < w.share && w.share < S::shares)
        for_results<S>([&](int f, int i, int r, int v) {
            own[((w.share - 1) * S::results + v) * workers] = sum[f][i][r];
        });
    __syncthreads();
    if (w.share) return;
#pragma unroll 1
    for (int s = 0; s < S::shares - 1; s++)
        for_results<S>([&](int f, int i, int r, int v) { sum[f][i][r] += own[(s * S::results + v) * workers]; });
}
// y (N, K, P, Q), whole packs at a time.
template <typename S> __device__ void store_rows(float* y, const Sums<S>& sum, const Worker& w) {
    using Outputs = Pack<float, pack_of(S::Q)>;
    if (w.share) return;  // share 0 has the results
#pragma unroll
    for (int f = 0; f < S::filters; f++)
#pragma unroll
        for (int i = 0; i < S::rows; i++)
#pragma unroll
            for (int r = 0; r < S::columns; r += Outputs::size) {
                Outputs pack;
#pragma unroll
                for (int j = 0; j < Outputs::size; j++) pack.v[j] = sum[f][i][r + j];
                int n = w.first_n + w.image, k = w.first_k + w.group * S::filters + f, p = w.first_p + w.row + i;
                if (k < S::K && is_inside<S>(w, i, r)) store_pack(y + ((n * S::K + k) * S::P + p) * S::Q + w.q + r, pack);
            }
}
// total[f] = the sum of value(f, i, r) over the positions of the block: first a thread's own, then a warp for each filter.
template <typename S, typename Value>
__device__ void filter_sums(float (&total)[S::filters], float* shared, const Worker& w, Value value) {
    float *own = shared + w.group * S::filters * S::owners + w.owner, *totals = shared + S::block_filters * S::owners;
    __syncthreads();  // everybody is done with what lies there
#pragma unroll
    for (int f = 0; f < S::filters; f++) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < S::rows; i++)
#pragma unroll
            for (int r = 0; r < S::columns; r++)
                if (is_inside<S>(w, i, r)) sum += value(f, i, r);
        if (w.share == 0) own[f * S::owners] = sum;
    }
    __syncthreads();
    int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    for (int f = warp; f < S::block_filters; f += S::threads / warpSize) {
        float sum = 0;
        for (int j = lane; j < S::owners; j += warpSize) sum += shared[f * S::owners + j];
        sum = warp_sum(sum);
        if (lane == 0) totals[f] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int f = 0; f < S::filters; f++) total[f] = totals[w.group * S::filters + f];
}

// ---- Weight gradient

// A block adds up the weights of groups * filters filters and `chunk` channels over tiles: `tile` rows of each of some
// images. A thread has the taps of one row of the filters, for `filters` filters, and takes every shares-th row of a tile.
template <int C_, int K_, int H_, int W_, int side_, int padding_, int images_, int tile_, int filters_, int groups_,
          int shares_, int chunk_>
struct RowsOfWeights {
    static constexpr int C = C_, K = K_, H = H_, W = W_, side = side_, padding = padding_, taps = side * side;
    static constexpr int P = H + 2 * padding - side + 1, Q = W + 2 * padding - side + 1;
    static constexpr int images = images_, tile = tile_, tiles = parts_of(P, tile), chunk = chunk_, shares = shares_;
    static constexpr int filters = filters_, groups = groups_, block_filters = groups * filters;
    static constexpr int owners = chunk * side * groups, threads = round_up(owners * shares, 32);
    static constexpr int skip = 4 - padding, window = round_up(skip + side - 1 + 4, 4), width = round_up(Q, 4);
    using Piece = Patch<C, H, W, chunk, images, tile + side - 1, width - 4 + window, side>;
    static constexpr int plane = images * tile * width + 4;  // of G, for one filter
    static constexpr int results = block_filters * chunk * taps, staged = Piece::floats + block_filters * plane;
    static constexpr int packs = parts_of(staged > shares * results ? staged : shares * results, 4);
    static_assert(0 <= padding && padding <= 4, "the margin is a pack wide");
    static_assert(packs <= 3072 && threads <= 1024, "more than a block may have");
};
// All threads copy the tile of G that begins with image first_n, filter first_k, row first_p; zeros fill rows to whole
// packs.
template <typename S>
__device__ void stage_gradient(float* grads, const float* grad_output, int N, int first_n, int first_k, int first_p) {
    using Numbers = Pack<float, pack_of(S::Q)>;
    constexpr int per_row = S::width / Numbers::size;
#pragma unroll 4
    for (int i = threadIdx.x; i < S::block_filters * S::images * S::tile * per_row; i += S::threads) {
        int q = i % per_row * Numbers::size, row = i / per_row % (S::images * S::tile);
        int f = i / (per_row * S::images * S::tile), n = first_n + row / S::tile, p = first_p + row % S::tile;
        bool inside = n < N && first_k + f < S::K && p < S::P && q < S::Q;
        Numbers zeros{};
        store_pack(grads + f * S::plane + row * S::width + q,
                   inside ? load_pack<Numbers>(grad_output + ((n * S::K + first_k + f) * S::P + p) * S::Q + q) : zeros);
    }
}
// One row of positions: a window of pixels slides along it, 4 positions at a time. One new pack of pixels and one of G
// per filter serve 4 * side * filters multiplications.
template <typename S>
__device__ void add_row(float (&sum)[S::filters][S::side], const float* pixels, const float* grads) {
    float pixel[S::window], next[4], grad[4];
#pragma unroll
    for (int i = 4; i < S::window; i += 4) {
        load_numbers(next, pixels + i - 4);
#pragma unroll
        for (int j = 0; j < 4; j++) pixel[i + j] = next[j];
    }
#pragma unroll
    for (int q = 0; q < S::width; q += 4) {
        load_numbers(next, pixels + q + S::window - 4);
#pragma unroll
        for (int i = 0; i < S::window; i++) pixel[i] = i + 4 < S::window ? pixel[i + 4] : next[i + 4 - S::window];
#pragma unroll
        for (int f = 0; f < S::filters; f++) {
            load_numbers(grad, grads + f * S::plane + q);
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int b = 0; b < S::side; b++) sum[f][b] += grad[j] * pixel[S::skip + b + j];
        }
    }
}
