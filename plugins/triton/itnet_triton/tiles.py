"""What the kernels do to a tile of pairs: activations, their derivatives, products, and the scores of all heads."""

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
