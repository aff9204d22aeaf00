"""Kernels, and the problem that a kernel poses to an evaluator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core.operator.field import Field
from itnet_core.operator.points import Measure, Points, gather_points, log_weights
from itnet_core.operator.sampler import Nodes
from itnet_core.operator.support import Support
from itnet_core.plugin.config import ComponentConfig, Configured
from itnet_core.plugin.errors import ShapeError

Normalization = Literal["none", "softmax"]
FastPath = Literal["transform", "integrate", "step"]
ValueMaps = Literal["shared", "full"]
if TYPE_CHECKING:  # defaults of type variables (PEP 696), which Python 3.11 lacks at run time
    from typing_extensions import TypeVar

    Terms = TypeVar("Terms", default=Any)
    """Terms of points: tensors, or nested tuples of tensors, whose first two axes are (B, points)."""
    State = TypeVar("State", default=Any)
    """State of a stream: tensors, or nested tuples of tensors."""
else:
    from typing import TypeVar

    Terms, State = TypeVar("Terms"), TypeVar("State")


@dataclass(frozen=True, eq=False)
class Problem(Generic[Terms]):
    """The integral Σ_j w_j k_h(x_i, y_j) v_j, to be computed at every query point x_i.

    With the normalization `softmax` it is Σ_j w_j e^k v_j / Σ_j w_j e^k. Both sums run over the pairs of the kernel's
    support with w_j > 0, and are 0 without such a pair.

    Example:
        >>> kernel, field = MLPKernel(8), Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
        >>> problem = kernel.problem(field, field, values=torch.randn(1, 5, 4, 2))
        >>> problem.shape
        (1, 5, 5)
        >>> DenseEvaluator().evaluate(problem).shape
        torch.Size([1, 5, 4, 2])

    Attributes:
        kernel: k, with its normalization and support.
        query: the N points x_i; their weights are not used.
        key: the M points y_j with their weights w_j.
        query_terms: the terms of the query points, from `Kernel.project`.
        key_terms: the terms of the key points.
        values: v_j, shape (B, M, heads, head_dim), or (B, M, 1, head_dim) where all heads have the same.
        nodes: the key points that each query is summed over, with their weights, (B, N, nodes), for evaluators with
            `takes_nodes`; for the others `at_nodes` gathers them. `None` for all key points.
    """

    kernel: Kernel[Terms, Any]
    query: Points
    key: Points
    query_terms: Terms
    key_terms: Terms
    values: Tensor
    nodes: Nodes | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, M)."""
        return self.values.shape[0], self.query.positions.shape[1], self.key.positions.shape[1]

    def weighted_values(self) -> tuple[Tensor, Tensor | None]:
        """Return w v and no bias for a plain sum; for `softmax` v and the bias log w, (B, M), to add to the logits.

        Values that all heads share stay (B, M, 1, head_dim).
        """
        if self.kernel.normalization == "softmax":
            return self.values, log_weights(self.key.weights)
        return (self.values * self.key.weights[..., None, None]).to(self.values.dtype), None

    def narrow(self, queries: slice = slice(None), keys: slice = slice(None)) -> Problem[Terms]:
        """Return the problem restricted to slices of the query points and key points, as views."""
        query_terms = tree_map(lambda tensor: tensor[:, queries], self.query_terms)
        key_terms = tree_map(lambda tensor: tensor[:, keys], self.key_terms)
        query, key = self.query.narrow(queries), self.key.narrow(keys)
        return Problem(self.kernel, query, key, query_terms, key_terms, self.values[:, keys])

    def at_queries(self, indices: Tensor) -> Problem[Terms]:
        """Return the problem at some query points, by their indices (B, n)."""
        query = Points(gather_points(self.query.positions, indices), gather_points(self.query.weights, indices))
        terms = tree_map(lambda tensor: gather_points(tensor, indices), self.query_terms)
        return Problem(self.kernel, query, self.key, terms, self.key_terms, self.values)

    def at_nodes(self, nodes: Nodes) -> Problem[Terms]:
        """Return the problem whose key points are a sampler's nodes.

        Nodes of each query, (B, N, M), make every query a sample of its own, in a batch of B·N.
        """
        key_terms, positions, values = tree_map(
            lambda tensor: gather_points(tensor, nodes.indices), (self.key_terms, self.key.positions, self.values)
        )
        key, query, query_terms = Points(positions, nodes.weights), self.query, self.query_terms
        if nodes.indices.ndim == 3:
            key_terms, positions, values, weights = tree_map(
                lambda tensor: tensor.flatten(0, 1), (key_terms, positions, values, nodes.weights)
            )
            query_terms, *points = tree_map(
                lambda tensor: tensor.flatten(0, 1).unsqueeze(1), (query_terms, query.positions, query.weights)
            )
            key, query = Points(positions, weights), Points(*points)
        return Problem(self.kernel, query, key, query_terms, key_terms, values)


class FastPaths(Generic[Terms, State]):
    """Optional methods of a kernel: faster algorithms for the same integral.

    A kernel has the fast paths whose methods it overrides: `transform`, `integrate`, and `step` for streams. The first
    two have conditions, `can_transform` and `can_integrate`, which may read shapes, dtypes, devices and positions.
    `auto` tries them in this order; `dense`, `tiled` and the other evaluators never call them.

    Example:
        >>> class Mean(Kernel):
        ...     heads = 1
        ...     def project(self, query, key):
        ...         return query.positions, key.positions
        ...     def tile(self, query_terms, key_terms):
        ...         return torch.ones(len(query_terms), 1, query_terms.shape[1], key_terms.shape[1])
        ...     def integrate(self, problem):  # the integral is the same for all queries
        ...         values, _ = problem.weighted_values()
        ...         return values.sum(1, keepdim=True).expand(-1, problem.shape[1], -1, -1)
        >>> operator = IntegralOperator(8, Mean())
        >>> operator.explain_choice(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 2))).chosen
        'kernel.integrate'

    Attributes:
        transformable: whether `integrate` and `transform` consist of PyTorch's own operations, so that `torch.func`,
            forward-mode derivatives and DTensors support them.
        exportable: whether `torch.export` supports `integrate` although it is not transformable.
        fast_path_options: options with which the fast paths apply; the conformance checks use them. Set them if the
            fast paths do not apply by default.
    """

    transformable: bool = False
    exportable: bool = False
    fast_path_options: ClassVar[Mapping[str, Any]] = {}

    @property
    def opaque(self) -> bool:
        """Whether `torch.compile` leaves the operator uncompiled, as one node of the graph.

        Override it where the fast paths read tensor values, such as the order of points, or loop over time.
        """
        return False

    def offers(self, path: FastPath) -> bool:
        """Whether the kernel has a fast path: it overrides that method."""
        return getattr(type(self), path) is not getattr(FastPaths, path)

    def can_transform(self, query: Field, key: Field) -> bool:
        """Whether `transform` applies to these fields."""
        return True

    def transform(self, query: Field, key: Field, value_map: nn.Module, output_map: nn.Module) -> Tensor:
        """Compute Σ_h O_h ∫ k_h V_h u dμ by an algorithm that includes the maps, such as PyTorch's convolution.

        Args:
            query: the field at N points; its weights are not used.
            key: the field to integrate.
            value_map: V, from `Kernel.value_map`.
            output_map: Σ_h O_h, from `Kernel.output_map`.

        Returns:
            Shape (B, N, out_dim).
        """
        raise NotImplementedError(f"{type(self).__name__} has no fast path 'transform'")

    def can_integrate(self, problem: Problem[Terms]) -> bool:
        """Whether `integrate` applies to this problem."""
        return True

    def integrate(self, problem: Problem[Terms]) -> Tensor:
        """Compute the integral by a faster algorithm than a sum over pairs, such as a scan; shape (B, N, heads, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no fast path 'integrate'")

    def step(self, state: State | None, query: Field, values: Tensor) -> tuple[State, Tensor]:
        """Advance a stream by one point: return the new state and the integral at that point.

        Applies where the support is causal. A kernel without `step` streams, too, by a sum over all points so far; see
        `IntegralOperator.step`.

        Args:
            state: from the previous step, `None` at the first point. It is not changed in place.
            query: the new point, a field of one point that is later than all before it.
            values: shape (B, 1, heads, head_dim), or (B, 1, 1, head_dim) where all heads have the same.

        Returns:
            The new state, and the integral over all points so far, (B, 1, heads, head_dim).
        """
        raise NotImplementedError(f"{type(self).__name__} has no fast path 'step'")


class ScalarConfig(ComponentConfig):
    """Base of the configurations of kernels with the option `values`.

    Example:
        >>> class Config(ScalarConfig):
        ...     heads: int = 4
        >>> Config(values="full")
        Config(values='full', heads=4)
    """

    values: ValueMaps = "shared"
    """`shared`: the heads share the channels, dim // heads each, by two linear maps V and O. `full`: each head has all
    channels and a matrix M_h of its own, K = Σ_h M_h k_h, as a tap of a convolution has."""


class Kernel(FastPaths[Terms, State], Configured, nn.Module, ABC):
    """Base class of kernels k_h(x, y, u(x), u(y)), h = 1 … heads.

    A kernel is two methods: `project` computes in O(N) what each point contributes, and `tile` computes k for any block
    of pairs from these terms alone. Evaluators, samplers, supports and both normalisations follow from the two. Faster
    algorithms are optional: see `FastPaths`.

    Example:
        >>> class Gaussian(Kernel):
        ...     heads = 1
        ...     def project(self, query, key):
        ...         return query.positions, key.positions
        ...     def tile(self, query_terms, key_terms):
        ...         return torch.cdist(query_terms, key_terms).square().neg().exp().unsqueeze(1)
        >>> IntegralOperator(8, Gaussian())(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 2)))
        Field(B=1, N=5, d=8, p=2)

    Attributes:
        heads: the number of scalar kernels.
        normalization: `none` for Σ_j w_j k v, `softmax` for Σ_j w_j e^k v / Σ_j w_j e^k.
        values: the maps V and O, `shared` or `full`; see `ScalarConfig`, which a kernel's `Config` may extend.
        support: the pairs that the integral runs over.
        measure: the measure that the operator integrates by; `given` is the key field's own. A sum over neighbours or
            over the past, as in convolution and recurrence, is an integral by the counting measure.
        scans: whether the kernel follows the points along its causal axis, as recurrences do. In a model, points that
            are not ordered on that axis alone get an order (`itnet_core.models.scan_order`).
        pointwise_terms: whether the terms of a point depend on that point alone. If so, a stream keeps the terms of
            past points; if not, it projects all points again at every step.
        reads: names of the attributes of points that the kernel reads (`Points.attribute`), `edges` for their edges. A
            model refuses an encoder that does not declare them in its `attributes`.
    """

    heads: int
    normalization: Normalization = "none"
    values: ValueMaps = "shared"
    support: Support = Support()
    measure: Measure = "given"
    scans: bool = False
    pointwise_terms: bool = False
    reads: Sequence[str] = ()

    @classmethod
    def example_attributes(cls, batch: int, points: int) -> Mapping[str, Tensor]:
        """Return random attributes that the kernel reads, (B, N, …) each; the conformance checks use them.

        Override it for a kernel with `reads`, other than edges.
        """
        return {}

    @classmethod
    def reads_positions(cls, config: Any, axes: str) -> bool:
        """Whether k, apart from its support, depends on positions that differ on these axes alone.

        Override it for a kernel that reads content alone, or some axes only. Where it is false, a model adds a position
        encoding to the values (`position: auto`), since its output would not depend on positions otherwise.

        Args:
            config: the kernel's configuration, an instance of its `Config`.
            axes: letters of `AXES`, those of an encoder's points.

        Raises:
            ConfigError: the kernel cannot integrate over points that differ on these axes alone.
        """
        return True

    @property
    def summands(self) -> tuple[Kernel, ...]:
        """The kernels whose integrals the operator adds; the kernel itself, unless it is a sum of integrals.

        Each has its own normalization, support, measure, maps V and O, and evaluation.
        """
        return (self,)

    @abstractmethod
    def project(self, query: Field, key: Field) -> tuple[Terms, Terms]:
        """Compute the terms of the query points and of the key points, from the whole fields if need be."""

    @abstractmethod
    def tile(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Compute k, shape (B, heads, n, m), for a block of n query and m key points, from their terms alone."""

    def forward(self, query_terms: Terms, key_terms: Terms) -> Tensor:
        """Call `tile`, so that `torch.func.functional_call` and hooks reach it."""
        return self.tile(query_terms, key_terms)

    def initialize(self, shortest: float, longest: float) -> bool:
        """Set the lengths of a new kernel for points of these spacings; see `initialize_scales`.

        Override it for a kernel with random lengths. By default nothing changes.

        Args:
            shortest: the smallest spacing of the fields that the kernel integrates. A field's spacing is the median
                distance of a point to its nearest neighbour.
            longest: the largest spacing of these fields.

        Returns:
            Whether `initialize_scales` should scale the operator's integral to unit variance.
        """
        return False

    @property
    def pair_width(self) -> int:
        """Largest number of values that `tile` holds for a pair of points; evaluators size their tiles by it."""
        return self.heads

    def problem(self, query: Field, key: Field, values: Tensor, **arguments: Any) -> Problem[Terms]:
        """Project two fields and return the problem of integrating `values`, (B, M, heads, head_dim).

        Args:
            query: the field at N points.
            key: the field at M points.
            values: v_j, shape (B, M, heads, head_dim), or (B, M, 1, head_dim) where all heads have the same.
            arguments: further arguments of `project`.
        """
        query_terms, key_terms = self.project(query, key, **arguments)
        return Problem(self, query.points, key.points, query_terms, key_terms, values)

    def value_dim(self, dim: int) -> int:
        """Return the default head_dim for fields of `dim` channels: dim // heads, or `dim` where values are `full`.

        Raises:
            ShapeError: `dim` is not divisible by the heads.
        """
        if self.values == "full":
            return dim
        if dim % self.heads:
            raise ShapeError(
                "IntegralOperator",
                found=f"dim {dim} with {self.heads} heads",
                expected="a dim divisible by the heads",
                hint="Give head_dim, or another number of heads.",
            )
        return dim // self.heads

    def value_map(self, dim: int, head_dim: int) -> nn.Module:
        """Return V, a module from (B, M, dim) to (B, M, heads, head_dim); one linear map by default.

        Where values are `full` it is a view, (B, M, 1, dim), which all heads share.

        Raises:
            ShapeError: values are `full`, and `head_dim` is not `dim`.
        """
        if self.values == "full":
            if head_dim != dim:
                raise ShapeError("IntegralOperator(head_dim)", found=f"{head_dim}, with full values", expected=f"{dim}")
            return nn.Unflatten(-1, (1, dim))
        linear = nn.Linear(dim, self.heads * head_dim, bias=False)
        return nn.Sequential(linear, nn.Unflatten(-1, (self.heads, head_dim)))

    def output_map(self, head_dim: int, out_dim: int) -> nn.Module:
        """Return Σ_h O_h, a module from (B, N, heads, head_dim) to (B, N, out_dim); one linear map by default.

        Where values are `full` O_h is M_h.
        """
        return nn.Sequential(nn.Flatten(-2), nn.Linear(self.heads * head_dim, out_dim))

    def check_coordinates(self, field: Field, position_dim: int) -> None:
        """Check the number of coordinates of a field's positions.

        Raises:
            ShapeError: it is not `position_dim`.
        """
        coordinates = field.positions.shape[-1]
        if coordinates != position_dim:
            name = type(self).__name__
            raise ShapeError(
                f"{name}.project(positions)",
                found=f"{coordinates} coordinates",
                expected=f"position_dim = {position_dim}",
                hint=f"Give {name} the position_dim of the fields.",
            )
