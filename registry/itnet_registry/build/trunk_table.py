"""A table of a trunk's blocks: points, parameters and FLOPs of each entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from itnet_core import Block, Field, IntegralOperator, Problem
from itnet_registry.build.builder import Builder
from itnet_registry.build.memory import MemoryLimit
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.plugins.registry import PluginRegistry

GRID_AXES = {1: "t", 2: "yx", 3: "zyx", 4: "tzyx"}
"""Axes of a grid by its number of dimensions, in the order in which encoders use them."""


@torch.no_grad()
def trunk_table(registry: PluginRegistry, config: CompleteModelConfig, grid: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each entry of a trunk, with the parameters and FLOPs of all its blocks.

    FLOPs are two for each multiply-add of the matrix products of one sample, forward, as `torch.utils.flop_counter`
    counts them. A sum over pairs counts the pairs of the support, whichever evaluator computes it; a kernel's fast path
    is counted as it runs.

    Args:
        registry: provides the components.
        config: the model's configuration.
        grid: sizes of the grid of points that the encoder gives.
    """
    alike = [entry.query is None for entry in config.trunk]  # later blocks cost as much as the second
    built = [min(2, entry.repeat) if same else entry.repeat for entry, same in zip(config.trunk, alike, strict=True)]
    entries = [entry.model_copy(update={"repeat": n}) for entry, n in zip(config.trunk, built, strict=True)]
    with torch.random.fork_rng(devices=[]), MemoryLimit.of_the_machine() as memory:
        trunk = Builder(registry, config.model_copy(update={"trunk": entries})).trunk(memory)
    blocks = enumerate(cast(list[Block], list(trunk.eval().requires_grad_(False).blocks)))
    field = Field.on_grid(torch.zeros(1, *grid, config.width), axes=GRID_AXES[len(grid)])
    earlier, rows = {-1: field}, []
    for number, entry in enumerate(config.trunk):
        incoming, parameters, flops = field, list[int](), list[int]()
        for _ in range(built[number]):
            position, block = next(blocks)

            def count(field: Field, block: Block = block, flops: list[int] = flops) -> Field:
                cost, field = _block_flops(block, field, earlier)
                flops.append(cost)
                return field

            scans = trunk.scan is not None and any(kernel.scans for kernel in block.operator.kernel.summands)
            field = cast(Any, trunk.scan)(field, count) if scans else count(field)
            earlier[position] = field
            parameters.append(sum(parameter.numel() for parameter in block.parameters()))
        others = entry.repeat - built[number]
        rows.append(
            {
                "block": number,
                "repeat": entry.repeat,
                "kernel": entry.kernel.name,
                "support": {k: v for k, v in (entry.kernel.options.get("support") or {}).items() if v},
                "query": None if entry.query is None else entry.query.model_dump(),
                "points_in": _points(incoming),
                "points_out": _points(field),
                "width": entry.width,
                "parameters": sum(parameters) + others * parameters[-1],
                "flops": sum(flops) + others * flops[-1],
            }
        )
    return rows


def _points(field: Field) -> list[int]:
    return list(field.grid or field.values.shape[1:2])


def _block_flops(block: Block, key: Field, earlier: Mapping[int, Field]) -> tuple[int, Field]:
    """Return the FLOPs of a block, and its output's points with values 0."""
    start = key if block.query is None else block.query(key, earlier)
    with FlopCounterMode(display=False) as counter:
        query = key if block.query is None else start.map(block.query_map)
        out = start.with_values(torch.zeros(*start.values.shape[:2], block.operator.out_dim))
        if block.ffn is not None:
            block.ffn(out.values)
    return counter.get_total_flops() + _operator_flops(block.operator, query, key), out


def _operator_flops(operator: IntegralOperator, query: Field, key: Field) -> int:
    if "kernel." in (operator.explain_choice(query, key).chosen or ""):
        with FlopCounterMode(display=False) as counter:
            operator(query, key)
        return int(counter.get_total_flops())
    with FlopCounterMode(display=False) as counter:
        problems = operator.problems(query, key)
        for (kernel, _, output), problem in zip(operator.summands, problems, strict=True):
            output(torch.zeros(*query.values.shape[:2], kernel.heads, problem.values.shape[-1]))
        if operator.pointwise is not None:
            operator.pointwise(query.values)
    return int(counter.get_total_flops()) + sum(_pair_flops(problem) for problem in problems)


def _pair_flops(problem: Problem) -> int:
    """Return the FLOPs of a sum over the pairs of a support, for one sample.

    `tile` costs a number of FLOPs for each pair, and others for each of its points, which are counted once.
    """
    kernel, (_, queries, keys) = problem.kernel, problem.shape
    channels = 2 * kernel.heads * problem.values.shape[-1]
    if min(queries, keys) == 1:
        return _tile_flops(problem, queries, keys) + queries * keys * channels
    one, row, column, four = (_tile_flops(problem, n, m) for n, m in ((1, 1), (1, 2), (2, 1), (2, 2)))
    pair = four - row - column + one
    pairs = queries * keys
    if not kernel.support.everywhere:
        query, key = problem.query.positions, problem.key.positions
        blocks = (query[:, start : start + 256] for start in range(0, queries, 256))
        pairs = sum(int(kernel.support.mask(block, key).sum()) for block in blocks)
    points = (column - one - pair) * queries + (row - one - pair) * keys
    return pairs * (pair + channels) + points


def _tile_flops(problem: Problem, queries: int, keys: int) -> int:
    tile = problem.narrow(slice(queries), slice(keys))
    with FlopCounterMode(display=False) as counter:
        problem.kernel(tile.query_terms, tile.key_terms)
    return int(counter.get_total_flops())
