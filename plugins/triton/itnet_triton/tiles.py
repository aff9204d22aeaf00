"""Loads and arithmetic of a tile: (keys, queries, hidden units), or (queries, hidden units, keys).

In a matrix product the last or first two axes are one: a *row* is a query and a hidden unit, a *slot* a query and a
head, a *channel* a head and one of its channels.
"""

# ruff: noqa: N806 - constants are in capitals
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activated(x, KIND: tl.constexpr):
    """Return σ(x)."""
    if KIND.activation == "relu":
        return tl.maximum(x, 0.0)
    elif KIND.activation == "silu":
        return x / (1.0 + tl.exp(-x))
    elif KIND.activation == "gelu":
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    else:
        return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def times_derivative(grad, x, KIND: tl.constexpr):
    """Return grad · σ'(x)."""
    if KIND.activation == "relu":
        return tl.where(x > 0.0, grad, 0.0)
    elif KIND.activation == "silu":
        gate = 1.0 / (1.0 + tl.exp(-x))
        return grad * (gate * (1.0 + x * (1.0 - gate)))
    elif KIND.activation == "gelu":
        density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
        return grad * (0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * density)
    else:
        tanh = 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0
        return grad * (1.0 - tanh * tanh)


@triton.jit
def product(a, b, KIND: tl.constexpr):
    """Return the matrix product a·b, summed in `KIND.accumulator`."""
    if KIND.widen:  # the interpreter would multiply the bits of bf16 as integers
        return tl.dot(a.to(KIND.accumulator), b.to(KIND.accumulator), out_dtype=KIND.accumulator)
    else:
        return tl.dot(a, b, input_precision=KIND.precision, out_dtype=KIND.accumulator)


@triton.jit
def zeros(COUNT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, KIND: tl.constexpr):
    """Return COUNT tensors of zeros, each of ROWS × COLUMNS, or of ROWS where COLUMNS is 0."""
    tensors = ()
    for _ in tl.static_range(COUNT):
        if COLUMNS == 0:
            tensors = tensors + (tl.full((ROWS,), 0.0, KIND.accumulator),)
        else:
            tensors = tensors + (tl.full((ROWS, COLUMNS), 0.0, KIND.accumulator),)
    return tensors


@triton.jit
def load_keys(pairs, sample, columns, KIND: tl.constexpr):
    """Load ψ of keys, (keys, W)."""
    width = tl.arange(0, KIND.width)
    at = columns[:, None] * KIND.width + width[None, :]
    return tl.load(pairs.psi + sample * pairs.keys * KIND.width + at, mask=(columns < pairs.keys)[:, None], other=0.0)


@triton.jit
def load_values(pairs, sample, columns, KIND: tl.constexpr):
    """Load the values of keys, (keys, channels)."""
    at, mask = channels_of(pairs, columns, columns < pairs.keys, KIND)
    return tl.load(pairs.value + sample * pairs.keys * pairs.heads * pairs.head_dim + at, mask=mask, other=0.0)


@triton.jit
def channels_of(pairs, point, present, KIND: tl.constexpr):
    """Return the offsets of points' channels in a tensor (points, heads, head_dim), and a mask."""
    channels = tl.arange(0, KIND.heads * KIND.dim)
    head, channel = pairs.head + channels // KIND.dim, channels % KIND.dim
    inside = (head < pairs.heads) & (channel < pairs.head_dim)
    at = point[:, None] * (pairs.heads * pairs.head_dim) + (head * pairs.head_dim + channel)[None, :]
    return at, present[:, None] & inside[None, :]


@triton.jit
def slot_channels(pairs, start, QUERIES: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Return the offsets of each slot's channels in a sample of (B, N, heads, head_dim), and a mask of its own head."""
    slots, channels = tl.arange(0, SLOTS), tl.arange(0, KIND.heads * KIND.dim)
    query = start + slots // KIND.heads
    present = (slots < QUERIES * KIND.heads) & (query < pairs.chunk)
    at, mask = channels_of(pairs, pairs.first + query, present, KIND)
    return at, mask & ((slots % KIND.heads)[:, None] == (channels // KIND.dim)[None, :])


@triton.jit
def slots_of(pairs, start, QUERIES: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Return the offsets of the slots in a sample of (B, heads, N), and a mask."""
    slots = tl.arange(0, SLOTS)
    query, head = start + slots // KIND.heads, pairs.head + slots % KIND.heads
    present = (slots < QUERIES * KIND.heads) & (query < pairs.chunk) & (head < pairs.heads)
    return head * pairs.queries + pairs.first + query, present


@triton.jit
def load_slots(pairs, tensor, sample, start, other, QUERIES: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Load a number for each slot of a tensor (B, heads, N)."""
    at, present = slots_of(pairs, start, QUERIES, SLOTS, KIND)
    return tl.load(tensor + sample * pairs.heads * pairs.queries + at, mask=present, other=other)


@triton.jit
def store_slots(pairs, target, tensor, sample, start, QUERIES: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Store a number for each slot to a tensor (B, heads, N)."""
    at, present = slots_of(pairs, start, QUERIES, SLOTS, KIND)
    tl.store(target + sample * pairs.heads * pairs.queries + at, tensor, mask=present)


@triton.jit
def load_slot_places(pairs, sample, start, QUERIES: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Load what the support compares of each slot's query: its time if causal, then `KIND.coordinates`."""
    slots = tl.arange(0, SLOTS)
    query = start + slots // KIND.heads
    present = (slots < QUERIES * KIND.heads) & (query < pairs.chunk)
    return places(pairs.query_time, pairs.query_positions, sample, pairs.first + query, present, pairs.queries, KIND)


@triton.jit
def load_key_places(pairs, sample, columns, KIND: tl.constexpr):
    """Load what the support compares of each key, as `load_slot_places`."""
    present = columns < pairs.keys
    return places(pairs.key_time, pairs.key_positions, sample, columns, present, pairs.keys, KIND)


@triton.jit
def places(time, positions, sample, points, present, count, KIND: tl.constexpr):
    """Load the times (B, count) and the positions (B, p, count) of points."""
    COORDINATES: tl.constexpr = KIND.coordinates
    tensors = ()
    if KIND.causal:
        tensors = tensors + (tl.load(time + sample * count + points, mask=present, other=0.0),)
    for axis in tl.static_range(COORDINATES):
        at = positions + (sample * COORDINATES + axis) * count + points
        tensors = tensors + (tl.load(at, mask=present, other=0.0),)
    return tensors


@triton.jit
def inside_support(pairs, columns, key, query, KIND: tl.constexpr):
    """Whether keys are in the supports of slots' queries, (keys, slots), in the arithmetic of `Support.mask`."""
    COORDINATES: tl.constexpr = KIND.coordinates
    inside = (columns < pairs.keys)[:, None]
    if KIND.causal:
        inside = inside & (key[0][:, None] <= query[0][None, :])
    if COORDINATES > 0:
        square = 0.0
        for axis in tl.static_range(COORDINATES):
            gap = tl.abs(query[KIND.causal + axis][None, :] - key[KIND.causal + axis][:, None])
            inside = inside & (gap <= tl.load(pairs.limits))
            square += gap * gap
        inside = inside & (square <= tl.load(pairs.limits + 1))
    return inside


@triton.jit
def key_range(pairs, sample, start, QUERIES: tl.constexpr, KIND: tl.constexpr):
    """Return begin and end of the keys that the queries from `start` on may see; where listed, of their tiles."""
    begin, end = 0, pairs.keys
    if KIND.listed:
        blocks = tl.cdiv(pairs.queries, QUERIES)
        begin, end = listed_tiles(pairs, sample, (pairs.first + start) // QUERIES, blocks)
    elif KIND.causal:
        queries = start + tl.arange(0, QUERIES)
        reach = pairs.reach + sample * pairs.queries + pairs.first + queries
        end = tl.max(tl.load(reach, mask=queries < pairs.chunk, other=0))
    return begin, end


@triton.jit
def listed_tiles(pairs, sample, block, blocks):
    """Return begin and end of a block's tiles in `pairs.tiles`."""
    at = pairs.reach + sample * blocks + block
    return tl.load(at), tl.load(at + tl.num_programs(1) * blocks)


@triton.jit
def load_slot_bias(pairs, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Load b_2 of each slot's head."""
    head = pairs.head + tl.arange(0, SLOTS) % KIND.heads
    return tl.load(pairs.second_bias + head, mask=head < pairs.heads, other=0.0)


@triton.jit
def load_queries(pairs, sample, start, part, ROWS: tl.constexpr, KIND: tl.constexpr):
    """Load φ (rows, W) and `own` (queries, units) for the queries from `start` on and a part of the hidden units."""
    rows, width = tl.arange(0, ROWS), tl.arange(0, KIND.width)
    query, unit = start + rows // KIND.units, part * KIND.units + rows % KIND.units
    total: tl.constexpr = KIND.parts * KIND.units
    at = (query * total + unit)[:, None] * KIND.width + width[None, :]
    of_sample = pairs.phi + sample * pairs.chunk * total * KIND.width
    phi = tl.load(of_sample + at, mask=(query < pairs.chunk)[:, None], other=0.0)
    queries, units = start + tl.arange(0, ROWS // KIND.units), part * KIND.units + tl.arange(0, KIND.units)
    at = queries[:, None] * total + units[None, :]
    return phi, tl.load(pairs.own + sample * pairs.chunk * total + at, mask=(queries < pairs.chunk)[:, None], other=0.0)


@triton.jit
def load_layers(pairs, part, ROWS: tl.constexpr, SLOTS: tl.constexpr, KIND: tl.constexpr):
    """Load the weights of x − y and ‖x − y‖² of a part of the hidden units, and W_2 as a matrix (rows, slots).

    That matrix is block-diagonal: a row and a slot of different queries have a 0.
    """
    geometry: tl.constexpr = KIND.axes * KIND.displacement + KIND.distance
    units = part * KIND.units + tl.arange(0, KIND.units)
    weights = ()
    for number in tl.static_range(geometry):
        weights = weights + (tl.load(pairs.weight + units * geometry + number),)
    rows, slots = tl.arange(0, ROWS), tl.arange(0, SLOTS)
    unit, head = part * KIND.units + rows % KIND.units, pairs.head + slots % KIND.heads
    same = (rows // KIND.units)[:, None] == (slots // KIND.heads)[None, :]
    at = head[None, :] * (KIND.parts * KIND.units) + unit[:, None]
    second = tl.load(pairs.second + at, mask=same & (head < pairs.heads)[None, :], other=0.0)
    return weights, second.to(pairs.psi.dtype.element_ty)


@triton.jit
def differences(pairs, sample, start, columns, QUERIES: tl.constexpr, KEYS_FIRST: tl.constexpr, KIND: tl.constexpr):
    """Return x − y for each coordinate and ‖x − y‖², at most 1e30 as in `PairInputs.pairs`.

    Each is a tile (keys, queries), or (queries, keys).
    """
    AXES: tl.constexpr = KIND.axes
    queries = start + tl.arange(0, QUERIES)
    x_at = pairs.query_positions + sample * AXES * pairs.queries + pairs.first + queries
    y_at = pairs.key_positions + sample * AXES * pairs.keys + columns
    tensors = ()
    for axis in tl.static_range(AXES):
        x = tl.load(x_at + axis * pairs.queries, mask=queries < pairs.chunk, other=0.0)
        y = tl.load(y_at + axis * pairs.keys, mask=columns < pairs.keys, other=0.0)
        if KEYS_FIRST:
            tensors = tensors + (x[None, :] - y[:, None],)
        else:
            tensors = tensors + (x[:, None] - y[None, :],)
    if KIND.distance:
        square = tensors[0] * tensors[0]
        for axis in tl.static_range(1, AXES):
            square += tensors[axis] * tensors[axis]
        tensors = tensors + (tl.minimum(square, 1e30),)
    return tensors


@triton.jit
def of_units(weight, KEYS_FIRST: tl.constexpr):
    """Reshape a number for each hidden unit to the axes of a tile."""
    if KEYS_FIRST:
        return weight[None, None, :]
    else:
        return weight[None, :, None]


@triton.jit
def of_pairs(gap, KEYS_FIRST: tl.constexpr):
    """Reshape a number for each pair to the axes of a tile."""
    if KEYS_FIRST:
        return gap[:, :, None]
    else:
        return gap[:, None, :]


@triton.jit
def hidden_arguments(features, phi, own, gaps, weights, KEYS_FIRST: tl.constexpr, KIND: tl.constexpr):
    """Compute the arguments of σ: a tile (keys, queries, units), or (queries, units, keys)."""
    QUERIES: tl.constexpr = own.shape[0]
    KEYS: tl.constexpr = features.shape[0]
    AXES: tl.constexpr = KIND.axes
    if KEYS_FIRST:
        x = tl.reshape(product(features, tl.trans(phi), KIND), (KEYS, QUERIES, KIND.units)) + own[None, :, :]
    else:
        x = tl.reshape(product(phi, tl.trans(features), KIND), (QUERIES, KIND.units, KEYS)) + own[:, :, None]
    if KIND.displacement:
        for axis in tl.static_range(AXES):
            x += of_units(weights[axis], KEYS_FIRST) * of_pairs(gaps[axis], KEYS_FIRST)
    if KIND.distance:
        number: tl.constexpr = AXES * KIND.displacement
        x += of_units(weights[number], KEYS_FIRST) * of_pairs(gaps[AXES], KEYS_FIRST)
    return x


@triton.jit
def scores(x, second, KEYS_FIRST: tl.constexpr, KIND: tl.constexpr):
    """Return W_2 σ(x), (keys, slots), and σ(x) as a factor of a matrix product, (keys, rows) or (rows, keys).

    An error of a softmax's logit is a relative error of its weight: σ(x) is not rounded to half precision there.
    """
    TYPE: tl.constexpr = second.dtype
    hidden = matrix(activated(x, KIND), KEYS_FIRST)
    factor = hidden.to(TYPE)
    k = keys_product(factor, second, KEYS_FIRST, KIND)
    if KIND.softmax and KIND.accumulator != TYPE:
        k += keys_product((hidden - factor).to(TYPE), second, KEYS_FIRST, KIND)
    return k, factor


@triton.jit
def keys_product(hidden, second, KEYS_FIRST: tl.constexpr, KIND: tl.constexpr):
    """Return the product with W_2, (keys, slots)."""
    if KEYS_FIRST:
        return product(hidden, second, KIND)
    else:
        return product(tl.trans(hidden), second, KIND)


@triton.jit
def matrix(tile, KEYS_FIRST: tl.constexpr):
    """Join the axes of queries and hidden units."""
    if KEYS_FIRST:
        return tl.reshape(tile, (tile.shape[0], tile.shape[1] * tile.shape[2]))
    else:
        return tl.reshape(tile, (tile.shape[0] * tile.shape[1], tile.shape[2]))
