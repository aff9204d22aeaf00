// The kernel's two layers at one query and a block of keys, forward and backward.
#pragma once
#include "activation.h"
#include "product.h"

namespace ITNET_ISA {

// k (heads, KEYS) of an additive kernel with ReLU and H heads. The hidden layer and the sums stay in registers.
template <int H, int V, class T>
INLINE void additive_relu_strip(const T *query, const T *key, const T *second, const T *bias, int64_t hidden, T *k) {
    constexpr int64_t W = WIDTH<T>;
    Vec<T> sums[H][V];
    for (int h = 0; h < H; ++h)
        for (int v = 0; v < V; ++v) sums[h][v] = all(bias[h]);
    for (int64_t c = 0; c < hidden; ++c) {
        const Vec<T> own = all(query[c]);
        Vec<T> active[V];
        for (int v = 0; v < V; ++v) active[v] = larger<T>(Vec<T>{}, own + load(key + c * KEYS + v * W));
        for (int h = 0; h < H; ++h) {
            const Vec<T> weight = all(second[h * hidden + c]);
            for (int v = 0; v < V; ++v) sums[h][v] += weight * active[v];
        }
    }
    for (int h = 0; h < H; ++h)
        for (int v = 0; v < V; ++v) store(k + h * KEYS + v * W, sums[h][v]);
}

template <int H, class T>
inline void additive_relu(const T *query, const T *key, const T *second, const T *bias, int64_t hidden, int64_t size, T *k) {
    constexpr int64_t W = WIDTH<T>;
    int64_t at = 0;
    for (; at + 3 * W <= size; at += 3 * W) additive_relu_strip<H, 3>(query, key + at, second, bias, hidden, k + at);
    if (at + 2 * W <= size) additive_relu_strip<H, 2>(query, key + at, second, bias, hidden, k + at), at += 2 * W;
    if (at < size) additive_relu_strip<H, 1>(query, key + at, second, bias, hidden, k + at);
}

// Its backward pass: from the gradient of k, add the gradients of the query's part of the arguments, (hidden, W), of the
// keys' part, and of the second layer's weights, (heads, hidden, W). The hidden layer is recomputed.
template <int H, int V, class T>
INLINE void additive_relu_back_strip(const Problem &p, const T *query, const T *key, const T *grad_k, T *grad_second, T *grad_query, T *grad_key) {
    constexpr int64_t W = WIDTH<T>;
    const T *second = static_cast<const T *>(p.second);
    const int64_t hidden = p.hidden;
    Vec<T> g[H][V];
    for (int h = 0; h < H; ++h)
        for (int v = 0; v < V; ++v) g[h][v] = load(grad_k + h * KEYS + v * W);
    for (int64_t c = 0; c < hidden; ++c) {
        const Vec<T> own = all(query[c]);
        Vec<T> active[V], back[V];
        for (int v = 0; v < V; ++v) active[v] = larger<T>(Vec<T>{}, own + load(key + c * KEYS + v * W)), back[v] = Vec<T>{};
        for (int h = 0; h < H; ++h) {
            const Vec<T> weight = all(second[h * hidden + c]);
            T *at = grad_second + (h * hidden + c) * W;
            Vec<T> sums = load(at);
            for (int v = 0; v < V; ++v) {
                back[v] += weight * g[h][v];
                sums += active[v] * g[h][v];
            }
            store(at, sums);
        }
        Vec<T> sums = load(grad_query + c * W);
        for (int v = 0; v < V; ++v) {
            T *to = grad_key + c * KEYS + v * W;
            const Vec<T> grad = kept<T>(active[v], back[v]);
            sums += grad;
            store(to, load(to) + grad);
        }
        store(grad_query + c * W, sums);
    }
}

template <int H, class T>
inline void additive_relu_back_heads(const Problem &p, const T *query, const T *key, int64_t size, const T *grad_k, T *grad_second, T *grad_query, T *grad_key) {
    constexpr int64_t W = WIDTH<T>, V = REGISTERS == 32 ? 3 : 2;
    int64_t at = 0;
    for (; at + V * W <= size; at += V * W)
        additive_relu_back_strip<H, V>(p, query, key + at, grad_k + at, grad_second, grad_query, grad_key + at);
    for (; at < size; at += W)
        additive_relu_back_strip<H, 1>(p, query, key + at, grad_k + at, grad_second, grad_query, grad_key + at);
}

template <class T>
inline void additive_relu_back(const Problem &p, const T *query, const T *key, int64_t size, const T *grad_k, T *grad_second, T *grad_query, T *grad_key) {
    switch (p.heads) {
        case 1: return additive_relu_back_heads<1>(p, query, key, size, grad_k, grad_second, grad_query, grad_key);
        case 2: return additive_relu_back_heads<2>(p, query, key, size, grad_k, grad_second, grad_query, grad_key);
        case 3: return additive_relu_back_heads<3>(p, query, key, size, grad_k, grad_second, grad_query, grad_key);
        default: return additive_relu_back_heads<4>(p, query, key, size, grad_k, grad_second, grad_query, grad_key);
    }
}

// Arguments of the hidden layer, (hidden, KEYS).
template <class T> inline void arguments(const Problem &p, const T *query, const T *key, int64_t size, T *hidden) {
    if (p.rank) return multiply<true>(Product<T>{hidden, KEYS, query, 1, p.units(), key, KEYS, p.depth()}, p.hidden, size);
    for (int64_t c = 0; c < p.hidden; ++c)
        for (int64_t j = 0; j < size; j += WIDTH<T>) store(hidden + c * KEYS + j, all(query[c]) + load(key + c * KEYS + j));
}

// The second layer: k (heads, KEYS) from the hidden layer.
template <class T> inline void second_layer(const Problem &p, const T *hidden, int64_t size, T *k) {
    const T *second = static_cast<const T *>(p.second), *bias = static_cast<const T *>(p.second_bias);
    for (int64_t h = 0; h < p.heads; ++h)
        for (int64_t j = 0; j < size; j += WIDTH<T>) store(k + h * KEYS + j, all(bias[h]));
    multiply<false>(Product<T>{k, KEYS, second, p.hidden, 1, hidden, KEYS, p.hidden}, p.heads, size);
}

// k (heads, KEYS) of a query and a block of keys; `hidden` is scratch.
template <int64_t A, class T>
inline void scores(const Problem &p, const T *query, const T *key, int64_t size, T *hidden, T *k) {
    if constexpr (A == RELU)
        if (!p.rank && p.heads <= 4) {
            const T *second = static_cast<const T *>(p.second), *bias = static_cast<const T *>(p.second_bias);
            switch (p.heads) {
                case 1: return additive_relu<1>(query, key, second, bias, p.hidden, size, k);
                case 2: return additive_relu<2>(query, key, second, bias, p.hidden, size, k);
                case 3: return additive_relu<3>(query, key, second, bias, p.hidden, size, k);
                case 4: return additive_relu<4>(query, key, second, bias, p.hidden, size, k);
            }
        }
    arguments(p, query, key, size, hidden);
    for (int64_t c = 0; c < p.hidden; ++c)
        for (int64_t j = 0; j < size; j += WIDTH<T>) {
            T *at = hidden + c * KEYS + j;
            store(at, activate<A, T>(load(at)));
        }
    second_layer(p, hidden, size, k);
}

// As `scores`, and store the hidden layer in `hidden` and its derivative in `slope`.
template <int64_t A, class T>
inline void scores_and_slopes(const Problem &p, const T *query, const T *key, int64_t size, T *hidden, T *slope, T *k) {
    arguments(p, query, key, size, hidden);
    for (int64_t c = 0; c < p.hidden; ++c)
        for (int64_t j = 0; j < size; j += WIDTH<T>) {
            T *at = hidden + c * KEYS + j;
            Vec<T> x = load(at);
            store(slope + c * KEYS + j, activate_and_derive<A, T>(x));
            store(at, x);
        }
    second_layer(p, hidden, size, k);
}

// From the gradient of k, (heads, KEYS), compute that of the hidden layer's arguments in `slope`, and add those of the
// second layer's weights, (heads, hidden, W), as vectors of partial sums.
template <int H, int V, class T>
INLINE void back_strip(const Problem &p, int64_t first, const T *grad_k, const T *hidden, T *slope, T *grad_second, T *grad) {
    constexpr int64_t W = WIDTH<T>;
    const T *second = static_cast<const T *>(p.second) + first * p.hidden;
    Vec<T> g[H][V];
    for (int h = 0; h < H; ++h)
        for (int v = 0; v < V; ++v) g[h][v] = load(grad_k + (first + h) * KEYS + v * W);
    for (int64_t c = 0; c < p.hidden; ++c) {
        Vec<T> active[V], back[V];
        for (int v = 0; v < V; ++v) {
            active[v] = load(hidden + c * KEYS + v * W);
            back[v] = first ? load(grad + c * KEYS + v * W) : Vec<T>{};
        }
        for (int h = 0; h < H; ++h) {
            const Vec<T> weight = all(second[h * p.hidden + c]);
            T *at = grad_second + ((first + h) * p.hidden + c) * W;
            Vec<T> sums = load(at);
            for (int v = 0; v < V; ++v) {
                back[v] += weight * g[h][v];
                sums += active[v] * g[h][v];
            }
            store(at, sums);
        }
        const bool last = first + H == p.heads;
        for (int v = 0; v < V; ++v) {
            T *to = slope + c * KEYS + v * W;
            if (last)
                store(to, back[v] * load(to));
            else
                store(grad + c * KEYS + v * W, back[v]);
        }
    }
}

template <int H, class T>
inline void back_heads(const Problem &p, int64_t first, int64_t size, const T *grad_k, const T *hidden, T *slope, T *grad_second, T *grad) {
    constexpr int64_t W = WIDTH<T>, V = REGISTERS == 32 ? 3 : 2;
    int64_t at = 0;
    for (; at + V * W <= size; at += V * W)
        back_strip<H, V>(p, first, grad_k + at, hidden + at, slope + at, grad_second, grad + at);
    for (; at < size; at += W) back_strip<H, 1>(p, first, grad_k + at, hidden + at, slope + at, grad_second, grad + at);
}

// `grad` is scratch, (hidden, KEYS), for more heads than four.
template <class T>
inline void back_to_arguments(const Problem &p, int64_t size, const T *grad_k, const T *hidden, T *slope, T *grad_second, T *grad) {
    for (int64_t first = 0; first < p.heads;) {
        switch (p.heads - first < 4 ? p.heads - first : 4) {
            case 1: back_heads<1>(p, first, size, grad_k, hidden, slope, grad_second, grad); first += 1; break;
            case 2: back_heads<2>(p, first, size, grad_k, hidden, slope, grad_second, grad); first += 2; break;
            case 3: back_heads<3>(p, first, size, grad_k, hidden, slope, grad_second, grad); first += 3; break;
            default: back_heads<4>(p, first, size, grad_k, hidden, slope, grad_second, grad); first += 4;
        }
    }
}

}  // namespace ITNET_ISA
