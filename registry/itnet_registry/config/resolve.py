"""Resolution of a model's configuration: canonical names, every option, and the requirements of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from itnet_core import ComponentConfig, ComponentRef, ConfigError, Task
from itnet_core.plugin.specs import Kind
from itnet_registry.config.merge import merge, merge_reference
from itnet_registry.config.modalities import mismatch, missing_encoder
from itnet_registry.config.model_config import (
    BlockConfig,
    BlockOptions,
    CompleteBlock,
    CompleteModelConfig,
    ModelConfig,
    PartialRef,
)
from itnet_registry.config.positions import Unread, choose_positions
from itnet_registry.config.references import LoadedRef, classes_of, complete_part
from itnet_registry.config.sections import hints_at_other_sections
from itnet_registry.errors import ComponentError
from itnet_registry.plugins.names import shortest
from itnet_registry.plugins.registry import PluginRegistry

_PARTS: tuple[Kind, ...] = ("kernel", "sampler", "evaluator")


def resolve(registry: PluginRegistry, config: Mapping[str, Any], place: str = "model") -> CompleteModelConfig:
    """Return the complete form of a configuration as users write it (`ModelConfig`).

    A task supplies the head where none is set, the options that a head of the same name leaves open, and the options of
    the encoder that its data fix.

    Example:
        >>> from itnet_registry import default_registry
        >>> config = {"preset": "itnet-nano", "encoder": {"name": "field", "channels": 3}, "heads": {}}
        >>> resolve(default_registry(), config).encoders
        {'field': ComponentRef(name='itnet-core/field', channels=3)}

    Raises:
        ConfigError: a field is missing, unknown, of a wrong value, or does not fit another one; the error's place is
            the path of the field, beginning with `place`.
        UnknownNameError, AmbiguousNameError, RequirementError, ComponentError, PluginError: a component cannot be used.
    """
    with hints_at_other_sections(registry):
        return _resolve(registry, config, place)


def _resolve(registry: PluginRegistry, config: Mapping[str, Any], place: str) -> CompleteModelConfig:
    merged = merge(registry, config, place)
    needed = {"width": (merged.width, "a number"), "depth": (merged.depth or merged.trunk, "a number, or a trunk")}
    for field, (value, expected) in needed.items():
        if value is None:
            presets = ", ".join(shortest(registry.presets()))
            raise ConfigError(f"{place}.{field}", found="nothing", expected=expected, hint=f"Or a preset: {presets}.")
    return _Resolver(registry, merged, place).resolve()


@dataclass(frozen=True)
class _Needs:
    """The head and the encoder's options that a task requires."""

    head: PartialRef
    encoder_options: Mapping[str, Any]


@dataclass(frozen=True)
class _Resolver:
    registry: PluginRegistry
    merged: ModelConfig
    place: str

    def resolve(self) -> CompleteModelConfig:
        merged = self.merged
        encoders = self._by_modality("encoder", merged.encoder, merged.encoders)
        if not encoders:
            raise missing_encoder(self.registry, self.place)
        tasks = self._by_modality("task", merged.task, merged.tasks)
        for modality, part in tasks.items():
            if modality not in encoders:
                components = {name: encoder.component for name, encoder in encoders.items()}
                raise mismatch(self.registry, part.place, part.component, components)
        complete_tasks = {modality: self._complete(part) for modality, part in tasks.items()}
        needs = {modality: self._needs(tasks[modality], config) for modality, (_, config) in complete_tasks.items()}
        assert merged.width is not None  # checked by `resolve`
        unread: list[Unread] = []
        trunk = [self._block(number, unread, encoders) for number in range(len(self._entries))]
        position, scan = choose_positions(merged, unread)
        return CompleteModelConfig(
            width=merged.width,
            trunk=trunk,
            position=position,
            scan=scan,
            encoders={
                modality: self._complete(part, needs[modality].encoder_options if modality in needs else None)[0]
                for modality, part in encoders.items()
            },
            heads=self._heads(list(encoders), needs),
            tasks={modality: reference for modality, (reference, _) in complete_tasks.items()},
        )

    @property
    def _entries(self) -> Sequence[BlockConfig]:
        merged = self.merged
        if merged.trunk is not None:
            return merged.trunk
        assert merged.depth is not None  # `resolve` refused it
        return [BlockConfig(repeat=merged.depth)]

    def _block(self, number: int, unread: list[Unread], encoders: Mapping[str, LoadedRef]) -> CompleteBlock:
        """Complete an entry of the trunk, and add the points that its kernel does not tell apart to `unread`."""
        merged, entry, place = self.merged, self._entries[number], f"trunk.{number}"
        options = {
            field: getattr(merged if getattr(entry, field) is None else entry, field)
            for field in BlockOptions.model_fields
        }
        for kind in _PARTS:
            own, default = getattr(entry, kind), getattr(merged, kind)
            if own is None:
                part = self._part(kind, default, kind)
            else:
                reference = merge_reference(self.registry, kind, default, own, merged.prefer)
                part = self._part(kind, reference, f"{place}.{kind}")
            options[kind], config = self._complete(part)
            if kind == "kernel":
                with part.component.running(part.place):
                    axes = [e.axes for e in encoders.values() if not part.cls.reads_positions(config, e.axes)]
                    scans = any(cls.scans for cls in classes_of(self.registry, "kernel", options[kind]))
                unread.append(Unread(scans, axes))
        query = entry.query
        if query is not None and isinstance(query.block, int) and query.block >= number:
            expected = f"an entry before this one, from 0 to {number - 1}, or 'encoder'" if number else "'encoder'"
            raise ConfigError(f"{self.place}.{place}.query.block", found=str(query.block), expected=expected)
        return CompleteBlock(**options, repeat=entry.repeat, query=query)

    def _part(self, kind: Kind, reference: PartialRef | None, field: str) -> LoadedRef:
        assert reference is not None  # the defaults name a kernel, a sampler and an evaluator
        return LoadedRef.of(self.registry, kind, reference, f"{self.place}.{field}", self.merged.prefer)

    def _complete(
        self, part: LoadedRef, defaults: Mapping[str, Any] | None = None
    ) -> tuple[ComponentRef, ComponentConfig]:
        return complete_part(self.registry, part, self.merged.prefer, defaults)

    def _by_modality(
        self, kind: Kind, one: PartialRef | None, several: Mapping[str, PartialRef] | None
    ) -> dict[str, LoadedRef]:
        if one is not None:
            part = self._part(kind, one, kind)
            return {str(part.modality): part}
        parts = {key: self._part(kind, reference, f"{kind}s.{key}") for key, reference in (several or {}).items()}
        for key, part in parts.items():
            modality = part.modality
            if key != modality:
                raise ConfigError(
                    part.place,
                    found=f"{part.component.id}, which is of {modality}",
                    expected=f"{'an encoder' if kind == 'encoder' else 'a task'} of {key}",
                    hint=f"The keys of {kind}s are modalities: write {self.place}.{kind}s.{modality}.",
                )
        return parts

    def _needs(self, part: LoadedRef, config: ComponentConfig) -> _Needs:
        with part.component.running(part.place):
            task: Task = part.cls(config)
            head, options = task.head, task.encoder_options
        if not isinstance(head, Mapping) or not isinstance(head.get("name"), str) or not isinstance(options, Mapping):
            raise ComponentError(
                f"{part.place}: {part.component.place}",
                found=f"head {head!r} and encoder_options {options!r}",
                expected="a mapping with the head's name and options, and a mapping of options",
            )
        self.registry.component("head", head["name"], place=f"{part.place}: the head of {part.component.id}")
        return _Needs(PartialRef(**head), options)

    def _heads(self, modalities: list[str], needs: Mapping[str, _Needs]) -> dict[str, ComponentRef]:
        written, fields = self._written_heads(modalities)
        heads = {}
        for modality in modalities:
            head, field = written.get(modality), fields.get(modality, "head")
            if modality in written and head is None:
                continue
            if modality in needs:
                needed = needs[modality].head
                head = merge_reference(self.registry, "head", needed, head or PartialRef(), self.merged.prefer)
            if head is None:
                raise ConfigError(
                    f"{self.place}.{field if len(modalities) == 1 else f'heads.{modality}'}",
                    found="nothing",
                    expected="a head, or a task that needs one",
                    hint="Write heads: {} for a model that gives features alone.",
                )
            heads[modality] = self._complete(self._part("head", head, field))[0]
        return heads

    def _written_heads(self, modalities: list[str]) -> tuple[Mapping[str, PartialRef | None], dict[str, str]]:
        """Return the user's heads by modality, `None` for no head, and the fields that they are written in."""
        merged = self.merged
        if merged.head is not None:
            if len(modalities) > 1:
                raise ConfigError(
                    f"{self.place}.head",
                    found=f"one head for encoders of {', '.join(modalities)}",
                    expected="heads, with one for each modality",
                )
            return {modalities[0]: merged.head}, {modalities[0]: "head"}
        if merged.heads is None:
            return {}, {}
        if not merged.heads:
            return dict.fromkeys(modalities), {}
        for modality in merged.heads:
            if modality not in modalities:
                raise ConfigError(
                    f"{self.place}.heads.{modality}",
                    found=f"a head of {modality}",
                    expected=f"heads for the model's encoders, of {', '.join(modalities)}",
                )
        return merged.heads, {modality: f"heads.{modality}" for modality in merged.heads}
