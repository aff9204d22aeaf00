import typer
from pydantic import BaseModel, ConfigDict


class Greeting(BaseModel):
    """Attributes: name: whom to greet."""

    model_config = ConfigDict(extra="forbid")

    name: str = "world"


def greet(name: str, loud: bool = False) -> None:
    """Say hello."""
    typer.echo(f"HELLO {name}" if loud else f"hello {name}")
