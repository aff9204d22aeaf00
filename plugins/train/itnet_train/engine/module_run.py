"""A run of any module on one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from itnet_core import Task, parse
from itnet_core.plugin.files import atomic_path
from itnet_train.config import TrainConfig
from itnet_train.engine.run import Run
from itnet_train.engine.single_modality import SingleModality
from itnet_train.engine.versions import engine_versions


@dataclass(frozen=True)
class ModuleRun(Run):
    """A module and a task that are given as objects."""

    model: SingleModality

    @classmethod
    def of(cls, module: nn.Module, task: Task, config: TrainConfig | Mapping[str, Any]) -> ModuleRun:
        """Combine the parts.

        Raises:
            ConfigError: a field of the configuration is unknown or its value invalid.
        """
        config = config if isinstance(config, TrainConfig) else parse(TrainConfig, config, "config")
        return cls(SingleModality(module), {task.modality: task}, config)

    @property
    def complete_config(self) -> dict[str, Any]:
        """The classes of the module and the task, and the options of the task and of the training."""
        [task] = self.tasks.values()
        options = {} if task.config is None else task.config.model_dump(mode="json")
        return {
            "module": {"class": _class(self.model.module)},
            "data": {"class": _class(task), **options},
            "train": self.config.model_dump(mode="json"),
        }

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and the engine."""
        return engine_versions()

    @property
    def may_skip_parameters(self) -> bool:
        """Whether a batch may leave some parameters unused, which is not known."""
        return True

    def save(self, model: nn.Module, path: Path) -> None:
        """Write the module's weights under their own names; weights that share memory are written for each name."""
        path.mkdir(exist_ok=True)
        weights = {name.removeprefix("module."): value.clone() for name, value in model.state_dict().items()}
        with atomic_path(path / "model.safetensors") as partial:
            save_file(weights, partial)

    def load(self, path: Path) -> SingleModality:
        """Load weights into the module."""
        weights = load_file(path / "model.safetensors")
        self.model.load_state_dict({f"module.{name}": value for name, value in weights.items()})
        return self.model.eval()


def _class(item: object) -> str:
    return f"{type(item).__module__}.{type(item).__qualname__}"
