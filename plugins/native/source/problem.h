// What Python hands over: sizes and pointers to contiguous arrays, all of one dtype. Python lays the arrays out.
#pragma once
#include <cstdint>

// Keys come in blocks of KEYS; a block's arrays have the keys as their last axis, so that vectors run along them.
// 96 is a multiple of every vector's length up to 64 bytes, and of three of them.
constexpr int64_t KEYS = 96;
// Queries that are worked on together; the products with the values share their loads among them.
constexpr int64_t QUERIES = 8;
// Widths of rows are padded to this, so that they are whole vectors: channels of a head, point features.
constexpr int64_t ROW = 16;

enum Activation : int64_t { RELU, SILU, GELU, TANH };

// `rank` 0 is the additive kernel: the hidden layer's argument is query + key, (…, hidden) each. Otherwise it is
// Σ_r query[c, r] ψ[r], where ψ has the key's `rank` features and, behind them, what `displacement` and `distance` ask for:
// x − y and ‖x − y‖². `hidden` is a multiple of 8, `row_rank` and `head_dim` of ROW; padding is 0.
struct Problem {
    int64_t batch, queries, keys, blocks, hidden, rank, row_rank, heads, head_dim, coordinates;
    int64_t activation, softmax, causal, displacement, distance, threads;  // causal: the axis, or -1
    double radius_squared, window;  // negative for none
    const void *query;            // (batch, queries, hidden[, depth])
    const void *key;              // (batch, blocks, rank or hidden, KEYS)
    const void *key_rows;         // (batch, blocks, KEYS, row_rank); backward with a rank
    const void *second;           // (heads, hidden)
    const void *second_bias;      // (heads)
    const void *values;           // (batch, blocks, heads, head_dim, KEYS)
    const void *bias;             // (batch, blocks, KEYS), added to the logits; softmax
    const void *query_positions;  // (batch, queries, coordinates); with a support or geometry
    const void *key_positions;    // (batch, blocks, coordinates, KEYS); likewise
    void *out;                    // (batch, queries, heads, head_dim)
    void *log_total;              // (batch, queries, heads); softmax
    const void *grad_out;         // (batch, queries, heads, head_dim)
    const void *delta;            // (batch, queries, heads), ⟨grad_out, out⟩; softmax
    void *grad_query;             // (batch, queries, hidden[, row_rank])
    void *grad_key;               // as key
    void *grad_values;            // as values
    void *grad_bias;              // as bias
    void *grad_second;            // (heads, hidden)
    void *grad_second_bias;       // (heads)
    void *grad_query_positions;   // as query_positions; null where it is not asked for
    void *grad_key_positions;     // as key_positions; likewise

    int64_t geometry() const { return displacement * coordinates + distance; }
    int64_t depth() const { return rank + geometry(); }
};
