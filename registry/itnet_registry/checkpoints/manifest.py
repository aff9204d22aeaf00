"""The manifest of a checkpoint, `itnet.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from packaging.utils import is_normalized_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveInt, model_validator
from pydantic import Field as ConfigField

from itnet_core import ComponentRef
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.config.model_config import CompleteModelConfig, with_trunk
from itnet_registry.errors import CheckpointError, checkpoint_errors

FORMAT = 2
"""Version of the checkpoint format; raised when older checkpoints can no longer be read without conversion. In format
1, a configuration had one kernel, sampler and evaluator, and a depth, in place of a trunk."""

MAX_BYTES = 2**26
"""Largest size of a manifest in bytes; the largest vocabularies in use have a quarter of this size."""


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError("a version that follows PEP 440") from None
    return text


class Record(BaseModel):
    """The origin of a component of a saved model.

    Shell commands are built from it, so the name and the version of the distribution are validated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Kind
    """The component's kind."""
    name: str
    """Its canonical id."""
    distribution: str
    """Normalised name of its distribution."""
    version: Annotated[str, AfterValidator(_version)]
    """Version of that distribution."""
    config_version: PositiveInt
    """Version of its configuration."""

    @model_validator(mode="after")
    def _is_of_its_distribution(self) -> Record:
        if not is_normalized_name(self.distribution) or self.name.partition("/")[0] != self.distribution:
            raise ValueError("a component's id, and its distribution's normalised name, with which the id begins")
        return self


class Manifest(BaseModel):
    """The content of `itnet.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: PositiveInt
    """Version of the checkpoint format."""
    api: PositiveInt
    """`itnet_core.API` when the model was saved."""
    config: CompleteModelConfig
    """The model's complete configuration."""
    components: dict[str, Record]
    """The origin of each component by its path in the configuration (`encoders.image`), components that another one
    refers to included (`encoders.image-text.image`)."""
    sha256: Annotated[str, ConfigField(pattern="^[0-9a-f]{64}$")]
    """Hash of the file of weights."""

    def write(self, path: Path) -> None:
        """Write the manifest as JSON.

        Raises:
            ValueError: the configuration holds a number that JSON does not have.
        """
        path.write_text(json.dumps(self.model_dump(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            CheckpointError: it is truncated, of an unknown format, or inconsistent.
        """
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise CheckpointError(str(path), found=f"{size} bytes", expected=f"a manifest of at most {MAX_BYTES}")
            data: Any = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(
                str(path), found=error.strerror or str(error), expected="a file that can be read"
            ) from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                str(path), found=f"invalid JSON ({error})", expected="a manifest", hint="The file is damaged."
            ) from error
        version = data.get("format") if isinstance(data, dict) else None
        if version == 1:
            data = _from_format_1(data)
            version = FORMAT
        if version != FORMAT:
            newer = isinstance(version, int) and version > FORMAT
            raise CheckpointError(
                str(path),
                found=f"checkpoint format {version!r}",
                expected=f"format {FORMAT}",
                hint="A newer itnet-registry wrote it: pip install --upgrade itnet-registry." if newer else "",
            )
        with checkpoint_errors():
            manifest = parse(cls, data, str(path))
        inconsistent = manifest._inconsistent_records()
        if inconsistent:
            raise CheckpointError(
                f"{path}.components",
                found=f"records that differ from config at {', '.join(inconsistent)}",
                expected="the same",
            )
        return manifest

    def _inconsistent_records(self) -> list[str]:
        """Return the paths of components without a record, and of records that differ from the configuration."""
        components = {path: (kind, reference.name) for path, kind, reference in references(self.config)}
        config, inconsistent = self.config.model_dump(), set(components) - set(self.components)
        for path, record in self.components.items():
            reference = reference_at(config, path)
            kind, _ = components.get(path, (record.kind, None))
            if reference is None or (kind, reference.get("name")) != (record.kind, record.name):
                inconsistent.add(path)
        return sorted(inconsistent)


def reference_at(config: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """Return the reference at a path of a configuration, or `None`; the keys of a list are numbers.

    Example:
        >>> reference_at({"encoders": {"image": {"name": "itnet-image/patch", "channels": 1}}}, "encoders.image")
        {'name': 'itnet-image/patch', 'channels': 1}
    """
    value: Any = config
    for key in path.split("."):
        if isinstance(value, list | tuple):
            value = dict(zip(map(str, range(len(value))), value, strict=True))
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) and "name" in value else None


def references(config: CompleteModelConfig) -> Iterator[tuple[str, Kind, ComponentRef]]:
    """Yield the path, the kind and the reference of each component of a configuration."""
    for number, entry in enumerate(config.trunk):
        yield f"trunk.{number}.kernel", "kernel", entry.kernel
        yield f"trunk.{number}.sampler", "sampler", entry.sampler
        yield f"trunk.{number}.evaluator", "evaluator", entry.evaluator
    for modality, reference in config.encoders.items():
        yield f"encoders.{modality}", "encoder", reference
    for modality, reference in config.heads.items():
        yield f"heads.{modality}", "head", reference
    for modality, reference in config.tasks.items():
        yield f"tasks.{modality}", "task", reference


def _from_format_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a manifest of format 1 in format 2."""
    config, components = data.get("config"), data.get("components")
    if isinstance(config, Mapping):
        config = with_trunk(config)
    if isinstance(components, Mapping):
        moved = ("kernel", "sampler", "evaluator")
        components = {
            f"trunk.0.{path}" if path.partition(".")[0] in moved else path: record
            for path, record in components.items()
        }
    return {**data, "format": FORMAT, "config": config, "components": components}
