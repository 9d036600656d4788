// Optimiser steps, in place: one thread per entry, bound by memory traffic. Adam loads four and stores three numbers per
// entry, each once; what costs is the number of launches.
//   adam_update       one parameter array per launch; step and learning rate come from the host. The reference.
//   adam_update_flat  all parameters of a network in one launch: they lie one behind the other, and so do gradients and
//                     moments. The first `decayed` entries belong to weight matrices, the others have no weight decay.
//                     What changes from step to step lies on the device, so that a captured graph can be launched again
//                     and again: step, learning rate, and whether weights decay (1) or not (0).
// correction1 = 1 - beta1^t and correction2 = 1 - beta2^t are the same for all entries: the host computes them for
// adam_update, a launch of one thread for adam_update_flat.

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

// t = ++steps, corrections = (1 - beta1^t, 1 - beta2^t): powers are expensive, so one thread takes them for all entries.
__global__ void adam_count_step_1_naive(int* steps, double* corrections, double beta1, double beta2) {
    if (blockIdx.x + threadIdx.x) return;
    int t = *steps + 1;
    *steps = t;
    corrections[0] = 1 - pow(beta1, double(t));
    corrections[1] = 1 - pow(beta2, double(t));
}
template <typename T>
__global__ void adam_update_flat_1_naive(T* params, const T* grads, T* first_moments, T* second_moments,
                                         const double* learning_rate, const double* corrections, const double* decaying,
                                         double beta1, double beta2, double epsilon, double weight_decay, int decayed,
                                         int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T decay = i < decayed ? T(weight_decay) * T(*decaying) : T(0);
    T b1 = T(beta1), b2 = T(beta2), g = grads[i] + decay * params[i];
    T m = b1 * first_moments[i] + (T(1) - b1) * g, v = b2 * second_moments[i] + (T(1) - b2) * g * g;
    first_moments[i] = m;
    second_moments[i] = v;
    params[i] -= T(*learning_rate) * (m / T(corrections[0])) / (sqrt(v / T(corrections[1])) + T(epsilon));
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
