"""Networks of PyTorch Geometric for point clouds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP, EdgeConv, PointNetConv, PointTransformerConv

from itnet_core.models.neighbours import farthest_points, nearest_points
from itnet_core.operator.points import gather_points
from itnet_pointcloud.points import PointClouds
from itnet_registry import create

Sizes = tuple[int, int]


def _sizes(reference: Mapping[str, Any]) -> Sizes:
    task = create("task", **reference)
    return int(task.encoder_options["features"]), int(task.head["classes"])


def neighbours(places: Tensor, positions: Tensor, count: int) -> Tensor:
    """Return edges to each place, (B, n, c), from the `count` nearest positions, (B, m, c): (2, B · n · count)."""
    mask = torch.ones(positions.shape[:2], dtype=torch.bool, device=positions.device)
    nearest, _ = nearest_points(places, positions, mask, count)
    clouds, size, _ = positions.shape
    offset = size * torch.arange(clouds, device=positions.device).view(-1, 1, 1)
    targets = torch.arange(clouds * places.shape[1], device=positions.device).repeat_interleave(count)
    return torch.stack([(nearest + offset).flatten(), targets])


def farthest(positions: Tensor, count: int) -> Tensor:
    """Return `count` positions of each cloud, (B, m, 3), each the farthest from those before it."""
    mask = torch.ones(positions.shape[:2], dtype=torch.bool, device=positions.device)
    return gather_points(positions, farthest_points(positions, mask, count))


def _pooled(values: Tensor, clouds: int) -> Tensor:
    """Return the maximum over the points of each cloud, of clouds of equal sizes."""
    return values.view(clouds, -1, values.shape[-1]).amax(1)


def _flat(clouds: PointClouds) -> Tensor:
    """Return positions and features, one row a point."""
    return torch.cat([clouds.positions, clouds.features], -1).flatten(0, 1)


class PointNet(nn.Module):
    """PointNet without transform networks: an MLP at each point, the maximum, an MLP (Qi et al. 2017)."""

    def __init__(self, task: Mapping[str, Any], *, widths: Sequence[int], hidden: int, dropout: float = 0.3) -> None:
        super().__init__()
        features, classes = _sizes(task)
        self.points = MLP([3 + features, *widths], plain_last=False)
        self.head = MLP([widths[-1], hidden, classes], dropout=dropout)

    def forward(self, clouds: PointClouds) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(_pooled(self.points(_flat(clouds)), len(clouds.weights)))
        return logits


class PointNet2(nn.Module):
    """PointNet++ of two levels of farthest points and their neighbours (Qi et al. 2017)."""

    def __init__(
        self,
        task: Mapping[str, Any],
        *,
        points: Sequence[int] = (128, 32),
        widths: Sequence[Sequence[int]],
        hidden: int,
        count: int = 32,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        features, classes = _sizes(task)
        self.points, self.count = points, count
        inputs = [features, *(w[-1] for w in widths)]
        self.levels = nn.ModuleList(
            PointNetConv(MLP([3 + i, *w], plain_last=False), add_self_loops=False)
            for i, w in zip(inputs, widths[:-1], strict=False)
        )
        self.last = MLP([3 + inputs[len(widths) - 1], *widths[-1]], plain_last=False)
        self.head = MLP([widths[-1][-1], hidden, classes], dropout=dropout)

    def forward(self, clouds: PointClouds) -> Tensor:
        """Return logits."""
        positions, values = clouds.positions, clouds.features
        for level, count in zip(self.levels, self.points, strict=True):
            places = farthest(positions, count)
            edges = neighbours(places, positions, self.count)
            flat = level((values.flatten(0, 1), None), (positions.flatten(0, 1), places.flatten(0, 1)), edges)
            positions, values = places, flat.view(*places.shape[:2], -1)
        points = self.last(torch.cat([positions, values], -1).flatten(0, 1))
        logits: Tensor = self.head(_pooled(points, len(positions)))
        return logits


class DGCNN(nn.Module):
    """Edge convolutions over the nearest points in the space of the features (Wang et al. 2019)."""

    def __init__(
        self,
        task: Mapping[str, Any],
        *,
        widths: Sequence[int],
        last: int,
        hidden: int,
        count: int = 16,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        features, classes = _sizes(task)
        inputs = [3 + features, *widths]
        self.count = count
        self.layers = nn.ModuleList(
            EdgeConv(MLP([2 * i, o], plain_last=False), aggr="max") for i, o in zip(inputs, widths, strict=False)
        )
        self.last = MLP([sum(widths), last], plain_last=False)
        self.head = MLP([last, hidden, classes], dropout=dropout)

    def forward(self, clouds: PointClouds) -> Tensor:
        """Return logits."""
        values, places, outputs = _flat(clouds), clouds.positions, list[Tensor]()
        for layer in self.layers:
            values = layer(values, neighbours(places, places, self.count))
            places = values.detach().view(*clouds.weights.shape, -1)
            outputs.append(values)
        logits: Tensor = self.head(_pooled(self.last(torch.cat(outputs, -1)), len(places)))
        return logits


class PointTransformer(nn.Module):
    """Levels of vector attention over neighbours, with farthest points between them (Zhao et al. 2021)."""

    def __init__(
        self,
        task: Mapping[str, Any],
        *,
        widths: Sequence[int],
        points: Sequence[int],
        hidden: int,
        count: int = 16,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        features, classes = _sizes(task)
        self.points, self.count = points, count
        self.first = MLP([3 + features, widths[0]], plain_last=False)
        self.attention = nn.ModuleList(PointTransformerConv(w, w, add_self_loops=False) for w in widths)
        self.down = nn.ModuleList(MLP([i, o], plain_last=False) for i, o in itertools.pairwise(widths))
        self.head = MLP([widths[-1], hidden, classes], dropout=dropout)

    def forward(self, clouds: PointClouds) -> Tensor:
        """Return logits."""
        values, positions = self.first(_flat(clouds)), clouds.positions
        for level, attention in enumerate(self.attention):
            if level:
                places = farthest(positions, self.points[level - 1])
                sources, _ = neighbours(places, positions, self.count)
                values = _pooled(self.down[level - 1](values)[sources], len(sources) // self.count)
                positions = places
            edges = neighbours(positions, positions, min(self.count, positions.shape[1]))
            values = values + attention(values, positions.flatten(0, 1), edges)
        logits: Tensor = self.head(_pooled(values, len(positions)))
        return logits
