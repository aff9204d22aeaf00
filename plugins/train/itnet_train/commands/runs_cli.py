"""The commands `itnet compare`, `sweep`, `list runs` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from itnet_registry.cli.output import machine_readable, print_document, print_line, print_table

AsJSON = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Plot = Annotated[
    Path | None, typer.Option(help="Draw the learning curves to this file: .svg, .png or .pdf.", show_default=False)
]


@machine_readable
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that contain some.")],
    plot: Plot = None,
    json: AsJSON = False,
) -> None:
    """Compare runs: a row for each configuration, with means and deviations over its seeds.

    The columns are the fields in which the configurations differ, the scores of the best epoch on the validation and
    the test split, the best epoch, and the seconds of training. Runs that have not ended have rows of their own.
    """
    _show(runs, plot, json)


@machine_readable
def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML or JSON file with sections model and train.")],
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUES...", help="Fields and their values: 1e-3,3e-3 or 0..2.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the runs; by default runs/ and the name of CONFIG with -sweep.", show_default=False
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Sample so many points by Optuna instead of all combinations.", show_default=False),
    ] = None,
    plot: Plot = None,
    json: AsJSON = False,
) -> None:
    """Train a run for each combination of values, one after another, and compare them.

    train.learning_rate=1e-3,3e-3 train.seed=0..2 are six runs. With --trials N, a field may have a range to sample
    from: log(1e-4,1e-2), uniform(0,0.5) or int(2,8). Called again, the command leaves runs that have ended alone and
    resumes one that was interrupted. A run that fails is reported; the exit code is then 1.
    """
    from itnet_registry import load_config
    from itnet_train.commands.grid import parse_sweep
    from itnet_train.commands.sweeping import sweep as train_all

    folder = Path("runs") / f"{config.stem}-sweep" if output is None else output
    result = train_all(load_config(config), parse_sweep(assignments), folder, trials=trials)
    if result.runs:
        _show(result.runs, plot, json)
    for path, error in result.failed.items():
        print_line(f"{path} failed: {error}", err=True)
    if result.failed:
        raise typer.Exit(1)


@machine_readable
def list_runs(
    folder: Annotated[Path, typer.Argument(help="A folder with runs.")] = Path("runs"),
    json: AsJSON = False,
) -> None:
    """List the runs in a folder: whether they have ended, their task, preset, best score and start."""
    from itnet_train.errors import RunError
    from itnet_train.storage.formats import to_json
    from itnet_train.storage.record import find_runs

    records = list(find_runs(folder))
    if json:
        return print_document(to_json({"runs": [record.summary() for record in records]}, indent=2))
    if not records:
        raise RunError(str(folder), found="no run", expected="a folder with runs", hint="itnet train starts one.")
    names = ("run", "state", "task", "preset", "best", "epochs", "started")
    rows = []
    for record in records:
        shown = record.summary()
        score = shown["best"]
        best = "" if score is None else f"{shown['monitor']} {score:.4f}"
        started = (shown["started"] or "")[:16].replace("T", " ")
        epochs = f"{shown['epochs']}/{shown['of']}"
        task = ", ".join(name.partition("/")[2] or name for name in shown["task"].split(", "))
        rows.append((shown["path"], shown["state"], task, shown["preset"], best, epochs, started))
    return print_table(f"runs in {folder}", names, rows)


def _show(runs: list[Path], plot: Path | None, json: bool) -> None:
    from itnet_train.commands.comparison import compare, table
    from itnet_train.commands.curves import check_plot, plot_curves
    from itnet_train.storage.formats import to_json

    if plot is not None:
        check_plot(plot)
    groups = compare(runs)
    if plot is not None:
        plot_curves(groups, plot)
    if json:
        print_document(to_json({"groups": [group.to_json() for group in groups]}, indent=2))
    else:
        print_table("runs", *table(groups))


@machine_readable
def report(
    run: Annotated[Path, typer.Argument(help="The directory of a run.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Fields of the task to override.", show_default=False),
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="The split to predict.")] = "test",
    samples: Annotated[int, typer.Option(min=0, help="Number of samples of largest loss to show.")] = 24,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per batch.")] = 64,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; by default report.html in the run.", show_default=False)
    ] = None,
    json: AsJSON = False,
) -> None:
    """Write report.html of a run: learning curves, the confusion matrix and the worst samples.

    The page is one file that opens in any browser, without a server or a network.
    """
    from itnet_train.commands.overrides import apply_overrides
    from itnet_train.reporting.report import report as write
    from itnet_train.storage.formats import to_json

    task = apply_overrides({}, overrides or ())
    file = write(run, split, task=task, samples=samples, batch_size=batch_size, output=output)
    if json:
        print_document(to_json({"report": str(file)}))
    else:
        print_line(f"report: {file}")
