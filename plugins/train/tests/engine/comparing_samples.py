"""A process of several whose loss compares samples: `python comparing_samples.py RANK PROCESSES FOLDER`.

Each case compares the loss of all processes' samples, and the mean of their gradients, with those of one process. The
largest differences go to FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from itnet_train.engine.joint_loss import joint_loss
from itnet_vision_language.tasks.retrieval import ImageTextRetrieval

CASES: dict[str, tuple[list[int], int]] = {
    "equal parts": ([3, 3, 3, 3], 1),
    "another number each": ([4, 2, 1, 3], 1),
    "no samples in one": ([3, 0, 2, 2], 1),
    "no samples at all": ([0, 0, 0, 0], 1),
    "the same samples in two": ([3, 3, 2, 2], 2),
}


def differences(rank: int, sizes: list[int], points: int, task: Any) -> float:
    """Return the largest difference of the loss and of the gradients."""
    torch.manual_seed(0)
    towers = nn.ModuleList([nn.Linear(5, 4).double() for _ in range(2)])
    apart = sizes[::points]
    pairs = [torch.randn(2, size, 5, dtype=torch.float64) for size in apart]
    labels = [torch.arange(size) % 2 + 10 * part for part, size in enumerate(apart)]

    def embed(pair: Tensor) -> Tensor:
        return torch.cat([tower(side) for tower, side in zip(towers, pair, strict=True)])

    part = rank // points
    stand_in = torch.ones(2, 1, 5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    mine = (pairs[part], labels[part]) if apart[part] else stand_in
    loss = joint_loss(task, embed(mine[0]), mine[1], points, counts=apart[part] > 0)
    gradients = torch.autograd.grad(loss, [*towers.parameters()])
    for gradient in gradients:  # as the processes' engine does
        dist.all_reduce(gradient)
        gradient /= dist.get_world_size()
    if not sum(sizes):
        return max(float(item.abs().max()) for item in (loss, *gradients))
    expected = task.loss(embed(torch.cat(pairs, dim=1)), torch.cat(labels))
    wanted = torch.autograd.grad(expected, [*towers.parameters()])
    both = zip((loss, *gradients), (expected, *wanted), strict=True)
    return max(float((actual - its).detach().abs().max()) for actual, its in both)


if __name__ == "__main__":
    rank, processes, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    rendezvous = (folder / "store").as_uri()
    dist.init_process_group("gloo", rendezvous, timedelta(seconds=60), world_size=processes, rank=rank)
    task = ImageTextRetrieval(root=str(folder))
    found = {name: differences(rank, sizes[:processes], points, task) for name, (sizes, points) in CASES.items()}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()
