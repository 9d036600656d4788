// Optimiser steps, in place, bound by memory traffic. Adam loads four and stores three numbers per entry, each once; of a
// small network, what costs is the number of launches.
//   1 naive       one thread per entry.
//   2 vectorised  of the launches for all parameters: 16 bytes of each array per thread. A quarter of the instructions
//                 (float) asks for the same bytes, and of the blocks, each of which computes two powers and looks at the
//                 pull. The entries behind the last pack, and all where an array does not begin at a multiple of 16
//                 bytes, are moved one by one. Bit for bit the numbers of rung 1: the formula stands once.
// The operations:
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
#include "pack.h"
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
// A thread's N numbers of an array of n, from i on: a pack, where that is allowed and all of them are there.
template <int N, typename T> __device__ Pack<T, N> load_some(const T* x, int i, int n, bool packed) {
    if (packed && i + N <= n) return load_pack<Pack<T, N>>(x + i);
    Pack<T, N> some = {};
    for (int k = 0; k < N; k++)
        if (i + k < n) some.v[k] = x[i + k];
    return some;
}
template <int N, typename T> __device__ void store_some(T* x, Pack<T, N> some, int i, int n, bool packed) {
    if (packed && i + N <= n) return store_pack(x + i, some);
    for (int k = 0; k < N; k++)
        if (i + k < n) x[i + k] = some.v[k];
}
// N entries per thread.   pull: what the loss pulls at, n_pull numbers; 0: it surely does.
template <int N, typename T>
__device__ void adam_flat(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                          const double* learning_rate, const int* before, int* done, double beta1, double beta2,
                          double epsilon, double weight_decay, int decayed, int n_pull, int n) {
    __shared__ double corrections[2];
    int thread = blockIdx.x * blockDim.x + threadIdx.x, i = N * thread, t = *before + 1;
    if (threadIdx.x < 2) corrections[threadIdx.x] = 1 - pow(threadIdx.x ? beta2 : beta1, double(t));
    if (thread == 0) *done = t;
    constexpr int bytes = N * sizeof(T);
    bool packed = is_aligned(params, bytes) && is_aligned(grads, bytes) && is_aligned(first_moments, bytes) &&
                  is_aligned(second_moments, bytes);
    auto w = load_some<N>(params, i, n, packed), g = load_some<N>(grads, i, n, packed);
    auto m = load_some<N>(first_moments, i, n, packed), v = load_some<N>(second_moments, i, n, packed);
    bool pulls = n_pull == 0 || any_nonzero(pull, n_pull);  // the loads are under way while the block meets
    __syncthreads();
    T b1 = T(beta1), b2 = T(beta2), rate = T(*learning_rate);
    for (int k = 0; k < N; k++) {
        g.v[k] += (i + k < decayed && pulls ? T(weight_decay) : T(0)) * w.v[k];
        m.v[k] = b1 * m.v[k] + (T(1) - b1) * g.v[k];
        v.v[k] = b2 * v.v[k] + (T(1) - b2) * g.v[k] * g.v[k];
        w.v[k] -= rate * (m.v[k] / T(corrections[0])) / (sqrt(v.v[k] / T(corrections[1])) + T(epsilon));
    }
    store_some(first_moments, m, i, n, packed);
    store_some(second_moments, v, i, n, packed);
    store_some(params, w, i, n, packed);
}
template <typename T>
__global__ void adam_update_flat_1_naive(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                                         const double* learning_rate, const int* before, int* done, double beta1,
                                         double beta2, double epsilon, double weight_decay, int decayed, int n_pull,
                                         int n) {
    adam_flat<1>(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1, beta2, epsilon,
                 weight_decay, decayed, n_pull, n);
}
template <typename T>
__global__ void adam_update_flat_2_vectorised(T* params, const T* grads, T* first_moments, T* second_moments,
                                              const T* pull, const double* learning_rate, const int* before, int* done,
                                              double beta1, double beta2, double epsilon, double weight_decay,
                                              int decayed, int n_pull, int n) {
    adam_flat<Pack<T>::size>(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1,
                             beta2, epsilon, weight_decay, decayed, n_pull, n);
}
// b = before - first_step, the number of the batch within the epoch:
// value_log[b] = value,  sample_log[b * batch_size + j] = samples[j],  j < rows
template <typename T>
__device__ void log_step(const int* before, const int* first_step, const double* value, const T* samples,
                         double* value_log, T* sample_log, int batch_size, int rows) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, b = *before - *first_step;
    if (i == 0) value_log[b] = *value;
    if (i < rows) sample_log[b * batch_size + i] = samples[i];
}
template <typename T>
__global__ void adam_update_log_1_naive(T* params, const T* grads, T* first_moments, T* second_moments, const T* pull,
                                        const double* learning_rate, const int* before, int* done, double beta1,
                                        double beta2, double epsilon, double weight_decay, int decayed, int n_pull, int n,
                                        const int* first_step, const double* value, const T* samples, double* value_log,
                                        T* sample_log, int batch_size, int rows) {
    log_step(before, first_step, value, samples, value_log, sample_log, batch_size, rows);
    adam_flat<1>(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1, beta2, epsilon,
                 weight_decay, decayed, n_pull, n);
}
template <typename T>
__global__ void adam_update_log_2_vectorised(T* params, const T* grads, T* first_moments, T* second_moments,
                                             const T* pull, const double* learning_rate, const int* before, int* done,
                                             double beta1, double beta2, double epsilon, double weight_decay, int decayed,
                                             int n_pull, int n, const int* first_step, const double* value,
                                             const T* samples, double* value_log, T* sample_log, int batch_size,
                                             int rows) {
    log_step(before, first_step, value, samples, value_log, sample_log, batch_size, rows);
    adam_flat<Pack<T>::size>(params, grads, first_moments, second_moments, pull, learning_rate, before, done, beta1,
                             beta2, epsilon, weight_decay, decayed, n_pull, n);
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
