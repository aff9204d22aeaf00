"""Base of tasks whose configuration is completed from the training samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import torch

from itnet_core import DataError
from itnet_tasks.labelled_task import LabelledTask


class LearnedTask(LabelledTask):
    """Base of tasks with fields that follow from the training samples, such as their mean.

    A complete configuration holds these fields, so that a checkpoint predicts without the data: a subclass lists them
    in `fields`, returns them from `learned`, and calls `complete` in its `Config.completed`.

    Example:
        >>> from itnet_tasks import Labelled, Regression
        >>> class Lengths(LearnedTask, Regression):
        ...     class Config(LearnedTask.Config):
        ...         longest: int | None = None
        ...         def completed(self):
        ...             return self.complete(Lengths)
        ...     modality, fields = "text", ("longest",)
        ...     def training(self):
        ...         return Labelled(["a film", "a fine film"] * 5, torch.tensor([2.0, 3.0] * 5))
        ...     test = training
        ...     def loader(self, *, training):
        ...         return str
        ...     def learned(self):
        ...         return {"longest": max(map(len, self.training().sources))}
        >>> Lengths().config.completed().longest, Lengths().settings.longest
        (11, 11)
    """

    class Config(LabelledTask.Config):
        def complete(self, task: type[LearnedTask]) -> Self:
            """Return the configuration with all fields that follow from the training samples, if they exist already."""
            if all(getattr(self, name) is not None for name in task.fields):
                return self
            try:
                return self.model_copy(update=task(self).learned())
            except DataError:  # a configuration may be written before the data exist
                return self

    fields: Sequence[str] = ()
    """Fields of the configuration that follow from the training samples."""

    def learned(self) -> dict[str, Any]:
        """Return the fields that follow from the training samples, without those that are configured.

        Raises:
            DataError: the files are missing, or not as the configuration says.
        """
        raise NotImplementedError

    @cached_property
    def settings(self) -> Any:
        """The complete configuration.

        Raises:
            DataError: it is not complete, and the files to complete it from are missing.
        """
        c = self.config
        return c if all(getattr(c, name) is not None for name in self.fields) else c.model_copy(update=self.learned())


def typical(numbers: Sequence[float]) -> dict[str, float]:
    """Return the fields `centre`, the mean of some numbers, and `scale`, their standard deviation.

    Without numbers they are 0 and 1, and the scale of equal numbers is 1.

    Example:
        >>> typical([1.0, 3.0])
        {'centre': 2.0, 'scale': 1.0}
    """
    found = torch.tensor(numbers or [0.0], dtype=torch.float64)
    return {"centre": float(found.mean()), "scale": float(found.std(correction=0)) or 1.0}
