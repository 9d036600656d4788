// Model solution of the assignment conv2d-cuda: one thread per entry of the result. Only the bodies are taken from here;
// the kernels' heads are those of kernels/conv2d.cu. Comments that begin with a colon are the steps of level guided.

template <typename T>
__global__ void conv2d_forward() {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= N * K * P * Q) return;
    int q = i % Q, p = i / Q % P, k = i / (Q * P) % K, n = i / (Q * P * K);
    //: for each channel and each tap (a, b): the row and column of x that the tap meets for output (p, q)
    T sum = 0;
    for (int c = 0; c < C; c++)
        for (int a = 0; a < kh; a++)
            for (int b = 0; b < kw; b++) {
                int u = sh * p + a - ph, v = sw * q + b - pw;
                //: in the border there are zeros: leave those taps out; else add weight times x
                if (u >= 0 && u < H && v >= 0 && v < W)
                    sum += weight[((k * C + c) * kh + a) * kw + b] * x[((n * C + c) * H + u) * W + v];
            }
    //: write the sum: one thread, one entry, one store
    y[i] = sum;
}

template <typename T>
__global__ void conv2d_backward_weight() {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= K * C * kh * kw) return;
    int b = i % kw, a = i / kw % kh, c = i / (kw * kh) % C, k = i / (kw * kh * C);
    //: for each sample and each output (p, q): the row and column of x that the tap (a, b) met there
    T sum = 0;
    for (int n = 0; n < N; n++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < Q; q++) {
                int u = sh * p + a - ph, v = sw * q + b - pw;
                //: where that lies inside: add grad_output times x
                if (u >= 0 && u < H && v >= 0 && v < W)
                    sum += grad_output[((n * K + k) * P + p) * Q + q] * x[((n * C + c) * H + u) * W + v];
            }
    //: write the sum
    grad_weight[i] = sum;
}

template <typename T>
__global__ void conv2d_backward_input() {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= N * C * H * W) return;
    int v = i % W, u = i / W % H, c = i / (W * H) % C, n = i / (W * H * C);
    //: for each tap (a, b): the row and column, times the stride, of the output that met this entry under it
    T sum = 0;
    for (int a = 0; a < kh; a++)
        for (int b = 0; b < kw; b++) {
            int row = u + ph - a, column = v + pw - b;
            //: leave out what is negative, no multiple of the stride, or beyond the last output
            if (row < 0 || column < 0 || row % sh || column % sw || row / sh >= P || column / sw >= Q) continue;
            //: else add, over the filters, weight times grad_output
            for (int k = 0; k < K; k++)
                sum += weight[((k * C + c) * kh + a) * kw + b] *
                       grad_output[((n * K + k) * P + row / sh) * Q + column / sw];
        }
    //: write the sum
    grad_input[i] = sum;
}
