"""Encoders turn raw samples of one modality into fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from itnet_core.models.batches import map_tensors, split_batch
from itnet_core.operator.field import AXES, Field
from itnet_core.plugin.config import ComponentConfig, Configured
from itnet_core.plugin.errors import ShapeError


class Encoder(Configured, nn.Module, ABC):
    """Base class of encoders: `Encoder(dim, config)` maps a batch of its modality to a `Field` of `dim` channels.

    Nothing after the encoder depends on the modality: positions lie in the shared space-time R^4 (`itnet_core.AXES`),
    so that fields of different modalities can be united.

    Example:
        >>> class SampleEncoder(Encoder):
        ...     modality, axes = "signal", "t"
        ...     def __init__(self, dim, config=None, **options):
        ...         super().__init__(dim, config, **options)
        ...         self.linear = nn.Linear(1, dim)
        ...     def forward(self, inputs):
        ...         return Field.on_grid(self.linear(inputs.unsqueeze(-1)), axes="t")
        >>> SampleEncoder(8)(torch.randn(2, 100))
        Field(B=2, N=100, d=8, p=4, grid=(100,))

    Attributes:
        modality: the modality of its inputs (`"image"`), as in its `ComponentSpec`.
        axes: the axes of space-time along which its points differ; the other coordinates are 0.
        mass: the sum of each sample's weights with the default options; `None` if it depends on the sample.
        attributes: names of the attributes that it adds to its points (`Field.with_attributes`), `edges` for edges;
            `None` if that depends on its inputs.
        united: names of the fields that it unites, in order, such as `("image", "text")`; empty if it unites none.
    """

    modality: ClassVar[str]
    axes: ClassVar[str] = AXES
    mass: ClassVar[float | None] = 1.0
    united: ClassVar[tuple[str, ...]] = ()
    attributes: Sequence[str] | None = ()

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.dim = dim
        self.config = self.configure(config, options)

    @abstractmethod
    def forward(self, inputs: Any) -> Field:
        """Encode a batch; the field's values have shape (B, N, dim)."""

    def tensors(self, inputs: Any) -> Any:
        """Return a batch as tensors, which `forward` also takes and which are the inputs of an exported graph.

        Override it for inputs of Python objects, such as texts.
        """
        return inputs

    def map_tensors(self, inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
        """Return a batch with a function applied to each of its tensors; the batch itself stays as it is.

        With it a batch is moved to a device or converted to another dtype. Override it for inputs other than tuples,
        lists, mappings, dataclasses and fields of tensors, such as a `Batch` of PyTorch Geometric:

        ```python
        return copy(inputs).apply(function)
        ```
        """
        return map_tensors(inputs, function)

    def split(self, inputs: Any) -> list[Any]:
        """Return the samples of a batch as batches of one.

        Override it where `itnet_core.split_batch` does not apply, such as for a `Batch` of PyTorch Geometric:

        ```python
        return [Batch.from_data_list([graph]) for graph in inputs.to_data_list()]
        ```

        Raises:
            ShapeError: `itnet_core.split_batch` does not apply.
        """
        return split_batch(inputs)

    def labels(self, inputs: Any) -> list[list[str]] | None:
        """Return a name for each point of each sample of a batch, for reports; by default there are none.

        Override it for points that a reader knows by name, such as a text's tokens. Padding has no names.
        """
        return None

    def images(self, inputs: Any) -> Tensor | None:
        """Return an image of each sample of a batch, (B, 1 or 3, H, W), over which reports draw points on a grid.

        By default the inputs, if they are images. Override it for others that a reader knows by an image, such as the
        spectrogram of a recording: time to the right, other axes upwards.
        """
        images = isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.shape[1] in (1, 3)
        return inputs if images else None

    def example(self) -> Any:
        """Return a small batch of at least two samples, of different lengths if the modality has lengths.

        The conformance checks, `torch.export` and the documentation use it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no example batch")


class FieldEncoder(Encoder):
    """A linear map of a field's values, for data that are already functions at points.

    Example:
        >>> encoder = FieldEncoder(8, channels=3)
        >>> encoder(encoder.example())
        Field(B=2, N=5, d=8, p=4)
    """

    modality = "field"
    mass: ClassVar[float | None] = None
    attributes: Sequence[str] | None = None

    class Config(ComponentConfig):
        """Channels of the input."""

        channels: PositiveInt
        """Channels of the input fields."""

    example_options: ClassVar[Mapping[str, Any]] = {"channels": 3}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.channels, dim)

    def forward(self, inputs: Field) -> Field:
        """Map the values to `dim` channels.

        Args:
            inputs: a field with positions in R^4 and values of shape (B, N, channels).

        Raises:
            ShapeError: `inputs` is not such a field.
        """
        expected = f"a Field of {self.config.channels} channels with positions in R^{len(AXES)}"
        if not isinstance(inputs, Field):
            raise ShapeError("FieldEncoder(inputs)", found=type(inputs).__name__, expected=expected)
        if inputs.dim != self.config.channels or inputs.positions.shape[-1] != len(AXES):
            found = f"{inputs.dim} channels with positions in R^{inputs.positions.shape[-1]}"
            raise ShapeError("FieldEncoder(inputs)", found=found, expected=expected)
        return inputs.map(self.linear)

    def example(self) -> Field:
        """Return a batch of two samples of five points; the last point of the second sample is padding."""
        values, positions = torch.randn(2, 5, self.config.channels), 2 * torch.rand(2, 5, len(AXES)) - 1
        weights = torch.full((2, 5), 0.2)
        weights[1] = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])
        return Field(values, positions, weights)
