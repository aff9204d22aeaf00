"""`itnet info`: a component or command with its options, or a preset, file or checkpoint with its trunk."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itnet_registry.cli.output import machine_readable, print_json, print_table
from itnet_registry.errors import UnknownNameError

if TYPE_CHECKING:
    from itnet_core import Kernel
    from itnet_registry.api import Registry
    from itnet_registry.config.model_config import CompleteModelConfig
    from itnet_registry.plugins.components import Component
    from itnet_registry.plugins.declarations import Command, Declared, Preset

NAME = Annotated[
    str,
    typer.Argument(
        help="A component, preset or command, bare or canonical: patch, itnet-image/patch, itnet-s; or a file or a "
        "checkpoint."
    ),
]
KIND = Annotated[str | None, typer.Option(help="Kind of the component, if components of several kinds have this name.")]
TRUNK_COLUMNS = ("block", "×", "kernel", "support", "query", "points", "width", "parameters", "FLOPs")
ANY_ENCODER = {"name": "itnet-core/field", "channels": 1}
"""Encoder for the trunk of a preset without one."""


@machine_readable
def info(
    name: NAME,
    kind: KIND = None,
    points: Annotated[
        str, typer.Option(help="Grid of points from the encoder, such as 14x14 or 512, for the trunk's table.")
    ] = "14x14",
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Show a component's or command's options and origin, or the trunk of a preset, configuration file or checkpoint.

    The trunk's table has a row for each entry: its input and output points, and the parameters and FLOPs of its blocks
    for one sample.
    """
    from itnet_registry.api import default_registry
    from itnet_registry.checkpoints.addresses import locate
    from itnet_registry.checkpoints.files import MANIFEST
    from itnet_registry.plugins.names import shortest

    registry = default_registry()
    preset = _preset(registry, name) if kind in (None, "preset") else None
    if name.endswith((".yaml", ".yml", ".json")):
        report = _file_report(registry, name, points)
    elif (locate(name) / MANIFEST).is_file():
        report = _checkpoint_report(registry, name, points)
    elif preset is not None:
        report = _preset_report(registry, preset, points)
    else:
        report = _named_report(registry, name, kind)
    if json:
        return print_json(report)
    tables = ("fields", "candidates", "trunk", "points")
    rows = [(key, value) for key, value in report.items() if key not in tables and value not in (None, [])]
    print_table(report["id"], ("", ""), rows)
    candidates = [(c["id"], c["rank"], c["unavailable"] or "yes", c["summary"]) for c in report.get("candidates", ())]
    title = "candidates: the first that supports a problem, and is efficient for it, computes it"
    print_table(title, ("id", "rank", "usable here", "summary"), candidates)
    if "trunk" in report:
        kernels = shortest(registry.components("kernel"))
        print_table(f"trunk, for {points} points", TRUNK_COLUMNS, [_trunk_row(row, kernels) for row in report["trunk"]])
    fields = [_row(field) for field in report.get("fields", ())]
    print_table("options", ("name", "type", "default", "description"), fields)
    return None


def _named_report(registry: Registry, name: str, kind: Any) -> dict[str, Any]:
    """Return the report of a component or a command."""
    from itnet_registry.checkpoints.files import MANIFEST
    from itnet_registry.plugins.names import unknown

    if kind in (None, "command"):
        with suppress(UnknownNameError):
            return _command_report(registry, registry.command(name))
    try:
        return _component_report(registry, look_up(registry, name, kind))
    except UnknownNameError as error:
        failure = error
    if kind is None:
        declared: list[Declared[Any]] = [*registry.components(), *registry.presets(), *registry.commands()]
        failure = unknown("name", "name", name, declared, registry.discovery, registry.faults)
    if (Path(name) / "best" / MANIFEST).is_file():
        failure.hint = f"Did you mean {Path(name) / 'best'}, the best checkpoint of this run?"
    if "/" in name:  # of a distribution's component, or the path of a checkpoint
        failure.found += f", nor is it a directory with {MANIFEST}"
    raise failure


def look_up(registry: Registry, name: str, kind: Any = None) -> Component:
    """Return the component of a name, of any kind by default."""
    return registry.component_of_any_kind(name) if kind is None else registry.component(kind, name)


def _preset(registry: Registry, name: str) -> Preset | None:
    try:
        return registry.preset(name)
    except UnknownNameError:
        return None


def _preset_report(registry: Registry, preset: Preset, points: str) -> dict[str, Any]:
    from itnet_core import ITNetError
    from itnet_registry.config.resolve import resolve

    grid, trunk = _grid(points), dict[str, Any]()
    for encoder in ({}, {"encoder": ANY_ENCODER}):  # a preset may have no encoder, or name what is not installed
        with suppress(ITNetError):
            config = resolve(registry, {"preset": preset.id, "heads": {}, **encoder}, preset.id)
            trunk = _trunk(registry, config, grid)
            break
    return {
        "kind": "preset",
        "id": preset.id,
        "summary": preset.spec.summary,
        "distribution": preset.source.title,
        "location": preset.source.location,
        "config": dict(preset.spec.config),
        **trunk,
    }


def _file_report(registry: Registry, path: str, points: str) -> dict[str, Any]:
    from itnet_registry.config.files import load_config
    from itnet_registry.config.resolve import resolve
    from itnet_registry.errors import within

    with within(path):
        config = resolve(registry, load_config(path).get("model", {}), "model")
        return {"kind": "configuration", "id": path, **_trunk(registry, config, _grid(points))}


def _checkpoint_report(registry: Registry, address: str, points: str) -> dict[str, Any]:
    from itnet_registry.checkpoints.addresses import locate
    from itnet_registry.checkpoints.compatibility import migrated_config
    from itnet_registry.checkpoints.files import MANIFEST
    from itnet_registry.checkpoints.manifest import Manifest

    manifest = Manifest.read(locate(address) / MANIFEST)
    saved_by = sorted({f"{record.distribution} {record.version}" for record in manifest.components.values()})
    config = migrated_config(registry, manifest, address)
    return {"kind": "checkpoint", "id": address, "saved_by": saved_by, **_trunk(registry, config, _grid(points))}


def _grid(points: str) -> list[int]:
    from itnet_core import AXES, ConfigError

    sizes = points.split("x")
    if not all(size.isdecimal() and int(size) for size in sizes) or len(sizes) > len(AXES):
        raise ConfigError("--points", found=repr(points), expected="sizes of a grid, such as 14x14 or 512")
    return [int(size) for size in sizes]


def _trunk(registry: Registry, config: CompleteModelConfig, grid: list[int]) -> dict[str, Any]:
    from itnet_registry.build.trunk_table import trunk_table

    rows = trunk_table(registry, config, grid)
    return {
        "parameters": sum(row["parameters"] for row in rows),
        "flops": sum(row["flops"] for row in rows),
        "points": grid,
        "trunk": rows,
    }


def _trunk_row(row: dict[str, Any], kernels: Collection[str]) -> tuple[object, ...]:
    """Return the cells of an entry, short enough that a pyramid's table fits into 80 columns."""
    points = "→".join(dict.fromkeys("×".join(map(str, row[side])) for side in ("points_in", "points_out")))
    support, query = (" ".join(f"{k} {v}" for k, v in (row[name] or {}).items()) for name in ("support", "query"))
    flops = row["flops"]
    costs = f"{row['parameters']:,}", f"{flops / 1e6:.1f}M" if flops < 1e9 else f"{flops / 1e9:,.1f}G"
    bare = row["kernel"].rpartition("/")[2]
    kernel = bare if bare in kernels else row["kernel"]
    return row["block"], row["repeat"], kernel, support, query, points, row["width"], *costs


def _command_report(registry: Registry, command: Command) -> dict[str, Any]:
    """Return a command with the fields of the sections of a configuration file that it reads."""
    from itnet_registry.config.sections import section_model

    fields = []
    for section in command.spec.sections:
        schema = section_model(registry, section, section).model_json_schema()
        fields += [{**field, "name": f"{section}.{field['name']}"} for field in _fields(schema)]
    return {
        "kind": "command",
        "id": command.id,
        "summary": command.spec.summary,
        "distribution": command.source.title,
        "location": command.source.location,
        "usage": f"itnet {command.name} --help",
        "fields": fields,
    }


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of a JSON Schema."""
    return [
        {
            "name": name,
            "type": _type(field, schema.get("$defs", {})),
            "required": name in schema.get("required", ()),
            "default": field.get("default"),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


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
        "fields": _fields(schema),
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
