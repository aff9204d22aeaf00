"""A process of several that share the points of fields: `python sharing_processes.py RANK PROCESSES FOLDER`.

Each case applies an operator or a model to a whole field, and to this process's part of it. The largest differences of
values, and of gradients summed over the processes, go to FOLDER/RANK.json.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, MLPKernel, TiledEvaluator, Trunk
from itnet_kernels import AttentionKernel, SumKernel
from itnet_registry import create, create_model, default_registry
from itnet_testing.fields import scattered, with_edges, with_padding

DIM, POINTS = 8, 13
WINDOW = {"window": 0.8}
OPTIONS: dict[str, dict[str, Any]] = {
    "itnet-kernels/convolution": {"spacing": 0.3},
    "itnet-kernels/skeleton": {"pivots": 5, "mlp": {"heads": 2, "hidden": 6, "rank": 3, "frequencies": 2}},
    "itnet-kernels/scaled": {"kernel": "gaussian"},
    "itnet-kernels/sum": {"kernels": ["gaussian", "attention"]},
    "itnet-kernels/product": {"kernels": ["gaussian", "mlp"]},
}
OPERATORS: dict[str, Callable[[], IntegralOperator]] = {
    "softmax": lambda: operator(MLPKernel(DIM, normalization="softmax")),
    "window": lambda: operator(MLPKernel(DIM, support=WINDOW)),
    "softmax in a window": lambda: operator(MLPKernel(DIM, normalization="softmax", support=WINDOW | {"edge": 0.3})),
    "softmax without pairs": lambda: operator(MLPKernel(DIM, normalization="softmax", support={"radius": 1e-3})),
    "causal": lambda: operator(MLPKernel(DIM, normalization="softmax", support={"causal": "t"})),
    "values of all heads": lambda: operator(MLPKernel(DIM, values="full")),
    "tiled": lambda: operator(MLPKernel(DIM), evaluator=TiledEvaluator(query_tile=2, key_tile=3)),
    "both normalizations": lambda: operator(SumKernel.of(MLPKernel(DIM), AttentionKernel(DIM))),
    "a sampler": lambda: operator(MLPKernel(DIM), sampler=create("sampler", "landmarks", dim=DIM, count=4)),
}


def operator(kernel: Any, **options: Any) -> IntegralOperator:
    return IntegralOperator(DIM, kernel, **options)


def of_name(name: str) -> IntegralOperator:
    return operator(create("kernel", name, dim=DIM, **OPTIONS.get(name, {})))


def cases() -> Iterator[tuple[str, Callable[[], nn.Module], Field]]:
    """Yield the name of each case, a module, and a whole field."""
    field = with_padding(scattered(2, POINTS - 3, DIM))
    for component in default_registry().components("kernel"):
        yield component.id, partial(of_name, component.id), with_edges(field) if "graph" in component.id else field
    for name, build in OPERATORS.items():
        yield name, build, field
    for name in ("itnet-core/mlp", "itnet-kernels/skeleton"):
        yield f"a whole query, {name}", partial(OverSharedKeys, name), field
    yield "fewer points than processes", OPERATORS["softmax"], scattered(2, 1, DIM)
    grid = Field.on_grid(torch.randn(3, 4, 6, DIM), axes="yx")
    for preset in ("itnet-pyramid-nano", "operator-nano", "itnet-nano"):
        yield preset, partial(trunk, preset=preset), grid
    yield "a scan", partial(trunk, preset="itnet-nano", kernel="s4d", depth=2), grid
    yield "latents", partial(trunk, preset="itnet-nano", trunk=[{"query": {"latents": 5}}, {"repeat": 2}]), field


def trunk(**model: Any) -> Trunk:
    """Return the trunk of a small model."""
    torch.manual_seed(0)
    built = create_model(**{"width": DIM, "heads": {}, "encoder": {"name": "field", "channels": DIM}, **model})
    return built.trunk.train()


def apply(module: nn.Module, field: Field, group: Any) -> Field:
    """Apply a module to a whole field, by the processes of a group if there is one, and return the whole result."""
    if isinstance(module, Trunk):
        module.group = group
        return module(field)
    return module(field) if group is None else module(field.shard(group)).gather()


def outcome(module: nn.Module, field: Field, group: Any) -> list[Tensor]:
    """Return the result, and the gradients of the field's values and of all parameters."""
    module = copy.deepcopy(module)
    values = field.values.clone().requires_grad_()
    torch.manual_seed(1)
    out = apply(module, field.with_values(values), group).values
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()  # type: ignore[no-untyped-call]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in (values, *module.parameters())]
    if group is not None:
        for grad in grads:
            dist.all_reduce(grad, group=group)
            grad /= dist.get_world_size(group)
    return [out.detach(), *grads, *module.buffers()]


class OverSharedKeys(nn.Module):
    """An operator from a whole field over the points of another, which processes may share."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.inner, self.query = of_name(name), scattered(2, 4, DIM, seed=5)

    def forward(self, key: Field) -> Field:
        return self.inner(self.query, key)


def largest_tile() -> int:
    """Return the most pairs that a process computes k of at a time."""
    kernel, field, sizes = MLPKernel(DIM, heads=1), scattered(1, POINTS, DIM), []
    kernel.register_forward_hook(lambda module, inputs, k: sizes.append(k.numel()))
    operator(kernel)(field.shard(dist.group.WORLD))
    return max(sizes)


def main(rank: int, processes: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes, timeout=timedelta(seconds=60)
    )
    found: dict[str, float] = {"largest tile of the ring": largest_tile()}
    for name, build, field in cases():
        torch.manual_seed(0)
        module = build().double()
        pairs = zip(*(outcome(module, field, group) for group in (None, dist.group.WORLD)), strict=True)
        found[name] = max(float((a - b).abs().max() / a.abs().max().clamp(min=1)) for a, b in pairs if a.numel())
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
