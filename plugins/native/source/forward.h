// Sums over all keys for blocks of queries. One thread computes a block, so results do not depend on their number.
#pragma once
#include "denormals.h"
#include "forms.h"
#include "geometry.h"
#include "hidden.h"
#include "pack.h"
#include "support.h"

namespace ITNET_ISA {

// The arrays of one block of queries and one block of keys.
template <class T> struct Blocks {
    const Problem &p;
    const Packed<T> &packed;
    const T *linear;               // the queries' factors, (count, depth, units), with a rank
    int64_t sample, first, count;  // the queries

    int64_t number_of(int64_t q) const { return sample * p.queries + first + q; }
    const T *features(int64_t q) const { return static_cast<const T *>(p.query) + number_of(q) * p.key_width(); }
    const T *query(int64_t q) const { return p.rank ? linear + q * p.depth() * p.units() : features(q); }
    const T *query_positions(int64_t q) const {
        return static_cast<const T *>(p.query_positions) + number_of(q) * p.coordinates;
    }
    // A block of keys in a packed array of some rows, and in one of the problem's.
    const T *block(const T *array, int64_t number, int64_t rows) const { return array + (sample * p.blocks() + number) * rows * KEYS; }
    const T *rows(const void *array, int64_t number, int64_t row) const {
        return static_cast<const T *>(array) + (sample * p.keys + number * KEYS) * row;
    }
    const T *key(int64_t number) const { return block(packed.key, number, p.key_width()); }
    const T *key_positions(int64_t number) const { return block(packed.positions, number, p.coordinates); }
    // Keys of a block, rounded up to whole vectors.
    int64_t size(int64_t number) const { return (p.in_block(number) + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>; }
    Reach reach(int64_t number) const {
        return Support<T>::reach(p, query_positions(0), count, key_positions(number), p.in_block(number));
    }
    void exclude(int64_t number, int64_t q, T *numbers, T value) const {
        Support<T>{p, query_positions(q), key_positions(number)}.exclude(numbers, p.heads, size(number), value);
    }
};

// Replace k by e^(k + bias - peak) for a block of keys, and update the running peak and total. Returns the factor that
// rescales earlier sums.
template <class T> inline T exponentiate(T *k, const T *bias, int64_t size, T &peak, T &total) {
    constexpr int64_t W = WIDTH<T>;
    Vec<T> highest = all(peak);
    for (int64_t j = 0; j < size; j += W) {
        const Vec<T> logit = load(k + j) + load(bias + j);
        highest = larger<T>(highest, logit);
        store(k + j, logit);
    }
    T above = peak;
    for (int64_t n = 0; n < W; ++n) above = highest[n] > above ? highest[n] : above;
    Vec<T> sums{};
    for (int64_t j = 0; j < size; j += W) {
        const Vec<T> weight = exponential(load(k + j) - all(above));
        sums += weight;
        store(k + j, weight);
    }
    const T decay = exponential(all(peak - above))[0];
    total = total * decay + sum<T>(sums);
    peak = above;
    return decay;
}

template <class T> inline void factors(const Blocks<T> &at, T *linear) {
    for (int64_t q = 0; at.p.rank && q < at.count; ++q) linear_of(at.p, at.features(q), linear + q * at.p.depth() * at.p.units());
}

template <int64_t A, class T> void forward_block(const Blocks<T> &at, T *pairs, T *hidden, T *k, T *peak, T *total) {
    const Problem &p = at.p;
    const int64_t row = p.heads * p.head_dim;
    const T lowest = sizeof(T) == 4 ? T(-3.4028234663852886e38) : T(-1.7976931348623157e308);
    T *out = static_cast<T *>(p.out) + at.number_of(0) * row;
    for (int64_t n = 0; n < at.count * row; ++n) out[n] = 0;
    for (int64_t n = 0; n < QUERIES * p.heads; ++n) peak[n] = lowest, total[n] = 0;
    for (int64_t number = 0; number < p.blocks(); ++number) {
        const Reach reach = at.reach(number);
        if (reach == NONE) continue;
        const int64_t size = at.size(number);
        const KeySide<T> keys(p, at.key(number), pairs);
        for (int64_t q = 0; q < at.count; ++q) {
            T *own = k + q * p.heads * KEYS;
            scores<A, T>(p, at.query(q), keys.at(at.query_positions(q), at.key_positions(number), size), size, hidden, own);
            if (reach == SOME) at.exclude(number, q, own, p.softmax ? -__builtin_inf() : 0);
            if (!p.softmax) continue;
            const T *bias = at.block(at.packed.bias, number, 1);
            for (int64_t h = 0; h < p.heads; ++h) {
                const int64_t n = q * p.heads + h;
                const T decay = exponentiate(own + h * KEYS, bias, size, peak[n], total[n]);
                for (int64_t d = 0; decay != 1 && d < p.head_dim; ++d) out[n * p.head_dim + d] *= decay;
            }
        }
        const T *values = at.rows(p.values, number, row);
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<false>(Product<T>{out + h * p.head_dim, row, k + h * KEYS, p.heads * KEYS, 1, values + h * p.head_dim, row, p.in_block(number)},
                            at.count, p.head_dim);
    }
    for (int64_t n = 0; p.softmax && n < at.count * p.heads; ++n) {
        const T scale = total[n] > 0 ? 1 / total[n] : 1;
        for (int64_t d = 0; d < p.head_dim; ++d) out[n * p.head_dim + d] *= scale;
        static_cast<T *>(p.log_total)[at.number_of(0) * p.heads + n] = total[n] > 0 ? peak[n] + T(__builtin_log(double(total[n]))) : T(0);
    }
}

template <int64_t A, class T> int forward(const Problem &p) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES, items = p.batch * in_sample;
    const int64_t pairs = p.geometry() ? p.depth() * KEYS : 0, hidden = p.hidden * KEYS, k = QUERIES * p.heads * KEYS;
    const int64_t linear = p.rank ? QUERIES * p.depth() * p.units() : 0, rows = QUERIES * p.heads;
    const Packed<T> packed(p, false);
    if (!packed.there()) return 1;
    int failed = 0;
#pragma omp parallel num_threads(int(p.threads)) reduction(| : failed)
    {
        const WithoutDenormals flushed;
        Scratch scratch(Scratch::padded<T>(pairs) + Scratch::padded<T>(hidden) + Scratch::padded<T>(k) +
                        Scratch::padded<T>(linear) + 2 * Scratch::padded<T>(rows));
        failed |= !scratch.there();
        T *of_pairs = scratch.take<T>(pairs), *of_hidden = scratch.take<T>(hidden), *of_k = scratch.take<T>(k), *of_linear = scratch.take<T>(linear);
        T *of_peak = scratch.take<T>(rows), *of_total = scratch.take<T>(rows);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < items; ++item) {
            if (failed) continue;
            const int64_t first = item % in_sample * QUERIES, left = p.queries - first;
            const Blocks<T> at{p, packed, of_linear, item / in_sample, first, left < QUERIES ? left : QUERIES};
            factors(at, of_linear);
            forward_block<A, T>(at, of_pairs, of_hidden, of_k, of_peak, of_total);
        }
    }
    return failed;
}

}  // namespace ITNET_ISA
