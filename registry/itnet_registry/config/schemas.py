"""JSON Schemas of components' options, of a model's configuration, and of a whole configuration file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from itnet_core import ITNetError
from itnet_core.plugin.specs import KINDS, Kind
from itnet_registry.config.model_config import ModelConfig
from itnet_registry.config.sections import section_models
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.names import shortest
from itnet_registry.plugins.registry import PluginRegistry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def component_schema(component: Component) -> dict[str, Any]:
    """Return the schema of a component's options.

    Example:
        >>> from itnet_registry import component
        >>> component_schema(component("head", "classify"))["required"]
        ['classes']

    Raises:
        RequirementError, ComponentError: the component cannot be loaded.
    """
    return {"$schema": DIALECT, **component.load().Config.model_json_schema(), "title": component.id}


def config_schema(registry: PluginRegistry, skipped: Callable[[ITNetError], None]) -> dict[str, Any]:
    """Return the schema of a configuration file: the model with every installed component, and all known sections.

    Args:
        registry: provides the components and sections.
        skipped: called with the error of each component that cannot be loaded; the schema leaves its options out.
    """
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        definitions[kind] = _any_of(registry, kind, definitions, skipped)
    model = _moved(ModelConfig, "model", definitions)
    block = definitions["model.BlockConfig"]
    for schema in (model, block):
        _refer(schema["properties"])
    definitions["model.BlockConfig"] = {"anyOf": [definitions["kernel"]["anyOf"][0], block]}
    del definitions["model.PartialRef"]
    sections = {"model": model, "task": {"$ref": "#/$defs/task"}}
    for name, section in section_models(registry).items():
        sections[name] = _moved(section, f"section.{name}", definitions)
    return {
        "$schema": DIALECT,
        "title": "ITNet configuration",
        "type": "object",
        "properties": sections,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _refer(properties: dict[str, Any]) -> None:
    """Replace the schemas of fields that refer to components by references to the definitions of their kinds."""
    for kind in KINDS:
        for field in {kind, f"{kind}s"} & properties.keys():
            reference: dict[str, Any] = {"$ref": f"#/$defs/{kind}"}
            if field == "heads":
                reference = {"anyOf": [reference, {"type": "null"}]}
            described = {"description": properties[field]["description"]}
            by_modality = {"type": "object", "additionalProperties": reference}
            properties[field] = described | (reference if field == kind else by_modality)


def _any_of(
    registry: PluginRegistry, kind: Kind, definitions: dict[str, Any], skipped: Callable[[ITNetError], None]
) -> dict[str, Any]:
    """Return the schema of a reference to a component of a kind, and add its components' schemas to `definitions`."""
    components = registry.components(kind)
    names = {*shortest(components), *(component.id for component in components)}
    forms: list[dict[str, Any]] = [{"enum": sorted(names)}, {"type": "object", "not": {"required": ["name"]}}]
    for component in components:
        try:
            config = component.load().Config
        except ITNetError as error:
            skipped(error)
            continue
        key = f"{kind}.{component.id}".replace("/", ".")
        schema = _moved(config, key, definitions)
        own = sorted({component.name, component.id} & names)
        schema["properties"] = {"name": {"enum": own}, **schema.get("properties", {})}
        schema["required"] = ["name"]  # other required options may come from a preset or a task
        definitions[key] = {**schema, "description": component.spec.summary}
        forms.append({"$ref": f"#/$defs/{key}"})
    return {"anyOf": forms}


def _moved(model: type[BaseModel], key: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema, and move its definitions to `definitions` under names that begin with `key`."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}")
    definitions.update({f"{key}.{name}": definition for name, definition in schema.pop("$defs", {}).items()})
    return schema
