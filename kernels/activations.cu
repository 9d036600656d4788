// Activations, elementwise: one thread per entry. They are bound by memory traffic (one load, one store per entry), so
// the ladder has one rung:
//   1 naive   neighbouring threads touch neighbouring entries: every transaction is full.
// x_forward: y from x.  x_backward: dL/dx from G = dL/dy and what the layer kept.

template <typename T> __global__ void leaky_relu_forward_1_naive(const T* x, T* y, T slope, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > T(0) ? x[i] : slope * x[i];
}
template <typename T> __global__ void is_positive_1_naive(const T* x, bool* positive, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) positive[i] = x[i] > T(0);
}
template <typename T>
__global__ void leaky_relu_backward_1_naive(const T* grad_output, const bool* positive, T* grad_input, T slope, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = positive[i] ? grad_output[i] : slope * grad_output[i];
}
template <typename T> __global__ void sigmoid_forward_1_naive(const T* x, T* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = T(0.5) * (T(1) + tanh(T(0.5) * x[i]));  // no exponential that could overflow
}
template <typename T> __global__ void sigmoid_backward_1_naive(const T* grad_output, const T* y, T* grad_input, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = grad_output[i] * y[i] * (T(1) - y[i]);
}
template <typename T> __global__ void tanh_forward_1_naive(const T* x, T* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = tanh(x[i]);
}
template <typename T> __global__ void tanh_backward_1_naive(const T* grad_output, const T* y, T* grad_input, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = grad_output[i] * (T(1) - y[i] * y[i]);
}
