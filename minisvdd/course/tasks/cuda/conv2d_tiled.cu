// Model solution of the assignment conv2d-tiled. Comments that begin with a colon are the steps of level guided.

template <typename T>
__global__ void conv2d_tiled(const T* x, const T* weight, T* y, int C, int H, int W, int K, int kh, int kw) {
    int i = threadIdx.y, j = threadIdx.x, top = 16 * blockIdx.y, left = 16 * blockIdx.x;
    int n = blockIdx.z / K, k = blockIdx.z % K, P = H - kh + 1, Q = W - kw + 1;
    //: shared memory for the largest tile of one channel, with its halo, and for the filter's taps. How long is a row?
    __shared__ T tile[22][48];
    __shared__ T taps[49];
    T sum = 0;
    //: for each channel
    for (int c = 0; c < C; c++) {
        //: load the tile together, 16 x 16 entries at a time; beyond the image there is nothing
        for (int u = i; u < 15 + kh; u += 16)
            for (int v = j; v < 15 + kw; v += 16)
                if (top + u < H && left + v < W) tile[u][v] = x[((n * C + c) * H + top + u) * W + left + v];
        //: load the taps, one by each of the first threads
        int tap = 16 * i + j;
        if (tap < kh * kw) taps[tap] = weight[(k * C + c) * kh * kw + tap];
        //: wait until all have loaded
        __syncthreads();
        //: every thread of the block adds up its window of the tile, if it has an output
        if (top + i < P && left + j < Q)
            for (int a = 0; a < kh; a++)
                for (int b = 0; b < kw; b++) sum += taps[a * kw + b] * tile[i + a][j + b];
        //: wait until all have read, before the next channel takes the place
        __syncthreads();
    }
    //: write the sum, once
    if (top + i < P && left + j < Q) y[((n * K + k) * P + top + i) * Q + left + j] = sum;
}
