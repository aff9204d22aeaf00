"""A model's configuration: as users write it, and complete, as a model and its checkpoint hold it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt
from pydantic import Field as ConfigField

from itnet_core import ComponentRef
from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan

Dropout = Annotated[float, ConfigField(ge=0, lt=1)]
Ratio = Annotated[float, ConfigField(gt=0, le=1e300)]  # its product with a width is finite


class PartialRef(ComponentRef):
    """A component and its options as users write them; the name may be left out."""

    name: str | None = None  # type: ignore[assignment]  # only the complete form always has it
    """Bare or canonical; left out, the options are merged into the component of the preset or the default."""


class ModelConfig(BaseModel):
    """A model's configuration as users write it, in YAML, in JSON or as keyword arguments of `create_model`.

    A field left out is taken from the preset, then from the task, then from the defaults.

    >>> ModelConfig(preset="itnet-s", encoder="patch", dropout=0.1).encoder
    PartialRef(name='patch')
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: str | None = None
    """The preset to start from: `itnet-s`."""
    prefer: tuple[str, ...] = ()
    """Canonical ids that bare names in this configuration stand for."""
    width: PositiveInt | None = None
    """Channels of the trunk."""
    depth: PositiveInt | None = None
    """Blocks of the trunk."""
    ffn_ratio: Ratio | None = None
    """Hidden width of a block's feed-forward part, as a multiple of the width; 4.5 by default."""
    dropout: Dropout | None = None
    """Probability of dropping an element of a residual branch in training; 0 by default."""
    position: Literal["auto", Position] | None = None
    """The position encoding that is added to the encoder's values: `fourier`, sines and cosines of the coordinates
    through one learned map, or `none`. `auto`, the default, is `fourier` exactly where the kernel does not read the
    positions of some encoder's points: `attention` without ALiBi or rotary, `mamba` where points differ in more than
    time."""
    scan: Literal["auto", Scan] | None = None
    """The order in which a kernel that scans, such as `mamba` or `lstm`, follows points that time does not order, such
    as those of an image: `raster`, row by row, `z-order`, along a space-filling curve, or `none`. `auto`, the default,
    is `z-order` for points in three dimensions, else `raster`, and `none` where time orders the points of every
    encoder."""
    kernel: PartialRef | None = None
    """Kernel of the integral operators; `mlp` by default."""
    sampler: PartialRef | None = None
    """Sampler of the integral operators; `full` by default."""
    evaluator: PartialRef | None = None
    """Evaluator of the integral operators; `auto` by default."""
    encoder: PartialRef | None = None
    """Encoder of a model of one modality."""
    head: PartialRef | None = None
    """Head of a model of one modality; by default the one that the task needs."""
    task: PartialRef | None = None
    """Task of a model of one modality."""
    encoders: dict[str, PartialRef] | None = None
    """Encoders by modality, instead of `encoder`."""
    heads: dict[str, PartialRef | None] | None = None
    """Heads by modality, instead of `head`. `{}`, or `null` for a modality, means no head."""
    tasks: dict[str, PartialRef] | None = None
    """Tasks by modality, instead of `task`."""


class CompleteModelConfig(BaseModel):
    """A model's configuration without presets, defaults and preferences, from which a model is built.

    Its `model_dump()` is JSON-native; `ITNetModel.config` and checkpoints hold it. Configurations older than `position`
    and `scan` have neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: PositiveInt
    """Channels of the trunk."""
    depth: PositiveInt
    """Blocks of the trunk."""
    ffn_ratio: Ratio
    """Hidden width of a block's feed-forward part, as a multiple of the width."""
    dropout: Dropout
    """Probability of dropping an element of a residual branch in training."""
    position: Position = "none"
    """Position encoding that is added to the encoder's values."""
    scan: Scan = "none"
    """Scan order of points that time does not order."""
    kernel: ComponentRef
    """Kernel of the integral operators."""
    sampler: ComponentRef
    """Sampler of the integral operators."""
    evaluator: ComponentRef
    """Evaluator of the integral operators."""
    encoders: dict[str, ComponentRef]
    """Encoders by modality."""
    heads: dict[str, ComponentRef]
    """Heads by modality; a modality without a head is absent."""
    tasks: dict[str, ComponentRef]
    """Tasks by modality."""
