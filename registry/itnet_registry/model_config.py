"""A model's configuration: as people write it, and complete as a model and its checkpoint hold it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from itnet_core import ComponentRef as CompleteReference
from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan

Dropout = Annotated[float, Field(ge=0, lt=1)]
Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ComponentRef(CompleteReference):
    """A component and its options as people write them.

    Attributes:
        name: bare or canonical; left out, the options are laid over the component that the preset or the default names.
    """

    name: str | None = None  # type: ignore[assignment]  # only the complete form has it always


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
        position: the position encoding that is added to the encoder's values: `fourier`, sines and cosines of the
            coordinates through one learned map, or `none`; `auto`, the default, is `fourier` exactly where the kernel
            does not read the positions of some encoder's points: `attention` without ALiBi or rotary, `mamba` where
            points differ in more than time.
        scan: the order in which a kernel that scans, such as `mamba` or `lstm`, follows points that time does not
            order, such as those of an image: `raster`, row by row, `z-order`, along a space-filling curve, or `none`;
            `auto`, the default, is `z-order` for points in three dimensions, else `raster`, and `none` where time
            orders the points of every encoder.
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
    ffn_ratio: Ratio | None = None
    dropout: Dropout | None = None
    position: Literal["auto", Position] | None = None
    scan: Literal["auto", Scan] | None = None
    kernel: ComponentRef | None = None
    sampler: ComponentRef | None = None
    evaluator: ComponentRef | None = None
    encoder: ComponentRef | None = None
    head: ComponentRef | None = None
    task: ComponentRef | None = None
    encoders: dict[str, ComponentRef] | None = None
    heads: dict[str, ComponentRef | None] | None = None
    tasks: dict[str, ComponentRef] | None = None


class CompleteModelConfig(BaseModel):
    """A model's configuration with nothing left to presets, defaults or preferences; what a model is built from.

    Its `model_dump()` is JSON-native; it is what `ITNetModel.config` and checkpoints hold. Those from before there were
    `position` and `scan` have neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveInt
    depth: PositiveInt
    ffn_ratio: Ratio
    dropout: Dropout
    position: Position = "none"
    scan: Scan = "none"
    kernel: CompleteReference
    sampler: CompleteReference
    evaluator: CompleteReference
    encoders: dict[str, CompleteReference]
    heads: dict[str, CompleteReference]
    tasks: dict[str, CompleteReference]
