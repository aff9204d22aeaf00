// Sums over near keys: groups of near queries, each with a list of keys, which are taken in blocks. Of a block, a query meets
// the keys in its support alone, and reads their features and values where they are. In the first layer vectors run along the
// hidden units, so that any number of keys will do.
#pragma once
#include "backward.h"

namespace ITNET_ISA {

// A vector of the second layer has products of CHUNK hidden units for each of HEADS heads.
template <class T> constexpr int64_t HEADS = WIDTH<T> / CHUNK<T>;

// Sizes of the arrays, in numbers. Rows are padded to whole vectors.
template <class T> struct Layout {
    int64_t row, heads, features, columns;
    int64_t places = 2;  // most entries of T in a column but the first; two, but for the input `bilinear`

    explicit Layout(const Problem &p)
        : row(p.heads * p.head_dim), heads((p.heads + HEADS<T> - 1) / HEADS<T> * HEADS<T>), features(p.rank - 1),
          columns(up(p.rank - 1 + (p.grad_key_positions ? p.geometry() : 0))) {
        each_entry(p, [&](int64_t, int64_t, int64_t place) { if (place >= places) places = place + 1; });
    }
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

// A thread's arrays, cut from one allocation: measured first, with no memory, and then taken.
template <class T> struct LocalWork {
    T *linear, *positions, *geometry, *bias, *flags;        // of a group: a query's factor of the first layer, and the keys
    T *own_geometry, *own_bias, *hidden, *k;                // of a query and the keys that it meets; k is (heads, KEYS)
    T *second, *second_bias;                                // see `take`
    T *sums, *peak, *total;                                 // of a group's queries
    T *values, *values_across, *grad_out, *grad_k, *own_grad_k, *slope, *grad_linear, *grad_own;
    T *turned, *factors, *across;                           // see `turn`
    T *grad_keys, *grad_values, *grad_bias, *grad_positions;  // of the group's keys
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
        // Vectors of HEADS heads by CHUNK hidden units, or by CHUNK keys for the bias.
        const auto lanes = [&](T *to, int64_t first, const auto &entry) {
            for (int64_t n = 0; n < WIDTH<T>; ++n) to[n] = first + n / CHUNK<T> < p.heads ? entry(first + n / CHUNK<T>, n % CHUNK<T>) : T(0);
        };
        for (int64_t h = 0; h < l.heads; h += HEADS<T>) {
            for (int64_t c = 0; c < p.hidden; c += CHUNK<T>)
                lanes(second + h * p.hidden + c * HEADS<T>, h, [&](int64_t head, int64_t n) { return static_cast<const T *>(p.second)[head * p.hidden + c + n]; });
            lanes(second_bias + h * CHUNK<T>, h, [&](int64_t head, int64_t) { return static_cast<const T *>(p.second_bias)[head]; });
        }
        if (!backward) return;
        std::memset(turned, 0, size_t(l.places * p.hidden * l.columns) * sizeof(T));
        std::memset(factors, 0, size_t(l.places * l.columns) * sizeof(T));
        l.each_entry(p, [&](int64_t e, int64_t column, int64_t place) {
            for (int64_t c = 0; c < p.hidden; ++c) turned[(place * p.hidden + c) * l.columns + column] = static_cast<const T *>(p.forms)[e * p.hidden + c];
        });
    }

    // Compute a query's factor of the first layer with its axes exchanged, `across`, (hidden, columns), but for its first
    // column: the sum of the entries of T in a column, `turned`, each times a feature of the query, `factors`.
    void turn(const Problem &p, const Layout<T> &l, const T *features) const {
        const int64_t hidden = p.hidden, columns = l.columns, *rows = static_cast<const int64_t *>(p.entry_rows);
        l.each_entry(p, [&](int64_t e, int64_t column, int64_t place) { factors[place * columns + column] = features[rows[e]]; });
        for (int64_t r = 0; r < columns; r += WIDTH<T>) {
            const Vec<T> first = load(factors + r), second = load(factors + columns + r);
            for (int64_t c = 0; c < hidden; ++c) {
                const T *of = turned + c * columns + r;
                Vec<T> sum = first * load(of) + second * load(of + hidden * columns);
                for (int64_t place = 2; place < l.places; ++place) sum += load(factors + place * columns + r) * load(of + place * hidden * columns);
                store(across + c * columns + r, sum);
            }
        }
    }

  private:
    template <class F> void each(const Problem &p, bool backward, F f) {
        const Layout<T> l(p);
        const int64_t block = KEYS * p.hidden, of_k = KEYS * l.heads;
        f(linear, p.depth() * p.hidden), f(positions, p.coordinates * KEYS), f(geometry, p.geometry() * KEYS), f(bias, KEYS), f(flags, KEYS);
        f(own_geometry, p.geometry() * KEYS), f(own_bias, KEYS), f(hidden, block), f(k, of_k);
        f(second, p.hidden * l.heads), f(second_bias, l.heads * CHUNK<T>);
        f(sums, QUERIES * l.row), f(peak, QUERIES * p.heads), f(total, QUERIES * p.heads);
        if (!backward) return;
        f(values, KEYS * l.row), f(values_across, KEYS * l.row), f(grad_out, QUERIES * l.row), f(grad_k, QUERIES * p.heads * KEYS), f(own_grad_k, of_k), f(slope, block);
        f(grad_linear, p.depth() * p.hidden), f(grad_own, p.grad_key_positions ? KEYS * l.columns : 0);
        f(turned, l.places * p.hidden * l.columns), f(factors, l.places * l.columns), f(across, p.hidden * l.columns);
        f(grad_keys, KEYS * l.columns), f(grad_values, KEYS * l.row), f(grad_bias, KEYS), f(grad_positions, KEYS * p.coordinates);
        f(grad_second, p.heads * p.hidden), f(grad_second_bias, p.heads), f(grad_forms, p.entries * p.hidden), f(grad_query, p.rank * WIDTH<T>);
        f(grad_table, p.taps * p.hidden);
    }
};

// One group of queries, some of its keys, and one query with those of the keys that are in its support.
template <class T> class Group {
  public:
    static constexpr int64_t W = WIDTH<T>;

    Group(const Problem &problem, const LocalWork<T> &memory) : p(problem), w(memory), l(problem) {}

    void choose(int64_t number) {
        queries = static_cast<const int64_t *>(p.group_queries) + number * QUERIES;
        for (count = 0; count < QUERIES && queries[count] >= 0;) ++count;
        const int64_t *starts = static_cast<const int64_t *>(p.key_starts) + number;
        first = starts[0], last = starts[1];
    }

    void gather(int64_t start) {
        ranks = static_cast<const int32_t *>(p.key_ranks) + start;
        there = last - start < KEYS ? last - start : KEYS;
        size = Layout<T>::up(there);
        for (int64_t j = 0; j < size; ++j) {
            const int64_t key = static_cast<const int64_t *>(p.key_order)[ranks[j < there ? j : there - 1]];
            const T *position = static_cast<const T *>(p.key_positions) + key * p.coordinates;
            for (int64_t axis = 0; axis < p.coordinates; ++axis) w.positions[axis * KEYS + j] = position[axis];
            if (j >= there) continue;
            keys[j] = static_cast<const T *>(p.key) + key * p.rank;
            values[j] = static_cast<const T *>(p.values) + key * l.row;
            if (p.taps) cells[j] = static_cast<const int32_t *>(p.cells)[key];
            if (p.softmax) w.bias[j] = static_cast<const T *>(p.bias)[key];
        }
    }

    // Compute a query's factor of the first layer, (depth, hidden), and collect its keys. Returns their number.
    int64_t meet(int64_t q) {
        const T *x = position(q);
        linear_of(p, query(q), w.linear);
        for (int64_t j = 0; j < size; ++j) w.flags[j] = T(1);
        Support<T>{p, x, w.positions}.exclude(w.flags, 1, size, T(0));
        met = 0;
        for (int64_t j = 0; j < there; ++j) index[met] = j, met += w.flags[j] != 0;
        for (int64_t i = 0; i < met; ++i) own_keys[i] = keys[index[i]], own_values[i] = values[index[i]];
        if (p.geometry()) differences(p, x, w.positions, size, w.geometry);
        for (int64_t g = 0; g < p.geometry(); ++g)
            for (int64_t i = 0; i < met; ++i) w.own_geometry[g * KEYS + i] = w.geometry[g * KEYS + index[i]];
        for (int64_t i = 0; p.softmax && i < met; ++i) w.own_bias[i] = w.bias[index[i]];
        const int64_t here = p.taps ? p.tap_zero - static_cast<const int32_t *>(p.cells)[queries[q]] : 0;
        for (int64_t i = 0; p.taps && i < met; ++i) {
            const int64_t number = cells[index[i]] + here;
            tap[i] = (number < 0 || number >= p.taps ? 0 : number) * p.hidden;  // only if positions changed behind PyTorch's back
        }
        return met;
    }

    // The activated hidden layer, (keys, hidden), and its derivative for the backward pass. ReLU is computed in registers; other
    // activations in a loop, for they are too long to be repeated for each vector of a block.
    template <int64_t A, bool BACKWARD> void first_layer() {
        arguments<A == RELU, A == RELU && BACKWARD>();
        for (int64_t n = 0; A != RELU && n < met * p.hidden; n += W) activate_at<A, BACKWARD>(n, load(w.hidden + n));
    }
    template <bool FUSED, bool BACKWARD> void arguments() {
        const int64_t hidden = p.hidden;
        const T *table = static_cast<const T *>(p.table);
        in_strips<T>(hidden, [&](auto strip, int64_t column) {
            in_blocks(met, [&](auto block, int64_t row) {
                constexpr int R = block.value, V = strip.value;
                const T *own[R];
                Vec<T> sums[R][V];
                for (int r = 0; r < R; ++r) {
                    own[r] = own_keys[row + r];
                    for (int v = 0; v < V; ++v) sums[r][v] = p.taps ? load(table + tap[row + r] + column + v * W) : Vec<T>{};
                }
                accumulate(sums, w.linear + column, hidden, p.rank, [&](int r, int64_t k) { return own[r][k]; });
                accumulate(sums, w.linear + p.rank * hidden + column, hidden, p.geometry(), [&](int r, int64_t g) { return w.own_geometry[g * KEYS + row + r]; });
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < V; ++v) {
                        const int64_t at = (row + r) * hidden + column + v * W;
                        if constexpr (FUSED)
                            activate_at<RELU, BACKWARD>(at, sums[r][v]);
                        else
                            store(w.hidden + at, sums[r][v]);
                    }
            });
        });
    }

    // k of the query's keys, (heads, keys), with softmax the logits. The lanes of a vector are HEADS heads by CHUNK hidden units
    // until `across` adds up those of CHUNK keys.
    void second_layer() {
        constexpr int64_t B = 2 * CHUNK<T>;  // keys at once, to hide the latency of additions
        for (int64_t h = 0; h < l.heads; h += HEADS<T>) {
            const Vec<T> bias = load(w.second_bias + h * CHUNK<T>);
            for (int64_t i = 0; i < met; i += B) {
                const T *hidden[B], *second = w.second + h * p.hidden;
                Vec<T> sums[B] = {};
                for (int64_t n = 0; n < B; ++n) hidden[n] = w.hidden + (i + n < met ? i + n : met - 1) * p.hidden;
                for (int64_t c = 0; c < p.hidden; c += CHUNK<T>, second += W)
                    for (int64_t n = 0; n < B; ++n) sums[n] += repeat<T>(hidden[n] + c) * load(second);
                for (int64_t n = 0; n < B; n += CHUNK<T>) store_heads(i + n, h, bias + across<T>(sums + n));
            }
        }
        for (int64_t h = 0; h < p.heads; ++h) {
            T *k = w.k + h * KEYS;
            for (int64_t i = 0; p.softmax && i < met; i += W) store(k + i, load(k + i) + load(w.own_bias + i));
            for (int64_t i = met; i < Layout<T>::up(met); ++i) k[i] = LOWEST;
        }
    }

    template <int64_t A> void forward() {
        std::memset(w.sums, 0, size_t(QUERIES * l.row) * sizeof(T));
        for (int64_t n = 0; n < QUERIES * p.heads; ++n) w.peak[n] = LOWEST, w.total[n] = 0;
        for (int64_t start = first; start < last; start += KEYS) {
            gather(start);
            for (int64_t q = 0; q < count; ++q) {
                if (!meet(q)) continue;
                first_layer<A, false>();
                second_layer();
                if (p.softmax) exponentiate(q);
                int64_t d = 0;  // a row of four vectors, 4 heads of 16, at once: strips of three and one take 6% longer
                for (; d + 4 * W <= l.row; d += 4 * W) add_values<4>(q, d);
                for (; d < l.row; d += W) add_values<1>(q, d);
            }
        }
        for (int64_t q = 0; q < count; ++q)
            for (int64_t h = 0; h < p.heads; ++h) {
                const int64_t to = queries[q] * p.heads + h;
                const T total = w.total[q * p.heads + h], scale = p.softmax && total > 0 ? 1 / total : 1;
                for (int64_t d = 0; d < p.head_dim; ++d) static_cast<T *>(p.out)[to * p.head_dim + d] = w.sums[(q * p.heads + h) * p.head_dim + d] * scale;
                if (p.softmax) static_cast<T *>(p.log_total)[to] = total > 0 ? w.peak[q * p.heads + h] + T(__builtin_log(double(total))) : T(0);
            }
    }

    const T *query(int64_t q) const { return static_cast<const T *>(p.query) + queries[q] * p.rank; }
    const T *position(int64_t q) const { return static_cast<const T *>(p.query_positions) + queries[q] * p.coordinates; }

    const Problem &p;
    const LocalWork<T> &w;
    const Layout<T> l;
    const int64_t *queries;
    const int32_t *ranks;
    const T *keys[KEYS], *values[KEYS], *own_keys[KEYS], *own_values[KEYS];  // rows of the problem's arrays
    int64_t count, first, last, there, size, met, index[KEYS], cells[KEYS], tap[KEYS];

  private:
    static constexpr T LOWEST = sizeof(T) == 4 ? T(-3.4028234663852886e38) : T(-1.7976931348623157e308);

    template <int64_t A, bool BACKWARD> INLINE void activate_at(int64_t at, Vec<T> x) {
        if constexpr (BACKWARD) {
            const Vec<T> slope = activate_and_derive<A, T>(x);
            store(w.slope + at, slope);
            store(w.hidden + at, x);
        } else
            store(w.hidden + at, activate<A, T>(x));
    }

    void store_heads(int64_t i, int64_t h, Vec<T> k) {
        for (int64_t n = 0; n < HEADS<T>; ++n) std::memcpy(w.k + (h + n) * KEYS + i, reinterpret_cast<const T *>(&k) + n * CHUNK<T>, CHUNK<T> * sizeof(T));
    }

    // Add Σ k v to V vectors of a query's sums, from channel d of a row of values; each is of one head.
    template <int V> INLINE void add_values(int64_t q, int64_t d) {
        T *to = w.sums + q * l.row + d;
        const T *k[V];
        Vec<T> sums[V];
        for (int v = 0; v < V; ++v) k[v] = w.k + (d + v * W) / p.head_dim * KEYS, sums[v] = load(to + v * W);
        for (int64_t i = 0; i < met; ++i)
            for (int v = 0; v < V; ++v) sums[v] += all(k[v][i]) * load(own_values[i] + d + v * W);
        for (int v = 0; v < V; ++v) store(to + v * W, sums[v]);
    }

    // Replace logits by e^(logit − peak), and update the running peaks and totals of a query.
    void exponentiate(int64_t q) {
        for (int64_t h = 0; h < p.heads; ++h) {
            T *k = w.k + h * KEYS, &peak = w.peak[q * p.heads + h], &total = w.total[q * p.heads + h];
            Vec<T> highest = all(peak), sums{};
            for (int64_t i = 0; i < met; i += W) highest = larger<T>(highest, load(k + i));
            for (int64_t n = 1; n < W; ++n) highest[0] = highest[n] > highest[0] ? highest[n] : highest[0];
            highest = all(T(highest[0]));
            for (int64_t i = 0; i < met; i += W) {
                const Vec<T> weight = exponential(load(k + i) - highest);
                sums += weight;
                store(k + i, weight);
            }
            const T decay = exponential(all(peak) - highest)[0];
            peak = highest[0], total = total * decay + sum<T>(sums);
            for (int64_t d = 0; decay != 1 && d < p.head_dim; ++d) w.sums[q * l.row + h * p.head_dim + d] *= decay;
        }
    }
};

template <int64_t A, class T> int forward_local(const Problem &p) {
    int failed = 0;
#pragma omp parallel num_threads(int(p.threads)) reduction(| : failed)
    {
        const WithoutDenormals flushed;
        Scratch scratch(LocalWork<T>::bytes(p, false));
        failed |= !scratch.there();
        LocalWork<T> work;
        if (!failed) work.take(p, false, scratch);
        Group<T> at(p, work);
#pragma omp for schedule(dynamic, 8)
        for (int64_t number = 0; number < p.groups; ++number) {
            if (failed) continue;
            at.choose(number);
            at.template forward<A>();
        }
    }
    return failed;
}

// A thread's gradients of keys, those of a range of places in `key_order`; rows as in the problem's arrays.
template <class T> struct Range {
    int64_t low, high;
    T *key, *values, *bias, *positions;
};

// The gradients of a query and its keys, from the gradient of k that `w.grad_k` has for the group, and from the first layer.
template <class T> inline void backward_query(Group<T> &at, int64_t q) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    const LocalWork<T> &w = at.w;
    const Layout<T> &l = at.l;
    const int64_t met = at.met, hidden = p.hidden, query = at.queries[q];
    at.second_layer();
    for (int64_t h = 0; h < p.heads; ++h) {
        T *k = w.k + h * KEYS, *own = w.own_grad_k + h * KEYS;
        const T *grad_k = w.grad_k + (q * p.heads + h) * KEYS;
        Vec<T> sums{};
        for (int64_t i = 0; i < met; ++i) own[i] = grad_k[at.index[i]];
        for (int64_t i = met; i < Layout<T>::up(met); ++i) own[i] = 0;
        const T log_total = p.softmax ? static_cast<const T *>(p.log_total)[query * p.heads + h] : T(0), delta = p.softmax ? static_cast<const T *>(p.delta)[query * p.heads + h] : T(0);
        for (int64_t i = 0; i < met; i += W) {
            if (p.softmax) {
                const Vec<T> weight = exponential(load(k + i) - all(log_total));
                store(k + i, weight), store(own + i, weight * (load(own + i) - all(delta)));
            }
            sums += load(own + i);
        }
        for (int64_t i = 0; p.softmax && i < met; ++i) w.grad_bias[at.index[i]] += own[i];
        w.grad_second_bias[h] += sum<T>(sums);
    }
    in_strips<T>(l.row, [&](auto strip, int64_t d) {
        constexpr int V = strip.value;
        const T *k[V];
        Vec<T> grad[V];
        for (int v = 0; v < V; ++v) k[v] = w.k + (d + v * W) / p.head_dim * KEYS, grad[v] = load(w.grad_out + q * l.row + d + v * W);
        for (int64_t i = 0; i < met; ++i) {
            T *to = w.grad_values + at.index[i] * l.row + d;
            for (int v = 0; v < V; ++v) store(to + v * W, load(to + v * W) + all(k[v][i]) * grad[v]);
        }
    });
    multiply<false>(Product<T>{w.grad_second, hidden, w.own_grad_k, KEYS, 1, w.hidden, hidden, met}, p.heads, hidden);
    in_strips<T>(hidden, [&](auto strip, int64_t column) {
        constexpr int V = strip.value;
        in_blocks(met, [&](auto block, int64_t row) {
            constexpr int R = block.value;
            Vec<T> sums[R][V] = {};
            accumulate(sums, static_cast<const T *>(p.second) + column, hidden, p.heads, [&](int r, int64_t h) { return w.own_grad_k[h * KEYS + row + r]; });
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) {
                    T *slope = w.slope + (row + r) * hidden + column + v * W, *table = w.grad_table + at.tap[row + r] + column + v * W;
                    const Vec<T> grad = load(slope) * sums[r][v];
                    store(slope, grad);
                    if (p.taps) store(table, load(table) + grad);
                }
        });
        in_blocks(p.rank, [&](auto block, int64_t row) {
            constexpr int R = block.value;
            Vec<T> sums[R][V] = {};
            accumulate(sums, w.slope + column, hidden, met, [&](int r, int64_t i) { return at.own_keys[i][row + r]; });
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) store(w.grad_linear + (row + r) * hidden + column + v * W, sums[r][v]);
        });
    });
    multiply<true>(Product<T>{w.grad_linear + p.rank * hidden, hidden, w.own_geometry, KEYS, 1, w.slope, hidden, met}, p.geometry(), hidden);
    back_to_forms(p, at.query(q), w.grad_linear, w.grad_forms, w.grad_query, static_cast<T *>(p.grad_query) + query * p.rank);
    if (!l.columns) return;
    w.turn(p, l, at.query(q));
    in_strips<T>(l.columns, [&](auto strip, int64_t column) {
        in_blocks(met, [&](auto block, int64_t row) {
            constexpr int R = block.value, V = strip.value;
            Vec<T> sums[R][V] = {};
            accumulate(sums, w.across + column, l.columns, hidden, [&](int r, int64_t c) { return w.slope[(row + r) * hidden + c]; });
            for (int r = 0; r < R; ++r)
                for (int v = 0; v < V; ++v) {
                    T *to = w.grad_keys + at.index[row + r] * l.columns + column + v * W;
                    if (p.grad_key_positions) store(w.grad_own + (row + r) * l.columns + column + v * W, sums[r][v]);
                    store(to, load(to) + sums[r][v]);
                }
        });
    });
    for (int64_t i = 0; p.grad_key_positions && i < met; ++i) {
        const T *grad = w.grad_own + i * l.columns + l.features, *x = at.position(q);
        for (int64_t axis = 0; axis < p.coordinates; ++axis) {
            T g = p.displacement ? grad[axis] : T(0);
            if (p.distance) g += T(2) * (x[axis] - w.positions[axis * KEYS + at.index[i]]) * grad[p.geometry() - 1];
            static_cast<T *>(p.grad_query_positions)[query * p.coordinates + axis] += g;
            w.grad_positions[at.index[i] * p.coordinates + axis] -= g;
        }
    }
}

template <int64_t A, class T> void backward_group(Group<T> &at, const Range<T> &range, double *total) {
    const Problem &p = at.p;
    const LocalWork<T> &w = at.w;
    const Layout<T> &l = at.l;
    const int64_t weights = p.heads * p.hidden;
    const auto zero = [](T *numbers, int64_t count) { std::memset(numbers, 0, size_t(count) * sizeof(T)); };
    zero(w.grad_second, weights), zero(w.grad_second_bias, p.heads), zero(w.grad_forms, p.entries * p.hidden), zero(w.grad_table, p.taps * p.hidden);
    for (int64_t q = 0; q < at.count; ++q)
        std::memcpy(w.grad_out + q * l.row, static_cast<const T *>(p.grad_out) + at.queries[q] * l.row, size_t(l.row) * sizeof(T));
    for (int64_t start = at.first; start < at.last; start += KEYS) {
        at.gather(start);
        for (int64_t j = 0; j < at.size; ++j) {
            T *to = w.values + j * l.row;
            j < at.there ? std::memcpy(to, at.values[j], size_t(l.row) * sizeof(T)) : std::memset(to, 0, size_t(l.row) * sizeof(T));
        }
        transpose(w.values_across, KEYS, w.values, l.row, at.size, l.row);
        zero(w.grad_keys, at.there * l.columns), zero(w.grad_values, at.there * l.row), zero(w.grad_bias, KEYS), zero(w.grad_positions, at.there * p.coordinates);
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(Product<T>{w.grad_k + h * KEYS, p.heads * KEYS, w.grad_out + h * p.head_dim, l.row, 1, w.values_across + h * p.head_dim * KEYS, KEYS, p.head_dim}, at.count, at.size);
        for (int64_t q = 0; q < at.count; ++q)
            if (at.meet(q)) at.template first_layer<A, true>(), backward_query(at, q);
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

// The gradients of keys are written; the others start at 0. A thread owns a range of groups, of about as many pairs as the
// others', and adds the gradients of keys to memory of its own, which is summed in the order of the threads. Sums over all
// pairs, those of the weights, are in float64.
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
        const WithoutDenormals flushed;
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
        Group<T> at(p, work);
        for (int64_t number = from; number < to; ++number) {
            at.choose(number);
            backward_group<A>(at, range, all_totals + thread * totals);
        }
    }
    if (!failed) {
        const int64_t *order = static_cast<const int64_t *>(p.key_order);
#pragma omp parallel for num_threads(int(p.threads)) schedule(static)
        for (int64_t rank = 0; rank < p.keys; ++rank) {
            const auto write = [&](void *to, T *Range<T>::*of, int64_t size) {
                T *row_of_key = static_cast<T *>(to) + order[rank] * size;
                std::memset(row_of_key, 0, size_t(size) * sizeof(T));
                for (int64_t thread = 0; thread < p.threads; ++thread) {
                    const Range<T> &range = ranges[thread];
                    if (range.low <= rank && rank < range.high) add(row_of_key, range.*of + (rank - range.low) * size, size);
                }
            };
            write(p.grad_key, &Range<T>::key, p.rank), write(p.grad_values, &Range<T>::values, row);
            if (p.softmax) write(p.grad_bias, &Range<T>::bias, 1);
            if (p.grad_key_positions) write(p.grad_key_positions, &Range<T>::positions, p.coordinates);
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
