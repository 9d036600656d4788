// Global contrast normalisation of images (N, D): z = (x - mean) / mean |x - mean|, means in double, z in float.
//   1 naive   one thread per image, three passes along it: transactions of 32 bytes for every 4 that are used.
//   2 block   one block per image: threads stride over the pixels (full transactions), warps add in registers. The second
//             and third pass find the image in the first-level cache.
// In exact arithmetic a one-coloured image deviates by 0; rounding of its mean must not be blown up to contrast: a
// deviation of at most epsilon times the largest |x| counts as none, and z is 0.

template <typename T> __global__ void contrast_normalize_1_naive(const T* x, float* z, double epsilon, int D) {
    if (threadIdx.x) return;
    const T* image = x + blockIdx.x * D;
    double mean = 0, deviation = 0, largest = 0;
    for (int d = 0; d < D; d++) {
        mean += image[d];
        largest = max(largest, fabs(double(image[d])));
    }
    mean /= D;
    for (int d = 0; d < D; d++) deviation += fabs(float(image[d] - mean));
    deviation /= D;
    double scale = deviation > epsilon * largest ? 1 / deviation : 0;
    for (int d = 0; d < D; d++) z[blockIdx.x * D + d] = float(float(image[d] - mean) * scale);
}

// Sum and maximum of what the threads of a block hold, for all of them. `shared`: 2 x 32 doubles.
struct SumAndMaximum {
    double sum, maximum;
};
__device__ inline SumAndMaximum over_block(double sum, double maximum, double* shared) {
    int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
    for (int step = warpSize / 2; step > 0; step /= 2) {
        sum += __shfl_down_sync(0xffffffffu, sum, step);
        maximum = max(maximum, __shfl_down_sync(0xffffffffu, maximum, step));
    }
    __syncthreads();  // an earlier result may still be being read
    if (lane == 0) {
        shared[warp] = sum;
        shared[32 + warp] = maximum;
    }
    __syncthreads();
    sum = maximum = 0;
    for (int w = 0; w < blockDim.x / warpSize; w++) {
        sum += shared[w];
        maximum = max(maximum, shared[32 + w]);
    }
    return {sum, maximum};
}

template <typename T> __global__ void contrast_normalize_2_block(const T* x, float* z, double epsilon, int D) {
    __shared__ double shared[64];
    const T* image = x + blockIdx.x * D;
    double sum = 0, largest = 0, deviation = 0;
    for (int d = threadIdx.x; d < D; d += blockDim.x) {
        sum += image[d];
        largest = max(largest, fabs(double(image[d])));
    }
    SumAndMaximum first = over_block(sum, largest, shared);
    double mean = first.sum / D;
    for (int d = threadIdx.x; d < D; d += blockDim.x) deviation += fabs(float(image[d] - mean));
    deviation = over_block(deviation, 0, shared).sum / D;
    double scale = deviation > epsilon * first.maximum ? 1 / deviation : 0;
    for (int d = threadIdx.x; d < D; d += blockDim.x) z[blockIdx.x * D + d] = float(float(image[d] - mean) * scale);
}
