"""Points with weights: the discretised domain of a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from itnet_core.operator.messages import gather
from itnet_core.operator.transforms import tracing
from itnet_core.plugin.errors import FieldError

P = ParamSpec("P")
T = TypeVar("T")
Measure = Literal["mean", "counting", "given"]
_MISSING: Any = object()


class Lattice(NamedTuple):
    """A regular grid in R^p: the point of index i lies at origin + Σ_a i_a steps_a.

    Example:
        >>> lattice = Field.on_grid(torch.randn(1, 4, 8, 3)).points.lattice
        >>> lattice.sizes, lattice.origin
        ((4, 8), (-0.75, -0.875))

    Attributes:
        sizes: points along each dimension.
        origin: the first point, p numbers.
        steps: from a point to the next along each dimension, p numbers each; 0 along a dimension of size 1.
        deviation: the largest distance of a point from the lattice, in any coordinate and sample. `Field.grid` is a
            claim: Chebyshev points may be called a grid, too. Kernels decide how much they allow.
        even: whether the deviation is rounding: a few units in the last place of the lengths between points.
    """

    sizes: tuple[int, ...]
    origin: tuple[float, ...]
    steps: tuple[tuple[float, ...], ...]
    deviation: float = 0.0
    even: bool = True


class Edges(NamedTuple):
    """Edges of a graph whose nodes are the points: to each point x from points y, in lists of equal length.

    Example:
        >>> path = Edges(torch.tensor([[[1, 0], [0, 2], [1, 0]]]), torch.tensor([[[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]]))
        >>> field = Field(torch.randn(1, 3, 8), torch.zeros(1, 3, 4)).with_edges(path)
        >>> field.map(torch.relu).points.edges is path
        True

    Attributes:
        sources: the number of y, int64, shape (B, N, K), from 0 to N − 1.
        weights: w ≥ 0 of the edge, floating, shape (B, N, K); 0 for none.
    """

    sources: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Points:
    """Points x_i with weights w_i, which discretise a measure: ∫ g dμ ≈ Σ_i w_i g(x_i).

    The fields along a trunk share one `Points`, and with it whatever `cached` has computed.

    Example:
        >>> points = Points(torch.rand(1, 3, 2), weights=torch.tensor([[0.5, 0.5, 0.0]]))
        >>> points.has_padding
        True
        >>> points.with_measure("counting").weights
        tensor([[1., 1., 0.]])

    Attributes:
        positions: x_i, shape (B, N, p).
        weights: w_i ≥ 0, shape (B, N); 0 for padding.
        grid: the sizes of a row-major grid of N points; `None` for scattered points.
        lattice: the lattice that the points were built from, if any; a compiled graph, which cannot read positions to
            fit one, takes it instead.
        edges: edges between the points, for kernels that sum over them. A part or a union of points has none.
        attributes: what an encoder states of each point by name, such as normals or the number of a segment, for
            kernels that read it: (B, N, …) each. A part, a union or another order of points has none.
        shards: how the points are dealt to processes, where these are the points of one of them; see `Field.shard`.
        parts: of a union, the number of points of each field, in order; empty otherwise.
    """

    positions: Tensor
    weights: Tensor
    grid: tuple[int, ...] | None = None
    lattice: Lattice | None = None
    edges: Edges | None = None
    shards: Shards | None = None
    parts: tuple[int, ...] = ()
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    _cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def cached(self, function: Callable[Concatenate[Points, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(self, ...)`, computed once for as long as positions and weights are not written to.

        Reading tensor values takes as long as a small kernel, and waits for a GPU. Writes that bypass PyTorch, to a
        NumPy array or to `tensor.data`, go unnoticed. Nothing is cached while PyTorch traces or transforms a function,
        nor for points that were made in inference mode: the result would be a tensor of that trace.

        Example:
            >>> points = Points(torch.zeros(1, 3, 2), torch.ones(1, 3))
            >>> points.cached(lambda points: points.weights.sum().item())
            3.0

        Args:
            function: a function of the points; its further arguments are hashable.
            args: further arguments of `function`.
            kwargs: further arguments of `function`.
        """
        cache = self._cache
        if tracing() or self.positions.is_inference() or self.weights.is_inference():
            return function(self, *args, **kwargs)
        versions = self.versions
        if cache.get("versions") != versions:
            cache.clear()
            cache["versions"] = versions
        key = (function, args, *kwargs.items())
        result: T = cache.get(key, _MISSING)  # another thread may clear the cache at any time
        if result is _MISSING:
            with torch.inference_mode(False):
                result = cache[key] = function(self, *args, **kwargs)
        return result

    def __reduce__(self) -> tuple[type[Points], tuple[Any, ...]]:
        """Copy and pickle without the cache: the versions of a copy's tensors start at 0 again."""
        parts = self.positions, self.weights, self.grid, self.lattice, self.edges, self.shards, self.parts
        return Points, (*parts, self.attributes)

    def attribute(self, name: str) -> Tensor:
        """Return an attribute, (B, N, …).

        Example:
            >>> field = Field(torch.randn(1, 3, 8), torch.rand(1, 3, 4))
            >>> field.with_attributes(segment=torch.tensor([[0, 0, 1]])).points.attribute("segment")
            tensor([[0, 0, 1]])

        Raises:
            FieldError: the points have none of this name.
        """
        if name not in self.attributes:
            raise FieldError(
                f"Points.attribute({name!r})",
                found=f"points with {', '.join(self.attributes)}" if self.attributes else "points without attributes",
                expected=f"points with {name!r}",
                hint="An encoder adds them by Field.with_attributes; unions, coarser and reordered points have none.",
            )
        return self.attributes[name]

    @property
    def versions(self) -> tuple[int, int]:
        """Counts of the writes to positions and weights, by which `cached` knows that they changed."""
        return self.positions._version, self.weights._version

    @property
    def has_padding(self) -> bool:
        """Whether some weight is 0."""
        return self.cached(_has_padding)

    def with_measure(self, measure: Measure) -> Points:
        """Return the points under another measure: `mean` (1/n each) or `counting` (1 each); padding keeps weight 0.

        Raises:
            FieldError: the measure is unknown.
        """
        check_measure(measure)
        return self if measure == "given" else self.cached(_with_measure, measure)

    def expand(self, batch: int) -> Points:
        """Return the points of a single sample repeated for each sample of a batch, as views."""
        return Points(self.positions.expand(batch, -1, -1), self.weights.expand(batch, -1), self.grid, self.lattice)

    def narrow(self, points: slice, batch: slice = slice(None)) -> Points:
        """Return some of the points, of some samples, as views."""
        return Points(self.positions[batch, points], self.weights[batch, points])


@dataclass(frozen=True, eq=False)
class Shards:
    """How the N points of a field are dealt to the P processes of a group: process r has the points r, r + P, r + 2P …

    So all processes have as many points of a causal sum, of a sample with padding, and of any part of the domain. If P
    does not divide N, the last shares end with padding.

    Attributes:
        group: the processes, of `torch.distributed`.
        whole: all points, which every process has.
    """

    group: Any
    whole: Points

    @property
    def size(self) -> int:
        """P, the number of processes."""
        return dist.get_world_size(self.group)

    @property
    def rank(self) -> int:
        """r, the number of this process."""
        return dist.get_rank(self.group)

    def share(self, tensor: Tensor) -> Tensor:
        """Return this process's part of a tensor of all points, (B, N, …)."""
        missing = -tensor.shape[1] % self.size
        if missing:
            tensor = torch.cat([tensor, tensor[:, -1:].expand(-1, missing, *tensor.shape[2:])], dim=1)
        return tensor[:, self.rank :: self.size]

    def share_weights(self, weights: Tensor) -> Tensor:
        """Return this process's part of the weights of all points, (B, N); the padding has none."""
        return F.pad(weights, [0, -weights.shape[1] % self.size])[:, self.rank :: self.size]

    def gather(self, share: Tensor) -> Tensor:
        """Return the tensor of all points, (B, N, …), from this process's part."""
        return gather(share, self.group).flatten(1, 2)[:, : self.whole.positions.shape[1]]


def shard_of(points: Points, group: Any) -> Points:
    """Return this process's part of points that are dealt to the processes of a group."""
    shards = Shards(group, points)
    return Points(shards.share(points.positions), shards.share_weights(points.weights), shards=shards)


def check_measure(measure: str) -> None:
    """Check the name of a measure.

    Raises:
        FieldError: the measure is unknown.
    """
    if measure not in ("mean", "counting", "given"):
        raise FieldError("with_measure", found=repr(measure), expected="'mean', 'counting' or 'given'")


def gather_points(values: Tensor, indices: Tensor) -> Tensor:
    """Gather points of each sample: values (B, N, ...) at indices (B, *shape) give (B, *shape, ...).

    Example:
        >>> gather_points(torch.tensor([[10, 20, 30], [40, 50, 60]]), torch.tensor([[2, 0], [1, 1]]))
        tensor([[30, 10],
                [50, 50]])
    """
    batch = torch.arange(indices.shape[0], device=values.device).view(-1, *[1] * (indices.ndim - 1))
    return values[batch, indices]


def distinct(tensor: Tensor) -> Tensor:
    """Return the first sample, (1, ...), of a tensor (B, ...) whose samples share memory; otherwise the tensor itself.

    Example:
        >>> distinct(torch.zeros(1, 3).expand(5, 3)).shape, distinct(torch.zeros(5, 3)).shape
        (torch.Size([1, 3]), torch.Size([5, 3]))
    """
    return tensor[:1] if tensor.stride(0) == 0 else tensor


def log_weights(weights: Tensor) -> Tensor:
    """Return log w in float32 at least, to add to the logits of a softmax; −∞, without a gradient, for padding.

    Example:
        >>> log_weights(torch.tensor([[1.0, 0.0]]))
        tensor([[0., -inf]])
    """
    positive = weights > 0
    precise = weights.to(torch.promote_types(weights.dtype, torch.float32))
    return torch.where(positive, torch.where(positive, precise, 1.0).log(), -torch.inf)


def _has_padding(points: Points) -> bool:
    return not bool((distinct(points.weights) > 0).all())


def _with_measure(points: Points, measure: Measure) -> Points:
    if points.shards is not None:
        return shard_of(points.shards.whole.with_measure(measure), points.shards.group)
    weights = (distinct(points.weights) > 0).to(points.weights.dtype)
    if measure == "mean":
        weights = weights / weights.sum(-1, keepdim=True)
    weights = weights.expand_as(points.weights)
    p = points
    return Points(p.positions, weights, p.grid, p.lattice, p.edges, parts=p.parts, attributes=p.attributes)
