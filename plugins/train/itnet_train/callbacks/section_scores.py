"""Callback that logs what sections of the configuration score of the model after each epoch."""

from __future__ import annotations

from lightning.pytorch import Callback, Trainer

from itnet_train.callbacks.averaging import Averaging, averaged_weights
from itnet_train.engine.module import TaskModule
from itnet_train.engine.run import Run


class SectionScores(Callback):
    """Logs the scores of the run's sections, as `section/name`, and leaves them for the history.

    It is called before `History`. Where processes share the parameters, the first one scores a copy with all of them,
    and the others wait for its scores.

    Args:
        run: the run, with its sections.
        averaging: the average that is scored in place of the weights of the last step.
    """

    def __init__(self, run: Run, averaging: Averaging | None = None) -> None:
        self.run, self.averaging = run, averaging

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TaskModule) -> None:  # type: ignore[override]
        """Score the model; see `itnet_registry.ConfigSection.epoch_scores`."""
        if not self.run.sections:
            return
        scores: dict[str, float] = {}
        with averaged_weights(self.averaging, pl_module.model):
            if (model := pl_module.whole_model()) is not None:
                scores = {
                    f"{name}/{score}": value
                    for name, section in self.run.sections.items()
                    for score, value in self.run.section_scores(section, model, trainer.current_epoch + 1).items()
                }
        pl_module.section_scores = trainer.strategy.broadcast(scores)
        pl_module.log_dict(pl_module.section_scores)
