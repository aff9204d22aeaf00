"""Declarations of plugins: components, presets, commands and checks. Imports no torch, so reading them is fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["encoder", "kernel", "sampler", "evaluator", "head", "task"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ANY = "any"
"""Modality of an encoder around another one, to which a field of its `Config` refers: it has that encoder's."""

_NAME = re.compile(r"[a-z0-9]+([-/][a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _check(field: str, value: object, pattern: re.Pattern[str], example: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{field}: found {value!r}; expected something like {example!r}")


def _check_line(field: str, value: object) -> None:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{field}: found {value!r}; expected one line of text")


def _check_keys(field: str, value: object) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{field}: found {value!r}; expected a tuple of keys of citations.bib")


@dataclass(frozen=True)
class ComponentSpec:
    """A component of a plugin: an encoder, kernel, sampler, evaluator, head or task.

    The target is imported on first use and names a class with a nested pydantic `Config`. The component's identity is
    its distribution's normalised name and `name`: `itnet-image/patch`.

    Example:
        >>> @hookimpl
        ... def itnet_register_components(api):
        ...     target = "itnet_image.encoders.patch:PatchEncoder"
        ...     return [ComponentSpec("encoder", "patch", target, "square patches", modality="image")]

    Attributes:
        kind: one of `KINDS`.
        name: lower-case words joined by `-` (or by `/` for a family of names, such as `glue/sst-2`).
        target: the import path of the class, `"package.module:Class"`.
        summary: one line for `itnet list`.
        config_version: raised by one whenever an old `Config` can no longer be read as it stands; see
            `itnet_migrate_config`.
        citations: keys of entries of `citations.bib`, the file of BibTeX next to the plugin's module: the papers, data
            and libraries that the component is from, for `itnet cite`.
        requires: requirements (PEP 508) beyond the distribution's own that using this component needs.
        modality: the modality of an encoder's or a task's inputs (`"image"`); `None` for the other kinds. An encoder
            that wraps another one, of whatever modality, declares `"any"`: it has the modality and the axes of the
            encoder that a field of its `Config` refers to, marked `RefersTo("encoder")`.

    Raises:
        ValueError: a field is not of the form above.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    _: KW_ONLY
    config_version: int = 1
    requires: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    modality: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"ComponentSpec.kind: found {self.kind!r}; expected one of {', '.join(KINDS)}")
        _check("ComponentSpec.name", self.name, _NAME, "patch")
        _check("ComponentSpec.target", self.target, _TARGET, "itnet_image.encoders.patch:PatchEncoder")
        _check_line("ComponentSpec.summary", self.summary)
        if not isinstance(self.requires, list | tuple) or not all(isinstance(text, str) for text in self.requires):
            raise ValueError(f"ComponentSpec.requires: found {self.requires!r}; expected a tuple of requirements")
        _check_keys("ComponentSpec.citations", self.citations)
        if not isinstance(self.config_version, int) or self.config_version < 1:
            raise ValueError(f"ComponentSpec.config_version: found {self.config_version!r}; expected an integer >= 1")
        if self.modality is not None:
            _check("ComponentSpec.modality", self.modality, _NAME, "image")
        if self.modality == ANY and self.kind != "encoder":
            raise ValueError(f"ComponentSpec.modality of {self.kind} {self.name!r}: found {ANY!r}, for encoders alone")
        if (self.kind in ("encoder", "task")) != (self.modality is not None):
            raise ValueError(
                f"ComponentSpec.modality of {self.kind} {self.name!r}: found {self.modality!r}; "
                "encoders and tasks name a modality, the other kinds have none"
            )


@dataclass(frozen=True)
class PresetSpec:
    """A named starting point for a model's configuration.

    Example:
        >>> @hookimpl
        ... def itnet_register_presets(api):
        ...     config = {"preset": "itnet-core/itnet-nano", "encoder": "itnet-image/patch"}
        ...     return [PresetSpec("image-nano", "small images", config)]

    Attributes:
        name: the argument of `create_model`.
        summary: one line for `itnet list`.
        config: the fields of the model configuration that it sets, as JSON-native values; `preset` names another one
            that it builds on. Names are best written in full, `itnet-core/mlp`: a bare one becomes ambiguous when
            another installed plugin declares it too.
    """

    name: str
    summary: str
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check("PresetSpec.name", self.name, _NAME, "itnet-s")
        _check_line("PresetSpec.summary", self.summary)


@dataclass(frozen=True)
class CommandSpec:
    """A command that a plugin adds to `itnet`.

    Example:
        >>> @hookimpl
        ... def itnet_register_commands(api):
        ...     return [CommandSpec("train", "itnet_train.commands.cli:train", "Train a model from a configuration.")]

    Attributes:
        name: the word after `itnet`.
        target: a typer command function, `"itnet_train.commands.cli:train"`; imported only when the command is called.
        summary: one line for `itnet --help`.
        sections: sections of a configuration file that the command reads, each with the pydantic model that checks it
            (`{"train": "itnet_train.config:TrainConfig"}`), so that `itnet validate` and `itnet schema` know them. A
            `itnet_registry.ConfigSection` is also checked against the model of the file.
        rehearsal: a function that takes the sections of a file with a task, tries the first step of the command on the
            data, and returns an `itnet_registry.RunSummary`; `itnet validate` calls it. "" for none.
        citations: as those of a component; a run used them if its configuration has a section of the command.
    """

    name: str
    target: str
    summary: str
    sections: Mapping[str, str] = field(default_factory=dict)
    citations: tuple[str, ...] = ()
    rehearsal: str = ""

    def __post_init__(self) -> None:
        _check("CommandSpec.name", self.name, _NAME, "train")
        _check_line("CommandSpec.summary", self.summary)
        _check("CommandSpec.target", self.target, _TARGET, "itnet_train.commands.cli:train")
        _check_keys("CommandSpec.citations", self.citations)
        if self.rehearsal:
            _check("CommandSpec.rehearsal", self.rehearsal, _TARGET, "itnet_train.commands.summary:rehearse_sections")
        for section, target in self.sections.items():
            _check(f"CommandSpec.sections[{section!r}]", target, _TARGET, "itnet_train.config:TrainConfig")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of `itnet doctor`: the result of a check.

    Example:
        >>> from shutil import which
        >>> @hookimpl
        ... def itnet_doctor(api):
        ...     found = which("ffmpeg")
        ...     return [Check(name="ffmpeg", ok=found is not None, detail=found or "not found: install ffmpeg")]

    Attributes:
        name: what was checked.
        ok: whether the check passed.
        detail: the result in words, with a hint if the check failed.
    """

    name: str
    ok: bool
    detail: str = ""
