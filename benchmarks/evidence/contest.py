"""A contest: one task, the networks that are compared on it, and the budget that all of them have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from itnet_registry import create_model, default_registry
from itnet_registry.config.merge import merge

SEEDS = (0, 1, 2)
BUDGET: Mapping[str, Any] = {"batch_size": 64, "warmup": 0.2}
QUICK_BATCHES = 20
"""Batches of each split that a quick run uses."""


@dataclass(frozen=True)
class Entry:
    """A network of a contest.

    Attributes:
        name: as in the table.
        source: the library that it comes from.
        build: makes a new network for a task, given by name and options.
        options: arguments of `build`, JSON-native; they are a part of the recipe that a run is filed under.
        fitted: whether `build` returns a network that needs no training.
        rates: peak learning rates to choose from; the contest's by default.
    """

    name: str
    source: str
    build: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    fitted: bool = False
    rates: tuple[float, ...] | None = None

    @property
    def content(self) -> Mapping[str, Any]:
        """The options, with what a preset stands for in its place."""
        if "preset" not in self.options:
            return self.options
        return merge(default_registry(), self.options, "model").model_dump(mode="json", exclude_none=True)


def itnet(name: str, rates: tuple[float, ...] | None = None, **model: Any) -> Entry:
    """Return an ITNet, given by the section `model` of a configuration."""
    return Entry(name, "ITNet", _itnet, model, rates=rates)


def _itnet(task: Mapping[str, Any], **model: Any) -> nn.Module:
    built: nn.Module = create_model(**model, task=task)
    return built


def correct(prediction: Tensor, targets: Tensor) -> Tensor:
    """Return 1 for each sample that is classified correctly, else 0."""
    return (prediction.argmax(-1) == targets).float()


def tokens_correct(prediction: Tensor, targets: Tensor) -> Tensor:
    """Return 1 for each token with a target that is classified correctly, else 0; a negative target is none."""
    return correct(prediction, targets)[targets >= 0]


@dataclass(frozen=True)
class Contest:
    """A task and its budget.

    Attributes:
        name: of the task's file of results.
        title: of its section on the page.
        what: the data and the budget, in words.
        task: the task and its options.
        train: the section `train`, without learning rate and seed.
        ours: the ITNet whose verdict counts.
        entries: other networks.
        rates: peak learning rates to choose from, by the validation split of the first seed.
        metric: the metric of the test split.
        higher: whether more of it is better.
        score: the metric of each single sample of a batch, for the paired test.
        seeds: of weights and training; the learning rate is chosen by the first.
        folds: options of the task for each part of a cross-validation.
        conditions: options of the task under which the trained networks are tested too.
        goals: goals in words.
    """

    name: str
    title: str
    what: str
    task: Mapping[str, Any]
    train: Mapping[str, Any]
    ours: Entry
    entries: Sequence[Entry]
    rates: tuple[float, ...] = (0.001, 0.002, 0.004)
    metric: str = "accuracy"
    higher: bool = True
    score: Callable[[Tensor, Any], Tensor] = correct
    seeds: tuple[int, ...] = SEEDS
    folds: Sequence[Mapping[str, Any]] = ({},)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    goals: str = ""

    @property
    def networks(self) -> list[Entry]:
        """All networks, ours first."""
        return [self.ours, *self.entries]

    def rates_of(self, entry: Entry) -> tuple[float, ...]:
        """Return the learning rates that are tried."""
        return (0.0,) if entry.fitted else entry.rates or self.rates

    def train_section(self, *, quick: bool) -> dict[str, Any]:
        """Return the section `train`; a quick run has one epoch."""
        return {**self.train, "epochs": 1} if quick else dict(self.train)

    def recipe(self, entry: Entry, *, quick: bool) -> str:
        """Return a key of all that a result depends on, besides learning rate, seed and fold."""
        content: list[Any] = [self.task, self.train_section(quick=quick), entry.build.__qualname__, entry.content]
        content += [QUICK_BATCHES] if quick else []
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]

    def build(self, entry: Entry, seed: int, fold: int = 0) -> nn.Module:
        """Return a new network, its weights drawn from a seed."""
        torch.manual_seed(seed)
        return entry.build(self.task_of(fold), **entry.options)

    def task_of(self, fold: int = 0, **options: Any) -> dict[str, Any]:
        """Return the task's name and options for a part of a cross-validation."""
        return {**self.task, **self.folds[fold], **options}
