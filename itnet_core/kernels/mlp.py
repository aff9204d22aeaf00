"""The paper's kernel: an MLP over pairs of positions and features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core.config import ComponentConfig
from itnet_core.field import Field
from itnet_core.kernel import Kernel, Normalization
from itnet_core.kernels.pair_inputs import INPUTS, Input, PairInputs
from itnet_core.support import Support

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {"relu": F.relu_, "silu": F.silu, "gelu": F.gelu, "tanh": torch.tanh}


class MLPKernel(Kernel):
    """k = W_2 σ(W_1 z + b_1) + b_2, z = [ũ(x), ũ(y), ũ(x)⊙ũ(y), x−y, ‖x−y‖², cos 2πB(x−y), sin 2πB(x−y)] (OPERATOR §2).

    Here ũ = P u has `rank` channels. The vector z of a pair never exists: it is bilinear in the features of single
    points (`PairInputs`), so that one matrix product gives a tile's whole hidden layer, as it gives attention scores.
    Positions are taken relative to the key field's centre, so that ‖x−y‖² and the phases do not cancel far from 0.

    Args:
        dim: channels of the fields, d.
        config: see `Config`; its fields may also be given as keyword arguments.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            heads: scalar kernels.
            hidden: hidden units of the MLP.
            rank: channels of ũ = P u.
            position_dim: coordinates of a position, p; 4 in models, where positions are (t, x, y, z).
            frequencies: rows of B, drawn once from a normal distribution.
            frequency_scale: its standard deviation, in cycles for each unit of length.
            inputs: the inputs of the MLP; leave some out for an ablation.
            activation: σ.
            normalization: `none` or `softmax`.
            support: the pairs that the integral runs over.
        """

        heads: PositiveInt = 4
        hidden: PositiveInt = 32
        rank: PositiveInt = 16
        position_dim: PositiveInt = 4
        frequencies: PositiveInt = 8
        frequency_scale: PositiveFloat = 1.0
        inputs: tuple[Input, ...] = INPUTS
        activation: Literal["relu", "silu", "gelu", "tanh"] = "relu"
        normalization: Normalization = "none"
        support: Support = Support()

        @field_validator("inputs")
        @classmethod
        def _in_order(cls, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
            if not inputs or len(set(inputs)) < len(inputs):
                raise ValueError("at least one input, each at most once")
            return tuple(name for name in INPUTS if name in inputs)

    frequency_matrix: Tensor

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Return whether positions are among the inputs."""
        return not {"displacement", "distance", "fourier"}.isdisjoint(config.inputs)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.support = c.heads, c.normalization, c.support
        self.inputs = PairInputs(c.inputs, c.rank, c.position_dim, c.frequencies)
        self.content = nn.Linear(dim, c.rank, bias=False)
        self.first = nn.Linear(self.inputs.count, c.hidden)
        self.second = nn.Linear(c.hidden, c.heads)
        self.register_buffer("frequency_matrix", torch.randn(c.frequencies, c.position_dim) * c.frequency_scale)
        self._start_local()

    @torch.no_grad()
    def _start_local(self) -> None:
        """Start hidden unit c as a bump of radius about ℓ_c around x−y = δ_c, that content and phases modulate.

        With ReLU, σ(1 + ⟨2δ/ℓ², x−y⟩ − ‖x−y‖²/ℓ²) is such a bump, so that the kernel starts as a random convolution
        with compact filters. ℓ is spread over lengths from a fraction of the domain [−1, 1] to all of it, and
        W_2 ∝ 1/ℓ gives wide and narrow units a like share. From PyTorch's default, where the kernel is nearly constant
        and the integral of a normalised field nearly 0, training is several times slower (docs/initialisation.md).
        """
        columns = self.inputs.columns
        length = torch.empty(self.config.hidden, 1).uniform_(math.log(0.25), math.log(1.5)).exp()
        if "distance" in columns:
            self.first.weight[:, columns["distance"]] = -1 / length**2
            self.first.bias.fill_(1.0)
            if "displacement" in columns:
                offset = 0.7 * length * torch.randn(self.config.hidden, self.config.position_dim)
                self.first.weight[:, columns["displacement"]] = 2 * offset / length**2
        gain = 3.0 if self.normalization == "none" else 1.0
        self.second.weight.normal_(std=gain / self.config.hidden**0.5).div_(length.T)
        self.second.bias.zero_()

    @property
    def pair_width(self) -> int:
        """The hidden units: the hidden layer of a tile is its largest tensor."""
        return self.config.hidden

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        """Return the point features χ of the query points, (B, N, R), and of the key points, (B, M, R).

        Raises:
            ShapeError: positions have other coordinates than `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        weights = key.weights.unsqueeze(-1)
        origin = ((weights * key.positions).sum(1, keepdim=True) / weights.sum(1, keepdim=True)).detach()
        key_terms = self._point_features(key, origin)
        return key_terms if query is key else self._point_features(query, origin), key_terms

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        """Return k of shape (B, heads, n, m)."""
        forms = self.inputs(self.first.weight, self.first.bias)
        linear = (query_terms @ forms.flatten(1)).view(*query_terms.shape[:2], *forms.shape[1:])
        # Hidden units first: (B, hidden·n, m) makes both layers plain matrix products, and k comes out in its order.
        pre_activation = linear.transpose(1, 2).flatten(1, 2) @ key_terms.transpose(1, 2)
        hidden = ACTIVATIONS[self.config.activation](pre_activation)
        batch, n, m = len(query_terms), query_terms.shape[1], key_terms.shape[1]
        weight = self.second.weight.expand(batch, -1, -1)  # matmul would transpose the large factor instead
        k = torch.baddbmm(self.second.bias.unsqueeze(1), weight, hidden.view(batch, -1, n * m))
        return k.view(batch, -1, n, m)

    def _point_features(self, field: Field, origin: Tensor) -> Tensor:
        position = field.positions - origin
        phase = 2 * torch.pi * position @ self.frequency_matrix.to(position.dtype).T
        features: dict[str, Callable[[], Tensor]] = {
            "one": lambda: torch.ones_like(position[..., :1]),
            "content": lambda: self.content(field.values),
            "position": lambda: position,
            "square": lambda: position.square().sum(-1, keepdim=True),
            "cos": lambda: phase.cos(),
            "sin": lambda: phase.sin(),
        }
        return torch.cat([features[name]().to(self.first.weight.dtype) for name in self.inputs.features], dim=-1)
