"""What the kernels do to a tile of pairs: activations, their derivatives, products, and differences of positions."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activated(x, ACTIVATION: tl.constexpr):
    """Return σ(x)."""
    if ACTIVATION == "relu":
        return tl.maximum(x, 0.0)
    elif ACTIVATION == "silu":
        return x / (1.0 + tl.exp(-x))
    elif ACTIVATION == "gelu":
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    else:
        return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def derivative(x, ACTIVATION: tl.constexpr):
    """Return σ'(x)."""
    if ACTIVATION == "relu":
        return tl.where(x > 0.0, 1.0, 0.0).to(x.dtype)
    elif ACTIVATION == "silu":
        gate = 1.0 / (1.0 + tl.exp(-x))
        return gate * (1.0 + x * (1.0 - gate))
    elif ACTIVATION == "gelu":
        density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
        return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * density
    else:
        tanh = 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0
        return 1.0 - tanh * tanh


@triton.jit
def product(a, b, ACC: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr):
    """Return the matrix product a·b with sums in ACC; WIDE converts the factors first, as the interpreter needs."""
    if WIDE:  # it would multiply the bits of bf16 as integers
        return tl.dot(a.to(ACC), b.to(ACC), out_dtype=ACC)
    else:
        return tl.dot(a, b, input_precision=PRECISION, out_dtype=ACC)


@triton.jit
def filled(value, HEADS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ACC: tl.constexpr):
    """Return a tensor of ROWS × COLUMNS for each head, or of ROWS where COLUMNS is 0."""
    tensors = ()
    for _ in tl.static_range(HEADS):
        if COLUMNS == 0:
            tensors = tensors + (tl.full((ROWS,), value, ACC),)
        else:
            tensors = tensors + (tl.full((ROWS, COLUMNS), value, ACC),)
    return tensors


@triton.jit
def block(pointer, rows, count, stride, columns, width):
    """Load rows of `pointer`, stride apart: (rows, columns), with 0 beyond `count` rows and `width` columns."""
    inside = (rows[:, None] < count) & (columns[None, :] < width)
    return tl.load(pointer + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
def differences(
    rows,
    chunk,
    query_positions,
    columns,
    keys,
    key_positions,
    AXES: tl.constexpr,
    DISTANCE: tl.constexpr,
    KEYS_FIRST: tl.constexpr,
):
    """Return x − y for each of AXES coordinates and, for DISTANCE, ‖x − y‖², at most 1e30 as in `PairInputs.pairs`.

    Each is a tile (queries, keys), or (keys, queries).
    """
    tensors = ()
    for axis in tl.static_range(AXES):
        x = tl.load(query_positions + rows * AXES + axis, mask=rows < chunk, other=0.0)
        y = tl.load(key_positions + columns * AXES + axis, mask=columns < keys, other=0.0)
        if KEYS_FIRST:
            tensors = tensors + (x[None, :] - y[:, None],)
        else:
            tensors = tensors + (x[:, None] - y[None, :],)
    if DISTANCE:
        square = tensors[0] * tensors[0]
        for axis in tl.static_range(1, AXES):
            square += tensors[axis] * tensors[axis]
        tensors = tensors + (tl.minimum(square, 1e30),)
    return tensors


@triton.jit
def with_geometry(before, gaps, weight, AXES: tl.constexpr, DISPLACEMENT: tl.constexpr, DISTANCE: tl.constexpr):
    """Return a hidden unit's argument with what depends on x − y added, for its weights of `differences`."""
    if DISPLACEMENT:
        for axis in tl.static_range(AXES):
            before += tl.load(weight + axis) * gaps[axis]
    if DISTANCE:
        before += tl.load(weight + AXES * DISPLACEMENT) * gaps[AXES]
    return before


@triton.jit
def position_slopes(
    slopes, grad_before, gaps, weight, AXES: tl.constexpr, DISPLACEMENT: tl.constexpr, DISTANCE: tl.constexpr
):
    """Return `slopes`, a tile for each coordinate, with a hidden unit's part of the gradients to x − y added."""
    tensors = ()
    for axis in tl.static_range(AXES):
        slope = slopes[axis]
        if DISPLACEMENT:
            slope += tl.load(weight + axis) * grad_before
        if DISTANCE:
            slope += 2.0 * tl.load(weight + AXES * DISPLACEMENT) * gaps[axis] * grad_before
        tensors = tensors + (slope,)
    return tensors


@triton.jit
def add_to(pointer, tensor, mask):
    """Add a tensor to what is in memory; no other program may write there."""
    tl.store(pointer, tl.load(pointer, mask=mask, other=0.0) + tensor, mask=mask)
