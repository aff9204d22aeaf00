"""The kernel of the sums. The description here holds for the kernels of the gradients too.

The argument of a hidden unit c is own_c(x) + φ_c(x)·ψ(y) + ⟨weight_c, [x − y, ‖x − y‖²]⟩. The terms in x − y would lose
accuracy by cancellation in the matrix product, and are added from the positions in float32.

A tile holds a few queries, all their hidden units and a block of keys, so that everything is a matrix product of a
shape that tensor cores take, as in attention, with a query's hidden units in the place of queries:

    x = ψ φᵀ (keys × rows),   k = σ(x) W (keys × slots),   out = kᵀ v (slots × channels);   row = (query, unit),
    slot = (query, head),     channel = (head, its channels),

with W block-diagonal in queries: four queries of four heads fill the 16 columns of a smallest product. A program of the
sums, and of the gradients of the queries' side, owns a few queries, keeps their results in registers, and walks over
the keys; one of the gradients of the keys' side owns a block of keys, and walks over the queries. Hidden units beyond
`Kind.units` are taken in parts. A tensor of all pairs never exists, and no two programs write to one place: a result is
the same bit for bit whenever it is computed by the same shapes. Where `Kind.listed`, a program walks over the blocks
that `near.near_tiles` lists for it, and not over all.

For each pair and hidden unit, at W = 32 columns of ψ, the sums take 96 operations on the tensor cores, and about 2 + p
(p coordinates) off them, which bound the time: a rate of 30T operations a second off the tensor cores of an H100.
"""

# ruff: noqa: N806 - constants are in capitals
from __future__ import annotations

import triton
import triton.language as tl

from itnet_triton.tiles import (
    differences,
    hidden_arguments,
    inside_support,
    key_range,
    load_key_places,
    load_keys,
    load_layers,
    load_queries,
    load_slot_bias,
    load_slot_places,
    load_values,
    product,
    scores,
    slot_channels,
    store_slots,
)


@triton.jit
def sums_kernel(pairs, out, log_total, KIND: tl.constexpr, ROWS: tl.constexpr, SLOTS: tl.constexpr, KEYS: tl.constexpr):
    """Write Σ_j k v_j (softmax: Σ_j e^(k + bias) v_j / Σ_j e^(k + bias), and the total's logarithm) for a chunk.

    The grid is (blocks of ROWS // units queries, B, 1), for the heads from `pairs.head` on.
    """
    QUERIES: tl.constexpr = ROWS // KIND.units
    sample = tl.program_id(1).to(tl.int64)
    start = tl.program_id(0) * QUERIES
    phi, own = load_queries(pairs, sample, start, 0, ROWS, KIND)
    weights, second = load_layers(pairs, 0, ROWS, SLOTS, KIND)
    second_bias = load_slot_bias(pairs, SLOTS, KIND)
    places = load_slot_places(pairs, sample, start, QUERIES, SLOTS, KIND)
    first, end = key_range(pairs, sample, start, QUERIES, KIND)
    sums = tl.full((SLOTS, KIND.heads * KIND.dim), 0.0, KIND.accumulator)
    peak = tl.full((SLOTS,), -3.0e38, KIND.accumulator)
    total = tl.full((SLOTS,), 0.0, KIND.accumulator)
    STEP: tl.constexpr = 1 if KIND.listed else KEYS
    for number in range(first, end, STEP):
        begin = number
        if KIND.listed:
            begin = tl.load(pairs.tiles + number) * KEYS
        columns = begin + tl.arange(0, KEYS)
        features = load_keys(pairs, sample, columns, KIND)
        gaps = differences(pairs, sample, start, columns, QUERIES, True, KIND)
        x = hidden_arguments(features, phi, own, gaps, weights, True, KIND)
        k, _ = scores(x, second, True, KIND)
        k += second_bias[None, :]
        for part in range(1, KIND.parts):
            part_phi, part_own = load_queries(pairs, sample, start, part, ROWS, KIND)
            part_weights, part_second = load_layers(pairs, part, ROWS, SLOTS, KIND)
            x = hidden_arguments(features, part_phi, part_own, gaps, part_weights, True, KIND)
            part_k, _ = scores(x, part_second, True, KIND)
            k += part_k
        inside = inside_support(pairs, columns, load_key_places(pairs, sample, columns, KIND), places, KIND)
        if KIND.softmax:
            shift = tl.load(pairs.bias + sample * pairs.keys + columns, mask=columns < pairs.keys, other=0.0)
            k = tl.where(inside, k + shift[:, None], float("-inf"))
            top = tl.maximum(peak, tl.max(k, 0))
            decay = tl.exp(peak - top)
            k = tl.exp(k - top[None, :])
            total = total * decay + tl.sum(k, 0)
            sums = sums * decay[:, None]
            peak = top
        elif KIND.causal or KIND.coordinates > 0:  # beyond the last key the values are 0
            k = tl.where(inside, k, 0.0)
        values = load_values(pairs, sample, columns, KIND)
        sums += product(tl.trans(k.to(values.dtype)), values, KIND)
    if KIND.softmax:
        empty = total == 0.0
        mass = tl.where(empty, 1.0, total)
        sums = sums / mass[:, None]
        logarithm = tl.where(empty, 0.0, peak + tl.log(mass))
        store_slots(pairs, log_total, logarithm, sample, start, QUERIES, SLOTS, KIND)
    at, mask = slot_channels(pairs, start, QUERIES, SLOTS, KIND)
    target = out + sample * pairs.queries * pairs.heads * pairs.head_dim
    tl.store(target + at, sums.to(out.dtype.element_ty), mask=mask)
