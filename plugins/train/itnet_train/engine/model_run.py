"""A run of an ITNet, built from a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from itnet_core import ConfigError, ITNetModel, parse
from itnet_registry import ConfigSection, create_model, default_registry, load_model, save_model
from itnet_registry.build.tasks import create_tasks
from itnet_registry.config.heads import check_heads
from itnet_registry.config.sections import section_model
from itnet_registry.plugins.loading import BUILT_IN_SECTIONS
from itnet_train.config import TrainConfig
from itnet_train.data.seeding import derive_seed, seed_everything
from itnet_train.engine.run import Run
from itnet_train.engine.versions import model_versions


@dataclass(frozen=True)
class ModelRun(Run):
    """An ITNet with the tasks of its configuration."""

    model: ITNetModel
    """A new model, its weights drawn from the seed."""

    @classmethod
    def from_sections(cls, sections: Mapping[str, Any]) -> ModelRun:
        """Build the parts from the sections of a configuration.

        Raises:
            ITNetError: the configuration is invalid, a component is not installed, or the model has no task.
        """
        config = TrainConfig.from_sections(sections)
        seed_everything(derive_seed(config.seed, "weights"))
        model = create_model(**sections.get("model", {}))
        tasks = create_tasks(model)
        check_heads(tasks, (model.config or {}).get("heads", {}))
        for modality in config.tasks.keys() - tasks.keys():
            raise ConfigError(
                f"train.tasks.{modality}",
                found=f"options for a task of {modality}",
                expected=f"one of {', '.join(tasks)}",
            )
        preset = sections.get("model", {}).get("preset") or ""
        return cls(model, tasks, config, _other_sections(sections), preset)

    @property
    def complete_config(self) -> dict[str, Any]:
        """The configuration with all defaults filled in."""
        others = {name: section.model_dump(mode="json") for name, section in self.sections.items()}
        return {"model": self.model.config, "train": self.config.model_dump(mode="json"), **others}

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python, the engine and the model's plugins."""
        return model_versions(self.complete_config["model"])

    @property
    def may_skip_parameters(self) -> bool:
        """Whether a batch may leave some parameters unused: those of another modality."""
        return len(self.model.encoders) > 1

    def save(self, model: nn.Module, path: Path) -> None:
        """Write a checkpoint of the model, or of a copy with other weights."""
        save_model(cast(ITNetModel, model), path)

    def load(self, path: Path) -> ITNetModel:
        """Return the model of a checkpoint."""
        return load_model(path)


def _other_sections(sections: Mapping[str, Any]) -> dict[str, ConfigSection]:
    """Return the sections of other plugins that are checked against the model or score it."""
    parsed = {
        name: parse(section_model(default_registry(), name, name), section or {}, name)
        for name, section in sections.items()
        if name not in (*BUILT_IN_SECTIONS, "train")
    }
    return {name: section for name, section in parsed.items() if isinstance(section, ConfigSection)}
