// The keys' arrays in blocks of KEYS, with the keys as the last axis, so that vectors run along them.
#pragma once
#if defined(__SSE__)
#include <xmmintrin.h>
#endif
#include "problem.h"
#include "scratch.h"
#include "vector.h"

namespace ITNET_ISA {

// Write a matrix (rows × columns) as (columns × rows), by blocks of 4 × 4.
template <class T> inline void transpose(T *to, int64_t to_row, const T *from, int64_t from_row, int64_t rows, int64_t columns) {
    int64_t row = 0;
#if defined(__SSE__)
    if constexpr (sizeof(T) == 4)
        for (; row + 4 <= rows; row += 4) {
            int64_t column = 0;
            for (; column + 4 <= columns; column += 4) {
                const T *at = from + row * from_row + column;
                __m128 a = _mm_loadu_ps(at), b = _mm_loadu_ps(at + from_row), c = _mm_loadu_ps(at + 2 * from_row), d = _mm_loadu_ps(at + 3 * from_row);
                _MM_TRANSPOSE4_PS(a, b, c, d);
                T *into = to + column * to_row + row;
                _mm_storeu_ps(into, a), _mm_storeu_ps(into + to_row, b), _mm_storeu_ps(into + 2 * to_row, c), _mm_storeu_ps(into + 3 * to_row, d);
            }
            for (; column < columns; ++column)
                for (int64_t n = 0; n < 4; ++n) to[column * to_row + row + n] = from[(row + n) * from_row + column];
        }
#endif
    for (; row < rows; ++row)
        for (int64_t column = 0; column < columns; ++column) to[column * to_row + row] = from[row * from_row + column];
}

// Arrays (batch, blocks, …, KEYS). Up to a whole vector after the last key, features and values are 0, the bias is −∞, and
// positions repeat the last; what follows is not set. Values and gradients, which start at 0, are for the backward pass.
template <class T> class Packed {
  public:
    T *key = nullptr, *values = nullptr, *bias = nullptr, *positions = nullptr;
    T *grad_key = nullptr, *grad_bias = nullptr, *grad_positions = nullptr;

    Packed(const Problem &p, bool backward) : p_(p), backward_(backward), memory_(bytes()) {
        if (!there()) return;
        each([&](T *&array, int64_t rows) { array = memory_.take<T>(rows * p_.batch * p_.blocks() * KEYS); });
        const int64_t row = p.heads * p.head_dim;
#pragma omp parallel for num_threads(int(p.threads)) schedule(static)
        for (int64_t number = 0; number < p.batch * p.blocks(); ++number) {
            pack(key, p.key, p.key_width(), number, T(0));
            if (positions) pack(positions, p.key_positions, p.coordinates, number, T(0), true);
            if (bias) pack(bias, p.bias, 1, number, T(-__builtin_inf()));
            if (!backward) continue;
            pack(values, p.values, row, number, T(0));
            zero(grad_key, p.key_width(), number);
            if (grad_bias) zero(grad_bias, 1, number);
            if (grad_positions) zero(grad_positions, p.coordinates, number);
        }
    }
    bool there() const { return memory_.there(); }

    // Write the gradients to the problem's arrays.
    void unpack() const {
#pragma omp parallel for num_threads(int(p_.threads)) schedule(static)
        for (int64_t number = 0; number < p_.batch * p_.blocks(); ++number) {
            unpack(p_.grad_key, grad_key, p_.key_width(), number);
            if (grad_bias) unpack(p_.grad_bias, grad_bias, 1, number);
            if (grad_positions) unpack(p_.grad_key_positions, grad_positions, p_.coordinates, number);
        }
    }

  private:
    template <class F> void each(F f) {
        const Problem &p = p_;
        f(key, p.key_width());
        if (p.key_positions) f(positions, p.coordinates);
        if (p.softmax) f(bias, 1);
        if (!backward_) return;
        f(values, p.heads * p.head_dim), f(grad_key, p.key_width());
        if (p.softmax) f(grad_bias, 1);
        if (p.grad_key_positions) f(grad_positions, p.coordinates);
    }
    int64_t bytes() {
        int64_t total = 0;
        each([&](T *&, int64_t rows) { total += Scratch::padded<T>(rows * p_.batch * p_.blocks() * KEYS); });
        return total;
    }
    int64_t count(int64_t number) const { return p_.in_block(number % p_.blocks()); }
    static int64_t size(int64_t count) { return (count + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>; }
    int64_t first(int64_t number) const { return number / p_.blocks() * p_.keys + number % p_.blocks() * KEYS; }

    void pack(T *to, const void *from, int64_t rows, int64_t number, T fill, bool repeat = false) const {
        const int64_t keys = count(number);
        to += number * rows * KEYS;
        transpose(to, KEYS, static_cast<const T *>(from) + first(number) * rows, rows, keys, rows);
        for (int64_t row = 0; row < rows; ++row)
            for (int64_t j = keys; j < size(keys); ++j) to[row * KEYS + j] = repeat ? to[row * KEYS + keys - 1] : fill;
    }
    void zero(T *to, int64_t rows, int64_t number) const {
        for (int64_t row = 0; row < rows; ++row)
            std::memset(to + (number * rows + row) * KEYS, 0, size_t(size(count(number))) * sizeof(T));
    }
    void unpack(void *to, const T *from, int64_t rows, int64_t number) const {
        transpose(static_cast<T *>(to) + first(number) * rows, rows, from + number * rows * KEYS, KEYS, rows, count(number));
    }

    const Problem &p_;
    bool backward_;
    Scratch memory_;
};

}  // namespace ITNET_ISA
