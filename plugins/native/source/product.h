// Products of matrices in the cache, blocked for registers.
//
// `multiply`: C (rows × columns) += A (rows × depth) B (depth × columns). A block of C stays in registers while A's entries
// are broadcast against rows of B.
#pragma once
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

template <int R, int V, bool FRESH, class T> INLINE void product_block(const Product<T> &p, int64_t row, int64_t column) {
    constexpr int64_t W = WIDTH<T>;
    Vec<T> sums[R][V];
    T *c = p.c + row * p.c_row + column;
    const T *a = p.a + row * p.a_row, *b = p.b + column;
    const int64_t c_row = p.c_row, a_row = p.a_row, a_depth = p.a_depth, b_row = p.b_row, depth = p.depth;
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sums[r][v] = FRESH ? Vec<T>{} : load(c + r * c_row + v * W);
    for (int64_t k = 0; k < depth; ++k, a += a_depth, b += b_row) {
        Vec<T> entries[V];
        for (int v = 0; v < V; ++v) entries[v] = load(b + v * W);
        for (int r = 0; r < R; ++r) {
            const Vec<T> factor = all(a[r * a_row]);
            for (int v = 0; v < V; ++v) sums[r][v] += factor * entries[v];
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(c + r * c_row + v * W, sums[r][v]);
}

template <int V, bool FRESH, class T> inline void product_columns(const Product<T> &p, int64_t rows, int64_t column) {
    constexpr int R = REGISTERS == 32 ? 8 : 4;
    int64_t row = 0;
    for (; row + R <= rows; row += R) product_block<R, V, FRESH>(p, row, column);
    if (R > 4 && row + 4 <= rows) product_block<4, V, FRESH>(p, row, column), row += 4;
    if (row + 2 <= rows) product_block<2, V, FRESH>(p, row, column), row += 2;
    if (row < rows) product_block<1, V, FRESH>(p, row, column);
}

// C = A B where FRESH, else C += A B.
template <bool FRESH, class T> inline void multiply(const Product<T> &p, int64_t rows, int64_t columns) {
    constexpr int64_t W = WIDTH<T>;
    int64_t column = 0;
    for (; column + 3 * W <= columns; column += 3 * W) product_columns<3, FRESH>(p, rows, column);
    if (column + 2 * W <= columns) product_columns<2, FRESH>(p, rows, column), column += 2 * W;
    if (column < columns) product_columns<1, FRESH>(p, rows, column);
}

}  // namespace ITNET_ISA
