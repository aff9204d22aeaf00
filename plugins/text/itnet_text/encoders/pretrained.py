"""Encoder of a pretrained transformers model's embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from itnet_core import ComponentConfig, ConfigError, Encoder, Field, read_regular
from itnet_text.texts import EXAMPLE, Text, TokenBatch, check_texts, text_field
from itnet_text.tokenizer import MOST, TokenizerOption, completed_tokenizer, load_tokenizer, tokenize, tokenizer_content


class PretrainedEncoder(Encoder):
    """Tokens as points: the value is a linear map of a transformers model's embedding, at the token's place in time.

    A complete configuration contains the model's architecture and tokenizer, and a checkpoint contains the weights, so
    that a checkpoint needs neither the model's folder nor the hub. Weights are read only from safetensors, and code
    that comes with a model is never run.

    `create_model` loads the pretrained weights. An encoder that you build yourself has random weights until you call
    `load_pretrained`.

    Example:
        >>> from itnet_text.tokenizer import train_tokenizer
        >>> from transformers import BertConfig, BertModel
        >>> tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        >>> BertModel(BertConfig(vocab_size=265, **tiny)).save_pretrained("bert")
        >>> train_tokenizer(["a fine film"] * 9, 265).save("bert/tokenizer.json")
        >>> encoder = PretrainedEncoder(64, model="bert")
        >>> encoder.load_pretrained()
        >>> encoder(["a fine film"]).values.shape
        torch.Size([1, 3, 64])
    """

    modality = "text"
    axes = "t"

    class Config(ComponentConfig):
        model: str
        """Folder with config.json, tokenizer.json and model.safetensors, or a name on the hub with `download`."""

        download: bool = False
        """Allow downloading the model from the hub."""

        embeddings: Literal["input", "last"] = "last"
        """`last`, the hidden states after all layers, or `input`, the embeddings of the tokens."""

        frozen: bool = True
        """Keep the model's weights fixed, in evaluation mode."""

        max_length: PositiveInt = 256
        """Largest number of tokens of a text; longer texts are cut off."""

        tokens_per_unit: PositiveFloat = 8.0
        """Number of tokens in one unit of time."""

        architecture: dict[str, Any] | None = None
        """Content of the model's config.json; by default read from `model`."""

        tokenizer: TokenizerOption | None = None
        """Content of the model's tokenizer.json, or the path of one; by default read from `model`."""

        def completed(self) -> Self:
            """Read `architecture` and `tokenizer` from the model's folder, or fetch them from the hub.

            Raises:
                ConfigError: they cannot be read or fetched.
            """
            if self.architecture is not None and isinstance(self.tokenizer, dict):
                return self
            folder = Path(self.model).expanduser()
            parts: dict[str, Any] = {"architecture": self.architecture, "tokenizer": self.tokenizer}
            if self.tokenizer is not None:
                parts["tokenizer"] = completed_tokenizer(self.tokenizer, "PretrainedEncoder.tokenizer")
            missing = [name for name, part in parts.items() if part is None]
            if missing and folder.is_dir():
                parts |= {name: READERS[name](folder) for name in missing}
            elif missing and self.download:
                fetched = _from_hub(self.model)
                parts |= {name: fetched[name] for name in missing}
            elif missing:
                raise ConfigError(
                    "PretrainedEncoder.model",
                    found=f"{self.model}, which is not a folder",
                    expected="a folder with config.json, tokenizer.json and model.safetensors",
                    hint="For a name on the hub, write download: true.",
                )
            return self.model_copy(update=parts)

    def __init__(self, dim: int, config: ComponentConfig | None = None, **options: Any) -> None:
        super().__init__(dim, config, **options)
        if self.config.architecture is None or self.config.tokenizer is None:
            raise ConfigError(
                "PretrainedEncoder.config",
                found="no architecture or no tokenizer",
                expected="a complete configuration",
                hint="Call config.completed() to read them from the model.",
            )
        content = tokenizer_content(self.config.tokenizer, "PretrainedEncoder.tokenizer")
        self.tokenizer = load_tokenizer(content, self.config.max_length)
        self.body: Any = self._body()
        self.projection = nn.Linear(self.body.config.hidden_size, dim)
        self.body.requires_grad_(not self.config.frozen)
        self.train(self.training)

    def load_pretrained(self) -> None:
        """Load the model's weights from its folder, or from the hub with `download`; without either, do nothing.

        Raises:
            ConfigError: the weights cannot be found, are not in safetensors, or do not fit the architecture.
        """
        folder = Path(self.config.model).expanduser()
        if not folder.is_dir() and not self.config.download:
            return
        name = str(folder) if folder.is_dir() else self.config.model
        with self._errors():
            pretrained: Any = AutoModel.from_pretrained(
                name, config=self.body.config, use_safetensors=True, local_files_only=folder.is_dir()
            )
            self.body.load_state_dict(pretrained.state_dict())

    def _body(self) -> Any:
        with self._errors():
            architecture = AutoConfig.for_model(**self.config.architecture)
            body: Any = AutoModel.from_config(architecture)  # type: ignore[no-untyped-call]
        return body.float()  # many architectures name half precision

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert every exception of transformers and safetensors to a ConfigError."""
        try:
            yield
        except Exception as error:
            raise ConfigError(
                f"PretrainedEncoder.model: {self.config.model}",
                found=f"{str(error).partition(chr(10))[0]:.200}",
                expected="a transformers model with its weights in model.safetensors",
            ) from error

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen model stays in evaluation mode."""
        super().train(mode)
        if self.config.frozen:
            self.body.eval()
        return self

    def tensors(self, inputs: Sequence[Text] | TokenBatch) -> TokenBatch:
        """Tokenize texts."""
        if isinstance(inputs, TokenBatch):
            return inputs
        texts = check_texts(inputs, "PretrainedEncoder(inputs)")
        return TokenBatch.of(tokenize(self.tokenizer, texts, self.config.max_length), self.projection.weight.device)

    def forward(self, inputs: Sequence[Text] | TokenBatch) -> Field:
        """Encode texts as the field of their tokens, including the special tokens of the tokenizer.

        Args:
            inputs: B texts, or pairs of texts; or their tokens.

        Returns:
            A field of values (B, longest, dim).

        Raises:
            ShapeError: the inputs are not texts, or one is empty.
        """
        ids, segments, mask = self.tensors(inputs)
        with torch.no_grad() if self.config.frozen else nullcontext():
            if self.config.embeddings == "input":
                values = self.body.get_input_embeddings()(ids)
            else:
                known = {"token_type_ids": segments} if getattr(self.body.config, "type_vocab_size", 0) > 1 else {}
                values = self.body(input_ids=ids, attention_mask=mask.long(), **known).last_hidden_state
        return text_field(self.projection(values), mask, self.config.tokens_per_unit)

    def labels(self, inputs: Sequence[Text] | TokenBatch) -> list[list[str]]:
        """Return the tokens of each text."""
        return self.tensors(inputs).names(self.tokenizer)

    def example(self) -> list[Text]:
        """Return a text, and a pair of texts."""
        return list(EXAMPLE)


def _architecture(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        content: dict[str, Any] = json.loads(read_regular(path, MOST))
    except (OSError, ValueError, RecursionError) as error:
        found = f"{path}: {error}"
        raise ConfigError("PretrainedEncoder.model", found=found, expected="a transformers config.json") from None
    return content


def _tokenizer(folder: Path) -> dict[str, Any]:
    return completed_tokenizer(str(folder / "tokenizer.json"), "PretrainedEncoder.model")


READERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {"architecture": _architecture, "tokenizer": _tokenizer}
"""Functions that read the missing fields of a configuration from a model's folder."""


def _from_hub(name: str) -> dict[str, Any]:
    try:
        architecture = AutoConfig.from_pretrained(name).to_dict()
        tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        found = f"{name}: {str(error).partition(chr(10))[0]}"
        raise ConfigError("PretrainedEncoder.model", found=found, expected="a transformers model on the hub") from None
    return {"architecture": architecture, "tokenizer": json.loads(tokenizer)}
