"""Embeddings of a pretrained transformers model as points in time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from itnet_core import ComponentConfig, ConfigError, Encoder, Field
from itnet_core.plugin.config import restoring
from itnet_core.plugin.files import read_regular
from itnet_text.texts import EXAMPLE, Text, check_texts, padded, text_field
from itnet_text.tokenizer import MOST, TokenizerContent, load, tokenize


class PretrainedEncoder(Encoder):
    """What a transformers model makes of each token, through a linear map, at the token's place in time.

    The architecture and the tokenizer are read into the configuration, so that a checkpoint, which has the weights,
    needs neither the model's folder nor a hub. Weights are read from safetensors alone, and no code that comes with a
    model is run.
    """

    modality = "text"
    axes = "t"

    class Config(ComponentConfig):
        """Configuration.

        Attributes:
            model: a folder with config.json, tokenizer.json and model.safetensors, or a hub's name with `download`.
            download: whether the model may be fetched from the hub.
            embeddings: `input`, the vectors of the tokens alone, or `last`, those after all layers.
            frozen: whether the model stays as it is.
            max_length: tokens of a text at most; what is beyond is left out.
            tokens_per_unit: how many tokens lie in one unit of the kernels' space-time.
            architecture: the model's config.json; read from the model where it is not given.
            tokenizer: the content of its tokenizer.json; read from the model where it is not given.
        """

        model: str
        download: bool = False
        embeddings: Literal["input", "last"] = "last"
        frozen: bool = True
        max_length: PositiveInt = 256
        tokens_per_unit: PositiveFloat = 8.0
        architecture: dict[str, Any] | None = None
        tokenizer: TokenizerContent | None = None

        @model_validator(mode="before")
        @classmethod
        def _look_into_the_model(cls, data: Any) -> Any:
            complete = isinstance(data, Mapping) and data.get("architecture") and data.get("tokenizer")
            if restoring.get() or not isinstance(data, Mapping) or not isinstance(data.get("model"), str) or complete:
                return data
            folder = Path(data["model"]).expanduser()
            given = {name: value for name, value in data.items() if value is not None}
            if folder.is_dir():
                return {**_of_folder(folder), **given}
            return {**_of_hub(data["model"]), **given} if data.get("download") is True else data

        @model_validator(mode="after")
        def _complete(self) -> Self:
            if self.architecture is None or self.tokenizer is None:
                raise ValueError(
                    f"{self.model} is no folder with config.json and tokenizer.json; for a name on the hub, "
                    "write download: true"
                )
            return self

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        self.tokenizer = load(self.config.tokenizer, self.config.max_length)
        self.body: Any = self._body()
        self.projection = nn.Linear(self.body.config.hidden_size, dim)
        self.body.requires_grad_(not self.config.frozen)
        self.train(self.training)

    def _body(self) -> Any:
        """Return the model with its weights; without them where a checkpoint has them, or its folder is not there."""
        folder = Path(self.config.model).expanduser()
        name = str(folder) if folder.is_dir() else self.config.model
        try:
            architecture = AutoConfig.for_model(**self.config.architecture)
            if restoring.get() or not (folder.is_dir() or self.config.download):
                body: Any = AutoModel.from_config(architecture)  # type: ignore[no-untyped-call]
            else:
                body = AutoModel.from_pretrained(
                    name, config=architecture, use_safetensors=True, local_files_only=folder.is_dir()
                )
        except Exception as error:  # transformers and safetensors raise many kinds
            raise ConfigError(
                f"PretrainedEncoder.model: {self.config.model}",
                found=f"{str(error).partition(chr(10))[0]:.200}",
                expected="a transformers model with its weights in model.safetensors",
            ) from error
        return body.float()  # many are stored in half precision

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen model stays in evaluation mode."""
        super().train(mode)
        if self.config.frozen:
            self.body.eval()
        return self

    def forward(self, inputs: Sequence[Text]) -> Field:
        """Return the field of the tokens, the tokenizer's own marks among them.

        Args:
            inputs: B texts, or pairs of texts; (B, longest, dim) are the field's values.

        Raises:
            ShapeError: they are something else, or one is empty.
        """
        texts = check_texts(inputs, "PretrainedEncoder(inputs)")
        tokens = tokenize(self.tokenizer, texts, self.config.max_length)
        device = self.projection.weight.device
        ids = padded([each.ids for each in tokens], device)
        mask = padded([[1] * len(each.ids) for each in tokens], device)
        segments = padded([each.segments for each in tokens], device)
        with torch.no_grad() if self.config.frozen else nullcontext():
            if self.config.embeddings == "input":
                values = self.body.get_input_embeddings()(ids)
            else:
                known = {"token_type_ids": segments} if getattr(self.body.config, "type_vocab_size", 0) > 1 else {}
                values = self.body(input_ids=ids, attention_mask=mask, **known).last_hidden_state
        return text_field(self.projection(values), tokens, self.config.tokens_per_unit)

    def example(self) -> list[Text]:
        """Return a text, and a pair of texts."""
        return list(EXAMPLE)


def _of_folder(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, name in (("architecture", "config.json"), ("tokenizer", "tokenizer.json")):
        try:
            found[field] = json.loads(read_regular(folder / name, MOST))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{folder / name}: {error}") from None
    return found


def _of_hub(name: str) -> dict[str, Any]:
    try:
        architecture = AutoConfig.from_pretrained(name).to_dict()
        tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {str(error).partition(chr(10))[0]}") from None
    return {"architecture": architecture, "tokenizer": json.loads(tokenizer)}
