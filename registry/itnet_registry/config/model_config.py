"""A model's configuration: as users write it, and complete, as a model and its checkpoint hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic import Field as ConfigField

from itnet_core import ComponentRef
from itnet_core.models.norms import BlockActivation, Norm
from itnet_core.models.position import Position
from itnet_core.models.scan_order import Scan

Probability = Annotated[float, ConfigField(ge=0, lt=1)]
Ratio = Annotated[float, ConfigField(ge=0, le=1e300)]  # its product with a width is finite


class PartialRef(ComponentRef):
    """A component and its options as users write them; the name may be left out."""

    name: str | None = None  # type: ignore[assignment]  # only the complete form always has it
    """Bare or canonical; left out, the options are merged into the component of the preset or the default."""


class QueryConfig(BaseModel):
    """The points at which a block evaluates its integral, by one of these fields.

    Example:
        >>> QueryConfig(stride=2).model_dump()
        {'stride': 2}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    stride: PositiveInt | list[PositiveInt] | None = None
    """A coarser grid, by the number of points of a cell along each axis: `2`, or a list with a number for each axis."""
    grid: PositiveInt | list[PositiveInt] | None = None
    """A coarser grid, by its number of cells along each axis, `8` or a list; for fields of any resolution."""
    farthest: PositiveInt | None = None
    """Number of points that are chosen to cover the field: each is the farthest from those before it."""
    latents: PositiveInt | None = None
    """Number of points with learned values."""
    block: NonNegativeInt | Literal["encoder"] | None = None
    """The points of an earlier entry of the trunk, by its number from 0, or of the `encoder`, as in U-shaped trunks."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError(f"one of {', '.join(type(self).model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _without_the_others(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class BlockOptions(BaseModel):
    """Options of blocks: of one entry of `trunk`, or, at the top, of all entries that leave them out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: PositiveInt | None = None
    """Channels of a block; at the top, also of the encoders' fields."""
    kernel: PartialRef | None = None
    """Kernel of the integral operator; `mlp` by default. Its options include heads and support."""
    sampler: PartialRef | None = None
    """Sampler of the integral operator; `full` by default."""
    evaluator: PartialRef | None = None
    """Evaluator of the integral operator; `auto` by default."""
    ffn_ratio: Ratio | None = None
    """Hidden width of a block's feed-forward part, as a multiple of the width; 4.5 by default, 0 for none."""
    norm: Norm | None = None
    """Norms of a block: `layer` (the default), `rms`, `batch` (over all points of the batch except padding), or `none`,
    which keeps the scale of a function: for operators between fields. The last block's is also that of the trunk's end:
    a layer norm, or none."""
    norm_first: bool | None = None
    """`true`, the default: a block is u + Integral(norm u). `false`: it is u + activation(norm Integral(u)), as in
    convolutional networks."""
    activation: BlockActivation | None = None
    """Activation of a block; `gelu` by default."""
    dropout: Probability | None = None
    """Probability of dropping an element of a residual branch in training; 0 by default."""
    stochastic_depth: Probability | None = None
    """Probability of dropping a residual branch of a sample in training; 0 by default."""


class BlockConfig(BlockOptions):
    """An entry of `trunk` as users write it; a name alone is that of the kernel.

    Example:
        >>> BlockConfig.model_validate("attention").kernel
        PartialRef(name='attention')
    """

    repeat: PositiveInt = 1
    """Number of blocks of this entry, one after another."""
    query: QueryConfig | None = None
    """The points at which the integral is evaluated; by default those of the block's input."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"kernel": data} if isinstance(data, str) else data


class ModelConfig(BlockOptions):
    """A model's configuration as users write it, in YAML, in JSON or as keyword arguments of `create_model`.

    A field left out is taken from the preset, then from the task, then from the defaults.

    Example:
        >>> ModelConfig(preset="itnet-s", encoder="patch", dropout=0.1).encoder
        PartialRef(name='patch')
    """

    preset: str | None = None
    """The preset to start from: `itnet-s`."""
    prefer: tuple[str, ...] = ()
    """Canonical ids that bare names in this configuration stand for."""
    trunk: Annotated[list[BlockConfig], ConfigField(min_length=1)] | None = None
    """The blocks, in order. A field that an entry leaves out is taken from the field of the same name at the top.
    Options of a kernel without a name merge into the kernel at the top."""
    depth: PositiveInt | None = None
    """The number of blocks, if all are alike: short for `trunk: [{repeat: depth}]`."""
    position: Literal["auto", Position] | None = None
    """The position encoding that is added to the encoder's values. `fourier`: sines and cosines of the coordinates,
    through one learned map. `none`: no encoding. `auto`, the default: `fourier` if the kernel of some block does not
    read the positions of some encoder's points, else `none`. Examples are `attention` without ALiBi or rotary, and
    `mamba` where points differ in more than time."""
    scan: Literal["auto", Scan] | None = None
    """The order of points that time does not order, such as those of an image, for kernels that scan, such as `mamba`
    and `lstm`. `raster`: row by row. `z-order`: along a space-filling curve. `none`: the order of time alone. `auto`,
    the default: `z-order` for points in three dimensions and `raster` for others; `none` if time orders the points of
    every encoder."""
    encoder: PartialRef | None = None
    """Encoder of a model of one modality."""
    head: PartialRef | None = None
    """Head of a model of one modality; by default the one that the task needs."""
    task: PartialRef | None = None
    """Task of a model of one modality."""
    encoders: dict[str, PartialRef] | None = None
    """Encoders by modality, instead of `encoder`."""
    heads: dict[str, PartialRef | None] | None = None
    """Heads by modality, instead of `head`. `{}`, or `null` for a modality, means no head: the model then gives its
    pooled features."""
    tasks: dict[str, PartialRef] | None = None
    """Tasks by modality, instead of `task`."""


class CompleteBlock(BaseModel):
    """An entry of `trunk` in a complete configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    repeat: PositiveInt
    """Number of blocks of this entry."""
    width: PositiveInt
    """Channels of the block."""
    kernel: ComponentRef
    """Kernel of the integral operator."""
    sampler: ComponentRef
    """Sampler of the integral operator."""
    evaluator: ComponentRef
    """Evaluator of the integral operator."""
    ffn_ratio: Ratio
    """Hidden width of the feed-forward part, as a multiple of the width."""
    norm: Norm
    """Norms of the block."""
    norm_first: bool
    """Whether the norms are applied before the operator and the feed-forward part."""
    activation: BlockActivation
    """Activation of the block."""
    dropout: Probability
    """Probability of dropping an element of a residual branch in training."""
    stochastic_depth: Probability
    """Probability of dropping a residual branch of a sample in training."""
    query: QueryConfig | None
    """The points at which the integral is evaluated; `None` for those of the block's input."""


class CompleteModelConfig(BaseModel):
    """A model's configuration without presets, defaults and preferences, from which a model is built.

    Its `model_dump()` is JSON-native; `ITNetModel.config` and checkpoints hold it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: PositiveInt
    """Channels of the encoders' fields."""
    trunk: Annotated[list[CompleteBlock], ConfigField(min_length=1)]
    """The blocks."""
    position: Position = "none"
    """Position encoding that is added to the encoder's values."""
    scan: Scan = "none"
    """Scan order of points that time does not order."""
    encoders: dict[str, ComponentRef]
    """Encoders by modality."""
    heads: dict[str, ComponentRef]
    """Heads by modality; a modality without a head is absent."""
    tasks: dict[str, ComponentRef]
    """Tasks by modality."""

    def blocks(self) -> Iterator[int]:
        """Yield, for each block, the number of its entry."""
        return (number for number, entry in enumerate(self.trunk) for _ in range(entry.repeat))

    def with_repeats(self, most: int) -> CompleteModelConfig:
        """Return the configuration with each entry repeated at most `most` times, for checks of a part of the model."""
        trunk = [entry.model_copy(update={"repeat": min(entry.repeat, most)}) for entry in self.trunk]
        return self.model_copy(update={"trunk": trunk})


BEFORE_TRUNKS = {"norm": "layer", "norm_first": True, "activation": "gelu", "stochastic_depth": 0.0, "query": None}
"""Options that all blocks had in checkpoint format 1, which did not store them."""


def with_trunk(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a complete configuration of checkpoint format 1, with a `depth`, to one with a `trunk` of one entry."""
    if "trunk" in config or "depth" not in config:
        return dict(config)
    parts = {
        name: config[name] for name in ("kernel", "sampler", "evaluator", "ffn_ratio", "dropout") if name in config
    }
    entry = {"repeat": config["depth"], "width": config.get("width"), **parts, **BEFORE_TRUNKS}
    rest = {name: value for name, value in config.items() if name not in parts and name != "depth"}
    return {**rest, "trunk": [entry]}
