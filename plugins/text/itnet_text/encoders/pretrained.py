"""Embeddings of a pretrained transformers model as points in time."""

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

from itnet_core import ComponentConfig, ConfigError, Encoder, Field
from itnet_core.plugin.files import read_regular
from itnet_text.texts import EXAMPLE, Text, check_texts, padded, text_field
from itnet_text.tokenizer import MOST, TokenizerOption, completed_tokenizer, load, tokenize, tokenizer_content


class PretrainedEncoder(Encoder):
    """What a transformers model makes of each token, through a linear map, at the token's place in time.

    The architecture and the tokenizer are read into the configuration, so that a checkpoint, which has the weights,
    needs neither the model's folder nor a hub. Weights are read from safetensors alone, and no code that comes with a
    model is run.
    """

    modality = "text"
    axes = "t"

    class Config(ComponentConfig):
        model: str
        """A folder with config.json, tokenizer.json and model.safetensors, or a hub's name with `download`."""

        download: bool = False
        """Whether the model may be fetched from the hub."""

        embeddings: Literal["input", "last"] = "last"
        """`input`, the vectors of the tokens alone, or `last`, those after all layers."""

        frozen: bool = True
        """Whether the model stays as it is."""

        max_length: PositiveInt = 256
        """Tokens of a text at most; what is beyond is left out."""

        tokens_per_unit: PositiveFloat = 8.0
        """How many tokens lie in one unit of the kernels' space-time."""

        architecture: dict[str, Any] | None = None
        """The model's config.json; read from the model where it is not given."""

        tokenizer: TokenizerOption | None = None
        """The content of its tokenizer.json; read from the model where it is not given."""

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
                    found=f"{self.model}, which is no folder",
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
        self.tokenizer = load(content, self.config.max_length)
        self.body: Any = self._body()
        self.projection = nn.Linear(self.body.config.hidden_size, dim)
        self.body.requires_grad_(not self.config.frozen)
        self.train(self.training)

    def load_pretrained(self) -> None:
        """Load the model's weights from its folder, or from the hub with `download`; keep random ones without either.

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
        """Raise whatever transformers and safetensors raise, of many kinds, as a ConfigError."""
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
"""How each field that a configuration leaves open is read from a model's folder."""


def _from_hub(name: str) -> dict[str, Any]:
    try:
        architecture = AutoConfig.from_pretrained(name).to_dict()
        tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        found = f"{name}: {str(error).partition(chr(10))[0]}"
        raise ConfigError("PretrainedEncoder.model", found=found, expected="a transformers model on the hub") from None
    return {"architecture": architecture, "tokenizer": json.loads(tokenizer)}
