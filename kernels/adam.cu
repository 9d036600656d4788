// Optimiser steps, in place, one parameter array per launch: one thread per entry, bound by memory traffic.
//   1 naive   Adam loads four and stores three numbers per entry, each once.
// correction1 = 1 - beta1^t and correction2 = 1 - beta2^t are the same for all entries: the host computes them.

template <typename T>
__global__ void adam_update_1_naive(T* param, const T* grad, T* first_moment, T* second_moment, T learning_rate, T beta1,
                                    T beta2, T epsilon, T weight_decay, T correction1, T correction2, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T g = grad[i] + weight_decay * param[i];
    T m = beta1 * first_moment[i] + (T(1) - beta1) * g, v = beta2 * second_moment[i] + (T(1) - beta2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    param[i] -= learning_rate * (m / correction1) / (sqrt(v / correction2) + epsilon);
}
template <typename T>
__global__ void sgd_update_1_naive(T* param, const T* grad, T* velocity, T learning_rate, T momentum, T weight_decay,
                                   int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T u = momentum * velocity[i] + grad[i] + weight_decay * param[i];
    velocity[i] = u;
    param[i] -= learning_rate * u;
}
