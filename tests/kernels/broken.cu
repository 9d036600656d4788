// One textbook mistake per kernel; the emulator must name each.
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
