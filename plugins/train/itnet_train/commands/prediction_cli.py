"""The commands `itnet predict` and `serve`. Torch is imported when they run; Lightning never is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.arguments import Checkpoint, Download
from itnet_registry.cli.output import machine_readable, print_document, print_line
from itnet_train.commands.cli import AsJSON, Modality

Device = Annotated[str, typer.Option(help="The device to compute on: auto, cpu, cuda, mps.")]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="Number of likeliest labels.")]


@machine_readable
def predict(
    checkpoint: Checkpoint,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns such as 'images/*.png', tables (.csv, .tsv, .jsonl, .parquet) with an input "
            "a row, texts, or - for the lines of standard input."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Write the predictions to a file: .csv, .jsonl or .parquet.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --output.")] = False,
    top_k: TopK = 5,
    column: Annotated[
        str | None, typer.Option(help="The column of a table that alone is the input.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per batch.")] = 32,
    modality: Modality = None,
    device: Device = "auto",
    download: Download = False,
    json: AsJSON = False,
) -> None:
    """Predict files, folders, rows of tables, or texts. Inputs that cannot be predicted are reported; the exit code is
    then 1.
    """
    from itnet_registry import load
    from itnet_train.commands import prediction
    from itnet_train.storage.formats import to_json

    if output is not None:
        prediction.check_output(output, overwrite=overwrite)
    predictor = load(checkpoint, modality=modality, device=device, top_k=top_k, download=download)
    found = list(prediction.inputs_of(inputs, predictor, column))
    done = []
    for one in prediction.with_progress(predictor.predict_inputs(found, batch_size), len(found)):
        done.append(one)
        if one.record is None or not (json or output):
            print_line(prediction.show(one), err=one.record is None)
    if output is not None:
        prediction.write_predictions(done, output)
    failed = sum(one.record is None for one in done)
    if json:
        records = [{"input": one.name, "prediction": one.record, "error": one.error} for one in done]
        print_document(to_json({"output": str(output)} if output else {"predictions": records}))
    elif output is not None:
        print_line(f"{len(done) - failed} of {len(done)} inputs predicted: {output}")
    if failed:
        raise typer.Exit(1)


def serve(
    checkpoint: Checkpoint,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 for all of this machine's, without authentication.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8000,
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest body of a request in bytes.")] = 32 * 2**20,
    timeout: Annotated[float, typer.Option(min=0.001, help="Longest time of a request in seconds.")] = 60.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per batch.")] = 32,
    max_wait_ms: Annotated[
        float,
        typer.Option(min=0, help="Milliseconds that a request waits for others to fill a batch."),
    ] = 0.0,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections above which new ones are refused.")] = 1000,
    top_k: TopK = 5,
    modality: Modality = None,
    device: Device = "auto",
    download: Download = False,
) -> None:
    """Serve a checkpoint over HTTP: POST /predict, GET /health, and the interface (OpenAPI) at /docs.

    On SIGTERM, requests that were accepted are answered, and the exit code is 0.
    """
    from itnet_core import ConfigError
    from itnet_registry import load

    try:
        from itnet_train.serving.app import ServeLimits
        from itnet_train.serving.server import serve as run
    except ModuleNotFoundError as error:
        hint = "Install them with: pip install 'itnet-train[serve]'"
        raise ConfigError(
            "itnet serve", found=f"no {error.name}", expected="fastapi, uvicorn and python-multipart", hint=hint
        ) from None
    predictor = load(checkpoint, modality=modality, device=device, top_k=top_k, download=download)
    limits = ServeLimits(max_bytes, timeout, batch_size, max_wait_ms / 1000)
    run(predictor, host, port, limits=limits, max_connections=max_connections)
