"""How a data set is split: by class where there are classes, and never through a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field as ConfigField
from pydantic import NonNegativeInt
from torch import Tensor

from itnet_core import ComponentConfig, ConfigError
from itnet_tasks.dataset import Labelled

Share = Annotated[float, ConfigField(gt=0, lt=1)]


class HeldOut(ComponentConfig):
    """Configuration of data sets that come undivided: which part of them is the test split.

    Attributes:
        test_folds: into how many parts the samples are dealt, once and for all.
        test_fold: which of them is the test split, from 0; each in turn gives a cross-validation.
    """

    test_folds: Annotated[int, ConfigField(ge=2)] = 5
    test_fold: NonNegativeInt = 0


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
    dealt = torch.empty(len(labelled.labels), dtype=torch.int64)
    turn = 0
    for stratum in _strata(labelled, seed):
        for members in stratum:
            dealt[members] = turn % count
            turn += 1
    return dealt


def split(labelled: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Return the rest, and a seeded part with a share of the samples of every class, both in their old order.

    A class of two or more has at least one sample in each; that of a class of one stays in the rest. Where there are
    groups, the part has a share of the groups, whatever their classes and sizes.

    Args:
        labelled: the samples.
        share: between 0 and 1.
        seed: of the choice; the same labels, groups and seed give the same part.
    """
    part = torch.zeros(len(labelled.labels), dtype=torch.bool)
    for stratum in _strata(labelled, seed):
        for members in stratum[: min(len(stratum) - 1, max(1, round(share * len(stratum))))]:
            part[members] = True
    return labelled.select((~part).nonzero().squeeze(1)), labelled.select(part.nonzero().squeeze(1))


def _strata(labelled: Labelled, seed: int) -> Iterator[list[Tensor]]:
    """Return for each class, or for all at once, what may not be divided, shuffled, as indices of samples."""
    random = torch.Generator().manual_seed(seed)
    labels, groups = labelled.labels, labelled.groups
    if groups is not None:
        yield _shuffled(_members(groups), random)
    elif isinstance(labels, Tensor) and not labels.is_floating_point():
        for members in _members(labels.tolist()):
            yield _shuffled(list(members), random)
    else:
        yield _shuffled(list(torch.arange(len(labels))), random)


def _members(keys: Sequence[int | str]) -> list[Tensor]:
    """Return the indices of each key's samples, by sorted key."""
    members: dict[int | str, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    return [torch.tensor(indices) for _, indices in sorted(members.items())]


def _shuffled(units: list[Tensor], random: torch.Generator) -> list[Tensor]:
    return [units[i] for i in torch.randperm(len(units), generator=random).tolist()]
