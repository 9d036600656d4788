// Max-pooling with argmax, contiguous (N, C, H, W) to (N, C, P, Q).
//   1 naive   one thread per result. Backward gathers over the windows that cover an input entry: windows may overlap,
//             and a gather needs no atomics and gives the same sum in every run.

template <typename T>
__global__ void maxpool_forward_1_naive(const T* x, T* y, int* winner, int planes, int H, int W, int P, int Q, int kh,
                                        int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * P * Q) return;
    int q = i % Q, p = i / Q % P, plane = i / (Q * P), best = 0;
    const T* window = x + (plane * H + sh * p) * W + sw * q;
    for (int k = 1; k < kh * kw; k++)  // only a larger entry takes over: the first of equals wins
        if (window[k / kw * W + k % kw] > window[best / kw * W + best % kw]) best = k;
    y[i] = window[best / kw * W + best % kw];
    winner[i] = best;
}

template <typename T>
__global__ void maxpool_backward_1_naive(const T* grad_output, const int* winner, T* grad_input, int planes, int H, int W,
                                         int P, int Q, int kh, int kw, int sh, int sw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= planes * H * W) return;
    int v = i % W, u = i / W % H, plane = i / (W * H);
    T sum = 0;
    for (int p = max(0, (u - kh) / sh); p < P && sh * p <= u; p++)
        for (int q = max(0, (v - kw) / sw); q < Q && sw * q <= v; q++) {
            int a = u - sh * p, b = v - sw * q, o = (plane * P + p) * Q + q;
            if (a < kh && b < kw && winner[o] == a * kw + b) sum += grad_output[o];
        }
    grad_input[i] = sum;
}
