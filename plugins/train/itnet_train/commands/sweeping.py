"""Train the runs of a sweep one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from itnet_core import ConfigError, ITNetError
from itnet_registry.api import default_registry
from itnet_registry.config.resolve import resolve
from itnet_registry.errors import one_line
from itnet_train.commands.grid import Point, SampledRange, Values, grid_points, run_name
from itnet_train.commands.sections import set_fields
from itnet_train.commands.training import train
from itnet_train.config import TrainConfig
from itnet_train.console import print_status


@dataclass
class SweepResult:
    """The runs of a sweep.

    Example:
        >>> SweepResult(runs=[Path("runs/rates/learning_rate=0.001")]).failed
        {}

    Attributes:
        runs: the directories of the runs that have ended.
        failed: errors by the directories of the others.
    """

    runs: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def sweep(
    sections: Mapping[str, Any],
    swept: Mapping[str, Values],
    output: str | PathLike[str],
    *,
    trials: int | None = None,
) -> SweepResult:
    """Train a run for each combination of values, one after another, each in a folder that is named by its values.

    Called again, it leaves runs that have ended alone and resumes one that was interrupted. A run that fails is
    reported, and the others go on.

    Example:
        >>> encoder = {"name": "patch", "patch_size": 4}
        >>> model = {"preset": "itnet-nano", "depth": 1, "encoder": encoder, "task": "digits"}
        >>> config = {"model": model, "train": {"epochs": 1}}
        >>> result = sweep(config, {"train.learning_rate": [1e-3, 1e-2]}, "runs/rates")
        >>> [run.name for run in result.runs]
        ['learning_rate=0.001', 'learning_rate=0.01']

    Args:
        sections: the sections of a configuration, as `itnet_registry.load_config` returns them.
        swept: values by the dotted path of a field; or a range to sample from, with `trials`.
        output: folder of the run directories.
        trials: sample so many points in all by Optuna, those of earlier calls included, to improve the monitored
            validation score; by default all combinations are trained.

    Raises:
        ConfigError: the configuration of a point is invalid; then no run is started.
    """
    folder, result = Path(output), SweepResult()
    varied = [key for key, values in swept.items() if isinstance(values, SampledRange) or len(values) > 1]

    def run(point: Point) -> dict[str, Any] | None:
        return _train_point(sections, point, folder / run_name(point, varied), result)

    if trials is not None:
        from itnet_train.commands.searching import search

        search(run, lambda point: _checked(sections, point), swept, folder, trials)
        return result
    points = grid_points(swept)
    for point in points:
        _checked(sections, point)
    for number, point in enumerate(points, start=1):
        print_status(f"run {number} of {len(points)}")
        run(point)
    return result


def _checked(sections: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """Return the configuration of a point, checked as far as is possible without building a model."""
    own = set_fields(sections, point)
    config = TrainConfig.from_sections(own)
    resolve(default_registry(), own.get("model", {}))
    if config.processes > 1:
        raise ConfigError(
            "train.devices",
            found=f"{config.processes} processes",
            expected="one process for each run of a sweep",
            hint="Start runs on several devices by itnet train.",
        )
    return own


def _train_point(sections: Mapping[str, Any], point: Point, output: Path, result: SweepResult) -> dict[str, Any] | None:
    """Train the run of a point, or resume it; return its metrics, or `None` if it failed."""
    try:
        metrics = train(set_fields(sections, point), output, resume=True)
    except Exception as error:  # of a task's own code, too
        result.failed[output] = str(error) if isinstance(error, ITNetError) else one_line(error)
        print_status(f"{output} failed: {result.failed[output]}")
        return None
    result.runs.append(output)
    return metrics
