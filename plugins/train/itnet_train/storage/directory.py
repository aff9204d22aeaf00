"""The files of a run directory, and the rules for writing to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from itnet_core import write_atomically
from itnet_core.plugin.files import partial_path, partial_paths, previous_path
from itnet_registry import load_config
from itnet_registry.config.model_config import CompleteModelConfig, with_trunk
from itnet_registry.config.yaml_text import to_yaml
from itnet_train.config import MUTABLE_ON_RESUME, LoggerName, TrainConfig
from itnet_train.errors import RunError
from itnet_train.storage.lock import hold_lock


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a run.

    Example:
        >>> RunDirectory(Path("runs/digits")).best.as_posix()
        'runs/digits/best'
    """

    path: Path

    @property
    def lock(self) -> Path:
        """The file that is locked during training. It is the first file that a run writes, and marks a run."""
        return self.path / "run.lock"

    @property
    def config(self) -> Path:
        """The complete configuration."""
        return self.path / "config.yaml"

    @property
    def about(self) -> Path:
        """What the configuration does not tell: the preset, the monitored metric, when the run was started."""
        return self.path / "run.json"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / "last"

    @property
    def state(self) -> Path:
        """The training state from which a run is resumed."""
        return self.path / "resume" / "state.ckpt"

    @property
    def history(self) -> Path:
        """One row per epoch."""
        return self.path / "history.csv"

    @property
    def logs(self) -> list[Path]:
        """Folders of the loggers and the profiler."""
        return [self.path / name for name in (*get_args(LoggerName), "profile")]

    @property
    def metrics(self) -> Path:
        """The results, written when the run ends."""
        return self.path / "metrics.json"

    def check(self, config: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Check that a run with the complete configuration `config` may be written here.

        Raises:
            RunError: the directory holds a run and neither `resume` nor `overwrite` is set; it holds other files; the
                run to resume has another configuration; or the path is a file or is not UTF-8.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            raise RunError(str(self.path), found="a name that is not UTF-8", expected="a UTF-8 name") from None
        if self.path.exists() and not self.path.is_dir():
            raise RunError(str(self.path), found="a file", expected="a directory, or a path that does not exist")
        if not self.path.exists() or not {*self.path.iterdir()} - {self.lock, partial_path(self.config)}:
            return  # a run that was killed before it wrote its configuration does not count
        expected, hint = "a new or an empty directory", "Choose another --output."
        if not self.is_run:
            raise RunError(str(self.path), found="files that do not belong to a run", expected=expected, hint=hint)
        if not resume and not overwrite:
            hint = f"Use --resume to continue the run, or --overwrite to start again. {hint}"
            raise RunError(str(self.path), found="an existing run", expected=expected, hint=hint)
        if resume and (self.state.exists() or self.metrics.exists()):
            self._check_config(config)

    def hold(self) -> AbstractContextManager[None]:
        """Create the directory and lock it against other runs while the context lasts."""
        self.path.mkdir(parents=True, exist_ok=True)
        return hold_lock(self.lock)

    def start(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Write the configuration, and remove the existing run unless its state is to be resumed.

        A kill between any two steps leaves a valid run: `metrics.json`, which marks a finished run, is removed first,
        and the old configuration stays until the new one replaces it.
        """
        self.metrics.unlink(missing_ok=True)
        if resume and self.state.exists():
            self._repair()
        else:
            self._clear()
        write_atomically(self.config, to_yaml(config))
        self.state.parent.mkdir(exist_ok=True)

    @property
    def is_run(self) -> bool:
        """Whether the directory is that of a run."""
        return self.lock.is_file() or (self.config.is_file() and self.state.parent.is_dir())

    def _check_config(self, config: Mapping[str, Any]) -> None:
        started, defaults = load_config(self.config), {}
        if "model" in started:  # fields that were added to its configuration after the start have their default
            fields = CompleteModelConfig.model_fields.items()
            defaults = {f"model.{name}": field.default for name, field in fields if not field.is_required()}
            started["model"] = with_trunk(started["model"])
        started["train"] = TrainConfig.from_sections(started).model_dump(mode="json")
        before, now = defaults | _of_all_processes(started), _of_all_processes(config)
        mutable = {f"train.{name}" for name in MUTABLE_ON_RESUME}
        if now["train.epochs"] > before["train.epochs"]:
            mutable.add("train.epochs")
        changed = sorted(k for k in before.keys() | now.keys() if k not in mutable and before.get(k) != now.get(k))
        if changed:
            raise RunError(
                f"--resume {self.path}",
                found="; ".join(f"{key} = {now.get(key)!r}, which was {before.get(key)!r}" for key in changed),
                expected="the configuration with which the run was started",
                hint=f"Only {', '.join(sorted(mutable - {'train.epochs'}))} may change, train.epochs may grow, and so "
                "may the number of processes, with as many samples in a batch of all. "
                "Choose another --output for another run.",
            )

    def _repair(self) -> None:
        """Restore the checkpoints after a save that was killed: rename a previous one back, remove partial ones."""
        for checkpoint in (self.best, self.last):
            previous = previous_path(checkpoint)
            if previous.is_dir() and not checkpoint.exists():
                previous.rename(checkpoint)
            for path in partial_paths(checkpoint):
                shutil.rmtree(path)

    def _clear(self) -> None:
        """Remove the files of a run and nothing else: the state first, the configuration not at all."""
        self.state.unlink(missing_ok=True)
        for path in (self.history, self.about):
            path.unlink(missing_ok=True)
        for path in (self.history, self.about, self.metrics):
            partial_path(path).unlink(missing_ok=True)
        checkpoints = [
            path
            for checkpoint in (self.best, self.last)
            for path in (checkpoint, previous_path(checkpoint), *partial_paths(checkpoint))
        ]
        for path in (*checkpoints, self.state.parent, *self.logs):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)


def _of_all_processes(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flat configuration with the sizes of all processes' batches in place of what divides them."""
    train = TrainConfig.from_sections(sections)
    divisions = ("train.devices", "train.nodes", "train.strategy", "train.parallel.")
    config = {key: value for key, value in flatten(sections).items() if not key.startswith(divisions)}
    sizes = [key for key, size in config.items() if key.endswith(".batch_size") and size is not None]
    batches = {f"{key} · processes": config.pop(key) * train.processes // train.parallel.points for key in sizes}
    return config | batches | {"train.strategy": "fsdp" if train.sharded else "ddp"}


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists of mappings by their dotted paths."""
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if isinstance(value, Mapping) and value:
        return {k: v for name, item in value.items() for k, v in flatten(item, f"{path}.{name}".lstrip(".")).items()}
    return {path: value}
