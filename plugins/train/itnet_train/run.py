"""One run: from the sections of a configuration to a directory with the trained model and what it scores."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from itnet_core import ConfigError, ITNetError, ITNetModel, Split, Task
from itnet_registry import create_model, load_model
from itnet_registry.config.heads import check_heads
from itnet_registry.errors import ComponentError, one_line, refused_as
from itnet_train.config import TrainConfig
from itnet_train.console import EpochLines, is_first_process, quiet, say
from itnet_train.data import TaskData
from itnet_train.directory import RunDirectory
from itnet_train.errors import NonFiniteError, RunError
from itnet_train.files import to_json, write
from itnet_train.history import History
from itnet_train.module import TaskModule
from itnet_train.saving import Saving
from itnet_train.scores import check_monitor, monitor
from itnet_train.sections import train_config
from itnet_train.seeding import derive, seed_everything
from itnet_train.selection import tasks_of
from itnet_train.stopping import Stopping
from itnet_train.trainer import new_trainer
from itnet_train.versions import versions


@dataclass(frozen=True)
class Run:
    """A run's parts, built from its configuration.

    Attributes:
        model: new, its weights drawn from the seed.
        tasks: the model's, by modality.
        config: the section `train`.
    """

    model: ITNetModel
    tasks: Mapping[str, Task]
    config: TrainConfig

    @classmethod
    def of(cls, sections: Mapping[str, Any]) -> Run:
        """Build the parts.

        Raises:
            ITNetError: the configuration is not sound, a component is not installed, or there is no task.
        """
        config = train_config(sections)
        seed_everything(derive(config.seed, "weights"))
        model = create_model(**sections.get("model", {}))
        tasks = tasks_of(model)
        check_heads(tasks, (model.config or {}).get("heads", {}))
        for modality in config.tasks.keys() - tasks.keys():
            raise ConfigError(
                f"train.tasks.{modality}", found=f"a part for {modality}", expected=f"one of {', '.join(tasks)}"
            )
        return cls(model, tasks, config)

    @property
    def complete(self) -> dict[str, Any]:
        """The configuration with every default filled in."""
        return {"model": self.model.config, "train": self.config.model_dump(mode="json")}

    @property
    def parameters(self) -> int:
        """The number of the model's parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def data(self) -> TaskData:
        """The splits of the tasks."""
        return TaskData(self.tasks, self.config)

    def check(self) -> dict[str, int]:
        """Look for the devices, and send the first samples of each split through model, loss and metrics.

        So what would fail in the first validation or in the test at the end fails before any work is lost.

        Returns:
            The number of samples of each split; of several tasks, as `image/train`.

        Raises:
            ITNetError: a device or a split is missing, a task's monitor is not among its metrics, or model, loss and
                metrics do not go together.
        """
        with quiet():
            new_trainer(self.config)
        with _owned("the metrics of the tasks"):
            for task in self.tasks.values():
                check_monitor(task)
            module = TaskModule(self.model, self.tasks, self.config).eval()
        sizes = {}
        for modality, split in product(self.tasks, get_args(Split)):
            samples = self.data.dataset(modality, split)
            sizes[split if len(self.tasks) == 1 else f"{modality}/{split}"] = len(samples)
            with torch.no_grad(), _owned(f"the first samples of {modality}/{split}"):
                module.try_out(modality, self.data.readable(modality, split, 2))
        self.model.train()
        return sizes


@contextmanager
def _owned(place: str) -> Iterator[None]:
    """Give what a task's code, or a model under it, raises a place."""
    try:
        yield
    except (ITNetError, OSError):
        raise
    except Exception as error:
        expected = "a task whose samples, loss and metrics go together with the model"
        raise ComponentError(place, found=one_line(error), expected=expected) from error


def train(
    sections: Mapping[str, Any], output: str | PathLike[str], *, resume: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Train a model and return what `metrics.json` in `output` holds at the end.

    Args:
        sections: the configuration's sections, `model` and `train`, as `itnet_registry.load_config` returns them.
        output: the run's directory.
        resume: go on with the run that is there; where there is none yet, start it.
        overwrite: remove the run that is there.

    Raises:
        ITNetError: the configuration is not sound, the directory is taken or cannot be written to, or the loss is not
            finite.
        SystemExit: the process was told to terminate; the state is saved.
    """
    directory = RunDirectory(Path(output))
    saved = "What was saved before is still there, and --resume goes on from it."
    with refused_as(RunError, directory.path, saved), ExitStack() as held:
        run = Run.of(sections)
        first = is_first_process()  # those of further devices start here too, when the run is under way
        if first:
            directory.check(run.complete, resume=resume, overwrite=overwrite)
        ended = _ended(directory) if resume else None
        if ended is not None:
            say(f"{output}: this run has ended")
            return ended
        if first:
            run.check()
            held.enter_context(directory.hold())
            directory.check(run.complete, resume=resume, overwrite=overwrite)  # again: now no other run can come in
            directory.start(run.complete, resume=resume)
        with quiet():
            return _fit_and_test(run, directory, directory.state if resume and directory.state.is_file() else None)


def _ended(directory: RunDirectory) -> dict[str, Any] | None:
    """Return the metrics of a run that has come to its end; one that ran out of time has not."""
    if not directory.metrics.is_file():
        return None
    metrics: dict[str, Any] = json.loads(directory.metrics.read_text(encoding="utf-8"))
    return None if metrics["stopped"] == "max_minutes" else metrics


def _fit_and_test(run: Run, directory: RunDirectory, state: Path | None) -> dict[str, Any]:
    history = History(directory.history, *monitor(run.tasks))
    stopping = Stopping(history, run.config)
    saving = Saving(directory, history, run.config.save_every_steps)
    trainer = new_trainer(
        run.config,
        callbacks=[history, stopping, EpochLines(history), saving],
        logger=TensorBoardLogger(directory.path, name="", version=directory.logs.name),
        root=directory.path,
        part_unused=len(run.model.encoders) > 1,
    )
    say(f"{directory.path}: {run.parameters:,} parameters{', resumed' if state else ''}")
    module = TaskModule(run.model, run.tasks, run.config)
    try:
        trainer.fit(module, datamodule=run.data, ckpt_path=state, weights_only=True)
    except SIGTERMException as end:  # which would exit with 0
        raise SystemExit(128 + signal.SIGTERM) from end
    row = history.rows[history.best]
    if not history.has_best:
        raise NonFiniteError(
            f"the validation of all {len(history.rows)} epochs",
            found="nan in each",
            expected="a number in one of them, which would be the best",
            hint=f"The weights of the last are in {directory.last}. Lower train.learning_rate, or raise train.warmup.",
        )
    best = TaskModule(load_model(directory.best), run.tasks, run.config)
    trainer.test(best, datamodule=run.data, verbose=False)
    metrics = {
        "test": best.scores,
        "validation": {k.removeprefix("validation_"): row[k] for k in row if k.startswith("validation_")},
        "best_epoch": row["epoch"],
        "epochs": history.rows[-1]["epoch"],
        "steps": history.rows[-1]["step"],
        "stopped": stopping.reason,
        "parameters": run.parameters,
        "seconds": history.rows[-1]["seconds"],
        "versions": versions(run.complete["model"]),
    }
    if trainer.is_global_zero:
        write(directory.metrics, to_json(metrics, indent=2) + "\n")
    return metrics
