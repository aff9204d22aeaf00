"""The command `itnet test-plugin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from itnet_registry.cli.output import machine_readable, print_json, print_line


@machine_readable
def check_plugin(
    distribution: Annotated[str, typer.Argument(help="The name of the distribution, as for pip.")],
    options: Annotated[
        Path | None,
        typer.Option(help="A YAML or JSON file with options by component name, for components that need some."),
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the tracebacks of failures.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check all components of a distribution with the conformance kit; exit code 1 if a check fails."""
    from dataclasses import asdict

    from itnet_registry.config.files import load_config
    from itnet_testing.conformance.base import Outcome
    from itnet_testing.conformance.distribution import check_distribution

    results: dict[str, list[Outcome]] = {}
    for component, outcomes in check_distribution(distribution, None if options is None else load_config(options)):
        name = f"{component.kind} {component.id}"
        results[name] = outcomes
        if not json:
            run = [outcome for outcome in outcomes if outcome.status != "skipped"]
            passed = sum(outcome.ok for outcome in run)
            print_line(f"{name}: {passed} of {len(run)} checks passed, {len(outcomes) - len(run)} skipped")
    failures = [(name, outcome) for name, outcomes in results.items() for outcome in outcomes if not outcome.ok]
    if json:
        components = {name: [asdict(outcome) for outcome in outcomes] for name, outcomes in results.items()}
        print_json({"ok": not failures, "components": components})
    else:
        for name, outcome in failures:
            print_line("")
            print_line(f"{name}, {outcome.check} {outcome.status}")
            for line in (outcome.traceback if traceback else outcome.reason).splitlines():
                print_line(f"    {line}")
        if not traceback and any(outcome.traceback for _, outcome in failures):
            print_line("")
            print_line(f"See where they failed: itnet test-plugin {distribution} --traceback")
    raise typer.Exit(1 if failures else 0)
