"""What a network costs: parameters, FLOPs of a sample, time of a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from measuring import interleaved
from provenance import provenance
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evidence.contest import Contest
from evidence.running import batches
from itnet_core import ITNetModel, Task
from itnet_core.models.trunk import Trunk
from itnet_registry import create, default_registry
from itnet_registry.build.trunk_table import trunk_table
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_train.config import TrainConfig
from itnet_train.engine.optimizer import create_optimizer

Cost = dict[str, Any]


class Costs(NamedTuple):
    """The costs of a contest's networks, and where they were measured."""

    where: str
    networks: Mapping[str, Cost]


def measure(contest: Contest, seconds: float) -> Costs:
    """Return the cost of each trained network; the steps run interleaved on one thread.

    Each has `flops` of a sample, forward, and `milliseconds` of a step, the median.
    """
    torch.set_num_threads(1)
    task: Task = create("task", **contest.task_of())
    batch = next(batches(task, "train", contest.train["batch_size"]))
    trained = [entry for entry in contest.networks if not entry.fitted]
    modules = {entry.name: contest.build(entry, 0) for entry in trained}
    config = TrainConfig(**contest.train_section(quick=False))
    steps = {name: _step(module, task, batch, config) for name, module in modules.items()}
    times = interleaved(steps, seconds)
    found = {
        name: {
            "flops": flops(module.eval(), batch.inputs) / len(batch.targets),
            "milliseconds": 1000 * median(times[name]),
        }
        for name, module in modules.items()
    }
    return Costs(provenance(threads=1), found)


def _step(module: nn.Module, task: Task, batch: Any, config: TrainConfig) -> Callable[[], None]:
    return partial(_train_step, module.train(), create_optimizer(module, config), task, batch)


def _train_step(module: nn.Module, optimizer: torch.optim.Optimizer, task: Task, batch: Any) -> None:
    optimizer.zero_grad()
    task.loss(module(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def flops(module: nn.Module, inputs: Any) -> float:
    """Return the FLOPs of the matrix products of a batch, forward; two for each multiply-add.

    torch does not count recurrent layers, and a sum over pairs is an operation of our own: the former count two for
    each weight and point, the latter as `itnet info` counts them.
    """
    own = isinstance(module, ITNetModel) and isinstance(module.trunk, Trunk)
    recurrent = _Recurrent(module)
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused layers are not counted
    with FlopCounterMode(display=False) as counter:
        [encoder] = module.encoders.values() if isinstance(module, ITNetModel) and own else [module]
        out = encoder(inputs)
    torch.backends.mha.set_fastpath_enabled(fused)
    total = counter.get_total_flops() + recurrent.total
    if isinstance(module, ITNetModel) and own:
        rows = trunk_table(
            default_registry(), CompleteModelConfig.model_validate(module.config), out.grid or out.values.shape[1:2]
        )
        total += len(out.values) * sum(row["flops"] for row in rows)
    return float(total)


class _Recurrent:
    """Counts the FLOPs of a module's recurrent layers while it runs."""

    def __init__(self, module: nn.Module) -> None:
        self.total = 0
        for part in module.modules():
            if isinstance(part, nn.RNNBase):
                part.register_forward_hook(self._count)

    def _count(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        values = inputs[0].data if isinstance(inputs[0], nn.utils.rnn.PackedSequence) else inputs[0]
        points = values.numel() // values.shape[-1]
        self.total += 2 * points * sum(p.numel() for p in layer.parameters() if p.ndim > 1)
