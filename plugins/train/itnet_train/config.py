"""The `train` section of a configuration. It imports no torch, so that `itnet validate` and `itnet schema` are fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)
from pydantic import Field as ConfigField

from itnet_core import ConfigError, parse
from itnet_registry import ConfigSection, default_registry
from itnet_registry.config.sections import hints_at_other_sections

if TYPE_CHECKING:
    from itnet_core import ITNetModel

Beta = Annotated[float, ConfigField(ge=0, lt=1)]
Share = Annotated[float, ConfigField(ge=0, le=1)]
PositiveShare = Annotated[float, ConfigField(gt=0, le=1)]

LoggerName = Literal["tensorboard", "csv", "wandb", "mlflow"]

MUTABLE_ON_RESUME = frozenset(
    {"log_every", "loggers", "max_minutes", "prefetch", "profiler", "save_every_steps", "workers"}
)
"""Fields that may change when a run is resumed, because they do not change what is learned."""

REPLACED = {
    "accelerator": "accelerator",
    "accumulate_grad_batches": "accumulate",
    "check_val_every_n_epoch": "",
    "barebones": "",
    "callbacks": "",
    "default_root_dir": "",
    "deterministic": "deterministic",
    "devices": "devices",
    "enable_checkpointing": "save_every_steps",
    "enable_model_summary": "",
    "enable_progress_bar": "",
    "fast_dev_run": "",
    "gradient_clip_algorithm": "clip",
    "gradient_clip_val": "clip",
    "log_every_n_steps": "log_every",
    "logger": "loggers",
    "max_epochs": "epochs",
    "max_steps": "epochs",
    "max_time": "max_minutes",
    "num_nodes": "nodes",
    "num_sanity_val_steps": "",
    "precision": "precision",
    "profiler": "profiler",
    "strategy": "strategy",
    "use_distributed_sampler": "",
}
"""Arguments of Lightning's `Trainer` that the engine sets, with the field that decides them, or `""` for none."""


class TaskSection(ConfigSection):
    """Training options of one task of a multi-task model."""

    weight: PositiveFloat = 1.0
    """Weight of the task's loss in training."""
    samples: PositiveInt | None = None
    """Training samples per epoch, taken in turn from the whole split; `null` for all of them in every epoch."""
    batch_size: PositiveInt | None = None
    """Samples per batch; `null` for the run's `batch_size`."""


class InitSection(ConfigSection):
    """Weights that training starts from.

    Each tensor of the model needs its counterpart of the same name and shape in the checkpoint, and conversely.
    """

    checkpoint: str
    """A checkpoint, such as `best` in a run directory, an installed model (`zoo/fashion`), or one on the hub
    (`hf://owner/name`); or a file in the format safetensors."""
    download: bool = False
    """Allow downloading a checkpoint of the hub that is not in its cache."""
    head: Literal["keep", "new"] = "keep"
    """`new`: the heads start with random weights, and those of the checkpoint are ignored."""
    encoder: Literal["keep", "new"] = "keep"
    """`new`: the encoders start as in a new model, and those of the checkpoint are ignored."""

    @property
    def new(self) -> list[str]:
        """The parts that are new."""
        return [part for part in ("encoder", "head") if getattr(self, part) == "new"]


class ParallelSection(ConfigSection):
    """How the processes of a run share its work: replicate · shard · points processes in all.

    A mesh of processes has an axis of each name. Consecutive processes differ in `points`, then in `shard`.
    """

    replicate: PositiveInt = 1
    """Groups of processes of which each holds all parameters (hybrid sharding). With `fsdp` only."""
    shard: Literal[-1] | PositiveInt = -1
    """Processes of a group, each of which holds a share of all parameters, gradients and states of the optimizer; -1
    for all that are left. With `fsdp` only."""
    points: PositiveInt = 1
    """Processes that share the points of each field, and train on the same batches: each holds a part of the points,
    and key points travel from process to process. It divides the number of processes."""
    offload: bool = False
    """Whether the shares of the parameters are kept in the memory of the CPU while they are not in use. With `fsdp`
    only."""
    blocks: tuple[str, ...] = ()
    """Modules of `train_module` whose parameters are gathered one after another, by their paths: `layers.*` for all
    that are directly in `layers`. The rest is gathered at once. With `fsdp` only; an ITNet has the blocks of its
    trunk."""

    @property
    def shards_parameters(self) -> bool:
        """Whether a degree or an option of `fsdp` is set."""
        return self.replicate > 1 or self.shard != -1 or self.offload or bool(self.blocks)


class OptimizerSection(ConfigSection):
    """An optimizer and its options, `{name: sgd, momentum: 0.9}`; it may be written as the name alone.

    Learning rate and weight decay are fields of the section `train`.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    """`adamw`, `sgd`, `muon` for the matrices between encoders and heads with AdamW for the rest, or any other
    optimizer of timm, such as `lion` or `lamb`. All but `adamw` and `sgd` require timm."""

    @property
    def options(self) -> dict[str, Any]:
        """All fields but the name."""
        return dict(self.model_extra or {})


class CosineSchedule(ConfigSection):
    """A fall along half a cosine, to `final_learning_rate_share` in the last step."""

    name: Literal["cosine"] = "cosine"
    """Name of the schedule."""


class ConstantSchedule(ConfigSection):
    """The peak rate until the end."""

    name: Literal["constant"]
    """Name of the schedule."""


class StepSchedule(ConfigSection):
    """A drop by a factor every so many epochs."""

    name: Literal["step"]
    """Name of the schedule."""
    every: PositiveInt = 30
    """Epochs between two drops."""
    factor: PositiveShare = 0.1
    """Factor on the rate at a drop."""


class WSDSchedule(ConfigSection):
    """Warm-up, stable, decay: the peak rate, then a linear fall to `final_learning_rate_share` in the last step."""

    name: Literal["wsd"]
    """Name of the schedule."""
    decay: PositiveShare = 0.2
    """Fraction of the steps in which the rate falls."""


class PlateauSchedule(ConfigSection):
    """A drop by a factor when the monitored score has not improved; not below `final_learning_rate_share`."""

    name: Literal["plateau"]
    """Name of the schedule."""
    patience: NonNegativeInt = 5
    """Epochs without improvement that are accepted before a drop."""
    factor: PositiveShare = 0.1
    """Factor on the rate at a drop."""


Schedule = Annotated[
    CosineSchedule | ConstantSchedule | StepSchedule | WSDSchedule | PlateauSchedule, ConfigField(discriminator="name")
]
ScheduleName = Literal["cosine", "constant", "step", "wsd", "plateau"]


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class TrainConfig(ConfigSection):
    """Options of training; by default, AdamW with a linear warm-up and a cosine decay.

    A model with several tasks learns them together: each batch is of one task, and the batches of all tasks are spread
    evenly over the epoch.

    Example:
        >>> TrainConfig(epochs=3, learning_rate=3e-4).batch_size
        64
    """

    epochs: PositiveInt = 10
    """Passes over the training split; the schedule ends with the last."""
    tasks: dict[str, TaskSection] = ConfigField(default={})
    """Options of single tasks of a multi-task model, by modality."""
    init: InitSection | None = None
    """Weights to start from, `{checkpoint: runs/digits/best, head: new}`; `null` for new ones. With `head: new` or
    `encoder: new`, the heads or the encoders of the checkpoint are left out."""
    freeze: tuple[str, ...] = ()
    """Parts of the model that are not trained, by their paths: `encoder`, `head`, `trunk.0-3` for the first four
    blocks, or a module's name in the model. Norms with running statistics in them stay in evaluation mode."""
    batch_size: PositiveInt = 64
    """Samples per batch on each device. Training drops an incomplete last batch unless it is the only one."""
    optimizer: Annotated[
        OptimizerSection, BeforeValidator(_from_name, json_schema_input_type=str | OptimizerSection)
    ] = OptimizerSection(name="adamw")
    """The optimizer, by name, or `{name: sgd, momentum: 0.9}` with its options."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate, reached at the end of the warm-up."""
    kernel_learning_rate_scale: PositiveFloat = 1.0
    """Factor on the learning rate of the operators' kernels."""
    encoder_learning_rate_scale: PositiveFloat = 1.0
    """Factor on the learning rate of the encoders; choose a small one for pretrained encoders."""
    layer_decay: PositiveShare = 1.0
    """Factor on the learning rate from each block of the trunk to the one before it; encoders have the lowest rate."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay; norms, biases and other one-dimensional parameters are exempt."""
    schedule: Annotated[Schedule, BeforeValidator(_from_name, json_schema_input_type=ScheduleName | Schedule)] = (
        CosineSchedule()
    )
    """The learning rate after the warm-up: `cosine`, `constant`, `step`, `wsd` or `plateau`, by name or as
    `{name: step, every: 30}` with its options."""
    warmup: Annotated[float, ConfigField(ge=0, lt=1)] = 0.05
    """Fraction of the steps in which the learning rate rises linearly."""
    final_learning_rate_share: Share = 0.01
    """Learning rate that the schedules `cosine`, `wsd` and `plateau` end at, as a fraction of `learning_rate`."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Coefficients of AdamW's running averages."""
    ema: Annotated[float, ConfigField(gt=0, lt=1)] | None = None
    """Share that an exponential moving average of the weights keeps in each step, such as 0.9999; the checkpoints and
    the validation have the average. `null` for the weights of the last step."""
    clip: PositiveFloat | None = 1.0
    """Maximum norm of the gradient; `null` for no clipping."""
    initialize_scales: bool = True
    """Whether the lengths and scales of the kernels are fitted to the first training samples, before the first step;
    with `init` they never are."""
    mixup: NonNegativeFloat = 0.0
    """MixUp's α: images of a training batch are blended by a share from Beta(α, α), and so are their classes; 0 for
    none. For tasks of one class per image."""
    cutmix: NonNegativeFloat = 0.0
    """CutMix's α: a rectangle of an image is another's, its area from Beta(α, α); 0 for none. With `mixup` too, each
    batch has one of them at random."""
    repeats: PositiveInt = 1
    """Copies of each training sample in an epoch, augmented differently. An epoch has as many samples as with 1."""
    bucket: PositiveInt | None = None
    """Sort the samples of so many consecutive batches by length before they are divided into batches, which saves
    padding; `null` for random order. For tasks whose samples have lengths, such as texts and recordings."""
    shuffle_buffer: PositiveInt | None = None
    """Number of samples that are shuffled together, in files that come in random order; `null` shuffles all samples.
    For data in large files that are read fast in sequence alone, as from a hard disk or a network."""
    seed: NonNegativeInt = 0
    """Seed of the initial weights, the sample order, augmentation and dropout."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Number format: `32-true`, or mixed precision with `bf16-mixed` or `16-mixed`."""
    compile: bool = False
    """Whether the blocks of the trunk are compiled (`torch.compile`), each size of inputs by itself; for inputs of few
    sizes."""
    gradient_checkpointing: bool = False
    """Whether the backward pass computes the inside of each block of the trunk again, so that it is not kept."""
    deterministic: bool = False
    """Whether algorithms of PyTorch without a deterministic result are refused; a bit-equal run on a GPU needs it."""
    accumulate: PositiveInt = 1
    """Number of batches whose gradients are accumulated into one optimizer step."""
    workers: NonNegativeInt = 0
    """Number of data-loading processes; 0 loads in the training process."""
    prefetch: PositiveInt = 2
    """Batches that each data-loading process prepares in advance."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Device type; `auto` uses a GPU if one is available."""
    devices: PositiveInt = 1
    """Number of devices of each node; each trains on batches of its own, unless `parallel` lets them share more."""
    nodes: PositiveInt = 1
    """Number of nodes, on each of which a launcher starts the processes."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`ddp`: each process holds all parameters. `fsdp`: each holds a share of them, and they are gathered block by
    block. `auto` is `fsdp` where `parallel` has a degree of it, `ddp` elsewhere."""
    parallel: ParallelSection = ParallelSection()
    """How the processes share the work: `{points: 2}` deals the points of each field to two of them, `{shard: 8}` the
    parameters to eight."""
    log_every: PositiveInt = 10
    """Steps between two entries of the training loss in the log."""
    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    """Where the numbers are logged: `tensorboard`, `csv`, `wandb`, `mlflow`; `history.csv` is written in any case."""
    profiler: Literal["simple", "advanced", "pytorch"] | None = None
    """A profiler of Lightning that writes to the folder `profile` of the run directory; `null` for none."""
    trainer: dict[str, Any] = ConfigField(default={})
    """Other arguments of Lightning's `Trainer`, such as `{limit_train_batches: 10}`."""
    patience: PositiveInt | None = None
    """Stop after this many epochs without improvement; `null` for no limit. An epoch improves on another if the metric
    that the task monitors is better on the validation split, or equal with a lower loss; with several tasks, the mean
    of these metrics counts."""
    max_minutes: PositiveFloat | None = None
    """Stop this call of `itnet train` after this many minutes; `null` for no limit."""
    save_every_steps: PositiveInt | None = None
    """Steps between saves of the training state within an epoch; `null` to save it at the end of each epoch alone."""

    @field_validator("trainer")
    @classmethod
    def _check_trainer(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Refuse arguments that the engine sets."""
        for name in arguments.keys() & REPLACED.keys():
            field = REPLACED[name]
            instead = f"use the field train.{field}" if field else "no field changes it"
            raise ValueError(f"arguments that the engine does not set: it sets {name}; {instead}")
        for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
            if not arguments.get(name, 1):
                raise ValueError(f"at least one batch in {name}: every epoch trains and validates")
        return arguments

    @classmethod
    def from_sections(cls, sections: Mapping[str, Any]) -> TrainConfig:
        """Read the section `train` of a configuration; a missing section has all defaults.

        Example:
            >>> TrainConfig.from_sections({"model": {}, "train": {"epochs": 3}}).epochs
            3

        Raises:
            ConfigError: a field is unknown or its value invalid.
        """
        with hints_at_other_sections(default_registry()):
            return parse(cls, sections.get("train") or {}, "train")

    def check_model(self, model: ITNetModel) -> str:
        """Freeze the parts of a model, and return its number of parameters."""
        from itnet_train.engine.freezing import describe_parameters, freeze_parts

        freeze_parts(model, self.freeze)
        return describe_parameters(model)

    @property
    def processes(self) -> int:
        """The number of processes, one for each device of each node."""
        return self.devices * self.nodes

    @property
    def sharded(self) -> bool:
        """Whether the parameters are shared by processes."""
        return self.strategy == "fsdp" or (self.strategy == "auto" and self.parallel.shards_parameters)

    @property
    def degrees(self) -> tuple[int, int, int]:
        """The numbers of processes along `replicate`, `shard` and `points`, whose product is that of all processes.

        Example:
            >>> TrainConfig(devices=8, nodes=2, parallel={"replicate": 2}).degrees
            (2, 8, 1)

        Raises:
            ConfigError: it is not, or a degree needs `fsdp`.
        """
        chosen = self.parallel
        degrees = ", ".join(f"{name} = {value}" for name, value in chosen.model_dump(exclude_defaults=True).items())
        if not self.sharded:
            if chosen.shards_parameters:
                found = f"{degrees}, with strategy = {self.strategy!r}"
                raise ConfigError("train.parallel", found=found, expected="points alone, or strategy = 'fsdp'")
            replicate, shard = self.processes // chosen.points, 1
        else:
            replicate, left = chosen.replicate, self.processes // (chosen.replicate * chosen.points)
            shard = left if chosen.shard == -1 else chosen.shard
        found = f"{degrees or 'no degrees'}, with {self.processes} process{'es' if self.processes > 1 else ''}"
        if replicate * shard * chosen.points != self.processes:
            expected = "degrees whose product is devices · nodes, or that divide it"
            raise ConfigError("train.parallel", found=found, expected=expected)
        if self.sharded and self.processes > shard * chosen.points == 1:
            raise ConfigError("train.parallel.shard", found=found, expected="2 or more, or strategy = 'ddp'")
        return replicate, shard, chosen.points

    def task(self, modality: str) -> TaskSection:
        """Return the options of a task."""
        return self.tasks.get(modality, TaskSection())
