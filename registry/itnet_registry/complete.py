"""Completing a model's configuration: every name canonical, every option there, and what the task needs filled in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from itnet_core import ComponentConfig, ConfigError, ITNetError, RefersTo, Task
from itnet_core import ComponentRef as CompleteReference
from itnet_core.plugin.config import parse, referring
from itnet_core.plugin.errors import shown
from itnet_core.plugin.specs import Kind
from itnet_registry.components import Component
from itnet_registry.errors import ComponentError
from itnet_registry.layers import lay, over
from itnet_registry.modalities import mismatch, missing_encoder, named
from itnet_registry.model_config import CompleteModelConfig, ComponentRef, ModelConfig
from itnet_registry.names import shortest
from itnet_registry.positions import chosen
from itnet_registry.registry import Registry
from itnet_registry.targets import one_line

T = TypeVar("T")

_OF_OPERATORS: tuple[Kind, ...] = ("kernel", "sampler", "evaluator")


def complete(registry: Registry, config: Mapping[str, Any], place: str = "model") -> CompleteModelConfig:
    """Return the complete form of a configuration as people write it (`ModelConfig`).

    A task supplies the head where there is none, the options that a head of the same name leaves open, and the options
    of the encoder that its data fix (those that the encoder has).

    Raises:
        ConfigError: something is missing, unknown, of a wrong value, or does not go together; its place is the path of
            what is wrong, beginning with `place`.
        UnknownNameError, AmbiguousNameError, RequirementError, ComponentError, PluginError: a component cannot be used.
    """
    laid = lay(registry, config, place)
    for field in ("width", "depth"):
        if getattr(laid, field) is None:
            presets = ", ".join(shortest(registry.presets()))
            raise ConfigError(f"{place}.{field}", found="nothing", expected="a number", hint=f"Or a preset: {presets}.")
    return _Completion(registry, laid, place).complete()


@contextmanager
def at(place: str) -> Iterator[None]:
    """Put `place` before the place of errors of ours that are raised inside."""
    try:
        yield
    except ITNetError as error:
        error.place = f"{place}: {error.place}"
        raise


def built(component: Component, build: Callable[[], T], place: str) -> T:
    """Return `build()`; an exception in the component's own code gets its place and its owner."""
    try:
        with at(place):
            return build()
    except ITNetError:
        raise
    except (Exception, SystemExit) as error:
        raise ComponentError(
            f"{place}: {component.place}", found=one_line(error), expected="a component that can be built"
        ) from error


@dataclass(frozen=True)
class _Part:
    """A component of the model: where it stands in the configuration, what was said of it, and its class."""

    component: Component
    reference: ComponentRef
    place: str
    cls: type[Any]


@dataclass(frozen=True)
class _Needs:
    """What a task needs of the model.

    Attributes:
        head: the head, with its options.
        encoder_options: options of the encoder that the data fix.
    """

    head: ComponentRef
    encoder_options: Mapping[str, Any]


@dataclass(frozen=True)
class _Completion:
    registry: Registry
    laid: ModelConfig
    place: str

    def complete(self) -> CompleteModelConfig:
        laid = self.laid
        encoders = self._by_modality("encoder", laid.encoder, laid.encoders)
        if not encoders:
            raise missing_encoder(self.registry, self.place)
        declared = self._by_modality("task", laid.task, laid.tasks)
        for modality, part in declared.items():
            if modality not in encoders:
                raise mismatch(self.registry, part.place, part.component, [e.component for e in encoders.values()])
        references = {modality: self._completed(part) for modality, part in declared.items()}
        needs = {modality: self._needs(declared[modality], reference) for modality, reference in references.items()}
        parts = [self._part(kind, getattr(laid, kind), f"{self.place}.{kind}") for kind in _OF_OPERATORS]
        kernel, sampler, evaluator = map(self._completed, parts)
        cls, classes = parts[0].cls, [part.cls for part in encoders.values()]
        position, scan = built(
            parts[0].component, lambda: chosen(laid, cls, cls.Config(**kernel.options), classes), parts[0].place
        )
        return CompleteModelConfig(
            **{field: getattr(laid, field) for field in ("width", "depth", "ffn_ratio", "dropout")},
            position=position,
            scan=scan,
            kernel=kernel,
            sampler=sampler,
            evaluator=evaluator,
            encoders={
                modality: self._completed(part, needs[modality].encoder_options if modality in needs else None)
                for modality, part in encoders.items()
            },
            heads=self._heads(list(encoders), needs),
            tasks=references,
        )

    def _part(self, kind: Kind, reference: ComponentRef, place: str) -> _Part:
        if reference.name is None:
            raise ConfigError(
                f"{place}.name", found="nothing", expected=f"the name of the {kind} that these options are of"
            )
        component = self.registry.component(kind, reference.name, place=place, prefer=self.laid.prefer)
        with at(place):
            return _Part(component, reference, place, component.load())

    def _completed(self, part: _Part, below: Mapping[str, Any] | None = None) -> CompleteReference:
        """Return a reference with every option, those of `below` that the component has where nothing was said."""
        config: type[ComponentConfig] = part.cls.Config
        below = below or {}
        options = {
            **{name: value for name, value in below.items() if name in config.model_fields},
            **part.reference.options,
        }
        for field, refers in referring(config).items():
            options[field] = self._referred(part, field, refers, below.get(field))
        parsed = parse(config, options, part.place)
        options = built(part.component, parsed.completed, part.place).model_dump(mode="json")
        try:
            json.dumps(options, allow_nan=False)
        except ValueError as error:
            raise ConfigError(
                part.place, found=f"{shown(options, 1000)} ({error})", expected="options that JSON can hold"
            ) from None
        return CompleteReference(name=part.component.id, **options)

    def _referred(self, part: _Part, field: str, refers: RefersTo, below: Any) -> dict[str, Any]:
        """Return the complete form of a reference inside a component's options, over the field's default."""
        place, said = f"{part.place}.{field}", part.reference.options.get(field, {})
        default = part.cls.Config.model_fields[field].default
        reference = over(
            self.registry,
            refers.kind,
            ComponentRef(**default.model_dump()) if isinstance(default, CompleteReference) else None,
            parse(ComponentRef, {"name": said} if isinstance(said, str) else said, place),
            self.laid.prefer,
        )
        inner = self._part(refers.kind, reference, place)
        if inner.component.spec.modality != refers.modality:
            raise ConfigError(
                place,
                found=f"{inner.component.id}, which is of {inner.component.spec.modality}",
                expected=f"one of the {refers.kind}s of {refers.modality}",
                hint=f"Installed are: {named(self.registry, refers.kind, refers.modality)}.",
            )
        return self._completed(inner, below if isinstance(below, Mapping) else {}).model_dump()

    def _by_modality(
        self, kind: Kind, one: ComponentRef | None, several: Mapping[str, ComponentRef] | None
    ) -> dict[str, _Part]:
        if one is not None:
            part = self._part(kind, one, f"{self.place}.{kind}")
            return {str(part.component.spec.modality): part}
        parts = {key: self._part(kind, each, f"{self.place}.{kind}s.{key}") for key, each in (several or {}).items()}
        for key, part in parts.items():
            modality = part.component.spec.modality
            if key != modality:
                raise ConfigError(
                    part.place,
                    found=f"{part.component.id}, which is of {modality}",
                    expected=f"{'an encoder' if kind == 'encoder' else 'a task'} of {key}",
                    hint=f"The keys of {kind}s are modalities: write {self.place}.{kind}s.{modality}.",
                )
        return parts

    def _needs(self, part: _Part, reference: CompleteReference) -> _Needs:
        task: Task = built(
            part.component, lambda: part.cls(parse(part.cls.Config, reference.options, part.place)), part.place
        )
        head, options = built(part.component, lambda: (task.head, task.encoder_options), part.place)
        if not isinstance(head, Mapping) or not isinstance(head.get("name"), str) or not isinstance(options, Mapping):
            raise ComponentError(
                f"{part.place}: {part.component.place}",
                found=f"head {head!r} and encoder_options {options!r}",
                expected="a mapping with the head's name and options, and a mapping of options",
            )
        self.registry.component("head", head["name"], place=f"{part.place}: the head of {part.component.id}")
        return _Needs(ComponentRef(**head), options)

    def _heads(self, modalities: list[str], needs: Mapping[str, _Needs]) -> dict[str, CompleteReference]:
        said, places = self._said_heads(modalities)
        heads = {}
        for modality in modalities:
            head, place = said.get(modality), places.get(modality, f"{self.place}.head")
            if modality in said and head is None:
                continue
            if modality in needs:
                needed = needs[modality].head
                head = needed if head is None else over(self.registry, "head", needed, head, self.laid.prefer)
            if head is None:
                raise ConfigError(
                    place if len(modalities) == 1 else f"{self.place}.heads.{modality}",
                    found="nothing",
                    expected="a head, or a task that says which it needs",
                    hint="Write heads: {} for a model that gives features alone.",
                )
            heads[modality] = self._completed(self._part("head", head, place))
        return heads

    def _said_heads(self, modalities: list[str]) -> tuple[Mapping[str, ComponentRef | None], dict[str, str]]:
        """Return the heads that were written, by modality, and where they stand."""
        laid = self.laid
        if laid.head is not None:
            if len(modalities) > 1:
                raise ConfigError(
                    f"{self.place}.head",
                    found=f"one head for encoders of {', '.join(modalities)}",
                    expected="heads, with one for each modality",
                )
            return {modalities[0]: laid.head}, {modalities[0]: f"{self.place}.head"}
        if laid.heads is None:
            return {}, {}
        if not laid.heads:
            return dict.fromkeys(modalities), {}
        for modality in laid.heads:
            if modality not in modalities:
                raise ConfigError(
                    f"{self.place}.heads.{modality}",
                    found=f"a head of {modality}",
                    expected=f"heads for the encoders there are, of {', '.join(modalities)}",
                )
        return laid.heads, {modality: f"{self.place}.heads.{modality}" for modality in laid.heads}
