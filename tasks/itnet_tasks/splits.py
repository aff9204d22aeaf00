"""How a data set is split: by class where there are classes, and never through a group."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor

from itnet_core import ComponentConfig, ConfigError
from itnet_tasks.dataset import Labelled

Share = Annotated[float, ConfigField(gt=0, lt=1)]


class HeldOut(ComponentConfig):
    """Configuration of data sets that come undivided: which part of them is the test split."""

    test_folds: Annotated[int, ConfigField(ge=2)] = 5
    """Into how many parts the samples are dealt, once and for all."""

    test_fold: NonNegativeInt = 0
    """Which of them is the test split, from 0; each in turn gives a cross-validation."""


def held_out(labelled: Labelled, config: HeldOut) -> tuple[Labelled, Labelled]:
    """Return the samples for training and validation, and those of the test split.

    Raises:
        ConfigError: there is no such fold.
    """
    if config.test_fold >= config.test_folds:
        raise ConfigError(
            "test_fold", found=str(config.test_fold), expected=f"0 to {config.test_folds - 1}, one of the test_folds"
        )
    test = folds(labelled, config.test_folds, seed=0) == config.test_fold
    return labelled.select((~test).nonzero().squeeze(1)), labelled.select(test.nonzero().squeeze(1))


def folds(labelled: Labelled, count: int, seed: int) -> Tensor:
    """Return for each sample the fold that it is dealt to, shape (N,): the folds' sizes differ by one at most.

    Each class is dealt evenly too. Where there are groups, whole groups are dealt, whatever their classes and sizes.
    """
    unit, strata = _units(labelled, seed)
    dealt = torch.empty(len(unit), dtype=torch.int64)
    turn = 0
    for members in strata:
        dealt[members] = (turn + torch.arange(len(members))) % count
        turn += len(members)
    return dealt[unit]


def split(labelled: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Return the rest, and a seeded part with a share of the samples of every class, both in their old order.

    A class of two or more has at least one sample in each; that of a class of one stays in the rest. Where there are
    groups, the part has a share of the groups, whatever their classes and sizes.

    Args:
        labelled: the samples.
        share: between 0 and 1.
        seed: of the choice; the same labels, groups and seed give the same part.
    """
    unit, strata = _units(labelled, seed)
    chosen = torch.zeros(len(unit), dtype=torch.bool)
    for members in strata:
        chosen[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    part = chosen[unit]
    return labelled.select((~part).nonzero().squeeze(1)), labelled.select(part.nonzero().squeeze(1))


def _units(labelled: Labelled, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Return each sample's unit, shape (N,), and the shuffled units of each stratum.

    A unit stays on one side of a split: a group if the samples have groups, else a single sample. The strata are the
    classes; groups and labels that are not classes form one stratum.
    """
    labels, groups = labelled.labels, labelled.groups
    unit = torch.arange(len(labels))
    if groups is not None:
        numbers = {name: number for number, name in enumerate(sorted(set(groups)))}
        unit = torch.tensor([numbers[name] for name in groups], dtype=torch.int64)
        strata = [torch.arange(len(numbers))]
    elif isinstance(labels, Tensor) and not labels.is_floating_point():
        sizes = [size for _, size in sorted(Counter(labels.tolist()).items())]
        strata = list(torch.split(labels.argsort(stable=True), sizes))
    else:
        strata = [unit]
    random = torch.Generator().manual_seed(seed)
    return unit, [members[torch.randperm(len(members), generator=random)] for members in strata]
