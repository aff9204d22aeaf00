"""Components that work on tiny images and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.utils.data import Dataset

from itnet_core import Batch, ComponentConfig, DataError, Encoder, Field, Kernel, Metric, Split, Task


class Pixels(Encoder):
    """Images (B, H, W, channels)."""

    modality = "image"

    class Config(ComponentConfig):
        """Options."""

        channels: PositiveInt = 3
        """Channels of an image."""
        bias: bool = True
        """Whether the linear map has a bias."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.linear = nn.Linear(self.config.channels, dim, bias=self.config.bias)

    def forward(self, inputs: Tensor) -> Field:
        return Field.on_grid(self.linear(inputs), axes="yx")


class Letters(Encoder):
    """Texts (B, N) of numbers."""

    modality = "text"

    class Config(ComponentConfig):
        """Options."""

        vocabulary: PositiveInt = 26
        """Number of letters."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.embedding = nn.Embedding(self.config.vocabulary, dim)

    def forward(self, inputs: Tensor) -> Field:
        return Field.on_grid(self.embedding(inputs), axes="t")


class Stripes(Task):
    """Images of stripes along one axis or the other."""

    modality = "image"
    monitor = "accuracy"

    class Config(ComponentConfig):
        """Options."""

        size: PositiveInt = 4
        """Side of an image."""
        colours: PositiveInt = 1
        """Channels of an image."""

    @property
    def head(self) -> Mapping[str, Any]:
        return {"name": "itnet-core/classify", "classes": 2}

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        return {"channels": self.config.colours, "unheard_of": 1}

    def dataset(self, split: Split) -> Dataset[Any]:
        across = torch.arange(self.config.size).remainder(2).float().expand(self.config.size, -1)
        images = [across if i % 2 else across.T for i in range(4)]
        samples: Any = [(x.unsqueeze(-1).repeat(1, 1, self.config.colours), i % 2) for i, x in enumerate(images)]
        dataset: Dataset[Any] = samples
        return dataset

    def collate(self, samples: Sequence[Any]) -> Batch:
        return Batch(torch.stack([s[0] for s in samples]), torch.tensor([s[1] for s in samples]))

    def loss(self, prediction: Tensor, targets: Any) -> Tensor:
        return nn.functional.cross_entropy(prediction, targets)

    def metrics(self) -> Mapping[str, Metric]:
        return {}

    def read(self, path: Path) -> Any:
        raise DataError(str(path), found="a file", expected="none: stripes are drawn")

    def describe(self, prediction: Tensor) -> list[dict[str, Any]]:
        return [{"label": int(label)} for label in prediction.argmax(-1)]


class Vowels(Stripes):
    """A task of another modality."""

    modality = "text"

    class Config(ComponentConfig):
        """No options."""

    @property
    def encoder_options(self) -> Mapping[str, Any]:
        return {}


class Constant(Kernel):
    """k = 1."""

    class Config(ComponentConfig):
        """Options."""

        heads: PositiveInt = 1
        """Number of scalar kernels."""

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = self.configure(config, options)
        self.heads = self.config.heads

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return query_terms.new_ones(len(query_terms), self.heads, query_terms.shape[1], key_terms.shape[1])
