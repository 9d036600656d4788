// Optimiser steps, in place: one thread per entry, bound by memory traffic. Adam loads four and stores three numbers per
// entry, each once; what costs is the number of launches.
//   adam_update       one parameter array per launch; step and learning rate come from the host. The reference.
//   adam_update_flat  all parameters of a network in one launch: they lie one behind the other, and so do gradients and
//                     moments. The first `decayed` entries belong to weight matrices, the others have no weight decay.
//                     What changes from step to step lies on the device, so that a captured graph can be launched again
//                     and again: learning rate, count of steps, and whether weights decay, which every block sees for
//                     itself from what the loss pulls at.
//   adam_update_log   the same, and what the step leaves for the host to read. The last launch of a captured step.
// A kernel must not change what its own other blocks may still read. So the steps are counted twice: `before`, those done
// before this step, is what Adam reads, and `done` what it writes. The first kernel of the next step (steps.cu) does the
// opposite.
// correction1 = 1 - beta1^t and correction2 = 1 - beta2^t are the same for all entries: the host computes them for
// adam_update, two threads of each block for the others.
#include "reduce.h"

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

// Whether any of n numbers is not 0, the same answer in every thread of the block. It asks for 8 per thread at once, and
// mostly these few are enough.
template <typename T> __device__ bool any_nonzero(const T* x, int n) {
    constexpr int each = 8;
    __shared__ int votes[32];
    bool found = false;
    for (int base = 0; base < n && !found; base += each * blockDim.x) {
        T seen[each];
        for (int k = 0; k < each; k++) {
            int i = base + k * blockDim.x + threadIdx.x;
            seen[k] = i < n ? x[i] : T(0);
        }
        int mine = 0;
        for (int k = 0; k < each; k++) mine += seen[k] != T(0);
        found = block_total(mine, votes) > 0;
        __syncthreads();  // before somebody votes again
    }
    return found;
}
// pull: what the loss pulls at, n_pull numbers; 0: it surely does.
template <typename T>
__device__ void adam_flat(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                          const double* learning_rate, const int* before, int* done, double beta1, double beta2,
                          double epsilon, double weight_decay, int decayed, int n_pull, int n) {
    __shared__ double corrections[2];
    int i = blockIdx.x * blockDim.x + threadIdx.x, t = *before + 1;
    if (threadIdx.x < 2) corrections[threadIdx.x] = 1 - pow(threadIdx.x ? beta2 : beta1, double(t));
    if (i == 0) *done = t;
    T w = 0, g = 0, m = 0, v = 0;
    if (i < n) w = params[i], g = grads[i], m = first_moments[i], v = second_moments[i];  // under way while the block meets
    bool pulls = n_pull == 0 || any_nonzero(pull, n_pull);
    __syncthreads();
    if (i >= n) return;
    T b1 = T(beta1), b2 = T(beta2);
    g += (i < decayed && pulls ? T(weight_decay) : T(0)) * w;
    first_moments[i] = m = b1 * m + (T(1) - b1) * g;
    second_moments[i] = v = b2 * v + (T(1) - b2) * g * g;
    params[i] = w - T(*learning_rate) * (m / T(corrections[0])) / (sqrt(v / T(corrections[1])) + T(epsilon));
}
template <typename T>
__global__ void adam_update_flat_1_naive(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                                         const double* learning_rate, const int* before, int* done, double beta1,
                                         double beta2, double epsilon, double weight_decay, int decayed, int n_pull,
                                         int n) {
    adam_flat(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1, beta2, epsilon,
              weight_decay, decayed, n_pull, n);
}
// b = before - first_step, the number of the batch within the epoch:
// value_log[b] = value,  sample_log[b * batch_size + j] = samples[j],  j < rows
template <typename T>
__global__ void adam_update_log_1_naive(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                                        const double* learning_rate, const int* before, int* done, double beta1,
                                        double beta2, double epsilon, double weight_decay, int decayed, int n_pull, int n,
                                        const int* first_step, const double* value, const T* samples, double* value_log,
                                        T* sample_log, int batch_size, int rows) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, b = *before - *first_step;
    if (i == 0) value_log[b] = *value;
    if (i < rows) sample_log[b * batch_size + i] = samples[i];
    adam_flat(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1, beta2, epsilon,
              weight_decay, decayed, n_pull, n);
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
