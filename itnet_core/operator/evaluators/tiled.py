"""Exact evaluation tile by tile, in O(N + M) memory forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from itnet_core.operator.evaluators.dense import weigh_edge
from itnet_core.operator.evaluators.evaluator import Evaluator
from itnet_core.operator.kernel import Kernel, Problem
from itnet_core.operator.stateless import with_parameters
from itnet_core.operator.transforms import refuse_second_derivatives
from itnet_core.plugin.config import ComponentConfig

CPU_TILE_BYTES = 8 << 20
GPU_TILE_BYTES = 256 << 20


class TiledEvaluator(Evaluator):
    """Exact sums in O(N + M) memory for any kernel, from `project` and `tile` alone.

    Pairs are cut into tiles; the pair tensor of a tile lives only while its contribution is added, and is computed
    again in the backward pass. Second derivatives are refused. `softmax` keeps a running maximum, as in Rabe & Staats,
    "Self-attention does not need O(n²) memory" (arXiv 2112.05682). Tiles outside of the support are skipped.

    `tile_shape` chooses the size of tiles: rows of up to 1024 keys, because the work of `tile` for each query is then
    repeated least; as many queries as make the tile's pair tensor 8 MiB on a CPU (a larger one leaves the cache, for a
    smaller one launching operations dominates) or 256 MiB on a GPU; and, for few points, as many samples.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8), evaluator=TiledEvaluator())
        >>> operator(Field(torch.randn(1, 50, 8), torch.rand(1, 50, 4))).values.shape
        torch.Size([1, 50, 8])
    """

    rank: ClassVar[int | None] = 1000

    class Config(ComponentConfig):
        """Size of the tiles."""

        query_tile: PositiveInt | None = None
        """Query points of a tile; by `tile_shape` by default."""
        key_tile: PositiveInt | None = None
        """Key points of a tile; by `tile_shape` by default."""

    @torch.compiler.disable  # the backward pass differentiates tiles, which graphs cannot hold
    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral. Gradients reach terms, values, weights and the kernel's own parameters."""
        kernel, query, key = problem.kernel, problem.query.positions, problem.key.positions
        values, bias = problem.weighted_values()
        edge = (query, key) if kernel.support.edge else ((), ())
        sides = zip((problem.query_terms, problem.key_terms), edge, strict=True)
        (query_leaves, query_spec), (key_leaves, key_spec) = map(tree_flatten, sides)
        parameters = dict(kernel.named_parameters(remove_duplicate=False))  # a tied one under each of its names
        shape = tile_shape(*problem.shape, kernel.pair_width * values.element_size(), values.device)
        shape = (shape[0], self.config.query_tile or shape[1], self.config.key_tile or shape[2])
        plan = _Plan(kernel, tuple(parameters), query_spec, key_spec, query.detach(), key.detach(), shape)
        tensors = (*query_leaves, *key_leaves, *parameters.values())
        return _TiledSum.apply(plan, values.transpose(1, 2), bias, *tensors).transpose(1, 2)


def tile_shape(batch: int, queries: int, keys: int, pair_bytes: int, device: torch.device) -> tuple[int, int, int]:
    """Return the samples, queries and keys of a tile, for pairs of `pair_bytes`; see `TiledEvaluator`."""
    pairs = max(1, (CPU_TILE_BYTES if device.type == "cpu" else GPU_TILE_BYTES) // pair_bytes)
    key_tile = min(keys, 1024)
    query_tile = min(queries, max(1, pairs // key_tile))
    return min(batch, max(1, pairs // (key_tile * query_tile))), query_tile, key_tile


@dataclass(frozen=True, eq=False)
class _Plan:
    """The kernel, how its arguments are packed, and how the pairs are cut into tiles."""

    kernel: Kernel
    parameter_names: tuple[str, ...]
    query_spec: TreeSpec
    key_spec: TreeSpec
    query_positions: Tensor
    key_positions: Tensor
    shape: tuple[int, int, int]

    def tiles(self) -> Iterator[tuple[slice, slice, list[slice]]]:
        """Yield samples, queries, and the tiles of keys within the support of these queries."""
        batch, queries, keys = (
            _slices(length, size)
            for length, size in zip(
                (len(self.query_positions), self.query_positions.shape[1], self.key_positions.shape[1]),
                self.shape,
                strict=True,
            )
        )
        for b in batch:
            reached = self._reached(b, queries, keys)
            for i, row in zip(queries, reached, strict=True):
                yield b, i, [j for j, reach in zip(keys, row, strict=True) if reach]

    def _reached(self, batch: slice, queries: list[slice], keys: list[slice]) -> list[list[bool]]:
        support = self.kernel.support
        if support.everywhere:
            return [[True] * len(keys)] * len(queries)
        boxes = (*_boxes(self.query_positions[batch], queries), *_boxes(self.key_positions[batch], keys))
        return support.reaches(*boxes).any(0).tolist()

    def split(self, tensors: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the leaves of the query terms, the leaves of the key terms, and the parameters."""
        n, m = self.query_spec.num_leaves, self.key_spec.num_leaves
        return tensors[:n], tensors[n : n + m], tensors[n + m :]

    def windows(self, b: slice, i: slice, j: slice, count: int) -> list[Any]:
        """Return the index of a tile in each of `count` tensors, in the order of `split`."""
        n, m = self.query_spec.num_leaves, self.key_spec.num_leaves
        return [(b, i)] * n + [(b, j)] * m + [...] * (count - n - m)

    def block(self, query: list[Tensor], key: list[Tensor], parameters: list[Tensor]) -> Tensor:
        """Compute k of a tile, (b, heads, n, m)."""
        (query_terms, x), (key_terms, y) = tree_unflatten(query, self.query_spec), tree_unflatten(key, self.key_spec)
        # A copy, because another thread may use the kernel.
        kernel = with_parameters(self.kernel, dict(zip(self.parameter_names, parameters, strict=True)))
        return weigh_edge(self.kernel, kernel(query_terms, key_terms), x, y)

    def outside(self, b: slice, i: slice, j: slice) -> Tensor | None:
        """Return the pairs of a tile outside of the support, (b, 1, n, m), or `None` if there are none."""
        support = self.kernel.support
        if support.everywhere:
            return None
        return ~support.mask(self.query_positions[b, i], self.key_positions[b, j]).unsqueeze(1)


class _TiledSum(torch.autograd.Function):
    """Σ_j k v without a bias, Σ_j e^(k + bias) v / Σ_j e^(k + bias) with one; values are (B, heads or 1, M, d)."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, values: Tensor, bias: Tensor | None, *tensors: Tensor) -> Tensor:
        query, key, parameters = plan.split(list(tensors))
        batch, heads, head_dim = len(values), plan.kernel.heads, values.shape[-1]
        out = values.new_zeros(batch, heads, plan.query_positions.shape[1], head_dim)
        log_total = out.new_zeros(out.shape[:-1], dtype=_accumulator(out.dtype))
        for b, i, row in plan.tiles():
            query_tile = [leaf[b, i] for leaf in query]
            blocks = ((j, plan.block(query_tile, [leaf[b, j] for leaf in key], parameters)) for j in row)
            if bias is None:
                for j, k in blocks:
                    wide = torch.promote_types(k.dtype, values.dtype)  # of k, for its range
                    out[b, :, i] += _sum(_masked(k, plan.outside(b, i, j), 0.0).to(wide), values[b, :, j].to(wide))
            else:
                logits = ((j, _logits(k, bias[b, j], plan.outside(b, i, j))) for j, k in blocks)
                out[b, :, i], log_total[b, :, i] = _softmax_row(logits, values[b], out[b, :, i], log_total[b, :, i])
        ctx.plan = plan
        ctx.autocast = torch.is_autocast_enabled(values.device.type), torch.get_autocast_dtype(values.device.type)
        ctx.save_for_backward(values, bias, out, log_total, *tensors)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives("TiledEvaluator", grad_out, "Use the evaluator 'dense' for second derivatives.")
        plan: _Plan = ctx.plan
        values, bias, out, log_total, *tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        grads = [torch.zeros_like(t) if need else None for t, need in zip(tensors, needed, strict=True)]
        grad_values = torch.zeros_like(values)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        delta = (grad_out * out).sum(-1)
        enabled, dtype = ctx.autocast
        for b, i, j in ((b, i, j) for b, i, row in plan.tiles() for j in row):
            windows = plan.windows(b, i, j, len(tensors))
            leaves = [t[w].detach().requires_grad_(need) for t, w, need in zip(tensors, windows, needed, strict=True)]
            with torch.enable_grad(), torch.autocast(values.device.type, dtype=dtype, enabled=enabled):
                k = plan.block(*plan.split(leaves))
            outside, g = plan.outside(b, i, j), grad_out[b, :, i]
            grad_k = _sum(g, values[b, :, j].transpose(-1, -2))
            if bias is None or grad_bias is None:
                matrix, grad_k = _masked(k.detach(), outside, 0.0), _masked(grad_k, outside, 0.0)
            else:
                matrix = (_logits(k.detach(), bias[b, j], outside) - log_total[b, :, i].unsqueeze(-1)).exp_()
                grad_k = matrix * (grad_k - delta[b, :, i].unsqueeze(-1))
                grad_bias[b, j] += grad_k.sum((1, 2))
            matrix = _rows(matrix.to(g.dtype), values)
            grad_values[b, :, j] += matrix.transpose(-1, -2) @ _rows(g, values)
            if k.requires_grad:
                _add_gradients(grads, windows, leaves, k, grad_k.to(k.dtype))
        return None, grad_values, grad_bias, *grads


def _add_gradients(
    grads: list[Tensor | None], windows: list[Any], leaves: list[Tensor], k: Tensor, grad_k: Tensor
) -> None:
    """Add the gradients of a tile to the windows of the tensors that it was cut from."""
    wanted = [
        (grad, window, leaf) for grad, window, leaf in zip(grads, windows, leaves, strict=True) if grad is not None
    ]
    parts = torch.autograd.grad(k, [leaf for *_, leaf in wanted], grad_k, allow_unused=True)
    for (grad, window, _), part in zip(wanted, parts, strict=True):
        if part is not None:
            grad[window] += part


def _softmax_row(
    logits: Iterator[tuple[slice, Tensor]], values: Tensor, out: Tensor, log_total: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted mean of a query tile and the logarithm of its total weight, from the tiles of its row."""
    dtype = log_total.dtype
    peak = torch.full_like(log_total, torch.finfo(dtype).min)
    total, sums = torch.zeros_like(log_total), torch.zeros_like(out, dtype=dtype)
    for j, block in logits:
        new_peak = torch.maximum(peak, block.amax(-1))
        decay = (peak - new_peak).exp()
        weight = (block - new_peak.unsqueeze(-1)).exp_()
        total = total * decay + weight.sum(-1)
        sums = sums * decay.unsqueeze(-1) + _sum(weight.to(values.dtype), values[:, :, j])
        peak = new_peak
    empty = total == 0
    total = total.masked_fill(empty, 1.0)
    return (sums / total.unsqueeze(-1)).to(out.dtype), (peak + total.log()).masked_fill(empty, 0.0)


def _rows(matrix: Tensor, values: Tensor) -> Tensor:
    """Return (B, 1, heads·n, m) of a matrix (B, heads, n, m) where all heads share the values, else the matrix."""
    return matrix if values.shape[1] == matrix.shape[1] else matrix.flatten(1, 2).unsqueeze(1)


def _sum(matrix: Tensor, values: Tensor) -> Tensor:
    """Compute the product of a matrix, (B, heads, n, m), and values, (B, heads or 1, m, d), without copies of these."""
    return (_rows(matrix, values) @ values).view(*matrix.shape[:3], -1)


def _logits(k: Tensor, bias: Tensor, outside: Tensor | None) -> Tensor:
    return _masked(k.to(_accumulator(k.dtype)) + bias[:, None, None, :], outside, -torch.inf)


def _masked(block: Tensor, outside: Tensor | None, value: float) -> Tensor:
    return block if outside is None else block.masked_fill(outside, value)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _boxes(positions: Tensor, tiles: list[slice]) -> tuple[Tensor, Tensor]:
    """Return opposite corners of a box around each tile's points, (B, tiles, p) each."""
    parts = [positions[:, tile] for tile in tiles]
    return torch.stack([p.amin(1) for p in parts], 1), torch.stack([p.amax(1) for p in parts], 1)
