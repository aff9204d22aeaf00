"""A window of 5 × 5 points on grids: the evaluator `triton`, FlexAttention and convolutions of equal width."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from gpu_problem import MLPProblem, converted, leaves, operations
from gpu_timings import Setting, Variant
from torch import Tensor, nn

from itnet_core import Field, LocalEvaluator, MLPKernel, Problem
from itnet_triton.evaluator import TritonEvaluator

DIM, HEADS, SIZE, BATCH = 64, 4, 5, 8
SIDES = 28, 56
WINDOW = f"window of {SIZE} × {SIZE}"


class AllTiles(TritonEvaluator):
    """`triton` without lists of near tiles: it computes all tiles and masks the pairs outside of the support."""

    def _near_tiles(self, problem: Problem, dtype: torch.dtype) -> None:
        return None


@dataclass(frozen=True)
class WindowSetting(Setting):
    """A measurement of a window on grids of a number of points."""

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{super().name}, {WINDOW}"

    @property
    def side(self) -> int:
        """Points along a side of a grid."""
        return isqrt(self.points)

    def problem(self, device: str) -> MLPProblem:
        """Return the problem of a batch of grids."""
        torch.manual_seed(0)
        sizes: dict[str, Any] = {} if device == "cuda" else {"hidden": 2, "rank": 2, "frequencies": 1}
        batch = BATCH if device == "cuda" else 1
        support = {"window": SIZE / self.side}
        kernel = MLPKernel(DIM, position_dim=2, heads=HEADS, support=support, **sizes).to(device)
        field = Field.on_grid(torch.randn(batch, self.side, self.side, DIM, device=device))
        values = torch.randn(batch, self.points, HEADS, self.head_dim, device=device)
        return converted(kernel.problem(field, field, values), self.dtype)

    def operations(self, problem: MLPProblem) -> int:
        """Return the operations that the pairs of the support need."""
        near = SIZE * self.side - SIZE // 2 * (SIZE // 2 + 1)  # along a side; beyond the border are no points
        return operations(problem) * near**2 // self.points**2

    def variants(self, problem: MLPProblem, device: str) -> dict[str, Variant]:
        """Return the ways to the sums, and attention and convolutions."""
        inputs, batch = leaves(problem), problem.shape[0]
        triton, every = (kind(interpret=device == "cpu") for kind in (TritonEvaluator, AllTiles))
        local = LocalEvaluator()
        image = torch.randn(batch, DIM, self.side, self.side, requires_grad=True, device=device, dtype=self.dtype)
        square = nn.Conv2d(DIM, DIM, 3, padding=1, device=device, dtype=self.dtype)
        depthwise = nn.Conv2d(DIM, DIM, SIZE, padding=SIZE // 2, groups=DIM, device=device, dtype=self.dtype)
        runs: dict[str, Variant] = {
            "triton": (lambda: triton(problem), inputs),
            "triton, all tiles": (lambda: every(problem), inputs),
            "eager PyTorch (local)": (lambda: local(problem), inputs),
            "conv2d 3 × 3": (lambda: square(image), [image, *square.parameters()]),
            "depthwise conv2d 5 × 5": (lambda: depthwise(image), [image, *depthwise.parameters()]),
        }
        if device == "cuda":  # on CPUs it has no backward pass
            runs["FlexAttention, block mask"] = self._flex(batch, device)
        return runs

    def _flex(self, batch: int, device: str) -> Variant:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        side = self.side

        def near(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            rows, columns = (i // side - j // side).abs(), (i % side - j % side).abs()
            return (rows <= SIZE // 2) & (columns <= SIZE // 2)

        mask = create_block_mask(near, None, None, self.points, self.points, device=device)
        shape = batch, HEADS, self.points, self.head_dim
        q, k, v = (torch.randn(shape, requires_grad=True, device=device, dtype=self.dtype) for _ in range(3))
        attention: Any = torch.compile(flex_attention, dynamic=False)
        return lambda: attention(q, k, v, block_mask=mask), [q, k, v]


def windows(device: str) -> list[Setting]:
    """Return the settings to measure."""
    sides, dtypes = (SIDES, (torch.bfloat16, torch.float32)) if device == "cuda" else ((8,), (torch.float32,))
    return [WindowSetting(side**2, dtype, "none", DIM // HEADS) for dtype in dtypes for side in sides]
