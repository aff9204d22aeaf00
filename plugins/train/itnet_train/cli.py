"""The commands `itnet train`, `itnet evaluate` and `itnet predict`. Torch and Lightning are imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from itnet_registry.cli.output import machine_readable, print_document, print_line

AsJSON = Annotated[bool, typer.Option("--json", help="Write the result to stdout as one line of JSON.")]
Checkpoint = Annotated[Path, typer.Argument(help="A checkpoint's directory, such as best in a run's.")]
Modality = Annotated[str | None, typer.Option(help="Which task, for a model of several.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)]


@machine_readable
def train(
    config: Annotated[Path, typer.Argument(help="A YAML or JSON file with sections model and train.")],
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(help="The run's directory; by default runs/ and the name of CONFIG.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the directory, if there is one.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove the run in the directory first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, write and train nothing.")] = False,
    json: AsJSON = False,
) -> None:
    """Train a model as CONFIG says.

    KEY=VALUE overrides a field of CONFIG; the value is YAML: train.epochs=3 model.kernel.heads=2
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    from itnet_train import run
    from itnet_train.console import is_first_process
    from itnet_train.directory import RunDirectory
    from itnet_train.sections import read_sections

    sections = read_sections(config, overrides or ())
    output = Path("runs") / config.stem if output is None else output
    if dry_run:
        planned = run.Run.of(sections)
        RunDirectory(output).check(planned.complete, resume=resume, overwrite=overwrite)
        _print({"parameters": planned.parameters, "samples": planned.check()}, json)
        return
    metrics = run.train(sections, output, resume=resume, overwrite=overwrite)
    if is_first_process():  # however many train, one tells
        _print({**metrics, "output": str(output)}, json)


@machine_readable
def evaluate(
    checkpoint: Checkpoint,
    overrides: Overrides = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which samples.")] = "test",
    modality: Modality = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="Integrate by this one: full, or '{name: monte-carlo, points: 64}'.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load data.")] = 0,
    json: AsJSON = False,
) -> None:
    """Compute a checkpoint's loss and metrics on a split of its tasks.

    KEY=VALUE overrides a field of the one task, such as where the data lies: root=/data/imagenet
    """
    from itnet_train import evaluation
    from itnet_train.config import TrainConfig
    from itnet_train.overrides import override

    task = override({}, overrides or ())
    chosen = None if sampler is None else override({}, [f"sampler={sampler}"])["sampler"]
    config = TrainConfig(batch_size=batch_size, workers=workers)
    scores = evaluation.evaluate(checkpoint, split, modality=modality, task=task, config=config, sampler=chosen)
    _print({split: scores}, json)


@machine_readable
def predict(
    checkpoint: Checkpoint,
    files: Annotated[list[Path], typer.Argument(help="Files of the kind that the task reads.")],
    modality: Modality = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")] = "cpu",
    json: AsJSON = False,
) -> None:
    """Predict files. One that cannot be predicted is named, the others are predicted; the exit code is then 1."""
    from itnet_train import prediction

    predictions = prediction.predict(checkpoint, files, modality=modality, device=device)
    failed = [each for each in predictions if each.record is None]
    if json:
        told = [{"file": str(each.file), "prediction": each.record, "error": each.error} for each in predictions]
        _print({"predictions": told}, json)
    for each in predictions:
        if each.record is None:
            print_line(f"{each.file}: {each.error}", err=True)
        elif not json:
            print_line(f"{each.file}: {_line(each.record)}")
    if failed:
        raise typer.Exit(1)


def _print(result: dict[str, Any], json: bool) -> None:
    """Write a result to stdout."""
    from itnet_train.files import to_json

    if json:
        print_document(to_json(result))
    else:
        for name, value in result.items():
            print_line(f"{name}: {_line(value) if isinstance(value, dict) else value}")


def _line(values: dict[str, Any]) -> str:
    return "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
