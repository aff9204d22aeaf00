// x − y and ‖x − y‖², which follow the keys' features in ψ. They are computed from the positions of each pair, because sums
// of one-point terms would cancel.
#pragma once
#include "problem.h"
#include "product.h"

namespace ITNET_ISA {

// The largest ‖x − y‖², as in itnet_core.operator.mlp.pair_inputs.
constexpr double SQUARE_LIMIT = 1e30;

// Rows (geometry, KEYS) for one query and a block of keys: its coordinates; and the block's, (coordinates, KEYS).
template <class T> inline void differences(const Problem &p, const T *query, const T *keys, int64_t size, T *rows) {
    for (int64_t j = 0; j < size; j += WIDTH<T>) {
        Vec<T> square{};
        for (int64_t axis = 0; axis < p.coordinates; ++axis) {
            const Vec<T> gap = all(query[axis]) - load(keys + axis * KEYS + j);
            if (p.displacement) store(rows + axis * KEYS + j, gap);
            square += gap * gap;
        }
        if (p.distance) store(rows + p.displacement * p.coordinates * KEYS + j, smaller<T>(all(T(SQUARE_LIMIT)), square));
    }
}

// Backward pass of the rows: add their gradient to the query's position, and subtract it from the keys'.
template <class T>
inline void differences_back(const Problem &p, const T *query, const T *keys, int64_t size, const T *grad, T *grad_query, T *grad_keys) {
    const T *of_square = grad + p.displacement * p.coordinates * KEYS;
    for (int64_t axis = 0; axis < p.coordinates; ++axis) {
        Vec<T> sums{};
        for (int64_t j = 0; j < size; j += WIDTH<T>) {
            const int64_t at = axis * KEYS + j;
            Vec<T> g = p.displacement ? load(grad + at) : Vec<T>{};
            if (p.distance) g += T(2) * (all(query[axis]) - load(keys + at)) * load(of_square + j);
            sums += g;
            store(grad_keys + at, load(grad_keys + at) - g);
        }
        grad_query[axis] += sum<T>(sums);
    }
}

// The keys' factor of the first layer: the block's features, (rank, KEYS), for all queries; or, with geometry, a copy in
// scratch, (rank + geometry, KEYS), whose last rows are computed for each query.
template <class T> class KeySide {
  public:
    KeySide(const Problem &p, const T *features, T *scratch) : p_(p), rows_(p.geometry() ? scratch : features), own_(scratch + p.rank * KEYS) {
        if (p.geometry()) std::memcpy(scratch, features, size_t(p.rank * KEYS) * sizeof(T));
    }
    const T *at(const T *query, const T *keys, int64_t size) const {
        if (p_.geometry()) differences(p_, query, keys, size, own_);
        return rows_;
    }

  private:
    const Problem &p_;
    const T *rows_;
    T *own_;
};

}  // namespace ITNET_ISA
