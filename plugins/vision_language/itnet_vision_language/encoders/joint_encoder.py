"""What the encoders of images with texts share: an encoder of images and one of texts, each by its name."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from itnet_core import ComponentConfig, ComponentRef, Encoder, Field, RefersTo, UnionMeasure
from itnet_registry import create


class JointEncoder(Encoder):
    """Base of encoders that unite the fields of images and of texts, which other plugins' encoders make.

    The parts lie in one space-time: texts on the axis t, images on x and y. A learned vector for each part is added
    to its values, so that the trunk knows them apart where they meet.

    Attributes:
        parts: how many fields are united; the text's is the last.
    """

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            image: the encoder of images, with its options.
            text: the encoder of texts, with its options.
            measure: of the union: `balanced` gives each part the same mass, however many points it has; `mean` and
                `counting` give each point the same; `given` keeps the parts' own weights.
        """

        image: Annotated[ComponentRef, RefersTo("encoder", "image")] = ComponentRef(name="itnet-image/patch")
        text: Annotated[ComponentRef, RefersTo("encoder", "text")] = ComponentRef(name="itnet-text/token")
        measure: UnionMeasure = "balanced"

    parts: ClassVar[int]

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        image, text = self.config.image, self.config.text
        self.image: Encoder = create("encoder", image.name, dim=dim, **image.options)
        self.text: Encoder = create("encoder", text.name, dim=dim, **text.options)
        self.part_embedding = nn.Parameter(0.02 * torch.randn(self.parts, dim))

    def part(self, number: int, field: Field) -> Field:
        """Return the field of a part with the part's vector added to its values."""

        def add(values: Tensor) -> Tensor:
            return values + self.part_embedding[number].to(values.dtype)

        return field.map(add)
