"""Checks of heads."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from itnet_core import Field, Head, Kind
from itnet_testing.conformance.modules import ModuleConformance
from itnet_testing.conformance.tensors import assert_same, call
from itnet_testing.fields import sample, scattered, with_padding


class HeadConformance(ModuleConformance):
    """Test class for a head; override `inputs` if it needs other fields.

    Example:
        >>> class TestClassify(HeadConformance):
        ...     component = "itnet-core/classify"
        ...     options = {"classes": 10}
        >>> [outcome.status for outcome in TestClassify().run("finite_prediction", "padding_invariance")]
        ['passed', 'passed']
    """

    kind: ClassVar[Kind] = "head"

    def inputs(self) -> Field:
        """Return a field of at least two samples, of `dim` channels."""
        return scattered(dim=self.dim)

    def module(self, **options: Any) -> nn.Module:
        """Return the head."""
        head: Head = self.cls(self.dim, **{**self.settings, **options})
        return head

    def predict(self, field: Field) -> Tensor:
        """Return the prediction for a field."""
        prediction = call(self.build(), field)
        assert isinstance(prediction, Tensor), f"found {type(prediction).__name__}; expected a tensor"
        return prediction

    def check_finite_prediction(self) -> None:
        """The prediction is a tensor of finite numbers with one entry or more per sample."""
        prediction, field = self.predict(self.inputs()), self.inputs()
        assert prediction.ndim >= 1, "found a single number; expected one for each sample or more"
        assert len(prediction) == len(field.values), f"{len(prediction)} predictions for {len(field.values)} samples"
        assert prediction.isfinite().all(), "a number is not finite"

    def check_padding_invariance(self) -> None:
        """Points of weight 0 do not change the prediction."""
        field = self.inputs()
        actual, expected = self.predict(with_padding(field)), self.predict(field)
        if actual.shape != expected.shape:
            actual = actual[:, : expected.shape[1]]  # a prediction for each point
        assert_same(actual, expected, "predictions with and without points of weight 0")

    def check_batch_independence(self) -> None:
        """A sample has the same prediction alone as in a batch."""
        field = self.inputs()
        batch = self.predict(field)
        for number in range(len(field.values)):
            alone = self.predict(sample(field, number))[0]
            assert_same(alone, batch[number], f"predictions of sample {number} alone and in a batch")
