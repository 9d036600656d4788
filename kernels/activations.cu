// Activations, elementwise, bound by memory traffic: a load (backward two) and a store per number.
//   1 naive       one thread per number: neighbouring threads touch neighbours, every transaction is full.
//   2 vectorised  16 bytes per load and store: a quarter of the instructions (float), the same bytes. Where an array
//                 does not begin at a multiple of 16 bytes it works like rung 1.
// x_forward: y from x.  x_backward: dL/dx from G = dL/dy and what the layer kept.
#include "pack.h"

template <typename T> __device__ T leaky(T x, T slope) { return x > T(0) ? x : slope * x; }
template <typename T> __device__ T leaky_gradient(T g, bool positive, T slope) { return positive ? g : slope * g; }
template <typename T> __device__ T sigmoid(T x) { return T(0.5) * (T(1) + tanh(T(0.5) * x)); }  // no exp that overflows
template <typename T> __device__ T sigmoid_gradient(T g, T y) { return g * y * (T(1) - y); }
template <typename T> __device__ T tanh_gradient(T g, T y) { return g * (T(1) - y * y); }

template <typename T> __global__ void leaky_relu_forward_1_naive(const T* x, T* y, T slope, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = leaky(x[i], slope);
}
template <typename T> __global__ void leaky_relu_forward_2_vectorised(const T* x, T* y, T slope, int n) {
    map(x, y, n, [=](T v) { return leaky(v, slope); });
}
template <typename T>
__global__ void leaky_relu_backward_1_naive(const T* grad_output, const bool* positive, T* grad_input, T slope, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = leaky_gradient(grad_output[i], positive[i], slope);
}
template <typename T>
__global__ void leaky_relu_backward_2_vectorised(const T* grad_output, const bool* positive, T* grad_input, T slope,
                                                 int n) {
    map(grad_output, positive, grad_input, n, [=](T g, bool p) { return leaky_gradient(g, p, slope); });
}
template <typename T> __global__ void sigmoid_forward_1_naive(const T* x, T* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = sigmoid(x[i]);
}
template <typename T> __global__ void sigmoid_forward_2_vectorised(const T* x, T* y, int n) {
    map(x, y, n, [](T v) { return sigmoid(v); });
}
template <typename T> __global__ void sigmoid_backward_1_naive(const T* grad_output, const T* y, T* grad_input, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = sigmoid_gradient(grad_output[i], y[i]);
}
template <typename T>
__global__ void sigmoid_backward_2_vectorised(const T* grad_output, const T* y, T* grad_input, int n) {
    map(grad_output, y, grad_input, n, [](T g, T v) { return sigmoid_gradient(g, v); });
}
template <typename T> __global__ void tanh_forward_1_naive(const T* x, T* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = tanh(x[i]);
}
template <typename T> __global__ void tanh_forward_2_vectorised(const T* x, T* y, int n) {
    map(x, y, n, [](T v) { return tanh(v); });
}
template <typename T> __global__ void tanh_backward_1_naive(const T* grad_output, const T* y, T* grad_input, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) grad_input[i] = tanh_gradient(grad_output[i], y[i]);
}
template <typename T>
__global__ void tanh_backward_2_vectorised(const T* grad_output, const T* y, T* grad_input, int n) {
    map(grad_output, y, grad_input, n, [](T g, T v) { return tanh_gradient(g, v); });
}
template <typename T> __global__ void is_positive_1_naive(const T* x, bool* positive, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) positive[i] = x[i] > T(0);
}
