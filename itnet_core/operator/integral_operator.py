"""The integral operator: kernel, sampler and evaluator, between a value map and an output map."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from itnet_core.operator.auxiliary import add_loss, collecting
from itnet_core.operator.evaluators import AutoEvaluator, Choice, Evaluator
from itnet_core.operator.evaluators.auto import Candidate, evaluator_obstacle, step_obstacle, transform_obstacle
from itnet_core.operator.evaluators.dense import pair_values, pair_weights
from itnet_core.operator.field import Field
from itnet_core.operator.kernel import Kernel, Problem
from itnet_core.operator.opaque import apply_as_one_node, numbered
from itnet_core.operator.points import Measure
from itnet_core.operator.ring import ring_sum
from itnet_core.operator.sampler import FullSampler, Nodes, Sampler
from itnet_core.operator.stream import step
from itnet_core.operator.transforms import transform_of
from itnet_core.plugin.errors import ConfigError, ShapeError

NODES_BYTES = 64 << 20
"""Largest size in bytes of the terms and values that are gathered at once for nodes of each query."""


class _Integral(NamedTuple):
    """An integral that an operator computes: its kernel, maps and fields, and a sampler's nodes of the key."""

    kernel: Kernel
    value: nn.Module
    output: nn.Module
    query: Field
    key: Field
    nodes: Nodes | None

    def problem(self, arguments: dict[str, Any], evaluator: Evaluator) -> Problem:
        problem, nodes = self.kernel.problem(self.query, self.key, self.value(self.key.values), **arguments), self.nodes
        if nodes is None:
            return problem
        gathered = nodes.indices.ndim == 2 or nodes.loss is not None or not evaluator.takes_nodes
        if gathered or transform_of(problem.values) or gathered_bytes(problem, nodes) <= NODES_BYTES:
            return problem.at_nodes(nodes)
        return replace(problem, nodes=nodes)


class IntegralOperator(nn.Module):
    """out(x) = Σ_h O_h ∫ k_h(x, y, u(x), u(y)) V_h u(y) dμ(y) + W_o u(x)  (docs/operator.md, §1).

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8, position_dim=2))
        >>> image = Field.on_grid(torch.randn(1, 6, 6, 8))
        >>> operator(image).values.shape
        torch.Size([1, 36, 8])

    Args:
        dim: channels of the fields, d.
        kernel: k, with its maps V and O, normalization, support and measure.
        sampler: the nodes of the quadrature; every point by default.
        evaluator: how the sum is computed; `AutoEvaluator` by default, which chooses the fastest exact way.
        out_dim: channels of the result; `dim` by default.
        head_dim: channels of each head; `kernel.value_dim(dim)` by default, which is dim // heads for most kernels.
        pointwise: whether to add W_o u(x).

    Raises:
        ShapeError: `head_dim` is `None`, and the kernel has no default for `dim`.
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
        self.dim, self.out_dim = dim, out_dim
        self._number = numbered(self)
        self.kernel = kernel
        self.sampler = FullSampler(dim) if sampler is None else sampler
        self.evaluator = AutoEvaluator() if evaluator is None else evaluator
        values, outputs = [], []
        for summand in kernel.summands:
            channels = summand.value_dim(dim) if head_dim is None else head_dim
            values.append(summand.value_map(dim, channels))
            outputs.append(summand.output_map(channels, out_dim))
        self.value, self.output = (maps[0] if len(maps) == 1 else nn.ModuleList(maps) for maps in (values, outputs))
        self.pointwise = nn.Linear(dim, out_dim, bias=False) if pointwise else None

    def forward(self, query: Field, key: Field | None = None, **arguments: Any) -> Field:
        """Apply the operator.

        Args:
            query: the field at the points x, (B, N, dim).
            key: the field to integrate, (B, M, dim); `query` itself by default.
            arguments: further arguments of `kernel.project` for this call, such as attention's `additive`.

        Returns:
            The field of the result at the query's points, (B, N, out_dim).

        Raises:
            ShapeError: the fields' channels are not `dim`, or their batches or coordinates differ.
        """
        if self._gathers(query, key, arguments):
            values = self(query.gather(), None if key is None else key.gather(), **arguments).values
            shards = query.points.shards
            return query.with_values(values if shards is None else shards.share(values))
        compiling = torch.compiler.is_compiling() and not torch.compiler.is_exporting() and not arguments
        if compiling and any(kernel.opaque for kernel in self.kernel.summands):
            return self._as_one_node(query, key)
        integrals = self._integrals(query, key)
        if compiling and any(self._is_opaque(integral) for integral in integrals):
            return self._as_one_node(query, key)
        first, *others = [self._compute(integral, arguments) for integral in integrals]
        return query.with_values(self._add_pointwise(sum(others, first), integrals[0].query))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, with a number of its own."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = numbered(self)

    def explain_choice(self, query: Field, key: Field | None = None, **arguments: Any) -> Choice:
        """Explain which fast path or evaluator computes the operator's output for these fields, and why.

        Example:
            >>> operator = IntegralOperator(8, MLPKernel(8, position_dim=2), evaluator=AutoEvaluator(evaluators=[]))
            >>> print(operator.explain_choice(Field.on_grid(torch.randn(1, 6, 6, 8))))
            kernel.transform  can_transform is False for these fields
            kernel.integrate  can_integrate is False for these points
            LocalEvaluator    found no radius or window; expected a support with one
            DenseEvaluator    chosen
            TiledEvaluator    ranked after the chosen one

        Args:
            query: as for `forward`.
            key: as for `forward`.
            arguments: as for `forward`.

        Raises:
            ShapeError: as `forward`.
        """
        devices = [query.device] if query.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # explaining a choice must not change later draws
            integrals = self._integrals(query, key)
        choices = [(type(integral.kernel).__name__, self._choice(integral, arguments)) for integral in integrals]
        return choices[0][1] if len(choices) == 1 else Choice(summands=tuple(choices))

    def problems(self, query: Field, key: Field | None = None, **arguments: Any) -> list[Problem]:
        """Return the problem that the evaluator solves for each summand, where no `transform` applies.

        Args:
            query: as for `forward`.
            key: as for `forward`.
            arguments: as for `forward`.

        Raises:
            ShapeError: as `forward`.
        """
        return [integral.problem(arguments, self.evaluator) for integral in self._integrals(query, key)]

    def matrix(
        self,
        query: Field,
        key: Field | None = None,
        *,
        queries: Tensor | None = None,
        normalized: bool = True,
        **arguments: Any,
    ) -> Tensor:
        """Return the weights by which the operator sums the values V u(y), or the kernel's values, at pairs of points.

        They come from the kernel alone, whichever fast path or evaluator computes the operator's output, so that they
        are also known where a fused one never forms them. Every point of the key counts: a sampler is not applied.

        Example:
            >>> operator = IntegralOperator(8, MLPKernel(8, normalization="softmax"))
            >>> field = Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4))
            >>> weights = operator.matrix(field, queries=torch.tensor([0, 4]))
            >>> weights.shape, bool(torch.allclose(weights.sum(-1), torch.ones(2, 4, 2)))
            (torch.Size([2, 4, 2, 9]), True)

        Args:
            query: as for `forward`.
            key: as for `forward`.
            queries: numbers of the query points, (n,) or (B, n); all by default. Memory is proportional to n · M.
            normalized: whether to return w_j k, or w_j e^k / Σ_j w_j e^k for `softmax`, which are 0 at padding and
                outside of the support. Otherwise k, which is 0 outside of the support, or −∞ for `softmax`.
            arguments: as for `forward`.

        Returns:
            Shape (B, heads, n, M); of a sum of integrals, the heads of all kernels in their order.

        Raises:
            ShapeError: as `forward`.
        """
        matrices = []
        for integral in self._integrals(query, key, sample=False):
            problem = integral.problem(arguments, self.evaluator)
            if queries is not None:
                problem = problem.at_queries(queries.expand(len(query.values), -1))
            matrices.append(pair_weights(problem) if normalized else pair_values(problem))
        return torch.cat(matrices, 1)

    def step(self, state: Any, query: Field) -> tuple[Any, Field]:
        """Advance a stream by one point: return the new state, and the result over all points so far.

        The state is that of the kernel's `step`, usually of fixed size. For a kernel without `step`, the state is all
        points so far, and a step costs as much as a row of the sum.

        Example:
            ```python
            state = None
            for point in points:  # fields of one point, (B, 1, dim)
                state, out = operator.step(state, point)
            ```

        Args:
            state: from the previous step, `None` at the first point.
            query: the new point, a field of one point, (B, 1, dim), later than all before it.

        Returns:
            The new state, and the field of the result at the new point, (B, 1, out_dim).

        Raises:
            ConfigError: the kernel's support is not causal, it integrates by the mean measure, or points are sampled.
            ShapeError: the field has other channels than `dim`, or more than one point.
        """
        integrals = self._integrals(query, None, sample=False)
        if query.values.shape[1] != 1:
            raise ShapeError("IntegralOperator.step(query)", found=f"{query.values.shape[1]} points", expected="one")
        for kernel in self.kernel.summands:
            if obstacle := step_obstacle(kernel, self.sampler):
                raise ConfigError(
                    "IntegralOperator.step",
                    found=obstacle,
                    expected="a causal support, and every point (the sampler 'full')",
                )
        single = len(integrals) == 1
        states = (state,) if single else (state or (None,) * len(integrals))
        new, outs = [], []
        for past, (kernel, value, output, measured, *_) in zip(states, integrals, strict=True):
            after, integral = step(kernel, past, measured, value(measured.values))
            new.append(after)
            outs.append(output(integral))
        out = self._add_pointwise(sum(outs[1:], outs[0]), integrals[0].query)
        return new[0] if single else tuple(new), query.with_values(out)

    @property
    def summands(self) -> tuple[tuple[Kernel, nn.Module, nn.Module], ...]:
        """The kernel, V and Σ_h O_h of each integral that the operator adds; one, unless its kernel is a sum."""
        kernels = self.kernel.summands
        if len(kernels) == 1:
            return ((kernels[0], self.value, self.output),)
        values, outputs = cast(nn.ModuleList, self.value), cast(nn.ModuleList, self.output)
        return tuple(zip(kernels, values, outputs, strict=True))

    def _integrals(self, query: Field, key: Field | None, *, sample: bool = True) -> list[_Integral]:
        """Check the fields, apply the kernels' measures, and sample the key, once for each measure."""
        self._check(query, query if key is None else key)
        measures = dict.fromkeys(kernel.measure for kernel in self.kernel.summands)
        fields = {measure: self._discretize(query, key, measure, sample=sample) for measure in measures}
        return [_Integral(kernel, value, output, *fields[kernel.measure]) for kernel, value, output in self.summands]

    def _discretize(
        self, query: Field, key: Field | None, measure: Measure, *, sample: bool
    ) -> tuple[Field, Field, Nodes | None]:
        """Apply a measure, and sample the key.

        A self transform keeps one field for both sides, so that a kernel sees that they are the same.
        """
        measured = query.without_padding().with_measure(measure)
        other = measured if key is None or key is query else key.without_padding().with_measure(measure)
        sampled = self.sampler(measured, other) if sample else other
        if isinstance(sampled, Nodes):
            return measured, other, sampled
        return measured, other if sampled is other else sampled.standing_for(other), None

    def _as_one_node(self, query: Field, key: Field | None) -> Field:
        fields = (query,) if key is None else (query, key)
        return query.with_values(apply_as_one_node(self, self._number, self.out_dim, *fields))

    def _is_opaque(self, integral: _Integral) -> bool:
        if not self._transform_obstacle(integral, {}):
            return False
        return self.evaluator.is_opaque(integral.problem({}, self.evaluator))

    def _compute(self, integral: _Integral, arguments: dict[str, Any]) -> Tensor:
        """Compute Σ_h O_h ∫ k_h V_h u dμ, (B, N, out_dim)."""
        kernel, value, output, query, key, nodes = integral
        if not self._transform_obstacle(integral, arguments):
            return kernel.transform(query, key, value, output)
        problem = integral.problem(arguments, self.evaluator)
        if nodes is not None and nodes.loss is not None and collecting():
            add_loss(nodes.loss(problem))
        sums = self.evaluator(problem) if key.points.shards is None else ring_sum(problem, self.evaluator)
        out: Tensor = output(sums.reshape(*query.values.shape[:2], *sums.shape[2:]))
        return out

    def _choice(self, integral: _Integral, arguments: dict[str, Any]) -> Choice:
        obstacle = self._transform_obstacle(integral, arguments)
        transform = Candidate("kernel.transform", obstacle)
        if not obstacle:
            return Choice((transform,))
        problem = integral.problem(arguments, self.evaluator)
        if isinstance(self.evaluator, AutoEvaluator):
            return Choice((transform, *self.evaluator.explain(problem).candidates))
        reason = evaluator_obstacle(self.evaluator, problem, transform_of(problem.values))
        return Choice((transform, Candidate(type(self.evaluator).__name__, reason)))

    def _gathers(self, query: Field, key: Field | None, arguments: dict[str, Any]) -> bool:
        """Whether parts of fields are gathered, because the sum over a ring does not apply to them."""
        key = query if key is None else key
        if query.points.shards is None and key.points.shards is None:
            return False
        one_is_whole = query.points.shards is None or key.points.shards is None
        pointwise = all(kernel.pointwise_terms for kernel in self.kernel.summands)
        return one_is_whole or bool(arguments) or not pointwise or not isinstance(self.sampler, FullSampler)

    def _transform_obstacle(self, integral: _Integral, arguments: dict[str, Any]) -> str:
        if integral.key.points.shards is not None:
            return "the points are dealt to several processes"
        if integral.nodes is not None:
            return "the sampler returns nodes"
        if arguments:
            return "the call has arguments of `project`"
        return transform_obstacle(self.evaluator, integral.kernel, integral.query, integral.key)

    def _add_pointwise(self, out: Tensor, query: Field) -> Tensor:
        return out if self.pointwise is None else out + self.pointwise(query.values)

    def _check(self, query: Field, key: Field) -> None:
        for name, field in (("query", query), ("key", key)):
            if field.dim != self.dim:
                raise ShapeError(
                    f"IntegralOperator({name})", found=f"{field.dim} channels", expected=f"dim = {self.dim} channels"
                )
        batches, coordinates = zip(*((f.values.shape[0], f.positions.shape[-1]) for f in (query, key)), strict=True)
        if batches[0] != batches[1] or coordinates[0] != coordinates[1]:
            raise ShapeError(
                "IntegralOperator(key)",
                found=f"batch {batches[1]} and {coordinates[1]} coordinates",
                expected=f"the query's batch {batches[0]} and {coordinates[0]} coordinates",
            )


def gathered_bytes(problem: Problem, nodes: Nodes) -> int:
    """Return the bytes of the terms and values at a sampler's nodes."""
    leaves = [*tree_leaves(problem.key_terms), problem.values]
    return nodes.indices.numel() * sum(leaf[0, 0].numel() * leaf.element_size() for leaf in leaves)
