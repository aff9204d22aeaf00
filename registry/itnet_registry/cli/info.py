"""`itnet info`: one component or preset, with its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from itnet_core import Kernel
    from itnet_core.plugin.specs import Kind
    from itnet_registry.components import Component
    from itnet_registry.declared import Preset
    from itnet_registry.registry import Registry

NAME = Annotated[
    str, typer.Argument(help="A component or preset, bare or canonical: patch, itnet-image/patch, itnet-s.")
]
KIND = Annotated[str | None, typer.Option(help="Its kind, where several kinds have one of this name.")]


def info(
    name: NAME, kind: KIND = None, json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False
) -> None:
    """Show a component's declaration, options and origin."""
    from itnet_registry.cli.output import print_json, print_table
    from itnet_registry.default import default_registry

    registry = default_registry()
    preset = _preset(registry, name) if kind in (None, "preset") else None
    report = _of_preset(preset) if preset is not None else _of_component(registry, look_up(registry, name, kind))
    if json:
        return print_json(report)
    tables = ("fields", "candidates")
    rows = [(key, value) for key, value in report.items() if key not in tables and value not in (None, [])]
    print_table(report["id"], ("", ""), rows)
    candidates = report.get("candidates", ())
    ranks = [(each["rank"], each["id"], each["missing"] or "yes", each["summary"]) for each in candidates]
    head = ("rank", "id", "usable here", "what it is")
    print_table("it takes the first of these that can do the case", head, ranks)
    fields = report.get("fields", ())
    print_table("options", ("name", "type", "default", "what it is"), [_row(field) for field in fields])
    return None


def look_up(registry: Registry, name: str, kind: Any = None) -> Component:
    """Return the component of this name, of whatever kind if there is one alone.

    Raises:
        UnknownNameError, AmbiguousNameError: no component has the name, or several have.
    """
    from itnet_core.plugin.specs import KINDS
    from itnet_registry.errors import AmbiguousNameError, UnknownNameError
    from itnet_registry.names import unknown

    if kind is not None:
        return registry.component(kind, name)
    found = []
    for each in KINDS:
        try:
            found.append(registry.component(each, name))
        except UnknownNameError:
            continue
    if not found:
        raise unknown("name", "component", name, registry.components(), registry.discovery, registry.faults)
    if len(found) > 1:
        kinds: list[Kind] = [component.kind for component in found]
        raise AmbiguousNameError(
            "name", found=f"{name!r}, of kinds {', '.join(kinds)}", expected="one kind", hint=f"Add --kind {kinds[0]}."
        )
    return found[0]


def _preset(registry: Registry, name: str) -> Preset | None:
    from itnet_registry.errors import UnknownNameError

    try:
        return registry.preset(name)
    except UnknownNameError:
        return None


def _of_preset(preset: Preset) -> dict[str, Any]:
    return {
        "kind": "preset",
        "id": preset.id,
        "summary": preset.spec.summary,
        "distribution": preset.source.title,
        "location": preset.source.location,
        "config": dict(preset.spec.config),
    }


def _of_component(registry: Registry, component: Component) -> dict[str, Any]:
    import inspect

    from itnet_core import AutoEvaluator, Kernel
    from itnet_registry.automatic import ranked
    from itnet_registry.schemas import component_schema

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
            {"id": each.id, "rank": evaluator.rank, "summary": each.spec.summary, "missing": evaluator.unavailable()}
            for each, evaluator in ranked(registry)
        ]
    return report


def _reads_positions(kernel: type[Kernel[Any, Any]]) -> str:
    """Return for points that differ on which axes a kernel with its default options reads positions."""
    from itnet_core import ConfigError

    try:
        config, read = kernel.configure(None, kernel.example_options), []
    except ConfigError:
        return "depends on its options"
    for axes in ("t", "xy", "xyz"):
        try:
            read += [axes] if kernel.reads_positions(config, axes) else []
        except ConfigError:
            continue
    return ", ".join(read) or "no"


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a JSON Schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        fields = definitions.get(name, {}).get("properties", {})
        return f"{name}({', '.join(fields)})" if fields else name
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(each, definitions) for each in schema["anyOf"])
    if schema.get("type") == "array":
        items = schema.get("items") or {}
        return f"list of {_type(items, definitions)}" if items else "list"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join([schema.get("type", "any"), *limits])


def _row(field: dict[str, Any]) -> tuple[object, ...]:
    default = "(required)" if field["required"] else field["default"]
    return field["name"], field["type"], default, field["description"]
