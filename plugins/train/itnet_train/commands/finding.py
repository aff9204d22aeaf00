"""What the finders of rates and batch sizes read and draw."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from itnet_core.plugin.files import atomic_path
from itnet_train.commands.sections import read_sections
from itnet_train.engine.model_run import ModelRun
from itnet_train.engine.rate_test import RateCurve


def read_run(config: Path, overrides: Iterable[str]) -> ModelRun:
    """Build the run of a configuration, check it, and load the weights that it starts from.

    Raises:
        ITNetError: the configuration is invalid, or the run would fail before its first step.
    """
    run = ModelRun.from_sections(read_sections(config, list(overrides)))
    run.prepare()
    run.check()
    return run


def plot_rates(curve: RateCurve, file: Path) -> None:
    """Draw the loss against the rate, with the suggestion."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, alpha=0.3, label="loss")
    axes.plot(curve.rates, curve.means, color="C0", label="running mean")
    if curve.suggestion is not None:
        axes.axvline(curve.suggestion, color="black", linewidth=0.8, label=f"suggestion {curve.suggestion:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    if curve.means:
        axes.set_ylim(top=max(1.2 * curve.means[0], *curve.means[:2]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=150)
