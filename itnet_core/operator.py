"""The integral operator: kernel ∘ sampler ∘ evaluator, between a value map and an output map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core.errors import ShapeError
from itnet_core.evaluate import AutoEvaluator, Evaluator
from itnet_core.field import Field
from itnet_core.kernel import Kernel, Points
from itnet_core.sampler import FullSampler, Nodes, Sampler


class IntegralOperator(nn.Module):
    """out(x) = Σ_h O_h ∫ k_h(x, y, u(x), u(y)) V_h u(y) dμ(y) + W_o u(x)  (OPERATOR §1).

    Args:
        dim: channels of the fields, d.
        kernel: k; it also brings V, O, the normalisation and the support.
        sampler: the nodes of the integral; every point by default.
        evaluator: how the sum is computed; the fastest exact way at hand by default.
        head_dim: channels of each head; dim // heads by default.
        pointwise: whether W_o is there.

    Raises:
        ShapeError: `head_dim` is not given and `dim` is not divisible by the kernel's heads.
    """

    def __init__(
        self,
        dim: int,
        kernel: Kernel,
        sampler: Sampler | None = None,
        evaluator: Evaluator | None = None,
        *,
        head_dim: int | None = None,
        pointwise: bool = True,
    ) -> None:
        super().__init__()
        if head_dim is None and dim % kernel.heads:
            raise ShapeError(
                "IntegralOperator",
                found=f"dim {dim} with {kernel.heads} heads",
                expected="a dim divisible by the heads",
                mend="Give head_dim, or another number of heads.",
            )
        head_dim = dim // kernel.heads if head_dim is None else head_dim
        self.dim = dim
        self.kernel = kernel
        self.sampler = FullSampler(dim) if sampler is None else sampler
        self.evaluator = AutoEvaluator() if evaluator is None else evaluator
        self.value = kernel.value_map(dim, head_dim)
        self.output = kernel.output_map(head_dim, dim)
        self.pointwise = nn.Linear(dim, dim, bias=False) if pointwise else None

    def forward(self, query: Field, key: Field | None = None) -> Field:
        """Apply the operator.

        Args:
            query: the field at the points x, (B, N, dim).
            key: the field that is integrated over, (B, M, dim); `query` itself by default.

        Returns:
            The field of the result at the query's points, (B, N, dim).

        Raises:
            ShapeError: the fields' channels are not `dim`, or their batches or coordinates differ.
        """
        key = query if key is None else key
        self._check(query, key)
        present = _without_padding(query)
        # One field for both sides of a self transform, so that a kernel sees that they are one.
        return query.with_values(self._out(present, present if key is query else _without_padding(key)))

    def _out(self, query: Field, key: Field) -> Tensor:
        sampled = self.sampler(query, key)
        nodes, key = (sampled, key) if isinstance(sampled, Nodes) else (None, sampled)
        query_terms, key_terms = self.kernel.project(query, key)
        query_points = Points(query_terms, query.positions, query.weights, query.grid)
        key_points = Points(key_terms, key.positions, key.weights, key.grid)
        values = self.value(key.values)
        if nodes is not None:
            query_points, key_points, values = _at_nodes(query_points, key_points, values, nodes)
        if self.kernel.integrates(query_points, key_points):
            integral = self.kernel.integrate(query_points, key_points, values)
        else:
            integral = self.evaluator(self.kernel, query_points, key_points, values)
        integral = integral.reshape(*query.values.shape[:2], *integral.shape[2:])
        out = self.output(integral)
        return out if self.pointwise is None else out + self.pointwise(query.values)

    def _check(self, query: Field, key: Field) -> None:
        for name, field in (("query", query), ("key", key)):
            if field.dim != self.dim:
                raise ShapeError(
                    f"IntegralOperator({name})", found=f"{field.dim} channels", expected=f"dim = {self.dim} channels"
                )
        found = [(field.values.shape[0], field.positions.shape[-1]) for field in (query, key)]
        if found[0] != found[1]:
            raise ShapeError(
                "IntegralOperator(key)",
                found=f"batch {found[1][0]} and {found[1][1]} coordinates",
                expected=f"the query's batch {found[0][0]} and {found[0][1]} coordinates",
            )


def _without_padding(field: Field) -> Field:
    """Return the field with 0 for the values of padding, whatever (NaN too) stands there."""
    return field.map(lambda values: values.masked_fill(~field.mask.unsqueeze(-1), 0.0))


def _at_nodes(query: Points, key: Points, values: Tensor, nodes: Nodes) -> tuple[Points, Points, Tensor]:
    """Gather the key side at the nodes. Nodes of each query's own make every query a sample of its own."""
    batch = torch.arange(nodes.indices.shape[0], device=nodes.indices.device)
    batch = batch.view(-1, *[1] * (nodes.indices.ndim - 1))
    parts = (key.terms, key.positions, values)
    terms, positions, values = tree_map(lambda tensor: tensor[batch, nodes.indices], parts)
    weights = nodes.weights
    if nodes.indices.ndim == 3:
        terms, positions, values, weights = tree_map(lambda t: t.flatten(0, 1), (terms, positions, values, weights))
        query = Points(*tree_map(lambda t: t.flatten(0, 1).unsqueeze(1), tuple(query[:3])))
    return query, Points(terms, positions, weights), values
