"""Position encodings, for kernels that read content alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from itnet_core.operator.field import AXES, Field

Position = Literal["none", "fourier"]

WAVELENGTHS = tuple(2.0**octave for octave in range(-2, 13))
"""Wavelengths in units of length: from two tokens, or an eighth of an image's longer side, to 32,768 tokens."""


class FourierPositions(nn.Module):
    """u(x) ← u(x) + W φ(x), φ(x) = cos 2πx_a/λ and sin 2πx_a/λ for each axis a and wavelength λ, with a learned W.

    An absolute encoding like the sinusoidal one (Vaswani et al., arXiv 1706.03762), for points anywhere in R^4: texts
    of any length, images of any resolution, point clouds. Wavelengths are powers of two, so phases modulo a turn are
    exact at any distance from the origin.

    Example:
        >>> FourierPositions(8)(Field(torch.zeros(1, 5, 8), torch.rand(1, 5, 4))).values.shape
        torch.Size([1, 5, 8])

    Args:
        dim: channels of the fields.
    """

    wavelengths: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("wavelengths", torch.tensor(WAVELENGTHS), persistent=False)
        self.linear = nn.Linear(2 * len(AXES) * len(WAVELENGTHS), dim, bias=False)
        nn.init.normal_(self.linear.weight, std=0.02 / len(WAVELENGTHS) ** 0.5)

    def forward(self, field: Field) -> Field:
        """Return the field with the encoding of its positions, (B, N, 4), added to its values."""
        precise = torch.promote_types(field.positions.dtype, torch.float32)
        wavelengths = self.wavelengths.to(precise)
        phases = 2 * torch.pi * (field.positions.to(precise).unsqueeze(-1).remainder(wavelengths) / wavelengths)
        phases = phases.flatten(-2)
        features = torch.cat([phases.cos(), phases.sin()], dim=-1).to(self.linear.weight.dtype)
        return field.map(lambda values: values + self.linear(features))
