"""Encoder of timm's backbones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import timm
import torch
from pydantic import AfterValidator, PositiveInt, model_validator
from pydantic import Field as ConfigField
from safetensors.torch import load_file
from torch import Tensor, nn

from itnet_core import ComponentConfig, ConfigError, Encoder, Field, ShapeError
from itnet_image.encoders.image_field import check_images, image_field

SOURCES = frozenset({"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"})
FORM = frozenset({"feature_cfg", "features_only", "global_pool", "in_chans", "num_classes"})
"""Arguments of timm that name weights, and those that this encoder sets itself."""


def _architecture_options(options: dict[str, Any]) -> dict[str, Any]:
    if reserved := sorted((SOURCES | FORM) & options.keys()):
        raise ValueError(f"arguments of the architecture, without {', '.join(reserved)}")
    return options


class TimmEncoder(Encoder):
    """The cells of a timm backbone's feature map as points; the value is a linear map of a cell's features.

    All architectures of timm work: convolutional networks, vision transformers (without their class tokens), and
    others. A point lies at its cell's centre, as those of the other
    encoders of images do, and a cell that extends beyond the image has the weight of the part inside it.

    `create_model` loads the pretrained weights. An encoder that you build yourself has random weights until you call
    `load_pretrained`. A checkpoint contains the weights, so that it needs neither the file nor the hub. To keep the
    backbone as it is, set `train.freeze: [encoder.image.body]`.

    Example:
        >>> encoder = TimmEncoder(64, model="test_resnet", stage=2)
        >>> field = encoder(torch.rand(2, 3, 64, 64))
        >>> field.values.shape, field.grid
        (torch.Size([2, 64, 64]), (8, 8))
    """

    modality = "image"
    axes = "xy"

    class Config(ComponentConfig):
        model: str
        """Name of the architecture in timm, such as `resnet50.a1_in1k` or `vit_small_patch16_224`."""

        checkpoint: str | None = None
        """Weights of that architecture, with timm's names: a file in the format safetensors. Those of its classifier
        are ignored."""

        pretrained: bool = False
        """Download timm's pretrained weights."""

        stage: int = -1
        """The feature map, by its number from 0 or, if negative, from the end: a stage of a convolutional network, a
        block of a transformer. Later parts are removed."""

        channels: PositiveInt = 3
        """Channels of the images."""

        options: Annotated[dict[str, Any], AfterValidator(_architecture_options)] = ConfigField(default={})
        """Further arguments of the architecture, such as `{img_size: 64}` or `{dynamic_img_size: true}` for a vision
        transformer."""

        @model_validator(mode="after")
        def _one_source(self) -> Self:
            if self.pretrained and self.checkpoint is not None:
                raise ValueError("either checkpoint or pretrained")
            return self

    example_options: ClassVar = {"model": "test_resnet"}

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.body = self._body()
        self.stage, self.cell, width = self._prune(self.body)
        self.projection = nn.Linear(width, dim)

    def load_pretrained(self) -> None:
        """Load the weights of `checkpoint`, or download them if `pretrained`; without either, do nothing.

        Raises:
            ConfigError: the weights cannot be read or downloaded, or do not fit the architecture.
        """
        if self.config.checkpoint is None and not self.config.pretrained:
            return
        whole = self._body(pretrained=self.config.pretrained)
        if self.config.checkpoint is not None:
            self._load(whole, Path(self.config.checkpoint).expanduser())
        self._prune(whole)
        self.body.load_state_dict(whole.state_dict())

    def forward(self, inputs: Tensor) -> Field:
        """Encode images as the field of the cells of the feature map.

        Args:
            inputs: floating images, shape (B, channels, H, W), normalised as the weights require.

        Raises:
            ShapeError: the images have another shape or dtype, pixels that are not finite, or a size that the
                architecture does not take.
        """
        check_images(inputs, self.config.channels, "TimmEncoder(inputs)")
        values = self._features(inputs.to(self.projection.weight.dtype)).permute(0, 2, 3, 1)
        height, width = inputs.shape[-2:]
        return image_field(self.projection(values), (height, width), self.cell)

    def example(self) -> Tensor:
        """Return two images of the size that the architecture requires, or else of 32 × 48 pixels."""
        default = self.body.pretrained_cfg
        size = default["input_size"][1:] if default.get("fixed_input_size") else (32, 48)
        given = self.config.options.get("img_size")
        return torch.randn(2, self.config.channels, *(size if given is None else (given, given)))

    def _body(self, *, pretrained: bool = False) -> Any:
        name = self.config.model
        if not timm.is_model(name):
            close = get_close_matches(name, timm.list_models(), n=1)
            raise ConfigError(
                "TimmEncoder.model",
                found=repr(name),
                expected="an architecture of timm, without a prefix such as hf-hub:",
                hint=f"Did you mean {close[0]!r}?" if close else "timm.list_models() lists them.",
            )
        with self._errors("arguments that the architecture takes" if not pretrained else "weights that can be fetched"):
            body: Any = timm.create_model(
                name, pretrained=pretrained, num_classes=0, in_chans=self.config.channels, **self.config.options
            )
        return body

    def _prune(self, body: Any) -> tuple[int, int, int]:
        """Remove the parts after the feature map; return its number, the side of its cells and its channels."""
        maps, stage = body.feature_info, self.config.stage
        maps = maps.info if hasattr(maps, "info") else maps
        if not -len(maps) <= stage < len(maps):
            expected = f"a number from {-len(maps)} to {len(maps) - 1}"
            raise ConfigError("TimmEncoder.stage", found=str(stage), expected=expected)
        stage %= len(maps)
        body.prune_intermediate_layers([stage], prune_norm=False, prune_head=True)
        return stage, maps[stage]["reduction"], maps[stage]["num_chs"]

    def _load(self, body: nn.Module, file: Path) -> None:
        with self._errors("a file of weights in the format safetensors"):
            if not file.is_file():  # a FIFO would be waited for
                raise FileNotFoundError("no file of this name")
            stored = load_file(file)
        heads = body.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr,operator]
        prefixes = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
        stored = {name: tensor for name, tensor in stored.items() if not name.startswith(prefixes)}
        with self._errors(f"the weights of {self.config.model}, with timm's names"):
            body.load_state_dict(stored)

    @contextmanager
    def _errors(self, expected: str) -> Iterator[None]:
        """Convert every exception of timm and safetensors to a ConfigError."""
        try:
            yield
        except Exception as error:
            place = self.config.model if self.config.checkpoint is None else self.config.checkpoint
            found = " ".join(str(error).split())
            raise ConfigError(f"TimmEncoder: {place}", found=f"{found:.300}", expected=expected) from error

    def _features(self, images: Tensor) -> Tensor:
        """Return the feature map, (B, C, rows, columns)."""
        options: Any = {"indices": [self.stage], "norm": True, "output_fmt": "NCHW", "intermediates_only": True}
        if torch.compiler.is_compiling():
            compiled: Tensor = self.body.forward_intermediates(images, **options)[0]
            return compiled
        try:
            features: Tensor = self.body.forward_intermediates(images, **options)[0]
        except (AssertionError, RuntimeError) as error:
            raise ShapeError(
                "TimmEncoder(inputs)",
                found=f"shape {tuple(images.shape)}: {str(error).partition(chr(10))[0]:.200}",
                expected=f"images of a size that {self.config.model} takes",
                hint="Set options: {img_size: …}, or {dynamic_img_size: true} for a vision transformer.",
            ) from error
        return features
