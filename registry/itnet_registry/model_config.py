"""A model's configuration: as people write it, and complete as a model and its checkpoint hold it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Reference(BaseModel):
    """A component and its options: `{"name": "patch", "patch_size": 4}`.

    Attributes:
        name: bare or canonical; left out, the options are laid over the component that the preset or the default names.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """All fields but the name."""
        return dict(self.model_extra or {})


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[Reference, BeforeValidator(_from_name, json_schema_input_type=str | Reference)]
"""A reference, which may be written as the name alone."""


class ModelConfig(BaseModel):
    """A model's configuration as people write it, in YAML, in JSON or as keyword arguments of `create_model`.

    What is not said comes from the preset, then from the task, then from the defaults.

    Attributes:
        preset: where to start from: `itnet-s`.
        prefer: canonical ids that bare names in this configuration stand for.
        width: channels of the trunk.
        depth: blocks of the trunk.
        ffn_ratio: hidden width of a block's feed-forward part, as a multiple of the width; 4.5 by default.
        dropout: probability of dropping an element of a residual branch in training; 0 by default.
        kernel: the integral operators' kernel; `mlp` by default.
        sampler: their sampler; `full` by default.
        evaluator: their evaluator; `auto` by default.
        encoder: the encoder of a model of one modality.
        head: its head; by default the one that the task needs.
        task: its task.
        encoders: by modality; instead of `encoder`.
        heads: by modality; instead of `head`. `{}`, or `null` for a modality, says that there shall be none.
        tasks: by modality; instead of `task`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str | None = None
    prefer: tuple[str, ...] = ()
    width: PositiveInt | None = None
    depth: PositiveInt | None = None
    ffn_ratio: PositiveFloat | None = None
    dropout: Dropout | None = None
    kernel: Named | None = None
    sampler: Named | None = None
    evaluator: Named | None = None
    encoder: Named | None = None
    head: Named | None = None
    task: Named | None = None
    encoders: dict[str, Named] | None = None
    heads: dict[str, Named | None] | None = None
    tasks: dict[str, Named] | None = None


class CompleteReference(BaseModel):
    """A component by its canonical id, with every option."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """All fields but the name."""
        return dict(self.model_extra or {})


class CompleteModelConfig(BaseModel):
    """A model's configuration with nothing left to presets, defaults or preferences; what a model is built from.

    Its `model_dump()` is JSON-native; it is what `ITNetModel.config` and checkpoints hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveInt
    depth: PositiveInt
    ffn_ratio: PositiveFloat
    dropout: Dropout
    kernel: CompleteReference
    sampler: CompleteReference
    evaluator: CompleteReference
    encoders: dict[str, CompleteReference]
    heads: dict[str, CompleteReference]
    tasks: dict[str, CompleteReference]
