"""The command `itnet init`: a first configuration for a user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_line, print_summary


@machine_readable
def init(
    folder: Annotated[Path, typer.Argument(help="A folder of data, or a file such as a table.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write; by default the folder's name with .yaml.", show_default=False),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="The time that training may take on this machine.")] = 30,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write what the run costs as one line of JSON.")] = False,
) -> None:
    """Look at your data, and write a configuration to train on it.

    Every installed task is asked what it could learn; the one that reads most of the files is taken. A few training
    steps on the data decide how many points, epochs and samples a batch this machine can train in the time.
    """
    from itnet_core import ConfigError, write_atomically
    from itnet_train.commands.first_config import detect, propose

    output = Path(f"{folder.resolve().stem}.yaml") if output is None else output
    if output.exists() and not overwrite:
        hint = "Choose another file by --output, or pass --overwrite."
        raise ConfigError(str(output), found="a file that exists", expected="a new file", hint=hint)
    component, detection = detect(folder)
    print_line(f"found {detection.found}", err=json)
    text, summary = propose(component, detection, minutes, str(output))
    write_atomically(output, text)
    print_summary(summary, as_json=json)
    print_line(f"wrote {output}; now: itnet train {output}", err=json)
