"""What the kit checks of heads."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from itnet_core import Field, Head
from itnet_core.plugin.specs import Kind
from itnet_testing.conformance import ModuleConformance, call, same
from itnet_testing.fields import sample, scattered, with_padding


class HeadConformance(ModuleConformance):
    """Checks of a head; override `inputs` where it needs other fields."""

    kind: ClassVar[Kind] = "head"

    def inputs(self) -> Field:
        """Return a field of at least two samples, of `dim` channels."""
        return scattered(dim=self.dim)

    def module(self, **options: Any) -> nn.Module:
        """Return the head."""
        found: Head = self.cls(self.dim, **{**self.settings, **options})
        return found

    def predict(self, field: Field) -> Tensor:
        """Return the prediction for a field."""
        found = call(self.build(), field)
        assert isinstance(found, Tensor), f"found {type(found).__name__}; expected a tensor"
        return found

    def check_prediction_is_finite(self) -> None:
        """It gives finite numbers, at least one for each sample."""
        prediction, field = self.predict(self.inputs()), self.inputs()
        assert prediction.ndim >= 1, "found a single number; expected one for each sample or more"
        assert len(prediction) == len(field.values), f"{len(prediction)} predictions for {len(field.values)} samples"
        assert prediction.isfinite().all(), "a number is not finite"

    def check_padding_is_absence(self) -> None:
        """Points of weight 0 change nothing."""
        field = self.inputs()
        found, expected = self.predict(with_padding(field)), self.predict(field)
        if found.shape != expected.shape:
            found = found[:, : expected.shape[1]]  # of each point
        same(found, expected, "predictions with and without points of weight 0")

    def check_samples_are_independent(self) -> None:
        """A sample's prediction is the same alone."""
        field = self.inputs()
        whole = self.predict(field)
        for number in range(len(field.values)):
            same(
                self.predict(sample(field, number))[0], whole[number], f"predictions of sample {number}, alone and not,"
            )
