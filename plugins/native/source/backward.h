// Gradients by recomputation. A thread owns a range of query blocks and adds its gradients of keys and weights to memory
// of its own; these are summed in the order of the threads, so that results are deterministic for a number of threads.
#pragma once
#include "forward.h"

namespace ITNET_ISA {

// Gradients of one sample's keys: packed, but those of the values.
template <class T> struct Shared {
    T *key, *values, *bias, *positions;
};

template <class T> struct Sizes {
    int64_t key, values, bias, positions, weights;  // sizes, for a sample's keys and the layers' weights

    explicit Sizes(const Problem &p)
        : key(p.blocks() * p.key_width() * KEYS), values(p.keys * p.heads * p.head_dim), bias(p.softmax ? p.blocks() * KEYS : 0),
          positions(p.grad_key_positions ? p.blocks() * p.coordinates * KEYS : 0), weights(p.heads * (p.hidden + 1) + forms(p)) {}
    int64_t shared() const { return key + values + bias + positions; }
    static int64_t forms(const Problem &p) { return p.rank ? p.entries * p.units() : 0; }
};

// A thread's working memory. The weights' gradients of each block of queries are summed in float64: one running sum over all
// pairs would lose digits.
template <class T> struct Work {
    T *pairs, *rows, *grad_pairs, *hidden, *slope, *grad, *k, *grad_k, *query, *second, *second_bias;
    T *linear, *grad_linear, *across, *forms, *features;  // with a rank
    double *total;  // gradients of the second layer's weights and biases, and of the forms

    static int64_t bytes(const Problem &p) {
        int64_t total = Scratch::padded<double>(Sizes<T>(p).weights);
        Work().each(p, [&](T *&, int64_t count) { total += Scratch::padded<T>(count); });
        return total;
    }
    void take(const Problem &p, Scratch &scratch) {
        each(p, [&](T *&array, int64_t count) { array = scratch.take<T>(count); });
        if (p.rank) std::memset(rows, 0, size_t(p.row_rank * KEYS) * sizeof(T));  // padding
        total = scratch.take<double>(Sizes<T>(p).weights);
        for (int64_t n = 0; n < Sizes<T>(p).weights; ++n) total[n] = 0;
    }

  private:
    template <class F> void each(const Problem &p, F f) {
        const int64_t block = p.hidden * KEYS, of_k = QUERIES * p.heads * KEYS, of_pairs = p.geometry() ? p.depth() * KEYS : 0;
        f(pairs, of_pairs), f(grad_pairs, of_pairs), f(hidden, block), f(slope, block), f(grad, block), f(k, of_k), f(grad_k, of_k);
        f(second, p.heads * p.hidden * WIDTH<T>), f(second_bias, p.heads * WIDTH<T>);
        if (!p.rank) return f(query, QUERIES * p.hidden * WIDTH<T>);
        f(rows, p.row_rank * KEYS), f(linear, QUERIES * p.depth() * p.units()), f(grad_linear, QUERIES * p.hidden * p.row_rank);
        f(across, p.depth() * p.units()), f(forms, Sizes<T>::forms(p)), f(features, p.rank * WIDTH<T>);
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
// the query's factor and of the keys.
template <class T>
inline void back_to_features(const Blocks<T> &at, int64_t number, int64_t q, int64_t size, const Work<T> &work, const Shared<T> &shared) {
    const Problem &p = at.p;
    const int64_t geometry = p.geometry(), keys = p.in_block(number), units = p.units();
    for (int64_t g = 0; g < geometry; ++g)  // `work.rows` holds the keys' features
        for (int64_t j = 0; j < keys; ++j) work.rows[j * p.row_rank + p.rank + g] = work.pairs[(p.rank + g) * KEYS + j];
    multiply<false>(Product<T>{work.grad_linear + q * p.hidden * p.row_rank, p.row_rank, work.slope, KEYS, 1, work.rows, p.row_rank, keys}, p.hidden, p.row_rank);
    multiply<false>(Product<T>{shared.key + number * p.rank * KEYS, KEYS, at.query(q), units, 1, work.slope, KEYS, p.hidden}, p.rank, size);
    if (!p.grad_key_positions) return;
    multiply<true>(Product<T>{work.grad_pairs, KEYS, at.query(q) + p.rank * units, units, 1, work.slope, KEYS, p.hidden}, geometry, size);
    differences_back(p, at.query_positions(q), at.key_positions(number), size, work.grad_pairs,
                     static_cast<T *>(p.grad_query_positions) + at.number_of(q) * p.coordinates, shared.positions + number * p.coordinates * KEYS);
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
    const int64_t row = p.heads * p.head_dim, k_row = p.heads * KEYS, weights = p.heads * p.hidden, forms = Sizes<T>::forms(p);
    const T *grad_out = static_cast<const T *>(p.grad_out) + at.number_of(0) * row;
    const auto zero = [](T *numbers, int64_t count) { std::memset(numbers, 0, size_t(count) * sizeof(T)); };
    if (p.rank)
        zero(work.grad_linear, at.count * p.hidden * p.row_rank), zero(work.forms, forms);
    else
        zero(work.query, at.count * p.hidden * W);
    zero(work.second, weights * W), zero(work.second_bias, p.heads * W);
    for (int64_t number = 0; number < p.blocks(); ++number) {
        const Reach reach = at.reach(number);
        if (reach == NONE) continue;
        const int64_t size = at.size(number), keys_there = p.in_block(number), across = p.head_dim * KEYS;
        const T *values = at.block(at.packed.values, number, row);
        T *grad_key = shared.key + number * p.key_width() * KEYS, *grad_values = shared.values + number * KEYS * row;
        T *grad_bias = shared.bias + number * KEYS;
        for (int64_t h = 0; h < p.heads; ++h)
            multiply<true>(
                Product<T>{work.grad_k + h * KEYS, k_row, grad_out + h * p.head_dim, row, 1, values + h * across, KEYS, p.head_dim},
                at.count, size);
        const KeySide<T> keys(p, at.key(number), work.pairs);
        for (int64_t j = 0; p.rank && j < keys_there; ++j)
            std::memcpy(work.rows + j * p.row_rank, at.rows(p.key, number, p.rank) + j * p.rank, size_t(p.rank) * sizeof(T));
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
                const T *bias = at.block(at.packed.bias, number, 1);
                const int64_t n = at.number_of(q) * p.heads;
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
            multiply<false>(Product<T>{grad_values + h * p.head_dim, row, work.k + h * KEYS, 1, k_row, grad_out + h * p.head_dim, row, at.count},
                            keys_there, p.head_dim);
    }
    for (int64_t n = 0; n < weights; ++n) work.total[n] += sum<T>(load(work.second + n * W));
    for (int64_t h = 0; h < p.heads; ++h) work.total[weights + h] += sum<T>(load(work.second_bias + h * W));
    T *grad_query = static_cast<T *>(p.grad_query) + at.number_of(0) * p.key_width();
    if (!p.rank)
        for (int64_t n = 0; n < at.count * p.hidden; ++n) grad_query[n] = sum<T>(load(work.query + n * W));
    for (int64_t q = 0; p.rank && q < at.count; ++q) {
        transpose(work.across, p.units(), work.grad_linear + q * p.hidden * p.row_rank, p.row_rank, p.hidden, p.depth());
        for (int64_t r = 0; r < p.depth(); ++r)
            for (int64_t c = p.hidden; c < p.units(); ++c) work.across[r * p.units() + c] = 0;
        back_to_forms(p, at.features(q), work.across, work.forms, work.features, grad_query + q * p.rank);
    }
    for (int64_t n = 0; n < forms; ++n) work.total[weights + p.heads + n] += work.forms[n];
}

template <class T> inline void add(T *__restrict to, const T *__restrict from, int64_t count) {
    for (int64_t n = 0; n < count; ++n) to[n] += from[n];
}

// `bounds` are the ranges of the threads, (threads + 1).
template <int64_t A, class T> int backward(const Problem &p, const Packed<T> &packed, const int64_t *bounds) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES;
    const Sizes<T> sizes(p);
    const int64_t shared = sizes.shared(), each = (2 * shared + sizes.weights + 15) / 16 * 16;
    Scratch all_threads(p.threads * each * int64_t(sizeof(T)), true);
    if (!all_threads.there()) return 1;
    T *memory = all_threads.take<T>(p.threads * each);
    int failed = 0;
#pragma omp parallel for num_threads(int(p.threads)) schedule(static, 1) reduction(| : failed)
    for (int64_t thread = 0; thread < p.threads; ++thread) {
        const WithoutDenormals flushed;
        Scratch scratch(Work<T>::bytes(p));
        failed |= !scratch.there();
        if (failed) continue;
        Work<T> work;
        work.take(p, scratch);
        T *own = memory + thread * each;
        const int64_t from = bounds[thread], to = bounds[thread + 1];
        for (int64_t item = from; item < to; ++item) {
            const int64_t sample = item / in_sample, first = item % in_sample * QUERIES, left = p.queries - first;
            const bool alone = sample * in_sample >= from && (sample + 1) * in_sample <= to;
            T *slot = own + (sample == from / in_sample ? 0 : shared);
            T *of_values = slot + sizes.key, *of_bias = of_values + sizes.values;
            Shared<T> into{slot, of_values, of_bias, of_bias + sizes.bias};
            if (alone) {
                into.key = packed.grad_key + sample * sizes.key;
                into.values = static_cast<T *>(p.grad_values) + sample * sizes.values;
                into.bias = packed.grad_bias + sample * sizes.bias;
                into.positions = packed.grad_positions + sample * sizes.positions;
            }
            const Blocks<T> at{p, packed, work.linear, sample, first, left < QUERIES ? left : QUERIES};
            factors(at, work.linear);
            backward_block<A, T>(at, work, into);
        }
        for (int64_t n = 0; n < sizes.weights; ++n) own[2 * shared + n] = T(work.total[n]);
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
            const auto add_part = [&](T *to, int64_t size) {
                if (size) add(to + sample * size, part, size);
                part += size;
            };
            add_part(packed.grad_key, sizes.key), add_part(static_cast<T *>(p.grad_values), sizes.values);
            add_part(packed.grad_bias, sizes.bias), add_part(packed.grad_positions, sizes.positions);
        }
        const T *weights = own + 2 * shared;
        const int64_t second = p.heads * p.hidden;
        add(static_cast<T *>(p.grad_second), weights, second);
        add(static_cast<T *>(p.grad_second_bias), weights + second, p.heads);
        add(static_cast<T *>(p.grad_forms), weights + second + p.heads, Sizes<T>::forms(p));
    }
    packed.unpack();
    return failed;
}

// Divide the query blocks into ranges of about equal work, measured in blocks of keys within the support.
template <class T> int balance(const Problem &p, const Packed<T> &packed, int64_t *bounds) {
    const int64_t in_sample = (p.queries + QUERIES - 1) / QUERIES, items = p.batch * in_sample;
    int64_t *work = static_cast<int64_t *>(std::malloc(size_t(items) * sizeof(int64_t)));
    if (!work) return 1;
    int64_t total = 0;
    for (int64_t item = 0; item < items; ++item) {
        const int64_t first = item % in_sample * QUERIES, left = p.queries - first;
        const Blocks<T> at{p, packed, nullptr, item / in_sample, first, left < QUERIES ? left : QUERIES};
        for (int64_t number = 0; number < p.blocks(); ++number) total += at.reach(number) != NONE;
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
