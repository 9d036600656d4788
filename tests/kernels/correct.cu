// Uses what the emulator offers, correctly.
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
