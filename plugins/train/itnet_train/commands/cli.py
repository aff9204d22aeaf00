"""The commands `itnet train`, `evaluate` and `export`. Torch and Lightning are imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from itnet_registry.cli.arguments import Checkpoint, Download
from itnet_registry.cli.output import machine_readable, print_document, print_line, print_summary

AsJSON = Annotated[bool, typer.Option("--json", help="Write the result to stdout as one line of JSON.")]
Modality = Annotated[str | None, typer.Option(help="The modality, for a model of several tasks.", show_default=False)]
AnotherSampler = Annotated[
    str | None, typer.Option(help="Another sampler: full, or '{name: monte-carlo, points: 64}'.", show_default=False)
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Fields to override.", show_default=False)
]


@machine_readable
def train(
    config: Annotated[
        Path, typer.Argument(help="A YAML or JSON file with sections model and train, or the directory of a run.")
    ],
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The run directory; by default runs/ and the name of CONFIG, or the run that CONFIG is."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the directory, or start it if there is none.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="First remove the run in the directory.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time the first steps, and write nothing.")
    ] = False,
    json: AsJSON = False,
) -> None:
    """Train a model from a configuration file.

    KEY=VALUE overrides a field of CONFIG; the value is YAML: train.epochs=3 model.kernel.heads=2
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    from itnet_train.commands import training
    from itnet_train.commands.sections import is_directory, read_sections
    from itnet_train.commands.summary import summarize
    from itnet_train.console import is_first_process
    from itnet_train.engine.model_run import ModelRun
    from itnet_train.storage.directory import RunDirectory

    sections = read_sections(config, overrides or ())
    if output is None:
        output = config if is_directory(config) else Path("runs") / config.stem
    if dry_run:
        run = ModelRun.from_sections(sections)
        RunDirectory(output).check(run.complete_config, resume=resume, overwrite=overwrite)
        run.prepare(resumed=resume and RunDirectory(output).state.is_file())
        print_summary(summarize(run), as_json=json)
        return
    metrics = training.train(sections, output, resume=resume, overwrite=overwrite)
    if is_first_process():
        print_result({**metrics, "output": str(output)}, json)


@machine_readable
def evaluate(
    checkpoint: Checkpoint,
    overrides: Overrides = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="The split to evaluate.")] = "test",
    modality: Modality = None,
    sampler: AnotherSampler = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per batch.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Number of data-loading processes.")] = 0,
    download: Download = False,
    json: AsJSON = False,
) -> None:
    """Compute a checkpoint's loss and metrics on a split of its tasks.

    KEY=VALUE overrides a field of the task, such as the directory of the data: root=/data/imagenet
    """
    from itnet_registry.checkpoints.addresses import locate
    from itnet_train.commands import evaluation
    from itnet_train.commands.overrides import apply_overrides
    from itnet_train.config import TrainConfig

    task = apply_overrides({}, overrides or ())
    config, other = TrainConfig(batch_size=batch_size, workers=workers), _parsed_sampler(sampler)
    found = locate(checkpoint, download=download)
    scores = evaluation.evaluate(found, split, modality=modality, task=task, config=config, sampler=other)
    print_result({split: scores}, json)


@machine_readable
def export(
    checkpoint: Checkpoint,
    file_format: Annotated[
        Literal["onnx", "pt2"], typer.Option("--format", help="ONNX, or the format of torch.export.")
    ] = "onnx",
    output: Annotated[
        Path | None, typer.Option(help="The file to write; by default the checkpoint's name with the format's suffix.")
    ] = None,
    modality: Modality = None,
    sampler: AnotherSampler = None,
    download: Download = False,
    json: AsJSON = False,
) -> None:
    """Export a checkpoint as a graph for ONNX Runtime, or for PyTorch without ITNet. Batch and sizes are dynamic."""
    from itnet_registry.checkpoints.addresses import locate, path_beside
    from itnet_train.commands import export as exporting

    found = locate(checkpoint, download=download)
    file = path_beside(checkpoint).with_suffix(f".{file_format}") if output is None else output
    other = _parsed_sampler(sampler)
    print_result(exporting.export(found, file_format, file, modality=modality, sampler=other), json)


def _parsed_sampler(sampler: str | None) -> Any:
    """Return a sampler's name, or its name with options."""
    from itnet_train.commands.overrides import apply_overrides

    return None if sampler is None else apply_overrides({}, [f"sampler={sampler}"])["sampler"]


def print_result(result: dict[str, Any], json: bool) -> None:
    """Write a result to stdout, a line for each entry, or as one line of JSON."""
    from itnet_train.storage.formats import to_json

    if json:
        print_document(to_json(result))
    else:
        for name, value in result.items():
            print_line(f"{name}: {_format(value) if isinstance(value, dict) else value}")


def _format(values: dict[str, Any]) -> str:
    return "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
