"""What Lightning trains: a model under a task's loss, measured by the task's metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from itnet_core.model import ITNetModel
from itnet_core.task import Task
from itnet_train.batches import Parcel, collate
from itnet_train.config import TrainConfig
from itnet_train.errors import NonFiniteError
from itnet_train.mean_loss import MeanLoss
from itnet_train.optimizer import learning_rate_factor, new_optimizer
from itnet_train.seeding import derive, seed_everything


class TaskModule(LightningModule):
    """A model under one task.

    Attributes:
        train_loss: the mean loss over the samples of this epoch so far; saved with the training state.
        scores: the mean loss and the task's metrics of the last validation or test, by name.
    """

    def __init__(self, model: ITNetModel, task: Task, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.task, self.settings = model, task, config
        self.train_loss, self.loss = MeanLoss(), MeanLoss()
        self.metrics = dict(task.metrics())
        self.modules_of_metrics = nn.ModuleList(m for m in self.metrics.values() if isinstance(m, nn.Module))
        self.scores: dict[str, float] = {}

    def try_out(self, samples: Sequence[Any]) -> None:
        """Send a few samples through model, loss and metrics, to see that they go together."""
        self._evaluate(collate(self.task, samples))
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

    def training_step(self, parcel: Parcel, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Raises:
            NonFiniteError: it is not finite.
        """
        prediction = self._predict(parcel)
        loss = self.task.loss(prediction, parcel.batch.targets)
        if not loss.isfinite():
            raise self._not_finite("loss", loss.item(), batch_idx)
        self.train_loss.update(loss, len(prediction))
        self.log("train/loss", loss.detach(), prog_bar=True)
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
        return self.model(parcel.batch.inputs, self.task.modality)

    def _start_evaluation(self) -> None:
        self._seed("evaluation")
        self._forget()

    def _forget(self) -> None:
        for metric in (self.loss, *self.metrics.values()):
            metric.reset()

    def _evaluate(self, parcel: Parcel) -> None:
        prediction, targets = self._predict(parcel), parcel.batch.targets
        self.loss.update(self.task.loss(prediction, targets), len(prediction))
        for metric in self.metrics.values():
            metric.update(prediction, targets)

    def _finish_evaluation(self, split: str) -> None:
        computed = {"loss": self.loss, **self.metrics}
        self.scores = {name: float(metric.compute()) for name, metric in computed.items()}
        self.log_dict({f"{split}/{name}": score for name, score in self.scores.items()})

    def _seed(self, *place: int | str) -> None:
        seed_everything(derive(self.settings.seed, *place))

    def _not_finite(self, what: str, found: float, batch_idx: int) -> NonFiniteError:
        return NonFiniteError(
            f"the {what} of epoch {self.current_epoch + 1}, batch {batch_idx + 1} (step {self.global_step + 1})",
            found=str(found),
            expected="a finite number",
            mend="Nothing that was saved is lost. Lower train.learning_rate, or raise train.warmup.",
        )
