"""Channels of attention's heads."""

from __future__ import annotations

from itnet_core import ShapeError


def resolve_head_dim(kernel: str, dim: int, heads: int, head_dim: int | None, *, rotary: bool = False) -> int:
    """Return the channels of a query's and a key's head, dim // heads by default.

    Raises:
        ShapeError: a head would have no channels, or an odd number of them with rotary.
    """
    resolved = dim // heads if head_dim is None else head_dim
    if resolved == 0 or (rotary and resolved % 2):
        raise ShapeError(
            kernel,
            found=f"head_dim {resolved}, of dim {dim} and {heads} heads",
            expected=f"a positive number{', an even one with rotary' if rotary else ''}",
            hint="Give head_dim, or another number of heads.",
        )
    return resolved
