// Nearest-neighbour up-sampling, contiguous (planes, H, W) to (planes, H sh, W sw).
//   1 naive   one thread per result; backward gathers the block of copies.

template <typename T>
__global__ void upsample_forward_1_naive(const T* x, T* y, int planes, int H, int W, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, Q = W * sw, P = H * sh;
    if (i < planes * P * Q) y[i] = x[(i / (Q * P) * H + i / Q % P / sh) * W + i % Q / sw];
}
template <typename T>
__global__ void upsample_backward_1_naive(const T* grad_output, T* grad_input, int planes, int H, int W, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * H * W) return;
    int v = i % W, u = i / W % H, plane = i / (W * H);
    T sum = 0;
    for (int a = 0; a < sh; a++)
        for (int b = 0; b < sw; b++) sum += grad_output[((plane * H + u) * sh + a) * W * sw + v * sw + b];
    grad_input[i] = sum;
}
