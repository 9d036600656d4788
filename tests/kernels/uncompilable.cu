__global__ void misspelt(float* y) {
    y[threadIdx.x] = undeclared_name;
}
