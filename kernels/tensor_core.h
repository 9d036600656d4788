// Products of float32 numbers by tensor cores, which multiply shorter ones (ptx.h).
//
// TF32 keeps 11 of float32's 24 significant bits. So v = big + rest, and of the four products of a b
//
//     a b = big_a big_b + big_a rest_b + rest_a big_b + rest_a rest_b
//
// the last is as small as float32's own rounding and is left out. Three ways to make the others:
//   TF32       the first only: relative error 3e-4
//   TF32x3     three instructions
//   CORRECTED  the two small products need few of their bits, so bfloat16 will do, 8 significant bits and twice as deep:
//              (big_a, rest_a) times (rest_b, big_b) is both in one instruction. Two instructions' time for float32's
//              accuracy but for the last bit or two.
#pragma once
#include "ptx.h"

enum Precision { TF32, TF32x3, CORRECTED };
enum Side { LEFT, RIGHT };  // of the product

// A number, or two neighbours of a bfloat16 operand, in the registers of one lane.
struct Split {
    unsigned big, rest;
};
// The nearest number of 11 bits: half of the last one is added, and what follows is dropped. (to_tf32 does that for NaN
// and near infinity too, in twice as many instructions; with a rest, NaN survives in that.) The rest is exact.
template <Precision precision, Side side> __device__ __forceinline__ Split split(float v) {
    if (precision == TF32) return {to_tf32(v), 0};
    unsigned big = (__float_as_uint(v) + 0x1000) & 0xffffe000;
    float rest = v - __uint_as_float(big);
    if (precision == TF32x3) return {big, __float_as_uint(rest)};
    return {big, side == LEFT ? pack_bfloat16(__uint_as_float(big), rest) : pack_bfloat16(rest, __uint_as_float(big))};
}

// A lane's part of A: rows g and g + 8, each at two depths.
struct Left {
    unsigned big[4], rest[4];
};
template <Precision precision> __device__ __forceinline__ Left split_left(float v0, float v1, float v2, float v3) {
    float v[4] = {v0, v1, v2, v3};
    Left a;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        Split s = split<precision, LEFT>(v[i]);
        a.big[i] = s.big, a.rest[i] = s.rest;
    }
    return a;
}
// c += A B, the small products first. That a bfloat16 register holds two neighbouring depths, where a TF32 register
// holds one, moves nothing between lanes: here both are of the same number, and the order of depths is free.
template <Precision precision>
__device__ __forceinline__ void multiply_add(float (&c)[4], const Left& a, Split b0, Split b1) {
    if (precision == TF32x3) {
        multiply_tf32(c, a.big, b0.rest, b1.rest);
        multiply_tf32(c, a.rest, b0.big, b1.big);
    }
    if (precision == CORRECTED) multiply_bfloat16(c, a.rest, b0.rest, b1.rest);
    multiply_tf32(c, a.big, b0.big, b1.big);
}

// A tensor core cuts its sums off where an addition would round: hundreds of them into the same number lose 1e-5 of it.
// So it sums only a few products, from zero, and this adds them to the others.
template <int n, int m> __device__ __forceinline__ void add(float (&sum)[n][m][4], const float (&fresh)[n][m][4]) {
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int j = 0; j < m; j++)
#pragma unroll
            for (int r = 0; r < 4; r++) sum[i][j][r] += fresh[i][j][r];
}
