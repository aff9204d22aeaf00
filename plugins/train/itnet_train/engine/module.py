"""The Lightning module: a model trained with the losses of its tasks and scored by their metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from itnet_core import Split, Task, auxiliary_losses
from itnet_train.config import TrainConfig
from itnet_train.data.batches import TaskBatch, collate
from itnet_train.data.datamodule import TaskData
from itnet_train.data.seeding import derive_seed, seed_everything
from itnet_train.engine.blocks import prepare_blocks
from itnet_train.engine.freezing import freeze_parts
from itnet_train.engine.joint_loss import joint_loss
from itnet_train.engine.mean_loss import MeanLoss
from itnet_train.engine.mixing import create_mixing
from itnet_train.engine.optimizer import create_optimizer
from itnet_train.engine.parallel import (
    create_mesh,
    share_parameters,
    share_points,
    share_samples,
    whole_model,
    without_memory,
)
from itnet_train.engine.schedule import create_schedules
from itnet_train.engine.scores import TaskScores, combine_scores, monitored_score
from itnet_train.engine.single_modality import SingleModality
from itnet_train.errors import NonFiniteError


class TaskModule(LightningModule):
    """A model with its tasks.

    Args:
        model: an `ITNetModel`, or a module that is called as one: `model(inputs, modality)`.
        tasks: the tasks by modality.
        config: the training section.

    Attributes:
        train_loss: mean loss over the samples of the current epoch; saved with the training state.
        scores: scores of the last validation or test by name; see `itnet_train.engine.scores.combine_scores`.
        section_scores: scores of the last epoch by sections of the configuration.
    """

    def __init__(self, model: nn.Module, tasks: Mapping[str, Task], config: TrainConfig) -> None:
        super().__init__()
        self.model, self.tasks, self.settings = model, tasks, config
        self.train_loss = MeanLoss()
        self.task_scores = {modality: TaskScores(task) for modality, task in tasks.items()}
        self.score_modules = nn.ModuleList(self.task_scores.values())
        self.scores: dict[str, float] = {}
        self.section_scores: dict[str, float] = {}
        self.mixing = {modality: create_mixing(task, config) for modality, task in tasks.items()}
        self.empty: list[nn.Module] | None = None  # in a list, since it is no part of this module

    def setup(self, stage: str) -> None:
        """Prepare the blocks for training."""
        if stage == "fit":
            prepare_blocks(self.model, self.settings)

    def configure_model(self) -> None:
        """Let processes share the points of fields, and the parameters."""
        settings = self.settings
        if self.empty is not None or settings.processes == 1:
            return
        mesh = create_mesh(settings, self.trainer.strategy.root_device.type)
        if settings.sharded:
            if isinstance(self.model, SingleModality):
                self.model = deepcopy(self.model)  # the user's own stays as it is
            self.empty = [without_memory(self.model)]  # a copy, which a model that has a group of processes refuses
        if settings.parallel.points > 1:
            share_points(self.model, mesh)
            share_samples(self, mesh)
        if settings.sharded:
            share_parameters(self.model, mesh, settings)

    def whole_model(self) -> nn.Module | None:
        """Return the model with all its parameters; all processes call this together.

        Where they share the parameters, it is a copy in the first process, and `None` in the others.
        """
        return self.model if self.empty is None else whole_model(self.model, *self.empty)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; norms with running statistics in frozen parts stay in evaluation mode."""
        super().train(mode)
        freeze_parts(self.model, self.settings.freeze)
        return self

    def dry_run(self, modality: str, samples: Sequence[Any]) -> None:
        """Evaluate a few samples of a task, to check that model, loss and metrics fit together."""
        batch = collate(self.tasks[modality], samples)
        self._evaluate(batch)
        self._reset_scores()
        self._mixed(batch)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and the schedulers of its learning rate."""
        optimizer = create_optimizer(self.model, self.settings)
        steps, (_, mode) = int(self.trainer.estimated_stepping_batches), monitored_score(self.tasks)
        return [optimizer], create_schedules(optimizer, steps, self.settings, mode)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a scheduler; that of a plateau is stepped before the state is saved, and not here."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_train_start(self) -> None:
        """Set the learning rate of the next step; a run that was resumed for more epochs has that of the old ones."""
        for scheduler in self._schedulers():
            if isinstance(scheduler, LambdaLR):
                factors = [factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]
                for group, rate, factor in zip(
                    scheduler.optimizer.param_groups, scheduler.base_lrs, factors, strict=True
                ):
                    group["lr"] = rate * factor

    def on_train_epoch_end(self) -> None:
        """Step the scheduler of a plateau."""
        for scheduler in self._schedulers():
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(self.scores[monitored_score(self.tasks)[0]])

    def on_train_epoch_start(self) -> None:
        """Reset the training loss."""
        self.train_loss.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save each process's sums of the training loss."""
        sums = (self.train_loss.total, self.train_loss.samples)
        checkpoint["train_loss"] = [self.trainer.strategy.all_gather(each).reshape(-1).cpu() for each in sums]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore this process's sums of the training loss; with another number of processes the first one has all."""
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        total, samples = (
            each[rank] if len(each) == world_size else each.sum() * (rank == 0) for each in checkpoint["train_loss"]
        )
        self.train_loss.restore(total, samples)

    def on_train_batch_start(self, batch: TaskBatch, batch_idx: int) -> None:
        """Seed the generators that dropout and samplers draw from."""
        # Processes that share points draw the same numbers, as their samplers and their stochastic depth need.
        self._seed("step", self.current_epoch, batch_idx, self.global_rank // self.settings.parallel.points)

    def training_step(self, batch: TaskBatch, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch: the task's loss plus the auxiliary losses of submodules.

        An empty batch changes nothing. On several devices its loss is 0, because the others wait for its gradients.
        Where processes share parameters, they gather them together, so that a stand-in is predicted.

        Raises:
            NonFiniteError: the loss is not finite.
        """
        if batch.empty:
            return None if self.trainer.world_size == 1 else self._zero(batch.modality)
        batch = self._mixed(batch)
        with auxiliary_losses() as auxiliary:
            prediction = self._predict(batch)
        loss = self._loss(batch, prediction)
        if not loss.isfinite():
            raise self._not_finite("loss", loss.item(), batch_idx)
        if len(self.tasks) > 1:
            self.log(f"train/{batch.modality}/loss", loss.detach())
            loss = self.settings.task(batch.modality).weight * loss
        self.train_loss.update(loss, len(prediction))
        self.log("train/loss", loss.detach(), prog_bar=True)
        if auxiliary:
            total = torch.stack(auxiliary).sum()
            self.log("train/auxiliary_loss", total.detach())
            loss = loss + total
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the gradient.

        Raises:
            NonFiniteError: the norm is not finite, except under loss scaling (`16-mixed`), where overflow is expected.
        """
        largest = math.inf if self.settings.clip is None else self.settings.clip
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), largest)
        if isinstance(norm, DTensor):  # each process has the norm of its share
            norm = norm.full_tensor()
        if not norm.isfinite() and self.settings.precision != "16-mixed":
            raise self._not_finite("gradient norm", norm.item(), self.trainer.fit_loop.batch_idx)
        self.log("train/gradient_norm", norm)
        self.log("train/learning_rate", optimizer.param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        """Reset the scores."""
        self._start_evaluation()

    def validation_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Add a batch to the scores."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores."""
        self._finish_evaluation("validation")

    def on_test_epoch_start(self) -> None:
        """Reset the scores."""
        self._start_evaluation()

    def test_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Add a batch to the scores."""
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        """Compute and log the scores."""
        self._finish_evaluation("test")

    def _schedulers(self) -> list[Any]:
        schedulers = self.lr_schedulers()
        return schedulers if isinstance(schedulers, list) else [schedulers]

    def _predict(self, batch: TaskBatch) -> Tensor:
        prediction: Tensor = self.model(batch.batch.inputs, batch.modality)
        return prediction

    def _mixed(self, batch: TaskBatch) -> TaskBatch:
        mixing = self.mixing[batch.modality]
        return batch if mixing is None else TaskBatch(batch.modality, mixing(batch.batch))

    def _start_evaluation(self) -> None:
        self._seed("evaluation")
        self._reset_scores()

    def _reset_scores(self) -> None:
        for scores in self.task_scores.values():
            scores.reset()

    def _loss(self, batch: TaskBatch, prediction: Tensor, *, counts: bool = True) -> Tensor:
        """Return the loss of a batch; of those of all processes if it compares samples. A stand-in does not count."""
        task, targets = self.tasks[batch.modality], batch.batch.targets
        if self._compares(batch.modality):
            return joint_loss(task, prediction, targets, self.settings.parallel.points, counts=counts)
        return task.loss(prediction, targets)

    def _compares(self, modality: str) -> bool:
        """Whether a loss compares the samples of several processes."""
        return self.tasks[modality].compares_samples and dist.is_initialized() and dist.get_world_size() > 1

    def _zero(self, modality: str) -> Tensor:
        """Return a loss without samples, whose gradient to every parameter is 0."""
        if self._compares(modality):
            batch = self._stand_in(modality, "train")
            return self._loss(batch, self._predict(batch), counts=False)
        if self.empty is not None:
            return 0 * self._predict(self._stand_in(modality, "train")).sum()
        return sum(
            (0 * p.sum() for p in self.model.parameters() if p.requires_grad), torch.zeros((), device=self.device)
        )

    def _stand_in(self, modality: str, split: Split) -> TaskBatch:
        """Return a sample that is predicted so that other processes get this one's share of the parameters."""
        data: TaskData = self.trainer.datamodule  # type: ignore[attr-defined]
        batch = collate(self.tasks[modality], data.first_samples(modality, split, 1))
        return batch.to(self.device, self.model)

    def _evaluate(self, batch: TaskBatch) -> None:
        if batch.empty:
            if self.empty is not None or self._compares(batch.modality):
                stand_in = self._stand_in(batch.modality, "test" if self.trainer.testing else "validation")
                self._loss(stand_in, self._predict(stand_in), counts=False)
            return
        prediction = self._predict(batch)
        self.task_scores[batch.modality].update(prediction, batch.batch.targets, self._loss(batch, prediction))

    def _finish_evaluation(self, split: str) -> None:
        scores = {modality: scores.compute() for modality, scores in self.task_scores.items()}
        self.scores = combine_scores(scores, self.tasks)
        self.log_dict({f"{split}/{name}": score for name, score in self.scores.items()})

    def _seed(self, *position: int | str) -> None:
        seed_everything(derive_seed(self.settings.seed, *position))

    def _not_finite(self, name: str, value: float, batch_idx: int) -> NonFiniteError:
        return NonFiniteError(
            f"the {name} of epoch {self.current_epoch + 1}, batch {batch_idx + 1} (step {self.global_step + 1})",
            found=str(value),
            expected="a finite number",
            hint="Saved checkpoints are intact. Lower train.learning_rate, or raise train.warmup.",
        )
