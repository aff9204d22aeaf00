// The queries' factor χ(x)ᵀ T of a bilinear first layer, from the entries of T that are not 0: for few keys a dense product
// would take longer than all pairs.
#pragma once
#include "problem.h"
#include "vector.h"

namespace ITNET_ISA {

// Compute a query's factor, (depth, units), from its features, (rank).
template <class T> inline void linear_of(const Problem &p, const T *features, T *linear) {
    const T *forms = static_cast<const T *>(p.forms);
    const int64_t *rows = static_cast<const int64_t *>(p.entry_rows), *columns = static_cast<const int64_t *>(p.entry_columns);
    std::memset(linear, 0, size_t(p.depth() * p.units()) * sizeof(T));
    for (int64_t e = 0; e < p.entries; ++e) {
        const Vec<T> feature = all(features[rows[e]]);
        T *to = linear + columns[e] * p.units();
        for (int64_t c = 0; c < p.units(); c += WIDTH<T>) store(to + c, load(to + c) + feature * load(forms + e * p.units() + c));
    }
}

// From the gradient of a query's factor, add those of its features and of the forms. `sums` is scratch, (rank, W).
template <class T>
inline void back_to_forms(const Problem &p, const T *features, const T *grad_linear, T *grad_forms, T *sums, T *grad_features) {
    const T *forms = static_cast<const T *>(p.forms);
    const int64_t *rows = static_cast<const int64_t *>(p.entry_rows), *columns = static_cast<const int64_t *>(p.entry_columns);
    std::memset(sums, 0, size_t(p.rank * WIDTH<T>) * sizeof(T));
    for (int64_t e = 0; e < p.entries; ++e) {
        const T *from = grad_linear + columns[e] * p.units();
        const Vec<T> feature = all(features[rows[e]]);
        Vec<T> of_row = load(sums + rows[e] * WIDTH<T>);
        for (int64_t c = 0; c < p.units(); c += WIDTH<T>) {
            const Vec<T> g = load(from + c);
            T *of_forms = grad_forms + e * p.units() + c;
            store(of_forms, load(of_forms) + feature * g);
            of_row += g * load(forms + e * p.units() + c);
        }
        store(sums + rows[e] * WIDTH<T>, of_row);
    }
    for (int64_t r = 1; r < p.rank; ++r) grad_features[r] += sum<T>(load(sums + r * WIDTH<T>));
}

}  // namespace ITNET_ISA
