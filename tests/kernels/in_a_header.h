// A mistake that shows in a header is reported there.
#pragma once
__device__ inline void wait_for_all() {
    __syncthreads();  // MISTAKE early_return_in_a_header
}
