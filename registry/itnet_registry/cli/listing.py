"""`itnet list`: installed components, presets, commands and plugins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itnet_registry.checkpoints.installed import installed_models
from itnet_registry.cli.output import machine_readable, print_json, print_table

if TYPE_CHECKING:
    from itnet_registry.api import Registry
    from itnet_registry.errors import Fault
    from itnet_registry.plugins.declarations import Declared


@machine_readable
def list_components(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that match, such as '*conv*'.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only this kind: encoder, kernel, sampler, evaluator, head, task, preset, command, model."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="List the plugins by their metadata, and import none.")
    ] = False,
) -> None:
    """List the installed components, presets, commands and models, and the plugins in quarantine.

    With itnet-train, `itnet list runs` lists the runs in a folder.
    """
    from itnet_registry.api import default_registry

    registry = default_registry()
    report = plugins_report(registry) if metadata_only else components_report(registry, kind, pattern or "*")
    if json:
        print_json(report)
    else:
        _print(report)


def components_report(registry: Registry, kind: Any = None, pattern: str = "*") -> dict[str, Any]:
    """Return the components, presets, commands and models of a kind, or of all, JSON-native."""
    report: dict[str, Any] = {}
    if kind not in ("preset", "command", "model"):
        report["components"] = [
            {
                "kind": component.kind,
                **_declaration(component),
                "modality": component.spec.modality,
                "target": component.spec.target,
                "config_version": component.spec.config_version,
                "requires": list(component.spec.requires),
            }
            for component in registry.components(kind)
            if component.matches(pattern)
        ]
    if kind in (None, "preset"):
        report["presets"] = [
            {**_declaration(preset), "config": dict(preset.spec.config)}
            for preset in registry.presets()
            if preset.matches(pattern)
        ]
    if kind in (None, "command"):
        report["commands"] = [_declaration(command) for command in registry.commands() if command.matches(pattern)]
    if kind in (None, "model"):
        report["models"] = [
            {
                "name": model.name,
                "bytes": model.size,
                "distribution": model.distribution,
                "version": model.version,
                **(model.described() if kind == "model" else {}),  # reading cards would slow the list of everything
            }
            for model in installed_models()
            if fnmatchcase(model.name, pattern)
        ]
    return report | _unused(registry, registry.faults)


def plugins_report(registry: Registry) -> dict[str, Any]:
    """Return the plugins by their metadata, JSON-native; imports none."""
    sources, faults = registry.check_metadata()
    keys = ("distribution", "version", "module", "location")
    return {"plugins": [{key: getattr(s, key) for key in keys} for s in sources], **_unused(registry, faults)}


def _declaration(declared: Declared[Any]) -> dict[str, Any]:
    return {
        "id": declared.id,
        "name": declared.name,
        "summary": declared.spec.summary,
        "distribution": declared.source.distribution,
        "version": declared.source.version,
    }


def _unused(registry: Registry, faults: Iterable[Fault]) -> dict[str, Any]:
    return {
        "quarantined": [asdict(fault) for fault in faults],
        "left_out": [
            {"distribution": source.distribution, "version": source.version, "variable": variable}
            for source, variable in registry.discovery.excluded
        ],
    }


def _print(report: dict[str, Any]) -> None:
    kinds = dict.fromkeys(component["kind"] for component in report.get("components", ()))
    groups = {f"{kind}s": [c for c in report.get("components", ()) if c["kind"] == kind] for kind in kinds}
    groups |= {name: report.get(name, []) for name in ("presets", "commands")}
    for title, group in groups.items():
        print_table(title, ("name", "version", "summary"), [(g["id"], g["version"], g["summary"]) for g in group])
    models = report.get("models", ())
    told = ("score", "license", "data") if any("score" in model for model in models) else ("distribution", "version")
    rows = [(m["name"], f"{m['bytes'] / 1e6:.1f}", *(m[key] for key in told)) for m in models]
    print_table("models", ("name", "MB", *told), rows)
    print_table(
        "plugins",
        ("distribution", "version", "module"),
        [(p["distribution"], p["version"], p["module"]) for p in report.get("plugins", ())],
    )
    print_table(
        "in quarantine",
        ("distribution", "version", "stage", "error"),
        [(f["distribution"], f["version"], f["stage"], f["error"]) for f in report["quarantined"]],
    )
    print_table(
        "left out",
        ("distribution", "version", "by"),
        [(e["distribution"], e["version"], e["variable"]) for e in report["left_out"]],
    )
