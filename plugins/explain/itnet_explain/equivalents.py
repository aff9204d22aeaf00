"""The nearest convolution, distance kernel, recurrence and attention to a kernel, by the variance that they explain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from itnet_core.operator.evaluators.dense import pair_values
from itnet_explain.recording import Call

CONTENT_RANK, RIDGE = 16, 1e-4
BINS = {1: 65, 2: 25, 3: 9, 4: 5}
"""Bins of each coordinate of a displacement, by the number of coordinates, where displacements do not repeat."""

CLOSE = 0.01
"""A simpler kernel is named if it explains this much less at most."""

CONSTANT = 1e-8
"""Variance over second moment below which a kernel counts as constant."""


@dataclass(frozen=True)
class DrawnPairs:
    """Values of a kernel at pairs of points as they occur, each with its own content.

    Attributes:
        k: (pairs, heads).
        displacement: x − y in the coordinates that vary, (pairs, p).
        query: u(x) in principal components, (pairs, r).
        key: u(y) in principal components, (pairs, r).
        fitted: the pairs of the fit, bool, (pairs,); the others test it. They are of different samples.
    """

    k: Tensor
    displacement: Tensor
    query: Tensor
    key: Tensor
    fitted: Tensor


@torch.no_grad()
def draw(call: Call, *, queries: int = 24, keys: int = 48, seed: int = 0) -> DrawnPairs:
    """Compute a kernel at pairs of points of every sample, at most `queries` × `keys` of each, within the support."""
    generator = torch.Generator().manual_seed(seed)
    batch, parts = len(call.query.values), []
    for sample in range(batch):
        rows = _some(call.query.mask[sample], queries, generator)
        problem = call.problem(sample, rows)
        x, y = problem.query.positions, problem.key.positions
        k = pair_values(problem)[0]
        inside = call.kernel.support.mask(x, y)[0] & call.key.mask[sample] & k[0].isfinite()
        chances = inside.float() * torch.rand(inside.shape, generator=generator).to(inside.device)
        columns = chances.topk(min(keys, inside.shape[1]), 1).indices
        kept = inside.gather(1, columns).flatten()
        values = k.gather(2, columns.expand(len(k), -1, -1)).flatten(1).T
        displacement = (x[0].unsqueeze(1) - y[0][columns]).flatten(0, 1)
        u = call.query.values[sample][rows].unsqueeze(1).expand(-1, columns.shape[1], -1).flatten(0, 1)
        v = call.key.values[sample][columns].flatten(0, 1)
        which = torch.full((len(kept),), sample % 2 == 0)
        parts.append([tensor.cpu()[kept.cpu()] for tensor in (values, displacement, u, v, which)])
    k, displacement, u, v, fitted = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    moving = displacement.double().abs().amax(0) > 1e-6
    return DrawnPairs(k.double(), displacement[:, moving].double(), _components(u), _components(v), fitted)


def explained(pairs: DrawnPairs) -> dict[str, Tensor]:
    """Return the share of k's variance, on the samples that were left out of the fit, by kernel, (heads,).

    Simpler kernels come first. A share may be negative where the fit is worse than the mean; NaN stands for a constant.
    """
    fits: Mapping[str, Callable[[DrawnPairs], Tensor]] = {
        "distance": lambda p: _by_group(p, p.displacement.norm(dim=1, keepdim=True)),
        "recurrence": _decay,
        "convolution": lambda p: _by_group(p, p.displacement),
        "attention": _bilinear,
    }
    test = ~pairs.fitted
    mean = pairs.k[pairs.fitted].mean(0)
    total = (pairs.k[test] - mean).square().mean(0)
    constant = total <= CONSTANT * pairs.k[test].square().mean(0)
    found = {}
    for name, fit in fits.items():
        if name != "attention" and not pairs.displacement.shape[1]:
            continue
        if name == "recurrence" and pairs.displacement.shape[1] != 1:
            continue
        share = 1 - (pairs.k[test] - fit(pairs)).square().mean(0) / total
        found[name] = torch.where(constant, torch.nan, share)
    return found


def nearest(shares: Mapping[str, float]) -> str:
    """Return the simplest of the kernels that explain about as much as the best one; "constant" if none is needed."""
    if not shares or any(share != share for share in shares.values()):
        return "constant"
    best = max(shares.values())
    return next(name for name, share in shares.items() if share >= best - CLOSE)


def _by_group(pairs: DrawnPairs, coordinates: Tensor) -> Tensor:
    """Predict by the mean over pairs of the same coordinates, such as the displacement."""
    labels, count = _labels(coordinates)
    fitted = pairs.fitted
    sums = torch.zeros(count, pairs.k.shape[1], dtype=pairs.k.dtype).index_add_(0, labels[fitted], pairs.k[fitted])
    numbers = torch.bincount(labels[fitted], minlength=count).unsqueeze(1)
    means = torch.where(numbers > 0, sums / numbers.clamp(min=1), pairs.k[fitted].mean(0))
    return means[labels[~fitted]]


def _labels(coordinates: Tensor) -> tuple[Tensor, int]:
    """Number the distinct coordinates, or bins of them where they do not repeat."""
    extent = coordinates.abs().amax().clamp(min=1e-12)
    fine = (coordinates / extent * 1e4).round()
    groups, labels = torch.unique(fine, dim=0, return_inverse=True)
    if len(groups) <= len(coordinates) / 8:
        return labels, len(groups)
    bins = BINS[min(coordinates.shape[1], 4)]
    low, high = coordinates.amin(0), coordinates.amax(0)
    cells = ((coordinates - low) / (high - low).clamp(min=1e-12) * bins).long().clamp(max=bins - 1)
    groups, labels = torch.unique(cells, dim=0, return_inverse=True)
    return labels, len(groups)


def _decay(pairs: DrawnPairs) -> Tensor:
    """Predict by c e^(−λ (t − s)) over the past, 0 over the future, with the best λ for each head."""
    lag = pairs.displacement[:, :1]
    past = lag >= -1e-9
    rates = torch.logspace(-2, 2, 60, dtype=lag.dtype) / lag.abs().amax()
    curves = torch.where(past, (-rates * lag.clamp(min=0)).exp(), 0.0)  # (pairs, rates)
    fit, k = curves[pairs.fitted], pairs.k[pairs.fitted]
    slopes = fit.T @ k / fit.square().sum(0).unsqueeze(1)  # (rates, heads)
    gain = slopes.square() * fit.square().sum(0).unsqueeze(1)
    best = gain.argmax(0)
    return curves[~pairs.fitted][:, best] * slopes.gather(0, best.unsqueeze(0))


def _bilinear(pairs: DrawnPairs) -> Tensor:
    """Predict by ⟨W_q u(x), W_k u(y)⟩ with biases, fitted by ridge regression."""
    ones = torch.ones(len(pairs.k), 1, dtype=pairs.k.dtype)
    u, v = (torch.cat([ones, side], 1) for side in (pairs.query, pairs.key))
    features = (u.unsqueeze(2) * v.unsqueeze(1)).flatten(1)
    fit, k = features[pairs.fitted], pairs.k[pairs.fitted]
    gram = fit.T @ fit
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    return features[~pairs.fitted] @ torch.linalg.solve(gram, fit.T @ k)


def _components(values: Tensor) -> Tensor:
    """Return values in their principal components, scaled to unit variance, (pairs, at most 16)."""
    centred = values.double() - values.double().mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    kept = (variances > 1e-10 * variances[-1].clamp(min=1e-30)).nonzero().squeeze(1)[-CONTENT_RANK:]
    return centred @ directions[:, kept] / variances[kept].sqrt()


def _some(mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose at most `count` of the points in a mask, in order."""
    points = mask.nonzero().squeeze(1)
    chosen = torch.randperm(len(points), generator=generator)[:count].sort().values
    return points[chosen.to(points.device)]
