"""`itnet test-plugin`: the conformance kit over all that a distribution declares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def check_plugin(
    distribution: Annotated[str, typer.Argument(help="Its name, as pip knows it.")],
    options: Annotated[
        Path | None,
        typer.Option(help="A YAML or JSON file: options of its components by their names, where they need some."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check all components of a distribution with the conformance kit; exit code 1 if one fails a check."""
    from dataclasses import asdict

    from itnet_registry.cli.output import print_json, print_line, print_table
    from itnet_registry.config.files import load_config
    from itnet_testing.distribution import run_distribution

    found: dict[str, list[Any]] = {}
    for component, outcomes in run_distribution(distribution, None if options is None else load_config(options)):
        found[f"{component.kind} {component.id}"] = outcomes
        if not json:
            passed = sum(each.ok for each in outcomes)
            print_line(f"{component.kind} {component.id}: {passed} of {len(outcomes)} checks passed")
    failures = [(name, each) for name, outcomes in found.items() for each in outcomes if not each.ok]
    if json:
        print_json({"ok": not failures, "components": {name: [asdict(o) for o in found[name]] for name in found}})
    else:
        rows = [(name, each.check, f"{each.status}: {each.detail}") for name, each in failures]
        print_table("failures", ("component", "check", "what came of it"), rows)
    raise typer.Exit(1 if failures else 0)
