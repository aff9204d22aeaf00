// Gradients by recomputation. A thread owns a range of query blocks and adds its gradients of keys and weights to memory
// of its own; these are summed in the order of the threads, so that results are deterministic for a number of threads.
#pragma once
#include "forward.h"

namespace ITNET_ISA {

// Gradients of what several queries share, in the arrays of one sample's keys.
template <class T> struct Shared {
    T *key, *values, *bias, *positions;
};

template <class T> struct Sizes {
    int64_t key, values, bias, positions, second;  // sizes, for a sample's keys and the second layer

    explicit Sizes(const Problem &p)
        : key(p.blocks * (p.rank ? p.rank : p.hidden) * KEYS), values(p.blocks * p.heads * p.head_dim * KEYS),
          bias(p.softmax ? p.blocks * KEYS : 0), positions(p.grad_key_positions ? p.blocks * p.coordinates * KEYS : 0),
          second(p.heads * p.hidden) {}
    int64_t shared() const { return key + values + bias + positions; }
};

// A thread's working memory. The second layer's gradients of each block of queries are summed in float64: one running sum
// over all pairs would lose digits.
template <class T> struct Work {
    T *pairs, *rows, *grad_pairs, *hidden, *slope, *grad, *k, *grad_k, *query, *second, *second_bias;
    double *total;  // gradients of the second layer's weights and biases

    static int64_t query_size(const Problem &p) { return p.rank ? 0 : QUERIES * p.hidden * WIDTH<T>; }
    static int64_t pairs_size(const Problem &p) { return p.geometry() ? p.depth() * KEYS : 0; }
    static int64_t rows_size(const Problem &p) { return p.geometry() ? p.row_rank * KEYS : 0; }
    static int64_t bytes(const Problem &p) {
        const int64_t block = Scratch::padded<T>(p.hidden * KEYS), k = Scratch::padded<T>(QUERIES * p.heads * KEYS);
        const int64_t geometry = 2 * Scratch::padded<T>(pairs_size(p)) + Scratch::padded<T>(rows_size(p));
        return geometry + 3 * block + 2 * k + Scratch::padded<T>(query_size(p)) + Scratch::padded<T>(p.heads * p.hidden * WIDTH<T>) +
               Scratch::padded<T>(p.heads * WIDTH<T>) + Scratch::padded<double>(p.heads * (p.hidden + 1));
    }
    Work(const Problem &p, Scratch &scratch) {
        pairs = scratch.take<T>(pairs_size(p)), grad_pairs = scratch.take<T>(pairs_size(p));
        rows = scratch.take<T>(rows_size(p));
        hidden = scratch.take<T>(p.hidden * KEYS), slope = scratch.take<T>(p.hidden * KEYS);
        grad = scratch.take<T>(p.hidden * KEYS);
        k = scratch.take<T>(QUERIES * p.heads * KEYS), grad_k = scratch.take<T>(QUERIES * p.heads * KEYS);
        query = scratch.take<T>(query_size(p));
        second = scratch.take<T>(p.heads * p.hidden * WIDTH<T>), second_bias = scratch.take<T>(p.heads * WIDTH<T>);
        total = scratch.take<double>(p.heads * (p.hidden + 1));
        for (int64_t n = 0; n < p.heads * (p.hidden + 1); ++n) total[n] = 0;
    }
};

// In place: turn k into the weights of the values, and grad_k, the gradient of these weights, into the gradient of k.
template <class T>
inline void through_softmax(const Problem &p, const T *bias, const T *log_totals, const T *deltas, int64_t size, T *k, T *grad_k, T *grad_bias) {
    for (int64_t h = 0; h < p.heads; ++h) {
        const Vec<T> log_total = all(log_totals[h]), delta = all(deltas[h]);
        for (int64_t j = 0; j < size; j += WIDTH<T>) {
            const Vec<T> weight = exponential((load(k + h * KEYS + j) + load(bias + j)) - log_total);
            const Vec<T> grad = weight * (load(grad_k + h * KEYS + j) - delta);
            store(k + h * KEYS + j, weight);
            store(grad_k + h * KEYS + j, grad);
            store(grad_bias + j, load(grad_bias + j) + grad);
        }
    }
}

// Backward pass of a bilinear first layer: from the gradient of the hidden layer's arguments, (hidden, KEYS), to those of
// the query and of the keys.
template <class T>
inline void back_to_features(const Blocks<T> &at, int64_t number, int64_t q, int64_t size, const Work<T> &work, const Shared<T> &shared) {
    const Problem &p = at.p;
    const int64_t n = at.sample * p.queries + at.first + q, depth = p.depth(), geometry = p.geometry();
    T *grad_query = static_cast<T *>(p.grad_query) + n * p.hidden * p.row_rank, *grad_key = shared.key + number * p.rank * KEYS;
    const T *rows = static_cast<const T *>(p.key_rows) + at.block(number, KEYS * p.row_rank);
    if (geometry) {  // `work.rows` holds the block's rows, without the geometry
        for (int64_t g = 0; g < geometry; ++g)
            for (int64_t j = 0; j < size; ++j) work.rows[j * p.row_rank + p.rank + g] = work.pairs[(p.rank + g) * KEYS + j];
        rows = work.rows;
    }
    multiply<false>(Product<T>{grad_query, p.row_rank, work.slope, KEYS, 1, rows, p.row_rank, size}, p.hidden, p.row_rank);
    multiply<false>(Product<T>{grad_key, KEYS, at.query(q), 1, depth, work.slope, KEYS, p.hidden}, p.rank, size);
    if (!p.grad_key_positions) return;
    multiply<true>(Product<T>{work.grad_pairs, KEYS, at.query(q) + p.rank, 1, depth, work.slope, KEYS, p.hidden}, geometry, size);
    differences_back(p, at.query_positions(q), at.key_positions(number), size, work.grad_pairs,
                     static_cast<T *>(p.grad_query_positions) + n * p.coordinates, shared.positions + number * p.coordinates * KEYS);
}

// The same for an additive kernel.
template <class T>
inline void back_to_sides(const Blocks<T> &at, int64_t q, int64_t size, const T *grad, T *own, T *grad_key) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    for (int64_t c = 0; c < p.hidden; ++c) {
        Vec<T> sums = load(own + (q * p.hidden + c) * W);
        for (int64_t j = 0; j < size; j += W) {
            const Vec<T> g = load(grad + c * KEYS + j);
            T *to = grad_key + c * KEYS + j;
            sums += g;
            store(to, load(to) + g);
        }
        store(own + (q * p.hidden + c) * W, sums);
    }
}

template <int64_t A, class T> void backward_block(const Blocks<T> &at, const Work<T> &work, const Shared<T> &shared) {
    constexpr int64_t W = WIDTH<T>;
    const Problem &p = at.p;
    const int64_t row = p.heads * p.head_dim, k_row = p.heads * KEYS, first = at.sample * p.queries + at.first;
    const T *grad_out = static_cast<const T *>(p.grad_out) + first * row;
    const int64_t weights = p.heads * p.hidden;
    for (int64_t n = 0; n < Work<T>::query_size(p); ++n) work.query[n] = 0;
    for (int64_t n = 0; n < weights * W; ++n) work.second[n] = 0;
    for (int64_t n = 0; n < p.heads * W; ++n) work.second_bias[n] = 0;
    for (int64_t number = 0; number < p.blocks; ++number) {
        const Reach reach = at.reach(number);
        if (reach == NONE) continue;
        const int64_t size = at.size(number), across = p.head_dim * KEYS;
        const T *values = static_cast<const T *>(p.values) + at.block(number, p.heads * across);
        T *grad_key = shared.key + number * (p.rank ? p.rank : p.hidden) * KEYS;
        T *grad_values = shared.values + number * p.heads * across, *grad_bias = shared.bias + number * KEYS;
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(
                Product<T>{work.grad_k + h * KEYS, k_row, grad_out + h * p.head_dim, row, 1, values + h * across, KEYS, p.head_dim},
                at.count, size);
        const KeySide<T> keys(p, at.key(number), work.pairs);
        if (p.geometry())
            std::memcpy(work.rows, static_cast<const T *>(p.key_rows) + at.block(number, KEYS * p.row_rank), size_t(KEYS * p.row_rank) * sizeof(T));
        for (int64_t q = 0; q < at.count; ++q) {
            T *k = work.k + q * k_row, *grad_k = work.grad_k + q * k_row;
            const T *key = keys.at(at.query_positions(q), at.key_positions(number), size);
            const bool direct = A == RELU && !p.rank && p.heads <= 4;
            if (direct)
                scores<A, T>(p, at.query(q), key, size, work.hidden, k);
            else
                scores_and_slopes<A, T>(p, at.query(q), key, size, work.hidden, work.slope, k);
            if (reach == SOME) {
                at.exclude(number, q, k, p.softmax ? -__builtin_inf() : 0);
                at.exclude(number, q, grad_k, 0);
            }
            if (p.softmax) {
                const T *bias = static_cast<const T *>(p.bias) + at.block(number, KEYS);
                const int64_t n = (first + q) * p.heads;
                through_softmax(p, bias, static_cast<const T *>(p.log_total) + n, static_cast<const T *>(p.delta) + n, size, k, grad_k, grad_bias);
            }
            for (int64_t h = 0; h < p.heads; ++h) {
                Vec<T> sums = load(work.second_bias + h * W);
                for (int64_t j = 0; j < size; j += W) sums += load(grad_k + h * KEYS + j);
                store(work.second_bias + h * W, sums);
            }
            if (direct) {
                additive_relu_back(p, at.query(q), key, size, grad_k, work.second, work.query + q * p.hidden * W, grad_key);
                continue;
            }
            back_to_arguments(p, size, grad_k, work.hidden, work.slope, work.second, work.grad);
            if (p.rank)
                back_to_features(at, number, q, size, work, shared);
            else
                back_to_sides(at, q, size, work.slope, work.query, grad_key);
        }
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<false>(
                Product<T>{grad_values + h * across, KEYS, grad_out + h * p.head_dim, 1, row, work.k + h * KEYS, k_row, at.count},
                p.head_dim, size);
    }
    for (int64_t n = 0; n < weights; ++n) work.total[n] += sum<T>(load(work.second + n * W));
    for (int64_t h = 0; h < p.heads; ++h) work.total[weights + h] += sum<T>(load(work.second_bias + h * W));
    if (!p.rank)
        for (int64_t n = 0; n < at.count * p.hidden; ++n)
            static_cast<T *>(p.grad_query)[first * p.hidden + n] = sum<T>(load(work.query + n * W));
}

template <class T> inline void add(T *__restrict to, const T *__restrict from, int64_t count) {
    for (int64_t n = 0; n < count; ++n) to[n] += from[n];
}

// The problem's gradients start at 0. `bounds` are the ranges of the threads, (threads + 1).
template <int64_t A, class T> int backward(const Problem &p, const int64_t *bounds) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES;
    const Sizes<T> sizes(p);
    const int64_t shared = sizes.shared(), each = (2 * shared + sizes.second + p.heads + 15) / 16 * 16;
    Scratch all_threads(p.threads * each * int64_t(sizeof(T)), true);
    if (!all_threads.there()) return 1;
    T *memory = all_threads.take<T>(p.threads * each);
    int failed = 0;
#pragma omp parallel for num_threads(int(p.threads)) schedule(static, 1) reduction(| : failed)
    for (int64_t thread = 0; thread < p.threads; ++thread) {
        Scratch scratch(Work<T>::bytes(p));
        failed |= !scratch.there();
        if (failed) continue;
        const Work<T> work(p, scratch);
        T *own = memory + thread * each;
        const int64_t from = bounds[thread], to = bounds[thread + 1];
        for (int64_t item = from; item < to; ++item) {
            const int64_t sample = item / in_sample, first = item % in_sample * QUERIES, left = p.queries - first;
            const bool alone = sample * in_sample >= from && (sample + 1) * in_sample <= to;
            T *slot = own + (sample == from / in_sample ? 0 : shared);
            T *of_values = slot + sizes.key, *of_bias = of_values + sizes.values;
            Shared<T> into{slot, of_values, of_bias, of_bias + sizes.bias};
            if (alone) {
                into.key = static_cast<T *>(p.grad_key) + sample * sizes.key;
                into.values = static_cast<T *>(p.grad_values) + sample * sizes.values;
                into.bias = static_cast<T *>(p.grad_bias) + sample * sizes.bias;
                into.positions = static_cast<T *>(p.grad_key_positions) + sample * sizes.positions;
            }
            backward_block<A, T>({p, sample, first, left < QUERIES ? left : QUERIES}, work, into);
        }
        for (int64_t n = 0; n < sizes.second + p.heads; ++n) own[2 * shared + n] = T(work.total[n]);
    }
    for (int64_t thread = 0; thread < p.threads && !failed; ++thread) {
        const T *own = memory + thread * each;
        const int64_t from = bounds[thread], to = bounds[thread + 1];
        if (from == to) continue;
        const int64_t samples[2] = {from / in_sample, (to - 1) / in_sample};
        for (int slot = 0; slot < (samples[0] == samples[1] ? 1 : 2); ++slot) {
            const int64_t sample = samples[slot];
            if (sample * in_sample >= from && (sample + 1) * in_sample <= to) continue;
            const T *part = own + slot * shared;
            const auto add_part = [&](void *to, int64_t size) {
                if (size) add(static_cast<T *>(to) + sample * size, part, size);
                part += size;
            };
            add_part(p.grad_key, sizes.key), add_part(p.grad_values, sizes.values);
            add_part(p.grad_bias, sizes.bias), add_part(p.grad_key_positions, sizes.positions);
        }
        add(static_cast<T *>(p.grad_second), own + 2 * shared, sizes.second);
        add(static_cast<T *>(p.grad_second_bias), own + 2 * shared + sizes.second, p.heads);
    }
    return failed;
}

// Divide the query blocks into ranges of about equal work, measured in blocks of keys within the support.
template <class T> int balance(const Problem &p, int64_t *bounds) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES, items = p.batch * in_sample;
    int64_t *work = static_cast<int64_t *>(std::malloc(size_t(items) * sizeof(int64_t)));
    if (!work) return 1;
    int64_t total = 0;
    for (int64_t item = 0; item < items; ++item) {
        const int64_t first = item % in_sample * QUERIES, left = p.queries - first;
        const Blocks<T> at{p, item / in_sample, first, left < QUERIES ? left : QUERIES};
        for (int64_t number = 0; number < p.blocks; ++number) total += at.reach(number) != NONE;
        work[item] = ++total;
    }
    bounds[0] = 0;
    for (int64_t thread = 1, item = 0; thread <= p.threads; ++thread) {
        while (item < items && work[item] * p.threads <= total * thread) ++item;
        bounds[thread] = item;
    }
    std::free(work);
    return 0;
}

}  // namespace ITNET_ISA
