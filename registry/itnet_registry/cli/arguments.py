"""Arguments that commands of several distributions have."""

from __future__ import annotations

from typing import Annotated

import typer

Checkpoint = Annotated[
    str,
    typer.Argument(
        help="A checkpoint: a directory, such as best in a run directory; an installed model, zoo/fashion; or one on "
        "the hub, hf://owner/name[@revision]."
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Allow downloading a checkpoint of the hub that is not in its cache.")
]
