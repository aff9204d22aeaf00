"""Conversion of the arguments of PyTorch's operations (`Inputs`) to arguments of the kernels (`Prepared`).

Queries are taken in chunks, so that the forms φ_c(x) = χ(x)ᵀ T_c, (n, hidden, W), take bounded memory, forward and
backward. The first entry of χ is 1: T's first column depends on x alone, and its first row has the weights of x − y and
‖x − y‖².
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_triton.launch import UNITS, interpreting, launch, listed_block
from itnet_triton.problem import Kind, Pairs

CHUNK_NUMBERS = 1 << 25
"""Largest number of entries of φ for a chunk of queries, over all samples."""
GROUP = 4
"""Largest number of heads of a program."""
GROUP_WIDTH = {2: 256, 4: 128, 8: 128}
"""Largest number of channels of a program's heads, unless one head has more, by the bytes of a factor."""


class Inputs(NamedTuple):
    """The arguments of `mlp_sum`."""

    query: Tensor
    """χ of the queries, (B, N, R)."""
    key: Tensor
    """χ of the keys, (B, M, R)."""
    forms: Tensor
    """T, (R, hidden, R + geometry), as `PairInputs` computes it from the first layer."""
    query_positions: Tensor
    """(B, N, p)."""
    key_positions: Tensor
    """(B, M, p)."""
    second: Tensor
    """W_2, (heads, hidden)."""
    second_bias: Tensor
    """b_2, (heads)."""
    values: Tensor
    """(B, M, heads, head_dim)."""
    bias: Tensor | None
    """Logarithms of the weights, (B, M), for a softmax; `None` for plain sums."""
    query_time: Tensor | None
    """(B, N). With `query_time` and `key_time`, a query sums over the keys of its own time and earlier."""
    key_time: Tensor | None
    """(B, M)."""
    limits: Tensor | None
    """`Pairs.limits`, where the support has a radius or a window."""
    tiles: Tensor | None
    """The tiles to visit, (2, tiles), of blocks of `listed_block`, numbered through all samples: sorted numbers
    query block · (key blocks of a sample) + key block of the sample, then the same with the two exchanged."""
    displacement: bool
    """Whether the displacement is an input of the kernel."""
    distance: bool
    """Whether the squared distance is an input of the kernel."""
    activation: str
    """Name of the activation."""
    dtype: torch.dtype
    """Type of the factors of matrix products."""
    precision: str
    """`input_precision` of float32 products."""
    tune: bool
    """Whether several shapes of blocks are timed."""


@dataclass(frozen=True)
class Prepared:
    """Arguments that the forward and backward passes share.

    Attributes:
        forms: of φ, (R, U, W).
        own: of the part of the hidden layer that depends on x alone, (R, U).
        pairs: arguments of the kernels, before a chunk of queries is set.
        reach: `Pairs.reach` of the queries' side and of the keys' side, unless tiles are listed.
    """

    inputs: Inputs
    forms: Tensor
    own: Tensor
    kind: Kind
    pairs: Pairs
    reach: tuple[Tensor | None, Tensor | None]

    def chunks(self) -> Iterator[tuple[slice, Pairs]]:
        """Yield the chunks of queries, each with the kernels' arguments."""
        batch, queries, _ = self.inputs.query.shape
        units, width = self.forms.shape[1:]
        block = listed_block(self.inputs.dtype, self.kind.units)[0] if self.kind.listed else 1
        size = max(1, CHUNK_NUMBERS // (batch * units * width * block)) * block
        for first in range(0, queries, size):
            rows = slice(first, min(first + size, queries))
            query = self.inputs.query[:, rows].to(self.forms.dtype)
            phi = (query @ self.forms.flatten(1)).view(*query.shape[:2], units, width).to(self.inputs.dtype)
            yield rows, self.pairs._replace(phi=phi, own=query @ self.own, first=first, chunk=query.shape[1])

    def launch(self, name: str, grid: tuple[int, int, int], pairs: Pairs, *arguments: Any) -> None:
        """Launch a kernel."""
        by_key = name == "key_gradients"
        if self.inputs.tiles is None:
            pairs = pairs._replace(reach=self.reach[by_key])
        else:
            tiles, reach = self._listed(self.inputs.tiles[int(by_key)], pairs, by_key)
            pairs = pairs._replace(tiles=tiles, reach=reach)
        launch(name, grid, self.kind, self.inputs.dtype, self.inputs.tune, (pairs, *arguments))

    def _listed(self, numbers: Tensor, pairs: Pairs, by_key: bool) -> tuple[Tensor, Tensor]:
        """Return `Pairs.tiles` and `Pairs.reach`; on the keys' side only tiles of the chunk's queries are in reach."""
        queries, keys = listed_block(self.inputs.dtype, self.kind.units)
        rows, columns = -(-pairs.queries // queries), -(-pairs.keys // keys)
        ends = 0, columns
        if by_key:
            rows, columns = columns, rows
            ends = pairs.first // queries, -(-(pairs.first + pairs.chunk) // queries)
        samples = len(pairs.value)
        starts = columns * torch.arange(samples * rows, device=numbers.device).view(samples, rows)
        reach = torch.searchsorted(numbers, torch.stack([starts + end for end in ends]), out_int32=True)
        return (numbers % columns).int(), reach


def prepare(inputs: Inputs, moves: bool = False) -> Prepared:
    """Prepare the arguments of the kernels; `moves` is whether positions take gradients."""
    dtype, values = inputs.dtype, inputs.values
    accumulator = torch.promote_types(dtype, torch.float32)
    heads, head_dim = values.shape[2:]
    features, hidden = inputs.query.shape[-1], inputs.forms.shape[1]
    width, dim = _power_of_two(features - 1, 16), _power_of_two(head_dim, 16)
    units = units_of_tile(hidden)
    missing = -hidden % units
    forms = F.pad(inputs.forms.to(accumulator), [0, 0, 0, missing])
    axes = inputs.query_positions.shape[-1] if inputs.displacement or inputs.distance else 0
    kind = Kind(
        activation=inputs.activation,
        softmax=inputs.bias is not None,
        causal=inputs.query_time is not None,
        coordinates=0 if inputs.limits is None else inputs.query_positions.shape[-1],
        listed=inputs.tiles is not None,
        displacement=inputs.displacement,
        distance=inputs.distance,
        moves=moves,
        axes=axes,
        numbers=_power_of_two(max(1, axes + inputs.distance)),
        heads=min(_power_of_two(heads), GROUP, max(1, GROUP_WIDTH[dtype.itemsize] // dim)),
        dim=dim,
        width=width,
        units=units,
        parts=forms.shape[1] // units,
        accumulator=_triton_type(accumulator),
        precision=inputs.precision,
        widen=interpreting(),
    )
    pairs = Pairs(
        phi=forms,
        own=forms,
        psi=F.pad(inputs.key[..., 1:].to(dtype), [0, width - features + 1]).contiguous(),
        weight=forms[0, :, features:].contiguous(),
        query_positions=inputs.query_positions.to(accumulator).transpose(1, 2).contiguous(),
        key_positions=inputs.key_positions.to(accumulator).transpose(1, 2).contiguous(),
        second=F.pad(inputs.second.to(accumulator), [0, missing]).contiguous(),
        second_bias=inputs.second_bias.to(accumulator).contiguous(),
        value=values.contiguous(),
        bias=None if inputs.bias is None else inputs.bias.contiguous(),
        query_time=None if inputs.query_time is None else inputs.query_time.contiguous(),
        key_time=None if inputs.key_time is None else inputs.key_time.contiguous(),
        limits=None if inputs.limits is None else inputs.limits.to(accumulator),
        tiles=None,
        reach=None,
        first=0,
        chunk=0,
        queries=inputs.query.shape[1],
        keys=inputs.key.shape[1],
        heads=heads,
        head_dim=head_dim,
        head=0,
    )
    of_products = F.pad(forms[..., 1:features], [0, width - features + 1])
    return Prepared(
        inputs, of_products, forms[..., 0].contiguous(), kind, pairs, (None, None) if kind.listed else _reach(pairs)
    )


def units_of_tile(hidden: int) -> int:
    """Return the hidden units of a tile."""
    return min(_power_of_two(hidden, 16), UNITS)


def _power_of_two(number: int, least: int = 1) -> int:
    """Return the least power of two ≥ `number` and `least`; matrix products need at least 16."""
    return max(least, 1 << (number - 1).bit_length())


def _triton_type(dtype: torch.dtype) -> Any:
    import triton.language as tl

    return tl.float64 if dtype == torch.float64 else tl.float32


def _reach(pairs: Pairs) -> tuple[Tensor | None, Tensor | None]:
    """Return the end of the keys that each query may see, and the first of the queries that may see each key."""
    if pairs.query_time is None or pairs.key_time is None:
        return None, None
    later = pairs.key_time.flip(-1).cummin(-1).values.flip(-1).contiguous()
    earlier = pairs.query_time.cummax(-1).values.contiguous()
    end = torch.searchsorted(later, pairs.query_time, right=True, out_int32=True)
    return end, torch.searchsorted(earlier, pairs.key_time, out_int32=True)
