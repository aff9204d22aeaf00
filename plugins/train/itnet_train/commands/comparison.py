"""Runs side by side: grouped by configuration, with means and deviations over seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from os.path import commonprefix
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from itnet_train.commands.grid import short_names
from itnet_train.config import MUTABLE_ON_RESUME
from itnet_train.errors import RunError
from itnet_train.storage.directory import flatten
from itnet_train.storage.record import RunRecord, find_runs

IGNORED = {"train.seed", *(f"train.{name}" for name in MUTABLE_ON_RESUME)}
"""Fields in which runs of a group may differ."""


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration and state, which differ in their seeds alone; `compare` returns them.

    Example:
        >>> RunGroup((), {"model.trunk.0.kernel.name": "itnet-core/mlp"}).shown_options
        {'kernel': 'mlp'}

    Attributes:
        runs: at least one.
        options: the fields in which the configurations of the compared groups differ, by their dotted paths.
    """

    runs: tuple[RunRecord, ...]
    options: Mapping[str, Any]

    @property
    def finished(self) -> bool:
        """Whether the runs have ended."""
        return self.runs[0].state == "finished"

    @property
    def name(self) -> str:
        """What the names of the runs begin with, without the seed; the first one if they have nothing in common."""
        names = [run.path.resolve().name for run in self.runs]
        common = re.sub(r"[\W_]*(seed)?[\W_]*$", "", commonprefix(names)) if len(names) > 1 else ""  # noqa: RUF071
        return common or names[0]

    @property
    def shown_options(self) -> dict[str, str]:
        """The options as text, by short names; of the name of a component, the distribution is left out."""
        shown = {}
        for field, short in short_names(list(self.options)).items():
            text = str(self.options[field])
            shown[short] = text.partition("/")[2] or text if field.endswith(".name") else text
        return shown

    def scores(self) -> dict[str, list[float]]:
        """Return the scores of all runs by name, such as `test accuracy`, with the best epoch and the seconds."""
        found: dict[str, list[float]] = {}
        for run in self.runs:
            own = run.scores() | ({"best epoch": run.best["epoch"]} if run.best else {})
            for name, value in (own | {"seconds": run.seconds}).items():
                found.setdefault(name, []).append(value)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the group, JSON-native; the deviation is that of a sample, and `null` for a single run."""
        return {
            "options": dict(self.options),
            "state": self.runs[0].state,
            "runs": [
                {
                    "path": run.path.as_posix(),
                    "seed": run.config.get("train", {}).get("seed"),
                    "epochs": run.epochs,
                    "scores": run.scores(),
                    "best_epoch": run.best.get("epoch"),
                    "seconds": run.seconds,
                }
                for run in self.runs
            ],
            "scores": {
                name: {"mean": fmean(values), "deviation": stdev(values) if len(values) > 1 else None}
                for name, values in self.scores().items()
            },
        }


def compare(runs: Iterable[str | PathLike[str]]) -> list[RunGroup]:
    """Return runs in groups of one configuration: all fields but the seed and those that may change on a resume.

    If all monitor the same metric, the groups with the best validation come first.

    Example:
        >>> from itnet_train import sweep
        >>> encoder = {"name": "patch", "patch_size": 4}
        >>> model = {"preset": "itnet-nano", "depth": 1, "encoder": encoder, "task": "digits"}
        >>> config = {"model": model, "train": {"epochs": 1}}
        >>> _ = sweep(config, {"train.learning_rate": [1e-3, 1e-2], "train.seed": range(2)}, "runs/rates")
        >>> [(group.options, len(group.runs)) for group in compare(["runs/rates"])]
        [({'train.learning_rate': 0.01}, 2), ({'train.learning_rate': 0.001}, 2)]

    Args:
        runs: run directories, or folders that contain some.

    Raises:
        RunError: there are none, or one is damaged.
    """
    places = [Path(run) for run in runs]
    records = {record.path.resolve(): record for place in places for record in find_runs(place)}
    if not records:
        places_text = ", ".join(map(str, places)) or "compare"
        raise RunError(places_text, found="no run", expected="directories of runs, such as runs/*")
    grouped: dict[str, list[RunRecord]] = {}
    for record in records.values():
        fields = {key: value for key, value in flatten(record.config).items() if key not in IGNORED}
        grouped.setdefault(json.dumps([record.state, fields], sort_keys=True), []).append(record)
    options = _differences([flatten(group[0].config) for group in grouped.values()])
    groups = [RunGroup(tuple(group), own) for group, own in zip(grouped.values(), options, strict=True)]
    return _sorted(groups)


def _differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the fields in which configurations differ, without those that follow from others.

    These are options of a component that are the same wherever its name is. Of fields with the same last part that tell
    the same groups apart, such as the widths of all blocks, the shortest is left.
    """
    names = sorted({name for config in configs for name in config} - IGNORED, key=lambda name: (name.count("."), name))
    columns: dict[tuple[str, ...], str] = {}
    for name in names:
        values = [json.dumps(config.get(name)) for config in configs]
        if len(set(values)) > 1:
            columns.setdefault((name.rpartition(".")[2], *values), name)
    components = [name for name in columns.values() if name.endswith(".name")]

    def follows(name: str) -> bool:
        """Whether the name of the component tells the option."""
        owners = [owner for owner in components if name != owner and name.startswith(owner.removesuffix("name"))]
        pairs = [{(str(config.get(owner)), json.dumps(config.get(name))) for config in configs} for owner in owners]
        return any(len(found) == len({owner for owner, _ in found}) for found in pairs)

    return [{name: config.get(name) for name in columns.values() if not follows(name)} for config in configs]


def _sorted(groups: list[RunGroup]) -> list[RunGroup]:
    ranks = {(run.monitor, run.about.get("mode", "min")) for group in groups for run in group.runs}
    if len(ranks) > 1:
        return groups
    [(monitor, mode)] = ranks
    sign = -1 if mode == "max" else 1

    def rank(group: RunGroup) -> float:
        values = group.scores().get(f"validation {monitor}")
        return sign * fmean(values) if values else float("inf")

    return sorted(groups, key=rank)


def table(groups: Sequence[RunGroup]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the table of groups; groups that have not ended show their state."""
    scores = sorted(dict.fromkeys(name for group in groups for name in group.scores()), key=_split_rank)
    state = [] if all(group.finished for group in groups) else ["state"]
    rows = []
    for group in groups:
        found, first = group.scores(), group.runs[0]
        row = [group.name, *([first.state] if state else []), *group.shown_options.values()]
        row += [str(len(group.runs)), *(_mean(name, found.get(name, [])) for name in scores)]
        rows.append(row)
    return ["run", *state, *groups[0].shown_options, "runs", *scores], rows


def _split_rank(score: str) -> int:
    splits = ("validation", "test")
    return splits.index(split) if (split := score.partition(" ")[0]) in splits else len(splits)


def _mean(name: str, values: Sequence[float]) -> str:
    """Format a mean and the deviation of a sample."""
    if not values:
        return ""
    digits = 1 if name in ("best epoch", "seconds") else 4
    if name == "best epoch" and len(set(values)) == 1:
        return f"{values[0]:.0f}"
    return f"{fmean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")
