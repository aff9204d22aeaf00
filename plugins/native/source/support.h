// The support of the integral, with the same order of operations as itnet_core.Support.
#pragma once
#include "problem.h"
#include "vector.h"

namespace ITNET_ISA {

enum Reach { NONE, SOME, EVERY };

template <class T> struct Support {
    const Problem &p;
    const T *query, *key;  // a query's coordinates; a block's, (coordinates, KEYS)

    // Whether NONE, SOME or EVERY pair of some queries and a block of keys is in the support; SOME may be returned for all.
    static Reach reach(const Problem &p, const T *queries, int64_t count, const T *keys, int64_t size) {
        if (p.causal < 0 && p.radius_squared < 0 && p.window < 0) return EVERY;
        bool inside = p.radius_squared < 0 && p.window < 0;
        T square = 0;
        for (int64_t axis = 0; axis < p.coordinates; ++axis) {
            T low = queries[axis], high = low, key_low = keys[axis * KEYS], key_high = key_low;
            for (int64_t q = 1; q < count; ++q) {
                const T x = queries[q * p.coordinates + axis];
                low = x < low ? x : low, high = x > high ? x : high;
            }
            for (int64_t j = 1; j < size; ++j) {
                const T y = keys[axis * KEYS + j];
                key_low = y < key_low ? y : key_low, key_high = y > key_high ? y : key_high;
            }
            if (axis == p.causal) {
                if (key_low > high) return NONE;
                inside &= key_high <= low;
            }
            const T gap = key_low > high ? key_low - high : low > key_high ? low - key_high : T(0);
            if (p.window >= 0 && gap > T(p.window)) return NONE;
            square += gap * gap;
        }
        if (p.radius_squared >= 0 && square > T(p.radius_squared) * T(1.0001)) return NONE;
        return inside ? EVERY : SOME;
    }

    // Write `value` to the pairs outside of the support. Squares are rounded before they are added, as in PyTorch: the
    // pass through memory keeps the compiler from fusing both.
    void exclude(T *numbers, int64_t rows, int64_t size, T value) const {
        for (int64_t j = 0; j < size; j += WIDTH<T>) {
            Bits<T> inside = ~Bits<T>{};
            Vec<T> square{};
            for (int64_t axis = 0; axis < p.coordinates; ++axis) {
                const Vec<T> x = all(query[axis]), y = load(key + axis * KEYS + j), gap = y > x ? y - x : x - y;
                if (axis == p.causal) inside &= y <= x;
                if (p.window >= 0) inside &= gap <= all(T(p.window));
                if (p.radius_squared < 0) continue;
                Vec<T> part = gap * gap;
                asm volatile("" : "+m"(part));
                square += part;
            }
            if (p.radius_squared >= 0) inside &= square <= all(T(p.radius_squared));
            for (int64_t row = 0; row < rows; ++row) {
                T *at = numbers + row * KEYS + j;
                store(at, inside ? load(at) : all(value));
            }
        }
    }
};

}  // namespace ITNET_ISA
