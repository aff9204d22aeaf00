// Vectors of the instruction set that this file is compiled for, and functions of them. All code is in a namespace named
// after the instruction set, so that the linker does not mix code for different ones.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace ITNET_ISA {

#if defined(__AVX512F__)
constexpr int64_t BYTES = 64, REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int64_t BYTES = 32, REGISTERS = 16;
#else
constexpr int64_t BYTES = 16, REGISTERS = 16;
#endif

template <class T> struct Simd;
template <> struct Simd<float> {
    typedef float type __attribute__((vector_size(BYTES)));
    typedef int32_t bits __attribute__((vector_size(BYTES)));
};
template <> struct Simd<double> {
    typedef double type __attribute__((vector_size(BYTES)));
    typedef int64_t bits __attribute__((vector_size(BYTES)));
};
template <class T> using Vec = typename Simd<T>::type;
template <class T> using Bits = typename Simd<T>::bits;
template <class T> constexpr int64_t WIDTH = BYTES / int64_t(sizeof(T));

#define INLINE inline __attribute__((always_inline))

template <class T> INLINE Vec<T> load(const T *from) {
    Vec<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
template <class T> INLINE void store(T *to, Vec<T> v) { std::memcpy(to, &v, sizeof v); }
// The compiler folds the subtraction of 0 (but not the addition, for -0): a broadcast from memory, without an operation.
template <class T> INLINE Vec<T> all(T x) { return x - Vec<T>{}; }
template <class T> INLINE T sum(Vec<T> v) {
    T total = 0;
    for (int64_t n = 0; n < WIDTH<T>; ++n) total += v[n];
    return total;
}

// A vector's lanes in chunks. `repeat`: a chunk at `from`, in every chunk. `across`: the sums of the chunks of CHUNK vectors; lane
// n of a chunk has that of vector n.
template <class T> constexpr int64_t CHUNK = WIDTH<T> < 4 ? WIDTH<T> : 4;
template <class T> INLINE Vec<T> repeat(const T *from) {
    static_assert(CHUNK<T> == WIDTH<T>, "one chunk");
    return load(from);
}
#if defined(__AVX512F__)
template <> INLINE Vec<float> repeat<float>(const float *from) { return _mm512_broadcast_f32x4(_mm_loadu_ps(from)); }
template <> INLINE Vec<double> repeat<double>(const double *from) { return _mm512_broadcast_f64x4(_mm256_loadu_pd(from)); }
#elif defined(__AVX2__)
template <> INLINE Vec<float> repeat<float>(const float *from) { return _mm256_broadcast_ps(reinterpret_cast<const __m128 *>(from)); }
#endif
// Of each chunk the lanes from `first`, in groups of `group` from a and from b in turn. `source_lane` is where a lane comes
// from; b's lanes follow those of a.
template <class T> constexpr int64_t source_lane(int64_t lane, int64_t first, int64_t group) {
    const int64_t in_chunk = lane % CHUNK<T>;
    return lane - in_chunk + first + in_chunk / (2 * group) * group + lane % group + lane / group % 2 * WIDTH<T>;
}
template <class T, int64_t first, int64_t group, int64_t... lane>
INLINE Vec<T> interleave(Vec<T> a, Vec<T> b, std::integer_sequence<int64_t, lane...>) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, source_lane<T>(lane, first, group)...);
#else
    return __builtin_shuffle(a, b, Bits<T>{source_lane<T>(lane, first, group)...});
#endif
}
template <class T, int64_t group> INLINE Vec<T> halves(Vec<T> a, Vec<T> b) {
    constexpr auto lanes = std::make_integer_sequence<int64_t, WIDTH<T>>{};
    return interleave<T, 0, group>(a, b, lanes) + interleave<T, CHUNK<T> / 2, group>(a, b, lanes);
}
template <class T> INLINE Vec<T> across(const Vec<T> *v) {
    if constexpr (CHUNK<T> == 2) return halves<T, 1>(v[0], v[1]);
    if constexpr (CHUNK<T> == 4) return halves<T, 2>(halves<T, 1>(v[0], v[1]), halves<T, 1>(v[2], v[3]));
}

// Maximum and minimum, or x where x is NaN. `kept` is 0 where s <= 0, and g elsewhere.
template <class T> INLINE Vec<T> larger(Vec<T> than, Vec<T> x) { return than > x ? than : x; }
template <class T> INLINE Vec<T> smaller(Vec<T> than, Vec<T> x) { return than < x ? than : x; }
template <class T> INLINE Vec<T> kept(Vec<T> s, Vec<T> g) { return s <= Vec<T>{} ? Vec<T>{} : g; }
#if defined(__AVX512F__)
template <> INLINE float sum<float>(Vec<float> v) { return _mm512_reduce_add_ps(v); }
template <> INLINE double sum<double>(Vec<double> v) { return _mm512_reduce_add_pd(v); }
template <> INLINE Vec<float> larger<float>(Vec<float> a, Vec<float> x) { return _mm512_max_ps(a, x); }
template <> INLINE Vec<double> larger<double>(Vec<double> a, Vec<double> x) { return _mm512_max_pd(a, x); }
template <> INLINE Vec<float> smaller<float>(Vec<float> a, Vec<float> x) { return _mm512_min_ps(a, x); }
template <> INLINE Vec<double> smaller<double>(Vec<double> a, Vec<double> x) { return _mm512_min_pd(a, x); }
template <> INLINE Vec<float> kept<float>(Vec<float> s, Vec<float> g) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(s, Vec<float>{}, _CMP_NLE_UQ), g);
}
template <> INLINE Vec<double> kept<double>(Vec<double> s, Vec<double> g) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(s, Vec<double>{}, _CMP_NLE_UQ), g);
}
#elif defined(__AVX2__)
template <> INLINE Vec<float> larger<float>(Vec<float> a, Vec<float> x) { return _mm256_max_ps(a, x); }
template <> INLINE Vec<double> larger<double>(Vec<double> a, Vec<double> x) { return _mm256_max_pd(a, x); }
template <> INLINE Vec<float> smaller<float>(Vec<float> a, Vec<float> x) { return _mm256_min_ps(a, x); }
template <> INLINE Vec<double> smaller<double>(Vec<double> a, Vec<double> x) { return _mm256_min_pd(a, x); }
template <> INLINE Vec<float> kept<float>(Vec<float> s, Vec<float> g) {
    return _mm256_and_ps(_mm256_cmp_ps(s, Vec<float>{}, _CMP_NLE_UQ), g);
}
template <> INLINE Vec<double> kept<double>(Vec<double> s, Vec<double> g) {
    return _mm256_and_pd(_mm256_cmp_pd(s, Vec<double>{}, _CMP_NLE_UQ), g);
}
#endif

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2) / 2. Adding 1.5 · 2^23 (2^52) leaves n in the last bits; ln 2 is
// subtracted in two parts. In float32 the polynomial of Cephes' expf, in float64 Taylor's to degree 13. Below the
// smallest normal number the result is 0.
INLINE Vec<float> exponential(Vec<float> x) {
    const Vec<float> low = all(-87.33654f), magic = all(12582912.0f);
    const Vec<float> inside = larger<float>(low, smaller<float>(all(88.37f), x));
    const Vec<float> shifted = inside * all(1.44269504088896341f) + magic, n = shifted - magic;
    const Vec<float> r = (inside - n * all(0.693359375f)) - n * all(-2.12194440e-4f);
    Vec<float> p = all(1.9875691500e-4f);
    p = p * r + all(1.3981999507e-3f);
    p = p * r + all(8.3334519073e-3f);
    p = p * r + all(4.1665795894e-2f);
    p = p * r + all(1.6666665459e-1f);
    p = p * r + all(5.0000001201e-1f);
    p = p * (r * r) + (r + all(1.0f));
    p = (Vec<float>)((Bits<float>)p + (((Bits<float>)shifted - 0x4B400000) << 23));
    return kept<float>(x - low, p);
}
INLINE Vec<double> exponential(Vec<double> x) {
    const Vec<double> low = all(-708.39), magic = all(6755399441055744.0);
    const Vec<double> inside = larger<double>(low, smaller<double>(all(709.0), x));
    const Vec<double> shifted = inside * all(1.44269504088896340736) + magic, n = shifted - magic;
    const Vec<double> r = (inside - n * all(6.93147180369123816490e-01)) - n * all(1.90821492927058770002e-10);
    Vec<double> p = all(1.0 / 6227020800.0);
    const double factorials[] = {479001600., 39916800., 3628800., 362880., 40320., 5040., 720., 120., 24., 6., 2., 1., 1.};
    for (double factorial : factorials) p = p * r + all(1.0 / factorial);
    p = (Vec<double>)((Bits<double>)p + (((Bits<double>)shifted - 0x4338000000000000) << 52));
    return kept<double>(x - low, p);
}

}  // namespace ITNET_ISA
