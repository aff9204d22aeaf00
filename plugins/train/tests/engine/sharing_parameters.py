"""A process of several that share parameters: `python sharing_parameters.py RANK PROCESSES FOLDER`.

Each case compares the gradients of all processes' batches with those of one model that holds all parameters; one
compares averages of the weights. The largest differences go to FOLDER/RANK.json.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from itnet_core import ITNetModel
from itnet_registry import create_model
from itnet_train import TrainConfig
from itnet_train.callbacks.averaging import Averaging, averaged_weights
from itnet_train.engine.parallel import create_mesh, share_parameters, share_points, whole_model, without_memory

PATCHES = {"name": "patch", "patch_size": 2}
SMALL: dict[str, Any] = {"width": 8, "kernel": {"heads": 2, "hidden": 4, "rank": 2}, "encoder": PATCHES}
HEAD = {"name": "classify", "classes": 3}


def blocks(**options: Any) -> ITNetModel:
    options = options or {"depth": 3}
    return create_model("itnet-nano", head=HEAD, **SMALL, **options)


def pyramid() -> ITNetModel:
    """A coarser grid, and query points that are those of an earlier block."""
    trunk = [{}, {"query": {"stride": 2}}, {"query": {"block": 0}}]
    return blocks(trunk=trunk)


def recomputed() -> ITNetModel:
    model = pyramid()
    model.trunk.recompute = True
    return model


def cases(processes: int) -> Iterator[tuple[str, Callable[[], ITNetModel], dict[str, Any]]]:
    yield "blocks", blocks, {}
    yield "a pyramid", pyramid, {}
    yield "gradient checkpointing", recomputed, {}
    yield "shares in the memory of the CPU", blocks, {"offload": True}
    yield "shared points", blocks, {"points": 2}
    if processes == 4:
        yield "two groups", pyramid, {"replicate": 2}
        yield "two groups, shared points", recomputed, {"replicate": 2, "points": 2}


def loss(model: nn.Module, images: Tensor) -> Tensor:
    out: Tensor = model(images).square().mean()
    return out


def differences(build: Callable[[], ITNetModel], processes: int, rank: int, degrees: dict[str, Any]) -> float:
    """Return the largest difference of gradients and weights."""
    torch.manual_seed(0)
    model = build().double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    whole, points = copy.deepcopy(model), degrees.get("points", 1)
    images = torch.randn(processes // points * 2, 3, 8, 8, dtype=torch.float64)
    loss(whole, images).backward()  # type: ignore[no-untyped-call]
    config = TrainConfig.model_validate({"devices": processes, "strategy": "fsdp", "parallel": degrees})
    mesh, empty = create_mesh(config, "cpu"), without_memory(model)
    if points > 1:
        share_points(model, mesh)
    share_parameters(model, mesh, config)
    own = images[rank // points * 2 :][:2]
    loss(model, own).backward()  # type: ignore[no-untyped-call]
    pairs = zip(model.parameters(), whole.parameters(), strict=True)
    gradients = [(ours.grad.full_tensor(), theirs.grad) for ours, theirs in pairs]  # type: ignore[union-attr]
    size = sum(parameter.to_local().numel() for parameter in model.parameters())  # type: ignore[attr-defined]
    share = processes // degrees.get("replicate", 1)
    assert size < 1.3 * sum(p.numel() for p in whole.parameters()) / share, "each process holds its share alone"
    gathered = whole_model(model, empty)
    if gathered is not None:
        gradients += zip(gathered.state_dict().values(), whole.state_dict().values(), strict=True)
    return max(float((ours - theirs).abs().max()) for ours, theirs in gradients)


def average_difference(processes: int, rank: int) -> float:
    """Return the largest difference of what a model computes with its weights, and with their average."""
    torch.manual_seed(0)
    model = pyramid().double()
    whole, images = copy.deepcopy(model), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    degrees = {"replicate": processes // 2}
    config = TrainConfig.model_validate({"devices": processes, "strategy": "fsdp", "parallel": degrees})
    mesh, empty = create_mesh(config, "cpu"), without_memory(model)
    share_parameters(model, mesh, config)
    found, sizes = [], []
    for trained in (model, whole):
        averaging, computed = Averaging(0.5), []
        averaging.start(trained)
        kept = averaging.average.values()
        sizes.append(sum((t.to_local() if isinstance(t, DTensor) else t).numel() for t in kept))
        optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
        for _ in range(3):
            optimizer.zero_grad()
            loss(trained, images).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            averaging.add(trained)
            with torch.inference_mode():  # as Lightning evaluates on GPUs
                computed.append(loss(trained, images))
                with averaged_weights(averaging, trained):
                    computed.append(loss(trained, images))
                computed.append(loss(trained, images))
        with averaged_weights(averaging, trained):
            saved = whole_model(trained, empty) if trained is model else trained
            if saved is not None and rank == 0:  # alone
                computed.append(loss(saved, images))
        found.append(torch.stack(computed).detach())
    shares, average = found
    assert sizes[0] < 0.65 * sizes[1], "each process averages its share alone"
    assert len(set(average.tolist())) == 5, "steps and averages differ, but in the first step"
    return float((shares - average).abs().max())


def main(rank: int, processes: int, folder: Path) -> None:
    store, patience = f"file://{folder}/store", timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=processes, timeout=patience)
    found = {name: differences(build, processes, rank, degrees) for name, build, degrees in cases(processes)}
    found["an average"] = average_difference(processes, rank)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
