"""The kernel of the sums. What is said here holds for those of the gradients too.

The argument of a hidden unit c is own_c(x) + φ_c(x)·ψ(y) + ⟨weight_c, [x − y, ‖x − y‖²]⟩. `phi` (B, n, UNITS, WIDTH)
and `own` (B, n, UNITS) hold a chunk of the queries, `psi` (B, M, WIDTH) all keys: a matrix product. What depends on
x − y would cancel in it, and is added from the positions in float32; DISPLACEMENT and DISTANCE say what there is. A
program owns a block of queries (or keys), walks over the others in blocks, and keeps the scores k of a tile for HEADS
heads in registers; a pair tensor never exists. No two programs write to one place, so that there are no atomics, and a
result is the same bit for bit whenever it is computed by the same shapes.
"""

from __future__ import annotations

import triton
import triton.language as tl

from itnet_triton.tiles import activated, block, differences, filled, product, with_geometry


@triton.jit
def sums_kernel(
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
    out,
    log_total,
    first,
    chunk,
    queries,
    keys,
    units,
    heads,
    head_dim,
    ACTIVATION: tl.constexpr,
    SOFTMAX: tl.constexpr,
    CAUSAL: tl.constexpr,
    DISPLACEMENT: tl.constexpr,
    DISTANCE: tl.constexpr,
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
    """Write Σ_j k v_j (SOFTMAX: Σ_j e^(k + bias) v_j / Σ_j e^(k + bias), and the total's logarithm) for a chunk.

    The grid is (blocks of queries, B, groups of heads). `first` is where the chunk begins among the queries.
    """
    sample = tl.program_id(1).to(tl.int64)
    head = tl.program_id(2) * HEADS
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    width, dims = tl.arange(0, WIDTH), tl.arange(0, DIM)
    geometry: tl.constexpr = AXES * DISPLACEMENT + DISTANCE
    phi += sample * chunk * units * WIDTH
    own += sample * chunk * units
    query_positions += (sample * queries + first) * AXES
    key_positions += sample * keys * AXES
    psi += sample * keys * WIDTH
    values += sample * keys * heads * head_dim + head * head_dim
    second += head * units
    end = keys
    if CAUSAL:
        end = tl.max(tl.load(reach + sample * queries + first + rows, mask=rows < chunk, other=0))
        time = tl.load(query_time + sample * queries + first + rows, mask=rows < chunk, other=0.0)
    sums = filled(0.0, HEADS, QUERIES, DIM, ACC)
    peak = filled(-3.0e38, HEADS, QUERIES, 0, ACC)
    total = filled(0.0, HEADS, QUERIES, 0, ACC)
    for start in range(0, end, KEYS):
        columns = start + tl.arange(0, KEYS)
        features = tl.trans(block(psi, columns, keys, WIDTH, width, WIDTH))
        gaps = differences(rows, chunk, query_positions, columns, keys, key_positions, AXES, DISTANCE, False)
        k = filled(0.0, HEADS, QUERIES, KEYS, ACC)
        for unit in range(units):
            form = block(phi + unit * WIDTH, rows, chunk, units * WIDTH, width, WIDTH)
            before = product(form, features, ACC, PRECISION, WIDE)
            before += tl.load(own + rows * units + unit, mask=rows < chunk, other=0.0)[:, None]
            before = with_geometry(before, gaps, weight + unit * geometry, AXES, DISPLACEMENT, DISTANCE)
            hidden = activated(before, ACTIVATION)
            new_k = ()
            for h in tl.static_range(HEADS):
                new_k = new_k + (k[h] + tl.load(second + h * units + unit) * hidden,)
            k = new_k
        inside = (columns < keys)[None, :]
        if CAUSAL:
            key_times = tl.load(key_time + sample * keys + columns, mask=columns < keys, other=0.0)
            inside = inside & (key_times[None, :] <= time[:, None])
        new_sums, new_peak, new_total = (), (), ()
        for h in tl.static_range(HEADS):
            content = block(values + h * head_dim, columns, keys, heads * head_dim, dims, head_dim)
            score = k[h] + tl.load(second_bias + head + h)
            if SOFTMAX:
                shift = tl.load(bias + sample * keys + columns, mask=columns < keys, other=0.0)
                score = tl.where(inside, score + shift[None, :], float("-inf"))
                top = tl.maximum(peak[h], tl.max(score, 1))
                decay = tl.exp(peak[h] - top)
                score = tl.exp(score - top[:, None])
                new_peak = new_peak + (top,)
                new_total = new_total + (total[h] * decay + tl.sum(score, 1),)
                kept = sums[h] * decay[:, None]
            else:
                if CAUSAL:  # beyond the last key the values are 0
                    score = tl.where(inside, score, 0.0)
                kept = sums[h]
                new_peak = new_peak + (peak[h],)
                new_total = new_total + (total[h],)
            new_sums = new_sums + (kept + product(score.to(content.dtype), content, ACC, PRECISION, WIDE),)
        sums, peak, total = new_sums, new_peak, new_total
    target = out + (sample * queries + first) * heads * head_dim + head * head_dim
    owned = (rows[:, None] < chunk) & (dims[None, :] < head_dim)
    for h in tl.static_range(HEADS):
        result = sums[h]
        if SOFTMAX:
            empty = total[h] == 0.0
            mass = tl.where(empty, 1.0, total[h])
            result = result / mass[:, None]
            logarithm = tl.where(empty, 0.0, peak[h] + tl.log(mass))
            tl.store(log_total + (sample * heads + head + h) * queries + first + rows, logarithm, mask=rows < chunk)
        at = target + h * head_dim + rows[:, None] * (heads * head_dim) + dims[None, :]
        tl.store(at, result.to(out.dtype.element_ty), mask=owned)
