"""What stands in a checkpoint beside the weights: `itnet.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from packaging.utils import is_normalized_name
from packaging.version import Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from itnet_core import ComponentRef as CompleteReference
from itnet_core import ConfigError
from itnet_core.plugin.config import parse
from itnet_core.plugin.specs import Kind
from itnet_registry.errors import CheckpointError
from itnet_registry.model_config import CompleteModelConfig

FORMAT = 1
"""The version of the checkpoint format; raised when a checkpoint can no longer be read as it stands."""

MANIFEST = "itnet.json"
WEIGHTS = "model.safetensors"

MAX_BYTES = 2**26
"""The most that a manifest may weigh; the largest vocabularies in use take a quarter of it."""


def _version(text: str) -> str:
    Version(text)
    return text


class Record(BaseModel):
    """Where a component of a saved model came from.

    Commands that install it are made of this, so it can be nothing but a distribution's name and version.

    Attributes:
        kind: the component's kind.
        name: its canonical id.
        distribution: the normalised name of the distribution that brought it.
        version: that distribution's version.
        config_version: the version of its configuration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    name: str
    distribution: str
    version: Annotated[str, AfterValidator(_version)]
    config_version: PositiveInt

    @model_validator(mode="after")
    def _is_of_its_distribution(self) -> Record:
        if not is_normalized_name(self.distribution) or self.name.partition("/")[0] != self.distribution:
            raise ValueError(
                f"{self.name!r} of {self.distribution!r} is no distribution/name of a normalised distribution"
            )
        return self


class Manifest(BaseModel):
    """The content of `itnet.json`.

    Attributes:
        format: the version of the checkpoint format.
        api: `itnet_core.API` when it was saved.
        config: the model's complete configuration.
        components: a record for each component, by its path in the configuration (`encoders.image`), those among them
            that another one refers to (`encoders.image-text.image`).
        sha256: of the weights' file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: PositiveInt
    api: PositiveInt
    config: CompleteModelConfig
    components: dict[str, Record]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            ValueError: a configuration holds a number that JSON has not.
        """
        path.write_text(json.dumps(self.model_dump(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read it.

        Raises:
            CheckpointError: it is truncated, of a format that is not known here, or does not hold together.
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
                str(path), found=f"no valid JSON ({error})", expected="a manifest", hint="The file is damaged."
            ) from error
        version = data.get("format") if isinstance(data, dict) else None
        if version != FORMAT:
            newer = isinstance(version, int) and version > FORMAT
            raise CheckpointError(
                str(path),
                found=f"checkpoint format {version!r}",
                expected=f"format {FORMAT}",
                hint="A newer itnet-registry wrote it: pip install --upgrade itnet-registry." if newer else "",
            )
        try:
            manifest = parse(cls, data, str(path))
        except ConfigError as error:
            raise CheckpointError(error.place, found=error.found, expected=error.expected, hint=error.hint) from error
        wrong = manifest._wrong_records()
        if wrong:
            raise CheckpointError(
                f"{path}.components",
                found=f"records that differ from config at {', '.join(wrong)}",
                expected="the same",
            )
        return manifest

    def _wrong_records(self) -> list[str]:
        """Return the paths at which records and configuration differ: a part without a record, or the reverse."""
        parts = {where: (kind, reference.name) for where, kind, reference in references(self.config)}
        config, wrong = self.config.model_dump(), set(parts) - set(self.components)
        for where, record in self.components.items():
            named = reference_at(config, where)
            kind, _ = parts.get(where, (record.kind, None))
            if named is None or (kind, named.get("name")) != (record.kind, record.name):
                wrong.add(where)
        return sorted(wrong)


def reference_at(config: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Return the reference at a path of a configuration (`encoders.image-text.image`), if one stands there."""
    found: Any = config
    for key in where.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) and "name" in found else None


def references(config: CompleteModelConfig) -> Iterator[tuple[str, Kind, CompleteReference]]:
    """Yield each component of a configuration: its path, its kind, and the reference to it."""
    yield "kernel", "kernel", config.kernel
    yield "sampler", "sampler", config.sampler
    yield "evaluator", "evaluator", config.evaluator
    for modality, reference in config.encoders.items():
        yield f"encoders.{modality}", "encoder", reference
    for modality, reference in config.heads.items():
        yield f"heads.{modality}", "head", reference
    for modality, reference in config.tasks.items():
        yield f"tasks.{modality}", "task", reference
