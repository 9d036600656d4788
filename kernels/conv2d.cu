// Convolution and its two gradients, any kernel size, stride and padding; arrays are contiguous (N, C, H, W).
//   1 naive   one thread per entry of the result, which gathers its whole sum: no atomics, no shared memory.
//             Global loads per output: 2 C kh kw (forward), about 2 K kh kw / (sh sw) (input), 2 N P Q (weight).
// (H, W): input, (P, Q): output, (sh, sw): stride, (ph, pw): padding. minisvdd/ops/conv2d.py derives the formulas.

template <typename T>
__global__ void conv2d_forward_1_naive(const T* x, const T* weight, T* y, int N, int C, int H, int W, int K, int P, int Q,
                                       int kh, int kw, int sh, int sw, int ph, int pw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= N * K * P * Q) return;
    int q = i % Q, p = i / Q % P, k = i / (Q * P) % K, n = i / (Q * P * K);
    T sum = 0;
    for (int c = 0; c < C; c++)
        for (int a = 0; a < kh; a++)
            for (int b = 0; b < kw; b++) {
                int u = sh * p + a - ph, v = sw * q + b - pw;
                if (u >= 0 && u < H && v >= 0 && v < W)
                    sum += weight[((k * C + c) * kh + a) * kw + b] * x[((n * C + c) * H + u) * W + v];
            }
    y[i] = sum;
}

template <typename T>
__global__ void conv2d_backward_input_1_naive(const T* grad_output, const T* weight, T* grad_input, int N, int C, int H,
                                              int W, int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= N * C * H * W) return;
    int v = i % W, u = i / W % H, c = i / (W * H) % C, n = i / (W * H * C);
    T sum = 0;
    for (int a = 0; a < kh; a++)
        for (int b = 0; b < kw; b++) {
            int row = u + ph - a, column = v + pw - b;  // the output that meets this entry under tap (a, b), times stride
            if (row < 0 || column < 0 || row % sh || column % sw || row / sh >= P || column / sw >= Q) continue;
            for (int k = 0; k < K; k++)
                sum += weight[((k * C + c) * kh + a) * kw + b] *
                       grad_output[((n * K + k) * P + row / sh) * Q + column / sw];
        }
    grad_input[i] = sum;
}

template <typename T>
__global__ void conv2d_backward_weight_1_naive(const T* grad_output, const T* x, T* grad_weight, int N, int C, int H, int W,
                                               int K, int P, int Q, int kh, int kw, int sh, int sw, int ph, int pw) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= K * C * kh * kw) return;
    int b = i % kw, a = i / kw % kh, c = i / (kw * kh) % C, k = i / (kw * kh * C);
    T sum = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < Q; q++) {
                int u = sh * p + a - ph, v = sw * q + b - pw;
                if (u >= 0 && u < H && v >= 0 && v < W)
                    sum += grad_output[((n * K + k) * P + p) * Q + q] * x[((n * C + c) * H + u) * W + v];
            }
    grad_weight[i] = sum;
}
