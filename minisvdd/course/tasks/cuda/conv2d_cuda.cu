// Model solution of the assignment conv2d-cuda: one thread per entry of the result. Only the bodies are taken from here;
// the kernels' heads are those of kernels/conv2d.cu.

template <typename T>
__global__ void conv2d_forward() {
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
__global__ void conv2d_backward_weight() {
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

template <typename T>
__global__ void conv2d_backward_input() {
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
