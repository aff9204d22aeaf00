"""The arguments of the kernels: tensors and sizes (`Pairs`, `Upstream`), and compile-time constants (`Kind`).

Names of shapes: B samples, n queries of a chunk, N queries, M keys, U hidden units (padded to a multiple of
`Kind.units`), W columns of φ and ψ (`Kind.width`), p coordinates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Kind(NamedTuple):
    """Compile-time constants of a kernel."""

    activation: str
    softmax: bool
    causal: bool
    displacement: bool
    distance: bool
    moves: bool
    """Whether positions take gradients."""
    axes: int
    """Coordinates of a position; 0 where no input depends on positions."""
    coordinates: int
    """Coordinates that the support compares by its radius or window; 0 without both."""
    listed: bool
    """Whether `Pairs.tiles` lists the tiles to visit."""
    numbers: int
    """Columns that hold the displacement and the squared distance of a pair, a power of two."""
    heads: int
    """Heads of a program, a power of two; those beyond the last head are masked."""
    dim: int
    """Channels of a head, padded to a power of two."""
    width: int
    """W, a power of two."""
    units: int
    """Hidden units of a tile, a power of two."""
    parts: int
    """Tiles that hold all hidden units: U is parts times units."""
    accumulator: Any
    """Triton's type of sums."""
    precision: str
    """`input_precision` of float32 products."""
    widen: bool
    """Whether factors are converted to the type of sums before a product, as the interpreter needs."""


class Pairs(NamedTuple):
    """Inputs of all kernels, and sizes. All tensors are contiguous."""

    phi: Tensor
    """φ of a chunk of queries, (B, n, U, W)."""
    own: Tensor
    """The part of the hidden layer that depends on the query alone, (B, n, U)."""
    psi: Tensor
    """ψ, (B, M, W)."""
    weight: Tensor
    """First-layer weights of the displacement and of the squared distance, (U, geometry)."""
    query_positions: Tensor
    """(B, p, N)."""
    key_positions: Tensor
    """(B, p, M)."""
    second: Tensor
    """W_2, (heads, U)."""
    second_bias: Tensor
    """b_2, (heads)."""
    value: Tensor
    """The values, (B, M, heads, head_dim); Triton's own tuples have an attribute `values`."""
    bias: Tensor | None
    """Added to each key's score before the softmax, (B, M)."""
    query_time: Tensor | None
    """(B, N)."""
    key_time: Tensor | None
    """(B, M)."""
    limits: Tensor | None
    """Largest |x − y| of the support along each coordinate, and largest ‖x − y‖², (2,)."""
    tiles: Tensor | None
    """Key blocks of each query block, one after the other; for `key_gradients` query blocks of each key block."""
    reach: Tensor | None
    """End of the keys of each query, (B, N); for `key_gradients` the first of the queries of each key, (B, M). With
    `tiles`, the begin and the end of each block's part of `tiles`, (2, B, blocks)."""
    first: int
    """Number of the chunk's first query."""
    chunk: int
    """n."""
    queries: int
    """N."""
    keys: int
    """M."""
    heads: int
    head_dim: int
    head: int
    """First head of the program's group."""


class Upstream(NamedTuple):
    """Further inputs of the kernels of the gradients."""

    grad_out: Tensor
    """(B, N, heads, head_dim)."""
    log_total: Tensor
    """Logarithms of the softmax's totals, (B, heads, N)."""
    delta: Tensor
    """⟨grad_out, out⟩, (B, heads, N)."""
