// One textbook mistake per kernel; the emulator must name each.
#include "in_a_header.h"
#include "ptx.h"

__global__ void unguarded(const float* x, float* y) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i];  // MISTAKE unguarded
}
__global__ void shared_overflow(float* y) {
    __shared__ float tile[32], other[32];
    other[threadIdx.x] = 0;
    tile[threadIdx.x + 1] = 1;  // MISTAKE shared_overflow
    y[threadIdx.x] = other[threadIdx.x];
}
__global__ void dynamic_overflow(float* y) {
    extern __shared__ float dynamic_shared[];
    dynamic_shared[threadIdx.x] = 1;  // MISTAKE dynamic_overflow
    y[threadIdx.x] = dynamic_shared[threadIdx.x];
}
__global__ void early_return(const float* x, float* y, int n) {
    __shared__ float tile[64];
    if (threadIdx.x >= n) return;
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();  // MISTAKE early_return
    y[threadIdx.x] = tile[n - 1 - threadIdx.x];
}
__global__ void two_barriers(float* y) {
    if (threadIdx.x < 32) {
        y[threadIdx.x] = 1;
        __syncthreads();
    } else {
        __syncthreads();  // MISTAKE two_barriers
    }
}
__global__ void never_written(float* y) {
    __shared__ float sum[64];
    sum[threadIdx.x] += 1;  // MISTAKE never_written
    y[threadIdx.x] = sum[threadIdx.x];
}
__global__ void missing_barrier(const float* x, float* y) {
    __shared__ float tile[64];
    for (int i = threadIdx.x; i < 64; i += 64) tile[i] = x[i];  // MISTAKE missing_barrier
    if (threadIdx.x == 0) tile[1] = 0;
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}
__global__ void missing_second_barrier(const float* x, float* y, int n) {
    __shared__ float tile[64];
    float sum = 0;
    for (int i = 0; i < n; i++) {
        tile[threadIdx.x] = x[i * 64 + threadIdx.x];
        __syncthreads();
        sum += tile[63 - threadIdx.x];  // MISTAKE missing_second_barrier
    }
    y[threadIdx.x] = sum;
}
__global__ void missing_syncwarp(float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = threadIdx.x ? tile[threadIdx.x - 1] : 0;  // MISTAKE missing_syncwarp
}
__global__ void syncwarp_alone(float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = threadIdx.x;
    if (threadIdx.x == 5) __syncwarp(1u << 5);
    y[threadIdx.x] = threadIdx.x == 5 ? tile[4] : 0;  // MISTAKE syncwarp_alone
}
__global__ void syncwarp_in_halves(float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = threadIdx.x;
    __syncwarp(threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u);
    y[threadIdx.x] = tile[(threadIdx.x + 31) % 32];  // MISTAKE syncwarp_in_halves
}
__global__ void too_long_an_array(float* y) {
    __shared__ float tile[30000];
    tile[threadIdx.x] = 1;  // MISTAKE too_long_an_array
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x];
}
__global__ void too_many_arrays(float* y) {
    __shared__ float first[6000], second[6000], third[289];
    first[threadIdx.x] = second[threadIdx.x] = 1;
    third[threadIdx.x] = 1;  // MISTAKE too_many_arrays
    __syncthreads();
    y[threadIdx.x] = first[63 - threadIdx.x] + second[63 - threadIdx.x] + third[63 - threadIdx.x];
}
__global__ void too_much_on_top(float* y) {
    extern __shared__ float dynamic_shared[];
    __shared__ float tile[10000];
    dynamic_shared[threadIdx.x] = 1;
    tile[threadIdx.x] = 1;  // MISTAKE too_much_on_top
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x] + dynamic_shared[63 - threadIdx.x];
}
__global__ void one_block_hurries(const float* x, float* y, int which) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    float sum = tile[threadIdx.x] + tile[min(threadIdx.x + 1, 63)];
    if (blockIdx.x != which) __syncthreads();
    tile[threadIdx.x] = sum;  // MISTAKE one_block_hurries
    __syncthreads();
    y[64 * blockIdx.x + threadIdx.x] = tile[63 - threadIdx.x];
}
__global__ void blocks_race(float* y) {
    if (threadIdx.x == 0) y[0] = y[0] + 1;  // MISTAKE blocks_race
}
__global__ void half_warp(float* y) {
    float v = threadIdx.x;
    if (threadIdx.x < 16) v += __shfl_down_sync(0xffffffffu, v, 8);  // MISTAKE half_warp
    y[threadIdx.x] = v;
}
__global__ void outside_mask(float* y) {
    float v = threadIdx.x;
    if (threadIdx.x < 16) v = __shfl_down_sync(0x0000ffffu, v, 8);  // MISTAKE outside_mask
    y[threadIdx.x] = v;
}
__device__ float kept[64];
__global__ void unseen_memory(const float* x, float* y) {
    kept[threadIdx.x] = x[threadIdx.x];  // MISTAKE unseen_memory
    __syncthreads();
    y[threadIdx.x] = kept[63 - threadIdx.x];
}
__global__ void misaligned_load(const float* x, float* y) {
    float4 pack = *reinterpret_cast<const float4*>(x + 2);  // MISTAKE misaligned_load
    y[threadIdx.x] = pack.x + pack.w;
}
__global__ void misaligned_store(float* y) {
    *reinterpret_cast<float2*>(y + 1) = make_float2(1, 2);  // MISTAKE misaligned_store
}
__global__ void misaligned_shared(float* y) {
    alignas(16) __shared__ float tile[68];
    tile[threadIdx.x] = 1;
    __syncthreads();
    float4 pack = *reinterpret_cast<float4*>(tile + 3);  // MISTAKE misaligned_shared
    y[threadIdx.x] = pack.y;
}
__global__ void misaligned_copy(const float* x, float* y) {
    alignas(16) __shared__ float tile[64];
    if (threadIdx.x < 4) copy_async<16>(tile + 4 * threadIdx.x, x + 4 * threadIdx.x + 1);  // MISTAKE misaligned_copy
    copies_commit();
    copies_wait();
    __syncthreads();
    y[threadIdx.x] = tile[threadIdx.x];
}
__global__ void copy_past_the_end(const float* x, float* y) {
    alignas(16) __shared__ float tile[256];
    copy_async<16>(tile + 4 * threadIdx.x, x + 4 * threadIdx.x);  // MISTAKE copy_past_the_end
    copies_commit();
    copies_wait();
    y[threadIdx.x] = tile[4 * threadIdx.x];
}
__global__ void copy_to_global(const float* x, float* y) {
    copy_async<4>(y + threadIdx.x, x + threadIdx.x);  // MISTAKE copy_to_global
    copies_commit();
    copies_wait();
}
__global__ void copy_over_what_is_read(const float* x, float* y) {
    __shared__ float tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[min(threadIdx.x + 1, 31)];
    copy_async<4>(&tile[threadIdx.x], x + 32 + threadIdx.x);  // MISTAKE copy_over_what_is_read
    copies_commit();
    copies_wait();
    y[threadIdx.x] += tile[threadIdx.x];
}
__global__ void barrier_before_the_wait(const float* x, float* y) {
    __shared__ float tile[64];
    copy_async<4>(&tile[threadIdx.x], x + threadIdx.x);  // the copy arrives at the wait, when nothing orders it any more
    copies_commit();
    __syncthreads();
    copies_wait();
    y[threadIdx.x] = tile[63 - threadIdx.x];
}
__global__ void half_a_product(float* y) {
    float c[4] = {};
    unsigned a[4] = {};
    if (threadIdx.x < 16) multiply_tf32(c, a, 0, 0);  // MISTAKE half_a_product
    y[threadIdx.x] = c[0];
}
__global__ void early_return_in_a_header(float* y) {
    if (threadIdx.x >= 50) return;
    wait_for_all();
    y[threadIdx.x] = 1;
}
