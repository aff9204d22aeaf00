// Products of matrices in the cache, blocked for registers.
//
// `multiply`: C (rows × columns) += A (rows × depth) B (depth × columns). A block of C stays in registers while A's entries
// are broadcast against rows of B.
#pragma once
#include <type_traits>
#include "vector.h"

namespace ITNET_ISA {

// An entry of A is a[row * a_row + k * a_depth]; B and C have whole vectors as rows.
template <class T> struct Product {
    T *c;
    int64_t c_row;
    const T *a;
    int64_t a_row, a_depth;
    const T *b;
    int64_t b_row, depth;
};

// Add Σ_k entry(r, k) B[k] to R rows of V vectors, which stay in registers.
template <int R, int V, class T, class Entry>
INLINE void accumulate(Vec<T> (&sums)[R][V], const T *b, int64_t b_row, int64_t depth, Entry entry) {
    for (int64_t k = 0; k < depth; ++k, b += b_row) {
        Vec<T> entries[V];
        for (int v = 0; v < V; ++v) entries[v] = load(b + v * WIDTH<T>);
        for (int r = 0; r < R; ++r) {
            const Vec<T> factor = all(entry(r, k));
            for (int v = 0; v < V; ++v) sums[r][v] += factor * entries[v];
        }
    }
}

// Call f(R, row) for blocks of R rows, and f(V, column) for strips of V vectors: constants, which fit the registers together.
template <int N> using Constant = std::integral_constant<int, N>;
template <class F> INLINE void in_blocks(int64_t rows, F f) {
    constexpr int R = REGISTERS == 32 ? 8 : 4;
    int64_t row = 0;
    for (; row + R <= rows; row += R) f(Constant<R>{}, row);
    if (R > 4 && row + 4 <= rows) f(Constant<4>{}, row), row += 4;
    if (row + 2 <= rows) f(Constant<2>{}, row), row += 2;
    if (row < rows) f(Constant<1>{}, row);
}
template <class T, class F> INLINE void in_strips(int64_t columns, F f) {
    constexpr int64_t W = WIDTH<T>;
    int64_t column = 0;
    for (; column + 3 * W <= columns; column += 3 * W) f(Constant<3>{}, column);
    if (column + 2 * W <= columns) f(Constant<2>{}, column), column += 2 * W;
    if (column < columns) f(Constant<1>{}, column);
}

template <int R, int V, bool FRESH, class T> INLINE void product_block(const Product<T> &p, int64_t row, int64_t column) {
    constexpr int64_t W = WIDTH<T>;
    Vec<T> sums[R][V];
    T *c = p.c + row * p.c_row + column;
    const T *a = p.a + row * p.a_row;
    const int64_t c_row = p.c_row, a_row = p.a_row, a_depth = p.a_depth;
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sums[r][v] = FRESH ? Vec<T>{} : load(c + r * c_row + v * W);
    accumulate(sums, p.b + column, p.b_row, p.depth, [=](int r, int64_t k) { return a[r * a_row + k * a_depth]; });
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(c + r * c_row + v * W, sums[r][v]);
}

template <int V, bool FRESH, class T> inline void product_columns(const Product<T> &p, int64_t rows, int64_t column) {
    in_blocks(rows, [&](auto size, int64_t row) { product_block<size.value, V, FRESH>(p, row, column); });
}

// C = A B where FRESH, else C += A B.
template <bool FRESH, class T> inline void multiply(const Product<T> &p, int64_t rows, int64_t columns) {
    in_strips<T>(columns, [&](auto size, int64_t column) { product_columns<size.value, FRESH>(p, rows, column); });
}

}  // namespace ITNET_ISA
