"""`itnet list`: what is installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from itnet_registry.declared import Declared
    from itnet_registry.discovery import Source
    from itnet_registry.errors import Fault
    from itnet_registry.registry import Registry


def list_components(
    kind: Annotated[
        str | None, typer.Option(help="Only this kind: encoder, kernel, sampler, evaluator, head, task.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    metadata_only: Annotated[
        bool, typer.Option("--metadata-only", help="List the plugins by their metadata, and import none.")
    ] = False,
) -> None:
    """List the components, presets and commands that are installed, and the plugins that were set aside."""
    from itnet_registry.cli.output import print_json
    from itnet_registry.default import default_registry

    registry = default_registry()
    report = plugins_report(registry) if metadata_only else components_report(registry, kind)
    if json:
        print_json(report)
    else:
        _print(report)


def components_report(registry: Registry, kind: Any = None) -> dict[str, Any]:
    """Return what the plugins declare, in JSON's types; of one kind, or all with the presets and commands."""
    components = registry.components(kind)
    report: dict[str, Any] = {
        "components": [
            {
                "kind": component.kind,
                **_owned(component),
                "modality": component.spec.modality,
                "target": component.spec.target,
                "config_version": component.spec.config_version,
                "requires": list(component.spec.requires),
            }
            for component in components
        ]
    }
    if kind is None:
        report["presets"] = [{**_owned(preset), "config": dict(preset.spec.config)} for preset in registry.presets()]
        report["commands"] = [_owned(command) for command in registry.commands()]
    return report | _not_there(registry, registry.faults)


def plugins_report(registry: Registry) -> dict[str, Any]:
    """Return the plugins by their metadata, in JSON's types; imports none."""
    sources, faults = compatible(registry)
    keys = ("distribution", "version", "module", "location")
    return {"plugins": [{key: getattr(s, key) for key in keys} for s in sources], **_not_there(registry, faults)}


def compatible(registry: Registry) -> tuple[list[Source], list[Fault]]:
    """Return the plugins whose metadata ask for this core, and the faults of the others; imports none.

    Raises:
        PluginError: there is a fault, and the registry is strict.
    """
    from itnet_registry.errors import PluginError
    from itnet_registry.loading import check_core

    sources, faults = [], list(registry.discovery.faults)
    for source in registry.discovery.sources:
        try:
            check_core(source)
            sources.append(source)
        except PluginError as error:
            if registry.settings.strict or error.fault is None:
                raise
            faults.append(error.fault)
    return sources, faults


def _owned(declared: Declared[Any]) -> dict[str, Any]:
    return {
        "id": declared.id,
        "name": declared.name,
        "summary": declared.spec.summary,
        "distribution": declared.source.distribution,
        "version": declared.source.version,
    }


def _not_there(registry: Registry, faults: Iterable[Fault]) -> dict[str, Any]:
    return {
        "set_aside": [asdict(fault) for fault in faults],
        "left_out": [
            {"distribution": source.distribution, "version": source.version, "variable": variable}
            for source, variable in registry.discovery.excluded
        ],
    }


def _print(report: dict[str, Any]) -> None:
    from itnet_registry.cli.output import print_table

    kinds = dict.fromkeys(each["kind"] for each in report.get("components", ()))
    groups = {f"{kind}s": [c for c in report["components"] if c["kind"] == kind] for kind in kinds}
    groups |= {name: report.get(name, []) for name in ("presets", "commands")}
    for title, group in groups.items():
        print_table(title, ("name", "version", "what it is"), [(g["id"], g["version"], g["summary"]) for g in group])
    print_table(
        "plugins",
        ("distribution", "version", "module"),
        [(p["distribution"], p["version"], p["module"]) for p in report.get("plugins", ())],
    )
    print_table(
        "set aside",
        ("distribution", "version", "stage", "error"),
        [(f["distribution"], f["version"], f["stage"], f["error"]) for f in report["set_aside"]],
    )
    print_table(
        "left out",
        ("distribution", "version", "by"),
        [(e["distribution"], e["version"], e["variable"]) for e in report["left_out"]],
    )
