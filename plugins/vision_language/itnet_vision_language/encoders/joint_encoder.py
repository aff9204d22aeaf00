"""Base of encoders that unite the fields of other plugins' encoders."""

from __future__ import annotations

from typing import Annotated, Any, Self

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ComponentRef, Encoder, Field, RefersTo, UnionMeasure
from itnet_registry import build_component, complete_reference


class JointEncoder(Encoder):
    """Base of encoders of images with texts, built from an encoder of images and one of texts, each by its name.

    The parts lie in one space-time: texts on the axis t, images on x and y. A learned vector for each part is added to
    its values, so that the trunk distinguishes them where they meet. Subclasses name them in `united`, the text last.
    """

    class Config(ComponentConfig):
        image: Annotated[ComponentRef, RefersTo("encoder", "image")] = ComponentRef(name="itnet-image/patch")
        """Encoder of images, with its options."""

        text: Annotated[ComponentRef, RefersTo("encoder", "text")] = ComponentRef(name="itnet-text/token")
        """Encoder of texts, with its options."""

        measure: UnionMeasure = "balanced"
        """Measure of the union: `balanced` gives each part the same mass, however many points it has; `mean` and
        `counting` give each point the same mass; `given` keeps the parts' own weights."""

        def completed(self) -> Self:
            """Complete the configurations of both encoders."""
            image, text = (complete_reference("encoder", part) for part in (self.image, self.text))
            return self.model_copy(update={"image": image, "text": text})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        name = type(self).__name__
        self.image: Encoder = build_component("encoder", self.config.image, dim, place=f"{name}.image")
        self.text: Encoder = build_component("encoder", self.config.text, dim, place=f"{name}.text")
        self.part_embedding = nn.Parameter(0.02 * torch.randn(len(self.united), dim))

    def part(self, number: int, field: Field) -> Field:
        """Add a part's vector to the values of its field."""

        def add(values: Tensor) -> Tensor:
            return values + self.part_embedding[number].to(values.dtype)

        return field.map(add)
