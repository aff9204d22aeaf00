"""Train a model and write a run directory."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from itnet_core import Task, write_atomically
from itnet_registry.errors import os_errors_as
from itnet_train.callbacks.averaging import Averaging
from itnet_train.callbacks.epoch_lines import EpochLines
from itnet_train.callbacks.history import History
from itnet_train.callbacks.progress_lines import ProgressLines
from itnet_train.callbacks.saving import Saving
from itnet_train.callbacks.section_scores import SectionScores
from itnet_train.callbacks.stopping import Stopping
from itnet_train.callbacks.termination import Termination
from itnet_train.config import TrainConfig
from itnet_train.console import is_first_process, print_status, quiet_lightning
from itnet_train.engine.fast_sums import slow_cpu_hint
from itnet_train.engine.freezing import count_parameters, describe_parameters
from itnet_train.engine.loggers import create_loggers, create_profiler
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.module import TaskModule
from itnet_train.engine.module_run import ModuleRun
from itnet_train.engine.processes import find_lost_process, is_watched
from itnet_train.engine.run import Run
from itnet_train.engine.scores import monitored_score
from itnet_train.engine.sharded_strategy import read_state
from itnet_train.engine.trainer import create_trainer
from itnet_train.errors import NonFiniteError, RunError
from itnet_train.storage.directory import RunDirectory
from itnet_train.storage.formats import to_json


def train(
    sections: Mapping[str, Any], output: str | PathLike[str], *, resume: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Train a model; return the content of `metrics.json` in the run directory.

    Example:
        >>> encoder = {"name": "patch", "patch_size": 4}
        >>> model = {"preset": "itnet-nano", "depth": 1, "encoder": encoder, "task": "digits"}
        >>> metrics = train({"model": model, "train": {"epochs": 1}}, "runs/digits")
        >>> metrics["test"]["accuracy"] > 0.3
        True

    Args:
        sections: the sections of a configuration, `model` and `train`, as `itnet_registry.load_config` returns them.
        output: the run directory.
        resume: continue the run in the directory, or start one if the directory holds none.
        overwrite: remove the run in the directory first.

    Raises:
        ITNetError: the configuration is invalid, the directory is in use or cannot be written, or the loss is not
            finite.
        SystemExit: a process received SIGTERM or SIGUSR1; the training state is saved.
    """
    return _train(lambda: ModelRun.from_sections(sections), output, resume=resume, overwrite=overwrite)


def train_module(
    task: Task,
    module: nn.Module,
    output: str | PathLike[str],
    config: TrainConfig | Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train any module on a task, as `train` trains an ITNet; return the content of `metrics.json`.

    The loss, the metrics, the order of the samples, the optimizer and the run directory are the same as for an ITNet.
    The checkpoints hold the module's weights alone. Afterwards the module has the weights of the best epoch.

    Example:
        >>> from itnet_registry import create
        >>> task = create("task", "digits")
        >>> module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> metrics = train_module(task, module, "runs/linear", {"epochs": 2, "learning_rate": 0.01})
        >>> metrics["test"]["accuracy"] > 0.5
        True

    Args:
        task: the data, the loss and the metrics.
        module: maps the inputs of the task's batches (`task.collate(samples).inputs`) to predictions.
        output: the run directory.
        config: the options of training, or the fields to change in the defaults.
        resume: continue the run in the directory, or start one if the directory holds none.
        overwrite: remove the run in the directory first.

    Raises:
        ITNetError: the configuration is invalid, the directory is in use or cannot be written, or the loss is not
            finite.
        SystemExit: a process received SIGTERM or SIGUSR1; the training state is saved.
    """
    run = ModuleRun.of(module, task, config or {})
    metrics = _train(lambda: run, output, resume=resume, overwrite=overwrite)
    run.load(RunDirectory(Path(output)).best)  # again if the run was resumed after its end
    return metrics


def _train(build: Callable[[], Run], output: str | PathLike[str], *, resume: bool, overwrite: bool) -> dict[str, Any]:
    directory = RunDirectory(Path(output))
    hint = "What was saved before is intact, and --resume continues from it."
    with os_errors_as(RunError, directory.path, hint), ExitStack() as stack:
        run = build()
        first = is_first_process()  # the processes of further devices start here too, during the run
        if first:
            directory.check(run.complete_config, resume=resume, overwrite=overwrite)
        metrics = _read_final_metrics(directory, run.config.epochs) if resume else None
        if metrics is not None:
            print_status(f"{output}: this run has ended")
            return metrics
        state = directory.state if resume and directory.state.is_file() else None
        run.prepare(resumed=state is not None)
        if first:
            run.check()
            stack.enter_context(directory.hold())
            # Check again, because another run may have started here before the directory was locked.
            directory.check(run.complete_config, resume=resume, overwrite=overwrite)
            directory.start(run.complete_config, resume=resume)
            if not directory.about.exists():
                write_atomically(directory.about, to_json(_about(run), indent=2) + "\n")
        with quiet_lightning(), ProgressLines(partial(slow_cpu_hint, run.model, run.config)) as lines:
            return _fit_and_test(run, directory, state, lines)


def _about(run: Run) -> dict[str, Any]:
    """Return what `itnet compare` and `itnet list runs` read of a run besides its configuration."""
    monitor, mode = monitored_score(run.tasks)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"preset": run.preset, "monitor": monitor, "mode": mode, "started": started}


def _read_final_metrics(directory: RunDirectory, epochs: int) -> dict[str, Any] | None:
    """Return the metrics of a finished run; one that reached `max_minutes`, or is to have more epochs, is not."""
    if not directory.metrics.is_file():
        return None
    metrics: dict[str, Any] = json.loads(directory.metrics.read_text(encoding="utf-8"))
    goes_on = metrics["stopped"] == "max_minutes" or (metrics["stopped"] == "epochs" and metrics["epochs"] < epochs)
    return None if goes_on else metrics


def _fit_and_test(run: Run, directory: RunDirectory, state: Path | None, lines: ProgressLines) -> dict[str, Any]:
    if state is None and run.config.initialize_scales and run.config.init is None:
        run.initialize_scales()
    history = History(directory.history, *monitored_score(run.tasks))
    stopping = Stopping(history, run.config)
    averaging = None if run.config.ema is None else Averaging(run.config.ema)
    saving = Saving(directory, run.save, history, run.config.save_every_steps, averaging)
    trainer = create_trainer(
        run.config,
        callbacks=[
            *([] if averaging is None else [averaging]),
            SectionScores(run, averaging),
            history,
            stopping,
            *run.section_callbacks(),
            Termination(),
            EpochLines(history),
            lines,
            saving,
        ],
        logger=create_loggers(run.config, directory),
        profiler=create_profiler(run.config, directory),
        root=directory.path,
        find_unused_parameters=run.may_skip_parameters,
    )
    print_status(f"{directory.path}: {describe_parameters(run.model)}{', resumed' if state else ''}")
    module = TaskModule(run.model, run.tasks, run.config)
    if state is not None and run.config.sharded:  # Lightning restores it after it has created the loaders
        run.data.load_state_dict(read_state(state)["TaskData"])
    try:
        trainer.fit(module, datamodule=run.data, ckpt_path=state, weights_only=True)
    except SIGTERMException as error:  # which would exit with 0
        raise SystemExit(0 if is_watched(trainer) else 128 + signal.SIGTERM) from error
    except RuntimeError as error:
        if (lost := find_lost_process(trainer, error)) is None:
            raise
        raise lost from error
    row = history.rows[history.best]
    if not history.has_best:
        raise NonFiniteError(
            f"the validation of all {len(history.rows)} epochs",
            found="nan in each",
            expected="a number in at least one of them, to select the best epoch",
            hint=f"The weights of the last are in {directory.last}. Lower train.learning_rate, or raise train.warmup.",
        )
    best = TaskModule(run.load(directory.best), run.tasks, run.config)
    trainer.test(best, datamodule=run.data, verbose=False)
    metrics = {
        "test": best.scores,
        "validation": {k.removeprefix("validation_"): row[k] for k in row if k.startswith("validation_")},
        "best_epoch": row["epoch"],
        "epochs": history.rows[-1]["epoch"],
        "steps": history.rows[-1]["step"],
        "stopped": stopping.reason,
        "parameters": count_parameters(run.model),
        "trained_parameters": count_parameters(run.model, trained=True),
        "seconds": history.rows[-1]["seconds"],
        "versions": run.versions,
    }
    if trainer.is_global_zero:
        write_atomically(directory.metrics, to_json(metrics, indent=2) + "\n")
    return metrics
