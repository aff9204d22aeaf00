// Sums over all keys for blocks of queries. One thread computes a block, so results do not depend on their number.
#pragma once
#include "geometry.h"
#include "hidden.h"
#include "scratch.h"
#include "support.h"

namespace ITNET_ISA {

// The arrays of one block of queries and one block of keys.
template <class T> struct Blocks {
    const Problem &p;
    int64_t sample, first, count;  // the queries

    const T *query(int64_t q) const {
        const int64_t each = p.hidden * (p.rank ? p.depth() : 1);
        return static_cast<const T *>(p.query) + (sample * p.queries + first + q) * each;
    }
    const T *query_positions(int64_t q) const {
        return static_cast<const T *>(p.query_positions) + (sample * p.queries + first + q) * p.coordinates;
    }
    // Offset of a block of keys in an array with `each` numbers per block.
    int64_t block(int64_t number, int64_t each) const { return (sample * p.blocks + number) * each; }
    const T *key(int64_t number) const {
        return static_cast<const T *>(p.key) + block(number, (p.rank ? p.rank : p.hidden) * KEYS);
    }
    const T *key_positions(int64_t number) const {
        return static_cast<const T *>(p.key_positions) + block(number, p.coordinates * KEYS);
    }
    // Keys of a block, rounded up to whole vectors; and their exact number.
    int64_t there(int64_t number) const {
        const int64_t left = p.keys - number * KEYS;
        return left < KEYS ? left : KEYS;
    }
    int64_t size(int64_t number) const { return (there(number) + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>; }
    Reach reach(int64_t number) const {
        return Support<T>::reach(p, query_positions(0), count, key_positions(number), there(number));
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

template <int64_t A, class T> void forward_block(const Blocks<T> &at, T *pairs, T *hidden, T *k, T *sums, T *peak, T *total) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    const int64_t row = p.heads * p.head_dim;
    const T lowest = sizeof(T) == 4 ? T(-3.4028234663852886e38) : T(-1.7976931348623157e308);
    for (int64_t n = 0; n < QUERIES * row * W; ++n) sums[n] = 0;
    for (int64_t n = 0; n < QUERIES * p.heads; ++n) peak[n] = lowest, total[n] = 0;
    for (int64_t number = 0; number < p.blocks; ++number) {
        const Reach reach = at.reach(number);
        if (reach == NONE) continue;
        const int64_t size = at.size(number);
        const KeySide<T> keys(p, at.key(number), pairs);
        for (int64_t q = 0; q < at.count; ++q) {
            T *own = k + q * p.heads * KEYS;
            scores<A, T>(p, at.query(q), keys.at(at.query_positions(q), at.key_positions(number), size), size, hidden, own);
            if (reach == SOME) at.exclude(number, q, own, p.softmax ? -__builtin_inf() : 0);
            if (!p.softmax) continue;
            const T *bias = static_cast<const T *>(p.bias) + at.block(number, KEYS);
            for (int64_t h = 0; h < p.heads; ++h) {
                const int64_t n = q * p.heads + h;
                const T decay = exponentiate(own + h * KEYS, bias, size, peak[n], total[n]);
                for (int64_t d = 0; decay != 1 && d < p.head_dim * W; ++d) sums[n * p.head_dim * W + d] *= decay;
            }
        }
        const T *values = static_cast<const T *>(p.values) + at.block(number, KEYS * row);
        for (int64_t h = 0; h < p.heads; ++h)
            multiply_along(sums + h * p.head_dim * W, row, k + h * KEYS, p.heads * KEYS, values + h * p.head_dim * KEYS, KEYS,
                           size, at.count, p.head_dim);
    }
    T *out = static_cast<T *>(p.out) + (at.sample * p.queries + at.first) * row;
    for (int64_t n = 0; n < at.count * p.heads; ++n) {
        const T scale = p.softmax && total[n] > 0 ? 1 / total[n] : 1;
        for (int64_t d = 0; d < p.head_dim; ++d) 
            out[n * p.head_dim + d] = sum<T>(load(sums + (n * p.head_dim + d) * W)) * scale;
        if (p.softmax)
            static_cast<T *>(p.log_total)[(at.sample * p.queries + at.first) * p.heads + n] =
                total[n] > 0 ? peak[n] + T(__builtin_log(double(total[n]))) : T(0);
    }
}

template <int64_t A, class T> int forward(const Problem &p) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES, items = p.batch * in_sample;
    const int64_t pairs = p.geometry() ? p.depth() * KEYS : 0, hidden = p.hidden * KEYS, k = QUERIES * p.heads * KEYS;
    const int64_t sums = QUERIES * p.heads * p.head_dim * WIDTH<T>, rows = QUERIES * p.heads;
    int failed = 0;
#pragma omp parallel num_threads(int(p.threads)) reduction(| : failed)
    {
        Scratch scratch(Scratch::padded<T>(pairs) + Scratch::padded<T>(hidden) + Scratch::padded<T>(k) +
                        Scratch::padded<T>(sums) + 2 * Scratch::padded<T>(rows));
        failed |= !scratch.there();
        T *of_pairs = scratch.take<T>(pairs), *of_hidden = scratch.take<T>(hidden), *of_k = scratch.take<T>(k), *of_sums = scratch.take<T>(sums);
        T *of_peak = scratch.take<T>(rows), *of_total = scratch.take<T>(rows);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < items; ++item) {
            if (failed) continue;
            const int64_t first = item % in_sample * QUERIES, left = p.queries - first;
            forward_block<A, T>({p, item / in_sample, first, left < QUERIES ? left : QUERIES}, of_pairs, of_hidden, of_k, of_sums, of_peak, of_total);
        }
    }
    return failed;
}

}  // namespace ITNET_ISA
