"""Kernels: what two points have to do with each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core.operator.field import Field, Measure
from itnet_core.operator.support import Support
from itnet_core.plugin.config import Configured
from itnet_core.plugin.errors import ShapeError

if TYPE_CHECKING:
    from itnet_core.operator.evaluators import Evaluator

Normalization = Literal["none", "softmax"]
Terms = Any
"""Tensors, or nested tuples of tensors, whose first two axes are (B, points)."""
State = Any
"""What a kernel keeps of a stream's points so far: tensors, or nested tuples of tensors; `None` before the first."""


class Points(NamedTuple):
    """One side of the pairs, as evaluators see it.

    Attributes:
        terms: what `Kernel.project` made of the points.
        positions: shape (B, N, p).
        weights: shape (B, N).
        grid: as in `Field`; `None` where the points are a selection.
    """

    terms: Terms
    positions: Tensor
    weights: Tensor
    grid: tuple[int, ...] | None = None

    def narrow(self, points: slice, batch: slice = slice(None)) -> Points:
        """Return some of the points (and samples), as views."""
        terms, positions, weights = tree_map(lambda t: t[batch, points], (self.terms, self.positions, self.weights))
        return Points(terms, positions, weights)


class Kernel(Configured, nn.Module, ABC):
    """Base of kernels: k_h(x, y, u(x), u(y)) from two functions (OPERATOR §3).

    `project` computes in O(N) what each point contributes; `tile` computes any block of pairs from these terms alone.
    From the two, evaluators, samplers, supports and both normalisations follow. Faster ways to the same numbers are
    optional, and declared: `integrate`, `transform` and `step`.

    Attributes:
        heads: the number of scalar kernels.
        normalization: `none` for Σ_j w_j k v, `softmax` for Σ_j w_j e^k v / Σ_j w_j e^k.
        support: the pairs that the integral runs over.
        measure: the measure that the operator integrates by; `given` is the key field's own. A sum over neighbours or
            over the past, as of convolution and recurrence, is an integral by the counting measure.
        shortcut: whether `integrate` is there, for some points at least.
        whole: whether `transform` is there, for some fields at least.
        streaming: whether `step` is there, where the support is causal.
        scans: whether it follows the points along its causal axis, as recurrences do. In a model, points that are not
            ordered on that axis alone get such an order (`itnet_core.models.scan_order`).
        transformable: whether `integrate` and `transform` are made of PyTorch's own operations, so that `torch.func`,
            forward-mode derivatives and DTensors go through them; `auto` leaves them out there if they are not.
        evaluator: by which a kernel's own shortcut sums over pairs, if it does; the registry offers plugins' to it.
    """

    heads: int
    normalization: Normalization = "none"
    support: Support = Support()
    measure: Measure = "given"
    shortcut: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    streaming: ClassVar[bool] = False
    scans: ClassVar[bool] = False
    transformable: bool = False
    evaluator: Evaluator | None = None

    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        """Return whether k itself, apart from its support, depends on positions that differ on these axes alone.

        Override it for a kernel of content alone, or of some axes. Where it is false, a model adds an encoding of
        positions to the values (`position: auto`): without one, its output does not depend on where which value is.

        Args:
            config: the kernel's configuration, an instance of its `Config`.
            axes: letters of `AXES`, those of an encoder's points.

        Raises:
            ConfigError: the kernel cannot integrate over such points.
        """
        return True

    @abstractmethod
    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Return the query points' and the key points' terms; it may see the whole fields."""

    def check_coordinates(self, field: Field, position_dim: int) -> None:
        """Check that a field's positions have as many coordinates as the kernel was made for.

        Raises:
            ShapeError: they have more or fewer.
        """
        found = field.positions.shape[-1]
        if found != position_dim:
            name = type(self).__name__
            raise ShapeError(
                f"{name}.project(positions)",
                found=f"{found} coordinates",
                expected=f"position_dim = {position_dim}",
                hint=f"Give {name} the position_dim of the fields.",
            )

    @abstractmethod
    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Return k of shape (B, heads, n, m) for a block of n query and m key points, from their terms alone."""

    def forward(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Call `tile`, so that `torch.func.functional_call` and hooks reach it."""
        return self.tile(query_terms, key_terms)

    @property
    def pair_width(self) -> int:
        """How many numbers `tile` holds for each pair of points at its peak; evaluators size their tiles by it."""
        return self.heads

    def integrates(self, query: Points, key: Points) -> bool:
        """Whether `integrate` applies to these points. A kernel without a shortcut keeps this default, `False`."""
        return False

    def integrate(self, query: Points, key: Points, values: Tensor) -> Tensor:
        """Return what the evaluators would, by a faster algorithm.

        Args:
            query: N points; their weights play no part.
            key: M points with their weights.
            values: shape (B, M, heads, head_dim).

        Returns:
            Shape (B, N, heads, head_dim).
        """
        raise NotImplementedError(f"{type(self).__name__} declares no shortcut")

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor | None:
        """Return Σ_h O_h ∫ k_h V_h u dμ by an algorithm that computes the maps along with the integral.

        Args:
            query: the field at N points; its weights play no part.
            key: the field that is integrated over.
            value_map: V, as `value_map` made it.
            output_map: Σ_h O_h, as `output_map` made it.

        Returns:
            Shape (B, N, out_dim), or `None` where the algorithm does not apply to these fields.
        """
        return None

    def step(self, state: State, query: Field, values: Tensor) -> tuple[State, Tensor]:
        """Return what the evaluators would for the last of a stream of points, from what was kept of those before it.

        Args:
            state: as the step before returned it; `None` at the first point. It is not changed in place.
            query: the new point, a field of one point that is later than all before it.
            values: shape (B, 1, heads, head_dim).

        Returns:
            The state with the new point, and the integral at it, (B, 1, heads, head_dim).
        """
        raise NotImplementedError(f"{type(self).__name__} declares no streaming")

    def value_dim(self, dim: int) -> int:
        """Return the head_dim of values of fields of `dim` channels: dim // heads by default.

        Raises:
            ShapeError: `dim` is not divisible by the heads.
        """
        if dim % self.heads:
            raise ShapeError(
                "IntegralOperator",
                found=f"dim {dim} with {self.heads} heads",
                expected="a dim divisible by the heads",
                hint="Give head_dim, or another number of heads.",
            )
        return dim // self.heads

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return the module that maps values (B, M, dim) to (B, M, heads, head_dim): V, one linear map by default."""
        linear = nn.Linear(dim, self.heads * head_dim, bias=False)
        return nn.Sequential(linear, nn.Unflatten(-1, (self.heads, head_dim)))

    def output_map(self, head_dim: int, dim: int) -> nn.Module:
        """Return the module that maps (B, N, heads, head_dim) to (B, N, dim): Σ_h O_h, one linear map by default.

        Here `dim` is of the operator's result.
        """
        return nn.Sequential(nn.Flatten(-2), nn.Linear(self.heads * head_dim, dim))
