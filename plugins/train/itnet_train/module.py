"""What Lightning trains: a model under the losses of its tasks, measured by their metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from itnet_core import ITNetModel, Task, auxiliary_losses
from itnet_train.batches import Parcel, collate
from itnet_train.config import TrainConfig
from itnet_train.errors import NonFiniteError
from itnet_train.mean_loss import MeanLoss
from itnet_train.optimizer import learning_rate_factor, new_optimizer
from itnet_train.scores import TaskScores, summary
from itnet_train.seeding import derive, seed_everything


class TaskModule(LightningModule):
    """A model under its tasks.

    Attributes:
        train_loss: the mean loss over the samples of this epoch so far; saved with the training state.
        scores: what the last validation or test gave, by name; see `itnet_train.scores.summary`.
    """

    def __init__(self, model: ITNetModel, tasks: Mapping[str, Task], config: TrainConfig) -> None:
        super().__init__()
        self.model, self.tasks, self.settings = model, tasks, config
        self.train_loss = MeanLoss()
        self.measured = {modality: TaskScores(task) for modality, task in tasks.items()}
        self.modules_of_metrics = nn.ModuleList(self.measured.values())
        self.scores: dict[str, float] = {}

    def try_out(self, modality: str, samples: Sequence[Any]) -> None:
        """Send a few samples of a task through model, loss and metrics, to see that they go together."""
        self._evaluate(collate(self.tasks[modality], samples))
        self._forget()

    def configure_optimizers(self) -> Any:
        """Return AdamW, and its learning rate step by step."""
        optimizer = new_optimizer(self.model, self.settings)
        steps = int(self.trainer.estimated_stepping_batches)

        def factor(step: int) -> float:
            settings = self.settings
            return learning_rate_factor(step, steps, warmup=settings.warmup, final=settings.final_learning_rate_share)

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's loss."""
        self.train_loss.reset()

    def on_train_batch_start(self, batch: Parcel, batch_idx: int) -> None:
        """Seed what the batch will draw: dropout, and samplers of the quadrature."""
        self._seed("step", self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, parcel: Parcel, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, the task's and what parts of the model want minimised beside it.

        An empty batch changes nothing. On several devices it has a loss of 0, as the others wait for its gradients.

        Raises:
            NonFiniteError: it is not finite.
        """
        if parcel.empty:
            return None if self.trainer.world_size == 1 else self._zero()
        with auxiliary_losses() as beside:
            prediction = self._predict(parcel)
        loss = self.tasks[parcel.modality].loss(prediction, parcel.batch.targets)
        if not loss.isfinite():
            raise self._not_finite("loss", loss.item(), batch_idx)
        if len(self.tasks) > 1:
            self.log(f"train/{parcel.modality}/loss", loss.detach())
            loss = self.settings.of(parcel.modality).weight * loss
        self.train_loss.update(loss, len(prediction))
        self.log("train/loss", loss.detach(), prog_bar=True)
        if beside:
            auxiliary = torch.stack(beside).sum()
            self.log("train/auxiliary_loss", auxiliary.detach())
            loss = loss + auxiliary
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient's norm.

        Raises:
            NonFiniteError: it is not finite, unless the loss is scaled for 16 bits, where a step may overflow.
        """
        largest = math.inf if self.settings.clip is None else self.settings.clip
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), largest)
        if not norm.isfinite() and self.settings.precision != "16-mixed":
            raise self._not_finite("gradient norm", norm.item(), self.trainer.fit_loop.batch_idx)
        self.log("train/gradient_norm", norm)
        self.log("train/learning_rate", optimizer.param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._start_evaluation()

    def validation_step(self, parcel: Parcel, batch_idx: int) -> None:
        """Take in a batch."""
        self._evaluate(parcel)

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores."""
        self._finish_evaluation("validation")

    def on_test_epoch_start(self) -> None:
        """Forget the last validation."""
        self._start_evaluation()

    def test_step(self, parcel: Parcel, batch_idx: int) -> None:
        """Take in a batch."""
        self._evaluate(parcel)

    def on_test_epoch_end(self) -> None:
        """Compute and log the scores."""
        self._finish_evaluation("test")

    def _predict(self, parcel: Parcel) -> Tensor:
        return self.model(parcel.batch.inputs, parcel.modality)

    def _start_evaluation(self) -> None:
        self._seed("evaluation")
        self._forget()

    def _forget(self) -> None:
        for measured in self.measured.values():
            measured.reset()

    def _zero(self) -> Tensor:
        return sum(
            (0 * p.sum() for p in self.model.parameters() if p.requires_grad), torch.zeros((), device=self.device)
        )

    def _evaluate(self, parcel: Parcel) -> None:
        if parcel.empty:
            return
        self.measured[parcel.modality].update(self._predict(parcel), parcel.batch.targets)

    def _finish_evaluation(self, split: str) -> None:
        scores = {modality: measured.compute() for modality, measured in self.measured.items()}
        self.scores = summary(scores, self.tasks)
        self.log_dict({f"{split}/{name}": score for name, score in self.scores.items()})

    def _seed(self, *place: int | str) -> None:
        seed_everything(derive(self.settings.seed, *place))

    def _not_finite(self, what: str, found: float, batch_idx: int) -> NonFiniteError:
        return NonFiniteError(
            f"the {what} of epoch {self.current_epoch + 1}, batch {batch_idx + 1} (step {self.global_step + 1})",
            found=str(found),
            expected="a finite number",
            hint="Nothing that was saved is lost. Lower train.learning_rate, or raise train.warmup.",
        )
