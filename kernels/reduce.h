// Adding up over the threads of a warp and of a block, always in the same order: the same sum in every run.
#pragma once

// The sum over a full warp, in its lane 0.
template <typename T> __device__ T warp_sum(T value) {
    for (int step = warpSize / 2; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
    return value;
}

// The sum over the block, in every thread. All threads must call it, whole warps, and `shared` must hold 32 numbers that
// nobody else uses until the next barrier.
template <typename T> __device__ T block_total(T value, T* shared, bool wanted = true) {
    int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
    value = warp_sum(value);
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    if (!wanted) return value;
    value = shared[0];
    for (int w = 1; w < warps; w++) value += shared[w];
    return value;
}
// The same in thread 0 alone; what the others get is of no use.
template <typename T> __device__ T block_sum(T value, T* shared) { return block_total(value, shared, threadIdx.x == 0); }
