"""Factorisation of a trained MLP kernel into a skeleton, with its error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from itnet_core import Field, Kernel, MLPKernel
from itnet_kernels.errors import FactorizationError
from itnet_kernels.low_rank.pivots import choose_pivots, errors_by_rank, fit_core
from itnet_kernels.low_rank.skeleton import SkeletonKernel

HELD_OUT_SAMPLES, HELD_OUT_POINTS = 16, 256


@dataclass(frozen=True)
class Factorization:
    """Result of `factorize`.

    Example:
        >>> kernel = MLPKernel(8, heads=1, inputs=("displacement",), activation="tanh")
        >>> str(factorize(kernel, Field.on_grid(torch.randn(4, 50, 8), axes="t")))
        '... pivots; error of each head 0...%; tolerance 1.00% reached'

    Attributes:
        kernel: the kernel of low rank.
        errors: of each head, the root mean square of k̃ − k relative to that of k, over held-out pairs of points of
            the same field.
        tolerance: the configured error.
        fitted: the error of each head for every number of pivots from 1 on, over the pairs of the fit, (pivots, heads).
    """

    kernel: SkeletonKernel
    errors: tuple[float, ...]
    tolerance: float
    fitted: Tensor

    @property
    def reached(self) -> bool:
        """Whether every head's error is within the tolerance."""
        return max(self.errors) <= self.tolerance

    def __str__(self) -> str:
        errors = ", ".join(f"{error:.2%}" for error in self.errors)
        end = "reached" if self.reached else "not reached"
        return f"{self.kernel.config.pivots} pivots; error of each head {errors}; tolerance {self.tolerance:.2%} {end}"


@torch.no_grad()
def factorize(
    kernel: Kernel,
    query: Field,
    key: Field | None = None,
    *,
    rank: int = 64,
    tolerance: float = 0.01,
    min_pivots: int = 1,
    points: int = 1024,
    seed: int = 0,
) -> Factorization:
    """Approximate a trained MLP kernel by a skeleton (CUR) factorisation, on fields like `query` and `key`.

    Adaptive cross approximation chooses the pivots over random pairs of points of all samples, and least squares over
    the same pairs gives the core. It takes as many pivots as the tolerance needs, at most `rank`. A quarter of the
    samples (of one sample, of its points) is held out for the error.

    Example:
        >>> field = Field(torch.randn(4, 50, 8), torch.rand(4, 50, 4))
        >>> factorization = factorize(MLPKernel(8), field, rank=16)
        >>> factorization.kernel.config.pivots
        16

    Args:
        kernel: an `MLPKernel` without a support and with the normalization `none`. It is not changed.
        query: fields of query points, with the values that reach the kernel in its operator.
        key: fields that are integrated over; `query` by default.
        rank: largest number of pivots of each side.
        tolerance: the error of each head to stop at, relative to the root mean square of the head.
        min_pivots: smallest number of pivots, whatever the tolerance; a kernel of lower rank gets unused duplicates.
        points: query points and key points of the fit, of all samples together.
        seed: of the random choices.

    Raises:
        FactorizationError: the kernel does not separate, a field does not fit it, there are too few points, or a number
            is out of range.
    """
    obstacle = factorization_obstacle(kernel)
    if obstacle or not isinstance(kernel, MLPKernel):
        raise FactorizationError("factorize(kernel)", found=obstacle, expected=EXPECTED, hint=HINT)
    sides = [query] if key is None else [query, key]
    _check(kernel, sides, rank, tolerance, points)
    generator = torch.Generator().manual_seed(seed)
    held_out = [_hold_out(side, generator) for side in sides]
    fit = [_sample(side, side.mask & ~out, points, generator) for side, out in zip(sides, held_out, strict=True)]
    matrices = _matrices(kernel, fit[0], fit[-1]).double()
    rows, columns = choose_pivots(matrices, rank, 0.0 if min_pivots > 1 else tolerance)
    fitted = errors_by_rank(matrices, rows, columns)
    good = (fitted.amax(1) <= tolerance).nonzero()
    used = min(len(rows), max(min_pivots, int(good[0]) + 1)) if len(good) else len(rows)
    rows, columns, count = rows[:used], columns[:used], max(used, min_pivots)
    skeleton = SkeletonKernel(kernel.content.in_features, pivots=count, mlp=kernel.config.model_dump())
    skeleton.to(kernel.first.weight).train(kernel.training)
    skeleton.exact.load_state_dict(kernel.state_dict())
    # The inverses of smaller singular values would magnify the kernel's own rounding beyond their contribution.
    cutoff = torch.finfo(kernel.first.weight.dtype).eps ** (2 / 3)
    skeleton.core.zero_()
    skeleton.core[:, : len(columns), : len(rows)] = fit_core(matrices, rows, columns, cutoff).to(skeleton.core)
    rows, columns = (torch.cat([pivots, pivots[-1:].expand(count - len(pivots))]) for pivots in (rows, columns))
    skeleton.pivot_values.copy_(torch.cat([fit[0].values[0, rows], fit[-1].values[0, columns]]))
    skeleton.pivot_positions.copy_(torch.cat([fit[0].positions[0, rows], fit[-1].positions[0, columns]]))
    pairs = _held_out_pairs(sides, held_out, generator)
    return Factorization(skeleton, _errors(kernel, skeleton, pairs), tolerance, fitted)


def _check(kernel: MLPKernel, sides: list[Field], rank: int, tolerance: float, points: int) -> None:
    """Refuse numbers out of range, and fields that do not fit the kernel."""
    for name, number, low in (("rank", rank, 1), ("tolerance", tolerance, 0), ("points", points, 2)):
        if not number >= low or number == inf:
            raise FactorizationError(f"factorize({name})", found=f"{number}", expected=f"a number of at least {low}")
    channels, dtype = kernel.content.in_features, kernel.first.weight.dtype
    for name, side in zip(("query", "key"), sides, strict=False):
        kernel.check_coordinates(side, kernel.config.position_dim)
        if side.dim != channels or side.values.dtype != dtype or len(side.values) != len(sides[0].values):
            raise FactorizationError(
                f"factorize({name})",
                found=f"{side.values.dtype} of shape {tuple(side.values.shape)}",
                expected=f"{dtype} with the kernel's {channels} channels, and as many samples on both sides",
            )
        if not bool(side.without_padding().values.isfinite().all()):
            raise FactorizationError(f"factorize({name})", found="values that are not finite", expected="finite values")


EXPECTED = "an MLPKernel with every pair in its support and normalization 'none'"
HINT = "Leave it exact, or train a model with the kernel 'low-rank' instead."


def factorization_obstacle(kernel: Kernel) -> str:
    """Return why a kernel cannot be factorised, or ""."""
    if kernel.normalization != "none":
        return "normalization 'softmax': e^k would have to be of low rank, and an approximation of it positive"
    if type(kernel) is not MLPKernel:  # a subclass may have another `tile`
        return f"{type(kernel).__name__}, which is not an MLPKernel"
    if not kernel.support.everywhere:
        return f"{kernel.support!r}, which removes pairs: the triangle or band that remains is not of low rank"
    return ""


def _hold_out(field: Field, generator: torch.Generator) -> Tensor:
    """Choose the points for the error, (B, N): those of the last quarter of samples, or a quarter of one sample's."""
    batch, points = field.mask.shape
    if batch > 1:
        last = torch.arange(batch, device=field.device) >= batch - max(1, batch // 4)
        return field.mask & last.unsqueeze(1)
    chosen = torch.randperm(points, generator=generator)[: max(1, points // 4)]
    return field.mask & torch.zeros_like(field.mask).index_fill(1, chosen.to(field.device), True)


def _sample(field: Field, mask: Tensor, count: int, generator: torch.Generator) -> Field:
    """Draw at most `count` of the points in a mask, (B, N), of all samples together, as a field of one sample."""
    indices = mask.flatten().nonzero().squeeze(1)
    if len(indices) < 1:
        raise FactorizationError(
            "factorize(query)", found="no point for the fit or for the error", expected="at least two points"
        )
    chosen = indices[torch.randperm(len(indices), generator=generator)[:count].to(indices.device)]
    return Field(field.values.flatten(0, 1)[chosen].unsqueeze(0), field.positions.flatten(0, 1)[chosen].unsqueeze(0))


def _held_out_pairs(
    sides: list[Field], held_out: list[Tensor], generator: torch.Generator
) -> Iterator[tuple[Field, Field]]:
    """Yield query points and key points of each held-out sample."""
    samples = held_out[0].any(1).nonzero().squeeze(1)[:HELD_OUT_SAMPLES]
    for sample in samples.tolist():
        drawn = []
        for side, out in zip(sides, held_out, strict=True):
            mask = torch.zeros_like(out)
            mask[sample] = out[sample]
            drawn += [_sample(side, mask, HELD_OUT_POINTS, generator) for _ in range(3 - len(sides))]
        yield drawn[0], drawn[1]


def _matrices(kernel: Kernel, query: Field, key: Field, rows: int = 128) -> Tensor:
    """Compute k over all pairs of one sample's points, (heads, n, m), some rows at a time."""
    query_terms, key_terms = kernel.project(query, key)
    starts = range(0, query.values.shape[1], rows)
    parts = (tree_map(lambda terms: terms[:, start : start + rows], query_terms) for start in starts)  # noqa: B023
    return torch.cat([kernel.tile(part, key_terms) for part in parts], dim=2)[0]


def _errors(exact: Kernel, approximate: Kernel, pairs: Iterator[tuple[Field, Field]]) -> tuple[float, ...]:
    errors, squares = torch.zeros(2, exact.heads, dtype=torch.float64)
    for query, key in pairs:
        k, approximation = (_matrices(kernel, query, key).double().cpu() for kernel in (exact, approximate))
        errors += (approximation - k).square().sum((1, 2))
        squares += k.square().sum((1, 2))
    return tuple((errors / squares.clamp(min=torch.finfo(torch.float64).tiny)).sqrt().tolist())
