"""The MLP kernel's sums as others would compute them: the same numbers, from the same separation where a peer can."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from itnet_core import ACTIVATIONS, Evaluator, Field, MLPKernel, PointTerms, Problem
from itnet_testing.reference import concatenated_mlp

DIM, HEADS, HIDDEN = 64, 4, 32
WIDTH = DIM // HEADS
ROWS = 128
"""Queries of a chunk for gradient checkpointing: of 64, 128 and 256 the fastest."""


@dataclass(frozen=True, eq=False)
class Setup:
    """Samples of points in the plane, a kernel, and the values to integrate.

    Attributes:
        kernel: the MLP kernel.
        field: (B, N, 64); gradients reach its values.
        values: (B, N, heads, head_dim); gradients reach these too, and the kernel's parameters.
    """

    kernel: MLPKernel
    field: Field
    values: Tensor

    @classmethod
    def of(cls, points: int, samples: int = 1, **options: Any) -> Setup:
        """Return a setup with some options of the kernel; the peers take one sample, evaluators any number."""
        torch.manual_seed(0)
        kernel = MLPKernel(DIM, position_dim=2, heads=HEADS, hidden=HIDDEN, **options)
        field = Field(torch.randn(samples, points, DIM).requires_grad_(), 2 * torch.rand(samples, points, 2) - 1)
        return cls(kernel, field, torch.randn(samples, points, HEADS, WIDTH).requires_grad_())

    def leaves(self) -> list[Tensor]:
        """Return the tensors to differentiate by."""
        return [self.field.values, self.values, *self.kernel.parameters()]

    def problem(self) -> Problem[PointTerms]:
        """Project the field, and return the integral to compute."""
        return self.kernel.problem(self.field, self.field, self.values)

    def separated(self) -> tuple[Tensor, Tensor]:
        """Return a(x) and b(y), (N, hidden) each: an additive kernel's hidden layer is σ(a + b)."""
        a, b = self.kernel.separate(self.problem())
        return a[0], b[0]

    def bilinear(self) -> tuple[Tensor, Tensor]:
        """Return χ(x)ᵀ T, (N, hidden · (R + G)), and χ(y), (N, R), of a kernel with all inputs."""
        problem = self.problem()
        forms = self.kernel.inputs(self.kernel.first.weight, self.kernel.first.bias)
        return problem.query_terms.features[0] @ forms.flatten(1), problem.key_terms.features[0]

    @property
    def additive(self) -> bool:
        """Whether the kernel is additive."""
        return self.kernel.additive

    @property
    def weighted(self) -> Tensor:
        """The values times the weights."""
        return self.values * self.field.weights[..., None, None]


Way = Callable[[Setup], Tensor]


def by(evaluator: Evaluator) -> Way:
    """Return the way of an evaluator."""
    return lambda setup: evaluator(setup.problem())


def _concatenated(kernel: MLPKernel, field: Field, weighted: Tensor) -> Tensor:
    return (concatenated_mlp(kernel, field, field) @ weighted.transpose(1, 2)).transpose(1, 2)


def concatenated(setup: Setup) -> Tensor:
    """As the definition stands: the MLP over the concatenated inputs of all pairs."""
    return _concatenated(setup.kernel, setup.field, setup.weighted)


_compiled = torch.compile(_concatenated, dynamic=False)


def compiled(setup: Setup) -> Tensor:
    """The same under `torch.compile`."""
    return _compiled(setup.kernel, setup.field, setup.weighted)


def checkpointed(setup: Setup) -> Tensor:
    """By chunks of queries with the separated first layer, each computed again in the backward pass."""
    kernel, weighted = setup.kernel, setup.weighted.transpose(1, 2)
    activation = ACTIVATIONS[kernel.config.activation]

    def additive(a: Tensor, b: Tensor) -> Tensor:
        hidden = activation(a.T.unsqueeze(2) + b.T.unsqueeze(1)).flatten(1)
        k = kernel.second.weight @ hidden + kernel.second.bias.unsqueeze(1)
        return k.view(1, HEADS, len(a), len(b)) @ weighted

    def chunk(query: PointTerms, key: PointTerms) -> Tensor:
        return kernel.tile(query, key) @ weighted

    if setup.additive:
        a, b = setup.separated()
        parts = [checkpoint(additive, rows, b, use_reentrant=False) for rows in torch.split(a, ROWS)]
    else:
        problem = setup.problem()
        starts = range(0, problem.shape[1], ROWS)
        chunks = (problem.narrow(queries=slice(start, start + ROWS)) for start in starts)
        parts = [checkpoint(chunk, part.query_terms, part.key_terms, use_reentrant=False) for part in chunks]
    return torch.cat(parts, 2).transpose(1, 2)


def keops(setup: Setup) -> Tensor:
    """By KeOps, from the separated first layer.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    from pykeops.torch import Genred

    kernel, positions = setup.kernel, setup.field.positions[0]
    coordinates = [] if setup.additive else [positions, positions]
    if setup.additive:
        a, b = setup.separated()
        first = "a+b"
    else:
        a, b = setup.bilinear()
        first = "MatVecMult(a,Concat(b,Concat(x-y,SqNorm2(x-y))))"
    heads = [f"Elem(MatVecMult(W,ReLU({first}))+c,{h})*Extract(v,{h * WIDTH},{WIDTH})" for h in range(HEADS)]
    pairs = [f"Concat({one},{other})" for one, other in zip(heads[::2], heads[1::2], strict=True)]
    formula = functools.reduce(lambda one, other: f"Concat({one},{other})", pairs)
    sizes = [f"a=Vi({a.shape[1]})", f"b=Vj({b.shape[1]})", f"W=Pm({HIDDEN * HEADS})", f"c=Pm({HEADS})", f"v=Vj({DIM})"]
    sizes += ["x=Vi(2)", "y=Vj(2)"] if coordinates else []
    sums = Genred(formula, sizes, reduction_op="Sum", axis=1)
    weighted = setup.weighted[0].flatten(1)
    result: Tensor = sums(
        a, b, kernel.second.weight.flatten(), kernel.second.bias, weighted, *coordinates, backend="CPU"
    )
    return result.view(1, -1, HEADS, WIDTH)


@functools.cache
def _all_pairs(points: int) -> Tensor:
    """Return the edges (key, query) of all pairs, (2, N²), by queries."""
    numbers = torch.arange(points)
    return torch.stack([numbers.repeat(points), numbers.repeat_interleave(points)])


def message_passing(setup: Setup) -> Tensor:
    """By torch_geometric, with a message for each pair.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    from torch_geometric.nn import MessagePassing

    kernel, positions = setup.kernel, setup.field.positions[0]

    class Sums(MessagePassing):
        """Sums of k v."""

        def forward(self, edges: Tensor, a: Tensor, b: Tensor, coordinates: Tensor, values: Tensor) -> Tensor:
            """Return the sums, (N, d)."""
            return self.propagate(edges, a=a, b=b, coordinates=coordinates, values=values)

        def message(
            self, a_i: Tensor, b_j: Tensor, coordinates_i: Tensor, coordinates_j: Tensor, values_j: Tensor
        ) -> Tensor:
            """Return the message of each edge, (edges, d)."""
            if setup.additive:
                first = a_i + b_j
            else:
                gap = coordinates_i - coordinates_j
                psi = torch.cat([b_j, gap, gap.square().sum(1, keepdim=True)], 1)
                first = (a_i.view(-1, HIDDEN, psi.shape[1]) @ psi.unsqueeze(2)).squeeze(2)
            k = kernel.second(ACTIVATIONS[kernel.config.activation](first))
            return (k.unsqueeze(2) * values_j.view(-1, HEADS, WIDTH)).flatten(1)

    a, b = setup.separated() if setup.additive else setup.bilinear()
    sums = Sums(aggr="add", node_dim=0)(_all_pairs(len(b)), a, b, positions, setup.weighted[0].flatten(1))
    return sums.view(1, -1, HEADS, WIDTH)


def integral_transform(setup: Setup) -> Tensor:
    """By neuraloperator's layer, which cannot take u(x): an MLP of x and y for each channel, over all pairs.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    layer = _integral_transform()
    positions, values = setup.field.positions[0], setup.values[0].flatten(1)
    count = len(positions)
    splits = torch.arange(0, count * count + 1, count)
    neighbours = {"neighbors_index": _all_pairs(count)[0], "neighbors_row_splits": splits}
    return layer(y=positions, neighbors=neighbours, f_y=values).view(1, count, HEADS, WIDTH)


@functools.cache
def _integral_transform() -> Any:
    from neuralop.layers.integral_transform import IntegralTransform

    torch.manual_seed(0)
    return IntegralTransform(
        channel_mlp_layers=[4, HIDDEN, DIM], channel_mlp_non_linearity=F.relu, use_torch_scatter=False, reduction="mean"
    )


ATTENTION_WIDTH = 26
"""4 heads · (2 + 2) · 26 operations a pair: as many as the additive kernel's 32 + 2 · 32 · 4 + 2 · 64."""


def attention(setup: Setup) -> Tensor:
    """By `scaled_dot_product_attention`, of the same arithmetic as the additive kernel under softmax."""
    count = setup.field.values.shape[1]
    rows = setup.field.values.repeat(1, 1, 5)[..., : 3 * HEADS * ATTENTION_WIDTH].view(1, count, 3, HEADS, -1)
    query, key, value = rows.transpose(1, 3).unbind(2)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
