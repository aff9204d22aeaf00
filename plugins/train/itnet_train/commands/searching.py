"""Search among the values of a sweep by Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from itnet_core import ConfigError
from itnet_train.commands.grid import Point, SampledRange, Values
from itnet_train.console import print_status
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.scores import monitored_score


def search(
    run: Callable[[Point], dict[str, Any] | None],
    configure: Callable[[Point], dict[str, Any]],
    swept: Mapping[str, Values],
    folder: Path,
    trials: int,
) -> None:
    """Train points that Optuna samples, until there are so many in all; the study is kept in `study.log`.

    A trial that was interrupted is repeated first; its run is resumed.

    Args:
        run: trains a point and returns its metrics, or `None` if it failed.
        configure: returns the configuration of a point.
        swept: values and ranges by field.
        folder: folder of the sweep.
        trials: number of trials, those of earlier calls included.

    Raises:
        ConfigError: Optuna is not installed, or the configuration is invalid.
    """
    if find_spec("optuna") is None:
        hint = "Install it with: pip install 'itnet-train[sweep]'"
        raise ConfigError("--trials", found="no optuna", expected="Optuna", hint=hint)
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    first = {key: values.low if isinstance(values, SampledRange) else values[0] for key, values in swept.items()}
    monitor, mode = monitored_score(ModelRun.from_sections(configure(first)).tasks)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="itnet",
        storage=JournalStorage(JournalFileBackend(str(folder / "study.log"))),
        sampler=optuna.samplers.TPESampler(seed=0),
        direction="maximize" if mode == "max" else "minimize",
        load_if_exists=True,
    )
    for interrupted in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(interrupted.number, state=TrialState.FAIL)
        study.enqueue_trial(interrupted.params)
    while (done := _count(study)) < trials:
        print_status(f"trial {done + 1} of {trials}")
        trial = study.ask()
        metrics = run({key: _suggest(trial, key, values) for key, values in swept.items()})
        if metrics is None:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, metrics["validation"][monitor])


def _count(study: Any) -> int:
    """Return the number of trials that have ended; those that were interrupted do not count."""
    return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.get_trials(deepcopy=False))


def _suggest(trial: Any, key: str, values: Values) -> Any:
    if not isinstance(values, SampledRange):
        number = trial.suggest_categorical(key, list(range(len(values))))  # Optuna's choices are scalars
        return values[number]
    if values.scale == "int":
        return trial.suggest_int(key, int(values.low), int(values.high))
    sampled = trial.suggest_float(key, values.low, values.high, log=values.scale == "log")
    return float(f"{sampled:.4g}")  # a name of the run that can be read
