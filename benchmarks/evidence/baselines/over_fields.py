"""Sequence mixers of torch, transformers and itnet-kernels between an encoder and a head of ITNet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from itnet_core import Field, IntegralOperator
from itnet_kernels import S4DKernel
from itnet_kernels.numerics.selective_scan import selective_scan
from itnet_registry import create_model


class Mixing(nn.Module):
    """A trunk that mixes a field's values, (B, N, dim), in the order of its points."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, field: Field) -> Field:
        """Mix the values."""
        return field.with_values(self.mixer(field.values, field.mask))


def over_field(
    task: Mapping[str, Any], *, encoder: str | Mapping[str, Any], mixer: str, dim: int, **options: Any
) -> nn.Module:
    """Return an ITNet whose trunk is replaced by a mixer of `MIXERS`; encoder and head stay."""
    model: Any = create_model(encoder=encoder, width=dim, depth=1, task=task)
    model.trunk = Mixing(MIXERS[mixer](dim, **options))
    network: nn.Module = model
    return network


class Bag(nn.Module):
    """No mixing: a layer at each point."""

    def __init__(self, dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Map values (B, N, dim)."""
        return values + self.layers(values)


class Recurrent(nn.Module):
    """torch's LSTM or GRU; states after the end of a sequence are 0."""

    def __init__(
        self,
        dim: int,
        *,
        cell: str = "LSTM",
        hidden: int,
        layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kind = {"LSTM": nn.LSTM, "GRU": nn.GRU}[cell]
        self.layers = kind(
            dim, hidden, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout if layers > 1 else 0.0
        )
        self.out = nn.Linear(hidden * (1 + bidirectional), dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the states, mapped to (B, N, dim)."""
        lengths = mask.sum(1)
        if bool((lengths == values.shape[1]).all()):
            states, _ = self.layers(values)
        else:
            sequences = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.layers(sequences)[0], batch_first=True, total_length=values.shape[1])
        mapped: Tensor = self.out(states)
        return mapped


class Transformer(nn.Module):
    """torch's pre-norm Transformer encoder with learned positions."""

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 4,
        heads: int = 4,
        ratio: float = 4,
        dropout: float = 0.0,
        causal: bool = False,
        longest: int = 512,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(longest, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, round(ratio * dim), dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.causal = causal

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the last layer's values."""
        length = values.shape[1]
        past = nn.Transformer.generate_square_subsequent_mask(length) if self.causal else None
        padding = (
            None if bool(mask.all()) else torch.zeros_like(mask, dtype=values.dtype).masked_fill(~mask, -torch.inf)
        )
        out: Tensor = self.layers(
            values + self.positions[:length], mask=past, src_key_padding_mask=padding, is_causal=self.causal
        )
        return out


def _scan(
    inputs: Tensor,
    steps: Tensor,
    rates: Tensor,
    to_state: Tensor,
    from_state: Tensor,
    *,
    z: Tensor,
    delta_bias: Tensor,
    **options: Any,
) -> Tensor:
    """Compute transformers' `mamba_selective_scan` of inputs (B, channels, N)."""
    steps = nn.functional.softplus(steps + delta_bias.unsqueeze(-1))
    out = selective_scan(steps.mT, (steps * inputs).mT, rates, to_state.mT, from_state.mT).mT
    return (out + inputs * options["D"].unsqueeze(-1)) * nn.functional.silu(z)


class Mamba(nn.Module):
    """transformers' Mamba, forward in time; or two of them, the other backward.

    Without CUDA, transformers loops over the points; here they are scanned by itnet-kernels, to the same result.
    """

    def __init__(self, dim: int, *, layers: int = 2, state: int = 16, bidirectional: bool = False) -> None:
        super().__init__()
        from transformers import MambaConfig, MambaModel

        config = MambaConfig(
            vocab_size=1, hidden_size=dim, state_size=state, num_hidden_layers=layers, use_mambapy=False
        )
        self.models = nn.ModuleList(MambaModel(config) for _ in range(1 + bidirectional))
        for model in self.models:
            model.embeddings = nn.Identity()

    @patch("transformers.models.mamba.modeling_mamba.mamba_selective_scan", _scan)
    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the last layer's values."""
        out: Tensor = self.models[0](inputs_embeds=values, use_cache=False).last_hidden_state
        if len(self.models) > 1:
            reverse = _reversed(values, mask)
            back = self.models[1](inputs_embeds=reverse, use_cache=False).last_hidden_state
            out = out + _reversed(back, mask)
        return out


class S4D(nn.Module):
    """Pre-norm layers of S4D, forward in time, or in both directions: u + GLU(GELU(S4D(norm u))).

    The convolutions are itnet-kernels', which are tested against the recurrence of Gu et al., arXiv 2206.11893.
    """

    def __init__(self, dim: int, *, layers: int = 4, state: int = 64, bidirectional: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(S4DLayer(dim, state, bidirectional) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the last layer's values."""
        for layer in self.layers:
            values = layer(values, mask)
        out: Tensor = self.norm(values)
        return out


class S4DLayer(nn.Module):
    """One layer of S4D."""

    def __init__(self, dim: int, state: int, bidirectional: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.directions = nn.ModuleList(
            IntegralOperator(dim, S4DKernel(dim, state=state), pointwise=False) for _ in range(1 + bidirectional)
        )
        self.skip = nn.Parameter(torch.randn(dim))  # D
        self.out = nn.Linear(dim * (1 + bidirectional), 2 * dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Add the layer's result to values (B, N, dim)."""
        inputs = self.norm(values)
        past = self._integrate(0, inputs) + self.skip * inputs
        sums = [past, *(_reversed(self._integrate(1, _reversed(inputs, mask)), mask) for _ in self.directions[1:])]
        mixed = nn.functional.glu(self.out(nn.functional.gelu(torch.cat(sums, -1))))
        return values + mixed

    def _integrate(self, direction: int, values: Tensor) -> Tensor:
        """Apply S4D at steps of one unit."""
        field = Field.on_grid(values, axes="t", bounds=[(0.0, float(values.shape[1]))], measure="counting")
        out: Tensor = self.directions[direction](field).values
        return out


def _reversed(values: Tensor, mask: Tensor) -> Tensor:
    """Reverse each sequence up to its own length; padding stays at the end."""
    lengths = mask.sum(1, keepdim=True)
    places = torch.arange(values.shape[1]).expand(len(values), -1)
    order = torch.where(mask, lengths - 1 - places, places)
    return values.gather(1, order.unsqueeze(-1).expand_as(values))


MIXERS: Mapping[str, Any] = {
    "bag": Bag,
    "recurrent": Recurrent,
    "transformer": Transformer,
    "s4d": S4D,
    "mamba": Mamba,
}
