// The queries' factor χ(x)ᵀ T of a bilinear first layer, from the entries of T that are not 0: for few keys a dense product
// would take longer than all pairs.
#pragma once
#include "problem.h"
#include "vector.h"

namespace ITNET_ISA {

// Compute a query's factor, (depth, units), from its features, (rank). The entries are sorted by their columns.
template <int V, class T> INLINE void linear_strip(const Problem &p, const T *features, int64_t c, T *linear) {
    const int64_t entries = p.entries, depth = p.depth(), units = p.units();
    const T *forms = static_cast<const T *>(p.forms) + c;
    const int64_t *rows = static_cast<const int64_t *>(p.entry_rows), *columns = static_cast<const int64_t *>(p.entry_columns);
    for (int64_t column = 0, e = 0; column < depth; ++column) {
        Vec<T> sums[V] = {};
        for (; e < entries && columns[e] == column; ++e) {
            const Vec<T> feature = all(features[rows[e]]);
            for (int v = 0; v < V; ++v) sums[v] += feature * load(forms + e * units + v * WIDTH<T>);
        }
        for (int v = 0; v < V; ++v) store(linear + column * units + c + v * WIDTH<T>, sums[v]);
    }
}

template <class T> inline void linear_of(const Problem &p, const T *features, T *linear) {
    constexpr int64_t W = WIDTH<T>;
    int64_t c = 0;
    for (; c + 4 * W <= p.units(); c += 4 * W) linear_strip<4>(p, features, c, linear);
    if (c + 2 * W <= p.units()) linear_strip<2>(p, features, c, linear), c += 2 * W;
    if (c < p.units()) linear_strip<1>(p, features, c, linear);
}

// From the gradient of a query's factor, add those of its features and of the forms. `sums` is scratch, (rank, W).
template <class T>
inline void back_to_forms(const Problem &p, const T *features, const T *grad_linear, T *grad_forms, T *sums, T *grad_features) {
    constexpr int64_t W = WIDTH<T>;
    const int64_t entries = p.entries, units = p.units(), rank = p.rank;
    const T *forms = static_cast<const T *>(p.forms);
    const int64_t *rows = static_cast<const int64_t *>(p.entry_rows), *columns = static_cast<const int64_t *>(p.entry_columns);
    std::memset(sums, 0, size_t(rank * W) * sizeof(T));
    for (int64_t e = 0; e < entries; ++e) {
        const T *from = grad_linear + columns[e] * units;
        const int64_t row = rows[e];
        const Vec<T> feature = all(features[row]);
        Vec<T> of_row{};
        for (int64_t c = 0; c < units; c += W) {
            const Vec<T> g = load(from + c);
            T *of_forms = grad_forms + e * units + c;
            store(of_forms, load(of_forms) + feature * g);
            if (row) of_row += g * load(forms + e * units + c);
        }
        if (row) store(sums + row * W, load(sums + row * W) + of_row);
    }
    for (int64_t r = 1; r < rank; ++r) grad_features[r] += sum<T>(load(sums + r * W));
}

}  // namespace ITNET_ISA
