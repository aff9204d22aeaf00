"""Encoder of both towers of an open_clip model."""

from __future__ import annotations

from typing import Any, Self

import open_clip
import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import AXES, ComponentConfig, ConfigError, DataError, Encoder, Field, ShapeError, UnionMeasure, union
from itnet_vision_language.encoders.open_clip_models import (
    build,
    last_tokens,
    load_weights,
    tokenizer_of,
    unknown_architecture,
)
from itnet_vision_language.encoders.stack_fields import stack_fields
from itnet_vision_language.inputs import ImageText, check_inputs

Channels = tuple[float, float, float]


class OpenCLIPEncoder(Encoder):
    """The last tokens of both towers of an open_clip model, each projected to the trunk's width, as one field.

    The image tower's patches lie on their grid in x and y, in [−1, 1]; the text tower's tokens lie on t, as those of
    the encoder `token`, and padding has weight 0. Images are resampled to the tower's size, and normalised as its
    weights expect.

    Weights come from a safetensors file, or are random if `weights` is not set. A checkpoint contains all weights, and
    needs no other file. `create_model` loads the weights that are named; an encoder that you build yourself has random
    weights until you call `load_pretrained`.

    Example:
        >>> from safetensors.torch import save_file
        >>> image = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
        >>> text = {"context_length": 16, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 1}
        >>> tiny = {"embed_dim": 16, "vision_cfg": image, "text_cfg": text}
        >>> save_file(open_clip.CLIP(**tiny).state_dict(), "tiny.safetensors")
        >>> encoder = OpenCLIPEncoder(64, definition=tiny, weights="tiny.safetensors")
        >>> encoder.load_pretrained()
        >>> encoder(ImageText(torch.rand(1, 3, 32, 32), ["a red chair"])).values.shape  # 16 patches and 16 tokens
        torch.Size([1, 32, 64])
    """

    modality = "image-text"
    united = ("image", "text")
    axes = "txy"

    class Config(ComponentConfig):
        architecture: str = "ViT-B-32"
        """Name of the model in open_clip."""

        definition: dict[str, Any] | None = None
        """The model's configuration in open_clip; by default that of `architecture`. A checkpoint stores it, and you
        can define models that open_clip does not know."""

        weights: str | None = None
        """A safetensors file; or, with `download`, the name of published weights (`laion2b_s34b_b79k`)."""

        download: bool = False
        """Allow downloading published weights, and the files that some text towers need, from the hub."""

        frozen: bool = True
        """Keep the towers fixed, in evaluation mode; the projections are always trained."""

        mean: Channels = (0.485, 0.456, 0.406)
        """Channel means that the images are normalised by; tasks supply them."""

        std: Channels = (0.229, 0.224, 0.225)
        """Channel standard deviations that the images are normalised by; tasks supply them."""

        weights_mean: Channels = open_clip.OPENAI_DATASET_MEAN
        """Channel means that the towers' weights expect: CLIP's by default, 0.5 for SigLIP."""

        weights_std: Channels = open_clip.OPENAI_DATASET_STD
        """Channel standard deviations that the towers' weights expect."""

        tokens_per_unit: PositiveFloat = 8.0
        """Number of tokens of a text in one unit of time."""

        union: bool = True
        """Whether to unite the two fields (B samples), or else to stack them along the batch (2B samples)."""

        measure: UnionMeasure = "balanced"
        """Measure of the union."""

        def completed(self) -> Self:
            """Fill in `definition` from the architecture's name.

            Raises:
                ConfigError: open_clip has no architecture of this name.
            """
            if self.definition is not None:
                return self
            if self.architecture not in open_clip.list_models():  # `get_model_config` would fetch hf-hub:… names
                raise unknown_architecture(self.architecture)
            return self.model_copy(update={"definition": open_clip.get_model_config(self.architecture)})

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        c = self.config
        if c.definition is None:
            raise ConfigError(
                "OpenCLIPEncoder.definition",
                found="nothing",
                expected="a complete configuration",
                hint="Call config.completed() to fill it in from the architecture's name.",
            )
        self.model: nn.Module = build(c.definition, download=c.download)
        self.tokenizer = tokenizer_of(c.definition)
        self._missing: DataError | None = None
        if c.frozen:
            self.model.requires_grad_(False).eval()
        grid, tokens = self._probe()
        self.project_image = nn.Linear(grid.shape[-1], dim)
        self.project_text = nn.Linear(tokens.shape[-1], dim)
        self.register_load_state_dict_post_hook(_forget_missing)  # type: ignore[no-untyped-call]

    def load_pretrained(self) -> None:
        """Load the towers' weights, if the configuration names any.

        A missing file or a failed download is not raised here but by `forward`, because a checkpoint's weights may be
        loaded afterwards.

        Raises:
            ConfigError: `weights` is neither a safetensors file nor, with `download`, the name of published weights.
            DataError: the file is damaged, or contains the weights of another model.
        """
        c = self.config
        if c.weights is not None:
            self._missing = load_weights(self.model, c.architecture, c.weights, download=c.download)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that the tower reads."""
        size: int | tuple[int, int] = self.model.visual.image_size  # type: ignore[union-attr, assignment]
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def train(self, mode: bool = True) -> OpenCLIPEncoder:
        """Set the mode; frozen towers stay in evaluation mode."""
        super().train(mode)
        if self.config.frozen:
            self.model.eval()
        return self

    def forward(self, inputs: ImageText) -> Field:
        """Encode images with texts as B samples, or as 2B without the union.

        Args:
            inputs: images (B, 3, H, W), normalised by `mean` and `std`, and B texts. Texts longer than the tower's
                context are cut off.

        Raises:
            ShapeError: the inputs have another form.
            DataError: the file of weights is missing, and no checkpoint's weights were loaded either.
        """
        if self._missing is not None:
            raise self._missing
        place = "OpenCLIPEncoder(inputs)"
        images, texts = check_inputs(inputs, 4, place)
        _check_images(images, place)
        ids, mask = self._tokens(list(texts))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            grid, tokens = last_tokens(self.model, self._prepared(images), ids)
        fields = [self._image_field(grid), self._text_field(tokens, mask)]
        return union(fields, self.config.measure) if self.config.union else stack_fields(fields)

    def example(self) -> ImageText:
        """Return two images of the tower's size, with texts."""
        return ImageText(torch.randn(2, 3, *self.image_size), ["a red chair", "a table"])

    def _image_field(self, grid: Tensor) -> Field:
        return Field.on_grid(self.project_image(grid), axes="yx")

    def _text_field(self, tokens: Tensor, mask: Tensor) -> Field:
        count = tokens.shape[1]
        times = (torch.arange(count, device=tokens.device) + 0.5) / self.config.tokens_per_unit
        positions = torch.zeros(*tokens.shape[:2], len(AXES), device=tokens.device)
        positions[..., AXES.index("t")] = times
        kept = mask[:, :count].to(positions.dtype)
        return Field(self.project_text(tokens), positions, kept / kept.sum(-1, keepdim=True))

    def _tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return the tokens of texts (B, L), and a mask that is false for padding."""
        ids = self.tokenizer(texts)
        inner = getattr(self.tokenizer, "tokenizer", None)
        padding = getattr(inner, "pad_token_id", None) or 0
        # The padding token is padding only after a text; within it, it is an ordinary token.
        mask = (ids != padding).flip(-1).cummax(-1).values.flip(-1)
        mask[:, 0] = True
        device = self.project_text.weight.device
        return ids.to(device), mask.to(device)

    def _prepared(self, images: Tensor) -> Tensor:
        """Resize images to the tower's size, and normalise them as its weights expect."""
        c = self.config
        mean, std, own_mean, own_std = (
            torch.tensor(channels, device=images.device, dtype=images.dtype).view(3, 1, 1)
            for channels in (c.mean, c.std, c.weights_mean, c.weights_std)
        )
        images = (images * std + mean - own_mean) / own_std
        if images.shape[-2:] != self.image_size:
            images = F.interpolate(images, self.image_size, mode="bicubic", antialias=True)
        return images.to(self.project_image.weight.dtype)

    @torch.no_grad()
    def _probe(self) -> tuple[Tensor, Tensor]:
        """Return the last tokens of a small sample, whose shapes give the towers' widths."""
        training = self.model.training
        ids = self.tokenizer(["a"])
        tokens = last_tokens(self.model.eval(), torch.zeros(1, 3, *self.image_size), ids)
        self.model.train(training)
        return tokens


def _forget_missing(module: OpenCLIPEncoder, incompatible: Any) -> None:
    """Forget that the file of weights is missing, because other weights were loaded."""
    module._missing = None


def _check_images(images: Tensor, place: str) -> None:
    if images.shape[1] != 3 or not images.is_floating_point() or 0 in images.shape:
        found = f"images that are {images.dtype} of shape {tuple(images.shape)}"
        raise ShapeError(place, found=found, expected="a floating tensor of shape (B, 3, H, W)")
    if not images.isfinite().all():
        raise ShapeError(place, found="pixels that are NaN or infinite", expected="finite pixels")
