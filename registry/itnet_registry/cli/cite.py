"""`itnet cite`: BibTeX for what a run used."""

from __future__ import annotations

from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_document, print_json


@machine_readable
def cite(
    run: Annotated[str, typer.Argument(help="A run directory, or a checkpoint.")],
    json: Annotated[bool, typer.Option("--json", help="Write the entries by key, as JSON.")] = False,
) -> None:
    """Print BibTeX for what a run used: the paper, and the sources of its kernels, data and libraries.

    Each component declares its own, options that the run may not have used included.
    """
    from itnet_registry.api import default_registry

    found = default_registry().citations(run)
    if json:
        print_json(found)
    else:
        print_document("\n\n".join(found.values()))
