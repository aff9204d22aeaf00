"""The kernels of the gradients: of the queries' side, and of the keys' side; `kernels` says how they compute."""

from __future__ import annotations

import triton
import triton.language as tl

from itnet_triton.tiles import (
    activated,
    add_to,
    block,
    derivative,
    differences,
    filled,
    position_slopes,
    product,
    with_geometry,
)


@triton.jit
def query_gradients_kernel(
    phi,
    own,
    psi,
    weight,
    query_positions,
    key_positions,
    second,
    second_bias,
    values,
    bias,
    query_time,
    key_time,
    reach,
    grad_out,
    log_total,
    delta,
    grad_phi,
    grad_own,
    grad_weight,
    grad_query_positions,
    grad_second,
    grad_bias,
    first,
    chunk,
    queries,
    keys,
    units,
    heads,
    head_dim,
    head,
    ACTIVATION: tl.constexpr,
    SOFTMAX: tl.constexpr,
    CAUSAL: tl.constexpr,
    DISPLACEMENT: tl.constexpr,
    DISTANCE: tl.constexpr,
    MOVES: tl.constexpr,
    AXES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    DIM: tl.constexpr,
    ACC: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Add a group of heads' part to the gradients that belong to a chunk of queries.

    These are `grad_phi` (B, n, UNITS, WIDTH), `grad_own` (B, n, UNITS) and, where MOVES, `grad_query_positions`
    (B, N, AXES); and, to be summed over queries and samples, `grad_weight` (B, UNITS, geometry, n), `grad_second`
    (B, UNITS, heads, n) and `grad_bias` (B, heads, n), the gradients of the weights of x − y and ‖x − y‖², W_2 and b_2.
    The grid is (blocks of queries, B).
    """
    sample = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    width, dims = tl.arange(0, WIDTH), tl.arange(0, DIM)
    owned = (rows[:, None] < chunk) & (width[None, :] < WIDTH)
    geometry: tl.constexpr = AXES * DISPLACEMENT + DISTANCE
    phi += sample * chunk * units * WIDTH
    own += sample * chunk * units
    query_positions += (sample * queries + first) * AXES
    key_positions += sample * keys * AXES
    grad_phi += sample * chunk * units * WIDTH
    grad_own += sample * chunk * units
    grad_weight += sample * units * geometry * chunk
    grad_query_positions += (sample * queries + first) * AXES
    grad_second += sample * units * heads * chunk + head * chunk
    grad_bias += (sample * heads + head) * chunk
    psi += sample * keys * WIDTH
    values += sample * keys * heads * head_dim + head * head_dim
    grad_out += (sample * queries + first) * heads * head_dim + head * head_dim
    log_total += (sample * heads + head) * queries + first
    delta += (sample * heads + head) * queries + first
    second += head * units
    end = keys
    if CAUSAL:
        end = tl.max(tl.load(reach + sample * queries + first + rows, mask=rows < chunk, other=0))
        time = tl.load(query_time + sample * queries + first + rows, mask=rows < chunk, other=0.0)
    grad_k_sum = filled(0.0, HEADS, QUERIES, 0, ACC)
    for start in range(0, end, KEYS):
        tl.debug_barrier()  # what other threads of this program added for the block before is to be seen
        columns = start + tl.arange(0, KEYS)
        features = block(psi, columns, keys, WIDTH, width, WIDTH)
        gaps = differences(rows, chunk, query_positions, columns, keys, key_positions, AXES, DISTANCE, False)
        inside = (columns < keys)[None, :]
        if CAUSAL:
            key_times = tl.load(key_time + sample * keys + columns, mask=columns < keys, other=0.0)
            inside = inside & (key_times[None, :] <= time[:, None])
        k = filled(0.0, HEADS, QUERIES, KEYS, ACC)
        if SOFTMAX:
            for unit in range(units):
                form = block(phi + unit * WIDTH, rows, chunk, units * WIDTH, width, WIDTH)
                before = product(form, tl.trans(features), ACC, PRECISION, WIDE)
                before += tl.load(own + rows * units + unit, mask=rows < chunk, other=0.0)[:, None]
                before = with_geometry(before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE)
                hidden = activated(before, ACTIVATION)
                new_k = ()
                for h in tl.static_range(HEADS):
                    new_k = new_k + (k[h] + tl.load(second + h * units + unit) * hidden,)
                k = new_k
        grad_k, new_grad_k_sum = (), ()
        for h in tl.static_range(HEADS):
            content = block(values + h * head_dim, columns, keys, heads * head_dim, dims, head_dim)
            given = block(grad_out + h * head_dim, rows, chunk, heads * head_dim, dims, head_dim)
            slope = product(given, tl.trans(content), ACC, PRECISION, WIDE)
            if SOFTMAX:
                shift = tl.load(bias + sample * keys + columns, mask=columns < keys, other=0.0)
                score = k[h] + tl.load(second_bias + head + h) + shift[None, :]
                mass = tl.load(log_total + h * queries + rows, mask=rows < chunk, other=float("inf"))
                mean = tl.load(delta + h * queries + rows, mask=rows < chunk, other=0.0)
                share = tl.exp(tl.where(inside, score, float("-inf")) - mass[:, None])
                slope = share * (slope - mean[:, None])
            elif CAUSAL:
                slope = tl.where(inside, slope, 0.0)
            grad_k = grad_k + (slope,)
            new_grad_k_sum = new_grad_k_sum + (grad_k_sum[h] + tl.sum(slope, 1),)
        grad_k_sum = new_grad_k_sum
        slopes = filled(0.0, AXES * MOVES, QUERIES, KEYS, ACC)
        for unit in range(units):
            form = block(phi + unit * WIDTH, rows, chunk, units * WIDTH, width, WIDTH)
            before = product(form, tl.trans(features), ACC, PRECISION, WIDE)
            before += tl.load(own + rows * units + unit, mask=rows < chunk, other=0.0)[:, None]
            before = with_geometry(before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE)
            hidden = activated(before, ACTIVATION)
            grad_hidden = tl.full((QUERIES, KEYS), 0.0, ACC)
            for h in tl.static_range(HEADS):
                grad_hidden += tl.load(second + h * units + unit) * grad_k[h]
                add_to(grad_second + (unit * heads + h) * chunk + rows, tl.sum(grad_k[h] * hidden, 1), rows < chunk)
            grad_before = grad_hidden * derivative(before, ACTIVATION)
            part = product(grad_before.to(features.dtype), features, ACC, PRECISION, WIDE)
            add_to(grad_phi + unit * WIDTH + rows[:, None] * (units * WIDTH) + width[None, :], part, owned)
            add_to(grad_own + rows * units + unit, tl.sum(grad_before, 1), rows < chunk)
            of_weight = grad_weight + unit * geometry * chunk + rows
            if DISPLACEMENT:
                for axis in tl.static_range(AXES):
                    add_to(of_weight + axis * chunk, tl.sum(grad_before * gaps[axis], 1), rows < chunk)
            if DISTANCE:
                add_to(of_weight + AXES * DISPLACEMENT * chunk, tl.sum(grad_before * gaps[AXES], 1), rows < chunk)
            if MOVES:
                slopes = position_slopes(
                    slopes, grad_before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE
                )
        if MOVES:
            for axis in tl.static_range(AXES):
                add_to(grad_query_positions + rows * AXES + axis, tl.sum(slopes[axis], 1), rows < chunk)
    for h in tl.static_range(HEADS):
        tl.store(grad_bias + h * chunk + rows, grad_k_sum[h], mask=rows < chunk)


@triton.jit
def key_gradients_kernel(
    phi,
    own,
    psi,
    weight,
    query_positions,
    key_positions,
    second,
    second_bias,
    values,
    bias,
    query_time,
    key_time,
    reach,
    grad_out,
    log_total,
    delta,
    grad_psi,
    grad_key_positions,
    grad_values,
    grad_shift,
    first,
    chunk,
    queries,
    keys,
    units,
    heads,
    head_dim,
    head,
    ACTIVATION: tl.constexpr,
    SOFTMAX: tl.constexpr,
    CAUSAL: tl.constexpr,
    DISPLACEMENT: tl.constexpr,
    DISTANCE: tl.constexpr,
    MOVES: tl.constexpr,
    AXES: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    DIM: tl.constexpr,
    ACC: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Add a chunk of queries' and a group of heads' part to the gradients that belong to the keys.

    These are `grad_psi` (B, M, WIDTH), `grad_values` (B, M, heads, head_dim), `grad_shift` (B, M) of the bias and,
    where MOVES, `grad_key_positions` (B, M, AXES).
    Tiles are (keys, queries) here, so that sums over queries stay within a row. The grid is (blocks of keys, B).
    """
    sample = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
    width, dims = tl.arange(0, WIDTH), tl.arange(0, DIM)
    geometry: tl.constexpr = AXES * DISPLACEMENT + DISTANCE
    phi += sample * chunk * units * WIDTH
    own += sample * chunk * units
    query_positions += (sample * queries + first) * AXES
    key_positions += sample * keys * AXES
    values += sample * keys * heads * head_dim + head * head_dim
    grad_out += (sample * queries + first) * heads * head_dim + head * head_dim
    log_total += (sample * heads + head) * queries + first
    delta += (sample * heads + head) * queries + first
    second += head * units
    features = block(psi + sample * keys * WIDTH, columns, keys, WIDTH, width, WIDTH)
    begin = 0
    if CAUSAL:
        begin = tl.min(tl.load(reach + sample * keys + columns, mask=columns < keys, other=2147483647))
        begin = tl.maximum(begin - first, 0) // QUERIES * QUERIES
        key_times = tl.load(key_time + sample * keys + columns, mask=columns < keys, other=0.0)
    if SOFTMAX:
        shift = tl.load(bias + sample * keys + columns, mask=columns < keys, other=float("-inf"))
    psi_sum = tl.full((KEYS, WIDTH), 0.0, ACC)
    shift_sum = tl.full((KEYS,), 0.0, ACC)
    values_sum = filled(0.0, HEADS, KEYS, DIM, ACC)
    position_sum = filled(0.0, AXES * MOVES, KEYS, 0, ACC)
    for start in range(begin, chunk, QUERIES):
        rows = start + tl.arange(0, QUERIES)
        inside = (columns[:, None] < keys) & (rows[None, :] < chunk)
        gaps = differences(rows, chunk, query_positions, columns, keys, key_positions, AXES, DISTANCE, True)
        if CAUSAL:
            time = tl.load(query_time + sample * queries + first + rows, mask=rows < chunk, other=0.0)
            inside = inside & (key_times[:, None] <= time[None, :])
        grad_k = ()
        for h in tl.static_range(HEADS):
            content = block(values + h * head_dim, columns, keys, heads * head_dim, dims, head_dim)
            given = block(grad_out + h * head_dim, rows, chunk, heads * head_dim, dims, head_dim)
            slope = product(content, tl.trans(given), ACC, PRECISION, WIDE)
            if CAUSAL:
                slope = tl.where(inside, slope, 0.0)
            grad_k = grad_k + (slope,)
        k = filled(0.0, HEADS, KEYS, QUERIES, ACC)
        slopes = filled(0.0, AXES * MOVES, KEYS, QUERIES, ACC)
        for unit in range(units):
            form = block(phi + unit * WIDTH, rows, chunk, units * WIDTH, width, WIDTH)
            before = product(features, tl.trans(form), ACC, PRECISION, WIDE)
            before += tl.load(own + rows * units + unit, mask=rows < chunk, other=0.0)[None, :]
            before = with_geometry(before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE)
            hidden = activated(before, ACTIVATION)
            new_k = ()
            grad_hidden = tl.full((KEYS, QUERIES), 0.0, ACC)
            for h in tl.static_range(HEADS):
                factor = tl.load(second + h * units + unit)
                new_k = new_k + (k[h] + factor * hidden,)
                if not SOFTMAX:
                    grad_hidden += factor * grad_k[h]
            k = new_k
            if not SOFTMAX:  # with it the slopes need all of k first
                grad_before = grad_hidden * derivative(before, ACTIVATION)
                psi_sum += product(grad_before.to(features.dtype), form, ACC, PRECISION, WIDE)
                if MOVES:
                    slopes = position_slopes(
                        slopes, grad_before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE
                    )
        new_grad_k, new_values_sum = (), ()
        for h in tl.static_range(HEADS):
            given = block(grad_out + h * head_dim, rows, chunk, heads * head_dim, dims, head_dim)
            score = k[h] + tl.load(second_bias + head + h)
            if SOFTMAX:
                mass = tl.load(log_total + h * queries + rows, mask=rows < chunk, other=float("inf"))
                mean = tl.load(delta + h * queries + rows, mask=rows < chunk, other=0.0)
                score = tl.exp(tl.where(inside, score + shift[:, None], float("-inf")) - mass[None, :])
                slope = score * (grad_k[h] - mean[None, :])
                shift_sum += tl.sum(slope, 1)
                new_grad_k = new_grad_k + (slope,)
            elif CAUSAL:
                score = tl.where(inside, score, 0.0)
            new_values_sum = new_values_sum + (
                values_sum[h] + product(score.to(given.dtype), given, ACC, PRECISION, WIDE),
            )
        values_sum = new_values_sum
        if SOFTMAX:
            for unit in range(units):
                form = block(phi + unit * WIDTH, rows, chunk, units * WIDTH, width, WIDTH)
                before = product(features, tl.trans(form), ACC, PRECISION, WIDE)
                before += tl.load(own + rows * units + unit, mask=rows < chunk, other=0.0)[None, :]
                before = with_geometry(before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE)
                grad_hidden = tl.full((KEYS, QUERIES), 0.0, ACC)
                for h in tl.static_range(HEADS):
                    grad_hidden += tl.load(second + h * units + unit) * new_grad_k[h]
                grad_before = grad_hidden * derivative(before, ACTIVATION)
                psi_sum += product(grad_before.to(features.dtype), form, ACC, PRECISION, WIDE)
                if MOVES:
                    slopes = position_slopes(
                        slopes, grad_before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE
                    )
        if MOVES:
            new_position_sum = ()
            for axis in tl.static_range(AXES):
                new_position_sum = new_position_sum + (position_sum[axis] + tl.sum(slopes[axis], 1),)
            position_sum = new_position_sum
    if MOVES:
        for axis in tl.static_range(AXES):
            add_to(grad_key_positions + (sample * keys + columns) * AXES + axis, -position_sum[axis], columns < keys)
    place = grad_psi + sample * keys * WIDTH + columns[:, None] * WIDTH + width[None, :]
    add_to(place, psi_sum, (columns[:, None] < keys) & (width[None, :] < WIDTH))
    if SOFTMAX:
        add_to(grad_shift + sample * keys + columns, shift_sum, columns < keys)
    owned = (columns[:, None] < keys) & (dims[None, :] < head_dim)
    for h in tl.static_range(HEADS):
        place = grad_values + sample * keys * heads * head_dim + (head + h) * head_dim
        add_to(place + columns[:, None] * (heads * head_dim) + dims[None, :], values_sum[h], owned)
