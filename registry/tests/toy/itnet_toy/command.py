"""The command `itnet greet`."""

from __future__ import annotations

import typer
from pydantic import BaseModel, ConfigDict


class Greeting(BaseModel):
    """The section `greet`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = "world"
    """Whom to greet."""


def greet(name: str, loud: bool = False) -> None:
    """Say hello."""
    typer.echo(f"HELLO {name}" if loud else f"hello {name}")
