// Sums over near keys: groups of near queries, each with a list of keys. The keys of a group are gathered into a block,
// which its queries share; of these, a query meets those in its support alone. Vectors run along the hidden units, so
// that any number of keys will do.
#pragma once
#include "backward.h"

namespace ITNET_ISA {

// Sizes of the arrays, in numbers. Rows are padded to whole vectors.
template <class T> struct Layout {
    int64_t row, depth, keys, heads, features, columns;

    explicit Layout(const Problem &p)
        : row(p.heads * p.head_dim), depth(p.depth()), keys(up(p.depth())), heads(up(p.heads)), features(p.rank - 1),
          columns(up(p.rank - 1 + (p.grad_key_positions ? p.geometry() : 0))) {}
    // Call f(e, column, place) for the entries of T but those of the first column of ψ, whose gradient nobody needs: `place`
    // numbers the entries of a column.
    template <class F> void each_entry(const Problem &p, F f) const {
        const int64_t *of = static_cast<const int64_t *>(p.entry_columns);
        for (int64_t e = 0, place = 0; e < p.entries; ++e) {
            place = e && of[e] == of[e - 1] ? place + 1 : 0;
            if (of[e] && of[e] <= columns) f(e, of[e] - 1, place);
        }
    }
    static int64_t up(int64_t count) { return (count + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>; }
};

// The entries of T in a column but the first are at most two: a content or a phase of the key meets one of the query, and
// the constant or the other phase.
constexpr int64_t PLACES = 2;

template <class T> INLINE void copy(T *to, const T *from, int64_t count) {
    for (int64_t n = 0; n < count; n += WIDTH<T>) store(to + n, load(from + n));
}

// A thread's arrays, cut from one allocation: measured first, with no memory, and then taken.
template <class T> struct LocalWork {
    T *linear, *keys, *values, *positions, *geometry, *bias, *flags;                  // of a group: its queries' factors, its keys
    T *own, *hidden, *k, *second, *second_bias, *sums, *peak, *total;      // of a query; `second` is (hidden, heads)
    T *values_across, *grad_out, *grad_k, *own_grad_k, *slope, *grad_linear, *grad_own;
    T *turned, *factors, *across;                                          // see `turn`
    T *grad_keys, *grad_values, *grad_bias, *grad_positions;               // of the group's keys
    T *grad_second, *grad_second_bias, *grad_forms, *grad_query, *grad_table;

    static int64_t bytes(const Problem &p, bool backward) {
        int64_t total = 0;
        LocalWork work;
        work.each(p, backward, [&](T *&, int64_t count) { total += Scratch::padded<T>(count); });
        return total;
    }
    void take(const Problem &p, bool backward, Scratch &scratch) {
        each(p, backward, [&](T *&array, int64_t count) { array = scratch.take<T>(count); });
        const Layout<T> l(p);
        for (int64_t c = 0; c < p.hidden; ++c)
            for (int64_t h = 0; h < l.heads; ++h) second[c * l.heads + h] = h < p.heads ? static_cast<const T *>(p.second)[h * p.hidden + c] : T(0);
        for (int64_t h = 0; h < l.heads; ++h) second_bias[h] = h < p.heads ? static_cast<const T *>(p.second_bias)[h] : T(0);
        if (!backward) return;
        std::memset(turned, 0, size_t(PLACES * p.hidden * l.columns) * sizeof(T));
        std::memset(factors, 0, size_t(PLACES * l.columns) * sizeof(T));
        l.each_entry(p, [&](int64_t e, int64_t column, int64_t place) {
            for (int64_t c = 0; c < p.hidden; ++c) turned[(place * p.hidden + c) * l.columns + column] = static_cast<const T *>(p.forms)[e * p.hidden + c];
        });
    }

    // Compute a query's factor of the first layer with its axes exchanged, `across`, (hidden, columns), but for its first
    // column: the sum of two entries of T, `turned`, each times a feature of the query, `factors`.
    void turn(const Problem &p, const Layout<T> &l, const T *features) const {
        const int64_t hidden = p.hidden, columns = l.columns, *rows = static_cast<const int64_t *>(p.entry_rows);
        l.each_entry(p, [&](int64_t e, int64_t column, int64_t place) { factors[place * columns + column] = features[rows[e]]; });
        for (int64_t r = 0; r < columns; r += WIDTH<T>) {
            const Vec<T> first = load(factors + r), second = load(factors + columns + r);
            for (int64_t c = 0; c < hidden; ++c) {
                const T *of = turned + c * columns + r;
                store(across + c * columns + r, first * load(of) + second * load(of + hidden * columns));
            }
        }
    }

  private:
    template <class F> void each(const Problem &p, bool backward, F f) {
        const Layout<T> l(p);
        const int64_t block = KEYS * p.hidden, of_k = KEYS * l.heads;
        f(linear, l.depth * p.hidden), f(keys, KEYS * l.keys), f(values, KEYS * l.row), f(positions, p.coordinates * KEYS), f(geometry, p.geometry() * KEYS), f(bias, KEYS), f(flags, KEYS);
        f(own, KEYS * l.keys), f(hidden, block), f(k, of_k), f(second, p.hidden * l.heads), f(second_bias, l.heads);
        f(sums, QUERIES * l.row), f(peak, QUERIES * l.heads), f(total, QUERIES * l.heads);
        if (!backward) return;
        f(values_across, KEYS * l.row), f(grad_out, QUERIES * l.row), f(grad_k, QUERIES * p.heads * KEYS), f(own_grad_k, of_k), f(slope, block);
        f(grad_linear, l.depth * p.hidden), f(grad_own, KEYS * l.columns);
        f(turned, PLACES * p.hidden * l.columns), f(factors, PLACES * l.columns), f(across, p.hidden * l.columns);
        f(grad_keys, KEYS * l.columns), f(grad_values, KEYS * l.row), f(grad_bias, KEYS), f(grad_positions, KEYS * p.coordinates);
        f(grad_second, p.heads * p.hidden), f(grad_second_bias, l.heads), f(grad_forms, p.entries * p.hidden), f(grad_query, p.rank * WIDTH<T>);
        f(grad_table, p.taps * p.hidden);
    }
};

// One group of queries, some of its keys, and one query with those of the keys that are in its support.
template <int64_t A, class T> class Group {
  public:
    static constexpr int64_t W = WIDTH<T>;

    Group(const Problem &problem, const LocalWork<T> &memory) : p(problem), w(memory), l(problem) {}

    void choose(int64_t number) {
        queries = static_cast<const int64_t *>(p.group_queries) + number * QUERIES;
        for (count = 0; count < QUERIES && queries[count] >= 0;) ++count;
        const int64_t *starts = static_cast<const int64_t *>(p.key_starts) + number;
        first = starts[0], last = starts[1];
    }

    void gather(int64_t start, bool backward) {
        ranks = static_cast<const int32_t *>(p.key_ranks) + start;
        there = last - start < KEYS ? last - start : KEYS;
        size = Layout<T>::up(there);
        for (int64_t j = 0; j < size; ++j) {
            const int64_t key = static_cast<const int64_t *>(p.key_order)[ranks[j < there ? j : there - 1]];
            const T *position = static_cast<const T *>(p.key_positions) + key * p.coordinates, *value = static_cast<const T *>(p.values) + key * l.row;
            for (int64_t axis = 0; axis < p.coordinates; ++axis) w.positions[axis * KEYS + j] = position[axis];
            if (j >= there) continue;
            if (p.taps) cells[j] = static_cast<const int32_t *>(p.cells)[key];
            copy(w.keys + j * l.keys, static_cast<const T *>(p.key) + key * p.row_rank, l.keys);
            copy(w.values + j * l.row, value, l.row);
            if (p.softmax) w.bias[j] = static_cast<const T *>(p.bias)[key];
        }
        if (!backward) return;
        std::memset(w.values + there * l.row, 0, size_t((size - there) * l.row) * sizeof(T));
        transpose(w.values_across, KEYS, w.values, l.row, size, l.row);
    }

    // Compute a query's factor of the first layer, (depth, hidden), and collect its keys. Returns their number.
    int64_t meet(int64_t q) {
        const T *x = position(q);
        linear_of(p, query(q), w.linear);
        for (int64_t j = 0; j < size; ++j) w.flags[j] = T(1);
        Support<T>{p, x, w.positions}.exclude(w.flags, 1, size, T(0));
        if (p.geometry()) differences(p, x, w.positions, size, w.geometry);
        met = 0;
        const int64_t here = p.taps ? p.tap_zero - static_cast<const int32_t *>(p.cells)[queries[q]] : 0;
        for (int64_t j = 0; j < there; ++j) {
            if (w.flags[j] == 0) continue;
            if (p.taps) {
                tap[met] = cells[j] + here;
                if (tap[met] < 0 || tap[met] >= p.taps) continue;  // only if positions changed behind PyTorch's back
            }
            T *own = w.own + met * l.keys;
            copy(own, w.keys + j * l.keys, l.keys);
            for (int64_t g = 0; g < p.geometry(); ++g) own[p.rank + g] = w.geometry[g * KEYS + j];
            index[met++] = j;
        }
        rows = (met + 3) / 4 * 4;
        std::memset(w.own + met * l.keys, 0, size_t((rows - met) * l.keys) * sizeof(T));
        const Product<T> layer{w.hidden, p.hidden, w.own, l.keys, 1, w.linear, p.hidden, l.depth};
        if (!p.taps) {
            multiply<true>(layer, rows, p.hidden);
            return met;
        }
        for (int64_t i = 0; i < met; ++i) copy(w.hidden + i * p.hidden, static_cast<const T *>(p.table) + tap[i] * p.hidden, p.hidden);
        std::memset(w.hidden + met * p.hidden, 0, size_t((rows - met) * p.hidden) * sizeof(T));
        multiply<false>(layer, rows, p.hidden);
        return met;
    }

    // k of the query's keys, (keys, heads), from the activated hidden layer; with softmax the logits.
    void second_layer() {
        for (int64_t i = 0; i < met; ++i)
            for (int64_t h = 0; h < l.heads; h += W) {
                const Vec<T> bias = load(w.second_bias + h);
                store(w.k + i * l.heads + h, p.softmax ? bias + all(w.bias[index[i]]) : bias);
            }
        multiply<false>(Product<T>{w.k, l.heads, w.hidden, p.hidden, 1, w.second, l.heads, p.hidden}, rows, l.heads);
    }

    void forward() {
        const T lowest = sizeof(T) == 4 ? T(-3.4028234663852886e38) : T(-1.7976931348623157e308);
        std::memset(w.sums, 0, size_t(QUERIES * l.row) * sizeof(T));
        for (int64_t n = 0; n < QUERIES * l.heads; ++n) w.peak[n] = lowest, w.total[n] = 0;
        for (int64_t start = first; start < last; start += KEYS) {
            gather(start, false);
            for (int64_t q = 0; q < count; ++q) {
                if (!meet(q)) continue;
                for (int64_t n = 0; n < met * p.hidden; n += W) store(w.hidden + n, activate<A, T>(load(w.hidden + n)));
                second_layer();
                if (p.softmax) exponentiate(q);
                int64_t d = 0;
                for (; d + 4 * W <= l.row; d += 4 * W) add_values<4>(q, d);
                for (; d < l.row; d += W) add_values<1>(q, d);
            }
        }
        for (int64_t q = 0; q < count; ++q)
            for (int64_t h = 0; h < p.heads; ++h) {
                const int64_t to = queries[q] * p.heads + h;
                const T total = w.total[q * l.heads + h], scale = p.softmax && total > 0 ? 1 / total : 1;
                for (int64_t d = 0; d < p.head_dim; ++d) static_cast<T *>(p.out)[to * p.head_dim + d] = w.sums[(q * p.heads + h) * p.head_dim + d] * scale;
                if (p.softmax) static_cast<T *>(p.log_total)[to] = total > 0 ? w.peak[q * l.heads + h] + T(__builtin_log(double(total))) : T(0);
            }
    }

    const T *query(int64_t q) const { return static_cast<const T *>(p.query) + queries[q] * p.rank; }
    const T *position(int64_t q) const { return static_cast<const T *>(p.query_positions) + queries[q] * p.coordinates; }

    const Problem &p;
    const LocalWork<T> &w;
    const Layout<T> l;
    const int64_t *queries;
    const int32_t *ranks;
    int64_t count, first, last, there, size, met, index[KEYS], cells[KEYS], tap[KEYS];
    int64_t rows;  // `met`, rounded up: a product of a single row would wait for its additions

  private:
    // Add Σ k v to V vectors of a query's sums, from channel d of a row of values; each is of one head.
    template <int V> INLINE void add_values(int64_t q, int64_t d) {
        T *to = w.sums + q * l.row + d;
        const T *k[V];
        Vec<T> sums[V];
        for (int v = 0; v < V; ++v) k[v] = w.k + (d + v * W) / p.head_dim, sums[v] = load(to + v * W);
        for (int64_t i = 0; i < met; ++i) {
            const T *value = w.values + index[i] * l.row + d;
            for (int v = 0; v < V; ++v) sums[v] += all(k[v][i * l.heads]) * load(value + v * W);
        }
        for (int v = 0; v < V; ++v) store(to + v * W, sums[v]);
    }

    // Replace logits by e^(logit − peak), and update the running peaks and totals of a query; all heads at once.
    void exponentiate(int64_t q) {
        for (int64_t h = 0; h < l.heads; h += W) {
            T *peak = w.peak + q * l.heads + h, *total = w.total + q * l.heads + h;
            const Vec<T> before = load(peak);
            Vec<T> highest = before, sums{};
            for (int64_t i = 0; i < met; ++i) highest = larger<T>(highest, load(w.k + i * l.heads + h));
            for (int64_t i = 0; i < met; ++i) {
                const Vec<T> weight = exponential(load(w.k + i * l.heads + h) - highest);
                sums += weight;
                store(w.k + i * l.heads + h, weight);
            }
            const Vec<T> decay = exponential(before - highest);
            store(peak, highest), store(total, load(total) * decay + sums);
            for (int64_t n = 0; n < W && h + n < p.heads; ++n)
                for (int64_t d = 0; decay[n] != 1 && d < p.head_dim; ++d) w.sums[q * l.row + (h + n) * p.head_dim + d] *= decay[n];
        }
    }
};

template <int64_t A, class T> int forward_local(const Problem &p) {
    int failed = 0;
#pragma omp parallel num_threads(int(p.threads)) reduction(| : failed)
    {
        Scratch scratch(LocalWork<T>::bytes(p, false));
        failed |= !scratch.there();
        LocalWork<T> work;
        if (!failed) work.take(p, false, scratch);
        Group<A, T> at(p, work);
#pragma omp for schedule(dynamic, 8)
        for (int64_t number = 0; number < p.groups; ++number) {
            if (failed) continue;
            at.choose(number);
            at.forward();
        }
    }
    return failed;
}

// A thread's gradients of keys, those of a range of places in `key_order`; rows as in the problem's arrays.
template <class T> struct Range {
    int64_t low, high;
    T *key, *values, *bias, *positions;
};

// The gradients of a query and its keys, from the gradient of k that `w.grad_k` has for the group.
template <int64_t A, class T> inline void backward_query(Group<A, T> &at, int64_t q) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    const LocalWork<T> &w = at.w;
    const Layout<T> &l = at.l;
    const int64_t met = at.met;
    for (int64_t n = 0; n < met * p.hidden; n += W) {
        Vec<T> x = load(w.hidden + n);
        store(w.slope + n, activate_and_derive<A, T>(x));
        store(w.hidden + n, x);
    }
    at.second_layer();
    const int64_t heads = p.heads, padded = l.heads, row = l.row;
    T *k = w.k, *own_grad_k = w.own_grad_k, *grad_values = w.grad_values;
    std::memset(own_grad_k, 0, size_t(met * padded) * sizeof(T));
    for (int64_t h = 0; h < heads; ++h) {
        const T *grad_k = w.grad_k + (q * heads + h) * KEYS;
        for (int64_t i = 0; i < met; ++i) own_grad_k[i * padded + h] = grad_k[at.index[i]];
    }
    for (int64_t h = 0; h < l.heads; h += W) {
        T log_total[W] = {}, delta[W] = {};
        for (int64_t n = 0; p.softmax && n < W && h + n < p.heads; ++n) {
            log_total[n] = static_cast<const T *>(p.log_total)[at.queries[q] * p.heads + h + n];
            delta[n] = static_cast<const T *>(p.delta)[at.queries[q] * p.heads + h + n];
        }
        Vec<T> sums = load(w.grad_second_bias + h);
        for (int64_t i = 0; i < met; ++i) {
            T *k = w.k + i * l.heads + h, *grad_k = w.own_grad_k + i * l.heads + h;
            if (p.softmax) {
                const Vec<T> weight = exponential(load(k) - load(log_total)), grad = weight * (load(grad_k) - load(delta));
                store(k, weight), store(grad_k, grad);
                w.grad_bias[at.index[i]] += sum<T>(grad);
            }
            sums += load(grad_k);
        }
        store(w.grad_second_bias + h, sums);
    }
    const T *grad_out = w.grad_out + q * l.row;
    for (int64_t h = 0, d = 0; h < heads; ++h)
        for (const int64_t end = d + p.head_dim; d < end; d += W) {
            const Vec<T> grad = load(grad_out + d);
            for (int64_t i = 0; i < met; ++i) {
                T *to = grad_values + at.index[i] * row + d;
                store(to, load(to) + all(k[i * padded + h]) * grad);
            }
        }
    multiply<false>(Product<T>{w.grad_second, p.hidden, w.own_grad_k, 1, l.heads, w.hidden, p.hidden, met}, p.heads, p.hidden);
    multiply<true>(Product<T>{w.hidden, p.hidden, w.own_grad_k, l.heads, 1, static_cast<const T *>(p.second), p.hidden, p.heads}, met, p.hidden);
    for (int64_t n = 0; n < met * p.hidden; n += W) store(w.slope + n, load(w.slope + n) * load(w.hidden + n));
    for (int64_t i = 0; p.taps && i < met; ++i) add(w.grad_table + at.tap[i] * p.hidden, w.slope + i * p.hidden, p.hidden);
    multiply<true>(Product<T>{w.grad_linear, p.hidden, w.own, 1, l.keys, w.slope, p.hidden, met}, l.depth, p.hidden);
    back_to_forms(p, at.query(q), w.grad_linear, w.grad_forms, w.grad_query, static_cast<T *>(p.grad_query) + at.queries[q] * p.rank);
    if (!l.columns) return;
    w.turn(p, l, at.query(q));
    multiply<true>(Product<T>{w.grad_own, l.columns, w.slope, p.hidden, 1, w.across, l.columns, p.hidden}, at.rows, l.columns);
    for (int64_t i = 0; i < met; ++i) {
        T *to = w.grad_keys + at.index[i] * l.columns;
        for (int64_t r = 0; r < l.columns; r += W) store(to + r, load(to + r) + load(w.grad_own + i * l.columns + r));
        if (!p.grad_key_positions) continue;
        const T *grad = w.grad_own + i * l.columns + l.features, *x = at.position(q);
        for (int64_t axis = 0; axis < p.coordinates; ++axis) {
            T g = p.displacement ? grad[axis] : T(0);
            if (p.distance) g += T(2) * (x[axis] - w.positions[axis * KEYS + at.index[i]]) * grad[p.geometry() - 1];
            static_cast<T *>(p.grad_query_positions)[at.queries[q] * p.coordinates + axis] += g;
            w.grad_positions[at.index[i] * p.coordinates + axis] -= g;
        }
    }
}

template <int64_t A, class T> void backward_group(Group<A, T> &at, const Range<T> &range, double *total) {
    const Problem &p = at.p;
    const LocalWork<T> &w = at.w;
    const Layout<T> &l = at.l;
    const int64_t weights = p.heads * p.hidden;
    const auto zero = [](T *numbers, int64_t count) { std::memset(numbers, 0, size_t(count) * sizeof(T)); };
    zero(w.grad_second, weights), zero(w.grad_second_bias, l.heads), zero(w.grad_forms, p.entries * p.hidden), zero(w.grad_table, p.taps * p.hidden);
    for (int64_t q = 0; q < at.count; ++q)
        std::memcpy(w.grad_out + q * l.row, static_cast<const T *>(p.grad_out) + at.queries[q] * l.row, size_t(l.row) * sizeof(T));
    for (int64_t start = at.first; start < at.last; start += KEYS) {
        at.gather(start, true);
        zero(w.grad_keys, at.there * l.columns), zero(w.grad_values, at.there * l.row), zero(w.grad_bias, KEYS), zero(w.grad_positions, at.there * p.coordinates);
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(Product<T>{w.grad_k + h * KEYS, p.heads * KEYS, w.grad_out + h * p.head_dim, l.row, 1, w.values_across + h * p.head_dim * KEYS, KEYS, p.head_dim}, at.count, at.size);
        for (int64_t q = 0; q < at.count; ++q)
            if (at.meet(q)) backward_query(at, q);
        for (int64_t j = 0; j < at.there; ++j) {
            const int64_t to = at.ranks[j] - range.low;
            add(range.key + to * p.rank + 1, w.grad_keys + j * l.columns, l.features);
            add(range.values + to * l.row, w.grad_values + j * l.row, l.row);
            if (p.softmax) range.bias[to] += w.grad_bias[j];
            if (p.grad_key_positions) add(range.positions + to * p.coordinates, w.grad_positions + j * p.coordinates, p.coordinates);
        }
    }
    for (int64_t n = 0; n < weights; ++n) total[n] += w.grad_second[n];
    for (int64_t h = 0; h < p.heads; ++h) total[weights + h] += w.grad_second_bias[h];
    total += weights + p.heads;
    for (int64_t n = 0; n < p.entries * p.hidden; ++n) *total++ += w.grad_forms[n];
    for (int64_t n = 0; n < p.taps * p.hidden; ++n) *total++ += w.grad_table[n];
}

// The problem's gradients start at 0. A thread owns a range of groups, of about as many pairs as the others', and adds
// the gradients of keys to memory of its own, which is summed in the order of the threads. Sums over all pairs, those of
// the weights, are in float64.
template <int64_t A, class T> int backward_local(const Problem &p) {
    const int64_t *starts = static_cast<const int64_t *>(p.key_starts), row = p.heads * p.head_dim, weights = p.heads * p.hidden;
    const int32_t *ranks = static_cast<const int32_t *>(p.key_ranks);
    const int64_t each = p.rank + row + p.softmax + (p.grad_key_positions ? p.coordinates : 0), totals = weights + p.heads + (p.entries + p.taps) * p.hidden;
    Scratch shared(p.threads * int64_t(sizeof(Range<T>))), of_totals(p.threads * totals * int64_t(sizeof(double)), true);
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
                if (starts[middle] * p.threads < starts[p.groups] * n)
                    low = middle + 1;
                else
                    high = middle;
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
        Scratch scratch(LocalWork<T>::bytes(p, true));
        if (!range.key || !scratch.there()) {
            failed = 1;
            continue;
        }
        range.values = range.key + count * p.rank, range.bias = range.values + count * row, range.positions = range.bias + count * p.softmax;
        LocalWork<T> work;
        work.take(p, true, scratch);
        Group<A, T> at(p, work);
        for (int64_t number = from; number < to; ++number) {
            at.choose(number);
            backward_group(at, range, all_totals + thread * totals);
        }
    }
    if (!failed) {
        const int64_t *order = static_cast<const int64_t *>(p.key_order);
#pragma omp parallel for num_threads(int(p.threads)) schedule(static)
        for (int64_t rank = 0; rank < p.keys; ++rank)
            for (int64_t thread = 0; thread < p.threads; ++thread) {
                const Range<T> &range = ranges[thread];
                if (rank < range.low || rank >= range.high) continue;
                const auto add_row = [&](void *to, const T *from, int64_t size) { add(static_cast<T *>(to) + order[rank] * size, from + (rank - range.low) * size, size); };
                add_row(p.grad_key, range.key, p.rank), add_row(p.grad_values, range.values, row);
                if (p.softmax) add_row(p.grad_bias, range.bias, 1);
                if (p.grad_key_positions) add_row(p.grad_key_positions, range.positions, p.coordinates);
            }
        const double *from = all_totals;
        const auto sum_to = [&](void *to, int64_t count) {
            for (int64_t n = 0; n < count; ++n, ++from) {
                double total = 0;
                for (int64_t thread = 0; thread < p.threads; ++thread) total += from[thread * totals];
                static_cast<T *>(to)[n] = T(total);
            }
        };
        sum_to(p.grad_second, weights), sum_to(p.grad_second_bias, p.heads), sum_to(p.grad_forms, p.entries * p.hidden);
        sum_to(p.grad_table, p.taps * p.hidden);
    }
    for (int64_t thread = 0; thread < p.threads; ++thread) std::free(ranges[thread].key);
    return failed;
}

}  // namespace ITNET_ISA
