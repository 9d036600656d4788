// Instructions that CUDA C++ has no name for, as functions. The emulator has its own (cuda_on_cpu_ptx.h).
//
// A tensor core multiplies two small matrices at once: C (16 x 8) += A (16 x depth) B (depth x 8). A whole warp calls
// together, and the matrices lie spread over its registers. Lane 4 g + t (g = 0 ... 7, t = 0 ... 3) holds, at depth 8,
//
//     A:  a[0] = A(g, t)    a[1] = A(g + 8, t)    a[2] = A(g, t + 4)    a[3] = A(g + 8, t + 4)
//     B:  b0 = B(t, g)      b1 = B(t + 4, g)
//     C:  c[0] = C(g, 2t)   c[1] = C(g, 2t + 1)   c[2] = C(g + 8, 2t)   c[3] = C(g + 8, 2t + 1)
//
// At depth 16 a register holds two bfloat16, at depths 2t and 2t + 1, or, for t + 4, at 2t + 8 and 2t + 9.
#pragma once
#ifndef CUDA_ON_CPU

// TF32, depth 8: float32 registers of which the lowest 13 bits are ignored. The sum is cut off, not rounded.
__device__ __forceinline__ void multiply_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// bfloat16, depth 16.
__device__ __forceinline__ void multiply_bfloat16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// The nearest TF32, away from zero where two are as near; NaN stays NaN.
__device__ __forceinline__ unsigned to_tf32(float value) {
    unsigned result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
    return result;
}
// Two numbers rounded to bfloat16, in one register: `first` in its low half.
__device__ __forceinline__ unsigned pack_bfloat16(float first, float second) {
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(second), "f"(first));
    return result;
}

// Copy 4, 8 or 16 bytes from global to shared memory, past the registers, while the thread goes on; both addresses must
// be multiples of that. Zeros where `inside` is false; `global` must point into an array all the same.
template <int bytes> __device__ __forceinline__ void copy_async(void* shared, const void* global, bool inside = true) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    int size = inside ? bytes : 0;
    if constexpr (bytes == 16)  // past the L1 cache as well
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(size) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(bytes), "r"(size) : "memory");
}
// The copies that the thread has started since the last call become a group.
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait for the thread's own groups but the last few. Other threads see what was copied behind the next barrier.
template <int groups_left = 0> __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
}

#endif
