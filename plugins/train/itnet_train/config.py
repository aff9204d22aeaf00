"""The `train` section of a configuration. Imports no torch, so that `itnet validate` and `itnet schema` are fast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Beta = Annotated[float, Field(ge=0, lt=1)]

FREE_ON_RESUME = frozenset({"log_every", "max_minutes", "save_every_steps", "workers"})
"""The fields that may change when a run is resumed: they do not change what is learned."""


class TaskConfig(BaseModel):
    """A task's part in the training of a model of several.

    Attributes:
        weight: of its loss in training.
        samples: of its training split in each epoch, all of them in turn; `null` for the whole split in every epoch.
        batch_size: in place of the run's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: PositiveFloat = 1.0
    samples: PositiveInt | None = None
    batch_size: PositiveInt | None = None


class TrainConfig(BaseModel):
    """How a model is trained: AdamW with a linear warm-up and a cosine, for a number of epochs.

    A model of several tasks learns them together: each batch is of one task, and those of all are spread evenly over
    the epoch.

    Attributes:
        epochs: passes over the training split; the cosine ends with the last.
        tasks: by modality, the parts of the tasks of a model of several; all defaults for those that are not named.
        batch_size: samples a batch, on each device. Training leaves an incomplete last batch out, unless it is the only
            one.
        learning_rate: AdamW's, at the end of the warm-up.
        kernel_learning_rate_scale: the learning rate of the operators' kernels, as a multiple of `learning_rate`.
        encoder_learning_rate_scale: the same of the encoders: small for one that is trained already.
        weight_decay: AdamW's; not on norms, biases and other parameters of one dimension.
        warmup: share of the steps in which the learning rate rises linearly.
        final_learning_rate_share: the learning rate of the last step, as a share of `learning_rate`.
        betas: AdamW's.
        clip: the largest norm of the gradient; `null` for any.
        seed: of the weights, the order of samples, augmentation and dropout.
        precision: `32-true`, or mixed with `bf16-mixed` or `16-mixed`.
        accumulate: batches whose gradients make one step.
        workers: processes that load data; 0 loads in the training process.
        accelerator: where to train; `auto` takes a GPU if there is one.
        devices: how many of them; with several, each takes batches of its own.
        log_every: steps between two entries in the log of the training loss.
        patience: epochs without a better one after which training stops; `null` never. Better is a better value of the
            metric that the task monitors on the validation split, or an equal one and a lower loss; for several tasks,
            of the mean of these metrics.
        max_minutes: minutes after which this call of `itnet train` stops training; `null` never.
        save_every_steps: steps between two saves of the training state within an epoch, beside the save at its end;
            `null` for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: PositiveInt = 10
    tasks: dict[str, TaskConfig] = {}
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    kernel_learning_rate_scale: PositiveFloat = 1.0
    encoder_learning_rate_scale: PositiveFloat = 1.0
    weight_decay: NonNegativeFloat = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    final_learning_rate_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    clip: PositiveFloat | None = 1.0
    seed: NonNegativeInt = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: PositiveInt = 1
    workers: NonNegativeInt = 0
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: PositiveInt = 1
    log_every: PositiveInt = 50
    patience: PositiveInt | None = None
    max_minutes: PositiveFloat | None = None
    save_every_steps: PositiveInt | None = None

    def of(self, modality: str) -> TaskConfig:
        """Return the part of a task."""
        return self.tasks.get(modality, TaskConfig())
