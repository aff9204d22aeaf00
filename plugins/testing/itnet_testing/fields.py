"""Random fields for the checks."""

from __future__ import annotations

from operator import itemgetter

import torch

from itnet_core import AXES, Edges, Field, Kernel, map_tensors


def scattered(batch: int = 2, points: int = 11, dim: int = 8, *, seed: int = 0) -> Field:
    """Return a field of random values at random positions in [−1, 1]^4, with random weights that sum to 1.

    Example:
        >>> scattered(batch=2, points=5, dim=3).values.shape
        torch.Size([2, 5, 3])
    """
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, points, dim, generator=generator)
    positions = 2 * torch.rand(batch, points, len(AXES), generator=generator) - 1
    weights = 0.5 + torch.rand(batch, points, generator=generator)
    return Field(values, positions, weights / weights.sum(-1, keepdim=True))


def on_a_line(seed: int, dim: int = 8) -> Field:
    """Return a float64 field of random values at seven equal steps of time, with equal weights."""
    return Field.on_grid(scattered(2, 7, dim, seed=seed).values.to(torch.float64), axes="t")


def on_an_image(seed: int, dim: int = 8) -> Field:
    """Return a float64 field of random values on an image grid of 4 × 4, with random weights."""
    field = scattered(2, 16, dim, seed=seed).to(torch.float64)
    return Field.on_grid(field.values.reshape(2, 4, 4, dim), axes="yx", weights=field.weights)


def with_edges(field: Field, count: int = 4) -> Field:
    """Return the field with up to `count` random edges to each point, some of them double, and none to the last."""
    generator = torch.Generator().manual_seed(0)
    shape = *field.weights.shape, count
    sources = torch.randint(shape[1], shape, generator=generator)
    weights = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.7)
    weights[:, -1] = 0
    return field.with_edges(Edges(sources, weights.to(field.weights)))


def with_read(field: Field, kernel: type[Kernel]) -> Field:
    """Return the field with random attributes, and edges, that a kernel reads."""
    batch, points, _ = field.values.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        field = field.with_attributes(**kernel.example_attributes(batch, points))
    return with_edges(field) if "edges" in kernel.reads else field


def permuted(field: Field, order: torch.Tensor) -> Field:
    """Return the field with its points permuted; the result has no grid."""
    points = Field(field.values[:, order], field.positions[:, order], field.weights[:, order])
    points = points.with_attributes(**{name: tensor[:, order] for name, tensor in field.points.attributes.items()})
    if field.points.edges is None:
        return points
    sources, weights = field.points.edges
    return points.with_edges(Edges(order.argsort()[sources[:, order]], weights[:, order]))


def with_padding(field: Field, points: int = 3) -> Field:
    """Append points of weight 0 at random positions and with huge values."""
    batch, _, dim = field.values.shape
    far = scattered(batch, points, dim, seed=99).to(field.values)
    parts = ((field.values, 1e4 * far.values), (field.positions, far.positions), (field.weights, 0 * far.weights))
    values, positions, weights = (torch.cat(part, dim=1) for part in parts)
    padded = Field(values, positions.to(field.positions), weights.to(field.weights))
    attributes = {name: torch.cat([t, t[:, :points]], dim=1) for name, t in field.points.attributes.items()}
    padded = padded.with_attributes(**attributes)
    if field.points.edges is None:
        return padded
    return padded.with_edges(Edges(*(torch.nn.functional.pad(part, (0, 0, 0, points)) for part in field.points.edges)))


def sample(field: Field, number: int) -> Field:
    """Return one sample of a field as a batch of one."""
    return map_tensors(field, itemgetter(slice(number, number + 1)))
