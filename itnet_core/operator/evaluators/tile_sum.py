"""The sum over tiles of pairs, each computed again in the backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from itnet_core.operator.evaluators.dense import weigh_edge
from itnet_core.operator.kernel import Kernel
from itnet_core.operator.points import log_weights
from itnet_core.operator.stateless import with_parameters
from itnet_core.operator.transforms import recording, refuse_second_derivatives


class Span(NamedTuple):
    """Consecutive points of some samples, in tensors (B, N, ...)."""

    samples: slice
    points: slice

    def take(self, tensor: Tensor) -> Tensor:
        """Return the entries of these points, (b, n, ...)."""
        return tensor[self.samples, self.points]

    def put(self, tensor: Tensor, part: Tensor) -> None:
        """Write the entries of these points."""
        tensor[self.samples, self.points] = part

    def add(self, tensor: Tensor, part: Tensor) -> None:
        """Add to the entries of these points."""
        tensor[self.samples, self.points] += part

    def missing(self) -> Tensor | None:
        """Return a mask of the entries without a point, (b, n), or `None` if all have one."""
        return None


class Listed(NamedTuple):
    """Points by their numbers, (b, n), in tensors (points, ...); −1 where a row of the list has fewer."""

    numbers: Tensor

    def take(self, tensor: Tensor) -> Tensor:
        """Return the entries of these points, (b, n, ...); those of point 0 for −1."""
        return tensor.index_select(0, self.numbers.flatten().clamp(min=0)).view(*self.numbers.shape, *tensor.shape[1:])

    def put(self, tensor: Tensor, part: Tensor) -> None:
        """Write the entries of these points, which differ."""
        valid = self.numbers >= 0
        tensor[self.numbers[valid]] = part[valid]

    def add(self, tensor: Tensor, part: Tensor) -> None:
        """Add to the entries of these points; 0 for −1."""
        tensor.index_add_(0, self.numbers.flatten().clamp(min=0), part.flatten(0, 1).to(tensor.dtype))

    def missing(self) -> Tensor | None:
        """Return a mask of the entries without a point, (b, n)."""
        return self.numbers < 0


Part = Span | Listed


@dataclass(frozen=True, eq=False)
class Plan(ABC):
    """The kernel, the positions, and the tiles that the pairs are cut into.

    Attributes:
        evaluator: name of the class that makes these plans, for errors.
        kernel: k.
        query_positions: detached, (B, N, p) or (points, p), as `Part` indexes them.
        key_positions: likewise.
    """

    evaluator: ClassVar[str]
    kernel: Kernel
    query_positions: Tensor
    key_positions: Tensor

    @abstractmethod
    def tiles(self) -> Iterator[tuple[Part, Sequence[Part]]]:
        """Yield each tile of queries with the tiles of keys that it meets."""

    def outside(self, i: Part, j: Part) -> Tensor | None:
        """Return the pairs of a tile outside of the support, (b, 1, n, m), or `None` if there are none."""
        support, outside = self.kernel.support, None
        if not support.everywhere:
            outside = ~support.mask(i.take(self.query_positions), j.take(self.key_positions))
        for missing, axis in ((i.missing(), 2), (j.missing(), 1)):
            if missing is not None:
                outside = missing.unsqueeze(axis) if outside is None else outside | missing.unsqueeze(axis)
        return None if outside is None else outside.unsqueeze(1)


def sum_tiles(
    plan: Plan,
    query_terms: Any,
    key_terms: Any,
    query: Tensor,
    key: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pair_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute Σ_j k v, or Σ_j e^(k + bias) v / Σ_j e^(k + bias) with a bias.

    Gradients reach terms, positions, values, bias and the kernel's own parameters. The points' axes of all tensors are
    (B, N), or one axis, as `Part` indexes them.

    Args:
        plan: the tiles.
        query_terms: terms of the query points.
        key_terms: terms of the key points.
        query: positions of the query points, for the share of pairs at an edge.
        key: positions of the key points.
        values: (..., heads or 1, head_dim).
        bias: what is added to k for each key point, such as log w; `None` for a plain sum.
        pair_weights: weights of the keys of each query, (points, keys), in place of the points' own weights.

    Returns:
        The sums at the query points, (..., heads, head_dim), and with a bias log Σ_j e^(k + bias), (..., heads), which
        is −∞ without a pair.
    """
    x, y = (query, key) if plan.kernel.support.edge else ((), ())
    query_leaves, query_spec = tree_flatten((query_terms, x, () if pair_weights is None else pair_weights))
    key_leaves, key_spec = tree_flatten((key_terms, y))
    parameters = dict(plan.kernel.named_parameters(remove_duplicate=False))  # a tied one under each of its names
    arguments = _Arguments(plan.kernel, query_spec, key_spec, tuple(parameters))
    sums: tuple[Tensor, Tensor] = _TileSum.apply(
        plan, arguments, values, bias, *query_leaves, *key_leaves, *parameters.values()
    )
    return sums


@dataclass(frozen=True, eq=False)
class _Arguments:
    """Layout of the kernel's arguments in a flat list: query leaves, key leaves, parameters."""

    kernel: Kernel
    query_spec: TreeSpec
    key_spec: TreeSpec
    parameter_names: tuple[str, ...]

    def take(self, tensors: Sequence[Tensor], i: Part, j: Part) -> list[Tensor]:
        """Return the part of each tensor that belongs to a tile."""
        return [part.take(t) if part else t for t, part in zip(tensors, self.parts(i, j), strict=True)]

    def parts(self, i: Part, j: Part) -> list[Part | None]:
        """Return the points of a tile that each tensor belongs to; `None` for a parameter."""
        n, m = self.query_spec.num_leaves, self.key_spec.num_leaves
        return [i] * n + [j] * m + [None] * len(self.parameter_names)

    def block(self, tensors: Sequence[Tensor]) -> Tensor:
        """Compute k of a tile, (b, heads, n, m)."""
        n, m = self.query_spec.num_leaves, self.key_spec.num_leaves
        query_terms, x, weights = tree_unflatten(tensors[:n], self.query_spec)
        key_terms, y = tree_unflatten(tensors[n : n + m], self.key_spec)
        # A copy, because another thread may use the kernel.
        kernel = with_parameters(self.kernel, dict(zip(self.parameter_names, tensors[n + m :], strict=True)))
        k = weigh_edge(self.kernel, kernel(query_terms, key_terms), x, y)
        if not isinstance(weights, Tensor):
            return k
        weights = weights.unsqueeze(1)
        return k * weights.to(k.dtype) if self.kernel.normalization == "none" else k + log_weights(weights)


class _TileSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: Plan, arguments: _Arguments, values: Tensor, bias: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        out = values.new_zeros(*plan.query_positions.shape[:-1], plan.kernel.heads, values.shape[-1])
        log_total = out.new_zeros(out.shape[:-1], dtype=_accumulator(out.dtype))
        peak, log_mass = torch.zeros_like(log_total), torch.zeros_like(log_total)
        for i, row in plan.tiles():
            blocks = ((j, arguments.block(arguments.take(tensors, i, j))) for j in row)
            if bias is None:
                for j, k in blocks:
                    wide = torch.promote_types(k.dtype, values.dtype)  # of k, for its range
                    sums = _sum(_masked(k, plan.outside(i, j), 0.0).to(wide), _by_head(j, values).to(wide))
                    i.add(out, sums.transpose(1, 2).to(out.dtype))
            else:
                logits = ((_by_head(j, values), _logits(k, j.take(bias), plan.outside(i, j))) for j, k in blocks)
                found = _softmax_row(logits, _by_head(i, out), i.take(log_total).transpose(1, 2))
                for whole, part in zip((out, peak, log_mass, log_total), found, strict=True):
                    i.put(whole, part.transpose(1, 2))
        ctx.plan, ctx.arguments = plan, arguments
        ctx.autocast = torch.is_autocast_enabled(values.device.type), torch.get_autocast_dtype(values.device.type)
        ctx.save_for_backward(values, bias, out, peak, log_mass, *tensors)
        if bias is None:
            ctx.mark_non_differentiable(log_total)
        return out, log_total

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        refuse_second_derivatives(plan.evaluator, grad_out)
        arguments: _Arguments = ctx.arguments
        values, bias, out, peak, log_mass, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[4:]
        grads = [torch.zeros_like(t) if need else None for t, need in zip(tensors, needed, strict=True)]
        grad_values = torch.zeros_like(values)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        delta = (grad_out * out).sum(-1) - grad_total
        enabled, dtype = ctx.autocast
        for i, j in ((i, j) for i, row in plan.tiles() for j in row):
            taken = zip(arguments.take(tensors, i, j), needed, strict=True)
            leaves = [part.detach().requires_grad_(need) for part, need in taken]
            with recording(), torch.autocast(values.device.type, dtype=dtype, enabled=enabled):
                k = arguments.block(leaves)
            outside, g, v = plan.outside(i, j), _by_head(i, grad_out), _by_head(j, values)
            grad_k = _sum(g, v.transpose(-1, -2))
            if bias is None or grad_bias is None:
                matrix, grad_k = _masked(k.detach(), outside, 0.0), _masked(grad_k, outside, 0.0)
            else:
                matrix = _logits(k.detach(), j.take(bias), outside)
                for part in (peak, log_mass):  # one after the other: beside a peak of −1e10, their sum loses the mass
                    matrix = matrix - i.take(part).transpose(1, 2).unsqueeze(-1)
                matrix = matrix.exp_()
                grad_k = matrix * (grad_k - i.take(delta).transpose(1, 2).unsqueeze(-1))
                j.add(grad_bias, grad_k.sum((1, 2)))
            matrix = _rows(matrix.to(g.dtype), v)
            j.add(grad_values, (matrix.transpose(-1, -2) @ _rows(g, v)).transpose(1, 2))
            if k.requires_grad:
                _add_gradients(grads, arguments.parts(i, j), leaves, k, grad_k.to(k.dtype))
        return None, None, grad_values, grad_bias, *grads


def _add_gradients(
    grads: list[Tensor | None], parts: list[Part | None], leaves: list[Tensor], k: Tensor, grad_k: Tensor
) -> None:
    """Add the gradients of a tile to the tensors that it was cut from."""
    needed = [(grad, part, leaf) for grad, part, leaf in zip(grads, parts, leaves, strict=True) if grad is not None]
    of_tile = torch.autograd.grad(k, [leaf for *_, leaf in needed], grad_k, allow_unused=True)
    for (grad, part, _), more in zip(needed, of_tile, strict=True):
        if more is not None:
            grad.add_(more) if part is None else part.add(grad, more)


def _softmax_row(logits: Iterator[tuple[Tensor, Tensor]], out: Tensor, log_total: Tensor) -> tuple[Tensor, ...]:
    """Return a query tile's weighted mean, peak, logarithm of the total weight without the peak, and with it."""
    dtype = log_total.dtype
    peak = torch.full_like(log_total, torch.finfo(dtype).min)
    total, sums = torch.zeros_like(log_total), torch.zeros_like(out, dtype=dtype)
    for values, block in logits:
        new_peak = torch.maximum(peak, block.amax(-1))
        decay = (peak - new_peak).exp()
        weight = (block - new_peak.unsqueeze(-1)).exp_()
        total = total * decay + weight.sum(-1)
        sums = sums * decay.unsqueeze(-1) + _sum(weight.to(values.dtype), values)
        peak = new_peak
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    mean, log_mass = (sums / total.unsqueeze(-1)).to(out.dtype), total.log()
    return mean, peak, log_mass, (peak + log_mass).masked_fill(empty, -torch.inf)


def _rows(matrix: Tensor, values: Tensor) -> Tensor:
    """Return (B, 1, heads·n, m) of a matrix (B, heads, n, m) where all heads share the values, else the matrix."""
    return matrix if values.shape[1] == matrix.shape[1] else matrix.flatten(1, 2).unsqueeze(1)


def _sum(matrix: Tensor, values: Tensor) -> Tensor:
    """Compute the product of a matrix, (B, heads, n, m), and values, (B, heads or 1, m, d), without copies of these."""
    return (_rows(matrix, values) @ values).view(*matrix.shape[:3], -1)


def _by_head(part: Part, tensor: Tensor) -> Tensor:
    """Return the entries of points, (b, heads or 1, n, head_dim)."""
    return part.take(tensor).transpose(1, 2)


def _logits(k: Tensor, bias: Tensor, outside: Tensor | None) -> Tensor:
    return _masked(k.to(_accumulator(k.dtype)) + bias[:, None, None, :], outside, -torch.inf)


def _masked(block: Tensor, outside: Tensor | None, value: float) -> Tensor:
    return block if outside is None else block.masked_fill(outside, value)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
