"""The kernels of the gradients: of the queries' side, and of the keys' side; `kernels` describes their tiles.

Each computes the slopes dL/dk of a tile from the values and the gradient of the result (for softmax from k and the
saved logarithms of the totals too), and from the slopes the gradients of all hidden units, which are in the tile. For
each pair and hidden unit the two take 464 operations on the tensor cores, and about 14 + 3 p off them; nothing but
results goes to memory.
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
    listed_tiles,
    load_key_places,
    load_keys,
    load_layers,
    load_queries,
    load_slot_bias,
    load_slot_places,
    load_slots,
    load_values,
    matrix,
    of_pairs,
    of_units,
    product,
    scores,
    slot_channels,
    times_derivative,
    zeros,
)


@triton.jit
def query_gradients_kernel(
    pairs,
    upstream,
    grad_phi,
    grad_own,
    grad_gaps,
    grad_second,
    grad_bias,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    SLOTS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Write a group of heads' part of the gradients that belong to a chunk of queries.

    With g the gradients of the hidden units' arguments, these are `grad_phi` (B, n, U, W), `grad_own` (B, n, U),
    `grad_gaps` (B, n, U, p + 1) of Σ_keys g (x − y) and g ‖x − y‖², and parts of the gradients of W_2 and b_2, still to
    be summed over queries and samples: `grad_second` (B, n, U, group's heads), `grad_bias` (B, n, group's heads).
    Tiles are (queries, units, keys). The grid is (blocks of ROWS // units queries, B, parts of the hidden units).
    """
    QUERIES: tl.constexpr = ROWS // KIND.units
    TYPE: tl.constexpr = pairs.psi.dtype.element_ty
    total: tl.constexpr = KIND.parts * KIND.units
    sample = tl.program_id(1).to(tl.int64)
    start, part = tl.program_id(0) * QUERIES, tl.program_id(2)
    phi, own = load_queries(pairs, sample, start, part, ROWS, KIND)
    weights, second = load_layers(pairs, part, ROWS, SLOTS, KIND)
    at, own_channels = slot_channels(pairs, start, QUERIES, SLOTS, KIND)
    of_sample = upstream.grad_out + sample * pairs.queries * pairs.heads * pairs.head_dim
    grad_out = tl.load(of_sample + at, mask=own_channels, other=0.0)
    queries = start + tl.arange(0, QUERIES)
    places = load_slot_places(pairs, sample, start, QUERIES, SLOTS, KIND)
    first, end = key_range(pairs, sample, start, QUERIES, KIND)
    if KIND.softmax:
        second_bias = load_slot_bias(pairs, SLOTS, KIND)
        mass = load_slots(pairs, upstream.log_total, sample, start, float("inf"), QUERIES, SLOTS, KIND)
        mean = load_slots(pairs, upstream.delta, sample, start, 0.0, QUERIES, SLOTS, KIND)
    GAPS: tl.constexpr = KIND.axes + KIND.distance
    NUMBERS: tl.constexpr = KIND.numbers if KIND.numbers * QUERIES >= 16 else 16 // QUERIES
    # ‖x − y‖² may be beyond the range of fp16.
    GAP_TYPE: tl.constexpr = KIND.accumulator if tl.float16 == TYPE else TYPE
    numbers = tl.arange(0, NUMBERS)
    phi_sum = tl.full((ROWS, KIND.width), 0.0, KIND.accumulator)
    own_sum = tl.full((QUERIES, KIND.units), 0.0, KIND.accumulator)
    gap_sum = tl.full((ROWS, QUERIES * NUMBERS), 0.0, KIND.accumulator)
    second_sum = tl.full((ROWS, SLOTS), 0.0, KIND.accumulator)
    bias_sum = tl.full((SLOTS,), 0.0, KIND.accumulator)
    STEP: tl.constexpr = 1 if KIND.listed else KEYS
    for number in range(first, end, STEP):
        begin = number
        if KIND.listed:
            begin = tl.load(pairs.tiles + number) * KEYS
        columns = begin + tl.arange(0, KEYS)
        features = load_keys(pairs, sample, columns, KIND)
        values = load_values(pairs, sample, columns, KIND)
        gaps = differences(pairs, sample, start, columns, QUERIES, False, KIND)
        x = hidden_arguments(features, phi, own, gaps, weights, False, KIND)
        k, hidden = scores(x, second, False, KIND)
        grad_k = product(values, tl.trans(grad_out), KIND)
        inside = inside_support(pairs, columns, load_key_places(pairs, sample, columns, KIND), places, KIND)
        if KIND.softmax:
            shift = tl.load(pairs.bias + sample * pairs.keys + columns, mask=columns < pairs.keys, other=0.0)
            for step in range(1, KIND.parts):
                other = (part + step) % KIND.parts
                other_phi, other_own = load_queries(pairs, sample, start, other, ROWS, KIND)
                other_weights, other_second = load_layers(pairs, other, ROWS, SLOTS, KIND)
                other_x = hidden_arguments(features, other_phi, other_own, gaps, other_weights, False, KIND)
                other_k, _ = scores(other_x, other_second, False, KIND)
                k += other_k
            k += second_bias[None, :] + shift[:, None]
            share = tl.exp(tl.where(inside, k, float("-inf")) - mass[None, :])
            grad_k = share * (grad_k - mean[None, :])
        elif KIND.causal or KIND.coordinates > 0:
            grad_k = tl.where(inside, grad_k, 0.0)
        bias_sum += tl.sum(grad_k, 0)
        slope = grad_k.to(TYPE)
        second_sum += product(hidden, slope, KIND)
        grad_hidden = product(second, tl.trans(slope), KIND)
        if KIND.softmax and KIND.accumulator != TYPE:  # a softmax's slopes sum to 0: b_1's gradient is what σ' leaves
            grad_hidden += product(second, tl.trans((grad_k - slope).to(TYPE)), KIND)
        grad_x = times_derivative(tl.reshape(grad_hidden, (QUERIES, KIND.units, KEYS)), x, KIND)
        own_sum += tl.sum(grad_x, 2)
        grad_rows = matrix(grad_x, False)
        phi_sum += product(grad_rows.to(TYPE), features, KIND)
        if GAPS > 0:
            gap_rows = tl.zeros((QUERIES, NUMBERS, KEYS), KIND.accumulator)
            for gap in tl.static_range(GAPS):
                gap_rows = tl.where(numbers[None, :, None] == gap, of_pairs(gaps[gap], False), gap_rows)
            gap_columns = tl.trans(matrix(gap_rows, False).to(GAP_TYPE))
            gap_sum += product(grad_rows.to(GAP_TYPE), gap_columns, KIND)
    rows, slots = tl.arange(0, ROWS), tl.arange(0, SLOTS)
    query = start + rows // KIND.units
    row = query * total + part * KIND.units + rows % KIND.units
    present = (query < pairs.chunk)[:, None]
    target = grad_phi + sample * pairs.chunk * total * KIND.width
    at = row[:, None] * KIND.width + tl.arange(0, KIND.width)[None, :]
    tl.store(target + at, phi_sum, mask=present)
    units = part * KIND.units + tl.arange(0, KIND.units)
    at = queries[:, None] * total + units[None, :]
    tl.store(grad_own + sample * pairs.chunk * total + at, own_sum, mask=(queries < pairs.chunk)[:, None])
    # Of the two other products, each row keeps the columns of its own query.
    own_query = (rows // KIND.units)[:, None]
    if GAPS > 0:
        gap_sum = tl.where(own_query == (tl.arange(0, QUERIES * NUMBERS) // NUMBERS)[None, :], gap_sum, 0.0)
        target = grad_gaps + sample * pairs.chunk * total * GAPS
        own_gaps = tl.sum(tl.reshape(gap_sum, (ROWS, QUERIES, NUMBERS)), 1)
        at = row[:, None] * GAPS + numbers[None, :]
        tl.store(target + at, own_gaps, mask=present & (numbers < GAPS)[None, :])
    second_sum = tl.where(own_query == (slots // KIND.heads)[None, :], second_sum, 0.0)
    own_slots = tl.reshape(second_sum, (ROWS, SLOTS // KIND.heads, KIND.heads))
    target = grad_second + sample * pairs.chunk * total * KIND.heads
    at = row[:, None] * KIND.heads + tl.arange(0, KIND.heads)[None, :]
    tl.store(target + at, tl.sum(own_slots, 1), mask=present)
    of_slot = start + slots // KIND.heads
    present = (slots < QUERIES * KIND.heads) & (of_slot < pairs.chunk) & (part == 0)
    target = grad_bias + (sample * pairs.chunk + start) * KIND.heads
    tl.store(target + slots, bias_sum, mask=present)


@triton.jit
def key_gradients_kernel(
    pairs,
    upstream,
    grad_psi,
    grad_key_positions,
    grad_values,
    grad_shift,
    span,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    SLOTS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Write the part of a chunk's span of queries, and of a group of heads, of the gradients that belong to the keys.

    These are, each with an axis for the spans in front, `grad_psi` (B, M, W), `grad_values` (B, M, heads of the group
    and their channels, padded), `grad_shift` (B, M) of the bias and, where `KIND.moves`, `grad_key_positions` (B, M,
    p). Tiles are (keys, queries, units). The grid is (blocks of keys, B, spans of queries).
    """
    QUERIES: tl.constexpr = ROWS // KIND.units
    TYPE: tl.constexpr = pairs.psi.dtype.element_ty
    sample = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
    features = load_keys(pairs, sample, columns, KIND)
    values = load_values(pairs, sample, columns, KIND)
    weights, second = load_layers(pairs, 0, ROWS, SLOTS, KIND)
    second_bias = load_slot_bias(pairs, SLOTS, KIND)
    begin = tl.program_id(2) * span
    end = tl.minimum(begin + span, pairs.chunk)
    places = load_key_places(pairs, sample, columns, KIND)
    if KIND.listed:
        begin, end = listed_tiles(pairs, sample, tl.program_id(0), tl.num_programs(0))
    elif KIND.causal:
        reach = tl.load(pairs.reach + sample * pairs.keys + columns, mask=columns < pairs.keys, other=2147483647)
        begin = tl.maximum(begin, (tl.min(reach) - pairs.first) // QUERIES * QUERIES)
    if KIND.softmax:
        shift = tl.load(pairs.bias + sample * pairs.keys + columns, mask=columns < pairs.keys, other=float("-inf"))
    AXES: tl.constexpr = KIND.axes
    psi_sum = tl.full((KEYS, KIND.width), 0.0, KIND.accumulator)
    values_sum = tl.full((KEYS, KIND.heads * KIND.dim), 0.0, KIND.accumulator)
    shift_sum = tl.full((KEYS,), 0.0, KIND.accumulator)
    position_sum = zeros(AXES * KIND.moves, KEYS, 0, KIND)
    STEP: tl.constexpr = 1 if KIND.listed else QUERIES
    for number in range(begin, end, STEP):
        start = number
        if KIND.listed:
            start = tl.load(pairs.tiles + number) * QUERIES - pairs.first
        phi, own = load_queries(pairs, sample, start, 0, ROWS, KIND)
        gaps = differences(pairs, sample, start, columns, QUERIES, True, KIND)
        x = hidden_arguments(features, phi, own, gaps, weights, True, KIND)
        k, _ = scores(x, second, True, KIND)
        k += second_bias[None, :]
        for part in range(1, KIND.parts):
            part_phi, part_own = load_queries(pairs, sample, start, part, ROWS, KIND)
            part_weights, part_second = load_layers(pairs, part, ROWS, SLOTS, KIND)
            part_x = hidden_arguments(features, part_phi, part_own, gaps, part_weights, True, KIND)
            part_k, _ = scores(part_x, part_second, True, KIND)
            k += part_k
        at, own_channels = slot_channels(pairs, start, QUERIES, SLOTS, KIND)
        of_sample = upstream.grad_out + sample * pairs.queries * pairs.heads * pairs.head_dim
        grad_out = tl.load(of_sample + at, mask=own_channels, other=0.0)
        grad_k = product(values, tl.trans(grad_out), KIND)
        slot_places = load_slot_places(pairs, sample, start, QUERIES, SLOTS, KIND)
        inside = inside_support(pairs, columns, places, slot_places, KIND)
        if KIND.softmax:
            mass = load_slots(pairs, upstream.log_total, sample, start, float("inf"), QUERIES, SLOTS, KIND)
            mean = load_slots(pairs, upstream.delta, sample, start, 0.0, QUERIES, SLOTS, KIND)
            k = tl.exp(tl.where(inside, k + shift[:, None], float("-inf")) - mass[None, :])
            grad_k = k * (grad_k - mean[None, :])
            shift_sum += tl.sum(grad_k, 1)
        elif KIND.causal or KIND.coordinates > 0:
            k, grad_k = tl.where(inside, k, 0.0), tl.where(inside, grad_k, 0.0)
        values_sum += product(k.to(grad_out.dtype), grad_out, KIND)
        slope = grad_k.to(TYPE)
        psi_part, position_sum = key_parts(slope, x, phi, gaps, weights, second, position_sum, KIND)
        psi_sum += psi_part
        for part in range(1, KIND.parts):
            part_phi, part_own = load_queries(pairs, sample, start, part, ROWS, KIND)
            part_weights, part_second = load_layers(pairs, part, ROWS, SLOTS, KIND)
            part_x = hidden_arguments(features, part_phi, part_own, gaps, part_weights, True, KIND)
            psi_part, position_sum = key_parts(
                slope, part_x, part_phi, gaps, part_weights, part_second, position_sum, KIND
            )
            psi_sum += psi_part
    place = (tl.program_id(2) * tl.num_programs(1) + sample) * pairs.keys
    present = columns < pairs.keys
    at = columns[:, None] * KIND.width + tl.arange(0, KIND.width)[None, :]
    tl.store(grad_psi + place * KIND.width + at, psi_sum, mask=present[:, None])
    CHANNELS: tl.constexpr = KIND.heads * KIND.dim
    at = columns[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    tl.store(grad_values + place * CHANNELS + at, values_sum, mask=present[:, None])
    if KIND.softmax:
        tl.store(grad_shift + place + columns, shift_sum, mask=present)
    if KIND.moves:
        for axis in tl.static_range(AXES):
            target = grad_key_positions + (place + columns) * KIND.axes + axis
            tl.store(target, -position_sum[axis], mask=present)


@triton.jit
def key_parts(slope, x, phi, gaps, weights, second, position_sum, KIND: tl.constexpr):
    """Return a tile's part of ψ's gradient, and `position_sum` with its part of the gradient of −y."""
    QUERIES: tl.constexpr = x.shape[1]
    AXES: tl.constexpr = KIND.axes
    SQUARE: tl.constexpr = AXES * KIND.displacement
    grad_x = tl.reshape(product(slope, tl.trans(second), KIND), (slope.shape[0], QUERIES, KIND.units))
    grad_x = times_derivative(grad_x, x, KIND)
    new_position_sum = ()
    if KIND.moves:
        for axis in tl.static_range(AXES):
            of_axis = tl.zeros_like(grad_x)
            if KIND.displacement:
                of_axis += of_units(weights[axis], True)
            if KIND.distance:
                of_axis += 2.0 * of_units(weights[SQUARE], True) * of_pairs(gaps[axis], True)
            part_sum = tl.sum(tl.sum(grad_x * of_axis, 2), 1)
            new_position_sum = new_position_sum + (position_sum[axis] + part_sum,)
    return product(matrix(grad_x, True).to(phi.dtype), phi, KIND), new_position_sum
