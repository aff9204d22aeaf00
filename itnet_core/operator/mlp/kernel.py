"""The paper's kernel: an MLP over pairs of positions and features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core.operator.evaluators.dense import weigh_edge
from itnet_core.operator.field import Field
from itnet_core.operator.kernel import Kernel, Normalization, Problem, ScalarConfig
from itnet_core.operator.mlp.first_layer import pre_activation
from itnet_core.operator.mlp.grid_sum import Taps, convolve, taps_of
from itnet_core.operator.mlp.pair_inputs import CONTENT, INPUTS, PAPER, Input, PairInputs
from itnet_core.operator.points import Points, distinct
from itnet_core.operator.precision import exact_dtype, precise
from itnet_core.operator.support import Support
from itnet_core.operator.transforms import tracing
from itnet_core.plugin.config import ComponentConfig

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {"relu": F.relu_, "silu": F.silu, "gelu": F.gelu, "tanh": torch.tanh}

ADDITIVE: frozenset[Input] = frozenset({"query", "key", "displacement"})
"""The inputs that are a function of x plus one of y."""

LENGTHS = 1.05, 3.5
"""Smallest and largest length of a bump after `initialize`, in units of the spacing of the points."""

DEPTHWISE = 25
"""Time of a product of a depthwise convolution, relative to that of a dense one (benchmarks/local.py)."""


class PointTerms(NamedTuple):
    """Terms of the points of one side.

    Example:
        >>> field = Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> query_terms, key_terms = MLPKernel(8).project(field, field)
        >>> query_terms.positions.shape
        torch.Size([1, 5, 4])

    Attributes:
        features: χ, (B, N, R), in the dtype of the kernel's parameters.
        positions: x, (B, N, p), in float32 at least.
    """

    features: Tensor
    positions: Tensor


class MLPKernel(Kernel[PointTerms, None]):
    """The paper's kernel, an MLP over pairs: k = W_2 σ(W_1 z + b_1) + b_2 (docs/operator.md, §2).

    z = [ũ(x), ũ(y), ũ(x)⊙ũ(y), x−y, ‖x−y‖², cos 2πB(x−y), sin 2πB(x−y)], where ũ = P u has `rank` channels. z is never
    built: contents and phases are bilinear in the features of single points (`PairInputs`), so one matrix product gives
    the hidden layer of a tile, as it gives attention scores, and a second one over p + 1 numbers per pair adds the
    terms of x−y and ‖x−y‖².

    ũ(x)⊙ũ(y) gives a hidden unit symmetric forms ũ(x)ᵀ W_c ũ(y) alone, with a diagonal W_c. The input `bilinear`,
    ũ(x)⊗ũ(y), gives it any W_c, such as attention's scores ⟨W_q u(x), W_k u(y)⟩, at the same cost per pair
    (docs/operator.md, §2). It replaces `product`, which is its diagonal.

    With `values: full`, the normalization `none` and as many heads as hidden units, W_2 is the identity and b_2 is 0:
    K = Σ_c M_c σ_c, where W_2 would only mix the matrices M_c.

    x−y is the difference of two positions in float32 at least, under autocast too, and phases are reduced to a turn in
    float64, so neither cancels, wherever points lie.

    Example:
        >>> kernel = MLPKernel(8, heads=2, position_dim=2)
        >>> IntegralOperator(8, kernel)(Field.on_grid(torch.randn(1, 6, 6, 8))).values.shape
        torch.Size([1, 36, 8])

    Args:
        dim: channels of the fields, d.
        config: see `Config`; its fields may also be given as keyword arguments.
    """

    pointwise_terms = True

    class Config(ScalarConfig):
        """Sizes and inputs of the MLP."""

        heads: PositiveInt = 4
        """Number of scalar kernels."""
        hidden: PositiveInt = 32
        """Hidden units of the MLP."""
        rank: PositiveInt = 16
        """Channels of ũ = P u."""
        position_dim: PositiveInt = 4
        """Coordinates of a position, p; 4 in models, where positions are (t, x, y, z)."""
        frequencies: PositiveInt = 8
        """Rows of B, drawn once from a normal distribution."""
        frequency_scale: PositiveFloat = 1.0
        """Standard deviation of B, in cycles per unit of length."""
        bounded: bool = False
        """Divide ũ by the root of 1 + its mean square over channels, which bounds k whatever the size of u."""
        inputs: tuple[Input, ...] = PAPER
        """Inputs of the MLP; leave some out for an ablation, or replace `product` by `bilinear`, its general form."""
        activation: Literal["relu", "silu", "gelu", "tanh"] = "relu"
        """Activation of the hidden layer."""
        normalization: Normalization = "none"
        """`none` for a plain sum, `softmax` for weights that sum to 1."""
        support: Support = Support()
        """Pairs that the integral runs over."""

        @field_validator("inputs")
        @classmethod
        def _in_order(cls, inputs: tuple[Input, ...]) -> tuple[Input, ...]:
            if not inputs or len(set(inputs)) < len(inputs):
                raise ValueError("at least one input, each at most once")
            return tuple(name for name in INPUTS if name in inputs)

    fast_path_options: ClassVar = {"inputs": ("displacement", "distance", "fourier"), "support": Support(window=0.6)}

    frequency_matrix: Tensor

    @classmethod
    def reads_positions(cls, config: Config, axes: str) -> bool:
        """Whether positions are among the inputs."""
        return not {"displacement", "distance", "fourier"}.isdisjoint(config.inputs)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = c = self.configure(config, options)
        self.heads, self.normalization, self.values, self.support = c.heads, c.normalization, c.values, c.support
        self.inputs = PairInputs(c.inputs, c.rank, c.position_dim, c.frequencies)
        self.content = nn.Linear(dim, c.rank, bias=False)
        self.first = nn.Linear(self.inputs.count, c.hidden)
        self.folded = c.values == "full" and c.normalization == "none" and c.heads == c.hidden
        self.second: nn.Linear | _Identity = _Identity(c.hidden) if self.folded else nn.Linear(c.hidden, c.heads)
        self.register_buffer("frequency_matrix", torch.randn(c.frequencies, c.position_dim) * c.frequency_scale)
        self._scales = self._initialize_local()

    @torch.no_grad()
    def _initialize_local(self) -> Tensor:
        """Initialise hidden unit c as a bump of radius about ℓ_c around x−y = δ_c, modulated by content and phases.

        With ReLU, σ(1 + ⟨2δ/ℓ², x−y⟩ − ‖x−y‖²/ℓ²) is such a bump, so the kernel starts as a random convolution with
        compact filters. ℓ is spread over lengths from a fraction of the domain [−1, 1] to all of it, and W_2 ∝ 1/ℓ
        gives wide and narrow units an equal share. From PyTorch's default, where the kernel is nearly constant and the
        integral of a normalised field nearly 0, training is several times slower (docs/initialisation.md).

        Returns:
            The scale of each hidden unit in W_2, (hidden,); `output_map` gives it to M where W_2 is the identity.
        """
        columns = self.inputs.columns
        length = torch.empty(self.config.hidden, 1).uniform_(math.log(0.25), math.log(1.5)).exp()
        if "distance" in columns:
            self.first.weight[:, columns["distance"]] = -1 / length**2
            self.first.bias.fill_(1.0)
            if "displacement" in columns:
                offset = 0.7 * length * torch.randn(self.config.hidden, self.config.position_dim)
                self.first.weight[:, columns["displacement"]] = 2 * offset / length**2
        scales = (3.0 if self.normalization == "none" else 1.0) / length.squeeze(1)
        if not self.folded:
            self.second.weight.normal_(std=self.config.hidden**-0.5).mul_(scales)
            self.second.bias.zero_()
        return scales

    @torch.no_grad()
    def initialize(self, shortest: float, longest: float) -> bool:
        """Spread the lengths of the bumps over `LENGTHS`, in units of the spacing.

        Returns:
            Whether the kernel is a plain sum.
        """
        columns = self.inputs.columns
        if "distance" in columns:
            old = (-self.first.weight[:, columns["distance"]]).rsqrt()
            order = old.argsort(0).argsort(0) / max(1, len(old) - 1)
            low, high = LENGTHS[0] * shortest, LENGTHS[1] * longest
            ratio = low * (high / low) ** order / old
            self.first.weight[:, columns["distance"]] /= ratio**2
            if "displacement" in columns:
                self.first.weight[:, columns["displacement"]] /= ratio
        return self.normalization == "none"

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return Σ_h O_h, one linear map."""
        output = super().output_map(head_dim, out_dim)
        if self.folded:
            with torch.no_grad():
                cast(nn.Linear, cast(nn.Sequential, output)[1]).weight.mul_(self._scales.repeat_interleave(head_dim))
        return output

    @property
    def pair_width(self) -> int:
        """The hidden units: the hidden layer is the largest tensor of a tile."""
        return self.config.hidden

    def project(self, query: Field, key: Field) -> tuple[PointTerms, PointTerms]:
        """Compute the features and positions of the query points and of the key points.

        Raises:
            ShapeError: positions have other coordinates than `position_dim`.
        """
        self.check_coordinates(key, self.config.position_dim)
        key_terms = self._terms(key)
        return key_terms if query is key else self._terms(query), key_terms

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        """Compute k, shape (B, heads, n, m)."""
        (query, query_positions), (key, key_positions) = query_terms, key_terms
        (batch, n), m = query.shape[:2], key.shape[1]
        forms = self.inputs(self.first.weight, self.first.bias)
        linear = (query @ forms[..., : self.inputs.width].flatten(1)).view(batch, n, -1, self.inputs.width)
        # Hidden units first: (B, hidden·n, m) makes both layers plain matrix products, and k comes out in its order.
        linear = linear.transpose(1, 2).flatten(1, 2)
        activation = ACTIVATIONS[self.config.activation]
        if self.inputs.geometry:
            pairs = self.inputs.pairs(query_positions, key_positions).flatten(2)
            pairs = pairs.to(torch.promote_types(pairs.dtype, linear.dtype))
            hidden = activation(pre_activation(linear, key, forms[0, :, self.inputs.width :].to(pairs.dtype), pairs))
        else:
            hidden = activation(linear @ key.transpose(1, 2)).view(batch, -1, n * m)
        dtype = self.second.weight.dtype
        if self.normalization == "none":
            return self._second_layer(hidden.to(dtype)).view(batch, -1, n, m)
        # The error of a logit is a relative error of its weight: large ones have to be in float32.
        with torch.autocast(hidden.device.type, enabled=False):
            return self._second_layer(hidden.to(torch.promote_types(hidden.dtype, dtype))).view(batch, -1, n, m)

    def _second_layer(self, hidden: Tensor) -> Tensor:
        """Return W_2 hidden + b_2, (B, heads, pairs), in the dtype of hidden, (B, hidden, pairs)."""
        if self.folded:
            return hidden
        weight, bias = self.second.weight.to(hidden.dtype), self.second.bias.to(hidden.dtype).unsqueeze(1)
        # Batched, because matmul would transpose the large factor instead.
        return torch.baddbmm(bias, weight.expand(hidden.shape[0], -1, -1), hidden)

    @property
    def additive(self) -> bool:
        """Whether the hidden layer is σ(a(x) + b(y)): no inputs but those in `ADDITIVE` (docs/operator.md, §2)."""
        return ADDITIVE.issuperset(self.config.inputs)

    def can_transform(self, query: Field, key: Field) -> bool:
        """Whether k is a function of x−y alone on a grid, as for `can_integrate`, and a dense convolution is cheaper.

        A dense convolution is cheaper for `full` values of few channels. It takes taps · d products for each output
        channel, and `integrate` takes heads · (taps + d), of which the heads · taps products are slow (`DEPTHWISE`).
        """
        taps = self._taps(query.points, key.points) if self.values == "full" else None
        if taps is None:
            return False
        return len(taps.offsets) * key.dim <= self.heads * (DEPTHWISE * len(taps.offsets) + key.dim)

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute the integral and the maps as a convolution with the matrices Σ_h M_h k_h of each displacement."""
        taps = self._taps(query.points, key.points)
        assert taps is not None, "can_transform"
        linear = cast(nn.Linear, cast(nn.Sequential, output_map)[1])
        maps = torch.unflatten(linear.weight, 1, (self.heads, key.dim))
        values = (key.values * key.weights.unsqueeze(-1)).to(key.values.dtype)
        k = self._compute_at(taps).to(torch.promote_types(maps.dtype, values.dtype))
        weight = torch.einsum("ohd,ht->odt", maps.to(k.dtype), k)
        bias = None if linear.bias is None else linear.bias.to(k.dtype)
        return convolve(taps, weight, values.to(k.dtype), bias).to(values.dtype)

    def can_integrate(self, problem: Problem[PointTerms]) -> bool:
        """Whether k is a function of x−y alone, summed plainly over a radius or a window on a regular grid."""
        return self._taps(problem.query, problem.key) is not None

    def integrate(self, problem: Problem[PointTerms]) -> Tensor:
        """Compute the integral as a depthwise convolution, with k of each displacement as its weights."""
        taps = self._taps(problem.query, problem.key)
        assert taps is not None, "can_integrate"
        values, _ = problem.weighted_values()
        k = self._compute_at(taps)
        dtype = torch.promote_types(k.dtype, values.dtype)
        head_dim = values.shape[-1]
        weight = k.repeat_interleave(head_dim, 0).unsqueeze(1).to(dtype)
        out = convolve(taps, weight, values.expand(-1, -1, self.heads, -1).flatten(2).to(dtype))
        return torch.unflatten(out, 2, (self.heads, head_dim)).to(values.dtype)

    def _taps(self, query: Points, key: Points) -> Taps | None:
        """Return the displacements within the support if k depends on these alone; else `None`."""
        plain = self.normalization == "none" and type(self).tile is MLPKernel.tile
        content = not CONTENT.isdisjoint(self.config.inputs)
        return self._taps_of_support(query, key) if self.support.local and plain and not content else None

    def _taps_of_support(self, query: Points, key: Points) -> Taps | None:
        """Return the displacements within the support on a grid, the same on both sides; else `None`."""
        if query is not key or tracing() or key.positions.requires_grad:
            return None
        return key.cached(taps_of, self.support)

    def _compute_at(self, taps: Taps) -> Tensor:
        """Compute k of each displacement, (heads, taps); 0 outside of the support."""
        offsets = taps.offsets.unsqueeze(0)
        origin, others = (Field(x.new_zeros(*x.shape[:2], 1), x) for x in (torch.zeros_like(offsets[:, :1]), offsets))
        k = self(self._terms(origin), self._terms(others))
        k = weigh_edge(self, k, origin.positions, others.positions)
        return torch.where(self.support.mask(origin.positions, others.positions).unsqueeze(1), k, 0.0)[0, :, 0]

    def on_grid(self, problem: Problem[PointTerms]) -> tuple[Taps, Tensor] | None:
        """Return the displacements within a local support on a grid, and what they add to the hidden layer.

        On a grid, the inputs that depend on positions are those of a few displacements, which all queries share.

        Returns:
            The taps, and the part of the hidden layer's argument that inputs of positions make up, (taps, hidden).
            `None` if the points are not a regular grid, the same on both sides, or there are no such inputs.
        """
        names: list[Input] = [name for name in ("displacement", "distance", "fourier") if name in self.inputs.columns]
        taps = self._taps_of_support(problem.query, problem.key) if names else None
        if taps is None:
            return None
        difference, phase = -taps.offsets, 2 * torch.pi * self._turns(-taps.offsets)
        inputs = {
            "displacement": difference,
            "distance": difference.square().sum(1, keepdim=True),
            "fourier": torch.cat([phase.cos(), phase.sin()], 1),
        }
        weight = torch.cat([self.first.weight[:, self.inputs.columns[name]] for name in names], 1)
        return taps, F.linear(torch.cat([inputs[name] for name in names], 1).to(weight.dtype), weight)

    def separate(self, problem: Problem[PointTerms]) -> tuple[Tensor, Tensor]:
        """Return the sides of an additive kernel's hidden layer, a (B, N, hidden) and b (B, M, hidden).

        They are in float32 at least. Positions are taken relative to the middle of the keys that are not padding, so
        that the error of a + b is relative to the extent of the points, not to their distance from 0.
        """
        query, key = problem.query_terms, problem.key_terms
        weight, bias, columns = self.first.weight, self.first.bias, self.inputs.columns
        dtype = torch.promote_types(weight.dtype, torch.float32)
        unread = weight.new_zeros(len(weight), self.inputs.width - 1)
        of_query, of_key = (weight[:, columns[name]] if name in columns else unread for name in ("query", "key"))
        moved = weight[:, columns.get("displacement", slice(0))]
        query_positions, key_positions = query.positions[..., : moved.shape[1]], key.positions[..., : moved.shape[1]]
        if self.inputs.geometry:
            middle = problem.key.cached(_middle)
            query_positions, key_positions = query_positions - middle, key_positions - middle
        x = torch.cat([query.features[..., 1:].to(dtype), query_positions.to(dtype)], -1)
        y = x if query is key else torch.cat([key.features[..., 1:].to(dtype), key_positions.to(dtype)], -1)
        a = F.linear(x, torch.cat([of_query, moved], 1).to(dtype), bias.to(dtype))
        return a, F.linear(y, torch.cat([of_key, -moved], 1).to(dtype))

    def _terms(self, field: Field) -> PointTerms:
        positions, dtype = field.positions, self.first.weight.dtype
        features: dict[str, Callable[[], Tensor]] = {
            "one": lambda: torch.ones_like(positions[..., :1]),
            "content": lambda: self._content(field.values),
            "cos": lambda: phase.cos().expand(*positions.shape[:2], -1),
            "sin": lambda: phase.sin().expand(*positions.shape[:2], -1),
        }
        if "cos" in self.inputs.features:
            by_sample = positions.requires_grad or tracing()
            phase = 2 * torch.pi * self._turns(positions if by_sample else distinct(positions))
        chi = torch.cat([features[name]().to(dtype) for name in self.inputs.features], dim=-1)
        return PointTerms(chi, precise(positions))

    def _content(self, values: Tensor) -> Tensor:
        """Return ũ, (B, N, rank)."""
        content: Tensor = self.content(values)
        return F.rms_norm(content, content.shape[-1:], eps=1.0) if self.config.bounded else content

    def _turns(self, positions: Tensor) -> Tensor:
        """Return Bx modulo 1, (B, N, frequencies), reduced in float64: float32 keeps only whole turns of far points."""
        exact = exact_dtype(positions.device)
        with torch.autocast(positions.device.type, enabled=False):
            turns = positions.to(exact) @ self.frequency_matrix.to(exact).T
        return (turns - turns.detach().round()).to(precise(positions).dtype)


def _middle(points: Points) -> Tensor:
    """Return the middle of the points that are not padding, (B, 1, p); 0 where all are."""
    padding = (points.weights == 0).unsqueeze(-1)
    positions = precise(points.positions.detach())
    low = positions.masked_fill(padding, torch.inf).amin(1, keepdim=True)
    high = positions.masked_fill(padding, -torch.inf).amax(1, keepdim=True)
    return (low / 2 + high / 2).nan_to_num()


class _Identity(nn.Module):
    """The identity in place of the second linear layer, with constants as its weight and bias."""

    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(dim), persistent=False)
        self.register_buffer("bias", torch.zeros(dim), persistent=False)
