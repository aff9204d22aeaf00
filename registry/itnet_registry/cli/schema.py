"""`itnet schema`: JSON Schemas for editors and other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from itnet_registry.cli.info import KIND, look_up
from itnet_registry.cli.output import machine_readable, print_json, print_line


@machine_readable
def schema(
    name: Annotated[str | None, typer.Argument(help="A component; by default a whole configuration file.")] = None,
    kind: KIND = None,
    every: Annotated[bool, typer.Option("--all", help="Write the schemas of all components, by kind and id.")] = False,
) -> None:
    """Write the JSON Schema of a configuration file, or of a component's options."""
    from itnet_core import ConfigError, ITNetError
    from itnet_registry.api import default_registry
    from itnet_registry.config.schemas import component_schema, config_schema

    def skipped(error: ITNetError) -> None:
        print_line(f"left out: {error}", err=True)

    registry = default_registry()
    if every and name is not None:
        raise ConfigError("itnet schema", found="a name and --all", expected="one of the two")
    if name is not None:
        print_json(component_schema(look_up(registry, name, kind)))
    elif every:
        schemas: dict[str, dict[str, object]] = {}
        for component in registry.components():
            try:
                schemas.setdefault(component.kind, {})[component.id] = component_schema(component)
            except ITNetError as error:
                skipped(error)
        print_json(schemas)
    else:
        print_json(config_schema(registry, skipped))
