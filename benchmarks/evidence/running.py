"""One run of a contest: build, train by the common loop, test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stderr, suppress
from io import StringIO
from math import ceil
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.utilities import move_data_to_device
from provenance import commit
from torch import nn
from torch.utils.data import Subset

from evidence.baselines.fields import ScatteredError
from evidence.contest import QUICK_BATCHES, Contest, Entry
from evidence.records import Record, packed
from itnet_core import Split, Task
from itnet_registry import create
from itnet_train import train_module

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs/evidence"


def run(contest: Contest, entry: Entry, rate: float, seed: int, fold: int, *, quick: bool) -> Record:
    """Train and test a network; a run that was cut off goes on where its state was saved."""
    task = _task(contest, quick, fold)
    module = contest.build(entry, seed, fold)
    recipe = contest.recipe(entry, quick=quick)
    metrics: dict[str, Any] = {"seconds": 0.0, "validation": {}}
    curve: list[float] = []
    if not entry.fitted:
        directory = RUNS / contest.name / f"{entry.name}-{recipe}-{rate}-{seed}-{fold}".replace(" ", "_")
        config = {**contest.train_section(quick=quick), "learning_rate": rate, "seed": seed}
        with redirect_stderr(StringIO()):
            metrics = train_module(task, module, directory, config, resume=True)
        curve = _curve(directory / "history.csv", f"validation_{task.monitor}")
    scores = test(module.eval().to(_device(module)), task, contest)
    return Record(
        model=entry.name,
        recipe=recipe,
        rate=rate,
        seed=seed,
        fold=fold,
        parameters=parameters(module),
        validation=metrics["validation"],
        curve=curve,
        test={contest.metric: float(scores.mean())},
        conditions=_conditions(module, contest, fold, quick=quick),
        scores=packed(scores),
        seconds=metrics["seconds"],
        commit=commit(),
        device=torch.cuda.get_device_name() if _device(module).type == "cuda" else "CPU",
    )


def _task(contest: Contest, quick: bool, fold: int, **options: Any) -> Task:
    """Create a contest's task; that of a quick run has few samples."""
    task: Task = create("task", **contest.task_of(fold, **options))
    return cast(Task, FewSamples(task, QUICK_BATCHES * contest.train["batch_size"])) if quick else task


class FewSamples:
    """A task with some samples of each split, evenly spread, and all else as it was.

    Args:
        task: the task.
        most: the largest number of samples of a split.
    """

    def __init__(self, task: Task, most: int) -> None:
        self.task, self.most = task, most

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def dataset(self, split: Split) -> Any:
        """Return some samples of a split."""
        everything: Any = self.task.dataset(split)
        count = len(everything)
        return Subset(everything, range(0, count, ceil(count / self.most)))


def _conditions(module: nn.Module, contest: Contest, fold: int, *, quick: bool) -> dict[str, float]:
    """Return the metric under each condition, without those that the network cannot take."""
    metrics = {}
    for name, options in contest.conditions.items():
        task = _task(contest, quick, fold, **options)
        with suppress(ScatteredError):
            metrics[name] = float(test(module, task, contest).mean())
    return metrics


def parameters(module: nn.Module) -> int:
    """Return the number of real parameters; a complex one counts as two."""
    return sum(p.numel() * (1 + p.is_complex()) for p in module.parameters())


@torch.no_grad()
def test(module: nn.Module, task: Task, contest: Contest) -> np.ndarray:
    """Return the score of each sample of the test split."""
    device = _device(module)
    moved = (move_data_to_device(batch, device) for batch in batches(task, "test", 100))
    return torch.cat([contest.score(module(batch.inputs), batch.targets) for batch in moved]).double().cpu().numpy()


def _device(module: nn.Module) -> torch.device:
    """Return where a network is trained and tested: on the GPU, if there is one and it has weights."""
    trained = any(parameter.requires_grad for parameter in module.parameters())
    return torch.device("cuda" if trained and torch.cuda.is_available() else "cpu")


def batches(task: Task, split: Split, size: int) -> Iterator[Any]:
    """Yield the batches of a split in its order."""
    dataset: Any = task.dataset(split)
    for start in range(0, len(dataset), size):
        yield task.collate([dataset[i] for i in range(start, min(start + size, len(dataset)))])


def _curve(history: Path, column: str) -> list[float]:
    header, *rows = (line.split(",") for line in history.read_text().splitlines())
    return [float(row[header.index(column)]) for row in rows]
