// 16 bytes at once: a GPU thread loads them with one instruction, and a warp then fills whole transactions.
#pragma once

template <typename T, int N = 16 / sizeof(T)> struct alignas(N * sizeof(T)) Pack {
    static_assert(N > 0 && N * sizeof(T) <= 16, "a thread loads at most 16 bytes with one instruction");
    static constexpr int size = N;
    T v[N];
};

// Only an address that is a multiple of the pack's size may be read as a pack; a view into an array may begin anywhere.
template <typename T> __device__ bool is_aligned(const T* address, int bytes = 16) {
    return reinterpret_cast<unsigned long long>(address) % bytes == 0;
}
template <typename P, typename T> __device__ P load_pack(const T* address) {
    static_assert(sizeof(P) == P::size * sizeof(T), "the pack must hold numbers of the array's type");
    return *reinterpret_cast<const P*>(address);
}
template <typename P, typename T> __device__ void store_pack(T* address, P pack) {
    static_assert(sizeof(P) == P::size * sizeof(T), "the pack must hold numbers of the array's type");
    *reinterpret_cast<P*>(address) = pack;
}

// Elementwise work on n numbers, whatever the grid: many(i) for the pack that begins at i, one(i) for each number that
// is in no pack: the rest, or all of them where the arrays do not allow packs.
template <typename T, typename One, typename Many> __device__ void for_packs(int n, bool packed, One one, Many many) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    int packs = packed ? n / Pack<T>::size : 0;
    for (int i = thread; i < packs; i += threads) many(i * Pack<T>::size);
    for (int i = packs * Pack<T>::size + thread; i < n; i += threads) one(i);
}
// y[i] = f(a[i])
template <typename T, typename F> __device__ void map(const T* a, T* y, int n, F f) {
    for_packs<T>(
        n, is_aligned(a) && is_aligned(y), [=](int i) { y[i] = f(a[i]); },
        [=](int i) {
            Pack<T> pack = load_pack<Pack<T>>(a + i);
            for (int k = 0; k < Pack<T>::size; k++) pack.v[k] = f(pack.v[k]);
            store_pack(y + i, pack);
        });
}
// y[i] = f(a[i], b[i]); b may hold smaller items, such as booleans
template <typename T, typename B, typename F> __device__ void map(const T* a, const B* b, T* y, int n, F f) {
    using PackB = Pack<B, Pack<T>::size>;
    for_packs<T>(
        n, is_aligned(a) && is_aligned(b, sizeof(PackB)) && is_aligned(y), [=](int i) { y[i] = f(a[i], b[i]); },
        [=](int i) {
            Pack<T> pack = load_pack<Pack<T>>(a + i);
            PackB other = load_pack<PackB>(b + i);
            for (int k = 0; k < Pack<T>::size; k++) pack.v[k] = f(pack.v[k], other.v[k]);
            store_pack(y + i, pack);
        });
}
