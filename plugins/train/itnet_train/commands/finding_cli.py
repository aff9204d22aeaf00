"""The commands `itnet find-rate` and `find-batch`. Torch and Lightning are imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_document, print_line, print_table
from itnet_train.commands.cli import AsJSON, Overrides

Config = Annotated[Path, typer.Argument(help="A YAML or JSON file with sections model and train, or a run.")]

ROWS = 16
"""Rows of the table of rates."""


@machine_readable
def find_rate(
    config: Config,
    overrides: Overrides = None,
    lowest: Annotated[float, typer.Option(min=1e-12, help="Rate of the first step.")] = 1e-6,
    highest: Annotated[float, typer.Option(min=1e-12, help="Rate of the last step.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="Number of steps.")] = 100,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw loss against rate to this file: .svg, .png or .pdf.", show_default=False),
    ] = None,
    json: AsJSON = False,
) -> None:
    """Find a learning rate: train for some steps while the rate grows, and see where the loss falls fastest.

    All groups of parameters grow together and keep their factors. The file and the directory of a run stay as they are.
    """
    if highest <= lowest:
        raise typer.BadParameter("--highest is not above --lowest")
    from itnet_train.commands.curves import check_plot
    from itnet_train.commands.finding import plot_rates, read_run
    from itnet_train.engine.rate_test import measure_rates
    from itnet_train.storage.formats import to_json

    if plot is not None:
        check_plot(plot)
    curve = measure_rates(read_run(config, overrides or ()), lowest=lowest, highest=highest, steps=steps)
    found = curve.suggestion
    if plot is not None:
        plot_rates(curve, plot)
    if json:
        columns = {"rates": curve.rates, "losses": curve.losses, "means": curve.means}
        return print_document(to_json({"learning_rate": found, **{name: [*row] for name, row in columns.items()}}))
    shown = range(0, len(curve.losses), max(1, len(curve.losses) // ROWS))
    rows = [(f"{curve.rates[i]:.2e}", f"{curve.losses[i]:.4f}", f"{curve.means[i]:.4f}") for i in shown]
    print_table("training loss while the rate grows", ("rate", "loss", "running mean"), rows)
    if len(curve.losses) < steps:
        print_line(f"the loss diverged at {curve.rates[-1]:.2e}")
    if found is None:
        return print_line("no suggestion: the loss does not fall. Try other --lowest, --highest, or more --steps.")
    return print_line(f"suggestion: train.learning_rate={found:.1e}")


@machine_readable
def find_batch(
    config: Config,
    overrides: Overrides = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0.01, help="Largest memory in GB; by default the GPU's, or half of the machine's."),
    ] = None,
    longest: Annotated[float, typer.Option(min=0.0, help="Seconds that a step may take.")] = 30.0,
    share: Annotated[float, typer.Option(min=0.1, max=1.0, help="Share of the most samples a second to reach.")] = 0.95,
    json: AsJSON = False,
) -> None:
    """Find a batch size: double it until the memory runs out, and take the smallest of nearly most samples a second.

    The sizes are those of one device. The file and the directory of a run stay as they are.
    """
    from itnet_registry.build.memory import readable
    from itnet_train.commands.finding import read_run
    from itnet_train.engine.batch_test import measure_batches, suggest_batch
    from itnet_train.storage.formats import to_json

    limit = None if memory is None else memory * 1e9
    costs, reason = measure_batches(read_run(config, overrides or ()), memory=limit, longest=longest)
    found = suggest_batch(costs, share)
    if json:
        return print_document(to_json({"batch_size": found, "sizes": [vars(cost) for cost in costs], "end": reason}))
    rows = [
        (
            str(cost.batch_size),
            f"{cost.samples_per_second:.4g}",
            "" if cost.memory is None else readable(cost.memory),
            f"{cost.seconds:.3g}",
        )
        for cost in costs
    ]
    print_table("training steps on one device", ("batch size", "samples a second", "peak memory", "seconds"), rows)
    print_line(f"end: {reason}")
    return print_line(f"suggestion: train.batch_size={found}")
