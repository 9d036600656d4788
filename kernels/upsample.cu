// Nearest-neighbour up-sampling, contiguous (planes, H, W) to (planes, H sh, W sw). Bound by memory traffic.
//   1 naive       one thread per result; backward gathers the block of copies.
//   2 vectorised  where sw = 2 and a row of x is a whole number of half packs (8 bytes): a thread has one of them, and of
//                 each of the sh rows of its copies a whole pack. One division for all of these instead of three for
//                 each, and 16 bytes at a time. Other sizes, and arrays that do not begin at a multiple of the pack, are
//                 worked through as by rung 1.
// Rungs differ in no bit: a copy is a copy, and backward adds up a block's copies in one order.
// Planes lie one below the other, so that row r of all their rows becomes rows r sh, r sh + 1, ...
#include "pack.h"

template <typename T> __device__ T original(const T* x, int i, int W, int sh, int sw) {
    int Q = W * sw;
    return x[i / Q / sh * W + i % Q / sw];
}
template <typename T> __device__ T sum_of_copies(const T* grad_output, int i, int W, int sh, int sw) {
    int row = i / W, column = i % W;
    T sum = 0;
    for (int a = 0; a < sh; a++)
        for (int b = 0; b < sw; b++) sum += grad_output[(row * sh + a) * W * sw + column * sw + b];
    return sum;
}
template <typename T>
__global__ void upsample_forward_1_naive(const T* x, T* y, int planes, int H, int W, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < planes * H * sh * W * sw) y[i] = original(x, i, W, sh, sw);
}
template <typename T>
__global__ void upsample_backward_1_naive(const T* grad_output, T* grad_input, int planes, int H, int W, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < planes * H * W) grad_input[i] = sum_of_copies(grad_output, i, W, sh, sw);
}

// The numbers that become one pack of copies in each row.
template <typename T> using Half = Pack<T, Pack<T>::size / 2>;

template <typename T> __device__ bool in_packs(const T* small, const T* large, int W, int sw) {
    return sw == 2 && W % Half<T>::size == 0 && is_aligned(small, sizeof(Half<T>)) && is_aligned(large);
}
// Where the copies of the i-th number begin; those in the next rows are a multiple of 2 W further on.
__device__ int first_copy(int i, int W, int sh) {
    int row = i / W;
    return row * sh * 2 * W + (i - row * W) * 2;
}
template <typename T>
__global__ void upsample_forward_2_vectorised(const T* x, T* y, int planes, int H, int W, int sh, int sw) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x, n = planes * H * W;
    if (!in_packs(x, y, W, sw)) {
        for (int i = thread; i < n * sh * sw; i += threads) y[i] = original(x, i, W, sh, sw);
        return;
    }
    for (int i = thread * Half<T>::size; i < n; i += threads * Half<T>::size) {
        Half<T> half = load_pack<Half<T>>(x + i);
        Pack<T> twice;
        for (int k = 0; k < Pack<T>::size; k++) twice.v[k] = half.v[k / 2];
        T* copies = y + first_copy(i, W, sh);
        for (int a = 0; a < sh; a++) store_pack(copies + a * 2 * W, twice);
    }
}
template <typename T>
__global__ void upsample_backward_2_vectorised(const T* grad_output, T* grad_input, int planes, int H, int W, int sh,
                                               int sw) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x, n = planes * H * W;
    if (!in_packs(grad_input, grad_output, W, sw)) {
        for (int i = thread; i < n; i += threads) grad_input[i] = sum_of_copies(grad_output, i, W, sh, sw);
        return;
    }
    for (int i = thread * Half<T>::size; i < n; i += threads * Half<T>::size) {
        const T* copies = grad_output + first_copy(i, W, sh);
        Half<T> sum = {};
        for (int a = 0; a < sh; a++) {
            Pack<T> pack = load_pack<Pack<T>>(copies + a * 2 * W);
            for (int k = 0; k < Pack<T>::size; k++) sum.v[k / 2] += pack.v[k];
        }
        store_pack(grad_input + i, sum);
    }
}
