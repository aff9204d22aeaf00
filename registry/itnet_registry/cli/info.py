"""`itnet info`: one component with its options, or one preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from itnet_registry.cli.output import machine_readable, print_json, print_table

if TYPE_CHECKING:
    from itnet_core import Kernel
    from itnet_registry.api import Registry
    from itnet_registry.plugins.components import Component
    from itnet_registry.plugins.declarations import Preset

NAME = Annotated[
    str, typer.Argument(help="A component or preset, bare or canonical: patch, itnet-image/patch, itnet-s.")
]
KIND = Annotated[str | None, typer.Option(help="Kind of the component, if several kinds have one of this name.")]


@machine_readable
def info(
    name: NAME, kind: KIND = None, json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False
) -> None:
    """Show a component's declaration, options and origin, or a preset's configuration."""
    from itnet_registry.api import default_registry

    registry = default_registry()
    preset = _preset(registry, name) if kind in (None, "preset") else None
    if preset is not None:
        report = _preset_report(preset)
    else:
        report = _component_report(registry, look_up(registry, name, kind))
    if json:
        return print_json(report)
    tables = ("fields", "candidates")
    rows = [(key, value) for key, value in report.items() if key not in tables and value not in (None, [])]
    print_table(report["id"], ("", ""), rows)
    candidates = [(c["id"], c["rank"], c["unavailable"] or "yes", c["summary"]) for c in report.get("candidates", ())]
    title = "candidates: the first that supports the problem computes it"
    print_table(title, ("id", "rank", "usable here", "summary"), candidates)
    fields = [_row(field) for field in report.get("fields", ())]
    print_table("options", ("name", "type", "default", "description"), fields)
    return None


def look_up(registry: Registry, name: str, kind: Any = None) -> Component:
    """Return the component of a name, of any kind by default."""
    return registry.component_of_any_kind(name) if kind is None else registry.component(kind, name)


def _preset(registry: Registry, name: str) -> Preset | None:
    from itnet_registry.errors import UnknownNameError

    try:
        return registry.preset(name)
    except UnknownNameError:
        return None


def _preset_report(preset: Preset) -> dict[str, Any]:
    return {
        "kind": "preset",
        "id": preset.id,
        "summary": preset.spec.summary,
        "distribution": preset.source.title,
        "location": preset.source.location,
        "config": dict(preset.spec.config),
    }


def _component_report(registry: Registry, component: Component) -> dict[str, Any]:
    import inspect

    from itnet_core import AutoEvaluator, Kernel
    from itnet_registry.build.evaluators import ranked_evaluators
    from itnet_registry.config.schemas import component_schema

    cls = component.load()
    schema = component_schema(component)
    report = {
        "kind": component.kind,
        "id": component.id,
        "summary": component.spec.summary,
        "distribution": component.source.title,
        "location": component.source.location,
        "target": component.spec.target,
        "file": inspect.getsourcefile(cls),
        "modality": component.spec.modality,
        "config_version": component.spec.config_version,
        "requires": list(component.spec.requires),
        "fields": [
            {
                "name": name,
                "type": _type(field, schema.get("$defs", {})),
                "required": name in schema.get("required", ()),
                "default": field.get("default"),
                "description": field.get("description", ""),
            }
            for name, field in schema.get("properties", {}).items()
        ],
    }
    if issubclass(cls, Kernel):
        report |= {"scans": cls.scans, "reads_positions": _reads_positions(cls)}
    if issubclass(cls, AutoEvaluator):
        report["candidates"] = [
            {"id": c.id, "rank": evaluator.rank, "summary": c.spec.summary, "unavailable": evaluator.unavailable()}
            for c, evaluator in ranked_evaluators(registry)
        ]
    return report


def _reads_positions(kernel: type[Kernel]) -> str:
    """Return the axes of points whose positions a kernel with default options reads."""
    from itnet_core import ConfigError

    try:
        config, axes_read = kernel.configure(None, kernel.example_options), []
    except ConfigError:
        return "depends on its options"
    for axes in ("t", "xy", "xyz"):
        try:
            axes_read += [axes] if kernel.reads_positions(config, axes) else []
        except ConfigError:
            continue
    return ", ".join(axes_read) or "no"


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a short description of a JSON Schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        fields = definitions.get(name, {}).get("properties", {})
        return f"{name}({', '.join(fields)})" if fields else name
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(form, definitions) for form in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema.get("items") or {}
        return f"list of {_type(items, definitions)}" if items else "list"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join([schema.get("type", "any"), *limits])


def _row(field: dict[str, Any]) -> tuple[object, ...]:
    default = "(required)" if field["required"] else field["default"]
    return field["name"], field["type"], default, field["description"]
