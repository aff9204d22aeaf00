"""Compatibility of a checkpoint's components with the installed ones, and migration of their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itnet_core import ITNetError
from itnet_core.plugin.config import parse
from itnet_registry.checkpoints.manifest import Manifest, Record, reference_at
from itnet_registry.config.model_config import CompleteModelConfig
from itnet_registry.errors import CheckpointError, RequirementError, UnknownNameError, one_line
from itnet_registry.plugins.components import Component
from itnet_registry.plugins.registry import PluginRegistry
from itnet_registry.plugins.requirements import at_least, older, pip_install
from itnet_registry.plugins.settings import CORE


def migrated_config(registry: PluginRegistry, manifest: Manifest, place: str) -> CompleteModelConfig:
    """Return a checkpoint's configuration, validated and migrated for the installed components; no file is read.

    Raises:
        CheckpointError: components are missing, too old, or cannot read it: the error names all of them, with one
            command that installs suitable ones.
    """
    problems, config = _Problems(), manifest.config.model_dump()
    # A component is validated after those that it refers to.
    for path, record in sorted(manifest.components.items(), key=lambda item: -item[0].count(".")):
        try:
            component: Component | None = registry.component(record.kind, record.name)
        except UnknownNameError:
            component = None
        if component is None or component.id != record.name:  # a bare name may look like the id of an absent component
            _report_absent(registry, record, problems)
            continue
        reference = reference_at(config, path)
        assert reference is not None  # checked by `Manifest.read`
        options = {key: value for key, value in reference.items() if key != "name"}
        migrated = _migrated(registry, component, record, options, problems)
        if migrated is not None:
            reference.clear()
            reference.update(name=record.name, **migrated)
    if problems.texts:
        raise CheckpointError(
            place,
            found="".join(f"\n  - {text}" for text in dict.fromkeys(problems.texts)),
            expected="\n  every component that it was saved with, in a version that can read it",
            hint=f"Run: {pip_install(problems.requirements, upgrade=True)}" if problems.requirements else "",
        )
    return CompleteModelConfig.model_validate(config)


@dataclass
class _Problems:
    texts: list[str] = field(default_factory=list)
    requirements: set[str] = field(default_factory=set)

    def add(self, text: str, *requirements: str) -> None:
        self.texts.append(text)
        self.requirements.update(requirements)


def _report_absent(registry: PluginRegistry, record: Record, problems: _Problems) -> None:
    title = f"{record.kind} {record.name}"
    requirement = at_least(record.distribution, record.version)
    for source, variable in registry.discovery.excluded:
        if source.distribution == record.distribution:
            return problems.add(f"{title}: {source.title} is left out by {variable}")
    for fault in registry.faults:
        if fault.distribution == record.distribution:
            upgrade = [CORE, requirement] if fault.stage in ("version", "api") else []
            return problems.add(f"{title}: {fault}", *upgrade)
    for source in registry.discovery.sources:
        if source.distribution == record.distribution:
            pinned = f"{record.distribution}=={record.version}"
            return problems.add(
                f"{title}: {source.title} does not provide it, {record.version} did",
                requirement if older(source.version, record.version) else pinned,
            )
    return problems.add(f"{title}: {record.distribution} is not installed", requirement)


def _migrated(
    registry: PluginRegistry, component: Component, record: Record, options: Mapping[str, Any], problems: _Problems
) -> dict[str, Any] | None:
    """Return a component's options for the installed version, or report the reason why they cannot be read."""
    title, version = f"{record.kind} {record.name}", component.spec.config_version
    if version < record.config_version:
        problems.add(
            f"{title}: {component.source.title} reads config version {version}, "
            f"the checkpoint has {record.config_version}",
            at_least(record.distribution, record.version),
        )
        return None
    saved = f"{record.distribution}=={record.version}"
    try:
        migrated: Mapping[str, Any] | None = options
        if version > record.config_version:
            migrated = registry.migrate(component, options, record.config_version)
        if not isinstance(migrated, Mapping):
            reason = f"cannot migrate config version {record.config_version} to {version}"
            problems.add(f"{title}: {component.source.title} {reason}", saved)
            return None
        return parse(component.load().Config, migrated, title).model_dump(mode="json")
    except RequirementError as error:
        problems.add(str(error), *error.requirements)
    except ITNetError as error:
        problems.add(str(error), *([saved] if component.source.version != record.version else []))
    except (Exception, SystemExit) as error:  # raised by the plugin's migration
        problems.add(f"{title}: {component.source.title} failed to migrate its config: {one_line(error)}", saved)
    return None
