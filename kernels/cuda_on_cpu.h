// Lets a C++17 compiler build an unmodified CUDA kernel file: include this first, then the .cu file.
//
// Every CUDA thread of a block becomes a fiber (cuda_on_cpu_runtime.h). A fiber runs until it meets a barrier or a warp
// operation, where it waits for the threads it must meet; blocks run one after the other. Loads and stores are
// reported to the runtime by the compiler itself (-fsanitize=thread, whose own library is not linked).
//
// Dynamic shared memory is declared as on the GPU, always under this name:  extern __shared__ T dynamic_shared[];
// The instructions that kernels take from ptx.h are in cuda_on_cpu_ptx.h.
// Not emulated: textures, cooperative groups, half precision, dynamic parallelism.
#pragma once
#define CUDA_ON_CPU
#include <stdint.h>
#include <string.h>

#include <utility>

#undef _GLIBCXX_USE_STD_SPEC_FUNCS  // Bessel functions and their like: half the time that the headers take to compile
#include <math.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ thread_local  // the runtime finds all shared arrays together, as the library's thread-local segment
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define EMULATED __attribute__((no_sanitize_thread, noinline))  // the runtime's own accesses are not the kernel's

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace emulator {
enum class Access { read, write, atomic };
struct Place {  // of a call in the kernel's source
    const char* file;
    int line;
};
#define HERE emulator::Place{__FILE__, __LINE__}
struct Registers {  // what a lane can hand in to a warp operation
    uint32_t word[6];
};
void block_barrier(Place place);
// Every lane of `mask` hands in its registers and waits for the others; returns what all 32 lanes handed in, which stays
// until the lane's next meeting.
const Registers* warp_meeting(unsigned mask, const Registers& own, Place place, bool orders_memory = false);
void report_access(const void* address, unsigned bytes, Access kind, void* code);
[[noreturn]] void bad_source_lane(int source, Place place);
int lane();
int print(const char* format, ...);

// A shuffle: the value of lane `source`, or one's own where the source lies outside the segment of `width` lanes.
template <class T> EMULATED T shuffle(unsigned mask, T value, int source, int width, Place place) {
    Registers own;
    memcpy(&own, &value, sizeof value);
    int first = lane() & ~(width - 1);
    if (source < first || source >= first + width) source = lane();
    const Registers* all = warp_meeting(mask, own, place);
    if (!(mask >> source & 1)) bad_source_lane(source, place);
    memcpy(&value, &all[source], sizeof value);
    return value;
}
template <class T> T shuffle_to(Place place, unsigned mask, T v, int source, int width = 32) {
    return shuffle(mask, v, (lane() & ~(width - 1)) + (source & (width - 1)), width, place);
}
template <class T> T shuffle_down(Place place, unsigned mask, T v, int delta, int width = 32) {
    return shuffle(mask, v, lane() + delta, width, place);
}
template <class T> T shuffle_up(Place place, unsigned mask, T v, int delta, int width = 32) {
    return shuffle(mask, v, lane() - delta, width, place);
}
template <class T> T shuffle_xor(Place place, unsigned mask, T v, int bits, int width = 32) {
    return shuffle(mask, v, lane() ^ bits, width, place);
}
EMULATED inline unsigned ballot(Place place, unsigned mask, int predicate) {
    const Registers* all = warp_meeting(mask, {{predicate != 0}}, place);
    unsigned votes = 0;
    for (int i = 0; i < 32; i++) if (mask >> i & 1) votes |= (all[i].word[0] & 1) << i;
    return votes;
}
struct WarpBarrier {  // an object, so that __syncwarp() may be called with and without a mask
    Place place;
    void operator()(unsigned mask = 0xffffffffu) const { warp_meeting(mask, {}, place, true); }
};

template <class To, class From> To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To result;
    memcpy(&result, &value, sizeof value);
    return result;
}

// Atomics need no lock here, since one fiber runs at a time; the checker must know that they are atomic.
template <class T, class Update> EMULATED T atomic(T* address, void* code, Update update) {
    report_access(address, sizeof(T), Access::atomic, code);
    T old = *address;
    *address = update(old);
    return old;
}

template <class... A, size_t... I> EMULATED void call(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(values[I])...);
}
template <class... A> EMULATED void call(void (*kernel)(A...), void** values) {
    call(kernel, values, std::index_sequence_for<A...>());
}
}  // namespace emulator

// An entry point for Python; `values` points to the arguments, whose types come from the kernel itself.
#define EMULATOR_EXPORT(symbol, ...) \
    extern "C" EMULATED __attribute__((visibility("default"))) void symbol(void** values) { emulator::call(&__VA_ARGS__, values); }

#define __syncthreads() emulator::block_barrier(HERE)
#define __syncwarp(...) emulator::WarpBarrier{HERE}(__VA_ARGS__)
#define __shfl_sync(...) emulator::shuffle_to(HERE, __VA_ARGS__)
#define __shfl_down_sync(...) emulator::shuffle_down(HERE, __VA_ARGS__)
#define __shfl_up_sync(...) emulator::shuffle_up(HERE, __VA_ARGS__)
#define __shfl_xor_sync(...) emulator::shuffle_xor(HERE, __VA_ARGS__)
#define __ballot_sync(mask, p) emulator::ballot(HERE, mask, p)
#define __any_sync(mask, p) (emulator::ballot(HERE, mask, p) != 0)
#define __all_sync(mask, p) (emulator::ballot(HERE, mask, !(p)) == 0)
#define printf(...) emulator::print(__VA_ARGS__)
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T> EMULATED T atomicAdd(T* p, T v) {
    return emulator::atomic(p, __builtin_return_address(0), [=](T old) { return T(old + v); });
}
template <class T> EMULATED T atomicMax(T* p, T v) {
    return emulator::atomic(p, __builtin_return_address(0), [=](T old) { return old > v ? old : v; });
}
template <class T> EMULATED T atomicMin(T* p, T v) {
    return emulator::atomic(p, __builtin_return_address(0), [=](T old) { return old < v ? old : v; });
}
template <class T> EMULATED T atomicExch(T* p, T v) {
    return emulator::atomic(p, __builtin_return_address(0), [=](T) { return v; });
}
template <class T> EMULATED T atomicCAS(T* p, T expected, T v) {
    return emulator::atomic(p, __builtin_return_address(0), [=](T old) { return old == expected ? v : old; });
}

template <class T> inline T __ldg(const T* p) { return *p; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __uint_as_float(unsigned bits) { return emulator::bits_as<float>(bits); }
inline unsigned __float_as_uint(float value) { return emulator::bits_as<unsigned>(value); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#include "cuda_on_cpu_ptx.h"
