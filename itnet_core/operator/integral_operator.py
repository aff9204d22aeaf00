"""The integral operator: kernel ∘ sampler ∘ evaluator, between a value map and an output map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from itnet_core.operator.auxiliary import add_loss, collecting
from itnet_core.operator.evaluators import AutoEvaluator, Evaluator
from itnet_core.operator.field import Field
from itnet_core.operator.kernel import Kernel, Points, State
from itnet_core.operator.proposal_loss import proposal_loss
from itnet_core.operator.sampler import FullSampler, Nodes, Sampler
from itnet_core.operator.transforms import transform_of
from itnet_core.plugin.errors import ConfigError, ShapeError


class IntegralOperator(nn.Module):
    """out(x) = Σ_h O_h ∫ k_h(x, y, u(x), u(y)) V_h u(y) dμ(y) + W_o u(x)  (OPERATOR §1).

    Args:
        dim: channels of the fields, d.
        kernel: k; it also brings V, O, the normalisation, the support and the measure.
        sampler: the nodes of the integral; every point by default.
        evaluator: how the sum is computed; the fastest exact way at hand by default, the kernel's shortcuts included.
        out_dim: channels of the result; `dim` by default.
        head_dim: channels of each head; as the kernel has them by default, dim // heads unless it says otherwise.
        pointwise: whether W_o is there.

    Raises:
        ShapeError: `head_dim` is not given and the kernel has none for `dim`.
    """

    def __init__(
        self,
        dim: int,
        kernel: Kernel,
        sampler: Sampler | None = None,
        evaluator: Evaluator | None = None,
        *,
        out_dim: int | None = None,
        head_dim: int | None = None,
        pointwise: bool = True,
    ) -> None:
        super().__init__()
        out_dim = dim if out_dim is None else out_dim
        head_dim = kernel.value_dim(dim) if head_dim is None else head_dim
        self.dim = dim
        self.kernel = kernel
        self.sampler = FullSampler(dim) if sampler is None else sampler
        self.evaluator = AutoEvaluator() if evaluator is None else evaluator
        self.value = kernel.value_map(dim, head_dim)
        self.output = kernel.output_map(head_dim, out_dim)
        self.pointwise = nn.Linear(dim, out_dim, bias=False) if pointwise else None

    def forward(self, query: Field, key: Field | None = None, **given: Any) -> Field:
        """Apply the operator.

        Args:
            query: the field at the points x, (B, N, dim).
            key: the field that is integrated over, (B, M, dim); `query` itself by default.
            given: further arguments of the kernel's `project`, for this call alone, as attention's `additive`.

        Returns:
            The field of the result at the query's points, (B, N, out_dim).

        Raises:
            ShapeError: the fields' channels are not `dim`, or their batches or coordinates differ.
        """
        key = query if key is None else key
        self._check(query, key)
        # One field for both sides of a self transform, so that a kernel sees that they are one.
        present = self._measured(query)
        return query.with_values(self._out(present, present if key is query else self._measured(key), given))

    def step(self, state: State, query: Field) -> tuple[State, Field]:
        """Apply the operator to a stream of points, one at a time: at each the result is that over all points so far.

        Args:
            state: as the step before returned it; `None` at the first point.
            query: the new point, a field of one point, (B, 1, dim), later than all before it.

        Returns:
            The state with the new point, and the field of the result at it, (B, 1, out_dim).

        Raises:
            ConfigError: the kernel does not stream, its support is not causal, or points are sampled.
            ShapeError: the field has other channels than `dim`, or more points than one.
        """
        self._check(query, query)
        if query.values.shape[1] != 1:
            raise ShapeError("IntegralOperator.step(query)", found=f"{query.values.shape[1]} points", expected="one")
        causal = self.kernel.support.causal is not None
        if not (self.kernel.streaming and causal and isinstance(self.sampler, FullSampler)):
            raise ConfigError(
                "IntegralOperator.step",
                found=f"{type(self.kernel).__name__} with {self.kernel.support!r} and {type(self.sampler).__name__}",
                expected="a kernel that streams, a causal support and every point (the sampler 'full')",
            )
        present = self._measured(query)
        state, integral = self.kernel.step(state, present, self.value(present.values))
        return state, query.with_values(self._finish(self.output(integral), present))

    def _measured(self, field: Field) -> Field:
        return field.without_padding().with_measure(self.kernel.measure)

    def _out(self, query: Field, key: Field, given: dict[str, Any]) -> Tensor:
        sampled = self.sampler(query, key)
        if isinstance(sampled, Field) and sampled is not key:
            sampled = sampled.standing_for(key)
        field = None if isinstance(sampled, Nodes) else sampled
        out = None
        passes = self.kernel.transformable or not transform_of(query.values)
        if field is not None and self.evaluator.takes_shortcuts and not given and passes:
            out = self.kernel.transform(query, field, self.value, self.output)
        if out is None:
            out = self.output(self._integral(query, key, sampled, given))
        return self._finish(out, query)

    def _integral(self, query: Field, key: Field, sampled: Field | Nodes, given: dict[str, Any]) -> Tensor:
        nodes, key = (sampled, key) if isinstance(sampled, Nodes) else (None, sampled)
        query_terms, key_terms = self.kernel.project(query, key, **given)
        query_points = Points(query_terms, query.positions, query.weights, query.grid)
        key_points = Points(key_terms, key.positions, key.weights, key.grid)
        values = self.value(key.values)
        if nodes is not None:
            query_points, key_points, values = _at_nodes(query_points, key_points, values, nodes)
            if nodes.log_proposal is not None and collecting():
                add_loss(proposal_loss(self.kernel, query_points, key_points, values, nodes.log_proposal))
        integral = self.evaluator(self.kernel, query_points, key_points, values)
        return integral.reshape(*query.values.shape[:2], *integral.shape[2:])

    def _finish(self, out: Tensor, query: Field) -> Tensor:
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
