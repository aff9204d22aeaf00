"""Encoders of fields with one fault each."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, WithJsonSchema, field_serializer
from torch import Tensor

from itnet_core import ComponentConfig, Field
from itnet_core.models.encoder import FieldEncoder
from itnet_testing.fields import sample


class ConfigSchema(FieldEncoder):
    class Config(FieldEncoder.Config):
        size: Annotated[int, WithJsonSchema({"type": "whole number"})] = 1


class ConfigJsonRoundTrip(FieldEncoder):
    class Config(FieldEncoder.Config):
        names: tuple[str, ...] = ("a", "b")

        @field_serializer("names")
        def _sorted(self, names: tuple[str, ...]) -> list[str]:
            return sorted(names)[:1]


class UnknownOptionError(FieldEncoder):
    class Config(FieldEncoder.Config):
        model_config = ConfigDict(extra="ignore")


class SeededInitialization(FieldEncoder):
    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        with torch.no_grad():
            self.linear.bias.fill_(random.SystemRandom().random())


class StateDictCompleteness(FieldEncoder):
    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.shift = torch.randn(dim)  # no buffer: a checkpoint does not have it

    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values + self.shift)


class CheckpointRoundTrip(FieldEncoder):
    built = 0

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        type(self).built += 1
        self.number = self.built

    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values + self.number * values.square())


class Float64(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values.float())


class Cuda(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values + torch.ones(self.dim))


class Gradients(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values * values.detach())


class Compile(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        field = super().forward(inputs)
        return field.map(lambda values: 2 * values) if torch.compiler.is_compiling() else field


class Wrapped:
    """A field in a container that only moves itself."""

    def __init__(self, field: Field) -> None:
        self.field = field

    def to(self, device: torch.device) -> Wrapped:
        return Wrapped(self.field.to(device))


class BatchMapping(FieldEncoder):
    def forward(self, inputs: Any) -> Field:
        return super().forward(inputs.field)

    def example(self) -> Any:
        return Wrapped(super().example())

    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        inputs.field = super().map_tensors(inputs.field, function)
        return inputs


class BatchMappingNothing(BatchMapping):
    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        return inputs


class FieldValidity(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values[..., :-1])


class FieldValidityNoField(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).values  # type: ignore[return-value]


class FieldValidityOneSample(FieldEncoder):
    def example(self) -> Field:
        return sample(super().example(), 0)


class FieldValidityPlanePositions(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        field = super().forward(inputs)
        return field.replace(positions=field.positions[..., :2])


class FieldValidityPositionsNotFinite(FieldEncoder):
    """Its field is sound when it is made, where others are refused."""

    def forward(self, inputs: Field) -> Field:
        field = super().forward(inputs.replace(positions=inputs.positions.clone()))
        field.positions[0, 0] = float("nan")
        return field


class FieldValidityValuesNotFinite(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values / 0)


class DeclaredAxes(FieldEncoder):
    axes = "xy"


class DeclaredAttributes(FieldEncoder):
    attributes = ("normal",)


class DeclaredMass(FieldEncoder):
    mass = 7.0


class PaddingInvariance(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        return super().forward(inputs).map(lambda values: values - values.mean((0, 1)))


class PaddingInvarianceWeighsPadding(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        field = super().forward(inputs)
        return field.replace(weights=field.weights + 0.1 * (len(field.weights) > 1))


class RefinementConvergence(FieldEncoder):
    def forward(self, inputs: Field) -> Field:
        field = super().forward(inputs)
        return field.replace(weights=field.mask.to(field.weights))
