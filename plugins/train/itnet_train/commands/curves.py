"""Learning curves of groups of runs, by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

from itnet_core import ConfigError
from itnet_core.plugin.files import atomic_path
from itnet_train.commands.comparison import RunGroup

SUFFIXES = (".svg", ".png", ".pdf")


def check_plot(file: Path) -> None:
    """Check that a plot can be drawn to a file.

    Raises:
        ConfigError: matplotlib is not installed, or the suffix is not that of a figure.
    """
    if find_spec("matplotlib") is None:
        hint = "Install it with: pip install 'itnet-train[plot]'"
        raise ConfigError("--plot", found="no matplotlib", expected="matplotlib", hint=hint)
    if file.suffix not in SUFFIXES:
        raise ConfigError("--plot", found=f"the suffix {file.suffix!r}", expected=f"one of {', '.join(SUFFIXES)}")


def plot_curves(groups: Sequence[RunGroup], file: Path) -> None:
    """Draw the loss and the monitored score by epoch: the mean of each group, and the range of its runs.

    Raises:
        ConfigError: see `check_plot`.
    """
    check_plot(file)
    from matplotlib.figure import Figure

    monitors = list(dict.fromkeys(run.monitor for group in groups for run in group.runs))
    panels = list(dict.fromkeys(["train_loss", "validation_loss", *(f"validation_{name}" for name in monitors)]))
    figure = Figure(figsize=(4 * len(panels), 3.4), layout="constrained")
    for axes, column in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for group in groups:
            _draw(axes, group, column)
        axes.set(xlabel="epoch", title=column.replace("_", " "))
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", frameon=False, fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=150)


def _draw(axes: Any, group: RunGroup, column: str) -> None:
    by_epoch: dict[int, list[float]] = {}
    for run in group.runs:
        for row in run.rows:
            if math.isfinite(row.get(column, math.nan)):
                by_epoch.setdefault(int(row["epoch"]), []).append(row[column])
    epochs = sorted(by_epoch)
    options = ", ".join(f"{name}={value}" for name, value in group.shown_options.items())
    label = f"{options or group.name}{'' if group.finished else f' ({group.runs[0].state})'}"
    [line] = axes.plot(
        epochs,
        [fmean(by_epoch[epoch]) for epoch in epochs],
        label=label,
        linestyle="-" if group.finished else "--",
        marker="." if len(epochs) == 1 else "",
    )
    low, high = ([bound(by_epoch[epoch]) for epoch in epochs] for bound in (min, max))
    axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
