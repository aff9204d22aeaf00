"""The command `itnet push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable
from itnet_train.commands.cli import AsJSON, print_result


@machine_readable
def push(
    run: Annotated[str, typer.Argument(help="A run directory, or a checkpoint.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository; it is created if missing.")],
    license: Annotated[  # noqa: A002
        str, typer.Option(help="Licence of the weights, as the hub names it: apache-2.0.", show_default=False)
    ] = "",
    data: Annotated[str, typer.Option(help="Name of the training data.", show_default=False)] = "",
    data_license: Annotated[str, typer.Option(help="Licence of the training data.", show_default=False)] = "",
    data_source: Annotated[str, typer.Option(help="Where the training data are from.", show_default=False)] = "",
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder, and upload nothing.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder that --dry-run writes; by default NAME.", show_default=False),
    ] = None,
    json: AsJSON = False,
) -> None:
    """Upload a run's best checkpoint to the hub: the weights, itnet.json, and a model card written from the run.

    Nothing else is uploaded, and no folder of this machine is named.
    """
    from itnet_train.publishing.card import CardFacts
    from itnet_train.publishing.folder import push_to_hub, save_pretrained

    if output is not None and not dry_run:
        raise typer.BadParameter("--output needs --dry-run")
    facts = CardFacts(license=license, data=data, data_license=data_license, data_source=data_source)
    if dry_run:
        folder = Path(name.rpartition("/")[2]) if output is None else output
        save_pretrained(run, folder, address=f"hf://{name}", facts=facts)
        print_result({"folder": str(folder)}, json)
    else:
        print_result({"commit": push_to_hub(run, name, private=private, facts=facts)}, json)
