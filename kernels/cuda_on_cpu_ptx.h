// The emulator's twins of ptx.h: the same functions, so that a kernel never knows which of them it calls.
//
// Tensor cores are emulated with their errors. Operands in TF32 lose their low 13 bits. A sum is exact (in double) until
// it is stored, and then cut off to float, not rounded: which is what the hardware does, and why long sums drift.
#pragma once

namespace emulator {
void start_copy(void* to, const void* from, unsigned bytes, void* code);
void commit_copies();
void wait_for_copies(int groups_left);

inline float cut_off(double sum) {
    float nearest = float(sum);
    return fabs(double(nearest)) > fabs(sum) ? nextafterf(nearest, 0.0f) : nearest;
}
inline float first_bfloat16(uint32_t word) { return bits_as<float>(word << 16); }
inline float second_bfloat16(uint32_t word) { return bits_as<float>(word & 0xffff0000u); }
inline float tf32(uint32_t word) { return bits_as<float>(word & 0xffffe000u); }

// What a lane of m16n8k8 or m16n8k16 computes from the registers of all lanes (a: words 0 to 3, b: words 4 and 5). Lane
// 4 g + t owns rows g and g + 8 and columns 2 t and 2 t + 1 of the result. A lane's registers hold row g and g + 8 of A
// and column g of B, at depths that belong to t: `products` multiplies two registers that hold the same depths.
template <class Products>
EMULATED void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Place place, Products products) {
    const Registers* all = warp_meeting(0xffffffffu, {{a[0], a[1], a[2], a[3], b0, b1}}, place);
    int g = lane() / 4, t = lane() % 4;
    for (int i = 0; i < 4; i++) {
        int lower = i / 2, column = 2 * t + i % 2;
        double sum = c[i];
        for (int depth = 0; depth < 4; depth++) {
            const uint32_t* row = all[4 * g + depth].word;
            const uint32_t* other = all[4 * column + depth].word;
            sum += products(row[lower], other[4]) + products(row[2 + lower], other[5]);
        }
        c[i] = cut_off(sum);
    }
}
}  // namespace emulator

#define CALLER emulator::Place place = {__builtin_FILE(), __builtin_LINE()}  // as a default argument: who calls

EMULATED inline void multiply_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, CALLER) {
    using namespace emulator;
    multiply(c, a, b0, b1, place, [](uint32_t x, uint32_t y) { return double(tf32(x)) * tf32(y); });
}
EMULATED inline void multiply_bfloat16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, CALLER) {
    using namespace emulator;
    multiply(c, a, b0, b1, place, [](uint32_t x, uint32_t y) {
        return double(first_bfloat16(x)) * first_bfloat16(y) + double(second_bfloat16(x)) * second_bfloat16(y);
    });
}
inline uint32_t to_tf32(float value) {
    return isnan(value) ? 0x7fffffffu : __float_as_uint(value) + 0x1000u & 0xffffe000u;
}
inline uint32_t to_bfloat16(float value) {  // in the low half: to the nearest, to the even one of two
    uint32_t bits = __float_as_uint(value);
    return isnan(value) ? 0x7fffu : bits + 0x7fffu + (bits >> 16 & 1) >> 16;
}
inline uint32_t pack_bfloat16(float first, float second) { return to_bfloat16(first) | to_bfloat16(second) << 16; }

template <int bytes> EMULATED void copy_async(void* shared, const void* global, bool inside = true) {
    emulator::start_copy(shared, inside ? global : nullptr, bytes, __builtin_return_address(0));
}
inline void copies_commit() { emulator::commit_copies(); }
template <int groups_left = 0> void copies_wait() { emulator::wait_for_copies(groups_left); }
