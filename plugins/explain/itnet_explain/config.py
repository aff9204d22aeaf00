"""The section `explain` of a configuration. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field as ConfigField
from pydantic import NonNegativeInt, PositiveInt

from itnet_registry import ConfigSection

if TYPE_CHECKING:
    from itnet_core import ITNetModel, Task


class ExplainConfig(ConfigSection):
    """Shares of the kernels as scalars over training, in TensorBoard and in history.csv.

    Example:
        >>> ExplainConfig(every=5).samples
        16
    """

    every: PositiveInt = 1
    """Epochs between two explanations."""
    samples: Annotated[int, ConfigField(ge=2)] = 16
    """Validation samples of each task that the shares are estimated on."""
    heads: bool = False
    """Whether each head has scalars of its own; otherwise they are means over the heads of a kernel."""
    seed: NonNegativeInt = 0
    """Seed of the random choices."""

    def epoch_scores(
        self, model: ITNetModel, tasks: Mapping[str, Task], validation: Mapping[str, Any], epoch: int
    ) -> Mapping[str, float]:
        """Return the shares constant, position, content and interaction of each kernel."""
        from itnet_explain.training import share_scores

        if epoch % self.every:
            return {}
        return share_scores(model, tasks, validation, samples=self.samples, heads=self.heads, seed=self.seed)
