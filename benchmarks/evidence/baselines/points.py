"""Networks of PyTorch Geometric for point clouds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP, EdgeConv, PointNetConv, PointTransformerConv, global_max_pool

from itnet_pointcloud.points import PointClouds
from itnet_registry import create

Sizes = tuple[int, int]


def _sizes(reference: Mapping[str, Any]) -> Sizes:
    task = create("task", **reference)
    return int(task.encoder_options["features"]), int(task.head["classes"])


def neighbours(positions: Tensor, count: int) -> Tensor:
    """Return edges from the `count` nearest points of each point, itself among them, (2, B · N · count).

    Args:
        positions: clouds of equal sizes, (B, N, c).
        count: number of neighbours.
    """
    clouds, size, _ = positions.shape
    nearest = torch.cdist(positions, positions).topk(count, largest=False).indices
    offset = size * torch.arange(clouds, device=positions.device).view(-1, 1, 1)
    targets = torch.arange(clouds * size, device=positions.device).repeat_interleave(count)
    return torch.stack([(nearest + offset).flatten(), targets])


def farthest(positions: Tensor, count: int) -> Tensor:
    """Return `count` points of each cloud, each the farthest from those before it, (B, count)."""
    chosen = [torch.zeros(len(positions), dtype=torch.int64, device=positions.device)]
    distances = positions.new_full(positions.shape[:2], torch.inf)
    for _ in range(count - 1):
        last = positions.gather(1, chosen[-1].view(-1, 1, 1).expand(-1, 1, positions.shape[-1]))
        distances = distances.minimum((positions - last).square().sum(-1))
        chosen.append(distances.argmax(1))
    return torch.stack(chosen, 1)


def _flat(clouds: PointClouds) -> tuple[Tensor, Tensor, Tensor]:
    """Return features with positions, positions, and the cloud of each point, one row a point."""
    count, size = clouds.weights.shape
    values = torch.cat([clouds.positions, clouds.features], -1).flatten(0, 1)
    batch = torch.arange(count, device=values.device).repeat_interleave(size)
    return values, clouds.positions.flatten(0, 1), batch


class PointNet(nn.Module):
    """PointNet without transform networks: an MLP at each point, the maximum, an MLP (Qi et al. 2017)."""

    def __init__(self, task: Mapping[str, Any], *, widths: Sequence[int], hidden: int, dropout: float = 0.3) -> None:
        super().__init__()
        features, classes = _sizes(task)
        self.points = MLP([3 + features, *widths], plain_last=False)
        self.head = MLP([widths[-1], hidden, classes], dropout=dropout)

    def forward(self, clouds: PointClouds) -> Tensor:
        """Return logits."""
        values, _, batch = _flat(clouds)
        logits: Tensor = self.head(global_max_pool(self.points(values), batch))
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
            centres = farthest(positions, count)
            places = positions.gather(1, centres.unsqueeze(-1).expand(-1, -1, 3))
            nearest = torch.cdist(places, positions).topk(self.count, largest=False).indices
            number, size = positions.shape[:2]
            offset = torch.arange(number).view(-1, 1, 1)
            edges = torch.stack(
                [(nearest + size * offset).flatten(), torch.arange(number * count).repeat_interleave(self.count)]
            )
            flat = level((values.flatten(0, 1), None), (positions.flatten(0, 1), places.flatten(0, 1)), edges)
            positions, values = places, flat.view(number, count, -1)
        number, count = positions.shape[:2]
        pooled = self.last(torch.cat([positions, values], -1).flatten(0, 1))
        logits: Tensor = self.head(global_max_pool(pooled, torch.arange(number).repeat_interleave(count)))
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
        values, places, batch = _flat(clouds)
        shape = clouds.weights.shape
        outputs = []
        for layer in self.layers:
            edges = neighbours(places.detach().view(*shape, -1), self.count)
            values = places = layer(values, edges)
            outputs.append(values)
        logits: Tensor = self.head(global_max_pool(self.last(torch.cat(outputs, -1)), batch))
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
        values, _, _ = _flat(clouds)
        values, positions = self.first(values), clouds.positions
        for level, attention in enumerate(self.attention):
            if level:
                centres = farthest(positions, self.points[level - 1])
                nearest = (
                    torch.cdist(positions.gather(1, centres.unsqueeze(-1).expand(-1, -1, 3)), positions)
                    .topk(self.count, largest=False)
                    .indices
                )
                number, size = positions.shape[:2]
                offset = size * torch.arange(number).view(-1, 1, 1)
                values = self.down[level - 1](values)[(nearest + offset).flatten()]
                values = values.view(number * centres.shape[1], self.count, -1).amax(1)
                positions = positions.gather(1, centres.unsqueeze(-1).expand(-1, -1, 3))
            edges = neighbours(positions, min(self.count, positions.shape[1]))
            values = values + attention(values, positions.flatten(0, 1), edges)
        number, size = positions.shape[:2]
        logits: Tensor = self.head(global_max_pool(values, torch.arange(number).repeat_interleave(size)))
        return logits
