"""Split labelled data, stratified by class, without dividing groups."""

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
    """Options of data sets that come without a test split.

    Example:
        >>> samples = Labelled(list("abcdef"), torch.tensor([0, 0, 0, 1, 1, 1]))
        >>> tests = [hold_out(samples, HeldOut(test_folds=3, test_fold=fold))[1] for fold in range(3)]
        >>> [test.labels.tolist() for test in tests]
        [[0, 1], [0, 1], [0, 1]]
    """

    test_folds: Annotated[int, ConfigField(ge=2)] = 5
    """Number of folds that the samples are divided into; the assignment is fixed."""

    test_fold: NonNegativeInt = 0
    """Number of the fold that is the test split, from 0; use each in turn for cross-validation."""


def hold_out(labelled: Labelled, config: HeldOut) -> tuple[Labelled, Labelled]:
    """Separate the test fold; return the other samples, and the test samples.

    Example:
        >>> samples = Labelled(list("abcdefghij"), torch.tensor([0] * 5 + [1] * 5))
        >>> rest, test = hold_out(samples, HeldOut())
        >>> rest.labels.tolist(), test.labels.tolist()
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 1])

    Raises:
        ConfigError: `test_fold` is not below `test_folds`.
    """
    if config.test_fold >= config.test_folds:
        raise ConfigError(
            "test_fold", found=str(config.test_fold), expected=f"0 to {config.test_folds - 1}, one of the test_folds"
        )
    test = assign_folds(labelled, config.test_folds, seed=0) == config.test_fold
    return labelled.select((~test).nonzero().squeeze(1)), labelled.select(test.nonzero().squeeze(1))


def assign_folds(labelled: Labelled, count: int, seed: int) -> Tensor:
    """Assign each sample to one of `count` folds, shape (N,); the sizes of the folds differ by at most one.

    The same holds for the samples of each class. With groups, it holds for the numbers of groups: whole groups are
    assigned, whatever their classes and sizes.

    Example:
        >>> samples = Labelled(list("abcdef"), torch.tensor([0, 1] * 3), groups=["x", "x", "y", "y", "z", "z"])
        >>> folds = assign_folds(samples, count=3, seed=0).tolist()
        >>> folds[0] == folds[1], sorted(folds)
        (True, [0, 0, 1, 1, 2, 2])
    """
    unit, strata = _units(labelled, seed)
    dealt = torch.empty(len(unit), dtype=torch.int64)
    turn = 0
    for members in strata:
        dealt[members] = (turn + torch.arange(len(members))) % count
        turn += len(members)
    return dealt[unit]


def split(labelled: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Hold out a seeded share of every class; return the rest and the share, both in their original order.

    A class of two or more samples has at least one in each part; a single sample stays in the rest. With groups, a
    share of the groups is held out, whatever their classes and sizes.

    Example:
        >>> import torch
        >>> rest, part = split(Labelled(list("abcdefgh"), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])), share=0.25, seed=0)
        >>> len(rest.sources), part.labels.tolist()
        (6, [0, 1])

    Args:
        labelled: the samples.
        share: between 0 and 1.
        seed: seed of the random choice; equal labels, groups and seeds give equal parts.
    """
    unit, strata = _units(labelled, seed)
    chosen = torch.zeros(len(unit), dtype=torch.bool)
    for members in strata:
        chosen[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    part = chosen[unit]
    return labelled.select((~part).nonzero().squeeze(1)), labelled.select(part.nonzero().squeeze(1))


def _units(labelled: Labelled, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Return the unit of each sample, shape (N,), and the shuffled units of each stratum.

    A unit stays on one side of a split: a group, or else a single sample. The strata are the classes; groups, and
    labels that are not classes, form one stratum.
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
