// Uses what the emulator offers, correctly.
#include "ptx.h"

template <typename T> __global__ void total_1_shuffles(const T* x, T* sum, int n) {
    __shared__ T partial[32];
    int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    T v = i < n ? __ldg(&x[i]) : T(0);
    for (int step = 16; step > 0; step /= 2) v += __shfl_down_sync(0xffffffffu, v, step);
    if (lane == 0) partial[warp] = v;
    __syncthreads();
    if (warp == 0) {
        v = lane < blockDim.x / warpSize ? partial[lane] : T(0);
        for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
        if (lane == 0) atomicAdd(sum, v);
    }
}
// In two types: each instance has a GPU's shared memory to the last byte, the library's segment more.
template <typename T> __global__ void all_there_is(T* y, int n) {
    extern __shared__ float dynamic_shared[];
    __shared__ T tile[40000 / sizeof(T)];
    T* rest = reinterpret_cast<T*>(dynamic_shared);
    for (int i = threadIdx.x; i < n; i += blockDim.x) rest[i] = tile[i] = 1;
    __syncthreads();
    y[threadIdx.x] = rest[threadIdx.x] + tile[threadIdx.x];
}
__global__ void reverse(const float* x, float* y) {
    extern __shared__ float dynamic_shared[];
    dynamic_shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = dynamic_shared[blockDim.x - 1 - threadIdx.x];
}
__global__ void neighbour_in_warp(float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = threadIdx.x;
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];
}
__global__ void reverse_in_warp(float* y) {  // lanes meet in pairs, and what one has seen it brings to its next meeting
    __shared__ float tile[32];
    tile[threadIdx.x] = threadIdx.x;
    for (int step = 1; step < 32; step *= 2) __syncwarp(1u << threadIdx.x | 1u << (threadIdx.x ^ step));
    y[threadIdx.x] = tile[31 - threadIdx.x];
}
__global__ void positive(const float* x, bool* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0;
}
__global__ void vote(const int* x, int* y) {
    unsigned odd = __ballot_sync(0xffffffffu, x[threadIdx.x] & 1);
    bool any = __any_sync(0xffffffffu, x[threadIdx.x] == 5), all = __all_sync(0xffffffffu, x[threadIdx.x] >= 0);
    y[threadIdx.x] = __popc(odd) + 100 * any + 1000 * all;
}
__global__ void strided_shared(float* y, int stride) {
    __shared__ float tile[1024];
    tile[threadIdx.x * stride] = 1;
    __syncthreads();
    y[threadIdx.x * stride] = tile[(threadIdx.x + 1) % blockDim.x * stride];
}
__global__ void uneven(float* y) {  // the first lanes come once more in each round
    for (int round = 0; round < 2; round++) {
        for (int i = threadIdx.x; i < 36; i += 32) y[i] = round;
        __syncthreads();
    }
}
template <int A, int B> struct Sums {
    static_assert(A * B <= 64, "more than 64 threads");
    static constexpr int rows = A, columns = B;
};
// Sums of the rows of each of the gridDim.x matrices, in packs: columns must be a multiple of 4.
template <typename S>
__global__ void __launch_bounds__(S::rows) row_sums_1_specialised(const float4* x, float* sums) {
    __shared__ float4 row[S::rows][S::columns / 4];
    for (int i = threadIdx.x; i < S::rows * S::columns / 4; i += S::rows)
        row[i / (S::columns / 4)][i % (S::columns / 4)] = x[blockIdx.x * S::rows * S::columns / 4 + i];
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < S::columns / 4; i++) {
        float4 pack = row[threadIdx.x][i];
        sum += pack.x + pack.y + pack.z + pack.w;
    }
    sums[blockIdx.x * S::rows + threadIdx.x] = sum;
}
// C (16 x 8) += A (16 x depth) B (depth x 8) by one warp; the matrices are plain arrays, row by row.
struct Lane {
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    __device__ int at(int i) const { return (g + i / 2 * 8) * 8 + 2 * t + i % 2; }  // where c[i] belongs
};
__global__ void product_tf32(const float* A, const float* B, float* C) {
    Lane lane;
    int g = lane.g, t = lane.t;
    float c[4];
    for (int i = 0; i < 4; i++) c[i] = C[lane.at(i)];
    unsigned a[4];
    for (int i = 0; i < 4; i++) a[i] = __float_as_uint(A[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
    multiply_tf32(c, a, __float_as_uint(B[t * 8 + g]), __float_as_uint(B[(t + 4) * 8 + g]));
    for (int i = 0; i < 4; i++) C[lane.at(i)] = c[i];
}
__global__ void product_bfloat16(const float* A, const float* B, float* C) {
    Lane lane;
    int g = lane.g, t = lane.t;
    float c[4];
    for (int i = 0; i < 4; i++) c[i] = C[lane.at(i)];
    unsigned a[4], b[2];
    for (int i = 0; i < 4; i++) {
        const float* two = A + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        a[i] = pack_bfloat16(two[0], two[1]);
    }
    for (int i = 0; i < 2; i++) {
        const float* two = B + (2 * t + i * 8) * 8 + g;
        b[i] = pack_bfloat16(two[0], two[8]);
    }
    multiply_bfloat16(c, a, b[0], b[1]);
    for (int i = 0; i < 4; i++) C[lane.at(i)] = c[i];
}
__global__ void rounded_to_tf32(const float* x, float* y) { y[threadIdx.x] = __uint_as_float(to_tf32(x[threadIdx.x])); }
__global__ void rounded_to_bfloat16(const float* x, float* y) {
    y[threadIdx.x] = __uint_as_float(pack_bfloat16(0, x[threadIdx.x]));
}
// y[r] = x[r] reversed, for `rounds` rows of 64: while a row is used, the next one is copied.
__global__ void reverse_rows(const float* x, float* y, int rounds) {
    __shared__ float row[2][64];
    auto start = [&](int r) {
        if (r < rounds) copy_async<4>(&row[r % 2][threadIdx.x], x + r * 64 + threadIdx.x);
        copies_commit();
    };
    start(0);
    for (int r = 0; r < rounds; r++) {
        start(r + 1);
        copies_wait<1>();
        __syncthreads();
        y[r * 64 + threadIdx.x] = row[r % 2][63 - threadIdx.x];
        __syncthreads();
    }
}
// The same copy with something missing: what = 1 the wait, 2 the commit, 3 enough waiting (one group too few).
__global__ void impatient(const float* x, float* y, int what) {
    __shared__ float row[64];
    copy_async<4>(&row[threadIdx.x], x + threadIdx.x);
    if (what != 2) copies_commit();
    if (what == 3) copies_wait<1>();
    else if (what != 1) copies_wait();
    y[threadIdx.x] = row[threadIdx.x];
}
// Zeros where there is nothing to copy, such as beside an image.
__global__ void padded(const float* x, float* y, int n) {
    alignas(16) __shared__ float row[128];
    int i = threadIdx.x * 4;
    copy_async<16>(row + i, x + (i < n ? i : 0), i < n);
    copies_commit();
    copies_wait();
    for (int k = i; k < i + 4; k++) y[k] = row[k];
}
