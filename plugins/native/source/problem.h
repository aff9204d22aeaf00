// Arguments from Python: sizes and pointers to contiguous arrays, all of one dtype, as sums.py and local.py pad them.
#pragma once
#include <cstdint>

// Keys per block. The keys are the last axis of a block's arrays, so that vectors run along them. 96 is a multiple of
// one and of three vectors of any length up to 64 bytes.
constexpr int64_t KEYS = 96;
// Queries per block, which share the loads of the values.
constexpr int64_t QUERIES = 8;
// Rows (the channels of a head, the features of a point) are padded to a multiple of this, to whole vectors.
constexpr int64_t ROW = 16;

enum Activation : int64_t { RELU, SILU, GELU, TANH };

// The argument of the hidden layer is query + key, (…, hidden) each, for `rank` 0 (an additive kernel), and otherwise
// Σ_e forms[e, c] χ(x)[row of e] ψ[column of e], over the entries e of T that are not 0, sorted by column, where ψ has the key's `rank`
// features, then x − y if `displacement` and ‖x − y‖² if `distance`. `hidden` is a multiple of 8, `row_rank` (at least the
// length of ψ) and `head_dim` of ROW; padding is 0. Feature 0 is the constant 1, and has no gradient.
struct Problem {
    int64_t batch, queries, keys, hidden, rank, row_rank, heads, head_dim, coordinates, groups, entries, taps, tap_zero;
    int64_t activation, softmax, causal, displacement, distance, threads;  // causal: the axis, or -1
    double radius_squared, window;  // negative for none
    const void *query;            // (batch, queries, rank or hidden)
    const void *key;              // (batch, keys, rank or hidden)
    const void *second;           // (heads, hidden)
    const void *second_bias;      // (heads)
    const void *values;           // (batch, keys, heads, head_dim)
    const void *bias;             // (batch, keys), added to the logits; softmax
    const void *query_positions;  // (batch, queries, coordinates); with a support or geometry
    const void *key_positions;    // (batch, keys, coordinates); likewise
    const void *forms;            // (entries, units()), hidden units in rows of whole vectors; with a rank
    const void *entry_rows;       // (entries), int64; likewise
    const void *entry_columns;    // (entries), int64; likewise
    void *out;                    // (batch, queries, heads, head_dim)
    void *log_total;              // (batch, queries, heads); softmax
    const void *grad_out;         // (batch, queries, heads, head_dim)
    const void *delta;            // (batch, queries, heads), ⟨grad_out, out⟩; softmax
    void *grad_query;             // as query; 0 at first, as all gradients
    void *grad_key;               // as key
    void *grad_values;            // as values
    void *grad_bias;              // as bias
    void *grad_forms;             // as forms
    void *grad_second;            // (heads, hidden)
    void *grad_second_bias;       // (heads)
    void *grad_query_positions;   // as query_positions; null if not needed
    void *grad_key_positions;     // as key_positions; likewise
    // For groups of near queries (local.h). Points of all samples are numbered together, and `query`, `key`, `values`,
    // `bias`, `out`, positions and their gradients have a row for each; `hidden` is a multiple of ROW. The gradients of
    // `key`, `values`, `bias` and `key_positions` are written, not added.
    const void *group_queries;    // (groups, QUERIES), int64; negative after the last of a group
    const void *key_order;        // (keys), int64: the number of the key at each place
    const void *key_ranks;        // places of the groups' keys, one group after another, int32
    const void *key_starts;       // (groups + 1), int64: where a group's keys start
    // On a grid, that of queries and keys alike, `taps` displacements lie within the support. The hidden layer's argument has
    // table[tap] in addition, with tap = cells[key] − cells[query] + tap_zero.
    const void *cells;            // (keys), int32; with taps
    const void *table;            // (taps, hidden); likewise
    void *grad_table;             // as table

    int64_t geometry() const { return displacement * coordinates + distance; }
    int64_t depth() const { return rank + geometry(); }
    int64_t units() const { return (hidden + ROW - 1) / ROW * ROW; }
    int64_t key_width() const { return rank ? rank : hidden; }
    // Blocks of keys, and the keys in one.
    int64_t blocks() const { return (keys + KEYS - 1) / KEYS; }
    int64_t in_block(int64_t number) const { return keys - number * KEYS < KEYS ? keys - number * KEYS : KEYS; }
};
