// Sums over near keys: groups of near queries, each with a list of keys. The keys of a group are gathered into blocks,
// which its queries share. The queries' factor χ(x)ᵀ T is computed here, from the entries of T that are not 0: for few
// keys a dense product would take longer than all pairs.
#pragma once
#include "backward.h"

namespace ITNET_ISA {

// One group, and some of its keys in scratch memory.
template <class T> class Group {
  public:
    static constexpr int64_t W = WIDTH<T>;

    static int64_t bytes(const Problem &p, bool backward) {
        const int64_t row = p.heads * p.head_dim, depth = p.depth();
        int64_t total = Scratch::padded<T>(QUERIES * depth * p.hidden) + Scratch::padded<T>(depth * KEYS) + Scratch::padded<T>(KEYS * row) +
                        Scratch::padded<T>(p.coordinates * KEYS) + Scratch::padded<T>(KEYS);
        if (backward) total += Scratch::padded<T>(KEYS * p.row_rank) + Scratch::padded<T>(KEYS * row);
        return total;
    }

    Group(const Problem &problem, Scratch &scratch, bool backward) : p(problem) {
        const int64_t row = p.heads * p.head_dim, depth = p.depth();
        linear = scratch.take<T>(QUERIES * depth * p.hidden), pairs = scratch.take<T>(depth * KEYS);
        values = scratch.take<T>(KEYS * row), positions = scratch.take<T>(p.coordinates * KEYS), bias = scratch.take<T>(KEYS);
        if (backward) rows = scratch.take<T>(KEYS * p.row_rank), values_across = scratch.take<T>(KEYS * row);
    }

    // Choose a group, and compute its queries' factors.
    void choose(int64_t number) {
        queries = static_cast<const int64_t *>(p.group_queries) + number * QUERIES;
        for (count = 0; count < QUERIES && queries[count] >= 0;) ++count;
        const int64_t *starts = static_cast<const int64_t *>(p.key_starts) + number;
        first = starts[0], last = starts[1];
        if (first == last) return;
        const T *forms = static_cast<const T *>(p.forms);
        const int64_t *of_row = static_cast<const int64_t *>(p.entry_rows), *of_column = static_cast<const int64_t *>(p.entry_columns);
        std::memset(linear, 0, size_t(count * p.depth() * p.hidden) * sizeof(T));
        for (int64_t q = 0; q < count; ++q) {
            const T *features = query(q);
            for (int64_t e = 0; e < p.entries; ++e) {
                const Vec<T> feature = all(features[of_row[e]]);
                T *to = of_query(q) + of_column[e] * p.hidden;
                for (int64_t c = 0; c < p.hidden; c += W) store(to + c, load(to + c) + feature * load(forms + e * p.hidden + c));
            }
        }
    }

    // Gather the keys from place `start` of the list on, and return how many there are left from there.
    void gather(int64_t start, bool backward) {
        const int64_t row = p.heads * p.head_dim;
        ranks = static_cast<const int32_t *>(p.key_ranks) + start;
        there = last - start < KEYS ? last - start : KEYS;
        size = (there + W - 1) / W * W;
        for (int64_t j = 0; j < size; ++j) {
            const int64_t key = number(j < there ? j : there - 1);
            const T *features = static_cast<const T *>(p.key) + key * p.rank, *position = static_cast<const T *>(p.key_positions) + key * p.coordinates;
            const T *value = static_cast<const T *>(p.values) + key * row;
            for (int64_t r = 0; r < p.rank; ++r) pairs[r * KEYS + j] = features[r];
            for (int64_t axis = 0; axis < p.coordinates; ++axis) positions[axis * KEYS + j] = position[axis];
            std::memcpy(values + j * row, value, size_t(row) * sizeof(T));
            if (p.softmax) bias[j] = static_cast<const T *>(p.bias)[key];
            if (!backward) continue;
            for (int64_t d = 0; d < row; ++d) values_across[d * KEYS + j] = value[d];
            std::memcpy(rows + j * p.row_rank, features, size_t(p.rank) * sizeof(T));
            for (int64_t r = p.rank; r < p.row_rank; ++r) rows[j * p.row_rank + r] = 0;
        }
    }

    int64_t number(int64_t j) const { return static_cast<const int64_t *>(p.key_order)[ranks[j]]; }
    const T *query(int64_t q) const { return static_cast<const T *>(p.query) + queries[q] * p.rank; }
    const T *query_positions(int64_t q) const { return static_cast<const T *>(p.query_positions) + queries[q] * p.coordinates; }
    T *of_query(int64_t q) const { return linear + q * p.depth() * p.hidden; }

    // Arguments of the hidden layer at a query, (hidden, KEYS).
    void arguments(int64_t q, T *hidden) const {
        if (p.geometry()) differences(p, query_positions(q), positions, size, pairs + p.rank * KEYS);
        multiply<true>(Product<T>{hidden, KEYS, of_query(q), 1, p.hidden, pairs, KEYS, p.depth()}, p.hidden, size);
    }
    // Write `value` to the pairs outside of the support, (heads, KEYS), and after the last key.
    void exclude(int64_t q, T *numbers, T value) const {
        Support<T>{p, query_positions(q), positions}.exclude(numbers, p.heads, size, value);
        for (int64_t h = 0; h < p.heads; ++h)
            for (int64_t j = there; j < size; ++j) numbers[h * KEYS + j] = value;
    }

    const Problem &p;
    const int64_t *queries;
    const int32_t *ranks;
    int64_t count, first, last, there, size;
    T *linear, *pairs, *values, *positions, *bias, *rows, *values_across;
};

template <int64_t A, class T> void forward_group(Group<T> &at, T *hidden, T *k, T *sums, T *peak, T *total) {
    const Problem &p = at.p;
    const int64_t row = p.heads * p.head_dim, k_row = p.heads * KEYS;
    const T lowest = sizeof(T) == 4 ? T(-3.4028234663852886e38) : T(-1.7976931348623157e308);
    for (int64_t n = 0; n < QUERIES * row; ++n) sums[n] = 0;
    for (int64_t n = 0; n < QUERIES * p.heads; ++n) peak[n] = lowest, total[n] = 0;
    for (int64_t start = at.first; start < at.last; start += KEYS) {
        at.gather(start, false);
        for (int64_t q = 0; q < at.count; ++q) {
            T *own = k + q * k_row;
            at.arguments(q, hidden);
            for (int64_t c = 0; c < p.hidden; ++c)
                for (int64_t j = 0; j < at.size; j += WIDTH<T>) store(hidden + c * KEYS + j, activate<A, T>(load(hidden + c * KEYS + j)));
            second_layer(p, hidden, at.size, own);
            at.exclude(q, own, p.softmax ? -__builtin_inf() : 0);
            if (!p.softmax) continue;
            for (int64_t h = 0; h < p.heads; ++h) {
                const int64_t n = q * p.heads + h;
                const T decay = exponentiate(own + h * KEYS, at.bias, at.size, peak[n], total[n]);
                for (int64_t d = 0; decay != 1 && d < p.head_dim; ++d) sums[n * p.head_dim + d] *= decay;
            }
        }
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<false>(Product<T>{sums + h * p.head_dim, row, k + h * KEYS, k_row, 1, at.values + h * p.head_dim, row, at.there}, at.count, p.head_dim);
    }
    for (int64_t q = 0; q < at.count; ++q)
        for (int64_t h = 0; h < p.heads; ++h) {
            const int64_t n = q * p.heads + h, to = at.queries[q] * p.heads + h;
            const T scale = p.softmax && total[n] > 0 ? 1 / total[n] : 1;
            for (int64_t d = 0; d < p.head_dim; ++d) static_cast<T *>(p.out)[to * p.head_dim + d] = sums[n * p.head_dim + d] * scale;
            if (p.softmax) static_cast<T *>(p.log_total)[to] = total[n] > 0 ? peak[n] + T(__builtin_log(double(total[n]))) : T(0);
        }
}

template <int64_t A, class T> int forward_local(const Problem &p) {
    const int64_t hidden = p.hidden * KEYS, k = QUERIES * p.heads * KEYS, sums = QUERIES * p.heads * p.head_dim, rows = QUERIES * p.heads;
    int failed = 0;
#pragma omp parallel num_threads(int(p.threads)) reduction(| : failed)
    {
        Scratch scratch(Group<T>::bytes(p, false) + Scratch::padded<T>(hidden) + Scratch::padded<T>(k) + Scratch::padded<T>(sums) + 2 * Scratch::padded<T>(rows));
        failed |= !scratch.there();
        Group<T> at(p, scratch, false);
        T *of_hidden = scratch.take<T>(hidden), *of_k = scratch.take<T>(k), *of_sums = scratch.take<T>(sums);
        T *of_peak = scratch.take<T>(rows), *of_total = scratch.take<T>(rows);
#pragma omp for schedule(dynamic, 8)
        for (int64_t number = 0; number < p.groups; ++number) {
            if (failed) continue;
            at.choose(number);
            forward_group<A, T>(at, of_hidden, of_k, of_sums, of_peak, of_total);
        }
    }
    return failed;
}

// A thread's gradients of keys, those of a range of places in `key_order`; rows as in the problem's arrays.
template <class T> struct Range {
    int64_t low, high;
    T *key, *values, *bias, *positions;
};

// A thread's working memory, besides that of its group.
template <class T> struct LocalWork {
    T *hidden, *slope, *grad, *k, *grad_k, *grad_out, *linear, *across, *pairs, *values, *bias, *positions, *second, *second_bias, *forms;
    double *total;  // gradients of the second layer's weights and biases, and of the forms

    static int64_t sizes(const Problem &p, int64_t *into) {
        const int64_t row = p.heads * p.head_dim, k = QUERIES * p.heads * KEYS, block = p.hidden * KEYS;
        const int64_t all[] = {block, block, block, k, k, QUERIES * row, QUERIES * p.hidden * p.row_rank, p.depth() * p.hidden, p.depth() * KEYS, KEYS * row,
                               KEYS, p.coordinates * KEYS, p.heads * p.hidden * WIDTH<T>, p.heads * WIDTH<T>, p.entries * p.hidden};
        int64_t total = 0;
        for (int n = 0; n < 15; ++n) total += Scratch::padded<T>(into[n] = all[n]);
        return total;
    }
    static int64_t totals(const Problem &p) { return p.heads * (p.hidden + 1) + p.entries * p.hidden; }
    static int64_t bytes(const Problem &p) {
        int64_t into[15];
        return sizes(p, into) + Scratch::padded<double>(totals(p));
    }
    LocalWork(const Problem &p, Scratch &scratch) {
        int64_t size[15];
        sizes(p, size);
        T **arrays[] = {&hidden, &slope, &grad, &k, &grad_k, &grad_out, &linear, &across, &pairs, &values, &bias, &positions, &second, &second_bias, &forms};
        for (int n = 0; n < 15; ++n) *arrays[n] = scratch.take<T>(size[n]);
        total = scratch.take<double>(totals(p));
        for (int64_t n = 0; n < totals(p); ++n) total[n] = 0;
    }
};

// From the gradient of a query's factor, (hidden, row_rank), to those of its features and of the forms.
template <class T> inline void back_to_forms(const Group<T> &at, int64_t q, const LocalWork<T> &work) {
    const Problem &p = at.p;
    const int64_t depth = p.depth();
    const T *grad = work.linear + q * p.hidden * p.row_rank, *features = at.query(q), *forms = static_cast<const T *>(p.forms);
    const int64_t *of_row = static_cast<const int64_t *>(p.entry_rows), *of_column = static_cast<const int64_t *>(p.entry_columns);
    T *grad_query = static_cast<T *>(p.grad_query) + at.queries[q] * p.rank;
    for (int64_t c = 0; c < p.hidden; ++c)
        for (int64_t r = 0; r < depth; ++r) work.across[r * p.hidden + c] = grad[c * p.row_rank + r];
    for (int64_t e = 0; e < p.entries; ++e) {
        const T *from = work.across + of_column[e] * p.hidden;
        const Vec<T> feature = all(features[of_row[e]]);
        Vec<T> sums{};
        for (int64_t c = 0; c < p.hidden; c += WIDTH<T>) {
            const Vec<T> g = load(from + c);
            T *to = work.forms + e * p.hidden + c;
            store(to, load(to) + feature * g);
            sums += g * load(forms + e * p.hidden + c);
        }
        grad_query[of_row[e]] += sum<T>(sums);
    }
}

template <int64_t A, class T> void backward_group(Group<T> &at, const LocalWork<T> &work, const Range<T> &range) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    const int64_t row = p.heads * p.head_dim, k_row = p.heads * KEYS, weights = p.heads * p.hidden, geometry = p.geometry();
    const auto zero = [](T *numbers, int64_t count) { std::memset(numbers, 0, size_t(count) * sizeof(T)); };
    zero(work.second, weights * W), zero(work.second_bias, p.heads * W), zero(work.forms, p.entries * p.hidden);
    zero(work.linear, at.count * p.hidden * p.row_rank);
    for (int64_t q = 0; q < at.count; ++q)
        std::memcpy(work.grad_out + q * row, static_cast<const T *>(p.grad_out) + at.queries[q] * row, size_t(row) * sizeof(T));
    for (int64_t start = at.first; start < at.last; start += KEYS) {
        at.gather(start, true);
        const int64_t size = at.size;
        zero(work.pairs, p.rank * KEYS), zero(work.bias, KEYS), zero(work.positions, p.coordinates * KEYS);
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(Product<T>{work.grad_k + h * KEYS, k_row, work.grad_out + h * p.head_dim, row, 1, at.values_across + h * p.head_dim * KEYS, KEYS, p.head_dim}, at.count, size);
        for (int64_t q = 0; q < at.count; ++q) {
            T *k = work.k + q * k_row, *grad_k = work.grad_k + q * k_row;
            at.arguments(q, work.hidden);
            for (int64_t c = 0; c < p.hidden; ++c)
                for (int64_t j = 0; j < size; j += W) {
                    Vec<T> x = load(work.hidden + c * KEYS + j);
                    store(work.slope + c * KEYS + j, activate_and_derive<A, T>(x));
                    store(work.hidden + c * KEYS + j, x);
                }
            second_layer(p, work.hidden, size, k);
            at.exclude(q, k, p.softmax ? -__builtin_inf() : 0), at.exclude(q, grad_k, 0);
            if (p.softmax) {
                const int64_t n = at.queries[q] * p.heads;
                through_softmax(p, at.bias, static_cast<const T *>(p.log_total) + n, static_cast<const T *>(p.delta) + n, size, k, grad_k, work.bias);
            }
            for (int64_t h = 0; h < p.heads; ++h) {
                Vec<T> sums = load(work.second_bias + h * W);
                for (int64_t j = 0; j < size; j += W) sums += load(grad_k + h * KEYS + j);
                store(work.second_bias + h * W, sums);
            }
            back_to_arguments(p, size, grad_k, work.hidden, work.slope, work.second, work.grad);
            for (int64_t g = 0; g < geometry; ++g)
                for (int64_t j = 0; j < size; ++j) at.rows[j * p.row_rank + p.rank + g] = at.pairs[(p.rank + g) * KEYS + j];
            multiply<false>(Product<T>{work.linear + q * p.hidden * p.row_rank, p.row_rank, work.slope, KEYS, 1, at.rows, p.row_rank, size}, p.hidden, p.row_rank);
            multiply<false>(Product<T>{work.pairs, KEYS, at.of_query(q), p.hidden, 1, work.slope, KEYS, p.hidden}, p.rank, size);
            if (!p.grad_key_positions || !geometry) continue;
            T *grad_geometry = work.pairs + p.rank * KEYS;
            multiply<true>(Product<T>{grad_geometry, KEYS, at.of_query(q) + p.rank * p.hidden, p.hidden, 1, work.slope, KEYS, p.hidden}, geometry, size);
            differences_back(p, at.query_positions(q), at.positions, size, grad_geometry,
                             static_cast<T *>(p.grad_query_positions) + at.queries[q] * p.coordinates, work.positions);
        }
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(Product<T>{work.values + h * p.head_dim, row, work.k + h * KEYS, 1, k_row, work.grad_out + h * p.head_dim, row, at.count}, at.there, p.head_dim);
        for (int64_t j = 0; j < at.there; ++j) {
            const int64_t to = at.ranks[j] - range.low;
            for (int64_t r = 0; r < p.rank; ++r) range.key[to * p.rank + r] += work.pairs[r * KEYS + j];
            for (int64_t d = 0; d < row; ++d) range.values[to * row + d] += work.values[j * row + d];
            if (p.softmax) range.bias[to] += work.bias[j];
            for (int64_t axis = 0; p.grad_key_positions && axis < p.coordinates; ++axis)
                range.positions[to * p.coordinates + axis] += work.positions[axis * KEYS + j];
        }
    }
    if (at.first == at.last) return;
    for (int64_t q = 0; q < at.count; ++q) back_to_forms(at, q, work);
    for (int64_t n = 0; n < weights; ++n) work.total[n] += sum<T>(load(work.second + n * W));
    for (int64_t h = 0; h < p.heads; ++h) work.total[weights + h] += sum<T>(load(work.second_bias + h * W));
    for (int64_t n = 0; n < p.entries * p.hidden; ++n) work.total[weights + p.heads + n] += work.forms[n];
}

// The problem's gradients start at 0. A thread owns a range of groups, of about as many pairs as the others', and adds
// the gradients of keys to memory of its own, which is summed in the order of the threads.
template <int64_t A, class T> int backward_local(const Problem &p) {
    const int64_t *starts = static_cast<const int64_t *>(p.key_starts), row = p.heads * p.head_dim;
    const int32_t *ranks = static_cast<const int32_t *>(p.key_ranks);
    const int64_t each = p.rank + row + p.softmax + (p.grad_key_positions ? p.coordinates : 0), totals = LocalWork<T>::totals(p);
    Scratch shared(p.threads * int64_t(sizeof(Range<T>) + sizeof(double *)));
    Scratch of_totals(p.threads * totals * int64_t(sizeof(double)), true);
    if (!shared.there() || !of_totals.there()) return 1;
    Range<T> *ranges = shared.take<Range<T>>(p.threads);
    double *all_totals = of_totals.take<double>(p.threads * totals);
    int failed = 0;
#pragma omp parallel for num_threads(int(p.threads)) schedule(static, 1) reduction(| : failed)
    for (int64_t thread = 0; thread < p.threads; ++thread) {
        const auto bound = [&](int64_t n) {
            int64_t low = 0, high = p.groups;
            while (low < high) {
                const int64_t middle = (low + high) / 2;
                if (starts[middle] * p.threads < starts[p.groups] * n) low = middle + 1; else high = middle;
            }
            return n == p.threads ? p.groups : low;
        };
        const int64_t from = bound(thread), to = bound(thread + 1);
        Range<T> &range = ranges[thread];
        range = {p.keys, 0, nullptr, nullptr, nullptr, nullptr};
        for (int64_t n = starts[from]; n < starts[to]; ++n) {
            range.low = ranks[n] < range.low ? ranks[n] : range.low;
            range.high = ranks[n] >= range.high ? ranks[n] + 1 : range.high;
        }
        if (range.low >= range.high) continue;
        const int64_t count = range.high - range.low;
        range.key = static_cast<T *>(std::calloc(size_t(count * each), sizeof(T)));
        Scratch scratch(Group<T>::bytes(p, true) + LocalWork<T>::bytes(p));
        if (!range.key || !scratch.there()) {
            failed = 1;
            continue;
        }
        range.values = range.key + count * p.rank, range.bias = range.values + count * row, range.positions = range.bias + count * p.softmax;
        Group<T> at(p, scratch, true);
        const LocalWork<T> work(p, scratch);
        for (int64_t number = from; number < to; ++number) {
            at.choose(number);
            backward_group<A, T>(at, work, range);
        }
        std::memcpy(all_totals + thread * totals, work.total, size_t(totals) * sizeof(double));
    }
    const int64_t *order = static_cast<const int64_t *>(p.key_order);
    if (!failed) {
#pragma omp parallel for num_threads(int(p.threads)) schedule(static)
        for (int64_t rank = 0; rank < p.keys; ++rank)
            for (int64_t thread = 0; thread < p.threads; ++thread) {
                const Range<T> &range = ranges[thread];
                if (rank < range.low || rank >= range.high) continue;
                const int64_t key = order[rank], at = rank - range.low;
                const auto add_row = [&](void *to, const T *from, int64_t size) { add(static_cast<T *>(to) + key * size, from + at * size, size); };
                add_row(p.grad_key, range.key, p.rank), add_row(p.grad_values, range.values, row);
                if (p.softmax) add_row(p.grad_bias, range.bias, 1);
                if (p.grad_key_positions) add_row(p.grad_key_positions, range.positions, p.coordinates);
            }
        for (int64_t n = 0; n < totals; ++n) {
            double total = 0;
            for (int64_t thread = 0; thread < p.threads; ++thread) total += all_totals[thread * totals + n];
            const int64_t weights = p.heads * p.hidden;
            T *to = n < weights ? static_cast<T *>(p.grad_second) + n
                    : n < weights + p.heads ? static_cast<T *>(p.grad_second_bias) + n - weights
                                            : static_cast<T *>(p.grad_forms) + n - weights - p.heads;
            *to = T(total);
        }
    }
    for (int64_t thread = 0; thread < p.threads; ++thread) std::free(ranges[thread].key);
    return failed;
}

}  // namespace ITNET_ISA
