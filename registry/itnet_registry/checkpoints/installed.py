"""Checkpoints that installed distributions bring, found by the metadata of the distributions; nothing is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from itnet_core import ITNetError
from itnet_core.plugin.errors import did_you_mean
from itnet_registry.checkpoints.files import CARD, MANIFEST, WEIGHTS
from itnet_registry.errors import AmbiguousNameError
from itnet_registry.plugins.first_party import provider
from itnet_registry.plugins.requirements import pip_install

ENTRY_POINT_GROUP = "itnet.checkpoints"
"""An entry point's value is a top-level package, whose folders are checkpoints; its name begins theirs."""


@dataclass(frozen=True)
class InstalledModel:
    """A checkpoint of an installed distribution.

    Example:
        >>> model = InstalledModel("acme/birds", Path("site-packages/acme_birds/birds"), "acme-birds", "1.0")
        >>> model.card, model.described()
        ({}, {'score': '', 'data': '', 'license': ''})

    Attributes:
        name: the name of the entry point, and that of the folder: `zoo/fashion`.
        path: the folder of the checkpoint.
        distribution: name of the distribution.
        version: version of the distribution.
    """

    name: str
    path: Path
    distribution: str
    version: str

    @property
    def size(self) -> int:
        """Size of the weights in bytes."""
        return (self.path / WEIGHTS).stat().st_size

    @cached_property
    def card(self) -> Mapping[str, Any]:
        """The metadata of the model card; empty without one, or if it cannot be read."""
        try:
            return read_card(self.path / CARD)
        except (ITNetError, OSError, ValueError):
            return {}

    def described(self) -> dict[str, str]:
        """Return what the card tells: `score`, `data` and `license`, "" where it tells nothing, and nothing if damaged.

        `score` is the first metric, `accuracy 0.894`; `data` ends in the data's licence.
        """
        try:
            results = [result for index in self.card.get("model-index", ()) for result in index["results"]]
            metrics = [f"{metric['type']} {metric['value']:.3f}" for result in results for metric in result["metrics"]]
            data = ", ".join(dict.fromkeys(result["dataset"]["name"] for result in results))
            licence = self.card.get("itnet", {}).get("data_license")
            return {
                "score": metrics[0] if metrics else "",
                "data": f"{data} ({licence})" if licence else data,
                "license": str(self.card.get("license", "")),
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            return {"score": "", "data": "", "license": ""}


def installed_models() -> list[InstalledModel]:
    """Return the checkpoints of installed distributions, sorted by name.

    A distribution brings them by an entry point of the group `itnet.checkpoints`: its value is a package, each of whose
    folders with a manifest is a checkpoint. The package is not imported.

    Example:
        >>> from itnet_registry import installed_models
        >>> all("/" in model.name for model in installed_models())
        True
    """
    return sorted(_installed(), key=lambda model: (model.name, model.distribution))


def installed_model(name: str) -> InstalledModel | None:
    """Return the installed checkpoint of a name, or `None`.

    Raises:
        AmbiguousNameError: two distributions bring one of this name.
    """
    found = [model for model in installed_models() if model.name == name] if "/" in name else []
    if len(found) > 1:
        owners = " and ".join(model.distribution for model in found)
        raise AmbiguousNameError(name, found=f"checkpoints of {owners}", expected="one", hint="Uninstall one of them.")
    return found[0] if found else None


def hint_for(name: str) -> str:
    """Return a hint for a name that is no checkpoint, or ""."""
    distribution = provider("model", name)
    installed = [model.name for model in installed_models()]
    if distribution is not None and name not in installed:
        return f"Install it: {pip_install([distribution])}"
    return did_you_mean(name, installed)


def read_card(path: Path) -> dict[str, Any]:
    """Return the metadata of a model card, the YAML between its first two lines `---`; empty without any."""
    from itnet_registry.config.yaml_text import read_yaml  # PyYAML, which a list of names alone does not need

    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    start, fence, rest = text.partition("---\n")
    found = read_yaml(rest.partition("\n---\n")[0]) if fence and not start.strip() else None
    return found if isinstance(found, dict) else {}


def _installed() -> Iterator[InstalledModel]:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.dist is None or not entry.value.isidentifier():  # to find a module in a package would import it
            continue
        spec = find_spec(entry.value)
        for folder in (spec and spec.submodule_search_locations) or ():
            for manifest in Path(folder).glob(f"*/{MANIFEST}"):
                name = f"{entry.name}/{manifest.parent.name}"
                yield InstalledModel(name, manifest.parent, entry.dist.name, entry.dist.version)
