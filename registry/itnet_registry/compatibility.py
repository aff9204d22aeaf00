"""Whether the components that a checkpoint was saved with are here, in a form that can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itnet_core import ITNetError
from itnet_core.plugin.config import parse
from itnet_registry.components import Component
from itnet_registry.errors import CheckpointError, RequirementError, UnknownNameError
from itnet_registry.manifest import Manifest, Record, reference_at
from itnet_registry.model_config import CompleteModelConfig
from itnet_registry.registry import Registry
from itnet_registry.requirements import at_least, older, pip_install
from itnet_registry.settings import CORE
from itnet_registry.targets import one_line


def present_config(registry: Registry, manifest: Manifest, place: str) -> CompleteModelConfig:
    """Return a checkpoint's configuration in the form that the installed components read.

    Raises:
        CheckpointError: components are missing, too old, or cannot read it: all of them, with one command that installs
            what would.
    """
    problems, config = _Problems(), manifest.config.model_dump()
    # What a component refers to is read before it.
    for where, record in sorted(manifest.components.items(), key=lambda each: -each[0].count(".")):
        try:
            component: Component | None = registry.component(record.kind, record.name)
        except UnknownNameError:
            component = None
        if component is None or component.id != record.name:  # a bare name may look like the id of something absent
            _absent(registry, record, problems)
            continue
        reference = reference_at(config, where)
        assert reference is not None  # `Manifest.read` has seen to it
        options = _present(registry, component, record, {k: reference[k] for k in reference if k != "name"}, problems)
        if options is not None:
            reference.clear()
            reference.update(name=record.name, **options)
    if problems.texts:
        raise CheckpointError(
            place,
            found="".join(f"\n  - {text}" for text in dict.fromkeys(problems.texts)),
            expected="\n  every component that it was saved with, in a version that can read it",
            hint=f"Run: {pip_install(problems.installs, upgrade=True)}" if problems.installs else "",
        )
    return CompleteModelConfig.model_validate(config)


@dataclass
class _Problems:
    texts: list[str] = field(default_factory=list)
    installs: set[str] = field(default_factory=set)

    def add(self, text: str, *installs: str) -> None:
        self.texts.append(text)
        self.installs.update(installs)


def _absent(registry: Registry, record: Record, problems: _Problems) -> None:
    what = f"{record.kind} {record.name}"
    wanted = at_least(record.distribution, record.version)
    for source, variable in registry.discovery.excluded:
        if source.distribution == record.distribution:
            return problems.add(f"{what}: {source.title} is left out by {variable}")
    for fault in registry.faults:
        if fault.distribution == record.distribution:
            return problems.add(f"{what}: {fault}", *([CORE, wanted] if fault.stage in ("version", "api") else []))
    for source in registry.discovery.sources:
        if source.distribution == record.distribution:
            title = f"{source.title} does not offer it, {record.version} did"
            pinned = wanted if older(source.version, record.version) else f"{record.distribution}=={record.version}"
            return problems.add(f"{what}: {title}", pinned)
    return problems.add(f"{what}: {record.distribution} is not installed", wanted)


def _present(
    registry: Registry, component: Component, record: Record, options: Mapping[str, Any], problems: _Problems
) -> dict[str, Any] | None:
    """Return a component's configuration for the installed version, or note why there is none."""
    what, here = f"{record.kind} {record.name}", component.spec.config_version
    if here < record.config_version:
        problems.add(
            f"{what}: {component.source.title} reads config version {here}, the checkpoint has {record.config_version}",
            at_least(record.distribution, record.version),
        )
        return None
    saved = f"{record.distribution}=={record.version}"
    try:
        migrated: Mapping[str, Any] | None = options
        if here > record.config_version:
            migrated = registry.migrate(component, options, record.config_version)
        if not isinstance(migrated, Mapping):
            title = f"{component.source.title} cannot migrate config version {record.config_version} to {here}"
            problems.add(f"{what}: {title}", saved)
            return None
        cls = component.load()
        return parse(cls.Config, migrated, f"{what}").model_dump(mode="json")
    except RequirementError as error:
        problems.add(str(error), *error.requirements)
    except ITNetError as error:
        problems.add(str(error), *([saved] if component.source.version != record.version else []))
    except (Exception, SystemExit) as error:  # the plugin's own migration
        problems.add(f"{what}: {component.source.title} failed to migrate its config: {one_line(error)}", saved)
    return None
