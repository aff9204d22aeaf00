"""Heads with one fault each; two of them are broken by their plugin's module and by their declaration."""

from __future__ import annotations

from torch import Tensor

from itnet_core import Field
from itnet_core.models.head import ClassificationHead


class LightImport(ClassificationHead):
    """Its plugin's declarations import torch."""


class Identity(ClassificationHead):
    """Its declaration has no summary."""


class FinitePrediction(ClassificationHead):
    def forward(self, field: Field) -> Tensor:
        return super().forward(field) / 0


class FinitePredictionOneNumber(ClassificationHead):
    def forward(self, field: Field) -> Tensor:
        return super().forward(field).sum()


class FinitePredictionOneSample(ClassificationHead):
    def forward(self, field: Field) -> Tensor:
        return super().forward(field)[:1]


class PaddingInvariance(ClassificationHead):
    """It takes padding for points."""

    def forward(self, field: Field) -> Tensor:
        return self.linear(field.values.mean(1))


class BatchIndependence(ClassificationHead):
    def forward(self, field: Field) -> Tensor:
        prediction = super().forward(field)
        return prediction - prediction.mean(0)
